"""One more result in a history that was made ready: what it touches is computed anew, from its instant on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scheduler.availability.timelines.axis import ABSENT, BEGINNING, TOLERANCE, Elapsed, wall_at
from scheduler.availability.timelines.prepared import LastResult, Prepared, Stamp, group_timeline
from scheduler.availability.timelines.strips import timeline, with_ends
from scheduler.availability.timelines.timeline import CAUSE_CODES, Findings, Timeline, of_results, overlaid, since

if TYPE_CHECKING:
    from scheduler.availability.history import Result
    from scheduler.model.instants import Duration, Instant


def extended(
    prepared: Prepared, result: Result, until: Instant, monotonic_now: Duration | None = None, boot: str = ""
) -> Prepared | None:
    """Add a result and move on to an instant; None: the axis itself would change, all must be made ready anew."""
    place = _placed(prepared, result)
    now_lived = None if place is None else _reached(prepared, place[1], until, monotonic_now, boot)
    if place is None or now_lived is None or result.at > until:
        return None
    elapsed, last = place
    row = prepared.places[result.object]
    begin, findings = _inserted(prepared.findings[row], result, elapsed, in_order=last is not prepared.last)
    changed = replace(
        prepared,
        history=replace(prepared.history, now=until, monotonic_now=monotonic_now, boot=boot),
        added=(*prepared.added, result),
        last=last,
        axis=replace(prepared.past, now=max(now_lived, elapsed, last.elapsed)),
        findings=(*prepared.findings[:row], findings, *prepared.findings[row + 1 :]),
    )
    return replace(changed, strips=with_ends(prepared.strips, _ends(changed, row, begin)))


def moved(prepared: Prepared, now: Instant) -> Prepared | None:
    """Move on to `now` with nothing new; None: the clock was set, all must be made ready anew."""
    last = prepared.last
    if last is None or now < max(last.at, prepared.history.now) or prepared.past.starts != prepared.axis.starts:
        return None
    lived = _reached(prepared, last, now, None, "")
    if lived is None:
        return None
    history = replace(prepared.history, now=now, monotonic_now=None, boot="")
    return replace(prepared, history=history, axis=replace(prepared.past, now=max(lived, last.elapsed)))


def confirmed(prepared: Prepared, result: Result, until: Instant) -> Prepared | None:
    """Let the newest result of an object be found again until an instant; None: another is the newest here."""
    row = prepared.places[result.object]
    found = prepared.findings[row]
    if not len(found.at) or found.status[-1] != result.status:
        return None
    begin = int(found.at[-1])
    if abs(wall_at(prepared.past, begin) - result.at) > TOLERANCE:
        return None
    repeated = found.until.copy()
    repeated[-1] = begin + max(0, until - result.at)
    findings = (*prepared.findings[:row], replace(found, until=repeated), *prepared.findings[row + 1 :])
    changed = replace(prepared, findings=findings)
    if prepared.rows[row].freshness is None and all(gap < begin for gap in prepared.gaps):
        return changed
    return replace(changed, strips=with_ends(prepared.strips, _ends(changed, row, begin)))


def _placed(prepared: Prepared, result: Result) -> tuple[Elapsed, LastResult] | None:
    """Return where a result stands on the axis, and where the results end then; None: the axis itself would change."""
    last = prepared.last
    if last is None or prepared.past.starts != prepared.axis.starts:
        return None
    if _is_next(last, result):
        elapsed = _reached(prepared, last, result.at, result.monotonic, result.boot)
        if elapsed is None:
            return None
        stamp = last.stamp if result.monotonic is None else Stamp(elapsed, result.monotonic, result.boot)
        numbered = result.sequence is not None
        return elapsed, LastResult(result.at, elapsed, numbered, result.sequence if numbered else last.number, stamp)
    unnumbered = last.number is None and result.sequence is None
    unstamped = last.stamp is None and result.monotonic is None
    plain = unnumbered and unstamped and prepared.past.starts == (BEGINNING,)
    return (result.at, last) if plain else None


def _is_next(last: LastResult, result: Result) -> bool:
    """Tell whether a result stands after all others."""
    if result.sequence is None:
        return result.at >= last.at
    if last.number is not None and result.sequence <= last.number:
        return False
    return last.is_numbered or result.at > last.at


def _reached(prepared: Prepared, last: LastResult, wall: Instant, monotonic: Duration | None, boot: str) -> Elapsed | None:
    """Return the elapsed time of something that came after the last result; None: the clock was set between."""
    stamp, past = last.stamp, prepared.past
    if monotonic is not None and stamp is not None and boot == stamp.boot:
        elapsed = stamp.elapsed + monotonic - stamp.monotonic
        if stamp.elapsed != last.elapsed and elapsed < last.elapsed:
            return None
    elif monotonic is not None and _is_known(prepared, boot):
        return None
    else:
        elapsed = last.elapsed + max(0, wall - last.at)
    drift = (wall - elapsed) - (past.walls[-1] - past.starts[-1])
    return elapsed if elapsed >= past.starts[-1] and abs(drift) <= TOLERANCE else None


def _is_known(prepared: Prepared, boot: str) -> bool:
    """Tell whether a boot's clock was read before."""
    if any(one.boot == boot and one.monotonic is not None for one in prepared.added):
        return True
    results = prepared.results
    if boot not in results.boots or results.monotonic is None:
        return False
    return bool((results.monotonic[results.boot == results.boots.index(boot)] != ABSENT).any())


def _inserted(found: Findings, result: Result, elapsed: Elapsed, *, in_order: bool) -> tuple[Elapsed, Findings]:
    """Put a result among those of its object; one that comes after them in order is not earlier than they."""
    if in_order and len(found.at):
        elapsed = max(elapsed, int(found.at[-1]))
    place = int(np.searchsorted(found.at, elapsed, side="right"))
    until = elapsed + (0 if result.confirmed is None else max(0, result.confirmed - result.at))
    return elapsed, Findings(
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
