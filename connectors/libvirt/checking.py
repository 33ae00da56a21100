"""What on a host stands against an environment, as far as libvirt can tell; and whether its KVM runs guests."""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import libvirt

from connectors.libvirt.line import no_such
from connectors.libvirt.reading import read_capacity, read_networks, read_pools
from connectors.libvirt.storage import active_pool, find_volume, volume_at
from environments.domain import Driver
from environments.environment import DiskMode, NetworkKind
from scheduler.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.libvirt.line import Talk
    from connectors.libvirt.options import LibvirtOptions
    from environments.environment import Environment, Virtualization

_TRIAL_SECONDS = 1.5
_TRIAL_STEP_SECONDS = 0.1


def obstacles(
    talk: Talk, environment: Environment, options: LibvirtOptions, offered: frozenset[Virtualization]
) -> Iterator[str]:
    """Return what stands against booting this environment here."""
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
    yield from missing_images(talk, environment)
    yield from _missing_pools(talk, environment, options)


def missing_images(talk: Talk, environment: Environment) -> Iterator[str]:
    """Return which files or volumes of its image are not on the host."""
    image = environment.image
    if image.volume and image.pool:
        try:
            if find_volume(talk, active_pool(talk, image.pool), image.volume) is None:
                yield f"image: no volume {image.volume} in storage pool {image.pool}"
        except SourceError as error:
            yield f"image: {error.asked}: {error.answer}"
    if talk.driver is Driver.TEST:  # it has no file system to look into
        return
    for key, path in (("image.path", image.path), ("image.kernel", image.kernel), ("image.initrd", image.initrd)):
        if path:
            with volume_at(talk, path) as volume:
                if volume is None:
                    yield f"{key}: there is no {path} on the host"


def _missing_network(talk: Talk, environment: Environment) -> Iterator[str]:
    network = environment.network
    if network.kind not in {NetworkKind.BRIDGE, NetworkKind.LIBVIRT}:
        return
    known = read_networks(talk)
    if network.source in known:
        return
    if network.kind is NetworkKind.LIBVIRT or _lists_interfaces(talk):
        yield f"network.source: no {network.kind} {network.source!r}; there are: {', '.join(sorted(known)) or 'none'}"


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
    if environment.disk.mode in {DiskMode.COPY, DiskMode.LVM}:
        pool = pools.get(environment.disk.pool or options.disk_pool)
        if pool and pool.available_gib < environment.disk.size_gib:
            yield f"disk.size_gib: {environment.disk.size_gib} GiB, pool {pool.name!r} has {pool.available_gib:.1f} GiB left"


def guest_lives(talk: Talk, site: str, kind: str = "kvm") -> bool:
    """Start a guest of no use and see whether it lives: for KVM a device file is no proof."""
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:ambienti:{kind}-trial:{site}"))
    root = ET.Element("domain", type=kind)
    ET.SubElement(root, "name").text = f"ambienti-{kind}-trial-{site}"
    ET.SubElement(root, "uuid").text = own
    ET.SubElement(root, "memory", unit="MiB").text = "32"
    ET.SubElement(root, "vcpu").text = "1"
    system = ET.SubElement(root, "os")
    ET.SubElement(system, "type").text = "hvm"
    for occasion in ("on_poweroff", "on_reboot", "on_crash"):
        ET.SubElement(root, occasion).text = "destroy"
    ET.SubElement(root, "devices")
    _end_trial(talk, own)
    try:
        with talk.asking(f"try {kind}"):
            try:
                handle = talk.connection.createXML(ET.tostring(root, encoding="unicode"), 0)
                until = time.monotonic() + _TRIAL_SECONDS
                while time.monotonic() < until:
                    if handle.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
                        return False
                    time.sleep(_TRIAL_STEP_SECONDS)
            except libvirt.libvirtError:
                return False
    finally:
        _end_trial(talk, own)
    return True


def _end_trial(talk: Talk, own: str) -> None:
    with talk.asking("end the trial guest"), contextlib.suppress(libvirt.libvirtError):
        try:
            talk.connection.lookupByUUIDString(own).destroy()
        except libvirt.libvirtError as error:
            if not no_such(error):
                raise
