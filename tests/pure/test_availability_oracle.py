"""Generated histories: the program and the simple second computation agree on every field, for all profiles.

`AMBIENTI_HISTORIES=50000 pytest tests/pure/test_availability_oracle.py` looks longer.
"""

import os
from dataclasses import fields, replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from availability_oracle import DAY, SECOND, Timelines, count, undecided
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from environments.problems import ConfigurationError
from scheduler.availability.files import plain
from scheduler.availability.files.reading import history_of_text
from scheduler.availability.files.streamed import canonical_text
from scheduler.availability.history import (
    Cause,
    Downtime,
    Exclusion,
    Group,
    History,
    Measure,
    Member,
    Monitored,
    ObjectKind,
    Operator,
    Recurrence,
    Result,
    Revision,
    Span,
    Status,
    Window,
)
from scheduler.availability.measuring import accounting
from scheduler.availability.measuring.profiles import PROFILES
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.algebra import shipped
from scheduler.availability.timelines.prepared import prepare

MANY = int(os.environ.get("AMBIENTI_HISTORIES", "2500"))
TICKS = 48
MOMENTS = (
    ("Europe/Rome", "2026-03-29T00:00"),
    ("Europe/Rome", "2026-10-25T00:00"),
    ("America/Chicago", "2026-03-08T00:00"),
    ("America/Chicago", "2026-11-01T00:00"),
    ("Australia/Lord_Howe", "2026-10-04T00:00"),
    ("Australia/Lord_Howe", "2026-04-05T00:00"),
    ("UTC", "2028-02-28T20:00"),
    ("Asia/Kathmandu", "2026-12-31T22:00"),
)
"""Hours in which clocks change, a leap day begins, a year ends."""
CAUSES = ("", "", *(str(cause) for cause in Cause if cause is not Cause.EXCLUDED))
NAMES = ("a", "b", "c")


whole = cache(st.integers)
"""Strategies that are made once are drawn from faster."""


class Drawn:
    """Choices of one history, in ticks after its beginning."""

    def __init__(self, draw):
        self.draw = draw
        self.zone, moment = self.one(*MOMENTS)
        self.step = self.one(1, 60, 900, 1800) * SECOND
        self.begin = int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(self.zone)).timestamp()) * SECOND
        self.now = self.at(self.number(1, TICKS))

    def at(self, tick):
        return self.begin + tick * self.step

    def number(self, low, high):
        return self.draw(whole(low, high))

    def one(self, *choices):
        return choices[self.number(0, len(choices) - 1)]

    def some(self, most, make):
        return tuple(make(number) for number in range(self.number(0, most)))

    def span(self):
        start = self.number(-4, TICKS)
        return self.at(start), self.at(start + self.number(1, TICKS // 2))


def results(some, style):
    """Events: unordered and repeated; numbered with a clock that jumps; or with monotonic stamps of several boots."""
    made, offset, elapsed, boot = [], 0, some.number(-6, 4), 0
    for number in range(some.number(0, 14)):
        elapsed += some.number(0, 5)
        if style == "plain":
            at, stamps = some.number(-6, TICKS), {"id": some.one("", "", f"e{number}", "e1")}
        else:
            if some.number(0, 5) == 0:
                offset += some.one(-20, -7, -3, 3, 7, 20)
            boot += some.number(0, 7) == 0
            at, stamps = elapsed + offset, {"sequence": number * 3 if style == "stamped" or some.number(0, 9) else None}
            if style == "stamped" and some.number(0, 6):
                stamps |= {"monotonic": (1000 * (boot + 1) + elapsed) * some.step, "boot": f"boot {boot}"}
        status = some.one(*Status, Status.OK, Status.OK, Status.CRITICAL, Status.CRITICAL)
        made.append(Result(some.at(at), some.one(*NAMES), status, cause=some.one(*CAUSES), **stamps))
    last = {"monotonic_now": (1000 * (boot + 1) + elapsed + 3) * some.step, "boot": f"boot {boot}"}
    now = some.at(elapsed + offset + 3) if style == "stamped" and some.number(0, 3) else some.now
    if style == "plain":
        made = [confirmed(some, one, made) for one in made]
    made += [some.one(*made) for _ in range(some.number(0, 2))] if made else []
    if style == "plain":
        made.sort(key=lambda _: some.number(0, 15))
    return tuple(made), now, last if style == "stamped" else {}


def confirmed(some, result, results):
    """A result may have been repeated until the next one of its object, at the latest."""
    after = [one.at for one in results if one.object == result.object and one.at > result.at]
    ticks = (min([*after, some.now]) - result.at) // some.step
    return (
        replace(result, confirmed=result.at + some.number(1, ticks) * some.step)
        if ticks > 0 and some.number(0, 3) == 0
        else result
    )


def monitored(some, name):
    start = some.number(-4, TICKS // 2)
    middle = start + some.number(1, TICKS // 2)
    again = middle + some.number(1, 8)
    spans = (Span(some.at(start), some.at(middle)), Span(some.at(again), some.one(None, some.at(again + 9))))
    existence = spans[: some.one(0, 0, 1, 2)]
    if len(existence) == 1 and some.number(0, 1):
        existence = (Span(spans[0].start),)
    freshness = some.one(None, None, some.number(1, 12) * some.step)
    return Monitored(name, some.one(ObjectKind.SERVICE, ObjectKind.HOST), existence, freshness)


def group(some, name, below):
    def member(_):
        start, end = some.span()
        start, end = some.one((None, None), (None, None), (start, None), (None, end), (start, end))
        return Member(some.one(*below), start, end, Fraction(some.number(1, 4), some.one(1, 1, 3)))

    members = some.some(4, member)
    need = Fraction(some.number(1, 6), 6)
    algebra = some.one("kleene", "kleene", *shipped())
    return Group(name, some.one(*Operator), members, some.number(1, 3), need, algebra=algebra)


def downtime(some, number):
    objects = some.one(("a",), ("a", "b"), ("*",), ("g",), ("g", "c"), ("h",))
    if some.number(0, 3) == 0:
        local = datetime.fromtimestamp(some.at(some.number(0, 8)) // SECOND, ZoneInfo(some.zone)).replace(tzinfo=None)
        rule = some.one("FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SA,SU,MO")
        until = some.one(None, some.begin + DAY)
        ended = some.one(None, None, some.at(some.number(0, TICKS)))
        again = Recurrence(rule, some.zone, local.isoformat(), some.number(1, 9) * some.step, until, ended)
        return Downtime(f"d{number}", objects, recurrence=again, declared_at=some.at(some.number(-9, 9)) - DAY)
    revisions, declared = [], some.at(some.number(-9, 3)) - some.one(DAY, DAY, 0)
    for _ in range(some.one(1, 1, 2, 3)):
        start, end = some.span()
        revisions.append(Revision(declared, start, some.one(end, end, end, start)))
        declared += some.number(1, 12) * some.step
    return Downtime(f"d{number}", objects, tuple(revisions))


def exclusion(some, number):
    objects = some.one(("a",), ("b", "c"), ("*",), ("g",))
    return Exclusion(f"x{number}", objects, *some.span(), "network", "me", "why", some.one("board", "board", ""))


@st.composite
def histories(draw):
    some = Drawn(draw)
    style = some.one("plain", "plain", "numbered", "stamped")
    events, now, stamps = results(some, style)
    groups = tuple(group(some, name, below) for name, below in (("g", NAMES), ("h", (*NAMES, "g"))))
    history = History(
        now=now,
        zone=some.zone,
        objects=tuple(monitored(some, name) for name in NAMES),
        results=events,
        groups=groups[: some.number(0, 2)] if some.number(0, 1) else groups,
        downtimes=some.some(2, lambda number: downtime(some, number)),
        exclusions=some.some(2, lambda number: exclusion(some, number)),
        gaps=some.some(
            2, lambda number: Span(some.span()[0], some.one(None, some.at(TICKS))) if number else Span(*some.span())
        ),
        **stamps,
    )
    start = some.at(some.number(-4, TICKS))
    return history, Window("", start, start + some.number(0, TICKS) * some.step), some.step


@settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_the_program_and_the_second_computation_agree(drawn):
    history, window, step = drawn
    window = Window("", min(window.start, history.now), min(window.end, history.now))
    lines, ready = Timelines(history, window, step), prepare(history)
    for profile in PROFILES:
        measures = accounting.measure(ready, window, profile)
        for name in (*lines.objects, *lines.groups):
            found, wanted = measures[name], count(lines, name, window, profile)
            assert found.undecided == undecided(lines, name, window, profile), (profile, name)
            assert flat(found) == flat(wanted), (
                profile,
                name,
                {k: (v, flat(wanted)[k]) for k, v in flat(found).items() if v != flat(wanted)[k]},
            )


@settings(max_examples=MANY // 5, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_of_a_file_that_is_taken_decides_no_figure(drawn, chance):
    history, window, _ = drawn
    try:
        read = history_of_text(canonical_text(plain.history(history)), "h.json")
    except ConfigurationError:
        assume(False)
    mixed = list(read.results)
    chance.shuffle(mixed)
    window = Window("", min(window.start, history.now), min(window.end, history.now))
    one, other = (prepare(replace(read, results=tuple(results))) for results in (read.results, mixed))
    for profile in PROFILES:
        assert accounting.measure(one, window, profile) == accounting.measure(other, window, profile)


def flat(measure):
    return {one.name: getattr(measure, one.name) for one in fields(Measure)}


BEGINS = {
    "today": lambda day: True,
    "this-week": lambda day: day.weekday() == 0,
    "month": lambda day: day.day == 1,
    "quarter": lambda day: day.day == 1 and day.month in (1, 4, 7, 10),
    "year": lambda day: (day.day, day.month) == (1, 1),
}
ZONES = sorted({zone for zone, _ in MOMENTS} | {"America/Sao_Paulo", "Pacific/Chatham", "Africa/Casablanca", "Asia/Tehran"})


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 70 * 366 * 86400), st.sampled_from(sorted(BEGINS)))
def test_a_calendar_window_begins_with_the_first_instant_of_its_first_day(zone, now, name):
    local = local_day(now, zone)
    first = next(day for back in range(400) if BEGINS[name](day := local - timedelta(days=back)))
    found = windows.named(name, now * SECOND, zone)
    assert found.end == now * SECOND
    assert local_day(found.start // SECOND, zone) == first
    assert local_day(found.start // SECOND - 1, zone) == first - timedelta(days=1)


def local_day(second, zone):
    return datetime.fromtimestamp(second, ZoneInfo(zone)).date()
