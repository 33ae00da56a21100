"""What the tests of the HTCondor connector have in their hands: environments, a connector, workers started by hand."""

import contextlib
import itertools
import os
import time

from connectors.htcondor import connect
from environments.domain_identity import WorkerIdentity
from environments.environment import Environment
from tests.lab.bare_worker import BareWorker

ATLAS = Environment(
    name="atlas-el9", vo="atlas", virtualization="lxc", vcpus=2, memory_mib=600, provides={"OpSysAndVer": "AlmaLinux9", "HasCVMFS": True},
    shared_with=("theory",), default=True, network={"kind": "host"},
)  # fmt: skip
ATLAS_OLD = Environment(
    name="atlas-slc6", vo="atlas", virtualization="lxc", vcpus=1, memory_mib=600, provides={"OpSysAndVer": "SL6"}, network={"kind": "host"},
)  # fmt: skip
CMS = Environment(
    name="cms-el8", vo="cms", virtualization="lxc", vcpus=1, memory_mib=600, provides={"OpSysAndVer": "AlmaLinux8"}, default=True,
    network={"kind": "host"},
)  # fmt: skip
ENVIRONMENTS = (ATLAS, ATLAS_OLD, CMS)
_addresses = (f"127.0.{third}.{last}/8" for third, last in itertools.product(range(3, 250), range(1, 250)))
_serials = itertools.count(1)


@contextlib.contextmanager
def connected(pool, deadline_seconds=60.0, name="pool", **options):
    """Connect to a pool; everything is given back afterwards."""
    system = connect(
        name,
        {**pool.options(), **options},
        site="test",
        deadline_seconds=deadline_seconds,
        directory=pool.directory / "ambienti",
    )
    try:
        yield system
    finally:
        system.close()


@contextlib.contextmanager
def worker_of(system, environment, *, requested_at=None, register=True):
    """Start a worker of an environment with the enrolment that the connector makes; power off at the end."""
    serial = next(_serials)
    name = f"{environment.name}-{os.getpid()}-{serial}"
    order = WorkerIdentity(
        "test",
        name,
        environment.name,
        environment.version,
        environment.vo,
        system.name,
        serial,
        requested_at or time.time(),
        next(_addresses),
    )
    enrolment = system.enrol(order, environment)
    worker = BareWorker(name, enrolment.parameters, enrolment.files)
    worker.start()
    try:
        if register:
            wait_until(lambda: system.node(name), f"{name} is registered", told=worker.console)
        yield worker
    finally:
        worker.close()
        system.forget(name)


def wait_until(condition, what, seconds=120.0, told=lambda: ""):
    """Wait until something is so; return what the condition returned."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}\n{told()}")


def rows(reading, vo=None):
    """Return a reading's request clusters (of a VO)."""
    return [cluster for cluster in reading.clusters if vo in {None, cluster.vo}]


def only(reading, vo=None):
    """Return the one request cluster of a reading."""
    (found,) = rows(reading, vo)
    return found


def status(pool, cluster):
    """Return the status of a cluster's first job; 4 when it has left the queue."""
    jobs = pool.queue(str(cluster), "-attributes", "JobStatus")
    return jobs[0]["JobStatus"] if jobs else 4
