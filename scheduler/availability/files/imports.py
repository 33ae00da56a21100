"""Downtimes that were declared elsewhere: GOCDB's XML, OSG topology's YAML, iCalendar.

When a downtime counts as scheduled is decided by our own rule from the instant at which it was declared, not by what the
source calls it. An announcement that nothing will be down (GOCDB's WARNING, OSG's intermittent outages) is no downtime.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

import defusedxml
import defusedxml.ElementTree

from environments.names import nearest
from environments.problems import ConfigurationError, Problem
from environments.reader import documents
from scheduler.availability.files import calendars
from scheduler.availability.history import SECOND, Downtime, Instant, Revision
from scheduler.availability.instants import as_micro

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from environments.nodes import Node


@dataclass(frozen=True, slots=True)
class Naming:
    """How names of a foreign source become names of ours."""

    known: frozenset[str]
    """Objects and groups."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Their name -> ours."""
    others: bool = False
    """The source also speaks of things that are not ours: they are skipped. Else a name that is not known is an error."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read, and in words what was left out."""

    downtimes: tuple[Downtime, ...]
    skipped: tuple[str, ...]
    series: frozenset[str] = frozenset()
    """Events of a calendar that the file tells of, each with all its comings: one that is not there was cancelled or moved."""

    def lacks(self, number: str) -> bool:
        """Tell whether the file tells of this event, but no more of this coming of it."""
        coming = _COMING.match(number)
        return coming is not None and coming[1] in self.series and all(one.id != number for one in self.downtimes)


@dataclass(slots=True)
class _Found:
    """What a file says, as far as it was read."""

    file: str
    naming: Naming
    downtimes: dict[str, Downtime] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    series: frozenset[str] = frozenset()

    def add(self, number: str, objects: Iterable[str], revision: Revision, reason: str) -> None:
        """Add a downtime; several entries of one number are one downtime of several objects."""
        before = self.downtimes.get(number)
        if before is not None and before.revisions != (revision,):
            number = f"{number} {'/'.join(objects)}"
            before = self.downtimes.get(number)
        together = (*(before.objects if before else ()), *objects)
        self.downtimes[number] = Downtime(number, tuple(dict.fromkeys(together)), (revision,), reason=reason)

    def done(self) -> Imported:
        """Return what was read, or raise what is wrong."""
        if self.problems:
            raise ConfigurationError(self.problems)
        return Imported(tuple(self.downtimes.values()), tuple(dict.fromkeys(self.skipped)), self.series)


def read(content: bytes, file: str, naming: Naming, until: Instant, zone: str = "UTC") -> Imported:
    """Read a file of any of the three kinds; `until` bounds recurring events of a calendar."""
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].upper()
    if start.startswith(b"<"):
        return gocdb(content, file, naming)
    if start == b"BEGIN:VCALENDAR":
        return ical(content, file, naming, until, zone=zone)
    return osg(content, file, naming)


def _ours(naming: Naming, candidates: Iterable[str]) -> str:
    """Return our name for the first of several foreign ones that is known, or ""."""
    names = [name for name in candidates if name]
    for name in names:
        if naming.aliases.get(name, name) in naming.known:
            return naming.aliases.get(name, name)
    return ""


# --- GOCDB ------------------------------------------------------------------------------------------------------------


def gocdb(content: bytes, file: str, naming: Naming) -> Imported:
    """Read what GOCDB's programmatic interface answers to get_downtime or get_downtime_nested_services."""
    found = _Found(file, naming)
    try:
        root = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except (ParseError, UnicodeDecodeError, LookupError) as error:
        line, column = getattr(error, "position", (0, 0))
        raise ConfigurationError([Problem(file, line, column + 1 if line else 0, "", f"is not XML: {error}")]) from error
    except defusedxml.DefusedXmlException as error:
        problem = Problem(file, 0, 0, "", "declares entities or a document type", "plain XML, as GOCDB writes it")
        raise ConfigurationError([problem]) from error
    lines = _lines(content)
    for index, entry in enumerate(root.iter("DOWNTIME")):
        _gocdb_entry(entry, lines[index] if index < len(lines) else 0, found)
    return found.done()


def _lines(content: bytes) -> list[int]:
    """Return the lines on which downtimes begin; the parser does not tell."""
    return [content.count(b"\n", 0, match.start()) + 1 for match in re.finditer(rb"<DOWNTIME[\s>]", content)]


def _gocdb_entry(entry: Element, line: int, found: _Found) -> None:
    number = _child(entry, "PRIMARY_KEY") or entry.get("PRIMARY_KEY", "") or entry.get("ID", "")
    wrong = len(found.problems)
    dates = {key: _epoch(entry, key, line, found) for key in ("START_DATE", "END_DATE", "INSERT_DATE")}
    if len(found.problems) > wrong:
        return
    start, end, declared = dates["START_DATE"], dates["END_DATE"], dates["INSERT_DATE"]
    title = f"GOCDB downtime {number}"
    severity = _child(entry, "SEVERITY") or entry.get("SEVERITY", "")
    if severity.upper() != "OUTAGE":
        found.skipped.append(f"{title}: severity {severity or 'unknown'} is no outage")
        return
    if end < start:
        found.problems.append(Problem(found.file, line, 1, title, "ends before it begins"))
        return
    objects: list[str] = []
    for place in list(entry.iter("SERVICE")) or [entry]:
        names = _gocdb_names(place, entry)
        name = _ours(found.naming, names)
        if name:
            objects.append(name)
        else:
            _unknown(found, Problem(found.file, line, 1, title, f"concerns {names[-1] if names else 'nothing'}"), names)
    if objects:
        found.add(f"gocdb-{number}", objects, Revision(declared, start, end, "GOCDB"), _child(entry, "DESCRIPTION"))


def _gocdb_names(place: Element, entry: Element) -> list[str]:
    """Return what an entry may be called with us, the most exact first: service@host, host, endpoint, the host's short name."""
    host, service = _child(place, "HOSTNAME"), _child(place, "SERVICE_TYPE")
    if not host:
        return [name for name in (_child(entry, "SITENAME"), _child(entry, "HOSTED_BY")) if name]
    urls = [url.text.strip() for url in place.iter("URL") if url.text]
    exact = [f"{service}@{host}"] if service else []
    return [*exact, host, *urls, _child(place, "ENDPOINT"), host.partition(".")[0]]


def _child(entry: Element, key: str) -> str:
    below = entry.find(key)
    return (below.text or "").strip() if below is not None else ""


def _epoch(entry: Element, key: str, line: int, found: _Found) -> Instant:
    written = _child(entry, key)
    if not re.fullmatch(r"\d{1,11}", written):
        message = f"{key} is {written!r}" if written else f"{key} is missing"
        found.problems.append(Problem(found.file, line, 1, "DOWNTIME", message, "seconds since 1970"))
        return 0
    return int(written) * SECOND


def _unknown(found: _Found, problem: Problem, names: list[str]) -> None:
    if found.naming.others:
        found.skipped.append(f"{problem.key}: {', '.join(names[:2])} is not ours")
        return
    close = next((near for name in names if (near := nearest(name, found.naming.known))), "")
    said = f"{problem.message}, which is no object or group of ours"
    found.problems.append(
        Problem(problem.file, problem.line, problem.column, problem.key, said, "a known name, or an alias", close)
    )


# --- OSG topology -----------------------------------------------------------------------------------------------------

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_OSG_TIME = re.compile(
    r"([A-Z][a-z]{2})[a-z]*\.? (\d{1,2}), (\d{4}) (\d{1,2}):(\d\d)(?::(\d\d))? (?:([+-])(\d\d):?(\d\d)|UTC|GMT)"
)
_OSG_OUTAGES = {"outage", "severe"}


def osg(content: bytes, file: str, naming: Naming) -> Imported:
    """Read a downtime file of OSG topology: a list of entries, each of one resource and some of its services."""
    found = _Found(file, naming)
    for document in documents(content, file):
        if not isinstance(document.value, tuple):
            found.problems.append(document.problem((), "is not a list", "a list of downtimes (`- Class: SCHEDULED` ...)"))
        for entry in document.elements:
            _osg_entry(entry, found)
    return found.done()


def _osg_entry(entry: Node, found: _Found) -> None:
    wrong = len(found.problems)
    for key in ("ResourceName", "Severity", "StartTime", "EndTime"):
        if key not in entry.items:
            close = nearest(key, [other for other in entry.items if other not in _OSG_KEYS])
            found.problems.append(entry.problem((key,), f"{key} is missing", "", f"{close}: {key}" if close else ""))
    if len(found.problems) > wrong:
        return
    start, end = (_osg_time(entry, key, found) for key in ("StartTime", "EndTime"))
    # Nobody can tell that there was notice of an entry without a date: it counts as declared when it begins.
    declared = _osg_time(entry, "CreatedTime", found) if "CreatedTime" in entry.items else start
    if len(found.problems) > wrong:
        return
    resource, severity = str(entry.items["ResourceName"].value), str(entry.items["Severity"].value)
    number = entry.items["ID"].raw if "ID" in entry.items else f"{resource} {entry.items['StartTime'].raw}"
    title = f"OSG downtime {number}"
    if severity.lower() not in _OSG_OUTAGES:
        found.skipped.append(f"{title}: severity {severity} is no outage")
        return
    if end < start:
        found.problems.append(entry.problem(("EndTime",), "ends before it begins", "an instant after its start"))
        return
    services = [str(one.value) for one in entry.items["Services"].elements] if "Services" in entry.items else []
    objects = [name for service in services if (name := _ours(found.naming, [f"{service}@{resource}"]))]
    objects = objects or [name for name in (_ours(found.naming, [resource]),) if name]
    if not objects:
        _unknown(
            found, entry.problem(("ResourceName",), f"concerns {resource}"), [resource, *(f"{s}@{resource}" for s in services)]
        )
        return
    reason = str(entry.items["Description"].value or "") if "Description" in entry.items else ""
    found.add(f"osg-{number}", objects, Revision(declared, start, end, "OSG topology"), reason)


_OSG_KEYS = ("Class", "ID", "Description", "Severity", "StartTime", "EndTime", "CreatedTime", "ResourceName", "Services")


def _osg_time(entry: Node, key: str, found: _Found) -> Instant:
    written = entry.items[key].raw.strip()
    match = _OSG_TIME.fullmatch(written)
    said = "it is written otherwise"
    if match and match[1] in _MONTHS:
        offset = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
        try:
            zone = timezone(-offset if match[7] == "-" else offset) if match[7] else UTC
            day, hour, minute, second = (int(match[part] or 0) for part in (2, 4, 5, 6))
            month = _MONTHS.index(match[1]) + 1
            return as_micro(datetime(int(match[3]), month, day, hour, minute, second, tzinfo=zone))
        except ValueError as error:
            said = str(error)
    message = f"{written!r} is no date and time: {said}"
    found.problems.append(entry.problem((key,), message, "like `Nov 21, 2026 14:00 +0000`"))
    return 0


# --- iCalendar --------------------------------------------------------------------------------------------------------


_COMING = re.compile(r"(ical-.*)--?\d+(?: .*)?$")


def ical(
    content: bytes, file: str, naming: Naming, until: Instant, *, zone: str = "UTC", objects: tuple[str, ...] = ()
) -> Imported:
    """Read downtimes from a calendar: what an event concerns stands in its categories, resources or location, or in `objects`.

    What an event says now was declared when it was last changed: what it said before is not known.
    """
    found = _Found(file, naming, series=frozenset(f"ical-{uid}" for uid in calendars.uids(content, file)))
    for one in calendars.read(content, file, until, zone):
        title = f"event {one.summary or one.uid!r}"
        named = list(_event_names(one, found, title)) if one.names else list(objects)
        if not named:
            if not one.names:
                message = "does not say what it concerns"
                found.problems.append(Problem(file, 0, 0, title, message, "its categories, resources or location; or --object"))
            continue
        said = [moment for moment in (one.created, one.modified) if moment is not None]
        revision = Revision(max(said, default=one.start), one.start, one.end, one.by)
        found.add(f"ical-{one.uid}-{one.start // SECOND}", named, revision, one.summary)
    return found.done()


def _event_names(one: calendars.Occurrence, found: _Found, title: str) -> Iterator[str]:
    for name in one.names:
        ours = _ours(found.naming, [name])
        if ours:
            yield ours
        else:
            _unknown(found, Problem(found.file, 0, 0, title, f"concerns {name}"), [name])
