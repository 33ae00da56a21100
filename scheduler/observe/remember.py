"""What an observation adds to the journal: steps of workers, ends of boots, jobs seen, sources that fall silent. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scheduler.journal.records import Memo, Note, Sighting, Source, Value
from scheduler.model.failures import FailureCause
from scheduler.model.host_states import HostState
from scheduler.model.lifecycle import allowed
from scheduler.model.queues import HeldJob, Node, QueueReading
from scheduler.model.readings import Unanswered
from scheduler.model.workers import BootOutcome, Worker, WorkerState

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from scheduler.journal.records import Ledger, OpenIntent
    from scheduler.model.hosts import HostReading
    from scheduler.model.queues import EndedJob, RunningJob
    from scheduler.observe.derive import WorkerFacts

S = WorkerState
_SERVES = frozenset({S.IDLE, S.BUSY})
Sightings = Mapping[tuple[str, str, str], Sighting]


IllegalStep = tuple[str, S, S] | tuple[str, HostState, HostState]
"""(worker or host, before, after): a step that its life does not hold."""


@dataclass(slots=True)
class Additions:
    """Collects what one observation adds."""

    changes: dict[str, dict[str, Value]] = field(default_factory=dict)
    outcomes: list[BootOutcome] = field(default_factory=list)
    appeared: list[Sighting] = field(default_factory=list)
    ended: list[Sighting] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    void: list[str] = field(default_factory=list)
    heard: dict[Source, bool] = field(default_factory=dict)
    holds: dict[str, tuple[HeldJob, ...] | None] = field(default_factory=dict)
    illegal: list[IllegalStep] = field(default_factory=list)

    def memo(self) -> Memo:
        """Return all of it as one value."""
        return Memo(
            self.changes,
            tuple(self.outcomes),
            tuple(self.appeared),
            tuple(self.ended),
            tuple(self.notes),
            tuple(self.settled),
            tuple(self.words),
            holds=self.holds,
            void=tuple(self.void),
            heard=self.heard,
        )

    def tell(self, facts: WorkerFacts, worker: Worker, ledger: Ledger) -> None:
        """Compare one worker with its entry."""
        entry = facts.entry
        change: dict[str, Value] = {}
        if worker.state is not entry.state:
            change |= {"state": worker.state.value, "since": facts.now}
            self._tell_step(entry.state, worker)
        if facts.domain is not None and entry.booted_at is None:
            change["booted_at"] = facts.now
        if facts.domain is not None and facts.host != entry.host and not facts.twins:
            change["host"] = facts.host
            self.notes.append(Note("moved", entry.name, "seen-elsewhere", detail={"from": entry.host, "to": facts.host}))
        if worker.registered_at is not None and entry.registered_at is None:
            change["registered_at"] = worker.registered_at
            self._outcome(facts, worker.registered_at, registered=True)
        elif worker.state is S.FAILED and entry.state is not S.FAILED:
            self._tell_failure(facts)
        change |= _drain_change(facts, worker, ledger)
        if change:
            self.changes[entry.name] = change

    def _tell_step(self, before: S, worker: Worker) -> None:
        legal = allowed(before, worker.state)
        if not legal:
            self.illegal.append((worker.name, before, worker.state))
        kind = "state" if legal else "illegal-step"
        detail = {"from": before.value, "host": worker.host, "environment": worker.environment, "vo": worker.vo}
        self.notes.append(Note(kind, worker.name, worker.state.value, detail=detail))

    def _tell_failure(self, facts: WorkerFacts) -> None:
        entry = facts.entry
        if entry.origin != "booted" or (not entry.boot_error and entry.booted_at is None and facts.domain is None):
            return  # adopted, or cut off before it was asked for: neither image nor host is to blame
        if entry.boot_error:
            cause, failure = entry.boot_error, entry.boot_failure
        elif facts.domain is None or facts.domain.state.value in {"stopped", "crashed"}:
            cause, failure = "its domain ended before it registered", FailureCause.UNKNOWN
        else:
            cause = f"did not register with {entry.batch_system} within {facts.boot_seconds:g} s"
            failure = FailureCause.UNREGISTERED
        self._outcome(facts, facts.now, registered=False, cause=cause, failure=failure)

    def _outcome(
        self,
        facts: WorkerFacts,
        at: float,
        *,
        registered: bool,
        cause: str = "",
        failure: FailureCause = FailureCause.UNKNOWN,
    ) -> None:
        entry = facts.entry
        outcome = BootOutcome(entry.name, entry.environment, entry.version, facts.host, at, registered, cause, failure)
        self.outcomes.append(outcome)

    def tell_sightings(
        self,
        workers: Mapping[str, Worker],
        before: Sightings,
        nodes: Mapping[tuple[str, str], Node],
        now: float,
        before_at: Mapping[str, float],
        *,
        ended: Mapping[str, Sequence[EndedJob]],
    ) -> dict[tuple[str, str, str], Sighting]:
        """Compare the jobs seen in our workers with those of the last look; `ended` tells of those that came and went since."""
        seen: dict[tuple[str, str, str], Sighting] = {}
        for (batch_system, name), node in nodes.items():
            worker = workers.get(name)
            if worker is None or worker.batch_system != batch_system:
                continue
            for job in node.jobs:
                key = (batch_system, job.job, name)
                known = before.get(key)
                if known is None:
                    known = _first_seen(batch_system, job, worker, now)
                    self.appeared.append(known)
                seen[key] = known
        over = self._tell_ended(workers, before.keys() | seen.keys(), now, ended)
        for key, sighting in before.items():
            if key in seen:
                continue
            if key in over:
                self.ended.append(replace(sighting, last_seen=max(over[key], sighting.first_seen)))
                continue
            batch_system, _, name = key
            if (batch_system, name) in nodes or name not in workers:
                self.ended.append(replace(sighting, last_seen=max(before_at.get(batch_system, 0.0), sighting.last_seen)))
            else:
                seen[key] = sighting  # its worker is not seen now: the job may run on
        return seen

    def _tell_ended(
        self,
        workers: Mapping[str, Worker],
        known: AbstractSet[tuple[str, str, str]],
        now: float,
        ended: Mapping[str, Sequence[EndedJob]],
    ) -> dict[tuple[str, str, str], float]:
        """Return when jobs ended, and note those of our workers that nobody had seen."""
        over: dict[tuple[str, str, str], float] = {}
        for batch_system, jobs in ended.items():
            for job in jobs:
                worker = workers.get(job.worker)
                if worker is None or worker.batch_system != batch_system:
                    continue
                key = (batch_system, job.job, job.worker)
                over[key] = end = min(job.ended_at, now)
                if key not in known:
                    began = end if job.began_at is None else min(job.began_at, end)
                    self.ended.append(
                        Sighting(batch_system, job.job, worker.name, job.vo, job.user, worker.environment, began, end)
                    )
        return over

    def tell_sources(
        self, sources: Mapping[str, QueueReading | HostReading | Unanswered], silent: frozenset[str], before: frozenset[str]
    ) -> None:
        """Note each source that falls silent or answers again, and what batch systems tell of jobs on hold."""
        self.holds = {name: one.holds for name, one in sources.items() if isinstance(one, QueueReading)}
        for name in sorted(silent - before):
            reading = sources[name]
            why = reading.reason if isinstance(reading, Unanswered) else ""
            self.notes.append(Note("source", name, "unanswered", detail={"reason": why}))
        for name in sorted(before - silent):
            if name in sources:
                self.notes.append(Note("source", name, "answers"))

    def settle(self, intents: Sequence[OpenIntent], performing: frozenset[int], workers: Mapping[str, Worker]) -> None:
        """Close the intents that a crash cut off, once the farm shows what became of them."""
        for intent in intents:
            worker = workers.get(intent.machine)
            unknown = worker is not None and worker.state in {S.UNSEEN, S.REQUESTED}
            if intent.id not in performing and not unknown:
                self.settled.append(intent.id)
                state = worker.state.value if worker else S.GONE.value
                note = Note(f"{intent.kind}-ended", intent.machine, intent.cause, f"intent-{intent.id}")
                self.notes.append(replace(note, detail={"outcome": "cut-off", "state": state}))

    def tell_twins(self, twins: Mapping[str, tuple[str, ...]], before: frozenset[str]) -> None:
        """Note each name that runs more than once."""
        for name in sorted(twins.keys() - before):
            self.notes.append(Note("twins", name, "runs-twice", detail={"hosts": ", ".join(twins[name])}))


def _drain_change(facts: WorkerFacts, worker: Worker, ledger: Ledger) -> dict[str, Value]:
    """Take note of a drain that our journal does not know, and of one that is over."""
    entry = facts.entry
    if facts.node is None or facts.twins:
        return {}
    if worker.state in {S.DRAINING, S.DRAINED} and not entry.drain_cause:
        ordered = next((i for i in ledger.intents if i.kind == "drain" and i.machine == entry.name), None)
        return {"drain_cause": ordered.cause if ordered else "by-hand", "drained_at": facts.now}
    if worker.state in _SERVES and entry.drain_cause:
        return {"drain_cause": "", "drained_at": None}
    return {}


def _first_seen(batch_system: str, job: RunningJob, worker: Worker, now: float) -> Sighting:
    first = min(job.since, now) if job.since is not None else now
    return Sighting(batch_system, job.job, worker.name, job.vo, job.user, worker.environment, first, now)
