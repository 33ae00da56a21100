"""Domain XML of a worker, as pure text: one environment, any of libvirt's drivers; and the identity that a domain carries.

The identity stands in `<metadata>` under a namespace of our own, so that a farm whose journal is lost can be adopted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree as ET

from environments.domain_identity import Identity, Role, ServiceIdentity, WorkerIdentity
from environments.environment import Environment, NetworkKind, Virtualization

NAMESPACE = "urn:ambienti:identity:1"
PREFIX = "ambienti"
XEN_PV_CMDLINE_BYTES = 1023
"""The hypervisor cuts longer command lines of PV guests without a word."""
KERNEL_CMDLINE_BYTES = 2047
"""The kernel itself cuts longer ones (COMMAND_LINE_SIZE of x86)."""
ENROLMENT_DIRECTORY = "/ambienti"
"""Where a container finds its parameters and secrets; a virtual machine finds the same files as a tar on its last disk."""
MEMORY_DIRECTORIES = ("/run", "/tmp", "/var")  # noqa: S108 - places inside the container
"""Directories of a container that are its own, in memory; the rest of its root is the shared image, read-only."""

ET.register_namespace(PREFIX, NAMESPACE)

_XEN = {Virtualization.XEN_PV, Virtualization.XEN_PVH, Virtualization.XEN_HVM}
_XEN_SYSTEMS = {
    Virtualization.XEN_PV: ("xenpv", "linux"),
    Virtualization.XEN_PVH: ("xenpvh", "xenpvh"),
    Virtualization.XEN_HVM: ("xenfv", "hvm"),
}


class Driver(StrEnum):
    """libvirt's drivers, whose dialects differ."""

    XEN = "xen"
    QEMU = "qemu"
    LXC = "lxc"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class LUNSource:
    """A LUN of an iSCSI target that QEMU reaches by itself, without the host's kernel."""

    target: str
    """Name of the target, an IQN."""
    lun: int
    host: str
    port: int
    format: str = "raw"
    """raw or qcow2, of what is on it."""
    initiator: str = ""
    """As whom QEMU logs in, an IQN."""
    user: str = ""
    """CHAP; "" for none."""
    secret: Mapping[str, str] = field(default_factory=dict)
    """Which of libvirt's secrets on the host is the password: attributes of `<secret>`."""


@dataclass(frozen=True, slots=True)
class DiskSource:
    """A disk as the host sees it."""

    path: str
    format: str = "raw"
    """raw or qcow2."""
    block: bool = False
    """A block device (LVM, iSCSI) instead of a file."""
    over: LUNSource | None = None
    """What an overlay lies over, where the overlay itself cannot tell."""


@dataclass(frozen=True, slots=True)
class DomainPieces:
    """All that the domain XML of one worker is made of."""

    uuid: str
    environment: Environment
    identity: WorkerIdentity
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Not secret; `ambienti.NAME=VALUE` on the kernel command line."""
    disk: DiskSource | None = None
    config: DiskSource | str | None = None
    """The enrolment: a small disk, or for a container the directory on the host."""
    console_log: str | None = None
    """File on the host that receives what the guest says on its console."""
    arch: str = "x86_64"


def domain_xml(pieces: DomainPieces, driver: Driver) -> str:
    """Return the domain XML; a ValueError says what the hypervisor would silently cut off or could not do."""
    environment = pieces.environment
    root = ET.Element("domain", type=_domain_type(environment.virtualization, driver))
    _text(root, "name", pieces.identity.machine)
    _text(root, "uuid", pieces.uuid)
    _metadata(root, pieces.identity)
    _text(root, "memory", str(environment.memory_mib), unit="MiB")
    _text(root, "vcpu", str(environment.vcpus))
    _system(root, pieces, driver)
    if driver is Driver.QEMU or environment.virtualization is Virtualization.XEN_HVM:
        ET.SubElement(ET.SubElement(root, "features"), "acpi")
    if driver is Driver.QEMU:
        mode = "host-passthrough" if environment.virtualization is Virtualization.KVM else "maximum"
        ET.SubElement(root, "cpu", mode=mode)
    ET.SubElement(root, "clock", offset="utc")
    for occasion in ("on_poweroff", "on_reboot", "on_crash"):
        _text(root, occasion, "destroy")
    _devices(root, pieces, driver)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


MOST_SERIAL = 10**9
_IDENTITIES: dict[str, type[Identity]] = {one.role.value: one for one in (WorkerIdentity, ServiceIdentity)}


def parse_identity(xml: str) -> Identity | None:
    """Return the identity in a domain's XML or in its metadata element alone; None: it is not one of ours."""
    try:
        root = ET.fromstring(xml)  # noqa: S314 - it comes from libvirt, which has parsed and written it anew
    except (ET.ParseError, ValueError):  # the latter for characters that no text of ours has
        return None
    element = root if root.tag.rpartition("}")[2] in _ELEMENTS else None
    for name in _ELEMENTS:
        element = root.find(f"metadata/{_tag(name)}") if element is None else element
    if element is None:
        return None
    # libvirt hands a metadata element out without its prefix and namespace, a whole domain with them
    found = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
    if "worker" in found:
        found |= {"role": Role.WORKER, "machine": found["worker"]}
    kind = _IDENTITIES.get(found.get("role", ""))
    try:
        return _identity(kind, found) if kind else None
    except (KeyError, ValueError):
        return None


_ELEMENTS = ("machine", "worker")
"""Domains of before name their worker; they run on."""


def _identity(kind: type[Identity], found: Mapping[str, str]) -> Identity:
    values: dict[str, Any] = {}
    for one in fields(kind):
        if one.default is MISSING or found.get(one.name):
            values[one.name] = _NUMBERS.get(one.name, str)(found[one.name])
    return kind(**values)


def _whole(text: str) -> int:
    if not 0 <= int(text) <= MOST_SERIAL:
        raise ValueError(f"{text} is no number of ours")
    return int(text)


def _instant(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is no instant")
    return float(text)


_NUMBERS: dict[str, Callable[[str], object]] = {"serial": _whole, "generation": _whole, "requested_at": _instant}


def mac_address(uuid: str, *, xen: bool) -> str:
    """Return the MAC address of a worker: always the same for the same UUID, in the range of its hypervisor."""
    digest = hashlib.sha256(uuid.encode()).digest()
    return ":".join(["00:16:3e" if xen else "52:54:00", *(f"{byte:02x}" for byte in digest[:3])])


def kernel_command_line(pieces: DomainPieces) -> str:
    """Return what the kernel is started with: console, the image's own words, our parameters that fit into one word."""
    environment = pieces.environment
    console = "hvc0" if environment.virtualization in _XEN else "ttyS0"
    plain = {name: value for name, value in pieces.parameters.items() if value and not set(value) & set(" \t\n\"'\\")}
    words = [f"console={console}", environment.image.cmdline, *(f"ambienti.{name}={value}" for name, value in plain.items())]
    line = " ".join(word for word in words if word)
    length = len(line.encode())
    if problem := too_long(environment.virtualization, length):
        raise ValueError(f"the kernel command line is {length} bytes long; {problem}")
    return line


def too_long(virtualization: Virtualization, length: int) -> str:
    """Say who cuts a kernel command line of so many bytes without a word; "" when nobody does."""
    who, most = ("Xen PV", XEN_PV_CMDLINE_BYTES) if virtualization is Virtualization.XEN_PV else ("Linux", KERNEL_CMDLINE_BYTES)
    return f"{who} cuts it at {most} without a word" if length > most else ""


def own_words_bytes(environment: Environment) -> int:
    """Return how much of the kernel command line every worker of an environment needs at least beside the image's words."""
    told = {"worker": f"{environment.name}-1", "environment": environment.name, "network": environment.network.kind.value}
    return len("console=hvc0") + sum(len(f" ambienti.{name}={value}") for name, value in told.items()) + 1


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def _domain_type(virtualization: Virtualization, driver: Driver) -> str:
    if driver is Driver.QEMU:
        return "kvm" if virtualization is Virtualization.KVM else "qemu"
    return driver.value


def _metadata(root: ET.Element, identity: WorkerIdentity) -> None:
    machine = ET.SubElement(ET.SubElement(root, "metadata"), _tag("machine"))
    _text(machine, _tag("role"), identity.role.value)
    for one in fields(identity):
        value = getattr(identity, one.name)
        if value is not None:
            _text(machine, _tag(one.name), repr(value) if isinstance(value, float) else str(value))


def _system(root: ET.Element, pieces: DomainPieces, driver: Driver) -> None:
    environment, image = pieces.environment, pieces.environment.image
    virtualization = environment.virtualization
    if virtualization is Virtualization.XEN_PV and not image.kernel:
        _text(root, "bootloader", "pygrub")
    system = ET.SubElement(root, "os")
    if driver is Driver.LXC:
        _text(system, "type", "exe")
        program, *arguments = image.cmdline.split() or ["/sbin/init"]
        _text(system, "init", program)
        for argument in arguments:
            _text(system, "initarg", argument)
        return
    if driver is Driver.XEN:
        machine, kind = _XEN_SYSTEMS[virtualization]
        _text(system, "type", kind, arch=pieces.arch, machine=machine)
    else:
        _text(system, "type", "hvm", **({"arch": pieces.arch} if driver is Driver.QEMU else {}))
    if image.kernel:
        _text(system, "kernel", image.kernel)
        if image.initrd:
            _text(system, "initrd", image.initrd)
        _text(system, "cmdline", kernel_command_line(pieces))
    elif virtualization is not Virtualization.XEN_PV:
        ET.SubElement(system, "boot", dev="hd")


def _devices(root: ET.Element, pieces: DomainPieces, driver: Driver) -> None:
    devices = ET.SubElement(root, "devices")
    if driver is Driver.LXC:
        _file_systems(devices, pieces)
    else:
        _disks(devices, pieces, driver)
    _interface(devices, pieces, driver)
    _console(devices, pieces, driver)
    if driver is Driver.QEMU:
        ET.SubElement(devices, "controller", type="usb", model="none")
        ET.SubElement(devices, "memballoon", model="none")
        rng = ET.SubElement(devices, "rng", model="virtio")
        _text(rng, "backend", "/dev/urandom", model="random")


def _file_systems(devices: ET.Element, pieces: DomainPieces) -> None:
    """Mount the shared tree read-only, directories in memory over it, the enrolment read-only."""
    environment = pieces.environment
    mounts: list[tuple[str, str]] = [(environment.image.path or "", "/")]
    if isinstance(pieces.config, str):
        mounts.append((pieces.config, ENROLMENT_DIRECTORY))
    for source, target in mounts:
        system = ET.SubElement(devices, "filesystem", type="mount", accessmode="passthrough")
        ET.SubElement(system, "source", dir=source)
        ET.SubElement(system, "target", dir=target)
        ET.SubElement(system, "readonly")
    for target in MEMORY_DIRECTORIES:
        system = ET.SubElement(devices, "filesystem", type="ram")
        ET.SubElement(system, "source", usage=str(environment.memory_mib), units="MiB")
        ET.SubElement(system, "target", dir=target)


def _disks(devices: ET.Element, pieces: DomainPieces, driver: Driver) -> None:
    prefix, bus = ("xvd", "xen") if driver is Driver.XEN else ("vd", "virtio")
    letters = iter("abc")
    if pieces.disk is not None:
        _disk(devices, pieces.disk, driver, prefix + next(letters), bus)
    if isinstance(pieces.config, DiskSource):
        disk = _disk(devices, pieces.config, driver, prefix + next(letters), bus)
        ET.SubElement(disk, "readonly")
        if driver is Driver.QEMU:
            _text(disk, "serial", PREFIX)


def _disk(devices: ET.Element, source: DiskSource, driver: Driver, target: str, bus: str) -> ET.Element:
    disk = ET.SubElement(devices, "disk", type="block" if source.block else "file", device="disk")
    # Xen's own backend serves raw disks only; other formats go through a QEMU in dom0
    backend = "phy" if driver is Driver.XEN and source.format == "raw" else "qemu"
    ET.SubElement(disk, "driver", name=backend, type=source.format)
    ET.SubElement(disk, "source", {"dev" if source.block else "file": source.path})
    if source.over is not None:
        _backing(disk, source.over)
    ET.SubElement(disk, "target", dev=target, bus=bus)
    return disk


def _backing(disk: ET.Element, lun: LUNSource) -> None:
    """Lay a disk over a LUN, which is only read."""
    store = ET.SubElement(disk, "backingStore", type="network")
    ET.SubElement(store, "format", type=lun.format)
    source = ET.SubElement(store, "source", protocol="iscsi", name=f"{lun.target}/{lun.lun}")
    ET.SubElement(source, "host", name=lun.host, port=str(lun.port))
    if lun.initiator:
        ET.SubElement(ET.SubElement(source, "initiator"), "iqn", name=lun.initiator)
    if lun.user:
        ET.SubElement(ET.SubElement(source, "auth", username=lun.user), "secret", {"type": "iscsi", **lun.secret})
    ET.SubElement(store, "backingStore")


def _interface(devices: ET.Element, pieces: DomainPieces, driver: Driver) -> None:
    network = pieces.environment.network
    if network.kind is NetworkKind.HOST:
        return
    kind = {NetworkKind.BRIDGE: "bridge", NetworkKind.LIBVIRT: "network", NetworkKind.USER: "user"}[network.kind]
    interface = ET.SubElement(devices, "interface", type=kind)
    ET.SubElement(interface, "mac", address=mac_address(pieces.uuid, xen=driver is Driver.XEN))
    if kind != "user":
        ET.SubElement(interface, "source", {kind: network.source})
    if network.vlan is not None:
        if network.kind is NetworkKind.BRIDGE:  # a plain Linux bridge would refuse the tag
            ET.SubElement(interface, "virtualport", type="openvswitch")
        ET.SubElement(ET.SubElement(interface, "vlan"), "tag", id=str(network.vlan))
    if driver is Driver.QEMU:
        ET.SubElement(interface, "model", type="virtio")
        ET.SubElement(interface, "rom", enabled="no")


def _console(devices: ET.Element, pieces: DomainPieces, driver: Driver) -> None:
    if driver is Driver.TEST:
        return
    kinds = {Driver.XEN: ("xen",), Driver.LXC: ("lxc",), Driver.QEMU: ("serial",)}[driver]
    if driver is Driver.QEMU:
        serial = ET.SubElement(devices, "serial", type="pty")
        if pieces.console_log:
            ET.SubElement(serial, "log", file=pieces.console_log, append="off")
        ET.SubElement(serial, "target", port="0")
    console = ET.SubElement(devices, "console", type="pty")
    ET.SubElement(console, "target", type=kinds[0], port="0")
