"""One more result in a history that was made ready: what it touches is computed anew, from its instant on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scheduler.availability.axis import ABSENT, BEGINNING, TOLERANCE
from scheduler.availability.columns import columns, joined
from scheduler.availability.prepared import Prepared, Stamp, group_timeline, prepare
from scheduler.availability.strips import timeline, with_ends
from scheduler.availability.timeline import CAUSE_CODES, Findings, Timeline, of_results, overlaid, since

if TYPE_CHECKING:
    from scheduler.availability.axis import Elapsed
    from scheduler.availability.history import Duration, Instant, Result


def append(
    prepared: Prepared, result: Result, now: Instant | None = None, monotonic_now: Duration | None = None, boot: str = ""
) -> Prepared:
    """Add a result, and move on to `now`; left out: as late as it was, or the result's own instant if that is later.

    Quick, but for a clock that jumped or a numbered result that comes late: then all is made ready anew.
    """
    until = max(prepared.history.now, result.at) if now is None else now
    history = replace(prepared.history, now=until, monotonic_now=monotonic_now, boot=boot)
    stamp = _placed(prepared, result)
    last = _later(prepared.last, stamp)
    lived = None if last is None else _reached(prepared, last, until, monotonic_now, boot)
    if stamp is None or lived is None or result.at > until:
        added = columns((*prepared.added, result), prepared.places)
        return prepare(history, joined(prepared.results, added))
    row = prepared.places[result.object]
    findings = _inserted(prepared.findings[row], result, stamp.elapsed)
    changed = replace(
        prepared,
        history=history,
        added=(*prepared.added, result),
        last=last,
        axis=replace(prepared.past, now=lived),
        findings=(*prepared.findings[:row], findings, *prepared.findings[row + 1 :]),
    )
    return replace(changed, strips=with_ends(prepared.strips, _ends(changed, row, stamp.elapsed)))


def _placed(prepared: Prepared, result: Result) -> Stamp | None:
    """Return where a result stands on the axis; None: the axis itself would change."""
    last = prepared.last
    if last is None or prepared.past.starts != prepared.axis.starts:
        return None
    if result.sequence is not None and last.sequence is not None:
        is_next = result.sequence > last.sequence
    else:
        is_next = result.sequence is None and result.at >= last.at
    if is_next:
        elapsed = _reached(prepared, last, result.at, result.monotonic, result.boot)
        return None if elapsed is None else Stamp(result.at, elapsed, result.sequence, result.monotonic, result.boot)
    plain = prepared.past.starts == (BEGINNING,) and prepared.results.sequence is None and prepared.results.monotonic is None
    if plain and all(one.sequence is None and one.monotonic is None for one in (*prepared.added, result)):
        return Stamp(result.at, result.at, None, None, "")
    return None


def _later(last: Stamp | None, stamp: Stamp | None) -> Stamp | None:
    return last if stamp is None or (last is not None and stamp.elapsed < last.elapsed) else stamp


def _reached(prepared: Prepared, last: Stamp, wall: Instant, monotonic: Duration | None, boot: str) -> Elapsed | None:
    """Return the elapsed time of something that came after the last result; None: the clock was set between."""
    if monotonic is not None and last.monotonic is not None and boot == last.boot:
        step = monotonic - last.monotonic
    elif monotonic is not None and _is_known(prepared, boot):
        return None
    else:
        step = wall - last.at
    elapsed, past = last.elapsed + max(0, step), prepared.past
    return elapsed if abs((wall - elapsed) - (past.walls[-1] - past.starts[-1])) <= TOLERANCE else None


def _is_known(prepared: Prepared, boot: str) -> bool:
    """Tell whether a boot's clock was read before."""
    if any(one.boot == boot and one.monotonic is not None for one in prepared.added):
        return True
    results = prepared.results
    if boot not in results.boots or results.monotonic is None:
        return False
    return bool((results.monotonic[results.boot == results.boots.index(boot)] != ABSENT).any())


def _inserted(found: Findings, result: Result, elapsed: Elapsed) -> Findings:
    place = int(np.searchsorted(found.at, elapsed, side="right"))
    until = elapsed + (0 if result.confirmed is None else max(0, result.confirmed - result.at))
    return Findings(
        np.insert(found.at, place, elapsed),
        np.insert(found.status, place, result.status),
        np.insert(found.cause, place, CAUSE_CODES[result.cause]),
        np.insert(found.until, place, until),
    )


def _ends(changed: Prepared, row: int, begin: Elapsed) -> dict[int, Timeline]:
    """Return the timelines that change, each from an instant on: the object's, and those of groups that it is in."""
    ends = {row: _end(changed, row, begin)}
    for place in changed.above.get(row, ()):
        group = changed.rows[place]
        parts = {m: ends[m] if m in ends else timeline(changed.strips, m, begin) for m, _ in group.members if m >= 0}
        ends[place] = since(group_timeline(group, parts), begin)
    return ends


def _end(changed: Prepared, row: int, begin: Elapsed) -> Timeline:
    one, found = changed.rows[row], changed.findings[row]
    place = int(np.searchsorted(found.at, begin))
    rest = Findings(found.at[place:], found.status[place:], found.cause[place:], found.until[place:])
    existence = None if one.existence is None else [(max(start, begin), end) for start, end in one.existence if end > begin]
    gaps = [gap for gap in changed.gaps if gap >= begin]
    return since(overlaid(of_results(rest, one.freshness, gaps, existence), one.overlay), begin)
