"""What a site with the lab's LXC and QEMU hosts writes down: environments and hosts, ready for the YAML files."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.worker_image import WorkerImages, images

if TYPE_CHECKING:
    from tests.lab.libvirtd import Libvirtd

VOS = ("atlas", "cms", "theory")
CONTAINER_MIB = 256
MACHINE_MIB = 384
RESERVE_SHARE = 4
"""Each of the lab's hosts leaves a quarter of the machine's memory to the lab itself."""
NETS = 254 * 256
"""Networks of 127/8 from which the lab's containers take their addresses."""
_SHARED = {"job_memory_mib": 128, "idle_seconds": 4, "boot_seconds": 300}


@cache
def worker_images() -> WorkerImages:
    """Return the worker's images, looked for once in this process."""
    return images()


def container(vo: str = "atlas", **more: object) -> dict[str, object]:
    """Return an environment of containers: the worker's tree, shared and read-only, on the host's own network.

    Each container has a loopback address of its own; those of different VOs, and of labs of different processes, do not overlap.
    """
    net = (os.getpid() * len(VOS) + VOS.index(vo)) % NETS
    return {
        "virtualization": "lxc",
        "image": {"path": str(worker_images().tree)},
        "memory_mib": CONTAINER_MIB,
        "network": {"kind": "host", "addresses": f"127.{1 + net // 256}.{net % 256}.10-127.{1 + net // 256}.{net % 256}.200/8"},
        "provides": {"Lane": "lxc"},
        **_SHARED,
        **more,
    }


def diskless(**more: object) -> dict[str, object]:
    """Return an environment of emulated machines that live in their ramdisk, behind QEMU's own network."""
    made = worker_images()
    return {
        "virtualization": "qemu",
        "image": {"kernel": str(made.kernel.image), "initrd": str(made.initrd), "cmdline": QUICK},
        "memory_mib": MACHINE_MIB,
        "network": {"kind": "user"},
        "provides": {"Lane": "qemu"},
        **_SHARED,
        **more,
    }


def with_disk(**more: object) -> dict[str, object]:
    """Return the same with a disk of its own: an overlay on the shared image, in the host's pool."""
    made = worker_images()
    return diskless(
        image={
            "kernel": str(made.kernel.image),
            "initrd": str(made.disk_initrd),
            "cmdline": QUICK,
            "path": str(made.disk),
            "format": "qcow2",
        },
        disk={"mode": "overlay", "pool": "workers", "size_gib": 1},
        **{"provides": {"Lane": "qemu-disk"}, **more},
    )


QUICK = "quiet loglevel=3 panic=1 random.trust_cpu=on mitigations=off edd=off"
"""What makes an emulated kernel start sooner; `panic=1` ends a broken guest instead of letting it hang."""


def host_entry(daemon: Libvirtd, driver: str, **more: object) -> dict[str, object]:
    """Return a host for the site file: one driver of one libvirtd."""
    return {
        "name": f"{driver}-{daemon.name}",
        "uri": daemon.uri(driver),
        "reserve_mib": memory_mib() // RESERVE_SHARE,
        "machine_percent": 50,  # LXC and QEMU of one libvirtd are one machine
        "cpu_overcommit": 8,
        "options": daemon.options(),
        **more,
    }


def memory_mib() -> int:
    """Return the memory of this machine in MiB."""
    return int(Path("/proc/meminfo").read_text().split()[1]) // 1024
