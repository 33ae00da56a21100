"""A host, or a batch system, that does not answer for a while keeps no other one waiting: real libvirtds, a real `ambienti run`."""

import contextlib
import json
import os
import threading
import time

import libvirt
import pytest

from tests.lab.crashes import LIMITS, SITE, CrashFarm, tiny_environment
from tests.lab.libvirtd import Libvirtd
from tests.lab.outside import OutsideQueue

pytestmark = pytest.mark.real
POLL_SECONDS = 2
DEADLINE_SECONDS = 600
"""Long: whoever waited for it would be seen."""


class SlowFarm(CrashFarm):
    """Two hosts, each for an environment of its own, and two batch systems."""

    def __init__(self, directory, boxes):
        self.boxes = dict(zip(("near", "far"), boxes, strict=True))
        self.slow = OutsideQueue(directory / "slow.sock", self.domains, name="slow")
        super().__init__(directory, boxes[0])
        environments = {host: tiny_environment(idle_seconds=60, labels={"place": host}) for host in self.boxes}
        (directory / "vos/atlas.yaml").write_text(json.dumps({"vo": "atlas", "environments": environments}))

    def write_site(self, limits=None, listen="", hosts=1):
        hosts = [
            {
                "name": name,
                "uri": box.uri("lxc"),
                "max_boots": 8,
                "cpu_overcommit": 50.0,
                "labels": {"place": name},
                "options": box.options(),
            }
            for name, box in self.boxes.items()
        ]
        queues = {"pool": self.queue, "slow": self.slow}
        site = {
            "site": SITE,
            "batch_systems": [
                {"name": name, "kind": "outside", "options": {"socket": str(queue.socket)}} for name, queue in queues.items()
            ],
            "hosts": hosts,
            "vos": {"atlas": {}},
            "limits": LIMITS | {"poll_seconds": POLL_SECONDS, "reading_deadline_seconds": DEADLINE_SECONDS},
            "daemon": {"lease_seconds": 10, "journal": self.journal_url},
        }
        self.site_file.write_text(json.dumps(site))

    def on(self, host):
        """Return what runs on a host, without asking its libvirtd: that may be frozen."""
        return {file.stem for file in (self.boxes[host].directory / "run/lxc").glob("*.pid")} - {"driver"}

    def domains(self):
        return [name for host in self.boxes for name in self.on(host)]

    def until(self, holds, seconds=300.0):
        until = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < until, f"not within {seconds} s\n{self.log()}"
            time.sleep(0.02)
        return found

    def boot_asked_for(self, queue, wanted, count=1):
        """Submit jobs; return how long it took until so many boots were asked for."""
        before, began = len(queue.calls), time.monotonic()
        queue.submit(count, wanted=wanted)

        def enrolled():
            calls = [at for at, what, _ in queue.calls[before:] if what == "enrol"]
            return calls if len(calls) >= count else ()

        return self.until(enrolled)[-1] - began

    def close(self):
        for box in self.boxes.values():
            box.thaw()
            with contextlib.closing(libvirt.open(box.uri("lxc"))) as hand:
                for domain in hand.listAllDomains():
                    domain.destroy()
        self.slow.close()
        super().close()


@pytest.fixture(scope="module")
def boxes():
    boxes = [Libvirtd(f"slow{number}-{os.getpid()}", dies_with_parent=True) for number in (1, 2)]
    for box in boxes:
        box.start()
    yield boxes
    for box in boxes:
        box.remove()


@pytest.fixture
def farm(tmp_path, boxes):
    farm = SlowFarm(tmp_path, boxes)
    daemon = farm.start()
    yield farm
    for box in farm.boxes.values():
        box.thaw()
    try:
        daemon.terminate()
        assert daemon.wait(120) == 0
    finally:
        daemon.kill()
        daemon.wait(120)
        farm.close()


def test_while_one_libvirtd_is_frozen_in_a_boot_the_other_host_s_workers_boot_meanwhile(farm, record_property):
    farm.boot_asked_for(farm.queue, "far")  # the daemon has started, both hosts have answered
    farm.until(lambda: len(farm.on("far")) == 1)
    freezes = threading.Event()

    def on_enrol(worker, environment):
        farm.queue.enrolled[worker] = environment
        if environment.name == "near":
            farm.boxes["near"].freeze()
            freezes.set()

    farm.queue.queue.on_enrol = on_enrol
    farm.boot_asked_for(farm.queue, "near")
    assert freezes.wait(300)
    took = [farm.boot_asked_for(farm.queue, "far") for _ in range(2)]
    record_property("boots_asked_for_beside_a_frozen_host_seconds", [round(one, 2) for one in took])
    print(f"beside a frozen host boots were asked for after {', '.join(f'{one:.2f}' for one in took)} s")
    assert max(took) < DEADLINE_SECONDS / 2
    farm.until(lambda: len(farm.on("far")) == 3)
    farm.boxes["near"].thaw()
    farm.until(lambda: len(farm.queue.running()) == 4)
    assert len(farm.on("near")) == 1
    assert len(farm.queue.started) == 4, "nothing was booted in the place of the boot that took so long"


def test_while_one_batch_system_hangs_in_an_enrolment_the_other_s_workers_boot_meanwhile(farm, record_property):
    farm.boot_asked_for(farm.queue, "far")
    goes_on = threading.Event()

    def on_enrol(worker, environment):
        farm.slow.enrolled[worker] = environment
        goes_on.wait(DEADLINE_SECONDS)

    farm.slow.queue.on_enrol = on_enrol
    farm.boot_asked_for(farm.slow, "far")
    try:
        took = [farm.boot_asked_for(farm.queue, "far") for _ in range(2)]
        farm.until(lambda: len(farm.on("far")) == 3)
    finally:
        goes_on.set()
    record_property("boots_asked_for_beside_a_hanging_batch_system_seconds", [round(one, 2) for one in took])
    print(f"beside a hanging batch system boots were asked for after {', '.join(f'{one:.2f}' for one in took)} s")
    assert max(took) < DEADLINE_SECONDS / 2
    farm.until(lambda: len(farm.slow.running()) == 1)
    assert len(farm.on("far")) == 4
