"""Files and directories of a host that lie in no storage pool: looked into through a pool of the moment.

Such a pool may be found and used by others (another entry of the same libvirtd, another process), and ended by any of them.
Rules:
1. Whoever has used a pool of the moment ends it; libvirt itself refuses that while somebody copies from it, who ends it then.
2. Whoever finds it gone in the midst looks again: what was done with it may be repeated.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
import time
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree import ElementTree as ET

import libvirt

from connectors.libvirt.line import no_such
from connectors.libvirt.reading import OUR_POOLS
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.libvirt.line import Talk

T = TypeVar("T")
LOOKS = f"{OUR_POOLS}look-"
_PAUSE_SECONDS = 0.02
_TAKEN = {libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_OPERATION_INVALID}
"""What libvirt answers when a pool of that name, or of that directory, is there already."""


def at_path(talk: Talk, path: str, use: Callable[[Any | None], T]) -> T:
    """Hand over the volume at a path of the host; None when nothing is there. Directories are volumes too."""
    with talk.asking(f"look for {path}"):
        try:
            volume = talk.connection.storageVolLookupByPath(path)
        except libvirt.libvirtError as error:
            if not no_such(error):
                raise
            volume = None
        lasting = volume is not None and not _in_pool_of_the_moment(volume)
    if lasting:
        return use(volume)
    directory, name = posixpath.split(path)

    def use_in(pool: Any | None) -> T:
        return use(None if pool is None else find_volume(talk, pool, name))

    return in_directory(talk, directory, use_in)


def in_directory(talk: Talk, directory: str, use: Callable[[Any | None], T]) -> T:
    """Hand over a directory of the host as a storage pool; None when it cannot be read."""
    while True:
        pool = _opened(talk, directory)
        if pool is None or not pool.name().startswith(LOOKS):
            return use(pool)
        try:
            return use(pool)
        except SourceError:
            if talk.cancelled.is_set() or _is_there(pool):
                raise
        finally:
            with contextlib.suppress(libvirt.libvirtError):  # somebody else was quicker, or is at work in it and ends it then
                pool.destroy()


def find_volume(talk: Talk, pool: Any, name: str) -> Any | None:
    """Return a volume; a second look after a refresh finds what another host has put on shared storage."""
    with talk.asking(f"find volume {name} in pool {pool.name()}"):
        for last in (False, True):
            try:
                return pool.storageVolLookupByName(name)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
                    raise
                if not last:
                    pool.refresh(0)
    return None


def directory_pool_xml(name: str, directory: str, mode: str | None = None) -> str:
    """Return the XML of a directory pool."""
    root = ET.Element("pool", type="dir")
    ET.SubElement(root, "name").text = name
    target = ET.SubElement(root, "target")
    ET.SubElement(target, "path").text = directory
    if mode:
        ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = mode
    return ET.tostring(root, encoding="unicode")


def _opened(talk: Talk, directory: str) -> Any | None:
    """Return the pool of a directory: one that is there, or one of the moment; None when the directory cannot be read."""
    name = f"{LOOKS}{hashlib.sha256(directory.encode()).hexdigest()[:12]}"
    while True:
        with talk.asking(f"look into {directory}"):
            there = _pool_of(talk, directory)
            if there is not None:
                return there
            try:
                return talk.connection.storagePoolCreateXML(directory_pool_xml(name, directory), 0)
            except libvirt.libvirtError as error:
                if error.get_error_code() not in _TAKEN:
                    return None
        time.sleep(_PAUSE_SECONDS)  # somebody else has begun to look there just now


def _pool_of(talk: Talk, directory: str) -> Any | None:
    """Return the active pool of a directory. Raises SourceError where its pool is switched off: no other can be made then."""
    for pool in talk.connection.listAllStoragePools(0):
        try:
            if _target(pool) != directory:
                continue
            if pool.isActive():
                return pool
            if not pool.name().startswith(OUR_POOLS):
                answer = f"it belongs to storage pool {pool.name()!r}, which is not active"
                raise SourceError(talk.host, f"look into {directory}", answer)
        except libvirt.libvirtError as error:
            if not no_such(error):
                raise
    return None


def _in_pool_of_the_moment(volume: Any) -> bool:
    """Whether somebody else's look shows it: such a pool may end at any moment."""
    try:
        return bool(volume.storagePoolLookupByVolume().name().startswith(LOOKS))
    except libvirt.libvirtError as error:
        if no_such(error):
            return True
        raise


def _is_there(pool: Any) -> bool:
    """Whether a pool of the moment still is; an error is an answer of another kind, which stands."""
    try:
        return bool(pool.isActive())
    except libvirt.libvirtError as error:
        return not no_such(error)


def _target(pool: Any) -> str:
    return ET.fromstring(pool.XMLDesc()).findtext("target/path", "").rstrip("/")  # noqa: S314 - it comes from libvirt
