"""Periods from a file: when data is taken, when nobody works. iCalendar, or YAML with a list of start and end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from environments.checking import checked
from environments.nodes import YamlNode
from environments.problems import ConfigurationError, Problem
from environments.reader import documents, read_content
from scheduler.availability.files import calendars
from scheduler.availability.files.reading import exact
from scheduler.availability.files.written import WrittenSpan, Zone
from scheduler.availability.history import Span

if TYPE_CHECKING:
    from scheduler.model.instants import Instant


class _Periods(BaseModel):
    """A file of periods."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    zone: Zone = ""
    """Zone of times without an offset."""
    periods: tuple[WrittenSpan, ...] = Field(min_length=1)
    """A list of start and end."""


def read(path: Path, until: Instant, zone: str) -> tuple[Span, ...]:
    """Read the periods of a file, as far as they begin before `until`; `zone` is that of times that name none."""
    content = read_content(path)
    if path.suffix in {".ics", ".ical"}:
        return calendars.periods(calendars.read(content, str(path), until, zone))
    return of_yaml(content, str(path), zone)


def of_yaml(content: bytes | str, file: str, zone: str) -> tuple[Span, ...]:
    """Read periods from YAML: a list of start and end, alone or under `periods` with a `zone` beside it."""
    node, problems = documents(content, file)[0], list[Problem]()
    top = YamlNode({"periods": node}, node.mark) if isinstance(node.value, tuple) else node
    data = exact(top)
    if isinstance(data.get("periods"), list):
        data["periods"] = [_renamed(one) for one in data["periods"]]
    written = checked(_Periods, top, problems, data=data, context={"zone": data.get("zone") or zone})
    if written is None or problems:
        raise ConfigurationError(problems)
    for index, one in enumerate(written.periods):
        if one.end is not None and one.end <= one.start:
            problems.append(top.problem(("periods", index), "ends before it begins", "an end after its start"))
    if problems:
        raise ConfigurationError(problems)
    return tuple(Span(one.start, one.end) for one in written.periods)


def _renamed(one: object) -> object:
    """Accept `from` and `to` for start and end."""
    names = {"from": "start", "to": "end"}
    return {names.get(key, key): value for key, value in one.items()} if isinstance(one, dict) else one
