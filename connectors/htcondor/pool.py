"""The connector itself: one HTCondor pool as a `scheduler.model.ports.BatchSystem`."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.command import Companion, run
from connectors.htcondor import wire
from connectors.htcondor.advice import advice
from connectors.htcondor.announcement import announcement
from connectors.htcondor.expressions import vo_attributes, vo_expression, walltime_expression
from connectors.htcondor.hints import with_hint
from connectors.htcondor.job_names import CALLED, read_name
from connectors.htcondor.messages import EndedRun, Question, QueueAnswer, Refused, Setting
from connectors.htcondor.nodes import Idleness, nodes_of, quick_failures
from connectors.htcondor.options import HTCondorOptions
from connectors.htcondor.rows import cluster_key, merged
from connectors.htcondor.schedds import KnownSchedds
from connectors.htcondor.worker import (
    DEFAULT_VERSION,
    machine_name,
    parameters_of,
    prototype_of,
    worker_config,
    worker_identity,
)
from environments.names import is_plain_file
from environments.reason import counted
from scheduler.model.ports import Enrolment, SourceError, WrongNameError
from scheduler.model.queues import EndedJob, HeldJob, QueueReading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connectors.htcondor.messages import LeftAds, Located, PoolAnswer, Prototype
    from environments.domain_identity import WorkerIdentity
    from environments.environment import Environment
    from scheduler.model.ports import JobRecord, Submission
    from scheduler.model.queues import Node

_DOOR = (sys.executable, "-m", "connectors.htcondor.companion_server")
_COLLECTOR = "collector"
_LOOK_UP = _COLLECTOR
"""Single jobs are looked up by the companion that is there already: a second one would take longer to start than to answer."""
_SUSPICIOUS_STARTS = 3
"""Jobs started lately on a worker before their ends are looked at: a black hole swallows many."""
_RUNS_SECONDS = 1200
_SHORTEST_SECONDS = 1.0
_ALREADY_DRAINING = "Draining already in progress"
_IS_IDLE = 'State =!= "Claimed" && State =!= "Matched" && State =!= "Preempting"'
"""Asked of each slot by the worker's own start daemon, in the step in which it begins to drain."""
_HAS_WORK = re.compile(r"check expression is false on ([^\s@]+)")
_ADVERTISE = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
"""What a worker's token allows: to be a worker, nothing else."""


def connect(name: str, options: Mapping[str, object], *, site: str, deadline_seconds: float, directory: Path) -> HTCondorPool:
    """Return the pool; nothing is asked of it yet."""
    del site  # workers' names are unique in the farm, and a pool belongs to one farm
    return HTCondorPool(name, HTCondorOptions.model_validate(dict(options)), deadline_seconds, directory)


@dataclass(slots=True)
class Remembered:
    """What one reading leaves to the next."""

    idleness: dict[str, Idleness] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    job_starts: dict[str, int] = field(default_factory=dict)
    """By worker, at the last look for failures."""
    next_look: float = 0.0
    """Monotonic time from which on failures may be looked for again."""
    version: str = DEFAULT_VERSION


class HTCondorPool:
    """A pool; implements `scheduler.model.ports.BatchSystem`."""

    def __init__(self, name: str, options: HTCondorOptions, deadline_seconds: float, directory: Path) -> None:
        self.name = name
        self.options = options
        self._deadline_seconds = deadline_seconds
        self._schedds = KnownSchedds(name, directory / f"{name}-schedds.json", options.schedds)
        self.companions: dict[str, Companion] = {}
        """By the daemon with which each speaks."""
        self._remembered = Remembered()
        self._domain = options.trust_domain

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, environments: Sequence[Environment], *, cheap: bool) -> QueueReading:
        """Read request clusters and nodes."""
        until = time.monotonic() + self._deadline_seconds
        at = time.time()
        pool: PoolAnswer = self.ask_collector("read schedds and workers", Question("pool"))
        schedds, missing = self._schedds.sort(pool.schedds, at)
        if not schedds:
            known = f"; missing: {', '.join(missing)}" if missing else ""
            raise SourceError(self.name, "read the queues", f"the collector knows no schedd{known}")
        answers, silent = self._read_queues(schedds, self._prototypes(environments, schedds), cheap, until)
        if not answers:
            raise silent[0]
        warnings = [str(error) for error in silent]
        warnings += [f"schedd {name} is not in the collector: its jobs are not seen" for name in missing]
        settled = self._settled(pool, at, warnings)
        warnings += pool.warnings
        warnings += [f"schedd {name}: {answer.warning}" for name, answer in answers.items() if answer.warning]
        self._look_for_failures(pool, [schedd for schedd in schedds if schedd.name in answers], until, warnings)
        remembered = self._remembered
        nodes, remembered.idleness = nodes_of(pool.slots, remembered.idleness, remembered.failures, at)
        return QueueReading(
            source=self.name,
            at=at,
            clusters=merged(self.name, {name: answer.rows for name, answer in answers.items()}),
            nodes=nodes,
            complete=settled and not missing and not silent,
            ended=self._ended(answers.values()),
            holds=self._holds(answers.values()),
            exact=all(answer.exact for answer in answers.values()),
            warnings=tuple(warnings),
            advice=advice(self.options, schedds, environments),
        )

    def node(self, worker: str) -> Node | None:
        """Look at one worker afresh."""
        pool: PoolAnswer = self.ask_collector(f"look at worker {worker}", Question("slots", {"worker": worker}))
        nodes, _ = nodes_of(pool.slots, self._remembered.idleness, self._remembered.failures, time.time())
        return nodes[0] if nodes else None

    def job(self, job: str, environments: Sequence[Environment]) -> JobRecord | None:
        """Return one job: `12.0`, or `12.0@schedd` where several schedds have one of that number."""
        asked = f"look for job {job}"
        named = read_name(job)
        if named is None or named[1] is None:
            raise WrongNameError(self.name, asked, CALLED)
        cluster, process, of_schedd = named
        schedds, missing = self._schedds_of(of_schedd, asked)
        prototypes = self._prototypes(environments, schedds)
        records: list[JobRecord] = []
        for schedd in schedds:
            told = {"schedd": schedd, "cluster": cluster, "process": process, "prototypes": prototypes}
            record: JobRecord | None = self.ask(_LOOK_UP, asked, Question("job", told), self._deadline_seconds)
            records += [record] if record is not None else []
        if len(records) > 1:
            names = ", ".join(f"{record.job}@{record.batch_system}" for record in records)
            raise WrongNameError(self.name, asked, f"several schedds have one; say which: {names}")
        if not records and missing:
            raise SourceError(self.name, asked, f"not seen, but schedd {', '.join(missing)} is not in the collector")
        return self._record(records[0]) if records else None

    def submission(self, name: str) -> Submission | None:
        """Return how the jobs of a cluster stand: `12`, or `12@schedd` where several schedds have one of that number."""
        asked = f"look for cluster {name}"
        named = read_name(name)
        if named is None or named[1] is not None:
            return None
        cluster, _, of_schedd = named
        schedds, missing = self._schedds_of(of_schedd, asked)
        told: list[Submission] = []
        for schedd in schedds:
            question = Question("submission", {"schedd": schedd, "cluster": cluster})
            answer: Submission | None = self.ask(_LOOK_UP, asked, question, self._deadline_seconds)
            told += [answer] if answer is not None else []
        if len(told) > 1:
            names = ", ".join(f"{one.name}@{one.batch_system}" for one in told)
            raise WrongNameError(self.name, asked, f"several schedds have one; say which: {names}")
        if not told:
            if missing:
                raise SourceError(self.name, asked, f"not seen, but schedd {', '.join(missing)} is not in the collector")
            return None
        at_schedd = f"@{of_schedd}" if of_schedd else ""
        return replace(told[0], batch_system=self.name, first=told[0].first and f"{told[0].first}{at_schedd}")

    def _schedds_of(self, named: str, asked: str) -> tuple[list[Located], list[str]]:
        """Return the schedds to ask for a job, one or all, and the names of those that are not in the collector."""
        try:
            pool: PoolAnswer = self.ask_collector("read schedds", Question("schedds"))
        except SourceError as error:
            if not named or self._schedds.knows(named):
                raise
            raise SourceError(self.name, error.asked, f"{error.answer}; no schedd {named!r} was heard of before") from error
        return self._schedds.sort_named(pool.schedds, time.time(), named, asked)

    # --- acting -------------------------------------------------------------------------------------------------------

    def enrol(self, order: WorkerIdentity, environment: Environment) -> Enrolment:
        """Make the configuration and the token of a new worker."""
        domain = self._trust_domain()
        text = worker_config(order.machine, environment, self.options, requested_at=order.requested_at, trust_domain=domain)
        token = self._run(
            f"make a token for {order.machine}",
            self.options.token_create,
            *("-identity", worker_identity(order.machine, domain)),
            *("-key", self.options.signing_key),
            *("-lifetime", str(environment.lifetime_seconds + self.options.token_grace_seconds)),
            *(word for permission in _ADVERTISE for word in ("-authz", permission)),
        ).strip()
        if token.count(".") != 2:
            raise SourceError(self.name, f"make a token for {order.machine}", f"{self.options.token_create} printed no token")
        parameters = parameters_of(order.machine, environment, self.options, order.address)
        return Enrolment(parameters, {"condor_config": text.encode(), "token": token.encode() + b"\n"})

    def drain(self, worker: str, why: str, *, idle_only: bool = False) -> str:
        """Let running jobs finish; then the start daemon ends, and with it a worker made for it."""
        words = ("-graceful", "-exit-on-completion", "-reason", f"ambienti: {why}")
        try:
            self._drain(f"drain {worker}", worker, *words, *(("-check", _IS_IDLE) if idle_only else ()))
        except SourceError as error:
            work = _HAS_WORK.search(error.answer)
            if work:
                return f"a claim on {work[1]}"
            if _ALREADY_DRAINING not in error.answer:
                raise
        return ""

    def cancel_drain(self, worker: str) -> None:
        """Take a drain back."""
        self._drain(f"cancel the drain of {worker}", worker, "-cancel")

    def forget(self, worker: str) -> str:
        """Invalidate the ads of a worker that is gone: a claimed one would stall its whole accounting group."""
        asked = f"invalidate the ads of {worker}"
        machine = machine_name(worker, self.options.worker_domain or self._trust_domain())
        left: LeftAds = self.ask_collector(asked, Question("forget", {"worker": worker, "machine": machine}))
        if left.slots and not left.renewed:
            sentence = f"the collector still shows {left.slots} of its slots: is ADVERTISE_STARTD allowed?"
            raise SourceError(self.name, asked, sentence)
        if left.slots:
            return f"{counted(left.slots, 'slot')} of it came back to the collector: an update crossed the invalidation"
        self._remembered.failures.pop(worker, None)
        return ""

    def announce(self, environments: Sequence[Environment], vos: Sequence[str]) -> None:
        """Tell the schedds, through the collector, which environments there are."""
        ad = announcement(environments, vos)
        self.ask_collector("announce the environments", Question("announce", {"ad": ad}))

    def close(self) -> None:
        """End the companions."""
        while self.companions:
            self.companions.popitem()[1].close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _prototypes(self, environments: Sequence[Environment], schedds: Sequence[Located]) -> tuple[Prototype, ...]:
        """Workers of now are taken to run the HTCondor of the pool's own daemons."""
        version = next((schedd.version for schedd in schedds if schedd.version), self._remembered.version)
        self._remembered.version = version
        return tuple(prototype_of(environment, self.options, version) for environment in environments)

    def _read_queues(
        self, schedds: Sequence[Located], prototypes: tuple[Prototype, ...], cheap: bool, until: float
    ) -> tuple[dict[str, QueueAnswer], list[SourceError]]:
        """Read all schedds side by side; one that is down or slow costs nothing but its own answer."""

        def read(schedd: Located) -> QueueAnswer | SourceError:
            question = Question(
                "queue",
                {
                    "schedd": schedd,
                    "prototypes": prototypes,
                    "cheap": cheap,
                    "exact_seconds": float(self.options.exact_seconds),
                },
            )
            try:
                answer: QueueAnswer = self.ask(schedd.name, f"read the queue of schedd {schedd.name}", question, _left(until))
            except SourceError as error:
                return error
            return answer

        with ThreadPoolExecutor(max(1, min(32, len(schedds)))) as threads:
            answers = dict(zip((schedd.name for schedd in schedds), threads.map(read, schedds), strict=True))
        told = {name: answer for name, answer in answers.items() if isinstance(answer, QueueAnswer)}
        return told, [answer for answer in answers.values() if isinstance(answer, SourceError)]

    def _ended(self, answers: Iterable[QueueAnswer]) -> tuple[EndedJob, ...]:
        told = [one for answer in answers for one in answer.ended]
        if not told:
            return ()
        domain = f".{self.options.worker_domain or self._trust_domain()}"
        return tuple(
            EndedJob(one.job, one.machine.removesuffix(domain), one.vo, one.user, one.begun_at, one.ended_at) for one in told
        )

    def _holds(self, answers: Iterable[QueueAnswer]) -> tuple[HeldJob, ...] | None:
        told = [answer.held for answer in answers]
        if any(held is None for held in told):
            return None
        every = [one for held in told for one in held or ()]
        domain = f".{self.options.worker_domain or self._trust_domain()}" if every else ""
        return tuple(HeldJob(one.job, one.machine.removesuffix(domain), one.held_at, one.why) for one in every)

    def _settled(self, pool: PoolAnswer, at: float, warnings: list[str]) -> bool:
        started, enough = pool.collector_started_at, self.options.settle_seconds
        if started is None or at - started >= enough:
            return True
        warnings.append(f"the collector was started {at - started:.0f} s ago (less than {enough} s): workers may be missing")
        return False

    def _look_for_failures(self, pool: PoolAnswer, schedds: Sequence[Located], until: float, warnings: list[str]) -> None:
        """Count failures on workers that have started several jobs lately; jobs that merely are short do not count."""
        remembered = self._remembered
        starts = {slot.worker: slot.job_starts for slot in pool.slots if not slot.dynamic}
        suspects = {
            slot.machine: slot.worker
            for slot in pool.slots
            if not slot.dynamic
            and slot.recent_job_starts >= _SUSPICIOUS_STARTS
            and (slot.job_starts != remembered.job_starts.get(slot.worker) or slot.worker in remembered.failures)
        }
        remembered.failures = {worker: count for worker, count in remembered.failures.items() if worker in starts}
        if not suspects or time.monotonic() < remembered.next_look:
            return
        remembered.next_look = time.monotonic() + self.options.history_seconds
        question = {"machines": tuple(suspects), "since": time.time() - _RUNS_SECONDS}
        runs: list[EndedRun] = []
        for schedd in schedds:
            try:
                asked = f"read ended jobs of schedd {schedd.name}"
                runs += self.ask(schedd.name, asked, Question("runs", {"schedd": schedd, **question}), _left(until))
            except SourceError as error:
                warnings.append(str(error))
                return
        counts = quick_failures(runs, self.options.quick_seconds)
        for machine, worker in suspects.items():
            remembered.failures[worker] = counts.get(machine, 0)
            remembered.job_starts[worker] = starts[worker]

    def _record(self, record: JobRecord) -> JobRecord:
        domain = self.options.worker_domain or self._trust_domain()
        key = cluster_key(self.name, record.cluster_key) if record.cluster_key else ""
        return replace(record, batch_system=self.name, cluster_key=key, worker=record.worker.removesuffix(f".{domain}"))

    def _trust_domain(self) -> str:
        if not self._domain:
            names = ("TRUST_DOMAIN", "UID_DOMAIN")
            values: dict[str, str] = self.ask_collector(
                "read HTCondor's configuration", Question("configuration", {"names": names})
            )
            self._domain = next((values[name] for name in names if values[name]), "")
            if not self._domain:
                raise SourceError(self.name, "read HTCondor's configuration", "neither TRUST_DOMAIN nor UID_DOMAIN is set")
        return self._domain

    def _drain(self, asked: str, worker: str, *words: str) -> None:
        machine = machine_name(worker, self.options.worker_domain or self._trust_domain())
        self._run(asked, self.options.drain, *words, "-pool", self.options.collector, machine)

    def _run(self, asked: str, *arguments: str) -> str:
        try:
            return run(
                arguments,
                source=self.name,
                asked=asked,
                deadline_seconds=self._deadline_seconds,
                environment=self._environment(),
            )
        except SourceError as error:
            raise SourceError(self.name, asked, with_hint(error.answer, self.options.collector)) from error

    def _environment(self) -> dict[str, str]:
        return {"CONDOR_CONFIG": self.options.config} if self.options.config else {}

    def ask_collector(self, asked: str, question: Question) -> Any:
        """Ask the companion that speaks with the collector."""
        return self.ask(_COLLECTOR, asked, question, self._deadline_seconds)

    def ask(self, whom: str, asked: str, question: Question, deadline_seconds: float) -> Any:
        """Ask the companion that speaks with one daemon; its refusal becomes ours."""
        companion = self.companions.get(whom)
        if companion is None:
            self._check_installation(asked)
            companion = self.companions[whom] = Companion(self.name, _DOOR, self._environment(), wire.write(self._setting()))
        content = companion.ask(wire.write(question), asked=asked, deadline_seconds=deadline_seconds)
        try:
            answer = wire.read_answer(question.function, content)
        except wire.WireError as error:
            raise SourceError(self.name, asked, f"the companion's answer cannot be read: {error}") from error
        if isinstance(answer, Refused):
            raise SourceError(self.name, asked, with_hint(answer.answer, self.options.collector))
        return answer

    def _check_installation(self, asked: str) -> None:
        if importlib.util.find_spec("htcondor2") is None:
            raise SourceError(self.name, asked, "HTCondor's Python bindings are missing: pip install 'ambienti[htcondor]'")
        if self.options.config and not is_plain_file(Path(self.options.config)):
            raise SourceError(self.name, asked, f"there is no HTCondor configuration {self.options.config} (options: config)")

    def _setting(self) -> Setting:
        return Setting(
            collector=self.options.collector,
            timeout_seconds=max(2, round(self._deadline_seconds / 3)),
            vo_expression=vo_expression(self.options.vo),
            vo_attributes=vo_attributes(self.options.vo),
            walltime_expression=walltime_expression(self.options.walltime),
            walltime_attributes=tuple(self.options.walltime),
            vo_rules=self.options.vo,
            history_seconds=float(self.options.history_seconds),
        )


def _left(until: float) -> float:
    return max(_SHORTEST_SECONDS, until - time.monotonic())
