"""The queue of one schedd, read in groups: never one job at a time. Used by companions.

- A *quiet* reading asks only for the schedd's live counters; nothing changed: the rows of the last exact reading stand.
- An *exact* reading lets the schedd group the jobs by what they ask for: it looks through what their expressions look at, and
  keeps apart whatever differs there. Such groups are one row only when all that the decision uses is equal. Requirements are
  long, so where the schedd's own autocluster ids tell requests apart, jobs are grouped by these; ids are given late, so jobs
  without one are read one by one, as long as they are few.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from connectors.htcondor.asking import BASE, Ask, text_of
from connectors.htcondor.bindings import htcondor2
from connectors.htcondor.history import Ends
from connectors.htcondor.holds import HoldsMemory
from connectors.htcondor.matching import Judge
from connectors.htcondor.messages import ClusterRow, Prototype, QueueAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connectors.htcondor.bindings import classad2
    from connectors.htcondor.matching import Judged

FEW_WITHOUT_ID = 1000
LOOKUP_SECONDS = 0.03
"""What one reading may spend on looking up since when the oldest jobs wait."""
_IDLE, _RUNNING, _HELD = (1,), (2, 6, 7), (5,)
_NEED_NO_WORKER = frozenset({7, 9, 12})
"""Universes whose jobs run at the schedd or elsewhere: scheduler (DAGMan), grid, local."""
_SLOW_SECONDS = 1.0
_COUNTERS = ("JobsSubmitted", "JobsStarted", "JobsExited", "DaemonStartTime")
_USER_COUNTERS = ("User", "NumIdle", "NumRunning", "NumHeld", "NumJobs", "NumRemoved", "NumCompleted", "NumSuspended")

_LAST = (True, (sys.maxsize, 0))

Pulse = tuple[object, ...]


@dataclass(slots=True)
class Alike:
    """Jobs whose ads say the same."""

    ask: Ask
    counts: Counter[int] = field(default_factory=Counter)
    """By status."""
    first: tuple[bool, tuple[int, int]] = _LAST
    """Of the first of them: whether it is not idle, cluster and process."""


@dataclass(slots=True)
class LastReading:
    """The last exact reading."""

    at: float
    pulse: Pulse | None
    alike: tuple[Alike, ...]
    rows: tuple[ClusterRow, ...]
    judged_by: tuple[Prototype, ...]


@dataclass(slots=True)
class Queue:
    """What is remembered of one schedd between two readings."""

    judge: Judge
    has_ids: bool = False
    """Whether nearly all jobs had an autocluster id at the last exact reading."""
    queued_at: dict[int, float] = field(default_factory=dict)
    """Cluster id -> when it was queued."""
    last: LastReading | None = None
    ends: Ends = field(init=False)
    holds: HoldsMemory = field(default_factory=HoldsMemory)

    def __post_init__(self) -> None:
        """Begin without a memory."""
        self.ends = Ends(self.judge)

    def read(self, ad: classad2.ClassAd, prototypes: Sequence[Prototype], *, cheap: bool, exact_seconds: float) -> QueueAnswer:
        """Read the queue; with `cheap`, rows of the last exact reading serve when the live counters have not moved."""
        self.judge.know(prototypes)
        schedd = htcondor2.Schedd(ad)
        before = pulse(schedd, ad)
        last = self.last
        fresh = last is not None and time.monotonic() - last.at < exact_seconds
        if cheap and last is not None and fresh and before is not None and before == last.pulse:
            ended, warning = self.ends.since(schedd, exits(before))
            return QueueAnswer(self._judged(last), exact=False, how="summary", ended=ended, warning=warning)
        begun = time.monotonic()
        groups, how = self._groups(schedd)
        alike = self.alike(groups)
        told = self._with_queue_times(schedd, self.rows(alike))
        moved = before is None or last is None or before != last.pulse
        held = self.holds.since(schedd) if moved and any(row.held for row in told) else ()
        # Only now, when nothing can fail any more: what is remembered here is not asked, or told, a second time.
        self.last = LastReading(begun, before, alike, told, self.judge.prototypes)
        ended, warning = self.ends.since(schedd, exits(before))
        return QueueAnswer(told, exact=True, how=how, ended=ended, warning=warning, held=held)

    def _judged(self, last: LastReading) -> tuple[ClusterRow, ...]:
        """Return the rows by the environments and the time of now, which may be others than those of the last exact reading."""
        if last.judged_by != self.judge.prototypes or any(one.ask.moving for one in last.alike):
            last.rows = tuple(self._with_known_times(self.rows(last.alike)))
            last.judged_by = self.judge.prototypes
        return last.rows

    def _groups(self, schedd: htcondor2.Schedd) -> tuple[list[classad2.ClassAd], str]:
        """Return ads of equal jobs, with JobCount, JobStatus and Requirements, and how they were obtained."""
        if self.has_ids:
            groups = self._groups_by_id(schedd)
            if groups is not None:
                return groups, "by-autocluster"
        projection = [*self._projection(), "Requirements", "AutoClusterId"]
        groups = _for_workers(schedd.query("true", projection, opts=htcondor2.QueryOpt.GroupBy))
        self.has_ids = sum(ad["JobCount"] for ad in groups if "AutoClusterId" not in ad) <= FEW_WITHOUT_ID
        return groups, "by-requirements"

    def _groups_by_id(self, schedd: htcondor2.Schedd) -> list[classad2.ClassAd] | None:
        """Group by autocluster id and by what that does not tell; None when the answer would not be exact."""
        told = _told_by_id(schedd)
        if "requirements" not in told:
            return None
        projection = [name for name in self._projection() if name.lower() not in told]
        plain = _for_workers(schedd.query("true", [*projection, "AutoClusterId"], opts=htcondor2.QueryOpt.GroupBy))
        without = [ad for ad in plain if "AutoClusterId" not in ad]
        self.has_ids = sum(ad["JobCount"] for ad in without) <= FEW_WITHOUT_ID
        if not self.has_ids:
            return None
        clusters = {ad["AutoClusterId"]: ad for ad in schedd.query("true", [], opts=htcondor2.QueryOpt.AutoCluster)}
        groups = [ad for ad in plain if "AutoClusterId" in ad]
        for ad in groups:
            cluster = clusters.get(ad["AutoClusterId"])
            if cluster is None:
                return None
            for name in cluster:
                if name not in ad:
                    ad[name] = cluster.lookup(name)
        late = self._without_id(schedd) if without else []
        counted = Counter(ad["JobStatus"] for ad in late)
        due: Counter[int] = Counter()
        for ad in without:
            due[ad["JobStatus"]] += ad["JobCount"]
        return [*groups, *late] if counted == due else None

    def _without_id(self, schedd: htcondor2.Schedd) -> list[classad2.ClassAd]:
        jobs = schedd.query("AutoClusterId =?= undefined", [], limit=FEW_WITHOUT_ID + 1)
        for ad in jobs:
            ad["JobCount"], ad["JobIds"] = 1, f"{ad['ClusterId']}.{ad['ProcId']}"
        return _for_workers(jobs)

    def _projection(self) -> list[str]:
        setting = self.judge.setting
        wanted = [
            "JobStatus",
            "JobUniverse",
            *BASE,
            *setting.vo_attributes,
            *setting.walltime_attributes,
        ]
        return list(dict.fromkeys(wanted))

    def alike(self, groups: Iterable[classad2.ClassAd]) -> tuple[Alike, ...]:
        """Put groups together whose ads say the same in all that is looked at."""
        found: dict[str, Alike] = {}
        for ad in groups:
            ask, status = self.judge.ask(ad), ad.get("JobStatus")
            one = found.setdefault(ask.identity, Alike(ask))
            one.counts[status if isinstance(status, int) else 0] += ad["JobCount"]
            one.first = min(one.first, (status not in _IDLE, first_job(str(ad.get("JobIds", "")))))
        return tuple(found.values())

    def rows(self, alike: Iterable[Alike]) -> list[ClusterRow]:
        """Make one row of all jobs for which the decision is the same."""
        judged: dict[str, Judged] = {}
        counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
        first: defaultdict[str, tuple[bool, tuple[int, int]]] = defaultdict(lambda: _LAST)
        for one in alike:
            found = self.judge.judge(one.ask)
            judged.setdefault(found.key, found)
            counts[found.key].update(one.counts)
            first[found.key] = min(first[found.key], one.first)
        rows = [_row(one, counts[key], first[key][1]) for key, one in judged.items()]
        return [row for row in rows if row.idle or row.running or row.held]

    def _with_queue_times(self, schedd: htcondor2.Schedd, rows: list[ClusterRow]) -> tuple[ClusterRow, ...]:
        """Add when the longest waiting job of a row was queued, as far as known: a few are looked up at each reading."""
        until = time.monotonic() + LOOKUP_SECONDS
        for row in rows:
            cluster = _cluster_of(row)
            if row.idle and cluster and cluster not in self.queued_at and time.monotonic() < until:
                found = schedd.query(f"ClusterId == {cluster}", ["QDate"], limit=1)
                if found and isinstance(found[0].get("QDate"), int):
                    self.queued_at[cluster] = float(found[0]["QDate"])
        shown = {_cluster_of(row) for row in rows}
        self.queued_at = {cluster: at for cluster, at in self.queued_at.items() if cluster in shown}
        return tuple(self._with_known_times(rows))

    def _with_known_times(self, rows: Iterable[ClusterRow]) -> list[ClusterRow]:
        return [replace(row, oldest_idle_at=self.queued_at.get(_cluster_of(row)) if row.idle else None) for row in rows]


def pulse(schedd: htcondor2.Schedd, ad: classad2.ClassAd) -> Pulse | None:
    """Return the schedd's live counters: they move with every job that comes, starts, ends, is held, released or removed.

    None where the schedd does not tell them: then every reading is exact.
    """
    begun = time.monotonic()
    try:
        users = schedd.queryUserAds("true", list(_USER_COUNTERS))
        own = htcondor2.Collector(ad).query(htcondor2.AdType.Schedd, None, list(_COUNTERS))
    except htcondor2.HTCondorException:
        if time.monotonic() - begun > _SLOW_SECONDS:
            raise
        return None  # an old schedd that does not know the question; one that is down fails at the next
    if not own or any(name not in own[0] for name in _COUNTERS) or any("NumIdle" not in user for user in users):
        return None
    return (
        *(own[0][name] for name in _COUNTERS),
        *sorted(tuple(str(user.get(name)) for name in _USER_COUNTERS) for user in users),
    )


def exits(counters: Pulse | None) -> tuple[object, object] | None:
    """Return those of the counters that move when a run of a job ends."""
    return (counters[2], counters[3]) if counters is not None else None


def _told_by_id(schedd: htcondor2.Schedd) -> frozenset[str]:
    """Return the attributes, in lower case, in which jobs of one autocluster are equal; none before a negotiation.

    Each job tells those of its own autocluster, with what its expressions look at: only what all tell holds for all.
    """
    groups = schedd.query("true", ["AutoClusterAttrs"], opts=htcondor2.QueryOpt.GroupBy)
    told = [text_of(ad, "AutoClusterAttrs") for ad in groups if "AutoClusterAttrs" in ad]
    each = [frozenset(name.strip().lower() for name in one.split(",") if name.strip()) for one in told]
    return frozenset.intersection(*each) if each else frozenset()


def _for_workers(groups: Iterable[classad2.ClassAd]) -> list[classad2.ClassAd]:
    return [ad for ad in groups if ad.get("JobUniverse") not in _NEED_NO_WORKER]


def first_job(ids: str) -> tuple[int, int]:
    """Return cluster and process of the first of `10.0 ... 190.49`, `7.0 7.1` or `5.0`."""
    cluster, _, process = (ids.split() or ["0.0"])[0].partition(".")
    return (int(cluster), int(process)) if cluster.isdigit() and process.isdigit() else (0, 0)


def _cluster_of(row: ClusterRow) -> int:
    return int(row.first_job.partition(".")[0] or 0)


def _row(judged: Judged, counts: Counter[int], first: tuple[int, int]) -> ClusterRow:
    return ClusterRow(
        key=judged.key,
        vo=judged.vo,
        requirements=judged.requirements,
        idle=sum(counts[status] for status in _IDLE),
        running=sum(counts[status] for status in _RUNNING),
        held=sum(counts[status] for status in _HELD),
        first_job=f"{first[0]}.{first[1]}",
        problem=judged.problem,
    )
