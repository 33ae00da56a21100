"""`report algebra`: the truth tables that groups may name, and which of them an operations profile of ARGO is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from environments.reader import read_content
from scheduler.commands.common import Exit, JsonOption, console, examples, print_json, say
from scheduler.commands.report_publish import report
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.availability.history import Algebra, Operator

__all__ = ["report"]


@report.command(
    "algebra",
    epilog=examples("ambienti report algebra", "ambienti report algebra kleene", "ambienti report algebra operations.json"),
)
def show(
    wanted: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="A truth table, or an operations profile of ARGO (JSON).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the truth tables of groups, print one, or say which of them ARGO's operations profile is."""
    from scheduler.availability.timelines import algebra

    if wanted is None:
        _list([algebra.load(name) for name in algebra.shipped()], as_json=as_json)
    elif wanted.endswith(".json"):
        _compare(Path(wanted), as_json=as_json)
    else:
        _print(algebra.load(wanted), as_json=as_json)


def _list(all_of_them: list[Algebra], *, as_json: bool) -> None:
    if as_json:
        print_json([{"name": one.name, "source": one.source, "fold": one.fold} for one in all_of_them])
        return
    table = Table("name", "source", "order of the members", box=None, pad_edge=False)
    for one in all_of_them:
        table.add_row(one.name, one.source, one.fold or "does not matter")
    console().print(table)


def _print(one: Algebra, *, as_json: bool) -> None:
    from scheduler.availability.timelines.algebra import FOLDED

    if as_json:
        print_json({"name": one.name, "source": one.source, "fold": one.fold, **{str(key): _rows(one, key) for key in FOLDED}})
        return
    for operator in FOLDED:
        rows = _rows(one, operator)
        table = Table(f"{one.name}: {operator}", *rows, box=None, pad_edge=False)
        for name, row in rows.items():
            table.add_row(name, *row.values())
        console().print(table)
        say("")
    say(one.source + (f" {one.fold}" if one.fold else ""), style="dim")


def _rows(one: Algebra, operator: Operator) -> dict[str, dict[str, str]]:
    from scheduler.availability.timelines.algebra import STATES, table

    names = list(STATES)
    made = table(one, operator)
    return {a: {b: names[made[STATES[a], STATES[b]]] for b in names} for a in names}


def _compare(file: Path, *, as_json: bool) -> None:
    from scheduler.availability.timelines import algebra

    given = algebra.read(read_content(file, given=True).decode(errors="replace"), str(file))
    found = {name: algebra.differences(given, algebra.load(name)) for name in algebra.shipped()}
    same = next((name for name, differing in found.items() if not differing), "")
    nearest = min(found, key=lambda name: len(found[name]))
    if as_json:
        keys = ("operator", "a", "b", "given", "ours")
        told: dict[str, Any] = {"given": given.name, "same_as": same or None, "nearest": nearest}
        print_json(told | {"differences": [dict(zip(keys, map(str, one), strict=True)) for one in found[nearest]]})
    elif same:
        say(f"{file}: {given.name} is {same}; write `algebra: {same}`.")
    else:
        say(f"{file}: {given.name} is none of ours; nearest is {nearest}:")
        for operator, a, b, theirs, ours in found[nearest]:
            say(f"  {a} {operator} {b}: {theirs} in the file, {ours} in {nearest}")
    if not same:
        raise typer.Exit(int(Exit.PROBLEM))
