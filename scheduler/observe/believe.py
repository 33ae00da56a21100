"""Which readings are believed: an empty answer right after a full one is doubted until it still stands later. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scheduler.model.hosts import HostReading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scheduler.journal.records import Entry
    from scheduler.model.queues import QueueReading
    from scheduler.model.readings import Unanswered


@dataclass(frozen=True, slots=True)
class Shape:
    """What a batch system showed when it was last believed, and in part since."""

    clusters: bool = False
    nodes: bool = False
    empty_since: float | None = None
    """Monotonic time of the first doubted answer."""


def believe_queue(
    reading: QueueReading, shape: Shape, registered: bool, monotonic: float, confirm_seconds: float
) -> tuple[QueueReading, Shape]:
    """Mark a reading suspect when all its clusters or nodes vanished at once; `registered`: the journal has workers there."""
    clusters, nodes = bool(reading.clusters), bool(reading.nodes)
    if not reading.complete:  # what it shows is there; what it does not show may be there all the same
        shows = clusters or nodes
        return reading, Shape(shape.clusters or clusters, shape.nodes or nodes, None) if shows else shape
    vanished = (shape.clusters and not clusters) or (shape.nodes and not nodes and registered)
    since = monotonic if shape.empty_since is None else shape.empty_since
    if vanished and monotonic - since < confirm_seconds:
        return replace(reading, suspect=True), replace(shape, empty_since=since)
    return reading, Shape(clusters, nodes)


def first_shape(entries: Iterable[Entry], batch_system: str) -> Shape:
    """Say what a daemon that has just started expects: something, wherever the journal knows registered workers."""
    known = any(e.batch_system == batch_system and e.registered_at is not None for e in entries)
    return Shape(known, known)


def vanished_hosts(
    hosts: Mapping[str, HostReading | Unanswered],
    showing: Mapping[str, int],
    entries: Iterable[Entry],
    explained: frozenset[str],
) -> set[str]:
    """Return the hosts that answer in full, show none of our domains, and should show some.

    `showing` counts our domains per host; a worker whose end is explained (powered off, or an event told) is not missed.
    """
    bare = {
        name
        for name, reading in hosts.items()
        if isinstance(reading, HostReading) and reading.complete and not showing.get(name)
    }
    return {
        entry.host for entry in entries if entry.host in bare and entry.booted_at is not None and entry.name not in explained
    }


def with_last_answer(reading: Unanswered, answered_at: Mapping[str, float]) -> Unanswered:
    """Say when a silent source last answered."""
    return replace(reading, answered_at=answered_at.get(reading.source, reading.answered_at))
