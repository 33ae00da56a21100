"""Truth tables of groups: data with a name and a version, in the form of ARGO's operations profiles; ours, or a site's own.

A status is a code: 0 to 4 as in `Status`, 5 is DOWNTIME. A table is symmetric. One that is not associative says in its
file in which order members are folded; any other such table is refused.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from environments.names import nearest
from environments.problems import ConfigurationError, KeyPath, Problem
from environments.reader import parse
from scheduler.availability.history import Algebra, Group, Operator, Status

if TYPE_CHECKING:
    import numpy.typing as npt

    from environments.nodes import YamlNode

    Table = npt.NDArray[np.int8]

DOWNTIME = 5
"""The code of the overlay, after those of `Status`."""
STATES = {**{status.name: int(status) for status in Status}, "DOWNTIME": DOWNTIME}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
FOLDED = (Operator.AND, Operator.OR)
"""Operators that have a table; at-least and capacity count members instead."""


def table(algebra: Algebra, operator: Operator) -> Table:
    """Return the table of AND or OR: int8, shape (6, 6), read-only; `table[a, b]` is the code of `a operator b`."""
    return _array(algebra.both if operator is Operator.AND else algebra.either)


@lru_cache(maxsize=64)
def _array(rows: tuple[tuple[int, ...], ...]) -> Table:
    made = np.array(rows, np.int8)
    made.flags.writeable = False
    return made


def of_group(group: Group) -> Algebra:
    """Return the truth tables of a group."""
    return group.own or load(group.algebra)


def among(name: str, own: Sequence[Algebra]) -> Algebra | None:
    """Return one of a site's own tables by name and version or by name alone, which is its newest; None: it is none of them."""
    found = _newest(name, [one.name for one in own])
    return next((one for one in own if one.name == found), None)


@cache
def load(name: str) -> Algebra:
    """Return a table we ship, by name and version or by name alone."""
    known = shipped()
    found = _newest(name, known)
    if not found:
        message = f"there is no truth table {name}"
        problem = Problem("", 0, 0, "algebra", message, f"one of {', '.join(known)}", nearest(name, known))
        raise ConfigurationError([problem])
    return read((files("scheduler.availability.timelines") / "algebras" / f"{found}.json").read_text(), f"{found}.json")


def _newest(name: str, known: Sequence[str]) -> str:
    found = [other for other in known if name in {other, other.rpartition("-")[0]}]
    return max(found, key=_version, default="")


def _version(name: str) -> int:
    return int(name.rpartition("-")[2])


@cache
def shipped() -> tuple[str, ...]:
    """Return the names of all tables we ship, by name and version."""
    found = (entry.name.removesuffix(".json") for entry in (files("scheduler.availability.timelines") / "algebras").iterdir())
    return tuple(sorted(found, key=lambda name: (name.rpartition("-")[0], _version(name))))


def read(text: str | bytes, file: str) -> Algebra:
    """Read an operations profile: ours, that of ARGO's web API (also inside its `data`), or the older one of its engine."""
    node = parse(text, file)
    answer = node.items.get("data")
    if answer is not None and answer.elements:
        node = answer.elements[0]
    return of_node(node, file.rpartition("/")[2].removesuffix(".json"))


def of_node(node: YamlNode, name: str = "") -> Algebra:
    """Read the tables that a node of a file holds; a ConfigurationError says all that is wrong, and where."""
    problems: list[Problem] = []
    _check_states(node, problems)
    tables = {operator: _table(node, operator, problems) for operator in FOLDED}
    fold = _text(node, "fold")
    if not problems and not fold:
        problems += _orders_that_matter(node, tables)
    if problems:
        raise ConfigurationError(problems)
    name, version = _text(node, "name") or name, _text(node, "version")
    both, either = (tuple(tuple(row) for row in tables[operator].tolist()) for operator in (Operator.AND, Operator.OR))
    return Algebra(f"{name}-{version}" if version else name, _text(node, "source"), fold, both, either)


def own(node: YamlNode, before: Sequence[Algebra] = ()) -> Algebra:
    """Read a table of a site's own: with a name and a number as version, of which none is ours or was read before."""
    problems: list[Problem] = []
    name, version = (node.items.get(key) for key in ("name", "version"))
    if name is None or not _NAME.fullmatch(str(name.value)):
        problems.append(node.problem(("name",), "has no name", "a name of its own: board, perugia-sites"))
    elif any(stem == name.value for stem in (other.rpartition("-")[0] for other in shipped())):
        problems.append(node.problem(("name",), f"{name.value} is the name of a table that we ship", "a name of its own"))
    if version is None or not re.fullmatch(r"\d{1,6}", str(version.value)):
        problems.append(node.problem(("version",), "has no version", "a whole number: a table that changes gets the next one"))
    elif name is not None and any(one.name == f"{name.value}-{version.value}" for one in before):
        problems.append(node.problem(("version",), f"{name.value}-{version.value} is there already", "each version once"))
    try:
        made = of_node(node)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return made


def plain(one: Algebra) -> dict[str, Any]:
    """Return a table as data in the form in which it is read."""
    name, _, version = one.name.rpartition("-")
    names = list(STATES)
    operations = [
        {
            "name": operator.upper(),
            "truth_table": [
                {"a": a, "b": b, "x": names[rows[STATES[a]][STATES[b]]]}
                for a, b in itertools.combinations_with_replacement(names, 2)
            ],
        }
        for operator, rows in ((Operator.AND, one.both), (Operator.OR, one.either))
    ]
    told = {"source": one.source, "fold": one.fold}
    data = {"name": name, "version": int(version), "available_states": names, "operations": operations}
    return data | {key: value for key, value in told.items() if value}


def digest(one: Algebra) -> str:
    """Return the beginning of the SHA-256 of a table's rows: the same name over another table is seen by it."""
    return hashlib.sha256(repr((one.both, one.either, one.fold)).encode()).hexdigest()[:12]


def is_associative(table: Table) -> bool:
    """Tell whether the order in which three statuses are folded never matters."""
    codes = np.arange(len(STATES))
    a, b, c = np.meshgrid(codes, codes, codes, indexing="ij")
    return bool((table[table[a, b], c] == table[a, table[b, c]]).all())


def _text(node: YamlNode, key: str) -> str:
    return str(node.items[key].value) if key in node.items else ""


def _check_states(node: YamlNode, problems: list[Problem]) -> None:
    key = "available_states" if "available_states" in node.items else "states"
    if key not in node.items:
        return  # a table of one's own need not list them: its rows name all there are
    listed = node.items[key].elements
    for index, state in enumerate(listed):
        if state.value not in STATES:
            problems.append(_unknown_state(node, (key, index), state))
    missing = [name for name in STATES if name not in {state.value for state in listed}]
    if missing:
        problems.append(node.problem((key,), f"lacks {', '.join(missing)}", f"all of {', '.join(STATES)}"))


def _unknown_state(node: YamlNode, path: KeyPath, state: YamlNode) -> Problem:
    return node.problem(
        path, f"{state.value} is no status here", f"one of {', '.join(STATES)}", nearest(str(state.value), STATES)
    )


def _rows(node: YamlNode, operator: Operator) -> tuple[KeyPath, tuple[YamlNode, ...]]:
    operations, name = node.items.get("operations"), operator.upper()
    if operations is not None and name in operations.items:
        return ("operations", name), operations.items[name].elements
    for index, entry in enumerate(operations.elements if operations is not None else ()):
        if _text(entry, "name").upper() == name and "truth_table" in entry.items:
            return ("operations", index, "truth_table"), entry.items["truth_table"].elements
    return ("operations",), ()


def _table(node: YamlNode, operator: Operator, problems: list[Problem]) -> Table:
    path, rows = _rows(node, operator)
    if rows and not any(row.items for row in rows):
        return _of_order(node, path, rows, problems)
    table = np.full((len(STATES), len(STATES)), -1, dtype=np.int8)
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
    return table


def _of_order(node: YamlNode, path: KeyPath, rows: tuple[YamlNode, ...], problems: list[Problem]) -> Table:
    """Read a table that is told as an order of statuses: of two the one that stands earlier wins."""
    order = [row.value for row in rows]
    wrong = [index for index, value in enumerate(order) if value not in STATES or value in order[:index]]
    for index in wrong:
        known = order[index] in STATES
        again = node.problem((*path, index), f"{order[index]} stands here twice", "each status once")
        problems.append(again if known else _unknown_state(node, (*path, index), rows[index]))
    missing = [name for name in STATES if name not in order]
    if missing and not wrong:
        problems.append(node.problem(path, f"lacks {', '.join(missing)}", "all statuses, from the one that always wins on"))
    codes = np.array([order.index(name) if name in order else 0 for name in STATES])
    table: Table = np.where(codes[:, None] <= codes, np.arange(len(STATES))[:, None], np.arange(len(STATES))).astype(np.int8)
    return table


def _orders_that_matter(node: YamlNode, tables: dict[Operator, Table]) -> Iterator[Problem]:
    for operator, table in tables.items():
        if not is_associative(table):
            path, _ = _rows(node, operator)
            message = f"{operator.upper()} is not associative: the order of the members would matter"
            yield node.problem(path, message, "another table, or `fold`: in which order the members are folded")


def differences(one: Algebra, other: Algebra) -> list[tuple[Operator, str, str, str, str]]:
    """Return where two algebras differ: operator, two statuses, what the one makes of them and what the other."""
    names = list(STATES)
    return [
        (operator, names[a], names[b], names[table(one, operator)[a, b]], names[table(other, operator)[a, b]])
        for operator in FOLDED
        for a, b in zip(*np.nonzero(table(one, operator) != table(other, operator)), strict=True)
        if a <= b
    ]
