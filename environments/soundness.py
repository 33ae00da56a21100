"""Whether the fields of one environment fit each other: what can be known to fail before anything is booted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from environments import addresses
from environments.environment import DiskMode, Environment, NetworkKind, Virtualization
from environments.problems import KeyPath, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel

    from environments.environment import Scalar
    from environments.nodes import YamlNode

_SAID_BY_THE_WORKER = frozenset(
    "activity cpus disk environment machine memory mytype name rank requirements slotid start state totalcpus totaldisk "
    "totalmemory totalslotcpus totalslotdisk totalslotmemory".split()
)
"""Attributes of a worker that jobs match and that follow from its size or state; small letters."""
_EMULATED = {Virtualization.QEMU, Virtualization.KVM}

_INTERFACE = re.compile(r"(?!\.{1,2}$)[^/:\s]{1,15}")
_INTERFACE_IS = "the name of an interface: at most 15 characters, no `/`, `:` or space in it"
_NETWORKS = {NetworkKind.BRIDGE: "bridge on the host", NetworkKind.LIBVIRT: "libvirt network"}

Fault = tuple[KeyPath, str, str]
"""Key path, what is wrong, what is expected."""


def faults(environment: Environment, node: YamlNode) -> Iterator[Problem]:
    """Return what is wrong between the fields of an environment, at the lines it was made of."""
    for rule in RULES:
        for path, message, expected in rule(environment):
            problem = node.problem(path, message, expected)
            yield replace(problem, key=f"environments.{environment.name}.{problem.key}")


def _boots_from_something(environment: Environment) -> Iterator[Fault]:
    image, kind = environment.image, environment.virtualization
    if kind is Virtualization.LXC:
        if not image.path:
            yield ("image", "path"), "a container needs its root directory", "image.path: the directory tree it starts from"
        for name in ("kernel", "initrd", "pool", "volume", "sha256"):
            if getattr(image, name):
                yield ("image", name), "is not used by lxc", "image.path only"
        return
    if image.initrd and not image.kernel:
        yield ("image", "initrd"), "an initrd without its kernel", "image.kernel beside it"
    if image.cmdline and not image.kernel:
        yield ("image", "cmdline"), "a command line without a kernel is ignored", "image.kernel beside it"
    if kind is Virtualization.XEN_PVH and not image.kernel:
        yield ("image",), "a xen-pvh worker boots a kernel directly", "image.kernel and image.initrd"
        return
    if image.kernel or image.path or image.volume:
        return
    needs = "image.kernel and image.initrd, or a bootable image (image.path, or image.pool and image.volume)"
    yield ("image",), f"a {kind} worker has nothing to boot from", needs


def _kernel_has_a_root(environment: Environment) -> Iterator[Fault]:
    image = environment.image
    if environment.virtualization is Virtualization.LXC:
        return
    if image.kernel and not image.initrd and environment.disk.mode is DiskMode.NONE:
        yield ("image", "kernel"), "a diskless kernel finds no root file system", "image.initrd, or a disk (disk.mode)"


def _paths_are_the_hosts(environment: Environment) -> Iterator[Fault]:
    for name in ("path", "kernel", "initrd"):
        path = getattr(environment.image, name)
        if path and not path.startswith("/"):
            yield ("image", name), f"{path!r} is not a path on the host", f"the whole path, from / on: /srv/images/{path}"


def _provides_what_is_its_own(environment: Environment) -> Iterator[Fault]:
    for name in environment.provides:
        if name.lower() in _SAID_BY_THE_WORKER or name.lower().startswith("ambienti"):
            yield ("provides", name), "the worker itself tells this attribute", "another name"
        elif name.lower() == "gpus" and not _is_a_count(environment.provides[name]):
            yield ("provides", name), f"{environment.provides[name]!r} is no number of GPUs", "a whole number: GPUs: 1"


def _is_a_count(value: Scalar) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _image_in_one_place(environment: Environment) -> Iterator[Fault]:
    image = environment.image
    if image.path and image.volume:
        yield ("image", "volume"), "image.path is given too", "one of image.path and image.volume"
    if image.volume and not image.pool:
        yield ("image", "volume"), "a volume needs the pool that holds it", "image.pool beside it"
    if image.sha256 and not (image.path or image.volume):
        yield ("image", "sha256"), "the checksum of what?", "image.path, or image.pool and image.volume"


def _disk_has_its_image(environment: Environment) -> Iterator[Fault]:
    disk, image = environment.disk, environment.image
    if environment.virtualization is Virtualization.LXC:
        if disk.mode is not DiskMode.NONE:
            yield ("disk", "mode"), f"lxc has no {disk.mode} disk", "none: containers share image.path and write to memory"
        return
    if disk.mode in {DiskMode.OVERLAY, DiskMode.COPY} and not (image.path or image.volume):
        yield ("disk", "mode"), f"{disk.mode} of what?", "image.path, or image.pool and image.volume"
    if disk.mode is DiskMode.LVM and not disk.pool:
        yield ("disk", "mode"), "an LVM disk needs its storage pool", "disk.pool: the pool of the volume group"
    if disk.mode is DiskMode.NONE and (image.path or image.volume) and not image.kernel:
        yield ("disk", "mode"), "workers would all write to the shared image", "overlay or copy, or image.kernel for diskless"


def _command_line_fits(environment: Environment) -> Iterator[Fault]:
    if not environment.image.kernel:
        return
    from environments.domain import own_words_bytes, too_long  # late: few need it, and it loads what reads and writes XML

    length, own = len(environment.image.cmdline.encode()), own_words_bytes(environment)
    if problem := too_long(environment.virtualization, length + own):
        told = f"is {length} bytes long, and {own} more tell the worker who it is"
        yield ("image", "cmdline"), told, f"a shorter one: {problem}"


def _network_fits(environment: Environment) -> Iterator[Fault]:
    network, kind = environment.network, environment.virtualization
    if network.kind is NetworkKind.HOST and kind is not Virtualization.LXC:
        yield ("network", "kind"), f"a {kind} worker cannot share the host's network", "host with lxc only"
    if not network.source and network.kind in {NetworkKind.BRIDGE, NetworkKind.LIBVIRT}:
        yield ("network", "source"), "has no name", f"the name of the {_NETWORKS[network.kind]}"
    if network.kind is NetworkKind.BRIDGE and not _INTERFACE.fullmatch(network.source or "br0"):
        yield ("network", "source"), f"{network.source!r} cannot be a bridge", _INTERFACE_IS
    if network.kind is NetworkKind.USER and kind not in _EMULATED:
        yield ("network", "kind"), f"{kind} has no user network", "user with qemu or kvm only"
    if network.vlan and network.kind not in {NetworkKind.BRIDGE, NetworkKind.LIBVIRT}:
        yield ("network", "vlan"), f"a {network.kind} network has no VLAN", "vlan with bridge or libvirt only"
    if network.addresses:
        try:
            range_ = addresses.read(network.addresses)
            wrong = addresses.outside(network.gateway, range_) if network.gateway else ""
        except ValueError as error:
            yield ("network", "addresses"), str(error), f"a range like {addresses.EXAMPLE}"
        else:
            if wrong:
                yield ("network", "gateway"), wrong, "an address of that network outside the range"
    elif network.gateway:
        yield ("network", "gateway"), "a gateway without addresses is ignored", "network.addresses beside it"


def _memory_fits(environment: Environment) -> Iterator[Fault]:
    if environment.job_memory_mib is not None and environment.job_memory_mib >= environment.memory_mib:
        message = f"{environment.job_memory_mib} MiB for jobs in a worker of {environment.memory_mib} MiB"
        yield ("job_memory_mib",), message, "less than memory_mib: the system needs some"
    elif environment.slot_memory_mib <= 0:
        message = f"{environment.memory_mib} MiB leave nothing for jobs"
        yield ("memory_mib",), message, "at least 128 MiB, or job_memory_mib beside it"


def _counts_fit(environment: Environment) -> Iterator[Fault]:
    most = environment.maximum_workers
    for name in ("minimum_workers", "spare_workers"):
        count = getattr(environment, name)
        if most is not None and count > most:
            yield (name,), f"{count} is more than maximum_workers ({most})", f"at most {most}"
    idle, boot, life = environment.idle_seconds, environment.boot_seconds, environment.lifetime_seconds
    if idle > life:
        key, expected = written_of(
            environment, ("idle_seconds", "at most lifetime_seconds"), ("lifetime_seconds", f"at least {idle}")
        )
        yield (key,), f"{idle} s of idling is longer than the worker lives ({life} s)", expected
    if boot == 0 or boot >= life:
        right = "more than 0 and less than lifetime_seconds"
        key, expected = written_of(
            environment, ("boot_seconds", right), ("lifetime_seconds", f"more than boot_seconds ({boot})")
        )
        yield (key,), f"{boot} s to boot in a life of {life} s", expected


def written_of(model: BaseModel, first: tuple[str, str], second: tuple[str, str]) -> tuple[str, str]:
    """Return which of two keys that contradict each other is to blame, with what is expected there: the one that is written."""
    only_second = first[0] not in model.model_fields_set and second[0] in model.model_fields_set
    return second if only_second else first


RULES: tuple[Callable[[Environment], Iterator[Fault]], ...] = (
    _boots_from_something,
    _kernel_has_a_root,
    _paths_are_the_hosts,
    _provides_what_is_its_own,
    _image_in_one_place,
    _disk_has_its_image,
    _command_line_fits,
    _network_fits,
    _memory_fits,
    _counts_fit,
)
