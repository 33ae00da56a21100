"""What a site with Xen hosts writes down: the worker's image in the share, the environment, the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import libvirt

from tests.lab.lanes import QUICK, VOS
from tests.lab.worker_image import build_initrd, build_raw_disk, tree
from tests.lab.xen.build import build
from tests.lab.xen.host import BRIDGE, FIRST_ADDRESS, GATEWAY, IMAGES, POOL, SPARE_DISK, XenHost

GROUP = "group"
"""The volume group of dom0, and the storage pool that libvirt makes of it."""
_GROUP = (
    f"<pool type='logical'><name>{GROUP}</name><source><device path='{SPARE_DISK}'/><name>{GROUP}</name></source>"
    f"<target><path>/dev/{GROUP}</path></target></pool>"
)

MEMORY_MIB = 384
"""A diskless worker keeps its system (30 MB) in memory; a host has room for three."""
DISK_MIB = 40
"""So large is the image of workers with a disk of their own."""
RESERVE_MIB = 128
"""What the hypervisor keeps for itself; dom0 counts as a domain."""
BATCH_OPTIONS = {"callback": "always"}
"""Behind the emulator's network nobody reaches a worker: it is reached through the collector."""
ADDRESSES_OF_A_VO = 8


def publish_worker(host: XenHost) -> str:
    """Build the worker's ramdisk for dom0's kernel into the directory that all hosts share; return its path in dom0."""
    return _published(host, "worker", ".img", lambda out: _ramdisk(out, "xen-pv"))


def publish_disk(host: XenHost) -> tuple[str, str]:
    """Build what workers with a disk of their own need: the ramdisk that finds the disk, and the disk's image; as paths in dom0."""
    ramdisk = _published(host, "finder", ".img", lambda out: _ramdisk(out, "xen-pv-disk"))
    return ramdisk, _published(host, "disk", ".raw", lambda out: build_raw_disk(out, DISK_MIB))


def _ramdisk(out: Path, kind: str) -> None:
    images = build()
    build_initrd(kind, images.kernel_version, images.modules_root, out)


def _published(host: XenHost, kind: str, ending: str, write: Callable[[Path], object]) -> str:
    """Write a file of this version into the share unless it is there, and remove those of other versions."""
    name = f"{kind}-{tree().name.removeprefix('tree-')}-{build().directory.name.removeprefix('images-')}{ending}"
    if not (host.share / name).exists():
        for old in host.share.glob(f"{kind}-*"):
            old.unlink()
        write(host.share / name)
    return f"{IMAGES}/{name}"


def environment(ramdisk: str, virtualization: str = "xen-pv", *, vo: str = "atlas", **more: object) -> dict[str, object]:
    """Return an environment for the YAML file of a VO; the addresses of different VOs do not overlap."""
    first = FIRST_ADDRESS + ADDRESSES_OF_A_VO * VOS.index(vo)
    addresses = f"10.0.2.{first}-10.0.2.{first + ADDRESSES_OF_A_VO - 1}/24"
    return {
        "virtualization": virtualization,
        "image": {"kernel": f"{IMAGES}/vmlinux", "initrd": ramdisk, "cmdline": QUICK},
        "memory_mib": MEMORY_MIB,
        "job_memory_mib": 128,
        "network": {"kind": "bridge", "source": BRIDGE, "addresses": addresses, "gateway": GATEWAY},
        "provides": {"Lane": "xen"},
        "idle_seconds": 20,
        "boot_seconds": 900,
        **more,
    }


def with_disk(ramdisk: str, image: str, **more: object) -> dict[str, object]:
    """Return the same with a disk of its own: a volume of dom0's volume group, filled from the image."""
    definition = environment(ramdisk, **more)
    filled = {**definition["image"], "path": image, "format": "raw"}  # type: ignore[dict-item]
    return {**definition, "image": filled, "disk": {"mode": "lvm", "pool": GROUP, "size_gib": 1}}


def make_volume_group(host: XenHost) -> None:
    """Make a volume group of dom0's spare disk, and a storage pool of it, all through libvirt; one that is there stays."""
    connection = libvirt.open(host.uri)
    try:
        if GROUP not in {pool.name() for pool in connection.listAllStoragePools()}:
            pool = connection.storagePoolDefineXML(_GROUP, 0)
            pool.build(0)
            pool.create(0)
    finally:
        connection.close()


def host_entry(host: XenHost, uri: str = "") -> dict[str, object]:
    """Return the host for the site file."""
    return {
        "name": host.name,
        "uri": uri or host.uri,
        "reserve_mib": RESERVE_MIB,
        "cpu_overcommit": 4,
        "options": {"config_pool": POOL},
    }
