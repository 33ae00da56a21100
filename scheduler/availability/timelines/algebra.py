"""Truth tables of groups: data with a name and a version, in the form of ARGO's operations profiles.

A status is a code: 0 to 4 as in `Status`, 5 is DOWNTIME. A table is symmetric. One that is not associative says in its
file in which order members are folded; any other such table is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from environments.names import nearest
from environments.reader import ConfigurationError, KeyPath, Node, Problem, parse
from scheduler.availability.history import Operator, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Table = npt.NDArray[np.int8]

DOWNTIME = 5
"""The code of the overlay, after those of `Status`."""
STATES = {**{status.name: int(status) for status in Status}, "DOWNTIME": DOWNTIME}
FOLDED = (Operator.AND, Operator.OR)
"""Operators that have a table; at-least and capacity count members instead."""


@dataclass(frozen=True, slots=True)
class Algebra:
    """How two statuses make one: a table of AND and one of OR."""

    name: str
    """With its version: `kleene-1`, `argo-2`."""
    source: str
    """Where the tables were published."""
    fold: str
    """Of tables that are not associative: in which order members are folded. Empty: the order does not matter."""
    tables: dict[Operator, Table]

    def table(self, operator: Operator) -> Table:
        """Return the table of AND or OR: int8, shape (6, 6), read-only; `table[a, b]` is the code of `a operator b`."""
        return self.tables[operator]


@cache
def load(name: str) -> Algebra:
    """Return a table we ship, by name and version (`argo-2`) or by name alone: its newest version."""
    known = shipped()
    versions = [other for other in known if other == name or other.rpartition("-")[0] == name]
    if not versions:
        message = f"there is no truth table {name}"
        problem = Problem("", 0, 0, "algebra", message, f"one of {', '.join(known)}", nearest(name, known))
        raise ConfigurationError([problem])
    file = f"{versions[-1]}.json"
    return read((files("scheduler.availability.timelines") / "algebras" / file).read_text(), file)


@cache
def shipped() -> tuple[str, ...]:
    """Return the names of all tables we ship, by name and version."""
    found = (entry.name.removesuffix(".json") for entry in (files("scheduler.availability.timelines") / "algebras").iterdir())
    return tuple(sorted(found, key=lambda name: (name.rpartition("-")[0], int(name.rpartition("-")[2]))))


def read(text: str, file: str) -> Algebra:
    """Read an operations profile: ours, that of ARGO's web API (also inside its `data`), or the older one of its engine."""
    node = parse(text, file)
    answer = node.items.get("data")
    if answer is not None and answer.elements:
        node = answer.elements[0]
    problems: list[Problem] = []
    _check_states(node, problems)
    tables = {operator: _table(node, operator, problems) for operator in FOLDED}
    fold = _text(node, "fold")
    if not problems and not fold:
        problems += _orders_that_matter(node, tables)
    if problems:
        raise ConfigurationError(problems)
    name, version = _text(node, "name") or file.rpartition("/")[2].removesuffix(".json"), _text(node, "version")
    return Algebra(f"{name}-{version}" if version else name, _text(node, "source"), fold, tables)


def is_associative(table: Table) -> bool:
    """Tell whether the order in which three statuses are folded never matters."""
    codes = np.arange(len(STATES))
    a, b, c = np.meshgrid(codes, codes, codes, indexing="ij")
    return bool((table[table[a, b], c] == table[a, table[b, c]]).all())


def _text(node: Node, key: str) -> str:
    return str(node.items[key].value) if key in node.items else ""


def _check_states(node: Node, problems: list[Problem]) -> None:
    key = "available_states" if "available_states" in node.items else "states"
    listed = node.items[key].elements if key in node.items else ()
    for index, state in enumerate(listed):
        if state.value not in STATES:
            problems.append(_unknown_state(node, (key, index), state))
    missing = [name for name in STATES if name not in {state.value for state in listed}]
    if missing:
        problems.append(node.problem((key,), f"lacks {', '.join(missing)}", f"all of {', '.join(STATES)}"))


def _unknown_state(node: Node, path: KeyPath, state: Node) -> Problem:
    return node.problem(
        path, f"{state.value} is no status here", f"one of {', '.join(STATES)}", nearest(str(state.value), STATES)
    )


def _rows(node: Node, operator: Operator) -> tuple[KeyPath, tuple[Node, ...]]:
    operations, name = node.items.get("operations"), operator.upper()
    if operations is not None and name in operations.items:
        return ("operations", name), operations.items[name].elements
    for index, entry in enumerate(operations.elements if operations is not None else ()):
        if _text(entry, "name").upper() == name and "truth_table" in entry.items:
            return ("operations", index, "truth_table"), entry.items["truth_table"].elements
    return ("operations",), ()


def _table(node: Node, operator: Operator, problems: list[Problem]) -> Table:
    table = np.full((len(STATES), len(STATES)), -1, dtype=np.int8)
    path, rows = _rows(node, operator)
    found = len(problems)
    for index, row in enumerate(rows):
        cells = {key.lower(): cell for key, cell in row.items.items()}
        wrong = [key for key in "abx" if key not in cells or cells[key].value not in STATES]
        for key in wrong:
            place = (*path, index, key)
            given = key in cells
            problems.append(
                _unknown_state(node, place, cells[key]) if given else node.problem(place, f"lacks {key}", "a, b, x")
            )
        if wrong:
            continue
        a, b, x = (STATES[str(cells[key].value)] for key in "abx")
        if table[a, b] not in {-1, x}:
            problems.append(node.problem((*path, index), "says otherwise than a row above", "a table that is symmetric"))
        table[a, b] = table[b, a] = x
    holes = [f"{a}, {b}" for a, i in STATES.items() for b, j in STATES.items() if i <= j and table[i, j] < 0]
    if holes and len(problems) == found:
        problems.append(
            node.problem(path, f"{operator.upper()} lacks {'; '.join(holes[:4])}", "a row for each pair of statuses")
        )
    table.flags.writeable = False
    return table


def _orders_that_matter(node: Node, tables: dict[Operator, Table]) -> Iterator[Problem]:
    for operator, table in tables.items():
        if not is_associative(table):
            path, _ = _rows(node, operator)
            message = f"{operator.upper()} is not associative: the order of the members would matter"
            yield node.problem(path, message, "another table, or `fold`: in which order the members are folded")


def differences(one: Algebra, other: Algebra) -> list[tuple[Operator, str, str, str, str]]:
    """Return where two algebras differ: operator, two statuses, what the one makes of them and what the other."""
    names = list(STATES)
    return [
        (operator, names[a], names[b], names[one.table(operator)[a, b]], names[other.table(operator)[a, b]])
        for operator in FOLDED
        for a, b in zip(*np.nonzero(one.table(operator) != other.table(operator)), strict=True)
        if a <= b
    ]
