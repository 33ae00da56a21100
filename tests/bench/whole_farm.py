"""The farm of the daemon's benchmark: host files of libvirt's test driver with workers in them, and a queue that knows these.

`python -m tests.bench.whole_farm DIRECTORY WORKERS`: hold only that, and print how much memory it takes, in MiB.
"""

from __future__ import annotations

import atexit
import json
import shutil
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import libvirt

from environments.domain import DomainPieces, Driver, domain_xml
from environments.domain_identity import Identity
from scheduler.model.clock import WallClock
from scheduler.model.hosts import worker_uuid
from scheduler.site import definitions
from simulations.clock import Agenda
from simulations.jobs import Request
from simulations.queue import Habits, SimulatedQueue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from environments.environment import Environment
    from scheduler.model.queues import QueueReading
    from simulations.jobs import Job
    from simulations.node import SimulatedNode

HOSTS = 200
POLL_SECONDS = 30
SITE, VO, NAME, QUEUE = "bench", "atlas", "el9", "pool"
ENDLESS_SECONDS = 10.0**9
JOB_SECONDS, LIFETIME_SECONDS = 2, 5
"""Under churn."""
HOST = """\
<node>
  <cpu><mhz>2400</mhz><model>x86_64</model><active>64</active><nodes>1</nodes><sockets>1</sockets><cores>64</cores><threads>1</threads></cpu>
  <memory>268435456</memory>
  <network><name>default</name><bridge name='virbr0'/></network>
  <pool type='dir'><name>default</name><target><path>/var/lib/ambienti</path></target></pool>
{domains}</node>
"""


@cache
def known_to_python() -> Path:
    """Make the queue known as the connector `bench`, here and to whoever has the returned directory in PYTHONPATH."""
    directory = Path(tempfile.mkdtemp(prefix="ambienti-bench-entry-"))
    atexit.register(shutil.rmtree, directory)
    information = directory / "ambienti_bench-0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: ambienti-bench\nVersion: 0\n")
    (information / "entry_points.txt").write_text("[ambienti.batch_systems]\nbench = tests.bench.whole_farm:connect\n")
    sys.path.append(str(directory))
    return directory


def lay_out(directory: Path, workers: int, *, churn: bool = False) -> None:
    """Write a site's files and its hosts' files; workers run on the hosts already, and are adopted."""
    known_to_python()
    options = {"workers": workers, "churn": churn}
    limits: dict[str, object] = {"poll_seconds": POLL_SECONDS}
    environment: dict[str, object] = {
        "virtualization": "xen-pv",
        "image": {"kernel": "/boot/vmlinuz-el9", "initrd": "/boot/worker-el9.img"},
        "vcpus": 1,
        "memory_mib": "2 GiB",
        "default": True,
    }
    if churn:
        most = ("boots_per_cycle", "boots_in_flight", "boots_per_pool", "drains_per_cycle")
        limits |= dict.fromkeys(most, 10 * workers) | {"poll_seconds": 1, "drain_percent": 100, "minimum_life_seconds": 0}
        environment |= {"lifetime_seconds": LIFETIME_SECONDS, "idle_seconds": 1, "boot_seconds": LIFETIME_SECONDS - 1}
    site = {
        "site": SITE,
        "batch_systems": [{"name": QUEUE, "kind": "bench", "options": options}],
        "hosts": [{"name": f"host[001-{HOSTS:03d}]", "uri": f"test://{directory}/{{host}}.xml", "max_boots": 1000}],
        "vos": {VO: {}},
        "limits": limits,
    }
    (directory / "site.yaml").write_text(json.dumps(site))
    (directory / "vos").mkdir()
    (directory / "vos" / f"{VO}.yaml").write_text(json.dumps({"vo": VO, "environments": {NAME: environment}}))
    found = definitions.load(directory / "site.yaml").policy.catalogue.environments[NAME]
    for host in range(HOSTS):
        here = range(host + 1, 1 if churn else workers + 1, HOSTS)
        domains = "".join(_domain(found, serial) for serial in here)
        (directory / f"host{host + 1:03d}.xml").write_text(HOST.format(domains=domains))


def _domain(environment: Environment, serial: int) -> str:
    name = f"{NAME}-{serial}"
    identity = Identity(SITE, name, NAME, environment.version, VO, QUEUE, serial, time.time() - 3600)
    return domain_xml(DomainPieces(worker_uuid(SITE, name, serial), environment, identity), Driver.TEST)


class BenchQueue(SimulatedQueue):
    """A queue whose workers, those on the hosts from the beginning included, all have a job, and another one after it."""

    def __init__(self, name: str, workers: int, *, churn: bool) -> None:
        super().__init__(name, Agenda(WallClock()), habits=Habits(negotiation_seconds=0.1, start_seconds=0.1))
        self._workers = workers
        self._churn = churn
        self._request = Request(VO, NAME, 1, 1024)
        self._filled = False
        self.on_enrol = self._arrives

    def read(self, environments: Sequence[Environment], *, cheap: bool) -> QueueReading:
        """Read it; its jobs and workers are there from the first time on."""
        if not self._filled:
            self._filled = True
            for serial in () if self._churn else range(1, self._workers + 1):
                self._arrives(f"{NAME}-{serial}", environments[0])
            self.submit(self._request, self._workers, JOB_SECONDS if self._churn else ENDLESS_SECONDS)
            time.sleep(0.5)
        return super().read(environments, cheap=cheap)

    def _arrives(self, worker: str, environment: Environment) -> None:
        self._agenda.after(0.1, lambda: self.register(worker, environment, self.token(worker)))

    def release(self, node: SimulatedNode, job: Job) -> None:
        super().release(node, job)
        del self.book.jobs[job.id]
        self.submit(self._request, 1, JOB_SECONDS)


def connect(name: str, options: Mapping[str, Any], **_: object) -> BenchQueue:
    """Make a batch system of kind `bench`."""
    return BenchQueue(name, int(options["workers"]), churn=bool(options["churn"]))


def main() -> None:
    """Print what the connections and the queue take."""
    directory, workers = Path(sys.argv[1]), int(sys.argv[2])
    known_to_python()
    found = definitions.load(directory / "site.yaml").policy.catalogue.environments[NAME]
    before = _memory()
    connections = [libvirt.open(f"test://{directory}/host{host + 1:03d}.xml") for host in range(HOSTS)]
    queue = BenchQueue(QUEUE, workers, churn=False)
    for _ in range(3):
        reading = queue.read([found], cheap=False)
    print(f"{_memory() - before:.1f}")
    assert len(reading.nodes) == workers
    assert sum(connection.numOfDomains() for connection in connections) == workers


def _memory() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


if __name__ == "__main__":
    main()
