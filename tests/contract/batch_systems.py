"""The batch systems that must all behave alike, with the hands that the tests need inside each of them."""

import contextlib
import time

import pytest

from environments.domain_identity import WorkerIdentity
from environments.environment import Environment

REQUESTED_AT = 1732233600.5


class Simulated:
    """The simulations' batch system under simulated time."""

    def __init__(self):
        from simulations.clock import Agenda, SimulatedClock
        from simulations.queue import SimulatedQueue

        self.clock = SimulatedClock()
        self.system = SimulatedQueue("pool", Agenda(self.clock), deadline_seconds=5.0)
        self.atlas = Environment(
            name="atlas-el9", vo="atlas", virtualization="lxc", vcpus=2, memory_mib=600, provides={"OpSysAndVer": "AlmaLinux9"},
            shared_with=("theory",), default=True,
        )  # fmt: skip
        self.old = Environment(
            name="atlas-slc6", vo="atlas", virtualization="lxc", vcpus=1, memory_mib=600, provides={"OpSysAndVer": "SL6"},
        )  # fmt: skip
        self.cms = Environment(
            name="cms-el8", vo="cms", virtualization="lxc", vcpus=1, memory_mib=600, provides={"OpSysAndVer": "AlmaLinux8"},
            default=True,
        )  # fmt: skip
        self._serial = 0

    @property
    def environments(self):
        return (self.atlas, self.old, self.cms)

    def submit(self, seconds=600.0, *, vo="atlas", environment="", count=1, requires=None, whole=False, **amounts):
        from simulations.jobs import Request

        request = Request(vo, environment, 1, 32, None, tuple((requires or {}).items()), whole=whole, **amounts)
        return self.system.submit(request, count, seconds)[0].id

    @contextlib.contextmanager
    def worker(self, environment):
        self._serial += 1
        name = f"{environment.name}-{self._serial}"
        enrolment = self.system.enrol(identity(name, environment, self._serial), environment)
        assert self.system.register(name, environment, enrolment.files["token"])
        yield name
        self.system.forget(name)

    def kill(self, worker):
        self.system.die(worker)

    def wait_until(self, condition, what):
        for _ in range(600):
            if found := condition():
                return found
            self.clock.sleep(1)
        raise AssertionError(f"not within 600 simulated seconds: {what}")

    def silence(self):
        self.system.faults.silent = True

    def answer_again(self):
        self.system.faults.silent = False

    def close(self):
        self.system.close()


class Live(Simulated):
    """The same under the real clock, as the demo uses it: workers register by themselves after they were enrolled."""

    def __init__(self):
        from pathlib import Path

        from simulations.live import connect

        super().__init__()
        self.system = connect("pool", {"boot_seconds": 0.05}, site="contract", deadline_seconds=60.0, directory=Path())

    @contextlib.contextmanager
    def worker(self, environment):
        self._serial += 1
        name = f"{environment.name}-{self._serial}"
        self.system.enrol(identity(name, environment, self._serial), environment)
        self.wait_until(lambda: self.system.node(name), f"{name} is registered")
        yield name
        self.system.forget(name)

    def wait_until(self, condition, what):
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError(f"not within 120 s: {what}")


class HTCondor:
    """A real pool of the lab, with workers in namespaces."""

    marks = (pytest.mark.real,)

    def __init__(self, pool):
        from tests.real.htcondor_pool import ATLAS, ATLAS_OLD, CMS, ENVIRONMENTS, connected

        self.pool = pool
        self.atlas, self.old, self.cms, self.environments = ATLAS, ATLAS_OLD, CMS, ENVIRONMENTS
        self._stack = contextlib.ExitStack()
        self.system = self._stack.enter_context(connected(pool))
        self._workers = {}

    def submit(self, seconds=600.0, *, vo="atlas", environment=None, count=1, requires=None, whole=False, disk_mib=0, gpus=0):
        words = {"environment": environment} if environment else {}
        words |= {"request_cpus": "TARGET.TotalCpus ?: 1"} if whole else {}
        words |= {"request_disk": f"{disk_mib} MB"} if disk_mib else {}
        words |= {"request_gpus": gpus} if gpus else {}
        if requires:
            words["requirements"] = " && ".join(f'TARGET.{name} == "{value}"' for name, value in requires.items())
        user = "dora" if vo == "theory" else "alice"
        return f"{self.pool.sleep(min(seconds, 600), vo=vo, user=user, count=count, **words)}.0"

    @contextlib.contextmanager
    def worker(self, environment):
        from tests.real.htcondor_pool import worker_of

        with worker_of(self.system, environment) as worker:
            self._workers[worker.name] = worker
            yield worker.name

    def kill(self, worker):
        self._workers[worker].kill()

    def wait_until(self, condition, what):
        from tests.real.htcondor_pool import wait_until

        return wait_until(condition, what)

    def close(self):
        self._stack.close()


def identity(name, environment, serial):
    return WorkerIdentity("contract", name, environment.name, environment.version, environment.vo, "pool", serial, REQUESTED_AT)
