"""What a history file tells of the time after its `now`: nobody can have seen or said it yet, so one of the two is mistyped.

Left out silently, a wrong year would make a FAIL a PASS. What is planned may lie ahead: downtimes, exclusions, memberships.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scheduler.availability.timelines.columns import columns
from scheduler.availability.timelines.prepared import left_out
from scheduler.model.instants import Instant, write_instant

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from environments.problems import KeyPath, Problem
    from scheduler.availability.files.written import WrittenHistory
    from scheduler.availability.history import History


def after_now(written: WrittenHistory, history: History, node: YamlNode) -> Iterator[Problem]:
    """Yield what was seen, declared or accepted after `now`; `history` is what the file says."""
    for path, instant in (*_seen(written, history), *_said(written)):
        if instant is not None and instant > history.now:
            shown, now = write_instant(instant, history.zone), write_instant(history.now, history.zone)
            expected = "an instant that has passed, or a later `now`; an earlier window of time is asked for by --from and --to"
            yield node.problem(path, f"{shown} lies after `now` ({now}), for which the report is made", expected)


def _seen(written: WrittenHistory, history: History) -> Iterator[tuple[KeyPath, Instant | None]]:
    late = [index for index, event in enumerate(written.events) if event.at > history.now]
    if late:
        # A clock that was set back leaves events behind that are past all the same: they count.
        places = {one.name: place for place, one in enumerate(history.objects)}
        found = left_out(columns(history.results, places), history)
        missed = set(zip(found.object.tolist(), found.at.tolist(), strict=True))
        for index in late:
            if (places[written.events[index].object], written.events[index].at) in missed:
                yield ("events", index, "at"), written.events[index].at
    newest = max((event.sequence or 0 for event in written.events if event.at <= history.now), default=0)
    for index, event in enumerate(written.events):
        if event.at <= history.now and (event.sequence is None or event.sequence >= newest):  # else a later one proves it past
            yield ("events", index, "confirmed"), event.confirmed
    for index, gap in enumerate(written.gaps):
        edge, instant = ("start", gap.start) if gap.start > history.now else ("end", gap.end)
        yield ("gaps", index, edge), instant


def _said(written: WrittenHistory) -> Iterator[tuple[KeyPath, Instant | None]]:
    for index, downtime in enumerate(written.downtimes):
        yield ("downtimes", index, "declared"), downtime.declared
        for number, revision in enumerate(downtime.revisions):
            yield ("downtimes", index, "revisions", number, "declared"), revision.declared
    for index, exclusion in enumerate(written.exclusions):
        yield ("exclusions", index, "accepted_at"), exclusion.accepted_at
    for index, one in enumerate(written.corrections):
        yield ("corrections", index, "at"), one.at
        yield ("corrections", index, "received"), one.received
        yield ("corrections", index, "accepted_at"), one.accepted_at
