"""Storage that nothing tells of any more: found by its own name on a host, and compared with all that is known. Pure.

Rules:
1. What a worker of an open entry, or a domain of any host, may need is not left; nor what a worker may need that the journal
   does not know and some batch system shows. (Of one that it has closed the batch system may show an ad that has not expired.)
2. How long it has been left is counted from the end of its worker, or from when it was first seen so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.journal.records import Entry
from scheduler.model.hosts import HostReading, Stored
from scheduler.model.workers import LeftStorage

if TYPE_CHECKING:
    from scheduler.observe.joined import Hosts, JoinedFarm

Since = dict[tuple[str, str], float]
"""By host and worker, monotonic."""


@dataclass(frozen=True, slots=True)
class StorageFound:
    """What hosts told of their storage."""

    now: float
    monotonic: float
    stored: Mapping[str, tuple[Stored, ...]]
    """By host; one that did not tell is not in it."""
    closed: Mapping[str, Entry]
    """What the journal knows of these workers, closed entries included."""
    needed: AbstractSet[str]
    """Workers of open entries, or with an act under way."""


def left_behind(
    storage: StorageFound, farm: JoinedFarm, hosts: Hosts, before: Mapping[tuple[str, str], float]
) -> tuple[tuple[LeftStorage, ...], Since]:
    """Return what is left on the storage of the hosts that told of it, and since when, for the next look."""
    since = {key: at for key, at in before.items() if key[0] in hosts and key[0] not in storage.stored}
    if not storage.stored:
        return (), since
    nodes = {worker for _, worker in farm.nodes}
    needed = storage.needed | _named(farm, hosts)
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for host, stored in storage.stored.items():
        for one in stored:
            if one.worker not in needed and (one.worker in storage.closed or one.worker not in nodes):
                places[one.worker, one.uuid].append(host)
                since[host, one.worker] = before.get((host, one.worker), storage.monotonic)
    return tuple(_left(worker, uuid, tuple(found), storage, since) for (worker, uuid), found in sorted(places.items())), since


def _named(farm: JoinedFarm, hosts: Hosts) -> AbstractSet[str]:
    """Return every name that some domain bears, ours or not."""
    shown = {domain.name for one in hosts.values() if isinstance(one, HostReading) for domain in one.domains}
    return shown | farm.domains.keys()


def _left(worker: str, uuid: str, hosts: tuple[str, ...], storage: StorageFound, since: Since) -> LeftStorage:
    entry = storage.closed.get(worker)
    seconds = storage.monotonic - min(since[host, worker] for host in hosts)
    if entry is None:
        return LeftStorage(worker, uuid, hosts, "", "", seconds)
    if entry.closed_at is not None:
        seconds = max(seconds, storage.now - entry.closed_at)
    return LeftStorage(worker, uuid, hosts, entry.host, entry.environment, seconds)
