"""What a page or a mail says of publication: which version its figures are, and which published figures changed since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scheduler.model.instants import write_instant

if TYPE_CHECKING:
    from scheduler.availability.reports.publication import Version
    from scheduler.journal.publications import Published


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version of one period."""

    period: str
    """Name of the window."""
    start: str
    end: str
    number: int
    at: str
    """When it was published."""
    note: str


@dataclass(frozen=True, slots=True)
class PublicationStatus:
    """What is said of publication."""

    current: VersionLine | None
    """The version whose figures these are; None: they are not published."""
    earlier: tuple[VersionLine, ...] = ()
    """The versions before it."""
    corrections: tuple[VersionLine, ...] = ()
    """Versions of other periods that replaced published figures since the last report."""
    pending: str = ""
    """Why the figures are not those of the last version, where nobody has published the next one yet."""


def told(version: Version | None, known: Sequence[Published], corrections: Iterable[Published], zone: str) -> PublicationStatus:
    """Say which version is shown, what `known` versions of its period were before, and what else was corrected."""
    current = None if version is None else line(version, zone)
    earlier = [line(one, zone) for one in known if version is not None and one.number < version.number]
    period = None if version is None else (version.period.start, version.period.end)
    others = [line(one, zone) for one in corrections if (one.period.start, one.period.end) != period]
    return PublicationStatus(current, tuple(earlier), tuple(others))


def line(one: Version | Published, zone: str) -> VersionLine:
    """Return a version as it is listed."""
    start, end, at = (write_instant(instant, zone) for instant in (one.period.start, one.period.end, one.published_at))
    return VersionLine(one.period.name, start, end, one.number, at, one.note)
