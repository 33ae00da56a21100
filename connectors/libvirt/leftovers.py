"""What of ours lies on a host's storage: found by its own name, which holds a worker and the first digits of its UUID.

That UUID derives from site, name and number of the worker. So a name proves whose it is, and what bears another one, or the
name of another site's worker, is not ours: it is not even told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import libvirt

from connectors.libvirt.enrolment import ENROLMENT_POOLS
from connectors.libvirt.iscsi import FIXED
from connectors.libvirt.line import no_such
from connectors.libvirt.places import in_directory
from connectors.libvirt.reading import OUR_POOLS
from connectors.libvirt.storage import active_pools, pool_type
from environments.domain import Driver
from scheduler.model.hosts import Stored, worker_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.libvirt.line import Talk
    from connectors.libvirt.options import LibvirtOptions

_OURS = re.compile(r"(?P<worker>.+-(?P<serial>[0-9]{1,18}))-(?P<digits>[0-9a-f]{8})(?P<kind>\.disk|\.config)?")


def stored(talk: Talk, site: str, options: LibvirtOptions) -> tuple[Stored, ...]:
    """Return the workers of a site for which there are volumes, or directories, on the host."""
    names = _directories(talk, options) if talk.driver is Driver.LXC else _volumes(talk)
    found = {one for name in names if (one := ours(name, site)) is not None}
    return tuple(sorted(found, key=lambda one: one.worker))


def ours(name: str, site: str) -> Stored | None:
    """Return for which worker of a site something of this name was made; None: it is not ours."""
    read = _OURS.fullmatch(name)
    if read is None:
        return None
    uuid = worker_uuid(site, read["worker"], int(read["serial"]))
    return Stored(read["worker"], uuid) if uuid.startswith(read["digits"]) else None


def _volumes(talk: Talk) -> Iterator[str]:
    """Yield the names of all volumes in pools in which volumes are made."""
    for pool in active_pools(talk, "list its storage pools"):
        if not pool.name().startswith(OUR_POOLS):
            yield from (name for name in _listed(talk, pool) if name.endswith((".disk", ".config")))


def _listed(talk: Talk, pool: Any) -> list[str]:
    with talk.asking(f"list the volumes of {pool.name()}"):
        try:
            return [] if pool_type(pool) in FIXED else list(pool.listVolumes())
        except libvirt.libvirtError as error:
            if no_such(error):  # it was switched off meanwhile
                return []
            raise


def _directories(talk: Talk, options: LibvirtOptions) -> Iterator[str]:
    """Yield the names of containers' enrolments: directories, and pools through which one was being filled or emptied."""
    with talk.asking("list its storage pools"):
        names = [pool.name() for pool in talk.connection.listAllStoragePools(0)]
    yield from (name.removeprefix(ENROLMENT_POOLS) for name in names if name.startswith(ENROLMENT_POOLS))

    def listed(pool: Any | None) -> list[str]:
        if pool is None:
            return []  # nothing was ever enrolled here
        with talk.asking(f"list {options.enrolment_directory}"):
            pool.refresh(0)
            return list(pool.listVolumes())

    yield from in_directory(talk, options.enrolment_directory.rstrip("/"), listed)
