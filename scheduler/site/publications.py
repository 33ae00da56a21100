"""Publishing periods of the running farm: from the site's definitions and the journal to the next version.

Versions are kept in the journal. A file `published.json`, where older versions of Ambienti kept them, is taken over once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from environments.problems import ConfigurationError, Problem
from environments.reader import read_content
from scheduler.availability.reports import publication
from scheduler.availability.reports.publication import Version
from scheduler.journal import publications as kept
from scheduler.journal.publications import Published
from scheduler.model.instants import Instant, in_seconds, write_instant
from scheduler.site import services

if TYPE_CHECKING:
    from scheduler.availability.history import Window
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.journal.reading import JournalReader
    from scheduler.journal.writing import JournalWriter
    from scheduler.site.definitions import Definitions

FILE = "published.json"
TAKEN = "published.json.taken-over"


@dataclass(frozen=True, slots=True)
class Next:
    """How a period stands."""

    before: Version | None
    """As it was published last; None: never."""
    version: Version | None
    """The next version, which nobody has kept yet; None: nothing is new."""
    groups: str
    """Fingerprint of the groups it was computed with."""

    @property
    def shown(self) -> Version | None:
        """The version whose figures are those of now."""
        return self.version or self.before


def look(journal: JournalReader, prepared: Prepared, period: Window, at: Instant) -> Next:
    """Compute the figures of a period that is over, and compare them with what was published."""
    before = kept.last(journal, period)
    seen = kept.evidence(journal, prepared, period, before)
    measures = publication.measured(prepared, period)
    version = publication.publish(period, measures, prepared.history, at, before, evidence=seen)
    return Next(before, version, kept.groups_mark(prepared.history, period))


def publish(journal: JournalWriter, made: Next, now: Instant, *, by: str, owner: str = "") -> None:
    """Keep the next version; with `owner` only while that daemon holds the lease."""
    if made.version is not None:
        with journal.write("publication") as connection:
            if owner:
                journal.fence(connection, owner)
            kept.keep(journal, connection, made.version, made.groups, now, by=by)


# --- what could have changed ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Review:
    """Which published periods are to be computed again, and what is to be written when that is done."""

    periods: tuple[Published, ...]
    until: int
    """The line of the event log up to which was looked."""
    groups: dict[int, str]
    """Versions whose groups were defined otherwise: with which they are now."""


def review(definitions: Definitions, journal: JournalReader, now: Instant, *, groups: bool) -> Review | None:
    """Find the periods whose figures may have changed; None: nothing is published, or the log has nothing new.

    `groups`: the definitions may have changed as well.
    """
    known = [one for one in kept.newest(journal) if one.period.end <= now]
    if not known:
        return None
    after = min(one.checked for one in known)
    found = kept.news(journal, after, max(one.period.end for one in known), now)
    marks: dict[int, str] = {}
    if groups:
        history = services.live_history(definitions, journal, in_seconds(now), with_results=False)
        current = {one.id: kept.groups_mark(history, one.period) for one in known}
        marks = {one.id: current[one.id] for one in known if current[one.id] != one.groups}
    touched = tuple(one for one in known if one.id in marks or (found.since is not None and one.period.end > found.since))
    if not touched and found.until - after < MANY:
        return None
    return Review(touched, found.until, marks)


MANY = 1_000
"""Lines of the log that are looked through again after a restart, at most."""


# --- the file of former days ------------------------------------------------------------------------------------------


def read_file(file: Path) -> list[Version]:
    """Read a file of versions; there need not be one."""
    if not file.exists():
        return []
    expected = "what `report publish` wrote; or move the file away: what it holds is forgotten then"
    try:
        return [publication.version_of(one) for one in json.loads(read_content(file))]
    except json.JSONDecodeError as error:
        problem = Problem(str(file), error.lineno, error.colno, "", f"is not JSON: {error.msg}", expected)
        raise ConfigurationError([problem]) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"a version without {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError([Problem(str(file), 0, 0, "", f"holds no published versions: {said}", expected)]) from error


def take_over(definitions: Definitions, journal: JournalWriter, now: Instant) -> list[str]:
    """Take versions over from `published.json`; return what is to be told. Done once: the file gets another name.

    Killed between, it is taken over again: what stands in the journal already is left as it is.
    """
    file = definitions.file.directory / FILE
    found = read_file(file)
    if not file.exists():
        return []
    taken, doubts = kept.take_over(journal, found, FILE, now)
    put = file.with_name(TAKEN if not file.with_name(TAKEN).exists() else f"{TAKEN}-{write_instant(now)}")
    file.rename(put)
    return [f"{taken} of {len(found)} versions of {file} were taken over into the journal; the file is {put.name} now", *doubts]
