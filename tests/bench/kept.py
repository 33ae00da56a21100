"""A year in a journal: what the product keeps of it, for the benchmark of the report."""

from __future__ import annotations

import resource
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.availability.measuring import accounting
from scheduler.availability.reports import bundle, report_data
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.prepared import prepare
from scheduler.commands.report_bundle import compute
from scheduler.journal import tables as t
from scheduler.journal.following import Followed
from scheduler.journal.histories import load_columns, load_history, stored
from scheduler.journal.journal import Journal
from scheduler.journal.records import Declared, Look, Memo, Push, Said
from scheduler.journal.segments import MOST, Kept, packed
from scheduler.journal.statuses import declare, push
from scheduler.model.instants import SECOND
from tests.pure.growing import touched

if TYPE_CHECKING:
    from scheduler.availability.history import History
    from scheduler.availability.timelines.columns import Columns
    from scheduler.availability.timelines.prepared import Prepared

OWNER = "bench"
TOGETHER = 50_000
APPENDED = 300
FIRST = 100_000
"""Number of the first line of the log that tells of a status."""


class Year:
    """A journal that holds a year; its downtimes, exclusions and groups stand beside it, as in the site's files."""

    def __init__(self, directory: Path, history: History, results: Columns, begin: int) -> None:
        """Fill it as a year of pushes would have; it is durable, as the daemon's is."""
        self.begin, self.frame = begin, history
        self.file = directory / "journal.db"
        self.journal = Journal(f"sqlite:///{self.file}", now=begin / SECOND)
        self.journal.hold_lease(OWNER, begin / SECOND, 10**9)
        self.journal.monotonic = lambda: 0.0
        self.journal.remember(OWNER, begin / SECOND, Memo(look=Look(begin / SECOND, 0.0, (Said("pool", 0),), began="start")))
        self.empty = self.file.stat().st_size
        declared = [Declared(one.name, one.kind.value, one.freshness) for one in history.objects]
        declare(self.journal, OWNER, begin / SECOND, declared)
        with self.journal.write("fill") as connection:
            numbers = {row.name: row.id for row in connection.execute(t.objects.select())}
            self._fill(connection, results, [numbers[one.name] for one in history.objects])
        self.journal.shelves = None

    def _fill(self, connection: Any, results: Columns, numbers: list[int]) -> None:
        names = [one.name for one in self.frame.objects]
        kept: list[list[Kept]] = [[] for _ in names]
        for low in range(0, len(results.at), TOGETHER):
            some = slice(low, low + TOGETHER)
            lines = []
            columns = (results.object, results.at, results.status, results.cause, results.monotonic)
            rows = zip(*(column[some].tolist() for column in columns), strict=True)
            for number, (place, at, status, cause, monotonic) in enumerate(rows, FIRST + low):
                kept[place].append(Kept(at, at, at, number, monotonic, 1, status, cause))
                detail = {"status": "OK", "text": "", "by": "nagios", "id": ""}
                line = {
                    "id": number,
                    "at": at / SECOND,
                    "kind": "status",
                    "subject": names[place],
                    "cause": "",
                    "detail": detail,
                }
                lines.append(line | {"correlation": "", "monotonic": monotonic, "boot": 1, "received": at})
            connection.execute(t.events.insert(), lines)
        for place, records in enumerate(kept):
            rows_of_it = [records[low : low + MOST] for low in range(0, len(records), MOST)]
            made = [
                {"object": numbers[place], "first": one[0].at, "last": one[-1].at, "count": len(one), "records": packed(one)}
                for one in rows_of_it
            ]
            if made:
                connection.execute(t.statuses.insert(), made)

    def history(self, now: float) -> History:
        """Return what the journal and the files say, without results."""
        read = load_history(self.journal, now, self.frame.zone, with_results=False)
        frame = self.frame
        return replace(read, groups=frame.groups, downtimes=frame.downtimes, exclusions=frame.exclusions)

    def prepared(self, now: float) -> Prepared:
        """Read everything."""
        history = self.history(now)
        return prepare(history, load_columns(self.journal, history))


def followed(year: Year, now: int) -> dict[str, Any]:
    """Push statuses one by one, each durable; after each read this week of what it touches, and of all rows, again."""
    begun = time.perf_counter()
    follow = Followed(year.journal, year.prepared)
    ready = follow.at(now / SECOND)
    taken: dict[str, Any] = {"first": time.perf_counter() - begun, "push": [], "read": [], "both": [], "cpu": [], "all": []}
    services = len(year.frame.objects)
    for number in range(1, APPENDED + 1):
        at, name = now / SECOND + number, year.frame.objects[number * 37 % services].name
        begun, used = time.perf_counter(), time.process_time()
        push(year.journal, OWNER, at, at - year.begin / SECOND, Push(name, number % 4))
        pushed = time.perf_counter()
        ready = follow.at(at)
        week = windows.named("this-week", ready.history.now, ready.history.zone)
        accounting.tabulate(ready, week, "excuse", names=touched(ready, name)).all()
        done, spent = time.perf_counter(), time.process_time()
        accounting.tabulate(ready, week, "excuse").all()
        ended = time.perf_counter()
        values = {
            "push": pushed - begun,
            "read": done - pushed,
            "both": done - begun,
            "cpu": spent - used,
            "all": ended - begun,
        }
        for key, value in values.items():
            taken[key].append(value)
    whole = year.prepared(ready.history.now / SECOND)
    assert accounting.measure(ready, week, "excuse") == accounting.measure(whole, week, "excuse"), "figures differ"
    return taken


def bundled(year: Year, now: int, target: Path) -> dict[str, float]:
    """Bundle the year from the journal, and verify it."""
    history = year.history(now / SECOND)
    parameters = {
        "windows": [{"name": one.name, "start": one.start, "end": one.end} for one in report_data.table_windows(history)],
        "profiles": ["excuse", "argo", "icinga", "nagios", "skip"],
        "zone": history.zone,
        "zone_data": windows.zone_data(),
    }
    begun, used = time.perf_counter(), time.process_time()
    with target.open("wb") as file:
        bundle.write(file, history, stored(year.journal, history), parameters, compute)
    written, spent = time.perf_counter(), time.process_time()
    with target.open("rb") as file:
        found = bundle.verify(file, compute)
    assert found.identical, found.differences[:3]
    done = {"bundle": written - begun, "verify": time.perf_counter() - written}
    cpu = {"bundle cpu": spent - used, "verify cpu": time.process_time() - spent}
    return {**done, **cpu, "bytes": target.stat().st_size, "bundle peak": peak()}


def peak() -> float:
    """Return the peak of this process's memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(history: History, results: Columns, begin: int) -> dict[str, Any]:
    """Fill a journal and measure what is done with it."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        begun = time.perf_counter()
        year = Year(directory, history, results, begin)
        filled = time.perf_counter() - begun
        with closing(sqlite3.connect(year.file)) as file:
            file.execute("PRAGMA wal_checkpoint")  # so that all of it stands in the file itself
        size = year.file.stat().st_size
        taken = followed(year, history.now)
        found = {"filled": filled, "stored": size - year.empty, **taken, "follow peak": peak()}
        return found | bundled(year, history.now + (APPENDED + 1) * SECOND, directory / "year.tar")
