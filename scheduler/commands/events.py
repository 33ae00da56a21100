"""`events`: the event log, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from environments.names import nearest
from environments.text import printable_json
from scheduler.commands.common import JsonOption, SiteOption, console, optional, say, write
from scheduler.commands.journaled import looked_into, opened
from scheduler.commands.journaled import since as read_since
from scheduler.model.clock import WallClock
from scheduler.model.instants import as_time, in_seconds, micro, write_instant
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.journal.reading import JournalReader
    from scheduler.journal.records import Event

FOLLOW_SECONDS = 1.0
_PLAIN = ("status", "text", "sentence", "reason", "outcome")
"""Details that need no name."""
_INSTANTS = ("start", "end", "for")
"""Keys of details that hold an instant, in microseconds since 1970."""
STYLES = {"CRITICAL": "red", "WARNING": "yellow", "UNKNOWN": "magenta", "OK": "green", "failed": "red"}


def events(
    subject: Annotated[
        str, typer.Argument(metavar="[OBJECT]", show_default=False, help="A batch system, host, worker, service...")
    ] = "",
    *,
    kind: Annotated[str, optional("--kind", help="status, state, boot-begun, downtime...")] = "",
    since: Annotated[str, optional("--since", metavar="WHEN", help="2h ago, or an instant.")] = "",
    correlation: Annotated[str, optional("--correlation", help="One story: intent-17.")] = "",
    limit: Annotated[int, typer.Option("--last", min=1, help="How many of the newest.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new ones are written.")] = False,
    as_json: JsonOption = False,
    site: SiteOption = None,
) -> None:
    """Show the event log: every status, action, downtime and decision with its number, its cause and what it belongs to.

    With --json one object a line.
    """
    with (opened if follow else looked_into)(site) as (found, journal):
        zone = found.site.timezone
        start = in_seconds(read_since(since, "--since", zone)) if since else 0.0
        asked: dict[str, Any] = {"subject": subject, "kind": kind, "since": start, "correlation": correlation}
        lines = journal.events(limit=limit, **asked)
        _show(lines, zone, as_json=as_json)
        if not lines and not follow and not as_json:
            say(
                "; ".join(["nothing", *_unknown(journal, {"subject": subject, "kind": kind, "correlation": correlation})]),
                style="dim",
            )
        last = lines[-1].id if lines else 0
        while follow:
            WallClock().sleep(FOLLOW_SECONDS)
            lines = journal.events(after=last, **asked)
            last = lines[-1].id if lines else last
            _show(lines, zone, as_json=as_json)


def _unknown(journal: JournalReader, asked: Mapping[Literal["subject", "kind", "correlation"], str]) -> Iterator[str]:
    """Say which of the names that were asked for stand nowhere in the log, and what they may have meant."""
    for of, name in asked.items():
        if name and name not in (known := journal.event_names(of)):
            near = nearest(name, known)
            yield f"no line of the log has the {of} {name!r}" + (f", did you mean {near!r}?" if near else "")


def _show(lines: Sequence[Event], zone: str, *, as_json: bool) -> None:
    if as_json:
        for line in lines:
            write(printable_json(json.dumps(_data(line, zone), ensure_ascii=False)) + "\n")
        return
    if not lines:
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for line in lines:
        note = line.note
        detail = " ".join(
            str(value) if key in _PLAIN else f"{key}={_shown(key, value, zone)}"
            for key, value in note.detail.items()
            if value != ""
        )
        style = STYLES.get(str(note.detail.get("status") or note.detail.get("outcome") or ""), "")
        row = (
            str(line.id),
            f"{as_time(micro(line.at), zone):%Y-%m-%d %H:%M:%S.%f}"[:-3],
            note.kind,
            note.subject,
            note.cause,
            note.correlation,
            detail,
        )
        table.add_row(*row, style=style)
    console().print(table)


def _shown(key: str, value: object, zone: str) -> object:
    return write_instant(value, zone) if key in _INSTANTS and isinstance(value, int) else value


def _data(line: Event, zone: str) -> dict[str, Any]:
    note = line.note
    at = write_instant(micro(line.at), zone)
    told = {"sequence": line.id, "at": at, "kind": note.kind, "object": note.subject, "cause": note.cause}
    received = None if line.received is None else write_instant(line.received, zone)
    stamps = {"received": received, "monotonic_microseconds": line.monotonic, "boot": line.boot}
    return {**told, "correlation": note.correlation, "detail": dict(note.detail), **stamps}
