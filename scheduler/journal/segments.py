"""Statuses as intervals, packed: many of one object in one row of the journal. Pure.

A record is 48 bytes, little-endian: at, confirmed, received, sequence, monotonic (microseconds; -1: none), boot, status,
cause, two spare bytes. Records of one object stand in the order of `at`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.availability.history import Cause

RECORD = struct.Struct("<qqqqqibbh")
MOST = 128
"""Records in one row: what is written again when a status changes stays small, and a year is read in few rows."""
NONE = -1
CAUSES = ("", *(cause.value for cause in Cause))
"""Causes of lost time by their number in a record; "" where none was told."""


class Kept(NamedTuple):
    """One status from `at` on, found again and again until `confirmed`."""

    at: int
    confirmed: int
    received: int
    sequence: int
    monotonic: int
    boot: int
    status: int
    cause: int


@dataclass(slots=True)
class ObjectRecords:
    """An object with its newest row of records."""

    id: int
    kind: str
    feed: str
    """farm: this daemon looks at it itself; pushed: others tell."""
    freshness: int | None
    confirmed: int | None
    """Of a pushed one: the last repetition of its newest status."""
    exists: bool
    row: int | None = None
    records: bytes = b""
    watch: int | None = None
    """In which stretch of looking its status was last told."""

    @property
    def last(self) -> Kept | None:
        """Its newest status."""
        return unpacked(self.records[-RECORD.size :])[0] if self.records else None


@dataclass(slots=True)
class WatchPeriod:
    """A stretch in which a daemon looks without a break."""

    id: int
    boot: int
    seen_at: int
    seen_monotonic: int


def packed(records: list[Kept]) -> bytes:
    """Pack records."""
    return b"".join(RECORD.pack(*record, 0) for record in records)


def unpacked(content: bytes) -> list[Kept]:
    """Unpack records."""
    return [Kept(*fields[:8]) for fields in RECORD.iter_unpack(content)]


def spliced(records: list[Kept], late: Kept) -> list[Kept]:
    """Put a status that comes late in its place among records of which the first is not after it.

    Where it falls into a stretch in which another was confirmed again and again, that one holds until then, and again from
    its last confirmation on: nothing is known of the repetitions between.
    """
    place = next((index for index, record in enumerate(records) if record.at > late.at), len(records))
    made = list(records)
    before = made[place - 1] if place else None
    again = []
    if before is not None and before.confirmed > late.at:
        made[place - 1] = before._replace(confirmed=late.at)
        again = [before._replace(at=before.confirmed, sequence=NONE, monotonic=NONE, boot=0)]
    return [*made[:place], late, *again, *made[place:]]
