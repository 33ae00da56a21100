"""A second, deliberately simple computation of availability: it looks at every tick, one after the other, and counts.

Written from the rules and decision 0011 alone. A tick is a second, or a longer step in which all instants of a history are
whole; nothing is clever here, so that it can be believed by reading.
"""

import json
import zoneinfo
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path

from scheduler.availability.history import Cause, Measure, ObjectKind, Operator, Status

ALGEBRAS = Path(__file__).parents[2] / "scheduler/availability/timelines/algebras"
SECOND = 1_000_000
DAY = 86400 * SECOND
PENDING = "pending"
DOWNTIME = "DOWNTIME"
UP = ("OK", "WARNING")
NOT_KNOWN = ("UNKNOWN", "MISSING")
BEST_FIRST = ("OK", "WARNING", "UNKNOWN", "MISSING", DOWNTIME, "CRITICAL")


# --- time -------------------------------------------------------------------------------------------------------------


def ordered(results):
    """Each result once, in order: by sequence where there is one, else by instant, then as they came."""
    seen, once = set(), []
    for result in results:
        key = ("id", result.id) if result.id else result
        if key not in seen:
            seen.add(key)
            once.append(result)
    order = sorted((r for r in once if r.sequence is not None), key=lambda r: (r.sequence, r.at))
    for result in sorted((r for r in once if r.sequence is None), key=lambda r: r.at):
        # After the last numbered one that is not later, and after those without a number that were put there before.
        earlier = [place for place, other in enumerate(order) if other.sequence is not None and other.at <= result.at]
        place = earlier[-1] + 1 if earlier else 0
        while place < len(order) and order[place].sequence is None:
            place += 1
        order.insert(place, result)
    return order


def until_now(order, history):
    """Leave out results at the end that are later than now, unless the monitor's own clock says that they are past."""
    while order and order[-1].at > history.now:
        last = order[-1]
        stamped = last.monotonic is not None and history.monotonic_now is not None and last.boot == history.boot
        if stamped and last.monotonic <= history.monotonic_now:
            break
        order.pop()
    return order


class Axis:
    """The seconds that were lived: for each tick of elapsed time, what the wall clock showed."""

    def __init__(self, history, window, step):
        self.results = until_now(ordered(history.results), history)
        now = (history.now, history.monotonic_now, history.boot)
        points = [(r.at, r.monotonic, r.boot) for r in self.results] + [now]
        *self.at, end = chain(points)
        """Elapsed time of each result, and of now."""
        pieces = [(points[0][0], points[0][0])]
        for elapsed, (at, _, _) in zip([*self.at, end], points, strict=True):
            shown = pieces[-1][1] + elapsed - pieces[-1][0]
            if abs(at - shown) > SECOND:
                pieces.append((elapsed, at))
        starts = [span.start for one in history.objects for span in one.existence] + [gap.start for gap in history.gaps]
        begin = min([window.start, pieces[0][1], *starts])
        self.ticks, self.end = [], end
        piece = 0
        for elapsed in range(begin, end, step):
            while piece + 1 < len(pieces) and pieces[piece + 1][0] <= elapsed:
                piece += 1
            self.ticks.append((elapsed, pieces[piece][1] + elapsed - pieces[piece][0]))


def chain(points):
    """Elapsed time of results and of now: by stamps of one boot, else by the wall clock; never less than nothing."""
    elapsed = []
    for number, (at, monotonic, boot) in enumerate(points):
        if not number:
            elapsed.append(at)
            continue
        before = [p for p in range(number) if points[p][1] is not None and points[p][2] == boot]
        if monotonic is not None and before:
            elapsed.append(elapsed[before[-1]] + max(0, monotonic - points[before[-1]][1]))
            for between in range(before[-1] + 1, number):
                elapsed[between] = min(elapsed[between], elapsed[number])
        else:
            elapsed.append(elapsed[-1] + max(0, at - points[number - 1][0]))
    return elapsed


def holds(span, wall):
    return (span.start is None or span.start <= wall) and (span.end is None or wall < span.end)


# --- what is agreed ---------------------------------------------------------------------------------------------------


def notice(downtime, wall):
    """None: no downtime at this instant; True: scheduled; False: unscheduled."""
    if downtime.recurrence is not None:
        again = downtime.recurrence
        open_ = any(start <= wall < start + again.length for start in occurrences(again, wall))
        if open_ and (again.ended is None or wall < again.ended):
            return downtime.declared_at <= wall - DAY
        return None
    revisions = downtime.revisions
    if not (revisions and revisions[-1].start <= wall < revisions[-1].end):
        return None
    in_force = [r for r in revisions if r.declared_at <= wall - DAY][-1:]
    if not in_force:
        return False
    in_force += [r for r in revisions if wall - DAY < r.declared_at < wall]
    return all(r.start <= wall < r.end for r in in_force)


@cache
def occurrences(recurrence, wall):
    """The starts near an instant: only rules FREQ=DAILY and FREQ=WEEKLY;BYDAY=... are known here."""
    rule = dict(part.split("=") for part in recurrence.rule.split(";"))
    first = datetime.fromisoformat(recurrence.start)
    near = datetime.fromtimestamp(wall // SECOND, UTC).replace(tzinfo=None)
    found = []
    for days in range(-4, 3):
        local = datetime.combine(near.date() + timedelta(days=days), first.time())
        weekday = "MO TU WE TH FR SA SU".split()[local.weekday()]
        if local < first or (rule["FREQ"] == "WEEKLY" and weekday not in rule["BYDAY"].split(",")):
            continue
        if "UNTIL" in rule and f"{local:%Y%m%dT%H%M%S}" > rule["UNTIL"].rstrip("Z").ljust(15, "~"):
            continue  # good for zone UTC alone
        start = int(local.replace(tzinfo=zoneinfo.ZoneInfo(recurrence.zone)).timestamp()) * SECOND
        if recurrence.until is None or start < recurrence.until:
            found.append(start)
    return found


def in_downtime(history, name, wall):
    """None, or whether one of the downtimes of this name is scheduled at this instant."""
    said = [notice(d, wall) for d in history.downtimes if name in d.objects or "*" in d.objects]
    said = [one for one in said if one is not None]
    return any(said) if said else None


def is_excluded(history, name, wall):
    return any(x.accepted_by and (name in x.objects or "*" in x.objects) and holds(x, wall) for x in history.exclusions)


# --- statuses ---------------------------------------------------------------------------------------------------------


def statuses(history, axis, one):
    """For each tick: None (does not exist), PENDING, or a status with the cause of its result."""
    mine = [(at, r) for at, r in zip(axis.at, axis.results, strict=True) if r.object == one.name]
    gap_starts = []
    for gap in history.gaps:
        inside = False
        for elapsed, wall in axis.ticks:
            if holds(gap, wall) and not inside:
                gap_starts.append(elapsed)
            inside = holds(gap, wall)
    existed = existence(axis, one)
    answer = []
    for elapsed, _ in axis.ticks:
        since = mine[0][0] if mine and not one.existence else None
        for start, end in existed:
            if start <= elapsed < end:
                since = start
        if since is None or (not one.existence and elapsed < since):
            answer.append(None)
            continue
        known = [(at, r) for at, r in mine if since <= at <= elapsed]
        if not known:
            answer.append(PENDING)
            continue
        at, result = known[-1]
        seen = at if result.confirmed is None else max(at, at + result.confirmed - result.at)
        stale = one.freshness is not None and elapsed - seen >= one.freshness
        last = seen if seen <= elapsed else at
        unseen = any(last <= start <= elapsed for start in gap_starts)
        answer.append(("MISSING", "") if stale or unseen else (result.status.name, result.cause))
    return answer


def existence(axis, one):
    """When it existed, in elapsed time: it does not vanish because a clock is set back."""
    united = []
    for span in sorted(one.existence, key=lambda s: s.start):
        start = next((elapsed for elapsed, wall in axis.ticks if wall >= span.start), axis.end)
        end = next((elapsed for elapsed, wall in axis.ticks if span.end is not None and wall >= span.end), axis.end)
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], end))
        elif start < end:
            united.append((start, end))
    return united


@cache
def table(algebra, operator):
    names = sorted(path.stem for path in ALGEBRAS.glob("*.json"))
    name = algebra if algebra in names else [n for n in names if n.rpartition("-")[0] == algebra][-1]
    (rows,) = (
        one["truth_table"]
        for one in json.loads((ALGEBRAS / f"{name}.json").read_text())["operations"]
        if one["name"] == operator.upper()
    )
    return {pair: row["x"] for row in rows for pair in ((row["a"], row["b"]), (row["b"], row["a"]))}


def together(group, there):
    """The status of a group whose members `there` (weight, status) are there."""
    if group.operator in (Operator.AND, Operator.OR):
        rows = table(group.algebra, group.operator.value)
        status = there[0][1]
        for _, other in there[1:]:
            status = rows[status, other]
        return status
    majority = 1 if len(there) < 3 else len(there) // 2 + 1
    needs = {Operator.AT_LEAST: group.k, Operator.QUORUM: majority}
    need = needs.get(group.operator, group.need * sum(weight for weight, _ in there))
    carried = Fraction(0)
    for weight, status in sorted(there, key=lambda m: BEST_FIRST.index(m[1])):
        carried += 1 if group.operator in needs else weight
        if carried >= need:
            return status
    return "CRITICAL"


class Timelines:
    """The statuses of all objects and groups, tick by tick."""

    def __init__(self, history, window, step):
        self.history, self.axis, self.step = history, Axis(history, window, step), step
        self.objects = {one.name: one for one in history.objects}
        self.groups = {one.name: one for one in history.groups}
        self.known = {}

    def ticks(self, name, window):
        """How often each thing was so in a window: status, status under `argo`, agreed downtime, exclusion."""
        found = Counter()
        for (_, wall), plain, overlaid in zip(self.axis.ticks, self.plain(name), self.overlaid(name), strict=True):
            if plain is not None and window.start <= wall < min(window.end, self.history.now):
                agreed = in_downtime(self.history, name, wall)
                found[plain, overlaid, agreed, is_excluded(self.history, name, wall)] += 1
        return found

    def plain(self, name):
        """Without overlays."""
        if name not in self.known:
            if name in self.objects:
                self.known[name] = statuses(self.history, self.axis, self.objects[name])
            else:
                members = [(m, self.plain(m.name)) for m in self.groups[name].members]
                self.known[name] = [
                    self.group(name, [(m, line[i]) for m, line in members], wall) for i, (_, wall) in enumerate(self.axis.ticks)
                ]
        return self.known[name]

    def group(self, name, members, wall):
        there = [(m.weight, *state) for m, state in members if holds(m, wall) and state not in (None, PENDING)]
        if not there:
            return None
        status = together(self.groups[name], [(weight, one) for weight, one, _ in there])
        causes = {cause for _, one, cause in there if one == status != "OK" and cause}
        return status, next((str(cause) for cause in Cause if cause in causes), "")

    def overlaid(self, name):
        """Under `argo`: a status, or DOWNTIME with whether it is scheduled."""
        if ("argo", name) in self.known:
            return self.known["argo", name]
        line = []
        below = [(m, self.overlaid(m.name)) for m in self.groups[name].members] if name in self.groups else []
        for i, (_, wall) in enumerate(self.axis.ticks):
            state = self.plain(name)[i]
            if name in self.groups:
                there = [(m.weight, *states[i]) for m, states in below if holds(m, wall) and states[i] is not None]
                if not there:
                    line.append(None)
                    continue
                status = together(self.groups[name], [(weight, status) for weight, status, _ in there])
                through = all(scheduled for _, one, scheduled in there if one == DOWNTIME)
                state = (status, status == DOWNTIME and through)
            agreed = in_downtime(self.history, name, wall)
            if state in (None, PENDING):
                line.append(None)
            elif agreed is not None:
                line.append((DOWNTIME, agreed or (state[0] == DOWNTIME and state[1])))
            else:
                line.append((state[0], state[0] == DOWNTIME and state[1]))
        self.known["argo", name] = line
        return line


# --- counting ---------------------------------------------------------------------------------------------------------


def measure(history, window, profile, step=SECOND):
    """Return what `accounting.measure` should return."""
    lines = Timelines(history, window, step)
    return {name: count(lines, name, window, profile) for name in (*lines.objects, *lines.groups)}


def count(lines, name, window, profile):
    ticks = lines.ticks(name, window)
    seconds, lost = tally(lines, name, ticks, profile)
    argo, _ = tally(lines, name, ticks, "argo")
    supposed = [tally(lines, name, ticks, profile, instead)[0] for instead in ("CRITICAL", "OK")]
    return Measure(
        *(name, window, profile),
        *(seconds[key] for key in "total up ok bad unknown missing pending scheduled unscheduled excused".split()),
        ratio(*figure(profile, seconds)),
        ratio(argo["up"], argo["total"] - argo["unknown"]),
        ratio(argo["up"], argo["total"] - argo["unknown"] - argo["scheduled"]),
        lost,
        *(ratio(*figure(profile, one)) for one in supposed),
        sum(number * lines.step for (plain, *_), number in ticks.items() if plain != PENDING and plain[0] not in NOT_KNOWN),
        seconds["excusable"],
    )


def tally(lines, name, ticks, profile, instead=""):
    """Sum up what the ticks of a window count as; `instead` takes the place of what is unknown."""
    is_host = name in lines.objects and lines.objects[name].kind is ObjectKind.HOST
    seconds = dict.fromkeys(("total up ok bad unknown missing pending scheduled unscheduled excused excusable".split()), 0)
    lost = {}
    for (plain, overlaid, agreed, excluded), number in ticks.items():
        length = number * lines.step
        if plain == PENDING:
            seconds["pending"] += length
            continue
        status, cause = plain
        if profile == "argo":
            status, scheduled = overlaid
            agreed = scheduled if status == DOWNTIME else None
        if instead and status in NOT_KNOWN:
            status = instead
        seconds["total"] += length
        seconds["scheduled"] += length * (agreed is True)
        seconds["unscheduled"] += length * (agreed is False)
        kinds = classes(profile, status, is_host, agreed is not None)
        for kind in kinds:
            seconds[kind] += length
        excused = profile == "excuse" and excluded
        if status in NOT_KNOWN:
            seconds["excusable"] += length * excused
        if "bad" in kinds:
            seconds["excused"] += length * excused
            why = "excluded" if excused else cause or "unknown"
            lost[why] = lost.get(why, 0) + length
    return seconds, lost


def undecided(lines, name, window, profile):
    """How long it was unknown where that is bad for a profile, and up is not."""
    is_host = name in lines.objects and lines.objects[name].kind is ObjectKind.HOST
    found = 0
    for (plain, overlaid, agreed, _), number in lines.ticks(name, window).items():
        status = PENDING if plain == PENDING else (overlaid if profile == "argo" else plain)[0]
        if status in NOT_KNOWN:
            worst, best = (classes(profile, one, is_host, agreed is not None) - {"ok"} for one in ("CRITICAL", "OK"))
            found += number * lines.step * (worst != best)
    return found


def classes(profile, status, is_host, agreed):
    """Return what a second counts as under a profile."""
    if profile == "argo" and status == DOWNTIME:
        return set()
    if profile == "skip" and agreed:
        return set()
    if profile == "icinga":
        problem = not agreed and (status == "CRITICAL" or (status in NOT_KNOWN and not is_host))
        kinds = {"bad"} if problem else {"up"}
    elif profile == "nagios":
        kinds = {"up"} if status == "OK" else {"unknown"} if status == "MISSING" else {"bad"}
    else:
        kinds = {"up"} if status in UP else {"unknown"} if status in NOT_KNOWN else {"bad"}
    if status == "MISSING" and "unknown" in kinds:
        kinds.add("missing")
    return kinds | ({"ok"} if status == "OK" else set())


def figure(profile, s):
    return {
        "excuse": (s["up"], s["total"] - s["unknown"] - s["excused"]),
        "argo": (s["up"], s["total"] - s["unknown"]),
        "icinga": (s["total"] - s["bad"], s["total"]),
        "nagios": (s["ok"], s["total"] - s["missing"]),
        "skip": (s["up"], s["up"] + s["bad"]),
    }[profile]


def ratio(part, whole):
    return Fraction(part, whole) if whole else None


assert set(Status.__members__) | {DOWNTIME} == set(BEST_FIRST)
