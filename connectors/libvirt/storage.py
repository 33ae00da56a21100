"""A worker's own storage, made and removed through libvirt alone, so that a host far away is served like this one.

Volumes are `WORKER-0a1b2c3d.disk` and `.config`, with the first digits of its UUID: two sites may share a pool.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree import ElementTree as ET

import libvirt

from connectors.libvirt.iscsi import hindrance, lun_of, overlay_capacity
from connectors.libvirt.line import no_such, unsupported
from connectors.libvirt.places import at_path, find_volume
from environments.domain import DiskSource, Driver
from environments.environment import DiskMode
from scheduler.model.failures import FailureCause
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connectors.libvirt.line import Talk
    from connectors.libvirt.options import LibvirtOptions
    from environments.environment import Environment
from scheduler.model.ports import WorkerOrder

T = TypeVar("T")
_GIB = 1024**3
FILE_POOLS = {"dir", "fs", "netfs", "gluster", "vstorage"}


def volume_names(worker: str, uuid: str) -> tuple[str, str]:
    """Return the names of a worker's disk and of its config disk."""
    return f"{worker}-{uuid[:8]}.disk", f"{worker}-{uuid[:8]}.config"


def make_disk(talk: Talk, order: WorkerOrder, options: LibvirtOptions) -> DiskSource | None:
    """Make the worker's root disk; None for a diskless one."""
    environment = order.environment
    mode = environment.disk.mode
    if mode is DiskMode.NONE:
        return None
    pool = active_pool(talk, environment.disk.pool or options.disk_pool)
    name, _ = volume_names(order.worker, order.uuid)
    capacity = environment.disk.size_gib * _GIB
    if mode is DiskMode.OVERLAY:
        return _overlay(talk, pool, name, environment, capacity)
    if mode is DiskMode.LVM and not (environment.image.path or environment.image.volume):
        volume = create_volume(talk, pool, volume_xml(name, capacity, "raw"), name)
        return source_of(talk, volume, "raw")
    raw = mode is DiskMode.LVM or talk.driver is Driver.XEN
    kind = "raw" if raw else environment.image.format

    def copy(base: Any) -> Any:
        with talk.asking(f"copy {_image_name(environment)} to volume {name}"):
            size = max(capacity, base.info()[1])
            remove_volume(talk, pool, name)
            made = pool.createXMLFrom(volume_xml(name, size, kind), base, 0)
        return _enlarged(talk, made, name, size)

    return source_of(talk, with_base(talk, environment, copy), kind)


def active_pool(talk: Talk, name: str) -> Any:
    """Return a storage pool by name. Raises SourceError when it is not there or not active."""
    with talk.asking(f"find storage pool {name}"):
        try:
            pool = talk.connection.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if not no_such(error):
                raise
            known = ", ".join(sorted(pool.name() for pool in talk.connection.listAllStoragePools())) or "none"
            raise SourceError(
                talk.host, f"find storage pool {name}", f"there is none; there are: {known}", FailureCause.STORAGE
            ) from error
        if not pool.isActive():
            raise SourceError(talk.host, f"find storage pool {name}", "it is not active", FailureCause.STORAGE)
        return pool


def pool_type(pool: Any) -> str:
    """Return the type of a pool: dir, netfs, logical, iscsi..."""
    return ET.fromstring(pool.XMLDesc()).get("type", "")  # noqa: S314 - it comes from libvirt


def remove_volume(talk: Talk, pool: Any, name: str) -> bool:
    """Remove a volume if it is there."""
    with talk.asking(f"remove volume {name}"):
        try:
            pool.storageVolLookupByName(name).delete(0)
        except libvirt.libvirtError as error:
            if no_such(error):
                return False
            pool.refresh(0)
            if name in pool.listVolumes():
                raise
            # another host has removed it from the storage they share
    return True


def active_pools(talk: Talk, asked: str) -> Sequence[Any]:
    """Return libvirt's active storage pools; none where the driver knows no storage."""
    with talk.asking(asked):
        try:
            pools: Sequence[Any] = talk.connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
        except libvirt.libvirtError as error:
            if unsupported(error):
                return ()
            raise
    return pools


def remove_volumes(talk: Talk, worker: str, uuid: str) -> None:
    """Remove a worker's volumes from whichever active pool they are in."""
    for pool in active_pools(talk, f"find the volumes of {worker}"):
        for name in volume_names(worker, uuid):
            remove_volume(talk, pool, name)


def create_volume(talk: Talk, pool: Any, xml: str, name: str) -> Any:
    """Make a volume anew: one of that name is left from an earlier attempt at this worker, whose domain does not run."""
    remove_volume(talk, pool, name)
    with talk.asking(f"make volume {name} in pool {pool.name()}"):
        try:
            return pool.createXML(xml, 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in {libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_OPERATION_FAILED}:
                raise
            pool.refresh(0)  # a file may be there that the pool did not know of
            if not remove_volume(talk, pool, name):
                raise
        return pool.createXML(xml, 0)


def _overlay(talk: Talk, pool: Any, name: str, environment: Environment, capacity: int) -> DiskSource:
    """Make a copy-on-write volume over the shared image, at least as large as the image."""
    image = environment.image
    if image.path:
        xml = volume_xml(name, None if talk.driver is not Driver.TEST else capacity, "qcow2", (image.path, image.format))
        volume = create_volume(talk, pool, xml, name)
        return source_of(talk, _enlarged(talk, volume, name, capacity), "qcow2")

    def overlay(base: Any) -> DiskSource:
        with talk.asking(f"measure {_image_name(environment)}"):
            kind, told, *_ = base.info()
            path = base.path()
        if kind == libvirt.VIR_STORAGE_VOL_NETWORK:
            over = lun_of(talk, active_pool(talk, image.pool or ""), base, image.format)
            made = create_volume(talk, pool, volume_xml(name, overlay_capacity(told, capacity), "qcow2"), name)
            return replace(source_of(talk, made, "qcow2"), over=over)
        backing = (path, image.format)
        return source_of(
            talk, create_volume(talk, pool, volume_xml(name, max(capacity, told), "qcow2", backing), name), "qcow2"
        )

    return with_base(talk, environment, overlay)


def _enlarged(talk: Talk, volume: Any, name: str, capacity: int) -> Any:
    with talk.asking(f"enlarge volume {name}"):
        if volume.info()[1] < capacity:
            volume.resize(capacity, 0)
    return volume


def with_base(talk: Talk, environment: Environment, use: Callable[[Any], T]) -> T:
    """Hand over the image as a volume, through a pool of the moment when its directory is in none; it may be used again."""
    image = environment.image
    asked = f"find {_image_name(environment)}"
    if image.volume and image.pool:
        pool = active_pool(talk, image.pool)
        if against := hindrance(environment, pool_type(pool), talk.driver):
            raise SourceError(talk.host, asked, against)
        volume = find_volume(talk, pool, image.volume)
        if volume is None:
            raise SourceError(talk.host, asked, "there is no such volume", FailureCause.IMAGE)
        return use(volume)

    def use_file(volume: Any | None) -> T:
        if volume is None:
            raise SourceError(talk.host, asked, "there is no such file", FailureCause.IMAGE)
        return use(volume)

    return at_path(talk, image.path or "", use_file)


def volume_xml(
    name: str, capacity: int | None, kind: str, backing: tuple[str, str] | None = None, mode: str | None = None
) -> str:
    """Return the XML of a volume; without a capacity it is as large as what backs it."""
    root = ET.Element("volume")
    ET.SubElement(root, "name").text = name
    if capacity is not None:
        ET.SubElement(root, "capacity", unit="bytes").text = str(capacity)
    if backing is not None:
        ET.SubElement(root, "allocation", unit="bytes").text = "0"
    target = ET.SubElement(root, "target")
    ET.SubElement(target, "format", type=kind)
    if mode:
        ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = mode
    if backing is not None:
        store = ET.SubElement(root, "backingStore")
        ET.SubElement(store, "path").text = backing[0]
        ET.SubElement(store, "format", type=backing[1])
    return ET.tostring(root, encoding="unicode")


def source_of(talk: Talk, volume: Any, kind: str) -> DiskSource:
    """Return a volume as a domain sees it."""
    with talk.asking("locate a volume"):
        return DiskSource(volume.path(), kind, block=volume.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK)


def _image_name(environment: Environment) -> str:
    image = environment.image
    return f"image {image.pool}/{image.volume}" if image.volume else f"image {image.path}"
