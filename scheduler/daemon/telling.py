"""What the daemon writes to its log of each cycle: who acts, which sources fell silent or answer again, what was done, why."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from environments.reason import counted
from scheduler.journal.records import Outcome
from scheduler.model.actions import host_of
from scheduler.model.hosts import HostReading
from scheduler.model.readings import is_silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from scheduler.loop.engine import Cycle

HOSTS_NAMED = 10
_AS_EXPECTED = frozenset({Outcome.DONE, Outcome.UNDER_WAY, Outcome.AGAIN})
_words = partial(re.sub, r"\d+", "")


class Teller:
    """Remembers what it has told, and tells only what is new."""

    def __init__(self, log: FilteringBoundLogger, owner: str) -> None:
        self._log = log
        self._owner = owner
        self._leading: bool | None = None
        self._silent: dict[str, str] = {}
        self._hosts: tuple[frozenset[str], set[str]] | None = None
        self._doubts: dict[str, str] = {}
        self._same: dict[str, str] = {}
        self._twins: dict[str, tuple[str, ...]] = {}
        self._unannounced: Mapping[str, str] = {}
        self._uninvalidated: Mapping[str, str] = {}

    def tell(self, cycle: Cycle) -> None:
        """Write what is new in a cycle to the log."""
        if cycle.leading != self._leading:
            self._leading = cycle.leading
            if cycle.leading:
                self._log.info("acts", owner=self._owner)
            else:
                self._log.info("waits: another daemon holds the lease", owner=self._owner, holder=cycle.holder.owner)
        if not cycle.leading:
            return
        self._tell_sources(cycle)
        for subject, before, after in cycle.illegal:
            self._log.error("illegal step", subject=subject, before=before.value, after=after.value)
        for worker, hosts in sorted(cycle.twins.items() - self._twins.items()):
            self._log.error("one worker runs twice; neither is touched", worker=worker, hosts=", ".join(hosts))
        for worker in sorted(self._twins.keys() - cycle.twins.keys()):
            self._log.info("one worker runs once again", worker=worker)
        self._twins = dict(cycle.twins)
        if cycle.clock_step_seconds:
            self._log.warning("the clock was set", by_seconds=round(cycle.clock_step_seconds, 1))
        for result in cycle.results:
            action = result.action
            tell = self._log.info if result.outcome in _AS_EXPECTED else self._log.warning
            further = {"detail": result.detail} if result.detail else {}
            told: dict[str, Any] = {"worker": action.machine, "outcome": result.outcome.value, **further}
            if host := host_of(action):
                told["host"] = host
            tell(action.kind.code, **told, reason=action.reason.code, why=action.reason.sentence)
        phases = {name: round(seconds, 3) for name, seconds in cycle.phases.items()}
        self._log.debug("cycle", quiet=cycle.quiet, workers=len(cycle.observation.workers), **phases)

    def _tell_sources(self, cycle: Cycle) -> None:
        sources = {**cycle.observation.queues, **cycle.observation.hosts}
        silent = {name: one.reason for name, one in sources.items() if is_silent(one)}
        discoveries = cycle.observation.discoveries
        silent |= {name: found.problem for name, found in discoveries.items() if found.problem}
        new = _news(self._silent, silent)
        if len(new) > HOSTS_NAMED:
            reasons = len({silent[name] for name in new})
            some = ", ".join(new[:HOSTS_NAMED])
            self._log.warning("no answer", count=len(new), sources=f"{some}, ...", reason=silent[new[0]], reasons=reasons)
        else:
            for name in new:
                self._log.warning("no answer", source=name, reason=silent[name])
        back = sorted((self._silent.keys() - silent.keys()) & (sources.keys() | discoveries.keys()))
        if len(back) > HOSTS_NAMED:
            self._log.info("answer again", count=len(back), sources=", ".join(back[:HOSTS_NAMED]) + ", ...")
        else:
            for name in back:
                self._log.info("answers again", source=name)
        self._silent = silent
        for name in _news(self._unannounced, cycle.unannounced):
            self._log.warning("its submit hooks cannot be told of environments", source=name, reason=cycle.unannounced[name])
        for name in sorted(self._unannounced.keys() - cycle.unannounced.keys()):
            self._log.info("its submit hooks are told of environments again", source=name)
        self._unannounced = cycle.unannounced
        for name in _news(self._uninvalidated, cycle.uninvalidated):
            problem = "the batch system still shows a worker that was given up, and does not let its ads be removed"
            self._log.warning(problem, worker=name, reason=cycle.uninvalidated[name])
        for name in sorted(self._uninvalidated.keys() - cycle.uninvalidated.keys()):
            self._log.info("the batch system no longer shows a worker that was given up", worker=name)
        self._uninvalidated = cycle.uninvalidated
        self._tell_hosts(cycle)

    def _tell_hosts(self, cycle: Cycle) -> None:
        """Tell which hosts joined and left since the last cycle, and of what in the answers of discoveries is not followed."""
        leaving = {host for found in cycle.observation.discoveries.values() for host in found.leaving}
        hosts, (before, left) = (
            frozenset(cycle.observation.hosts),
            self._hosts or (frozenset(cycle.observation.hosts), set()),
        )
        for what, names in (
            ("hosts joined", hosts - before),
            ("hosts are emptied: no discovery names them any more", leaving - left),
            ("hosts are forgotten", before - hosts),
        ):
            if names:
                self._log.info(what, count=len(names), hosts=", ".join(sorted(names)[:HOSTS_NAMED]))
        self._hosts = hosts, leaving
        verdicts = cycle.plan.hosts
        hosts_read = cycle.observation.hosts.items()
        same = {name: one.same_as for name, one in hosts_read if isinstance(one, HostReading) and one.same_as}
        for name in _news(self._same, same):
            if name in verdicts:
                self._log.warning("not used", host=name, why=verdicts[name].reasons[0].sentence)
        self._same = same
        doubts = {name: found.doubt for name, found in cycle.observation.discoveries.items() if found.doubt}
        for name in _news(self._doubts, doubts):
            self._log.warning("not followed", source=name, reason=doubts[name])
        self._doubts = doubts


def _news(told: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names with a reason that was not told yet; that a number in it has changed (seconds, tries) is no news."""
    return sorted(name for name, reason in now.items() if name not in told or _words(told[name]) != _words(reason))


def in_a_line(cycle: Cycle) -> str:
    """Say of a cycle what fits in the one line that systemd shows."""
    if not cycle.leading:
        return f"waiting: {cycle.holder.sentence}"
    sources = (*cycle.observation.queues.values(), *cycle.observation.hosts.values())
    silent = sum(is_silent(reading) for reading in sources)
    workers = counted(len(cycle.observation.workers), "worker")
    return f"{workers}, {counted(silent, 'silent source')}, last cycle {cycle.seconds:.1f} s"
