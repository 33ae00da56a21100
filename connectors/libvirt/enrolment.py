"""Delivers a worker's enrolment: as a small disk to a virtual machine, as a directory to a container; through libvirt alone."""

from __future__ import annotations

import contextlib
import io
import tarfile
from typing import TYPE_CHECKING, Any

import libvirt

from connectors.libvirt.line import no_such
from connectors.libvirt.places import directory_pool_xml
from connectors.libvirt.reading import OUR_POOLS
from connectors.libvirt.storage import (
    FILE_POOLS,
    active_pool,
    create_volume,
    pool_type,
    source_of,
    volume_names,
    volume_xml,
)
from environments.domain import DiskSource, Driver
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.libvirt.line import Talk
    from connectors.libvirt.options import LibvirtOptions
    from scheduler.model.ports import WorkerOrder

PARAMETERS = "parameters"
"""Name of the file that holds the parameters, one `NAME=VALUE` in a line."""
ENROLMENT_POOLS = f"{OUR_POOLS}enrol-"
"""Pools through which a container's directory is filled and emptied."""
_TAR_BLOCK = 65536
_UPLOAD_CHUNK = 262144


def make_config(talk: Talk, order: WorkerOrder, options: LibvirtOptions, parameters: Mapping[str, str]) -> DiskSource | None:
    """Make the small disk with the worker's parameters and secrets: a plain tar, readable without any file system."""
    content = config_tar(enrolment_files(order, parameters))
    _, name = volume_names(order.worker, order.uuid)
    pool = active_pool(talk, options.config_pool) if options.config_pool else any_file_pool(talk)
    if pool is None:
        return None
    volume = create_volume(talk, pool, volume_xml(name, len(content), "raw", mode="0600"), name)
    upload(talk, volume, content, name)
    return source_of(talk, volume, "raw")


def enrolment_files(order: WorkerOrder, parameters: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files that a worker is given: its parameters and its secrets."""
    for name in order.enrolment.files:
        if "/" in name or name in {"", ".", "..", PARAMETERS}:
            raise SourceError(order.worker, "deliver its enrolment", f"{name!r} cannot be the name of a file in it")
    lines = "".join(f"{name}={value}\n" for name, value in parameters.items())
    return {PARAMETERS: lines.encode(), **order.enrolment.files}


def config_tar(files: Mapping[str, bytes]) -> bytes:
    """Return the files as a tar, filled up to whole blocks; the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    content = buffer.getvalue()
    return content + bytes(-len(content) % _TAR_BLOCK)


def upload(talk: Talk, volume: Any, content: bytes, name: str) -> None:
    """Fill a volume through libvirt's own stream; the test driver, whose volumes hold nothing, is spared."""
    if talk.driver is Driver.TEST or not content:
        return
    with talk.asking(f"fill volume {name}"):
        stream = talk.connection.newStream(0)
        volume.upload(stream, 0, len(content), 0)
        try:
            view = memoryview(content)
            while view:
                view = view[stream.send(bytes(view[:_UPLOAD_CHUNK])) :]
            stream.finish()
        except libvirt.libvirtError:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
            raise


def any_file_pool(talk: Talk) -> Any | None:
    """Return a pool for config disks; None on a host of the test driver that has none: its guests read nothing."""
    asked = "find a storage pool for config disks"
    with talk.asking(asked):
        pools = talk.connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
        for pool in sorted(pools, key=lambda one: str(one.name())):
            if not pool.name().startswith(OUR_POOLS) and pool_type(pool) in FILE_POOLS:
                return pool
    if talk.driver is Driver.TEST:
        return None
    raise SourceError(talk.host, asked, "no directory pool is active here: make one, or name another with `config_pool`")


def make_directory(talk: Talk, order: WorkerOrder, options: LibvirtOptions, parameters: Mapping[str, str]) -> str:
    """Make the directory on the host that a container finds its parameters and secrets in; return its path."""
    path = enrolment_path(order.worker, order.uuid, options)
    remove_directory(talk, order.worker, order.uuid, options)
    name = _pool_name(order.worker, order.uuid)
    asked = f"make directory {path}"
    with talk.asking(asked):
        pool = talk.connection.storagePoolDefineXML(directory_pool_xml(name, path, mode="0700"), 0)
        pool.build(0)
        pool.create(0)
    for file, content in enrolment_files(order, parameters).items():
        with talk.asking(asked):
            volume = pool.createXML(volume_xml(file, len(content), "raw", mode="0600"), 0)
        upload(talk, volume, content, file)
    with talk.asking(asked):
        pool.destroy()
        pool.undefine()
    return path


def remove_directory(talk: Talk, worker: str, uuid: str, options: LibvirtOptions) -> None:
    """Remove a container's directory and all that is in it; nothing to do where there is none."""
    path, name = enrolment_path(worker, uuid, options), _pool_name(worker, uuid)
    with talk.asking(f"remove directory {path}"):
        try:
            pool = talk.connection.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if not no_such(error):
                raise
            pool = talk.connection.storagePoolDefineXML(directory_pool_xml(name, path), 0)
        try:
            if not pool.isActive():
                try:
                    pool.create(0)
                except libvirt.libvirtError:  # the directory is not there: libvirt has no code of its own for that
                    return
            pool.refresh(0)
            for volume in pool.listAllVolumes():
                volume.delete(0)
            pool.destroy()
            pool.delete(0)
        finally:
            pool.undefine()


def enrolment_path(worker: str, uuid: str, options: LibvirtOptions) -> str:
    """Return the directory on the host that holds a container's enrolment."""
    return f"{options.enrolment_directory.rstrip('/')}/{worker}-{uuid[:8]}"


def _pool_name(worker: str, uuid: str) -> str:
    return f"{ENROLMENT_POOLS}{worker}-{uuid[:8]}"
