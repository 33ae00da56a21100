"""What there is in a simulated farm: time, hosts, the batch system, what the site wants, and the log of what happens."""

from __future__ import annotations

import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from environments import addresses
from environments.matching import Catalogue
from scheduler.journal.journal import Journal
from scheduler.model.hosts import Host
from scheduler.model.policy import Policy
from simulations.chronicle import Chronicle
from simulations.clock import Agenda, SimulatedClock
from simulations.interruptions import Knife
from simulations.plant import Plant
from simulations.queue import Habits, SimulatedQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulations.scenario import Scenario

SITE = "hill"
POOL = "pool"


class World:
    """All that daemons act upon, without the daemons."""

    def __init__(
        self, scenario: Scenario, directory: Path, *, chance: Random | None = None, policy: Policy | None = None
    ) -> None:
        self.scenario = scenario
        self.directory = directory
        self.clock = SimulatedClock()
        self.agenda = Agenda(self.clock)
        self.chronicle = Chronicle()
        self.knife = Knife()
        habits = Habits(leave_seconds=5.0 if scenario.drained_workers_leave else None)
        deadline = float(scenario.limits.reading_deadline_seconds)
        self.queue = SimulatedQueue(POOL, self.agenda, deadline_seconds=deadline, habits=habits)
        self.plant = Plant(self.agenda, chance or Random(scenario.seed), {POOL: self.queue}, SITE)  # noqa: S311 - not for secrets
        for machine in scenario.machines():
            self.plant.add(machine, deadline)
        self.policy = policy or _policy(scenario)
        self.journal_path = directory / "journal.db"
        self.journal_path.write_bytes(_empty_journal(self.clock.now()))
        self.on_death: Callable[[], None] = lambda: None
        """Is told when a daemon was killed."""
        self.acts_without_lease: list[str] = []
        self.faults_active: set[int] = set()
        self.imposed: Counter[tuple[int, str]] = Counter()
        """How many faults of a kind hold at the same time."""
        self.disturbed_at = 0.0
        """When something last went wrong, or was mended."""
        self.queue.tell = self._tell_of_queue
        self.plant.tell = lambda kind, text: self.tell("host", f"{text} {kind}")

    @property
    def journal_url(self) -> str:
        """Return the URL of the journal."""
        return f"sqlite:///{self.journal_path}"

    def tell(self, who: str, text: str) -> None:
        """Add a line to the log."""
        self.chronicle.tell(self.agenda.monotonic(), who, text)

    def _tell_of_queue(self, kind: str, text: str) -> None:
        if kind in {"start", "done", "fail"}:
            self.chronicle.count("jobs", f"{kind} in {text}")
        elif kind == "jobs":
            self.tell("jobs", text)
        else:
            self.tell("worker", f"{text} {kind}")


@cache
def _empty_journal(now: float) -> bytes:
    """Return a journal with nothing in it: making one takes longer than most simulations."""
    with tempfile.TemporaryDirectory(prefix="ambienti-") as directory:
        path = Path(directory) / "journal.db"
        Journal(f"sqlite:///{path}", now=now, durable=False).close()
        return path.read_bytes()


def _policy(scenario: Scenario) -> Policy:
    environments = scenario.catalogue_environments()
    hosts = {name: Host(name, lines.labels, lines.max_boots, lines.cpu_overcommit) for name, lines in scenario.hosts.items()}
    pools = {name: addresses.expand(e.network.addresses) for name, e in environments.items() if e.network.addresses}
    return Policy(SITE, Catalogue(environments, scenario.catalogue_vos()), hosts, scenario.limits, pools)
