"""The history file of `ambienti report --history`: YAML or JSON in, a `History` out, or all that is wrong with the file.

What people write naturally is accepted: one mapping where a list is meant, names where mappings are meant, a mapping by
name instead of a list, `from` and `to` for `start` and `end`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from environments.checking import checked
from environments.garbage import uncollected
from environments.names import is_plain_file, nearest_file
from environments.nodes import YamlNode
from environments.problems import ConfigurationError, Problem
from environments.reader import parse, read_content
from scheduler.availability.files import crosscheck
from scheduler.availability.files.contradictions import after_now
from scheduler.availability.files.strategies import Strategy, groups_of
from scheduler.availability.files.written import (
    WrittenCorrection,
    WrittenDowntime,
    WrittenExclusion,
    WrittenGroup,
    WrittenHistory,
    WrittenObject,
)
from scheduler.availability.history import (
    Algebra,
    Correction,
    Downtime,
    Exclusion,
    Group,
    History,
    Member,
    Monitored,
    Objective,
    Recurrence,
    Result,
    Revision,
    Span,
)
from scheduler.availability.timelines import algebra

if TYPE_CHECKING:
    from scheduler.model.instants import Instant

Value = Any
"""A node of the file, or the bare data of one."""

NAMED_LISTS = ("objects", "groups", "objectives")
_RENAMED = {"from": "start", "to": "end"}
_SYNONYMS = {
    "top": {"results": "events", "timezone": "zone"},
    "objects": {"existence": "exists"},
    "events": {"time": "at", "timestamp": "at", "seq": "sequence"},
    "groups": {"op": "operator"},
    "downtimes": {"object": "objects", "declared_at": "declared", "recurrence": "recurring"},
    "exclusions": {"object": "objects", "accepted": "accepted_by"},
    "revisions": {"declared_at": "declared"},
}
_INNER_LISTS = {
    "objects": {"exists": "spans"},
    "groups": {"members": "members"},
    "downtimes": {"revisions": "revisions"},
    "objectives": {"applies": "spans"},
}


def read_history(path: Path) -> History:
    """Read a history file; a ConfigurationError holds all that is wrong with it."""
    return history_of_text(read_content(path, given=True), str(path))


@uncollected()
def history_of_text(content: bytes | str, file: str, *, whole: bool = True) -> History:
    """Read the text of a history file; not `whole`: what its corrections changed need not stand among these events."""
    data = _json(content)
    if data is not None:
        problems: list[Problem] = []
        history = _history(YamlNode(None, parse("{}", file).mark), data, problems, whole=whole)
        if history is not None and not problems:
            return history
    return history_of_node(parse(content, file, given=True), whole=whole)


def history_of_node(node: YamlNode, *, whole: bool = True) -> History:
    """Make the history that a node of a YAML file describes."""
    problems: list[Problem] = []
    node = cast("YamlNode", shaped(node))
    history = _history(node, exact(node), problems, whole=whole)
    if history is None or problems:
        raise ConfigurationError(problems)
    return history


def exact(node: YamlNode) -> Any:
    """Return the bare data with every scalar as it was written: no number has gone through floating point."""
    if isinstance(node.value, Mapping):
        return {key: exact(inner) for key, inner in node.value.items()}
    if isinstance(node.value, tuple):
        return [exact(inner) for inner in node.value]
    return None if node.value is None else node.raw


def _json(content: bytes | str) -> Any:
    """Return the bare data of a JSON text, shaped; None if it is none (or not a plain one: YAML's door says what is wrong)."""
    start = content.lstrip()[:1]
    if start not in {b"{", "{"}:
        return None
    try:
        return shaped(json.loads(content, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once))
    except (ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands here twice")
    return made


def _history(node: YamlNode, data: Any, problems: list[Problem], *, whole: bool) -> History | None:
    """Check the data and turn it into a history; `node` says where things stand."""
    own = algebras(node, data, problems)
    if problems:
        return None
    written = checked(WrittenHistory, node, problems, data=data, context=context(_zone(data), own), onward=True)
    if written is None:
        return None
    problems += crosscheck.problems(written, node, whole=whole)
    if problems:
        return None
    history = made(written, own)
    if whole:
        problems += after_now(written, history, node)
    return history


def context(zone: str, own: Iterable[Algebra]) -> dict[str, Any]:
    """Return what the check of a history needs to know beside it: the zone of local times, names of truth tables."""
    return {"zone": zone, "algebras": tuple(one.name for one in own)}


def algebras(node: YamlNode, data: Any, problems: list[Problem]) -> tuple[Algebra, ...]:
    """Read a file's own truth tables, each in a file of its own or in its place."""
    listed = data.get("algebras") if isinstance(data, Mapping) else None
    found: list[Algebra] = []
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        try:
            found.append(algebra.own(_table(node, index, one), found))
        except ConfigurationError as error:
            problems += error.problems
    return tuple(found)


def _table(node: YamlNode, index: int, written: Any) -> YamlNode:
    place, _, left = node.walk(("algebras", index))
    if isinstance(written, Mapping):
        return place if not left else parse(json.dumps(written), node.mark.file)
    path = Path(node.mark.file).parent / str(written)
    if not is_plain_file(path):
        near = nearest_file(path)
        problem = node.problem(("algebras", index), f"there is no file {path}", "a file relative to this one", near)
        raise ConfigurationError([problem])
    return parse(read_content(path), str(path))


def _zone(data: Any) -> str:
    """Return the zone in which local times are read; a wrong one is told elsewhere and is UTC here."""
    zone = data.get("zone") if isinstance(data, dict) else None
    return zone if isinstance(zone, str) and crosscheck.is_zone(zone) else "UTC"


# --- what people write naturally --------------------------------------------------------------------------------------


def shaped(top: Value) -> Value:
    """Bring the natural spellings of a history into one shape."""
    items = _items(top)
    if items is None:
        return top
    items = _renamed(items, _SYNONYMS["top"])
    for key in (*NAMED_LISTS, "events", "downtimes", "exclusions"):
        if key in items:
            items[key] = _list(items[key], key, by_name=key in NAMED_LISTS)
    if "algebras" in items:
        items["algebras"] = _list(items["algebras"], "algebras", by_name=False)
    if "gaps" in items:
        items["gaps"] = _list(items["gaps"], "spans", by_name=False)
    return _like(top, items)


def _list(value: Value, kind: str, *, by_name: bool) -> Value:
    """Make a list of mappings of one mapping, of names, or of a mapping by name."""
    items = _items(value)
    if items is not None and by_name and not _is_one(items):
        elements = [_like(inner, {"name": _name(inner, key), **(_items(inner) or {})}) for key, inner in items.items()]
    elif _elements(value) is not None:
        elements = list(_elements(value) or ())
    else:
        elements = [value]
    return _listed(value, [_element(element, kind) for element in elements if by_name or not _is_null(element)])


def _is_one(items: Mapping[str, Value]) -> bool:
    """Tell one mapping with its name from a mapping by name."""
    return "name" in items and _items(items["name"]) is None and not _is_null(items["name"])


def _element(value: Value, kind: str) -> Value:
    items = _items(value)
    if items is None:
        if kind in {"objects", "members"} and _elements(value) is None and not _is_null(value):
            return _like(value, {"name": value})
        return _like(value, {"start": value}) if kind == "spans" and not _is_null(value) else value
    items = _renamed(items, {**_RENAMED, **_SYNONYMS.get(kind, {})})
    for key, inner in _INNER_LISTS.get(kind, {}).items():
        if key in items and not _is_null(items[key]):
            items[key] = _list(items[key], inner, by_name=inner == "members")
    if kind in {"downtimes", "exclusions"} and "objects" in items and _elements(items["objects"]) is None:
        items["objects"] = _listed(items["objects"], [items["objects"]])
    return _like(value, {key: inner for key, inner in items.items() if not _is_null(inner)})


def _renamed(items: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    return {names[key] if key in names and names[key] not in items else key: value for key, value in items.items()}


def _items(value: Value) -> Mapping[str, Value] | None:
    inner = value.value if isinstance(value, YamlNode) else value
    return inner if isinstance(inner, Mapping) else None


def _elements(value: Value) -> tuple[Value, ...] | list[Value] | None:
    inner = value.value if isinstance(value, YamlNode) else value
    return inner if isinstance(inner, (tuple, list)) else None


def _is_null(value: Value) -> bool:
    return (value.value if isinstance(value, YamlNode) else value) is None


def _like(value: Value, items: dict[str, Value]) -> Value:
    return replace(value, value=items) if isinstance(value, YamlNode) else items


def _listed(value: Value, elements: list[Value]) -> Value:
    return replace(value, value=tuple(elements)) if isinstance(value, YamlNode) else elements


def _name(value: Value, key: str) -> Value:
    return YamlNode(key, value.key_place, value.key_mark, raw=key) if isinstance(value, YamlNode) else key


# --- from what was written to what is meant ---------------------------------------------------------------------------


def made(written: WrittenHistory, own: tuple[Algebra, ...] = ()) -> History:
    """Return the history that a checked file describes, with the truth tables of its own."""
    results = tuple(
        Result(e.at, e.object, e.status, e.sequence, e.monotonic, e.boot, e.id, e.received, e.cause, e.text, e.confirmed)
        for e in written.events
    )
    first: dict[str, Instant] = {}
    for result in results:
        first[result.object] = min(result.at, first.get(result.object, result.at))
    return History(
        now=written.now,
        zone=written.zone or "UTC",
        objects=tuple(_object(one, first) for one in written.objects),
        results=results,
        groups=tuple(
            replace(group, own=algebra.among(group.algebra, own))
            for one in written.groups
            for group in _groups(one, written.algebra or "kleene")
        ),
        downtimes=tuple(_downtime(one, index, written.zone or "UTC") for index, one in enumerate(written.downtimes, 1)),
        corrections=tuple(_correction(one, index) for index, one in enumerate(written.corrections, 1)),
        exclusions=tuple(_exclusion(one, index) for index, one in enumerate(written.exclusions, 1)),
        gaps=tuple(Span(gap.start, gap.end) for gap in written.gaps),
        objectives=tuple(
            Objective(
                *(o.name, o.object, o.target, o.window, o.zone, o.profile),
                None if o.applies is None else tuple(Span(span.start, span.end) for span in o.applies),
            )
            for o in written.objectives
        ),
        monotonic_now=written.monotonic_now,
        boot=written.boot,
        algebras=own,
    )


def _object(one: WrittenObject, first: Mapping[str, Instant]) -> Monitored:
    spans = tuple(
        Span(start, span.end)
        for span in one.exists
        if (start := span.start if span.start is not None else first.get(one.name)) is not None
        and (span.end is None or start < span.end)
    )
    return Monitored(one.name, one.kind, spans, one.freshness)


def _groups(one: WrittenGroup, usual: str) -> tuple[Group, ...]:
    """Return the group; with a strategy and no operator what that one means, and its instances beside an address."""
    name = one.algebra or usual
    members = tuple(Member(each.name, each.start, each.end, each.weight) for each in one.members)
    if one.operator is None:
        return groups_of(Strategy(one.strategy), one.name, members, one.address, need=one.need, algebra=name)
    return (Group(one.name, one.operator, members, one.k, one.need, one.strategy, name),)


def _exclusion(one: WrittenExclusion, index: int) -> Exclusion:
    return Exclusion(**dict(one) | {"id": one.id or f"exclusion {index}"})


def _correction(one: WrittenCorrection, index: int) -> Correction:
    return Correction(**dict(one) | {"id": one.id or f"correction {index}"})


def _downtime(one: WrittenDowntime, index: int, zone: str) -> Downtime:
    revisions = tuple(Revision(r.declared, r.start, r.end, r.by or one.by) for r in one.revisions)
    if one.start is not None and one.end is not None and one.declared is not None:
        revisions = (Revision(one.declared, one.start, one.end, one.by),)
    recurrence = None
    if one.recurring is not None:
        again = one.recurring
        local = again.start.replace(" ", "T")
        start = local if local.count(":") == 2 else f"{local}:00"
        recurrence = Recurrence(again.rule, again.zone or zone, start, again.length, again.until, again.ended)
    declared, by = (one.declared, one.by) if recurrence else (None, "")
    return Downtime(one.id or f"downtime {index}", one.objects, revisions, recurrence, declared, one.reason, by)
