"""The queue of one schedd, read in groups: never one job at a time. Used by companions.

- A *quiet* reading asks only for the schedd's live counters; nothing changed: the rows of the last exact reading stand.
- An *exact* reading groups the jobs by what they ask for. Requirements are long, so where the schedd's own autocluster ids tell
  requests apart, jobs are grouped by these; ids are given late, so jobs without one are read with their requirements.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from connectors.htcondor.bindings import htcondor2
from connectors.htcondor.history import Ends
from connectors.htcondor.holds import Holds
from connectors.htcondor.matching import BASE, Ask, Judge, MalformedError, referenced
from connectors.htcondor.messages import QueueAnswer, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connectors.htcondor.bindings import classad2
    from connectors.htcondor.messages import Prototype

FEW_WITHOUT_ID = 1000
MAXIMUM_REFERENCED = 40
LOOKUP_SECONDS = 0.03
"""What one reading may spend on looking up since when the oldest jobs wait."""
_IDLE, _RUNNING, _HELD = (1,), (2, 6, 7), (5,)
_NEED_NO_WORKER = frozenset({7, 9, 12})
"""Universes whose jobs run at the schedd or elsewhere: scheduler (DAGMan), grid, local."""
_SLOW_SECONDS = 1.0
_COUNTERS = ("JobsSubmitted", "JobsStarted", "JobsExited", "DaemonStartTime")
_USER_COUNTERS = ("User", "NumIdle", "NumRunning", "NumHeld", "NumJobs", "NumRemoved", "NumCompleted", "NumSuspended")

Pulse = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Malformed:
    """Jobs whose ads cannot be understood."""

    vo: str
    problem: str

    @property
    def key(self) -> str:
        """Return the key of their row: the same for the same problem."""
        return "bad-" + hashlib.sha256(f"{self.vo}\n{self.problem}".encode()).hexdigest()[:8]


@dataclass(slots=True)
class Last:
    """The last exact reading."""

    at: float
    pulse: Pulse | None
    asks: dict[str, Ask]
    rows: tuple[Row, ...]


@dataclass(slots=True)
class Queue:
    """What is remembered of one schedd between two readings."""

    judge: Judge
    referenced: set[str] = field(default_factory=set)
    """The jobs' own attributes that some requirements look at."""
    has_ids: bool = False
    """Whether nearly all jobs had an autocluster id at the last exact reading."""
    queued_at: dict[int, float] = field(default_factory=dict)
    """Cluster id -> when it was queued."""
    last: Last | None = None
    ends: Ends = field(init=False)
    holds: Holds = field(default_factory=Holds)

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
        rows, asks = self._rows(groups)
        told = self._with_queue_times(schedd, rows)
        moved = before is None or last is None or before != last.pulse
        held = self.holds.since(schedd) if moved and any(row.held for row in rows) else ()
        # Only now, when nothing can fail any more: what is remembered here is not asked, or told, a second time.
        self.last = Last(begun, before, asks, told)
        ended, warning = self.ends.since(schedd, exits(before))
        return QueueAnswer(self._judged(self.last), exact=True, how=how, ended=ended, warning=warning, held=held)

    def _judged(self, last: Last) -> tuple[Row, ...]:
        """Judge the rows by the environments of now, which may be others than those of the last exact reading."""
        judged = []
        for row in last.rows:
            ask = last.asks.get(row.key)
            if ask is None:
                judged.append(row)
            else:
                accepts, refusals = self.judge.verdicts(ask)
                judged.append(replace(row, accepts=accepts, refusals=refusals))
        return tuple(judged)

    def _groups(self, schedd: htcondor2.Schedd) -> tuple[list[classad2.ClassAd], str]:
        """Return ads of equal jobs, with JobCount, JobStatus and Requirements, and how they were obtained."""
        if self.has_ids:
            groups = self._groups_by_id(schedd)
            if groups is not None:
                return groups, "by-autocluster"
        projection = [*self._projection(), "Requirements", "AutoClusterId"]
        groups = _for_workers(schedd.query("true", projection, opts=htcondor2.QueryOpt.GroupBy))
        new = {name for ad in groups for name in referenced(ad)} - self.referenced - {*BASE}
        if new and len(self.referenced) < MAXIMUM_REFERENCED:
            self.referenced |= set(sorted(new)[: MAXIMUM_REFERENCED - len(self.referenced)])
            return self._groups(schedd)
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
        if any(set(referenced(ad)) - self.referenced - {*BASE} for ad in late):
            return None
        counted = Counter(ad["JobStatus"] for ad in late)
        due: Counter[int] = Counter()
        for ad in without:
            due[ad["JobStatus"]] += ad["JobCount"]
        return [*groups, *late] if counted == due else None

    def _without_id(self, schedd: htcondor2.Schedd) -> list[classad2.ClassAd]:
        projection = [*self._projection(), "Requirements", "ClusterId", "ProcId"]
        jobs = schedd.query("AutoClusterId =?= undefined", projection, limit=FEW_WITHOUT_ID + 1)
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
            *sorted(self.referenced),
        ]
        return list(dict.fromkeys(wanted))

    def _rows(self, groups: Iterable[classad2.ClassAd]) -> tuple[list[Row], dict[str, Ask]]:
        """Merge groups that ask for the same into rows."""
        asks: dict[str, Ask] = {}
        malformed: dict[str, Malformed] = {}
        counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
        jobs: defaultdict[str, list[tuple[bool, tuple[int, int]]]] = defaultdict(list)
        for ad in groups:
            status = ad.get("JobStatus")
            try:
                ask = self.judge.ask(ad)
                key = ask.key
                asks.setdefault(key, ask)
            except MalformedError as error:
                wrong = Malformed(self.judge.vo(ad), str(error))
                key = wrong.key
                malformed[key] = wrong
            counts[key][status if isinstance(status, int) else 0] += ad["JobCount"]
            jobs[key].append((status not in _IDLE, first_job(str(ad.get("JobIds", "")))))
        rows = [_row(key, asks.get(key) or malformed[key], counts[key], min(jobs[key])[1]) for key in counts]
        return [row for row in rows if row.idle or row.running or row.held], asks

    def _with_queue_times(self, schedd: htcondor2.Schedd, rows: list[Row]) -> tuple[Row, ...]:
        """Add when the longest waiting job of a row was queued, as far as known: a few are looked up at each reading."""
        until = time.monotonic() + LOOKUP_SECONDS
        told = []
        for row in rows:
            cluster = int(row.first_job.partition(".")[0] or 0)
            if row.idle and cluster and cluster not in self.queued_at and time.monotonic() < until:
                found = schedd.query(f"ClusterId == {cluster}", ["QDate"], limit=1)
                if found and isinstance(found[0].get("QDate"), int):
                    self.queued_at[cluster] = float(found[0]["QDate"])
            told.append(replace(row, oldest_idle_at=self.queued_at.get(cluster) if row.idle else None))
        shown = {int(row.first_job.partition(".")[0] or 0) for row in rows}
        self.queued_at = {cluster: at for cluster, at in self.queued_at.items() if cluster in shown}
        return tuple(told)


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
    """Return the attributes, in lower case, in which jobs of one autocluster are equal; none before a negotiation."""
    jobs = schedd.query("AutoClusterAttrs =!= undefined", ["AutoClusterAttrs"], limit=1)
    attributes = str(jobs[0]["AutoClusterAttrs"]) if jobs else ""
    return frozenset(name.strip().lower() for name in attributes.split(",") if name.strip())


def _for_workers(groups: Iterable[classad2.ClassAd]) -> list[classad2.ClassAd]:
    return [ad for ad in groups if ad.get("JobUniverse") not in _NEED_NO_WORKER]


def first_job(ids: str) -> tuple[int, int]:
    """Return cluster and process of the first of `10.0 ... 190.49`, `7.0 7.1` or `5.0`."""
    cluster, _, process = (ids.split() or ["0.0"])[0].partition(".")
    return (int(cluster), int(process)) if cluster.isdigit() and process.isdigit() else (0, 0)


def _row(key: str, ask: Ask | Malformed, counts: Counter[int], first: tuple[int, int]) -> Row:
    if isinstance(ask, Malformed):
        requested: dict[str, Any] = {"wanted": "", "cpus": 1, "memory_mib": 1, "walltime_seconds": None, "problem": ask.problem}
    else:
        requested = {name: getattr(ask, name) for name in ("wanted", "cpus", "memory_mib", "walltime_seconds")}
    return Row(
        key=key,
        vo=ask.vo,
        accepts=None,
        refusals={},
        idle=sum(counts[status] for status in _IDLE),
        running=sum(counts[status] for status in _RUNNING),
        held=sum(counts[status] for status in _HELD),
        first_job=f"{first[0]}.{first[1]}",
        **requested,
    )
