"""The farm under simulated time: plant, batch system, the real engine and journal, and what happens to all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from environments import addresses
from environments.environment import Environment
from environments.matching import Catalogue
from scheduler.journal import Journal
from scheduler.model import Host
from scheduler.policy import Policy
from simulations import faults
from simulations.chronicle import Chronicle
from simulations.clock import Agenda, SimulatedClock
from simulations.daemons import SimulatedDaemon
from simulations.interruptions import Knife
from simulations.jobs import Request
from simulations.plant import Plant
from simulations.queue import Habits, SimulatedQueue
from simulations.workload import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scheduler.ports import DomainEvent
    from simulations.scenario import FaultLines, Scenario

SITE = "hill"
POOL = "pool"
WAKE_SECONDS = 1.0
"""From a hypervisor's event to the cycle that it wakes."""


RECOVERY_SECONDS = 900.0


class SimulatedFarm:
    """Everything there is, and the passing of time."""

    def __init__(self, scenario: Scenario, directory: Path, *, chance: Random | None = None) -> None:
        self.scenario = scenario
        self.directory = directory
        self.clock = SimulatedClock()
        self.agenda = Agenda(self.clock)
        self.chronicle = Chronicle()
        self.knife = Knife()
        habits = Habits(leave_seconds=5.0 if scenario.drained_workers_leave else None)
        deadline = float(scenario.limits.reading_deadline_seconds)
        self.queue = SimulatedQueue(POOL, self.agenda, deadline_seconds=deadline, habits=habits)
        self.plant = Plant(self.agenda, chance or Random(scenario.seed), {POOL: self.queue})  # noqa: S311 - not for secrets
        for machine in scenario.machines():
            self.plant.add(machine, deadline).watch(self._wake)
        self.policy = _policy(scenario)
        self.journal_path = directory / "journal.db"
        self.daemons: list[SimulatedDaemon] = []
        self.restart_seconds: float | None = None
        """A killed daemon is started again after this; None: it stays dead."""
        self.faults_active: set[int] = set()
        self.imposed: Counter[tuple[int, str]] = Counter()
        self.acts_without_lease: list[str] = []
        self.journals_lost = 0
        self.kills = 0
        self._endings: list[Callable[[], None]] = []
        self.checks: list[Callable[[SimulatedFarm], None]] = []
        """Called after every step."""
        self.disturbed_at = 0.0
        """When something last went wrong, or was mended: for a while after, the scheduler may know less than we do."""
        self._wake_at: float | None = None
        self._tell_what_happens()
        self._fill_agenda()
        self.start_daemon()

    # --- telling ------------------------------------------------------------------------------------------------------

    def tell(self, who: str, text: str) -> None:
        """Add a line to the log."""
        self.chronicle.tell(self.agenda.monotonic(), who, text)

    def _tell_what_happens(self) -> None:
        def of_queue(kind: str, text: str) -> None:
            if kind in {"start", "done", "fail"}:
                self.chronicle.count("jobs", f"{kind} in {text}")
            elif kind == "jobs":
                self.tell("jobs", text)
            else:
                self.tell("worker", f"{text} {kind}")

        self.queue.tell = of_queue
        self.plant.tell = lambda kind, text: self.tell("host", f"{text} {kind}")

    def _fill_agenda(self) -> None:
        for lines in self.scenario.jobs:
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
        for fault in self.scenario.faults:
            self.agenda.after(fault.at, partial(self.befall, fault))

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

    def befall(self, fault: FaultLines) -> Callable[[], None]:
        """Let a fault begin; return what ends it. It ends by itself after `lasts`."""
        self.tell("fault", faults.describe(fault))
        self.disturbed_at = self.agenda.monotonic()
        end = faults.begin(self, fault)
        if end is None:
            return lambda: None
        mark = len(self.chronicle.lines)
        self.faults_active.add(mark)

        def over() -> None:
            if mark in self.faults_active:
                self.faults_active.discard(mark)
                self.tell("fault", f"{faults.describe(fault)}: over")
                self.disturbed_at = self.agenda.monotonic()
                end()

        if fault.lasts is not None:
            self.agenda.after(fault.lasts, over)
        self._endings.append(over)
        return over

    def mend_everything(self) -> None:
        """End all faults, and see to it that a daemon runs."""
        self.knife.cut_after = None
        for over in self._endings:
            over()
        self._endings.clear()
        if not any(daemon.alive for daemon in self.daemons):
            self.start_daemon()

    @property
    def recovering(self) -> bool:
        """Whether something was wrong a short while ago."""
        return self.clock.monotonic() - self.disturbed_at < RECOVERY_SECONDS

    def redefine(self, environment: str, changes: dict[str, Any]) -> None:
        """Change the definition of an environment, as a VO manager who saves the file."""
        known = self.policy.catalogue
        changed = Environment.model_validate({**known.environments[environment].model_dump(), **changes})
        catalogue = Catalogue({**known.environments, environment: changed}, known.vos)
        self.policy = replace(self.policy, catalogue=catalogue)
        for daemon in self.daemons:
            daemon.policy_changed(self.policy)

    def drain_host(self, host: str, *, back: bool = False) -> None:
        """Drain a host, or take that back, as an administrator at the command line."""
        journal = Journal(self.journal_url, now=self.clock.now(), durable=False)
        if back:
            journal.undrain_host(host, self.clock.now())
        else:
            journal.drain_host(host, "maintenance", self.clock.now())
        journal.close()

    # --- daemons ------------------------------------------------------------------------------------------------------

    @property
    def journal_url(self) -> str:
        """Return the URL of the journal."""
        return f"sqlite:///{self.journal_path}"

    def start_daemon(self) -> SimulatedDaemon:
        """Start a daemon; it observes at once."""
        daemon = SimulatedDaemon(self, f"daemon-{len(self.daemons) + 1}")
        self.daemons.append(daemon)
        return daemon

    def stop_daemon(self) -> None:
        """Stop the first living daemon in an orderly way."""
        for daemon in [one for one in self.daemons if one.alive][:1]:
            daemon.stop()

    def kill_daemon(self) -> None:
        """End the first living daemon without a word."""
        for daemon in [one for one in self.daemons if one.alive][:1]:
            daemon.die("killed")

    def daemon_died(self) -> None:
        """Start another one when the service manager would."""
        self.kills += 1
        if self.restart_seconds is not None:
            self.agenda.after(self.restart_seconds, self.start_daemon)

    def lose_journal(self) -> None:
        """Kill the daemon, lose its database, and start it on an empty one."""
        self.kill_daemon()
        for path in self.directory.glob("journal.db*"):
            path.unlink()
        self.journals_lost += 1
        self.start_daemon()

    def _wake(self, _event: DomainEvent) -> None:
        if self._wake_at is None:
            self._wake_at = self.agenda.monotonic() + WAKE_SECONDS

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass; daemons poll, whatever is due happens, and everything is checked after every step."""
        end = self.clock.monotonic() + seconds
        while True:
            due = [daemon.next_cycle_at for daemon in self.daemons if daemon.alive]
            nexts = [at for at in (self.agenda.next_at(), self._wake_at, *due) if at is not None]
            at = min(nexts, default=end)
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


def _policy(scenario: Scenario) -> Policy:
    environments = scenario.catalogue_environments()
    hosts = {name: Host(name, lines.labels, lines.max_boots, lines.cpu_overcommit) for name, lines in scenario.hosts.items()}
    pools = {name: addresses.expand(e.network.addresses) for name, e in environments.items() if e.network.addresses}
    return Policy(SITE, Catalogue(environments, scenario.catalogue_vos()), hosts, scenario.limits, pools)
