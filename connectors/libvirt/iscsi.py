"""Volumes of an iscsi-direct pool: LUNs that QEMU reaches by itself. One is shared, read-only; each worker has its overlay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from environments.domain import Driver, LUNSource
from environments.environment import DiskMode
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from connectors.libvirt.line import Talk
    from environments.environment import Environment

DIRECT = "iscsi-direct"
FIXED = {DIRECT, "iscsi", "scsi", "mpath"}
"""Pools whose volumes are made where the storage is: libvirt finds them and makes none."""
PORT = 3260
_MIB = 1024**2


def lun_of(talk: Talk, pool: Any, volume: Any, kind: str) -> LUNSource:
    """Return where QEMU finds a volume of an iscsi-direct pool, and as whom it logs in."""
    with talk.asking(f"locate volume {volume.name()}"):
        source = ET.fromstring(pool.XMLDesc()).find("source")  # noqa: S314 - it comes from libvirt
        number = re.search(r"-lun-(\d+)$", volume.path())
    host = source.find("host") if source is not None else None
    device = source.find("device") if source is not None else None
    if source is None or host is None or device is None or number is None:
        raise SourceError(talk.host, f"locate volume {volume.name()}", "its pool tells no target, or the volume no LUN")
    login, secret, initiator = source.find("auth"), source.find("auth/secret"), source.find("initiator/iqn")
    return LUNSource(
        target=device.get("path", ""),
        lun=int(number[1]),
        host=host.get("name", ""),
        port=int(host.get("port", PORT)),
        format=kind,
        initiator="" if initiator is None else initiator.get("name", ""),
        user="" if login is None else login.get("username", ""),
        secret={} if secret is None else dict(secret.attrib),
    )


def overlay_capacity(told: int, wanted: int) -> int:
    """Return the size of an overlay that is nowhere smaller than its LUN: libvirt 9.0 tells a LUN one block too small."""
    return max(wanted, -(-(told + 512) // _MIB) * _MIB)


def hindrance(environment: Environment, kind: str, driver: Driver) -> str:
    """Say why an image in a pool of this type cannot serve an environment; "" when it can."""
    pool, mode = environment.image.pool, environment.disk.mode
    if kind != DIRECT:
        return ""
    if driver not in {Driver.QEMU, Driver.TEST}:
        return (
            f"image.pool: {pool!r} is an iscsi-direct pool, which only QEMU reads by itself: "
            f"{environment.virtualization} needs a pool that the host's kernel serves (iscsi, logical, dir)"
        )
    if mode is not DiskMode.OVERLAY:
        return f"disk.mode: {mode} of a volume in the iscsi-direct pool {pool!r}: libvirt cannot copy from it, only overlay it"
    return ""
