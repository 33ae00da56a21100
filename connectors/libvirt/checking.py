"""What on a host stands against an environment, as far as libvirt can tell; and whether its KVM runs guests."""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import libvirt

from connectors.libvirt.checksum import other_content
from connectors.libvirt.enrolment import any_file_pool
from connectors.libvirt.iscsi import FIXED, hindrance
from connectors.libvirt.line import no_such
from connectors.libvirt.places import at_path, find_volume
from connectors.libvirt.reading import read_capacity, read_networks, read_pools
from connectors.libvirt.storage import active_pool, pool_type
from environments.domain import Driver
from environments.environment import DiskMode, NetworkKind
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.libvirt.line import Talk
    from connectors.libvirt.options import LibvirtOptions
    from environments.environment import Environment, Virtualization

VOLUMES_NAMED = 6
TAGS_LINUX_BRIDGES = 11_000_000
"""The version of libvirt from which on it ties VLAN tags to ports of Linux bridges."""
_TRIAL_SECONDS = 1.5
_TRIAL_STEP_SECONDS = 0.1


def obstacles(
    talk: Talk, environment: Environment, options: LibvirtOptions, offered: frozenset[Virtualization]
) -> Iterator[str]:
    """Return what stands against booting this environment here; of an image that is there, whether it is the right one."""
    if environment.virtualization not in offered:
        kinds = ", ".join(sorted(offered)) or "nothing"
        yield f"the host offers {kinds}, not {environment.virtualization}"
    cpus, memory_mib = read_capacity(talk)
    free_mib = memory_mib - options.reserve_mib
    if environment.memory_mib > free_mib:
        yield f"memory_mib: {environment.memory_mib} MiB are more than the host has for domains ({free_mib} MiB)"
    if environment.vcpus > cpus:
        yield f"vcpus: {environment.vcpus} are more than the host's {cpus} cores"
    yield from _missing_network(talk, environment)
    missing = tuple(missing_images(talk, environment))
    yield from missing or other_content(talk, environment)
    yield from _missing_pools(talk, environment, options)
    yield from _missing_places(talk, options)


def missing_images(talk: Talk, environment: Environment) -> Iterator[str]:
    """Return which files or volumes of its image are not on the host."""
    image = environment.image
    if image.volume and image.pool:
        try:
            pool = active_pool(talk, image.pool)
            if against := hindrance(environment, pool_type(pool), talk.driver):
                yield against
            elif find_volume(talk, pool, image.volume) is None:
                yield f"image: no volume {image.volume} in storage pool {image.pool}{_there_are(pool)}"
        except SourceError as error:
            yield f"image: {error.asked}: {error.answer}"
    if talk.driver is Driver.TEST:  # it has no file system to look into
        return
    for key, path in (("image.path", image.path), ("image.kernel", image.kernel), ("image.initrd", image.initrd)):
        if path and not at_path(talk, path, lambda volume: volume is not None):
            yield f"{key}: there is no {path} on the host"


def _missing_places(talk: Talk, options: LibvirtOptions) -> Iterator[str]:
    """Say what a virtual machine of any environment would need on the host and would not find."""
    if talk.driver in {Driver.LXC, Driver.TEST}:
        return
    if options.config_pool is None:
        try:
            any_file_pool(talk)
        except SourceError as error:
            yield f"config_pool: {error.answer}"
    directory = options.console_directory
    if directory and not at_path(talk, directory.rstrip("/"), lambda volume: volume is not None):
        yield f"console_directory: there is no {directory} on the host"


def _there_are(pool: Any) -> str:
    """Name some of the volumes of a pool."""
    try:
        names = sorted(volume.name() for volume in pool.listAllVolumes())
    except libvirt.libvirtError:
        return ""
    return f"; there are: {', '.join(names[:VOLUMES_NAMED])}" if names else ""


def _missing_network(talk: Talk, environment: Environment) -> Iterator[str]:
    network = environment.network
    if network.kind not in {NetworkKind.BRIDGE, NetworkKind.LIBVIRT}:
        return
    known = read_networks(talk)
    if network.kind is NetworkKind.LIBVIRT:
        missing, untagged = network.source not in known, _untagged_network
    else:
        # A bridge of Open vSwitch may be none that libvirt can see, so only a tagless one can be said to be missing.
        unseen = network.source not in known and not _interface_kind(talk, network.source)
        missing, untagged = unseen and network.vlan is None and _lists_interfaces(talk), _untagged_bridge
    if missing:
        yield f"network.source: no {network.kind} {network.source!r}; there are: {', '.join(sorted(known)) or 'none'}"
    elif network.vlan is not None and (against := untagged(talk, network.source)):
        yield f"network.vlan: {against}"


def _untagged_bridge(talk: Talk, name: str) -> str:
    """Say why the ports of a bridge cannot be tagged; "" when they can, or nobody knows."""
    if _interface_kind(talk, name) != "bridge":
        return ""
    return f"{name!r} is a Linux bridge; tags are tied to ports of Open vSwitch, or to a libvirt network that can"


def _untagged_network(talk: Talk, name: str) -> str:
    """Say why a libvirt network ties no tags; "" when it does."""
    with talk.asking(f"read network {name}"):
        try:
            network = ET.fromstring(talk.connection.networkLookupByName(name).XMLDesc())  # noqa: S314 - it comes from libvirt
        except libvirt.libvirtError as error:
            if not no_such(error):
                raise
            return f"{name!r} is an interface of the host, no libvirt network"
        version = talk.connection.getLibVersion()
    forward = network.find("forward")
    mode = "" if forward is None else forward.get("mode", "nat")
    if network.find(".//virtualport[@type='openvswitch']") is not None or mode in {"hostdev", "passthrough"}:
        return ""
    if version >= TAGS_LINUX_BRIDGES and mode == "bridge":
        return ""
    written = f"{version // 1_000_000}.{version // 1000 % 1000}"
    needed = "one on a bridge of Open vSwitch is needed (or libvirt 11 and forward mode bridge)"
    return f"libvirt {written} ties no tags in network {name!r}; {needed}"


def _interface_kind(talk: Talk, name: str) -> str:
    """Return what kind of interface of the host has this name: bridge, ethernet...; "" when libvirt sees none."""
    try:
        return ET.fromstring(talk.connection.interfaceLookupByName(name).XMLDesc()).get("type", "")  # noqa: S314 - see above
    except libvirt.libvirtError:
        return ""


def _lists_interfaces(talk: Talk) -> bool:
    """Whether libvirt can see this host's bridges at all."""
    try:
        return bool(talk.connection.listAllInterfaces())
    except libvirt.libvirtError:
        return False


def _missing_pools(talk: Talk, environment: Environment, options: LibvirtOptions) -> Iterator[str]:
    pools = {pool.name: pool for pool in read_pools(talk)}
    wanted = []
    if environment.disk.mode is not DiskMode.NONE:
        wanted.append(("disk.pool", environment.disk.pool or options.disk_pool))
    if options.config_pool and talk.driver is not Driver.LXC:
        wanted.append(("config_pool", options.config_pool))
    for key, name in wanted:
        if name not in pools:
            yield f"{key}: no storage pool {name!r}; there are: {', '.join(sorted(pools)) or 'none'}"
        elif not pools[name].active:
            yield f"{key}: storage pool {name!r} is not active"
        elif (kind := pool_type(active_pool(talk, name))) in FIXED:
            yield f"{key}: libvirt makes no volumes in {name!r}, a pool of type {kind}; name a directory or LVM pool"
    if environment.disk.mode in {DiskMode.COPY, DiskMode.LVM}:
        pool = pools.get(environment.disk.pool or options.disk_pool)
        if pool and pool.available_gib < environment.disk.size_gib:
            yield f"disk.size_gib: {environment.disk.size_gib} GiB, pool {pool.name!r} has {pool.available_gib:.1f} GiB left"


def guest_lives(talk: Talk, kind: str = "kvm") -> bool:
    """Start a guest of no use and see whether it lives: for KVM a device file is no proof.

    Each trial is one of its own: others may try the same libvirtd just now. libvirt ends it with our connection at the latest.
    """
    own = str(uuid.uuid4())
    root = ET.Element("domain", type=kind)
    ET.SubElement(root, "name").text = f"ambienti-{kind}-trial-{own}"
    ET.SubElement(root, "uuid").text = own
    ET.SubElement(root, "memory", unit="MiB").text = "32"
    ET.SubElement(root, "vcpu").text = "1"
    system = ET.SubElement(root, "os")
    ET.SubElement(system, "type").text = "hvm"
    for occasion in ("on_poweroff", "on_reboot", "on_crash"):
        ET.SubElement(root, occasion).text = "destroy"
    ET.SubElement(root, "devices")
    handle = None
    with talk.asking(f"try {kind}"):
        try:
            handle = talk.connection.createXML(ET.tostring(root, encoding="unicode"), libvirt.VIR_DOMAIN_START_AUTODESTROY)
            until = time.monotonic() + _TRIAL_SECONDS
            while time.monotonic() < until:
                if handle.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
                    return False
                time.sleep(_TRIAL_STEP_SECONDS)
        except libvirt.libvirtError:
            return False
        finally:
            if handle is not None:
                with contextlib.suppress(libvirt.libvirtError):  # it has ended by itself
                    handle.destroy()
    return True
