"""What a site with Xen hosts writes down: the worker's image in the share, the environment, the host."""

from __future__ import annotations

from tests.lab.lanes import QUICK
from tests.lab.worker_image import build_initrd, tree
from tests.lab.xen.build import build
from tests.lab.xen.host import ADDRESSES, BRIDGE, GATEWAY, IMAGES, POOL, XenHost

MEMORY_MIB = 384
"""A diskless worker keeps its system (30 MB) in memory; a host has room for three."""
RESERVE_MIB = 128
"""What the hypervisor keeps for itself; dom0 counts as a domain."""

BATCH_OPTIONS = {"callback": "always"}
"""Behind the emulator's network nobody reaches a worker: it is reached through the collector."""


def publish_worker(host: XenHost) -> str:
    """Build the worker's ramdisk for dom0's kernel into the directory that all hosts share; return its path in dom0."""
    images = build()
    name = f"worker-{tree().name.removeprefix('tree-')}-{images.directory.name.removeprefix('images-')}.img"
    if not (host.share / name).exists():
        for old in host.share.glob("worker-*"):
            old.unlink()
        build_initrd("xen-pv", images.kernel_version, images.modules_root, host.share / name)
    return f"{IMAGES}/{name}"


def environment(ramdisk: str, virtualization: str = "xen-pv", **more: object) -> dict[str, object]:
    """Return an environment for the YAML file of a VO."""
    return {
        "virtualization": virtualization,
        "image": {"kernel": f"{IMAGES}/vmlinux", "initrd": ramdisk, "cmdline": QUICK},
        "memory_mib": MEMORY_MIB,
        "job_memory_mib": 128,
        "network": {"kind": "bridge", "source": BRIDGE, "addresses": ADDRESSES, "gateway": GATEWAY},
        "provides": {"Lane": "xen"},
        "idle_seconds": 20,
        "boot_seconds": 120,
        **more,
    }


def host_entry(host: XenHost, uri: str = "") -> dict[str, object]:
    """Return the host for the site file."""
    return {
        "name": host.name,
        "uri": uri or host.uri,
        "reserve_mib": RESERVE_MIB,
        "cpu_overcommit": 4,
        "options": {"config_pool": POOL},
    }
