"""The lab, per lane: from submission to the running job, beside the same worker booted by hand in the same run.

"By hand" makes the same enrolment and the same domain through the same connectors, at the instant of submission, without daemon,
queue reading, decision or journal: the difference is what Ambienti adds.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from connectors.htcondor import connect as connect_pool
from connectors.libvirt import connect as connect_host
from environments.domain_identity import WorkerIdentity
from environments.environment import Environment
from scheduler.model.ports import WorkerOrder
from tests.bench.report import Report, Table, Target, main, median
from tests.lab import lanes
from tests.lab.farm import LabFarm
from tests.lab.libvirtd import Libvirtd
from tests.lab.pool import Pool, test_pool
from tests.lab.xen import worker as xen_worker
from tests.lab.xen.host import XenHost

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

POLL_SECONDS = {"lxc": 1, "qemu": 1, "xen": 3}
"""In the emulated Xen host each poll takes the one processor from the worker that boots."""
ROUNDS = 5
PATIENCE_SECONDS = 180
IDLE_SECONDS = {"lxc": 1, "qemu": 1, "xen": 10}
"""A worker may not be retired before its first job has come; in the emulated Xen host that takes seconds."""
ADDRESSES = {"lxc": "127.0.1.210/8", "xen": "10.0.2.45/24"}


def run(options: argparse.Namespace) -> Report:
    """Measure the lanes one after the other, each with a pool of its own and nothing else running."""
    report = Report(
        "The lab: submit to running",
        f"A real HTCondor job, an empty farm, one worker; median of {options.rounds} rounds, by hand and by Ambienti in turn; seconds. "
        "Ambienti polls every second, the Xen host every three.",
    )
    table = Table("Seconds by lane", ["lane", "how", "call to registered", "submit to running", "least", "most"], [])
    for name in options.lanes.split(","):
        by_hand, by_ambienti = _lane(name, table, options.rounds)
        asked = by_hand + POLL_SECONDS[name] + 1
        report.targets.append(
            Target(
                f"{name}: Ambienti adds at most one poll + 1 s",
                f"<= {asked:.1f} s ({by_hand:.1f} s by hand + {POLL_SECONDS[name]} + 1)",
                f"{by_ambienti:.1f} s",
                by_ambienti <= asked,
            )
        )
    report.tables.append(table)
    return report


def _lane(name: str, table: Table, rounds: int) -> tuple[float, float]:
    daemon, xen = Libvirtd(f"bench-{name}-{os.getpid()}", dies_with_parent=True), XenHost(3, dies_with_parent=True)
    try:
        if name == "xen":
            xen.start()
            host, definition = xen_worker.host_entry(xen), xen_worker.environment(xen_worker.publish_worker(xen))
        else:
            daemon.start()
            host = lanes.host_entry(daemon, name)
            definition = lanes.container() if name == "lxc" else lanes.diskless()
        with test_pool(f"bench-{name}") as pool, TemporaryDirectory() as directory:
            return _rounds(name, pool, host, {**definition, "idle_seconds": IDLE_SECONDS[name]}, Path(directory), table, rounds)
    finally:
        daemon.remove()
        xen.stop()


def _rounds(
    name: str,
    pool: Pool,
    host: Mapping[str, object],
    definition: Mapping[str, object],
    directory: Path,
    table: Table,
    rounds: int,
) -> tuple[float, float]:
    through = xen_worker.BATCH_OPTIONS if name == "xen" else {}
    limits = {"poll_seconds": POLL_SECONDS[name]}
    farm = LabFarm(directory, pool, [host], {"atlas": {"bench": definition}}, limits, batch_options=through)
    pool.configure("60-ambienti.conf", farm.ambienti("hooks", "htcondor"))
    hand = _Hand(pool, through, host, Environment(name="bench", vo="atlas", **definition), ADDRESSES.get(name))
    by_hand, by_ambienti = [], []
    for number in range(rounds + 1):  # the first round warms caches and is not counted
        by_hand.append(hand.measure(number + 1))
        farm.start()
        farm.until(lambda times=number + 1: farm.log(10**6).count(" acts ") == times, 60, "the daemon acts")
        began = time.monotonic()
        by_ambienti.append(_until_running(pool, pool.sleep(0.5, environment="bench"), began))
        farm.until(lambda: not pool.ads("-attributes", "Name"), PATIENCE_SECONDS, "the worker is retired")
        farm.until(lambda: not _open_workers(farm), PATIENCE_SECONDS, "its entry is closed")
        farm.stop()
    hand.close()
    for how, measured in (("by hand", by_hand[1:]), ("Ambienti", by_ambienti[1:])):
        running = [one[1] for one in measured]
        table.rows.append([name, how, median([one[0] for one in measured]), median(running), min(running), max(running)])
    return median([one[1] for one in by_hand[1:]]), median([one[1] for one in by_ambienti[1:]])


class _Hand:
    """Boots workers as a person with a script would: no daemon, no queue, no decision."""

    def __init__(
        self,
        pool: Pool,
        through: Mapping[str, object],
        host: Mapping[str, object],
        environment: Environment,
        address: str | None,
    ) -> None:
        self.pool, self.environment, self.address = pool, environment, address
        self._directory = TemporaryDirectory()
        kept = Path(self._directory.name)
        self._batch = connect_pool("pool", {**pool.options(), **through}, site="hand", deadline_seconds=60, directory=kept)
        self._host = connect_host(str(host["name"]), str(host["uri"]), host["options"], site="hand", deadline_seconds=60)  # type: ignore[arg-type]
        self._batch.read([environment], cheap=False)
        self._host.read()

    def measure(self, serial: int) -> tuple[float, float]:
        """Boot one worker for one job; return seconds from the call to registered and from submission to running."""
        worker = f"bench-{1000 + serial}"
        identity = WorkerIdentity("hand", worker, "bench", "1", "atlas", "pool", serial, time.time(), self.address)
        began = time.monotonic()
        cluster = self.pool.sleep(0.5, environment="bench")
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:hand:{worker}"))
        order = WorkerOrder(worker, key, self.environment, identity, self._batch.enrol(identity, self.environment))
        self._host.boot(order)
        measured = _until_running(self.pool, cluster, began)
        _wait(lambda: not self.pool.queue(str(cluster)), "the job ends")
        self._host.power_off(worker, order.uuid)
        self._host.clean_up(worker, order.uuid)
        self._batch.forget(worker)
        _wait(lambda: not self.pool.ads("-attributes", "Name"), "its ads are gone")
        return measured

    def close(self) -> None:
        """Give the connections back."""
        self._host.close()
        self._batch.close()
        self._directory.cleanup()


def _until_running(pool: Pool, cluster: int, began: float) -> tuple[float, float]:
    registered = 0.0

    def runs() -> bool:
        nonlocal registered
        if not registered and pool.ads("-attributes", "Name"):
            registered = time.monotonic() - began
        jobs = pool.queue(str(cluster), "-attributes", "JobStatus")
        return not jobs or jobs[0]["JobStatus"] == 2

    _wait(runs, "the job runs")
    running = time.monotonic() - began
    return registered or running, running


def _open_workers(farm: LabFarm) -> bool:
    with farm.journal() as journal:
        return bool(journal.ledger().entries)


def _wait(holds, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE_SECONDS} s")
        time.sleep(0.05)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lanes", default="lxc,qemu,xen")
    parser.add_argument("--rounds", type=int, default=ROUNDS)


if __name__ == "__main__":
    main(run, _arguments)
