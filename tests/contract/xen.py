"""A real Xen host behind the real connector, for the suite that all hypervisors must pass."""

import libvirt
import pytest

from environments.environment import Environment, Virtualization
from tests.contract.hypervisors import SITE
from tests.lab.xen.host import IMAGES, POOL, host_of_the_tests

STRANGER = f"""<domain type='xen'><name>%s</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
<os><type machine='xenpv'>linux</type><kernel>{IMAGES}/vmlinux</kernel><initrd>{IMAGES}/probe-initrd.img</initrd></os></domain>"""


class Xen:
    """Small paravirtualised guests without a network: half of the time that a guest takes to start goes into its card.

    What becomes of a host that falls silent is among the tests of the Xen lane: here each such call would last its whole deadline.
    """

    marks = (pytest.mark.real, pytest.mark.xen, pytest.mark.timeout(900))

    def __init__(self):
        from connectors.libvirt import connect

        self._xen = host_of_the_tests()
        self._hand = libvirt.open(self._xen.uri)
        options = {"config_pool": POOL}
        self.host = connect("xen", self._xen.uri, options, site=SITE, deadline_seconds=180.0)
        self.environment = Environment(
            name="xen-env", vo="atlas", virtualization=Virtualization.XEN_PV, memory_mib=96, network={"kind": "host"},
            image={"kernel": f"{IMAGES}/vmlinux", "initrd": f"{IMAGES}/probe-initrd.img"},
        )  # fmt: skip
        self.missing = f"{IMAGES}/gone.img"
        image = self.environment.image.model_copy(update={"initrd": self.missing})
        self.broken = self.environment.model_copy(update={"name": "broken", "image": image})

    def add_stranger(self, name):
        return self._hand.createXML(STRANGER % name).UUIDString()

    def uuids(self):
        return {domain.name(): domain.UUIDString() for domain in self._domains()}

    def kill(self, worker):
        self._hand.lookupByName(worker).destroy()

    def storage(self):
        pool = self._hand.storagePoolLookupByName(POOL)
        pool.refresh()
        return {volume.name() for volume in pool.listAllVolumes()}

    def close(self):
        self.host.close()
        for domain in self._domains():
            domain.destroy()
        for volume in self._hand.storagePoolLookupByName(POOL).listAllVolumes():
            volume.delete()
        self._hand.close()

    def _domains(self):
        return [domain for domain in self._hand.listAllDomains() if domain.name() != "Domain-0"]
