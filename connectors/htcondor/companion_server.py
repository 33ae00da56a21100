"""The companion process: HTCondor's bindings behind a door of their own.

The bindings hold the interpreter's lock for as long as a daemon lets them wait, and not every call keeps to a time-out: a
daemon that hangs would stop our whole daemon. So they live in this process, which is asked one thing at a time and killed when
it is late. Its configuration (CONDOR_CONFIG) is its own, so several pools can be served side by side.

Run as `python -m connectors.htcondor.companion_server DESCRIPTOR` by the connector.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TypeVar

from connectors.command import FramedPipe
from connectors.htcondor import wire
from connectors.htcondor.asking import is_number
from connectors.htcondor.bindings import classad2, htcondor2
from connectors.htcondor.job import job_record, runs_of
from connectors.htcondor.matching import Judge
from connectors.htcondor.messages import EndedRun, LeftAds, Located, PoolAnswer, Question, QueueAnswer, Refused, Setting
from connectors.htcondor.queue import Queue
from connectors.htcondor.slots import ATTRIBUTES, OURS, slot_of
from connectors.htcondor.submission import submission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from connectors.htcondor.messages import Prototype
    from scheduler.model.ports import JobRecord, Submission

Answer = TypeVar("Answer")
_START = ("DaemonStartTime", "MonitorSelfTime", "MonitorSelfAge")
_OF_A_SCHEDD = ("Name", "MyAddress", "AddressV1", "CondorVersion", "Machine", "AmbientiLearns", "AmbientiEnvironments")
_OF_AN_UPDATE = ("Name", "UpdateSequenceNumber", "LastHeardFrom", "DaemonStartTime")
_CROSSING_SECONDS = 1.5
"""So long updates of a dying start daemon may still come in and bring back what was invalidated."""
_FIRST_PAUSE_SECONDS = 0.05
_FRESH_SECONDS = 3
_SETTLE_SECONDS = 0.3
"""What was heard so lately may be heard again: it is gone when it is still gone this long after."""
_QUICK_FAILURE_SECONDS = 1.5
"""A call that fails sooner may have met a daemon that was started anew: it is tried once more."""


def _is_fresh(shown: Iterable[tuple[str, ...]]) -> bool:
    """Whether the collector has just heard of some of these slots."""
    heard = [float(at) for *_, at, _ in shown if at.isdigit()]
    return bool(heard) and time.time() - max(heard) < _FRESH_SECONDS


class CompanionServer:
    """What one companion can be asked; it speaks with the collector, or with one schedd."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        for name in ("QUERY_TIMEOUT", "Q_QUERY_TIMEOUT", "SEC_TCP_SESSION_TIMEOUT", "TOOL_TIMEOUT"):
            htcondor2.param[name] = str(setting.timeout_seconds)
        self.judge = Judge(setting)
        self.queues: dict[str, Queue] = {}

    # --- the collector ------------------------------------------------------------------------------------------------

    def pool(self) -> PoolAnswer:
        """Return schedds and workers' slots."""
        collector = self._collector()
        own = collector.query(htcondor2.AdType.Collector, None, list(_START))
        slots, warnings = [], []
        for ad in collector.query(htcondor2.AdType.Startd, OURS, self._projection()):
            slot = slot_of(ad, self.judge)
            if slot is None:
                warnings.append(f"a slot's ad cannot be understood: {str(ad.get('Name', ad))[:200]}")
            else:
                slots.append(slot)
        return PoolAnswer(
            schedds=self._schedds(collector),
            slots=tuple(slots),
            collector_started_at=max((at for ad in own if (at := _started_at(ad)) is not None), default=None),
            warnings=tuple(warnings),
        )

    def schedds(self) -> PoolAnswer:
        """Return the schedds alone: whoever asks for a job need not wait for all slots of the pool."""
        return PoolAnswer(self._schedds(self._collector()), (), None)

    def _schedds(self, collector: htcondor2.Collector) -> tuple[Located, ...]:
        ads = collector.query(htcondor2.AdType.Schedd, None, list(_OF_A_SCHEDD))
        return tuple(sorted((_located(ad) for ad in ads if "Name" in ad and "MyAddress" in ad), key=lambda one: one.name))

    def slots(self, worker: str) -> PoolAnswer:
        """Return the slots of one worker."""
        ads = self._collector().query(htcondor2.AdType.Startd, _is_worker(worker), self._projection())
        found = [slot for ad in ads if (slot := slot_of(ad, self.judge)) is not None]
        return PoolAnswer((), tuple(found), None)

    def forget(self, worker: str, machine: str) -> LeftAds:
        """Invalidate the ads of a worker, again while an update that was under way crosses it; return what is left."""
        collector = self._collector()
        until, pause = time.monotonic() + _CROSSING_SECONDS, _FIRST_PAUSE_SECONDS
        first = shown = self._shown(collector, worker)
        while True:
            fresh = _is_fresh(shown)
            self._invalidate(collector, worker, machine)
            shown = self._shown(collector, worker)
            if not shown and fresh:
                time.sleep(_SETTLE_SECONDS)
                shown = self._shown(collector, worker)
            if not shown or time.monotonic() + pause > until:
                # What came after our first look is an update, so our word was heard: it was only overtaken.
                return LeftAds(len(shown), renewed=bool(shown) and not shown <= first)
            time.sleep(pause)
            pause *= 2

    def _shown(self, collector: htcondor2.Collector, worker: str) -> frozenset[tuple[str, ...]]:
        """Return the slots that the collector shows of a worker, each with what changes at every update."""
        ads = collector.query(htcondor2.AdType.Startd, _is_worker(worker), list(_OF_AN_UPDATE))
        return frozenset(tuple(str(ad.get(name)) for name in _OF_AN_UPDATE) for ad in ads)

    def _invalidate(self, collector: htcondor2.Collector, worker: str, machine: str) -> None:
        for command, kind, requirements in (
            ("INVALIDATE_STARTD_ADS", "Machine", _is_worker(worker)),
            ("INVALIDATE_STARTD_ADS", "StartD", _is_worker(worker)),
            ("INVALIDATE_MASTER_ADS", "DaemonMaster", f"Name =?= {classad2.quote(machine)}"),
        ):
            ad = classad2.ClassAd()
            ad["MyType"], ad["TargetType"] = "Query", kind
            ad["Requirements"] = classad2.ExprTree(requirements)
            collector.advertise([ad], command)

    def announce(self, ad: str) -> None:
        """Tell the collector which environments there are: the schedds learn them from there."""
        self._collector().advertise([classad2.ClassAd(ad)], "UPDATE_AD_GENERIC")

    def configuration(self, names: Sequence[str]) -> dict[str, str]:
        """Return values of HTCondor's configuration; "" for those that are not set."""
        return {name: str(htcondor2.param.get(name) or "") for name in names}

    # --- one schedd ---------------------------------------------------------------------------------------------------

    def queue(self, schedd: Located, prototypes: Sequence[Prototype], *, cheap: bool, exact_seconds: float) -> QueueAnswer:
        """Read the queue of a schedd."""
        queue = self.queues.setdefault(schedd.name, Queue(self.judge))
        return self._with_schedd(schedd, lambda ad: queue.read(ad, prototypes, cheap=cheap, exact_seconds=exact_seconds))

    def runs(self, schedd: Located, machines: Sequence[str], since: float) -> tuple[EndedRun, ...]:
        """Return the runs that ended on these machines since then."""
        return self._with_schedd(schedd, lambda ad: runs_of(htcondor2.Schedd(ad), machines, since))

    def job(self, schedd: Located, cluster: int, process: int, prototypes: Sequence[Prototype]) -> JobRecord | None:
        """Return one job of a schedd, from its queue or its history."""
        self.judge.know(prototypes)
        return self._with_schedd(schedd, lambda ad: job_record(htcondor2.Schedd(ad), self.judge, schedd.name, cluster, process))

    def submission(self, schedd: Located, cluster: int) -> Submission | None:
        """Return how the jobs of a cluster stand."""
        return self._with_schedd(schedd, lambda ad: submission(htcondor2.Schedd(ad), schedd.name, cluster))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _projection(self) -> list[str]:
        return list(dict.fromkeys((*ATTRIBUTES, *self.setting.vo_attributes, *self.setting.walltime_attributes)))

    def _collector(self) -> htcondor2.Collector:
        return htcondor2.Collector(self.setting.collector)

    def _with_schedd(self, schedd: Located, call: Callable[[classad2.ClassAd], Answer]) -> Answer:
        """Call a schedd; one that was started anew rejects our session: locate it and call again."""
        begun = time.monotonic()
        try:
            return call(classad2.ClassAd(schedd.ad))
        except htcondor2.HTCondorException:
            if time.monotonic() - begun > _QUICK_FAILURE_SECONDS:
                raise
        name = f"Name =?= {classad2.quote(schedd.name)}"
        for ad in self._collector().query(htcondor2.AdType.Schedd, name):
            return call(ad)
        raise htcondor2.HTCondorException("the collector no longer knows it")


def answer(door: CompanionServer, question: Question) -> object:
    """Answer one question; whatever goes wrong is said to the one who asked."""
    try:
        try:
            return getattr(door, question.function)(**question.arguments)
        except htcondor2.HTCondorException:
            # The collector's session is forgotten when the collector is started anew; the second call makes another.
            if question.function in {"pool", "slots", "forget", "announce"}:
                return getattr(door, question.function)(**question.arguments)
            raise
    except (htcondor2.HTCondorException, classad2.ClassAdException) as error:
        return Refused(question.function, str(error))
    except Exception as error:  # noqa: BLE001  the process must go on, and the asker is told
        return Refused(question.function, f"{type(error).__name__}: {error}")


def main(descriptor: int) -> None:
    """Answer until the other side hangs up."""
    line = FramedPipe(descriptor)
    try:
        door = CompanionServer(wire.read_setting(line.receive()))
        while True:
            question = wire.read_question(line.receive())
            try:
                line.send(wire.write_answer(answer(door, question)))
            except ValueError as error:  # too large
                line.send(wire.write_answer(Refused(question.function, str(error))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _started_at(ad: classad2.ClassAd) -> float | None:
    """Return when a collector was started: most tell only how old they were when they last looked at themselves."""
    started, looked, age = (ad.get(name) for name in _START)
    if is_number(started):
        return float(started)
    return float(looked - age) if is_number(looked) and is_number(age) else None


def _located(ad: classad2.ClassAd) -> Located:
    learned = ad.get("AmbientiEnvironments")
    return Located(
        str(ad["Name"]),
        str(ad),
        str(ad.get("CondorVersion", "")),
        learns=ad.get("AmbientiLearns") is True,
        learned=frozenset(learned.split(",")) if isinstance(learned, str) else None,
    )


def _is_worker(worker: str) -> str:
    return f"AmbientiWorker =?= {classad2.quote(worker)}"


if __name__ == "__main__":
    main(int(sys.argv[1]))
