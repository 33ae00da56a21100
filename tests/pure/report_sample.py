"""A report to draw: eight services and groups, five windows, all states, overlays, causes and verdicts, and a name that bites."""

import random
from fractions import Fraction

from scheduler.availability.history import SECOND, Cause, Exclusion, Measure, Verdict, Window
from scheduler.availability.report import AgreedDowntime, Cell, Judged, Piece, Report, Row

DAY = 86_400 * SECOND
NOW = 1_795_000_000 * SECOND
TARGET = Fraction(999, 1000)
DAYS = {"this-week": (4, 0), "past-week": (11, 4), "month": (20, 0), "quarter": (50, 0), "year": (324, 0)}
WINDOWS = tuple(Window(name, NOW - start * DAY, NOW - end * DAY) for name, (start, end) in DAYS.items())
EVIL = "<b>&evil</script>"
NAMES = ("gratia", "gums", "saz", "squid", "myproxy", "cemon", EVIL, "farm")


def cell(name, window, chance):
    total = window.end - window.start
    bad, unknown = int(total * chance.choice((0, 0.0002, 0.002, 0.01))), int(total * chance.choice((0, 0.001, 0.01)))
    up = total - bad - unknown
    figure = Fraction(up, total - unknown)
    verdict = Verdict.PASS if Fraction(up, total) >= TARGET else Verdict.FAIL
    if verdict is Verdict.FAIL and Fraction(up + unknown, total) >= TARGET:
        verdict = Verdict.UNDECIDED
    judged = (Judged("sla-99.9", TARGET, verdict, unknown, (1 - TARGET) * (total - unknown) - bad),)
    lost = {Cause.BOOT: bad // 2, Cause.DETECTION: bad - bad // 2} if bad else {}
    measure = Measure(name, window, "excuse", total, up, up, bad, unknown, 0, 0, 0, 0, 0, figure, figure, figure, lost)
    return Cell(measure, judged if window.name in {"this-week", "year"} else ())


def strip(chance):
    pieces, at = [], WINDOWS[-1].start
    while at < NOW:
        end = min(NOW, at + 1 + int(chance.expovariate(1 / (20 * DAY))))
        state = chance.choice(("OK", "OK", "OK", "WARNING", "CRITICAL", "UNKNOWN", "MISSING", "pending"))
        pieces.append(Piece(at, end, state, chance.choice(("", "", "scheduled downtime", "excluded"))))
        at = end
    return tuple(pieces)


def sample(seed=1):
    chance = random.Random(seed)
    rows = [Row(n, "group" if n == "farm" else "service", tuple(cell(n, w, chance) for w in WINDOWS)) for n in NAMES]
    return Report(
        site="hill",
        profile="excuse",
        algebras=("kleene",),
        zone="Europe/Rome",
        zone_data="2026a",
        now=NOW,
        windows=WINDOWS,
        rows=tuple(rows),
        strips={name: strip(chance) for name in NAMES},
        downtimes=(AgreedDowntime("dt-1", ("gums",), 3600 * SECOND, 600 * SECOND, "new kernel", "anna"),),
        exclusions=(Exclusion("ex-1", ("*",), NOW - 5 * SECOND, NOW, "power", "bob", "the substation"),),
        notes=("the clock was set forward by 3 s",),
    )
