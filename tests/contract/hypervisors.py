"""The hypervisors that must all behave alike, with the hands that the tests need inside each of them."""

import shutil
import threading
import time
import uuid
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from environments.domain_identity import WorkerIdentity
from environments.environment import Environment, Image, Virtualization
from scheduler.model.hosts import PoolSpace, worker_uuid
from scheduler.model.ports import DomainEvent, Enrolment, WorkerOrder

SITE = "contract"
SECRET = b"a token of its own"


class Listener:
    """Takes note of events as they are told, and of when."""

    def __init__(self):
        self.events: list[tuple[float, DomainEvent]] = []
        self._news = threading.Condition()

    def tell(self, event):
        with self._news:
            self.events.append((time.monotonic(), event))
            self._news.notify_all()

    def wait_for(self, whats, domain="", seconds=120.0):
        """Return when the first such event was told; fail after so many seconds."""
        until = time.monotonic() + seconds
        with self._news:
            while True:
                for at, event in self.events:
                    if event.what in whats and event.domain == domain:
                        return at
                left = until - time.monotonic()
                assert left > 0, f"none of {whats} told of {domain or 'the host'} in {seconds} s, but {self.events}"
                self._news.wait(left)

    def forget(self):
        with self._news:
            self.events.clear()


def order(environment, serial=1, *, site=SITE, address=None):
    """An order for one worker of an environment; its UUID derives from its name, as the engine's do."""
    name = f"{environment.name}-{serial}"
    identity = WorkerIdentity(
        site=site,
        machine=name,
        environment=environment.name,
        version=environment.version,
        vo=environment.vo,
        batch_system="pool",
        serial=serial,
        requested_at=1732233600.5,
        address=address,
    )
    enrolment = Enrolment(parameters={"pool": "127.0.0.2:9618"}, files={"token": SECRET})
    return WorkerOrder(name, worker_uuid(site, name, serial), environment, identity, enrolment)


class Simulated:
    """A host of the simulations' plant."""

    def __init__(self):
        import random

        from simulations.clock import Agenda, SimulatedClock
        from simulations.plant import Machine, Plant

        self.plant = Plant(Agenda(SimulatedClock()), random.Random(1), {}, SITE)
        self.host = self.plant.add(Machine("sim1", pools=(PoolSpace("default", 100.0),)))
        self.environment = Environment(
            name="sim-env", vo="atlas", virtualization=Virtualization.XEN_PV, memory_mib=512, disk={"mode": "overlay", "pool": "default"},
            image={"path": "/images/base.qcow2"},
        )  # fmt: skip
        self.broken = self.environment.model_copy(update={"name": "broken", "image": Image(path="/images/gone.qcow2")})
        self.missing = "/images/gone.qcow2"
        self.plant.missing_images.add(self.missing)

    def add_stranger(self, name):
        self.host.add_stranger(name, 256)
        return self.host.domains[name].uuid

    def uuids(self):
        return {name: domain.uuid for name, domain in self.host.domains.items()}

    def kill(self, worker):
        self.host.stop(worker, "failed", "its process was killed")

    def silence(self):
        self.host.fall_silent()

    def answer_again(self):
        self.host.answer_again()

    def storage(self):
        return {volume for _pool, volume in self.plant.volumes}

    def put(self, name):
        from simulations.plant import SimulatedVolume

        self.plant.volumes["default", name] = SimulatedVolume()

    def close(self):
        self.host.close()


class TestDriver:
    """libvirt's built-in test driver behind the real connector: no daemon, so none that can fall silent."""

    __test__ = False

    def __init__(self):
        import libvirt

        from connectors.libvirt import connect
        from connectors.libvirt.line import start_event_loop

        start_event_loop()
        self._hand = libvirt.open("test:///default")
        pool = self._hand.storagePoolLookupByName("default-pool")
        pool.createXML(
            "<volume><name>base.qcow2</name><capacity unit='MiB'>64</capacity><target><format type='qcow2'/></target></volume>"
        )
        self.host = connect("test1", "test:///default", {"disk_pool": "default-pool"}, site=SITE, deadline_seconds=120.0)
        self.environment = Environment(
            name="test-env", vo="atlas", virtualization=Virtualization.XEN_PV, memory_mib=512, disk={"mode": "overlay", "size_gib": 1},
            image={"pool": "default-pool", "volume": "base.qcow2"},
        )  # fmt: skip
        self.missing = "gone.qcow2"
        image = self.environment.image.model_copy(update={"volume": self.missing})
        self.broken = self.environment.model_copy(update={"name": "broken", "image": image})

    def add_stranger(self, name):
        xml = f"<domain type='test'><name>{name}</name><memory unit='MiB'>256</memory><os><type>hvm</type></os></domain>"
        return self._hand.createXML(xml).UUIDString()

    def uuids(self):
        return {domain.name(): domain.UUIDString() for domain in self._hand.listAllDomains()}

    def kill(self, worker):
        self._hand.lookupByName(worker).destroy()

    def storage(self):
        return {volume.name() for pool in self._hand.listAllStoragePools() for volume in pool.listAllVolumes()} - {"base.qcow2"}

    def put(self, name):
        xml = f"<volume><name>{name}</name><capacity unit='MiB'>1</capacity></volume>"
        self._hand.storagePoolLookupByName("default-pool").createXML(xml)

    def close(self):
        # Only when the host's subscription has ended may its domains end: an event that comes just while the last one ends stays
        # in the driver's queue, and libvirt wakes its loop for the first of a queue alone, so none would ever be told again.
        self.host.close()
        for thread in threading.enumerate():
            if thread.name in {"libvirt-test1", "libvirt-close-test1"}:
                thread.join(120)
        for domain in self._hand.listAllDomains():
            if domain.isActive():
                domain.destroy()
        for pool in self._hand.listAllStoragePools():
            for volume in pool.listAllVolumes():
                volume.delete()
        self._hand.close()


class _Libvirtd:
    """What LXC and QEMU have in common: a real libvirtd of the lab, with another hand on it."""

    marks = (pytest.mark.real,)
    driver = ""

    def __init__(self, daemon):
        import libvirt

        from connectors.libvirt import connect
        from connectors.libvirt.line import start_event_loop

        start_event_loop()
        self.daemon = daemon
        self._libvirt = libvirt
        self.host = connect(f"{self.driver}1", daemon.uri(self.driver), daemon.options(), site=SITE, deadline_seconds=120.0)

    def hand(self):
        return self._libvirt.open(self.daemon.uri(self.driver))

    def stranger_xml(self, name):
        from environments.domain import DomainPieces, Driver, domain_xml

        asked = order(self.environment)
        pieces = DomainPieces(str(uuid.uuid4()), self.environment, replace(asked.identity, worker=name))
        root = ET.fromstring(domain_xml(pieces, Driver(self.driver)))
        root.remove(root.find("metadata"))
        return ET.tostring(root, encoding="unicode")

    def add_stranger(self, name):
        return self.hand().createXML(self.stranger_xml(name)).UUIDString()

    def uuids(self):
        return {domain.name(): domain.UUIDString() for domain in self.hand().listAllDomains()}

    def kill(self, worker):
        self.daemon.kill_guest(worker, self.driver)

    def silence(self):
        self.daemon.crash()

    def answer_again(self):
        self.daemon.recover()

    def storage(self):
        directories = (self.daemon.volumes, self.daemon.directory / "enrolment")
        return {path.name for directory in directories if directory.exists() for path in directory.iterdir()}

    def put(self, name):
        """Let something lie where the connector puts what is ours."""
        if self.driver == "lxc":
            (self.daemon.directory / "enrolment" / name).mkdir()
            return
        (self.daemon.volumes / name).touch()
        self.hand().storagePoolLookupByName("workers").refresh()

    def close(self):
        self.host.close()
        if not self.daemon.answers():
            self.daemon.recover()
        for domain in self.hand().listAllDomains():
            domain.destroy()
        for directory in (self.daemon.volumes, self.daemon.directory / "enrolment"):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        self.hand().storagePoolLookupByName("workers").refresh()


class Lxc(_Libvirtd):
    """Containers, by libvirt's LXC driver."""

    driver = "lxc"

    def __init__(self, daemon):
        from tests.lab.tiny import tiny_tree

        super().__init__(daemon)
        self.environment = Environment(
            name="lxc-env", vo="atlas", virtualization=Virtualization.LXC, memory_mib=64, job_memory_mib=32,
            image={"path": str(tiny_tree())}, network={"kind": "host"},
        )  # fmt: skip
        self.missing = f"{tiny_tree()}-gone"
        self.broken = self.environment.model_copy(update={"name": "broken", "image": Image(path=self.missing)})


class Qemu(_Libvirtd):
    """Emulated machines, by libvirt's QEMU driver."""

    driver = "qemu"

    def __init__(self, daemon):
        from tests.lab.tiny import tiny_ramdisk
        from tests.lab.worker_image import kernel

        super().__init__(daemon)
        self.environment = Environment(
            name="qemu-env", vo="atlas", virtualization=Virtualization.QEMU, memory_mib=128, job_memory_mib=64,
            image={"kernel": str(kernel().image), "initrd": str(tiny_ramdisk()), "cmdline": "quiet"}, network={"kind": "user"},
        )  # fmt: skip
        self.missing = f"{tiny_ramdisk()}-gone"
        image = self.environment.image.model_copy(update={"initrd": self.missing})
        self.broken = self.environment.model_copy(update={"name": "broken", "image": image})
