"""The year report: a thousand services in a hundred groups with a million events; one more event, and this week read again:
in memory, and through the journal; and the year as a bundle.

python -m tests.bench.bench_report [--json FILE] [--events N] [--runs N]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np

from scheduler.availability.history import (
    Downtime,
    Exclusion,
    Group,
    History,
    Member,
    Monitored,
    Operator,
    Result,
    Revision,
    Span,
    Status,
)
from scheduler.availability.measuring import accounting
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.columns import Columns
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND
from tests.bench.kept import measured
from tests.bench.report import Report, Table, Target, growth, main, median
from tests.pure.growing import append

PARTS = (8, 4, 2, 1)
"""Sizes: an eighth, a quarter, half, and all of events, services and groups."""
SERVICES, GROUPS = 1000, 100
WINDOWS = ("this-week", "past-week", "month", "quarter", "year")
DAY = 86400 * SECOND
NOW = 1_798_671_600 * SECOND
"""30 December 2026, 23:00 UTC: the year to date is nearly a whole one."""
BEGIN = NOW - 370 * DAY
APPENDED = 300


def farm(events: int, services: int, groups: int) -> tuple[History, Columns]:
    """Make a year: numbered and stamped results of all statuses, freshness, gaps, downtimes, exclusions, groups in groups."""
    chance = np.random.default_rng(7)
    at = np.sort(chance.integers(BEGIN, NOW, events))
    results = Columns(
        object=chance.integers(0, services, events).astype(np.int32),
        at=at,
        status=chance.choice([0, 0, 0, 0, 1, 2, 3], events).astype(np.int8),
        cause=chance.choice([0, 0, 0, 1, 3, 4, 6], events).astype(np.int8),
        sequence=np.arange(events),
        monotonic=at - BEGIN,
        boot=np.zeros(events, np.int32),
        boots=("one",),
    )
    size = services // groups
    operators = (Operator.OR, Operator.AND, Operator.AT_LEAST, Operator.CAPACITY)
    inner = [
        Group(f"g{n}", operators[n % 4], tuple(Member(f"s{n * size + i}") for i in range(size)), size // 2, Fraction(4, 5))
        for n in range(groups - 1)
    ]
    whole = Group("all", Operator.AND, tuple(Member(group.name) for group in inner))
    downtimes = tuple(
        Downtime(f"d{n}", (f"s{n}",), (Revision(start - 2 * DAY, start, start + DAY // 6),))
        for n in range(services)
        for start in (BEGIN + (n * 7919) % 360 * DAY,)
    )
    exclusions = tuple(
        Exclusion(f"x{n}", ("*",), BEGIN + 60 * n * DAY, BEGIN + 60 * n * DAY + DAY // 8, "building", "me", "power", "board")
        for n in range(6)
    )
    gaps = tuple(Span(BEGIN + 30 * n * DAY, BEGIN + 30 * n * DAY + 600 * SECOND) for n in range(1, 12))
    objects = tuple(Monitored(f"s{n}", existence=(Span(BEGIN),), freshness=DAY) for n in range(services))
    history = History(
        NOW, "Europe/Rome", objects, groups=(*inner, whole), downtimes=downtimes, exclusions=exclusions, gaps=gaps,
        monotonic_now=NOW - BEGIN, boot="one",
    )  # fmt: skip
    return history, results


def year(history: History, results: Columns) -> tuple[dict[str, float], object]:
    """Return the seconds of a whole report, from arrays of results to a measure of each row in each window."""
    begun, used = time.perf_counter(), time.process_time()
    ready = prepare(history, results)
    prepared = time.perf_counter()
    for name in WINDOWS:
        accounting.measure(ready, windows.named(name, history.now, history.zone), "excuse")
    done = time.perf_counter()
    return {"prepare": prepared - begun, "windows": done - prepared, "cpu": time.process_time() - used}, ready


def child(events: int, services: int, groups: int, runs: int) -> dict[str, object]:
    """Measure one size in a process of its own, so that its memory is its own."""
    history, results = farm(events, services, groups)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    taken = []
    for _ in range(runs):
        seconds, ready = year(history, results)
        taken.append(seconds)
    found: dict[str, object] = {name: median([one[name] for one in taken]) for name in taken[0]}
    found |= {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "before": before}
    found |= {"pieces": len(ready.strips.starts), "appended": appended(ready, services)}
    return found


def appended(ready, services: int) -> dict[str, list[float]]:
    """Add events one by one; after each read this week again: of all rows as arrays, of its service and group as measures."""
    taken: dict[str, list[float]] = {"append": [], "both": [], "cpu": [], "all": []}
    boot_at_now = NOW - BEGIN
    for number in range(APPENDED):
        at = NOW + number * SECOND
        name = f"s{number * 37 % services}"
        group = next((row.name for row in ready.rows if row.group and ready.places[name] in [m for m, _ in row.members]), "all")
        result = Result(at, name, Status(number % 4), 10**9 + number, boot_at_now + number * SECOND, "one")
        begun, used = time.perf_counter(), time.process_time()
        ready = append(ready, result)
        added = time.perf_counter()
        table = accounting.tabulate(ready, windows.named("this-week", ready.history.now, "Europe/Rome"), "excuse")
        table.of(name), table.of(group)
        done, spent = time.perf_counter(), time.process_time()
        table.all()
        for key, value in zip(taken, (added - begun, done - begun, spent - used, time.perf_counter() - begun), strict=True):
            taken[key].append(value)
    return taken


def kept(events: int, services: int, groups: int) -> dict[str, object]:
    """Measure the same through a journal, in a process of its own."""
    history, results = farm(events, services, groups)
    return measured(history, results, BEGIN)


def through_the_journal(options: argparse.Namespace) -> tuple[list[Table], list[Target]]:
    """Measure at two sizes what the product does: push a status, read this week again; bundle the year and verify it."""
    rows, bundles, found, sizes = [], [], [], [PARTS[0], PARTS[-1]]
    for part in sizes:
        size = (options.events // part, SERVICES // part, GROUPS // part)
        code = f"import json; from tests.bench.bench_report import kept; print(json.dumps(kept(*{size})))"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=1800)
        one = json.loads(told.stdout)
        found.append(one)
        middle = [1000 * median(one[key]) for key in ("push", "read", "both", "cpu", "all")]
        rows.append([*size, one["first"], *middle, round(one["follow peak"]), round(one["stored"] / 2**20, 1)])
        spent = [one[key] for key in ("bundle", "bundle cpu", "verify", "verify cpu")]
        bundles.append([*size, *spent, round(one["bundle peak"]), round(one["bytes"] / 2**20)])
    columns = [
        "events", "services", "groups", "first reading s", "push, durable ms", "week of what it touches ms", "both ms",
        "CPU ms", "push, week of all rows ms", "peak MiB", "journal MiB",
    ]  # fmt: skip
    sized = ["events", "services", "groups", "bundle s", "CPU s", "verify s", "CPU s", "peak MiB", "bundle MiB"]
    tables = [
        Table("One more event through the journal (SQLite)", columns, rows),
        Table("The year as a bundle, from the journal", sized, bundles),
    ]
    return tables, targets_of_journal(found, [options.events / part for part in sizes])


def targets_of_journal(found: list[dict], events: list[float]) -> list[Target]:
    """Judge what was measured through the journal."""
    last = found[-1]
    both = sorted(last["both"])
    middle, late = 1000 * median(both), 1000 * both[int(len(both) * 0.99)]
    whole = 1000 * median(last["all"])
    note = f"CPU {1000 * median(last['cpu']):.2f} ms; 99 of 100 within {late:.1f} ms; all 1,100 rows again {whole:.1f} ms."
    exponent = growth(events, [one["bundle cpu"] + one["verify cpu"] for one in found])
    per_event = last["stored"] / events[-1]
    return [
        Target("one event through the journal, this week of what it touches", "at most 5 ms", f"{middle:.2f} ms", middle <= 5, note),
        Target(
            "storage", "stated", f"{last['stored'] / SERVICES / 1024:.0f} KiB per service and year", True,
            f"{events[-1] / SERVICES:.0f} changes of each, {per_event:.0f} bytes for each change, lines of the log included.",
        ),
        Target("bundle and verify, growth", "about linear", f"exponent {exponent:.2f}", exponent <= 1.2, "Of the CPU time."),
        Target("their memory", "at most 500 MiB", f"{last['bundle peak']:.0f} MiB", last["bundle peak"] <= 500),
    ]  # fmt: skip


def run(options: argparse.Namespace) -> Report:
    """Measure at four sizes."""
    rows, found = [], []
    for part in PARTS:
        size = (options.events // part, SERVICES // part, GROUPS // part)
        code = f"import json; from tests.bench.bench_report import child; print(json.dumps(child(*{size}, {options.runs})))"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=900)
        one = json.loads(told.stdout)
        found.append(one)
        append_ms, both_ms, all_ms = (1000 * median(one["appended"][key]) for key in ("append", "both", "all"))
        rows.append(
            [*size, one["pieces"], one["prepare"], one["windows"], one["cpu"], round(one["peak"]), append_ms, both_ms, all_ms]
        )
    columns = [
        "events", "services", "groups", "pieces", "prepare s", "five windows s", "CPU s", "peak MiB", "append ms",
        "append, this week ms", "all rows as measures too ms",
    ]  # fmt: skip
    what = f"{options.events} events of a year from arrays in memory to exact figures; medians of {options.runs} runs."
    tables, judged = through_the_journal(options)
    inner = Table("From results to figures", columns, rows)
    return Report("The year report", what, [inner, *tables], [*targets(found, options.events), *judged])


def targets(found: list[dict], events: int) -> list[Target]:
    """Judge the figures."""
    last = found[-1]
    total = last["prepare"] + last["windows"]
    both = sorted(last["appended"]["both"])
    middle, late = 1000 * median(both), 1000 * both[int(len(both) * 0.99)]
    cpu = 1000 * median(last["appended"]["cpu"])
    exponent = growth([events / part for part in PARTS], [one["prepare"] + one["windows"] for one in found])
    return [
        Target("year report", "at most 2 s", f"{total:.2f} s", total <= 2, f"CPU {last['cpu']:.2f} s."),
        Target("its memory", "at most 300 MiB", f"{last['peak']:.0f} MiB", last["peak"] <= 300, "Peak of the whole process."),
        Target(
            "one more event, this week again, in memory", "at most 5 ms", f"{middle:.2f} ms", middle <= 5,
            f"CPU {cpu:.2f} ms; 99 of 100 within {late:.1f} ms, the longest {1000 * both[-1]:.0f} ms (new ends are merged).",
        ),
        Target("growth with the events", "about linear", f"exponent {exponent:.2f}", exponent <= 1.2),
    ]  # fmt: skip


if __name__ == "__main__":
    main(
        run,
        lambda parser: (
            parser.add_argument("--events", type=int, default=1_000_000),
            parser.add_argument("--runs", type=int, default=5),
        ),
    )
