"""Bursts of boots and of retirements on a real libvirtd (LXC), with a daemon that is killed at random instants all the while."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import libvirt

from scheduler.journal.reading import JournalReader
from scheduler.model.hosts import worker_uuid
from tests.lab.libvirtd import Libvirtd
from tests.lab.outside import OutsideQueue, write_entry_points
from tests.lab.paths import CHECKOUT
from tests.lab.tiny import tiny_tree

SITE = "lab"
LIMITS = {
    "poll_seconds": 1,
    "reading_deadline_seconds": 3,
    "minimum_life_seconds": 0,
    "confirm_empty_seconds": 1,
    "adoption_seconds": 30,
    "drain_percent": 100,
}

SCALES = (1, 1, 1, 2, 4, 8)
"""By what the length of a daemon's life is multiplied."""


def tiny_environment(**more: object) -> dict[str, object]:
    """Return an environment whose containers boot in a moment and need next to nothing."""
    return {
        "virtualization": "lxc",
        "image": {"path": str(tiny_tree())},
        "vcpus": 1,
        "memory_mib": 64,
        "job_memory_mib": 32,
        "network": {"kind": "host"},
        "boot_seconds": 60,
        **more,
    }


def hush() -> None:
    """libvirt prints every error to standard error unless told not to."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


class CrashFarm:
    """A libvirtd, a queue that outlives the daemon, a site's files, and the hands to start and kill daemons."""

    def __init__(
        self,
        directory: Path,
        libvirtd: Libvirtd,
        limits: dict | None = None,
        listen: str = "",
        hosts: int = 1,
        journal: str = "",
    ) -> None:
        hush()
        self.directory = directory
        self.libvirtd = libvirtd
        self._hand = libvirt.open(libvirtd.uri("lxc"))
        self.queue = OutsideQueue(directory / "queue.sock", self.domains)
        self.site_file = directory / "site.yaml"
        self.journal_url = journal or f"sqlite:///{directory / 'ambienti.db'}"
        self.write_site(limits, listen, hosts)
        environment = tiny_environment(idle_seconds=1, default=True)
        (directory / "vos").mkdir(exist_ok=True)
        (directory / "vos/atlas.yaml").write_text(json.dumps({"vo": "atlas", "environments": {"el9": environment}}))
        self.python_path = os.pathsep.join([str(write_entry_points(directory / "entry-points")), str(CHECKOUT)])

    def write_site(self, limits: dict | None = None, listen: str = "", hosts: int = 1, state: str = "state") -> None:
        """Write the site file; YAML reads JSON. A machine of its own has a state directory of its own."""
        options = self.libvirtd.options()
        site = {
            "site": SITE,
            "batch_systems": [{"name": "pool", "kind": "outside", "options": {"socket": str(self.queue.socket)}}],
            "hosts": [
                {
                    "name": f"lxc{n + 1}",
                    "uri": self.libvirtd.uri("lxc"),
                    "max_boots": 8,
                    "cpu_overcommit": 50.0,
                    "options": options,
                }
                for n in range(hosts)
            ],
            "vos": {"atlas": {}},
            "limits": LIMITS | (limits or {}),
            "daemon": {"listen": listen, "lease_seconds": 10, "journal": self.journal_url, "directory": state},
        }
        self.site_file.write_text(json.dumps(site))

    def domains(self) -> list[str]:
        """Return the names of the domains that run."""
        with contextlib.suppress(libvirt.libvirtError):
            return [domain.name() for domain in self._hand.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)]
        with contextlib.suppress(libvirt.libvirtError):
            self._hand = libvirt.open(self.libvirtd.uri("lxc"))
        return list(self.queue.seen)

    def uuids(self) -> dict[str, str]:
        """Return the domains there are, with their UUIDs."""
        return {domain.name(): domain.UUIDString() for domain in self._hand.listAllDomains()}

    def destroy(self, name: str) -> None:
        """End a domain, as a fault would."""
        self._hand.lookupByName(name).destroy()

    def leftovers(self) -> set[str]:
        """Return what lies about on the host: volumes and enrolment directories of workers."""
        places = (self.libvirtd.volumes, self.libvirtd.directory / "enrolment")
        return {path.name for place in places if place.exists() for path in place.iterdir()}

    @contextlib.contextmanager
    def journal(self):
        """Read the journal beside the daemon."""
        reader = JournalReader(self.journal_url, now=time.time())
        try:
            yield reader
        finally:
            reader.close()

    def start(self, *words: str) -> subprocess.Popen:
        """Start a real `ambienti run`; it dies with this process."""
        program = Path(sys.executable).with_name("ambienti")
        with (self.directory / "daemon.log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", str(program), "run", *words, "--site", str(self.site_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": self.python_path},
            )

    def log(self, lines: int = 60) -> str:
        """Return the end of the daemons' log."""
        path = self.directory / "daemon.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def close(self) -> None:
        """End the queue and all domains."""
        self.queue.close()
        for domain in self._hand.listAllDomains():
            with contextlib.suppress(libvirt.libvirtError):
                domain.destroy()
        self._hand.close()


class Forge:
    """The process that forks daemons."""

    def __init__(self, farm: CrashFarm) -> None:
        self._farm = farm
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", sys.executable, "-m", "tests.lab.forge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": farm.python_path},
        )
        assert self._process.stdout.readline() == "ready\n"
        self.alive: int | None = None

    def start(self) -> None:
        """Start a daemon."""
        self.alive = int(self._ask(f"start {self._farm.site_file} {self._farm.directory / 'daemon.log'}"))

    def end(self, how: signal.Signals) -> int:
        """End it and return its wait status."""
        os.kill(self.alive, how)
        status = int(self._ask(f"wait {self.alive}"))
        self.alive = None
        return status

    def close(self) -> None:
        """End the daemon and the forge."""
        if self.alive is not None:
            self.end(signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait(120)
        self._process.stdout.close()

    def _ask(self, line: str) -> str:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


class Ordeal:
    """Kills daemons at random instants and judges what is left after each."""

    def __init__(self, farm: CrashFarm, seed: int) -> None:
        self.farm = farm
        self.forge = Forge(farm)
        self.chance = random.Random(seed)
        self.kills = 0
        self.killed_in: Counter[str] = Counter()
        """What the killed daemons were doing, as their open intents tell."""
        self.double_boots: list[str] = []
        self.orphans: list[str] = []
        self.rounds = 0
        self._started: dict[str, set[str]] = {}

    def round(self, jobs: int, most_kills: int) -> None:
        """One burst of boots and its retirement, under fire; then an undisturbed daemon has to bring everything in order."""
        self.rounds += 1
        before = len(self.farm.queue.started)
        self.farm.queue.submit(jobs)
        self._under_fire(lambda: len(self.farm.queue.running()) == jobs, most_kills // 2 + 1)
        started = self.farm.queue.started
        if len(started) - before > jobs:
            self.double_boots.append(f"round {self.rounds}: {len(started) - before} workers were started for {jobs} jobs")
        self.farm.queue.complete_all()
        self._under_fire(self._empty, most_kills - most_kills // 2)

    def _under_fire(self, done, most_kills: int) -> None:
        kills = 0
        while kills < most_kills and not done():
            self.forge.start()
            # The first acts fall into the first tenths of a second, on a busy machine later; further ones follow the poll. Whether
            # a kill hit an act says nothing of the machine's speed, so each is drawn anew from several scales.
            self._let_live(self.chance.choice(SCALES) * self.chance.uniform(0.02, 0.35), done)
            self.forge.end(signal.SIGKILL)
            kills += 1
            self.kills += 1
            self._judge()
        if not done():
            self._bring_in_order(done)

    def _bring_in_order(self, done) -> None:
        self.forge.start()
        until = time.monotonic() + 180
        while not done():
            assert time.monotonic() < until, f"not in order after 180 s: {self.farm.domains()}\n{self.farm.log()}"
            time.sleep(0.05)
        status = self.forge.end(signal.SIGTERM)
        assert status in {0, signal.SIGTERM}, f"the daemon ended with {status}\n{self.farm.log()}"
        self._judge()

    def _let_live(self, seconds: float, done) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not done():
            time.sleep(0.01)

    def _judge(self) -> None:
        """No domain without its row in the journal, none under two identities, no name twice."""
        domains = self.farm.uuids()
        with self.farm.journal() as journal:
            for name, uuid in domains.items():
                entry = journal.entry(name)
                if entry is None or uuid != worker_uuid(SITE, name, entry.serial):
                    self.orphans.append(f"{name} {uuid}")
            opened = journal.ledger()
        for name, uuid in domains.items():
            uuids = self._started.setdefault(name, set())
            uuids.add(uuid)
            if len(uuids) > 1:
                self.double_boots.append(f"{name} was started as {sorted(uuids)}")
        self.killed_in.update({intent.kind for intent in opened.intents} or {"between acts"})

    def _empty(self) -> bool:
        if self.farm.domains():
            return False
        with self.farm.journal() as journal:
            ledger = journal.ledger()
        return not ledger.entries and not ledger.intents

    def close(self) -> None:
        """End what is left."""
        self.forge.close()
