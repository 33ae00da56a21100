"""What a site may say about one libvirt host."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from environments.environment import Frozen, Reserve, Seconds, Virtualization
from environments.text import OneLine


class LibvirtOptions(Frozen):
    """`options` of a host of kind `libvirt`."""

    reserve_mib: Reserve = 0
    """Memory kept for the host itself, in MiB (or `4 GiB`)."""
    virtualizations: tuple[Virtualization, ...] = ()
    """What the host may be used for; by default what libvirt says it can (KVM only after it has run a guest)."""
    kvm: Annotated[Literal["try", "off", "trust"], BeforeValidator(lambda v: "off" if v is False else v)] = "try"
    """`try`: offer KVM once a trial guest has run; `off`: never; `trust`: whenever libvirt offers it."""
    image_roots: tuple[OneLine, ...] | None = None
    """Where images given by path may lie; the site's own, given at its top."""
    disk_pool: OneLine = "default"
    """Storage pool for the disks of environments that name none."""
    config_pool: OneLine | None = None
    """Storage pool for the small disks with a worker's enrolment; by default the first active directory pool."""
    enrolment_directory: Annotated[OneLine, Field(pattern=r"^/[^\s]*$")] = "/run/ambienti"
    """Directory on the host below which each container finds its enrolment; better in memory: it is secret."""
    console_directory: Annotated[OneLine, Field(pattern=r"^/[^\s]*$")] | None = None
    """Directory on the host for what QEMU guests say on their consoles, one file each; none by default."""
    graceful_seconds: Seconds = 0
    """Ask a guest to shut down and wait so long before its domain is destroyed; 0: destroy at once (it is drained already)."""
    storage_seconds: Annotated[Seconds, Field(gt=0)] = 600
    """Deadline of a boot that copies a whole disk."""
    keepalive_seconds: Annotated[Seconds, Field(gt=0)] = 5
    """A host that answers nothing for three times as long is lost."""
    retry_seconds: Annotated[Seconds, Field(gt=0)] = 60
    """Longest pause between two attempts to reach a lost host."""
