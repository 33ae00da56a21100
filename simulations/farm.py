"""The farm under simulated time: its world, its daemons, its people, and the passing of time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from environments.environment import Environment
from environments.matching import Catalogue
from scheduler.journal.hosts import drain, say_off, undrain
from scheduler.journal.journal import Journal
from simulations.daemons import SimulatedDaemon
from simulations.jobs import Request
from simulations.workload import Arrival
from simulations.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from scheduler.model.policy import Policy
    from scheduler.model.ports import DomainEvent
    from simulations.scenario import Scenario

WAKE_SECONDS = 1.0
"""From a hypervisor's event to the cycle that it wakes."""
RECOVERY_SECONDS = 900.0
"""For so long after a fault the scheduler may know less than we do."""


class SimulatedFarm(World):
    """Everything there is. Faults are let loose on it by `faults.befall`."""

    def __init__(
        self, scenario: Scenario, directory: Path, *, chance: Random | None = None, policy: Policy | None = None
    ) -> None:
        super().__init__(scenario, directory, chance=chance, policy=policy)
        for host in self.plant.hosts.values():
            host.watch(self._wake)
        self.on_death = self._daemon_died
        self.daemons: list[SimulatedDaemon] = []
        self.restart_seconds: float | None = None
        """A killed daemon is started again after this; None: it stays dead."""
        self.journals_lost = 0
        self.kills = 0
        self.endings: list[Callable[[], None]] = []
        """What ends each fault; harmless for those that are over."""
        self.checks: list[Callable[[SimulatedFarm], None]] = []
        """Called after every step."""
        self._wake_at: float | None = None
        for lines in scenario.jobs:
            request = Request(
                vo=lines.vo,
                wanted=lines.wants,
                cpus=lines.cpus,
                memory_mib=lines.memory_mib,
                walltime_seconds=lines.walltime_seconds,
                requires=tuple(lines.requires.items()),
                problem=lines.malformed,
            )
            self.expect(Arrival(lines.at, request, lines.count, lines.runs))
        self.start_daemon()

    # --- what people do -----------------------------------------------------------------------------------------------

    def expect(self, arrival: Arrival) -> None:
        """Let jobs be submitted when their time comes."""

        def submit() -> None:
            request = arrival.request
            self.queue.submit(request, arrival.count, arrival.run_seconds, arrival.user)
            jobs = "1 job" if arrival.count == 1 else f"{arrival.count} jobs"
            wants = f"want {request.wanted}" if request.wanted else "want no environment by name"
            cores = "1 core" if request.cpus == 1 else f"{request.cpus} cores"
            self.tell("users", f"{jobs} of {request.vo} {wants}: {cores}, {request.memory_mib} MiB each")

        self.agenda.after(arrival.at_seconds - self.agenda.monotonic(), submit)

    def redefine(self, environment: str, changes: dict[str, Any]) -> None:
        """Change the definition of an environment, as a VO manager who saves the file."""
        known = self.policy.catalogue
        changed = Environment.model_validate({**known.environments[environment].model_dump(), **changes})
        self.policy = replace(self.policy, catalogue=Catalogue({**known.environments, environment: changed}, known.vos))
        for daemon in self.daemons:
            daemon.policy_changed(self.policy)

    def drain_host(self, host: str, *, back: bool = False) -> None:
        """Drain a host, or take that back, as an administrator at the command line."""
        journal = Journal(self.journal_url, now=self.clock.now(), durable=False)
        if back:
            undrain(journal, host, self.clock.now())
        else:
            drain(journal, host, "maintenance", self.clock.now(), "admin")
        journal.close()

    def forget_host(self, host: str) -> None:
        """Say that a host is off for good, as an administrator at the command line."""
        journal = Journal(self.journal_url, now=self.clock.now(), durable=False)
        say_off(journal, host, "gone for good", self.clock.now(), "admin")
        journal.close()

    # --- daemons ------------------------------------------------------------------------------------------------------

    def start_daemon(self) -> None:
        """Start a daemon; it observes at once."""
        self.daemons.append(SimulatedDaemon(self, f"daemon-{len(self.daemons) + 1}"))

    def stop_daemon(self) -> None:
        """Stop the first living daemon in an orderly way."""
        for daemon in [one for one in self.daemons if one.alive][:1]:
            daemon.stop()

    def kill_daemon(self) -> None:
        """End the first living daemon without a word."""
        for daemon in [one for one in self.daemons if one.alive][:1]:
            daemon.die("killed")

    def lose_journal(self) -> None:
        """Kill all daemons, lose their database, and start one on an empty one."""
        restart, self.restart_seconds = self.restart_seconds, None
        for daemon in self.daemons:
            daemon.die("killed")
        self.restart_seconds = restart
        for path in self.directory.glob("journal.db*"):
            path.unlink()
        self.journals_lost += 1
        self.start_daemon()

    def _daemon_died(self) -> None:
        self.kills += 1
        if self.restart_seconds is not None:
            self.agenda.after(self.restart_seconds, self.start_daemon)

    def _wake(self, event: DomainEvent) -> None:
        if event.what.wakes and self._wake_at is None:
            self._wake_at = self.agenda.monotonic() + WAKE_SECONDS

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def recovering(self) -> bool:
        """Whether something was wrong a short while ago."""
        return self.clock.monotonic() - self.disturbed_at < RECOVERY_SECONDS

    def run(self, seconds: float) -> None:
        """Let time pass; daemons poll, whatever is due happens, and everything is checked after every step."""
        end = self.clock.monotonic() + seconds
        while True:
            due = [daemon.next_cycle_at for daemon in self.daemons if daemon.alive]
            nexts = [at for at in (self.agenda.next_at(), self._wake_at, *due) if at is not None]
            at = min(nexts, default=end + 1)
            if at > end:
                break
            self.clock.sleep(at - self.clock.monotonic())
            self.agenda.catch_up()
            self._cycles()
            self.chronicle.flush(self.clock.monotonic())
            for check in self.checks:
                check(self)
        self.clock.sleep(end - self.clock.monotonic())

    def _cycles(self) -> None:
        now = self.clock.monotonic()
        woken = self._wake_at is not None and self._wake_at <= now
        if woken:
            self._wake_at = None
        for daemon in list(self.daemons):
            if daemon.alive and (woken or daemon.next_cycle_at <= now):
                daemon.cycle()

    def close(self) -> None:
        """Give everything back."""
        for daemon in self.daemons:
            daemon.stop()
