"""Virtual organisations and their environments: what a worker node is made of, and who may use it.

These are the *checked* objects. `catalogue.py` makes them from YAML and says which file and line is wrong. Every field's
description is the reference documentation: the pages and the JSON Schema are generated from it.
"""

from __future__ import annotations

import posixpath
import re
from enum import StrEnum
from functools import cache
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from environments.text import OneLine, in_one_line

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""Lower-case letters, digits and hyphens, at most 40."""
VO_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
VOName = Annotated[str, BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v), Field(pattern=VO_PATTERN)]
"""A VO as it calls itself (`atlas`, `vo.cta.in2p3.fr`); capitals do not count."""
POOL_PATTERN = r"^[^/\x00-\x1f\x7f]+$"
PoolName = Annotated[str, in_one_line, Field(pattern=POOL_PATTERN, max_length=255)]
"""A storage pool as libvirt calls it."""
ATTRIBUTE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
ONE_LINE_PATTERN = r"^[^\x00-\x1f\x7f]*$"
Scalar = bool | int | float | Annotated[str, Field(pattern=ONE_LINE_PATTERN), in_one_line]
_RESERVED = frozenset(
    {
        "if",
        "else",
        "elif",
        "endif",
        "use",
        "include",
        "true",
        "false",
        "undefined",
        "error",
        "is",
        "isnt",
        "parent",
        "my",
        "target",
    }
)
"""Words of the languages in which batch systems are told of attributes."""


def _no_word_of_a_language(name: str) -> str:
    if name.lower() in _RESERVED:
        raise ValueError(f"{name!r} is a word of the language in which the batch system reads attributes")
    return name


AttributeName = Annotated[str, Field(pattern=ATTRIBUTE_PATTERN), AfterValidator(_no_word_of_a_language)]
Attributes = dict[AttributeName, Scalar]

MOST_SECONDS = 3_000_000_000
MOST_MIB = 2**30
MOST_GIB = 2**20
_BEYOND_ALL = 1e18
"""An amount that every bound refuses."""
_UNITS_OF_TIME = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_UNITS_OF_MEMORY = {"mib": 1, "mb": 1, "m": 1, "gib": 1024, "gb": 1024, "g": 1024, "tib": 1024 * 1024}
_UNITS_OF_DISK = {"gib": 1, "gb": 1, "g": 1, "tib": 1024, "tb": 1024, "t": 1024}


def _measure(text: object, units: dict[str, int], example: str) -> object:
    """Read `90`, `"90 s"`, `"2 h"`; anything else is left to pydantic, which refuses it by name."""
    if not isinstance(text, str):
        return text
    written = text.strip()  # not by the pattern: with many spaces in a long text it would try for ever
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", written)
    if not found or (found[2] and found[2].lower() not in units):
        shown, known = written if len(written) <= 60 else f"{written[:57]}...", ", ".join(units)
        raise ValueError(f"{shown!r} is not an amount: write a number or, for example, {example!r} (units: {known})")
    amount = float(found[1]) * units[found[2].lower() or next(iter(units))]
    return round(min(amount, _BEYOND_ALL))


def _amount(units: dict[str, int], example: str) -> WithJsonSchema:
    """Tell editors what an amount looks like: a whole number, or one with a unit."""
    spelt = "|".join("".join(f"[{c.upper()}{c}]" for c in unit) for unit in sorted(units, key=len, reverse=True))
    pattern = rf"^\s*\d+(\.\d+)?\s*({spelt})?\s*$"
    return WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": pattern}], "examples": [example]}
    )


Seconds = Annotated[
    int,
    BeforeValidator(lambda v: _measure(v, _UNITS_OF_TIME, "20 min")),
    Field(ge=0, le=MOST_SECONDS),
    _amount(_UNITS_OF_TIME, "20 min"),
]
FineSeconds = Annotated[
    float,
    BeforeValidator(lambda v: _measure(v, _UNITS_OF_TIME, "20 min")),
    Field(ge=0, le=MOST_SECONDS),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": ["20 min"]}),
]
"""Seconds that may have a fraction."""
Mebibytes = Annotated[
    int,
    BeforeValidator(lambda v: _measure(v, _UNITS_OF_MEMORY, "4 GiB")),
    Field(gt=0, le=MOST_MIB),
    _amount(_UNITS_OF_MEMORY, "4 GiB"),
]
Reserve = Annotated[
    int,
    BeforeValidator(lambda v: _measure(v, _UNITS_OF_MEMORY, "4 GiB")),
    Field(ge=0, le=MOST_MIB),
    _amount(_UNITS_OF_MEMORY, "4 GiB"),
]
"""Mebibytes that may be none."""
Gibibytes = Annotated[
    int,
    BeforeValidator(lambda v: _measure(v, _UNITS_OF_DISK, "20 GiB")),
    Field(gt=0, le=MOST_GIB),
    _amount(_UNITS_OF_DISK, "20 GiB"),
]


class Frozen(BaseModel):
    """A checked, immutable description; unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, given: object) -> object:
        """Have `true` refused by name where a number belongs: for Python it is 1."""
        if not isinstance(given, dict):
            return given
        return {key: _spelt(value) if key in cls._numbers() else value for key, value in given.items()}

    @classmethod
    @cache
    def _numbers(cls) -> frozenset[str]:
        """Return the keys under which numbers belong and no `true`."""
        fields = [(field.alias or name, _kinds(field.annotation)) for name, field in cls.model_fields.items()]
        return frozenset(name for name, kinds in fields if bool not in kinds and any(issubclass(k, int | float) for k in kinds))


def _kinds(annotation: object) -> set[type]:
    """Return the types that an annotation is made of."""
    inner = get_args(annotation)
    return set().union(*map(_kinds, inner)) if inner else {annotation} if isinstance(annotation, type) else set()


def _spelt(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_spelt(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else value


class Virtualization(StrEnum):
    """How the worker is virtualised; libvirt is the one door to all of them."""

    XEN_PV = "xen-pv"
    XEN_PVH = "xen-pvh"
    XEN_HVM = "xen-hvm"
    QEMU = "qemu"
    KVM = "kvm"
    LXC = "lxc"


class DiskMode(StrEnum):
    """How a worker gets its root file system."""

    OVERLAY = "overlay"
    COPY = "copy"
    LVM = "lvm"
    NONE = "none"


class Image(Frozen):
    """What a worker boots from. Paths are on the hypervisor host (shared storage); volumes are names in a storage pool."""

    path: OneLine | None = None
    """Base disk image (a path on shared storage); for `lxc` the directory tree that becomes the container's root."""
    pool: PoolName | None = None
    """Storage pool that holds `volume`."""
    volume: OneLine | None = None
    """Base disk image as a volume of `pool`; instead of `path`."""
    format: Literal["raw", "qcow2"] = "qcow2"
    """Format of the base disk image."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Checksum of the disk image: `check --live` reads all of it on the first host that can boot it, and compares."""
    kernel: OneLine | None = None
    """Kernel on the host, for direct boot (always for xen-pv and xen-pvh, and for diskless workers)."""
    initrd: OneLine | None = None
    """Initial ramdisk on the host; a diskless worker lives in it."""
    cmdline: Annotated[str, in_one_line, Field(max_length=4000)] = ""
    """Extra words of the kernel command line. A Xen PV guest is cut at 1023 bytes: longer ones are refused."""

    @field_validator("path", "kernel", "initrd")
    @classmethod
    def _plain(cls, path: str | None) -> str | None:
        """Write a path without `..` and doubled slashes: what was checked is what a host is asked for."""
        return "/" + posixpath.normpath(path).lstrip("/") if path is not None and path.startswith("/") else path


class Disk(Frozen):
    """The worker's own writable disk."""

    mode: DiskMode = DiskMode.NONE
    """`overlay` on the shared base image, full `copy`, an `lvm` volume, or `none` (diskless: everything in memory)."""
    pool: PoolName | None = None
    """Storage pool in which the worker's volume is made."""
    size_gib: Gibibytes = 10
    """Capacity of the worker's volume in GiB (or `1 TiB`)."""


class NetworkKind(StrEnum):
    """How a worker is attached."""

    BRIDGE = "bridge"
    LIBVIRT = "libvirt"
    USER = "user"
    HOST = "host"


class Network(Frozen):
    """How a worker is attached to the network."""

    kind: NetworkKind = NetworkKind.LIBVIRT
    """`bridge` on the host, `libvirt` network, `user` (QEMU's own, unprivileged), `host` (an LXC worker shares the host's)."""
    source: OneLine = "default"
    """Name of the bridge or of the libvirt network."""
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = None
    """VLAN tag of the worker's port: the bridge, or that of the libvirt network, must be one of Open vSwitch."""
    addresses: OneLine | None = None
    """Range of static addresses given to workers one by one, where no DHCP serves: `10.0.2.16-10.0.2.40/24`."""
    gateway: OneLine | None = None
    """Default gateway of workers with a static address."""


class Environment(Frozen):
    """One kind of worker node: image, size, network, what it provides, and when it may live."""

    name: Name
    """Unique in the farm. Jobs ask for it: `+WantEnvironment = "atlas-el9"`."""
    vo: VOName
    """The VO that owns the definition (filled in from the file it stands in)."""
    description: OneLine = ""
    """One line for people."""
    version: OneLine = "1"
    """Change it when the image changes: new workers boot it (one canary first), old ones are replaced when idle."""
    shared_with: tuple[VOName, ...] = ()
    """Other VOs whose jobs may run here too."""
    virtualization: Virtualization
    """xen-pv, xen-pvh, xen-hvm, qemu, kvm or lxc."""
    image: Image = Image()
    """What it boots from."""
    disk: Disk = Disk()
    """Its writable disk; none by default."""
    vcpus: Annotated[int, Field(gt=0, le=4096)] = 1
    """Virtual processors of one worker."""
    memory_mib: Mebibytes = 2048
    """Memory of one worker in MiB (or `4 GiB`)."""
    job_memory_mib: Mebibytes | None = None
    """Memory that jobs can have in it, in MiB; by default `memory_mib` less 10 % (at least 64 MiB) for the system."""
    network: Network = Network()
    """How it is attached."""
    provides: Attributes = {}
    """Attributes that jobs can require, e.g. `OpSysAndVer: AlmaLinux9`. Advertised by the worker as they stand here."""
    minimum_workers: Annotated[int, Field(ge=0)] = 0
    """Workers kept even without demand."""
    maximum_workers: Annotated[int, Field(ge=0)] | None = None
    """Never more workers than this; no limit by default."""
    spare_workers: Annotated[int, Field(ge=0)] = 0
    """Idle workers kept ready while there is any demand for this environment."""
    idle_seconds: Seconds = 300
    """A worker idle for longer is retired (or `10 min`)."""
    lifetime_seconds: Seconds = 172800
    """A worker older than this, from its order on, is drained and replaced (or `2 d`). Jobs that need longer go elsewhere."""
    boot_seconds: Seconds = 600
    """A worker that has not registered with the batch system this long after its boot has failed."""
    labels: dict[OneLine, OneLine] = {}
    """Host labels that this environment needs: `{rack: a}` places it only on hosts that carry `rack: a`."""
    default: bool = False
    """The environment for jobs of this VO that ask for nothing; at most one per VO."""

    @property
    def vos(self) -> tuple[str, ...]:
        """The VOs whose jobs may run here, the owner first."""
        return (self.vo, *self.shared_with)

    @property
    def slot_memory_mib(self) -> int:
        """Memory for jobs in MiB."""
        return self.job_memory_mib or self.memory_mib - max(64, self.memory_mib // 10)

    @property
    def slot_disk_mib(self) -> int:
        """Disk for jobs in MiB: of a diskless worker half of its memory."""
        return self.memory_mib // 2 if self.disk.mode is DiskMode.NONE else self.disk.size_gib * 1024

    @property
    def slot_gpus(self) -> int:
        """GPUs of one worker, as `provides` says it (`GPUs: 1`)."""
        told = (value for name, value in self.provides.items() if name.lower() == "gpus")
        return next((value for value in told if isinstance(value, int) and not isinstance(value, bool)), 0)


class Share(Frozen):
    """What a VO may have of the farm. Amounts are cores; memory is shared in proportion (dominant resource fairness)."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """Relative share when the farm is full."""
    guarantee_cpus: Annotated[int, Field(ge=0)] = 0
    """Cores this VO gets back by drain when it needs them, whoever borrowed them."""
    ceiling_cpus: Annotated[int, Field(ge=0)] | None = None
    """Never more cores than this, even when the farm is idle."""


class VO(Frozen):
    """A virtual organisation: a share of the farm."""

    name: VOName
    """atlas, cms, vo.cta.in2p3.fr..."""
    share: Share = Share()
    """Weight, guarantee and ceiling."""
