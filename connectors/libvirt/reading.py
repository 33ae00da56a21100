"""What one host has and runs: capacity, domains with their identity, networks, pools, kinds of virtualisation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import libvirt

from connectors.libvirt.line import no_such, unsupported
from environments.domain import NAMESPACE, Driver, parse_identity
from environments.domain_identity import Identity
from environments.environment import Virtualization
from scheduler.model.hosts import Domain, DomainState, HostReading, PoolSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.libvirt.line import Talk

OUR_POOLS = "ambienti-"
"""Pools that exist for moments only, while a directory is filled or looked into."""
XEN_CONTROL_DOMAIN = "00000000-0000-0000-0000-000000000000"
_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: DomainState.RUNNING,  # Xen: between two time slices
    libvirt.VIR_DOMAIN_RUNNING: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainState.RUNNING,  # it is shutting down
    libvirt.VIR_DOMAIN_SHUTOFF: DomainState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: DomainState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.PAUSED,
}
_GIB = 1024**3

Identities = dict[tuple[str, int], Identity | None]
"""Identities already read, by UUID and libvirt's number of the running domain: they do not change while it lives."""


def read_host(
    talk: Talk, identities: Identities, reserve_mib: int, offered: frozenset[Virtualization], machine: str
) -> HostReading:
    """Read everything that decisions need of a host."""
    cpus, memory_mib = read_capacity(talk)
    domains = read_domains(talk, identities)
    return HostReading(
        host=talk.host,
        at=time.time(),
        cpus=cpus,
        memory_mib=max(0, memory_mib - reserve_mib),
        virtualizations=offered,
        domains=domains,
        networks=read_networks(talk),
        pools=read_pools(talk),
        machine=machine,
        driver=talk.driver.value,
    )


def read_capacity(talk: Talk) -> tuple[int, int]:
    """Return the host's cores and its memory in MiB."""
    with talk.asking("read its capacity"):
        info = talk.connection.getInfo()
        try:
            # getInfo sums up NUMA nodes and misses memory that was plugged in later
            memory_mib = talk.connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"] // 1024
        except (libvirt.libvirtError, KeyError) as error:
            if isinstance(error, libvirt.libvirtError) and not unsupported(error):
                raise
            memory_mib = info[1]
    return info[2], memory_mib


def read_domains(talk: Talk, identities: Identities) -> tuple[Domain, ...]:
    """Read all domains, strangers included."""
    with talk.asking("list its domains"):
        found = talk.connection.listAllDomains()
    read = [domain for handle in found if (domain := read_domain(talk, handle, identities)) is not None]
    alive = {(handle.UUIDString(), handle.ID()) for handle in found}
    for gone in identities.keys() - alive:
        del identities[gone]
    return tuple(read)


def read_domain(talk: Talk, handle: Any, identities: Identities) -> Domain | None:
    """Read one domain; None: it ended meanwhile."""
    name, uuid = handle.name(), handle.UUIDString()
    with talk.asking(f"read domain {name}"):
        try:
            state, most_kib, now_kib, cpus, _ = handle.info()
            key = uuid, handle.ID()
            if key not in identities:
                identities[key] = read_identity(handle)
        except libvirt.libvirtError as error:
            if no_such(error) or is_remnant(handle):
                return None
            raise
    # dom0's ceiling is the whole host; every other domain may grow to its ceiling at any time
    memory_kib = now_kib if uuid == XEN_CONTROL_DOMAIN else max(most_kib, now_kib)
    return Domain(name, uuid, _STATES.get(state, DomainState.RUNNING), cpus, memory_kib // 1024, identities[key])


def is_remnant(handle: Any) -> bool:
    """Whether it has ended and cannot come back: the LXC driver goes on listing what ended while its libvirtd was down."""
    try:
        return not handle.isActive() and not handle.isPersistent()
    except libvirt.libvirtError as error:
        if no_such(error):
            return True
        raise


def read_identity(handle: Any) -> Identity | None:
    """Read the identity that a domain carries; None: a stranger."""
    try:
        text = handle.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        if not unsupported(error):
            raise
        text = handle.XMLDesc()
    return parse_identity(text)


def read_networks(talk: Talk) -> frozenset[str]:
    """Read the names of active libvirt networks and of the host's bridges."""
    connection = talk.connection
    networks = _listed(talk, "list its networks", lambda: connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE))
    interfaces = _listed(
        talk, "list its bridges", lambda: connection.listAllInterfaces(libvirt.VIR_CONNECT_LIST_INTERFACES_ACTIVE)
    )
    return frozenset(one.name() for one in (*networks, *interfaces))


def read_pools(talk: Talk) -> tuple[PoolSpace, ...]:
    """Read the storage pools and their space."""
    connection = talk.connection
    spaces = []
    for pool in _listed(talk, "list its storage pools", connection.listAllStoragePools):
        name = pool.name()
        if name.startswith(OUR_POOLS):
            continue
        with talk.asking(f"read storage pool {name}"):
            try:
                state, _, _, available = pool.info()
            except libvirt.libvirtError as error:
                if no_such(error):
                    continue
                raise
        active = state == libvirt.VIR_STORAGE_POOL_RUNNING
        spaces.append(PoolSpace(name, _rounded(available / _GIB), active))
    return tuple(spaces)


def _rounded(gib: float) -> float:
    """Round down, so that a log file that grows does not make every reading a new one."""
    return float(int(gib)) if gib >= 10 else int(gib * 10) / 10


def _listed(talk: Talk, asked: str, listing: Callable[[], list[Any]]) -> list[Any]:
    """List what a driver may not have at all."""
    with talk.asking(asked):
        try:
            return listing()
        except libvirt.libvirtError as error:
            if unsupported(error):
                return []
            raise


def machine_of(capabilities: str, driver: Driver) -> str:
    """Return the UUID by which libvirt knows the machine itself; "" for the test driver, whose hosts are none."""
    if driver is Driver.TEST:
        return ""
    return ET.fromstring(capabilities).findtext("host/uuid", "")  # noqa: S314 - it comes from libvirt


def offered_virtualizations(capabilities: str, driver: Driver) -> frozenset[Virtualization]:
    """Return the kinds that libvirt's capabilities promise; KVM among them is a promise still to be tried."""
    if driver is Driver.TEST:
        return frozenset(Virtualization)
    root = ET.fromstring(capabilities)  # noqa: S314 - it comes from libvirt
    host_arch = root.findtext("host/cpu/arch", "")
    offered = set()
    for guest in root.findall("guest"):
        system = guest.findtext("os_type", "")
        for arch in guest.findall("arch"):
            native = arch.get("name") == host_arch
            for kind in (domain.get("type", "") for domain in arch.findall("domain")):
                found = _KINDS.get((kind, system))
                if found and (native or found is not Virtualization.QEMU):
                    offered.add(found)
    return frozenset(offered)


_KINDS = {
    ("xen", "xen"): Virtualization.XEN_PV,
    ("xen", "linux"): Virtualization.XEN_PV,
    ("xen", "xenpvh"): Virtualization.XEN_PVH,
    ("xen", "hvm"): Virtualization.XEN_HVM,
    ("qemu", "hvm"): Virtualization.QEMU,
    ("kvm", "hvm"): Virtualization.KVM,
    ("lxc", "exe"): Virtualization.LXC,
}
