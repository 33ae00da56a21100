"""A year of eight services and a group, drawn by lot, with all states, overlays, causes and verdicts, and a name that bites."""

import random
from fractions import Fraction

from scheduler.availability.history import (
    Cause,
    Downtime,
    Exclusion,
    Group,
    History,
    Member,
    Monitored,
    Objective,
    Operator,
    Result,
    Revision,
    Status,
)
from scheduler.availability.reports.report_data import table_windows
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND
from scheduler.publish import sheet

HOUR = 3600 * SECOND
DAY = 24 * HOUR
NOW = 1_795_000_000 * SECOND
EVIL = "<b>&evil</script>"
NAMES = ("gratia", "gums", "saz", "squid", "myproxy", "cemon", EVIL, "farm")
_OFTEN = (Status.OK,) * 6 + tuple(Status)[:4]


def history(seed=1):
    chance = random.Random(seed)
    results = [result for name in NAMES[:-1] for result in life(name, chance)]
    said = (Revision(NOW - 9 * DAY, NOW - 7 * DAY, NOW - 6 * DAY, "anna"),)
    return History(
        now=NOW,
        zone="Europe/Rome",
        objects=tuple(Monitored(name, freshness=20 * DAY) for name in NAMES[:-1]),
        results=tuple(results),
        groups=(Group("farm", Operator.AT_LEAST, tuple(map(Member, NAMES[:-1])), k=5),),
        downtimes=(Downtime("dt-1", ("gums",), said, reason="new kernel"),),
        exclusions=(
            Exclusion("ex-1", ("*",), NOW - 90 * DAY, NOW - 60 * DAY, "power", "bob", "the substation", "the board", NOW),
            Exclusion("ex-2", ("saz",), NOW - 9 * DAY, NOW, "network", "bob", "a switch"),
        ),
        objectives=(
            *(Objective(f"sla-{name}", name, Fraction(999, 1000), "year") for name in ("gratia", "farm")),
            Objective("sla-week", "gums", Fraction(99, 100), "this-week"),
        ),
    )


def life(name, chance):
    at = NOW - 320 * DAY
    while at < NOW:
        status = chance.choice(_OFTEN)
        yield Result(at, name, status, cause=chance.choice(list(Cause)).value if status is Status.CRITICAL else "")
        at += 1 + int(chance.expovariate(1 / ((1 if status is Status.CRITICAL else 15) * DAY)))


def sample(found=None):
    found = found or history()
    return sheet.make(prepare(found), table_windows(found), "excuse", site="hill")
