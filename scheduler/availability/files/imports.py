"""Downtimes that were declared elsewhere: GOCDB's XML, OSG topology's YAML, iCalendar.

When a downtime counts as scheduled is decided by our own rule from the instant at which it was declared, not by what the
source calls it. An announcement that nothing will be down (GOCDB's WARNING, OSG's intermittent outages) is no downtime.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree

from environments.names import nearest
from environments.problems import ConfigurationError, Problem
from environments.reader import documents
from scheduler.availability.files import calendars
from scheduler.availability.files.imported import Imported, Naming, ReadImport, short
from scheduler.availability.history import Revision
from scheduler.model.instants import SECOND, Instant, as_micro

if TYPE_CHECKING:
    from environments.nodes import YamlNode


def read(content: bytes, file: str, naming: Naming, until: Instant, zone: str = "UTC") -> Imported:
    """Read a file of any of the three kinds; `until` bounds recurring events of a calendar."""
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].upper()
    if start.startswith(b"<"):
        return gocdb(content, file, naming)
    if start == b"BEGIN:VCALENDAR":
        return ical(content, file, naming, until, zone=zone)
    return osg(content, file, naming)


# --- GOCDB ------------------------------------------------------------------------------------------------------------


def gocdb(content: bytes, file: str, naming: Naming) -> Imported:
    """Read what GOCDB's programmatic interface answers to get_downtime or get_downtime_nested_services."""
    found = ReadImport(file, naming, "gocdb")
    try:
        root = defusedxml.ElementTree.fromstring(content, forbid_dtd=True)
    except defusedxml.DefusedXmlException as error:
        problem = Problem(file, 0, 0, "", "declares entities or a document type", "plain XML, as GOCDB writes it")
        raise ConfigurationError([problem]) from error
    except (ParseError, ValueError, LookupError) as error:  # the latter two of encodings that are none of XML
        line, column = getattr(error, "position", (0, 0))
        raise ConfigurationError([Problem(file, line, column + 1 if line else 0, "", f"is not XML: {error}")]) from error
    lines = _lines(content)
    for index, entry in enumerate(root.iter("DOWNTIME")):
        _gocdb_entry(entry, lines[index] if index < len(lines) else 0, found)
    return found.done()


def _lines(content: bytes) -> list[int]:
    """Return the lines on which downtimes begin; the parser does not tell."""
    return [content.count(b"\n", 0, match.start()) + 1 for match in re.finditer(rb"<DOWNTIME[\s>]", content)]


def _gocdb_entry(entry: Element, line: int, found: ReadImport) -> None:
    found.entry += 1
    key = _child(entry, "PRIMARY_KEY") or entry.get("PRIMARY_KEY", "") or entry.get("ID", "")
    if not key:
        found.wrong("", Problem(found.file, line, 1, "DOWNTIME", "has no PRIMARY_KEY and no ID: nobody can know it again"))
        return
    number, title = f"gocdb-{short(key)}", f"GOCDB downtime {key}"
    found.told.add(number)
    wrong = len(found.problems)
    dates = {key: _epoch(entry, key, (number, line), found) for key in ("START_DATE", "END_DATE", "INSERT_DATE")}
    if len(found.problems) > wrong:
        return
    start, end, declared = dates["START_DATE"], dates["END_DATE"], dates["INSERT_DATE"]
    severity = _child(entry, "SEVERITY") or entry.get("SEVERITY", "")
    if severity.upper() != "OUTAGE":
        found.skipped.append(f"{title}: severity {severity or 'unknown'} is no outage")
        return
    if end < start:
        found.wrong(number, Problem(found.file, line, 1, title, "ends before it begins"))
        return
    if end == start:
        found.skipped.append(f"{title}: ends as it begins")
        return
    objects: list[str] = []
    for place in list(entry.iter("SERVICE")) or [entry]:
        names = _gocdb_names(place, entry)
        name = found.ours(names)
        if name:
            objects.append(name)
        else:
            concerns = f"concerns {names[-1] if names else 'nothing'}"
            found.unknown(number, Problem(found.file, line, 1, title, concerns), names)
    if objects:
        found.add(number, objects, Revision(declared, start, end, "GOCDB"), _child(entry, "DESCRIPTION"))


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


def _epoch(entry: Element, key: str, where: tuple[str, int], found: ReadImport) -> Instant:
    written, (number, line) = _child(entry, key), where
    if not re.fullmatch(r"\d{1,11}", written):
        message = f"{key} is {written!r}" if written else f"{key} is missing"
        found.wrong(number, Problem(found.file, line, 1, "DOWNTIME", message, "seconds since 1970"))
        return 0
    return int(written) * SECOND


# --- OSG topology -----------------------------------------------------------------------------------------------------

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_OSG_TIME = re.compile(
    r"([A-Z][a-z]{2})[a-z]*\.? (\d{1,2}), (\d{4}) (\d{1,2}):(\d\d)(?::(\d\d))? (?:([+-])(\d\d):?(\d\d)|UTC|GMT)"
)
_OSG_OUTAGES = {"outage", "severe"}


def osg(content: bytes, file: str, naming: Naming) -> Imported:
    """Read a downtime file of OSG topology: a list of entries, each of one resource and some of its services.

    Where a key stands in an entry twice the last one holds, as for OSG's own tools; it is told.
    """
    found = ReadImport(file, naming, "osg")
    repeated: list[Problem] = []
    for document in documents(content, file, given=True, repeated=repeated):
        if not isinstance(document.value, tuple):
            found.entry += 1
            found.wrong("", document.problem((), "is not a list", "a list of downtimes (`- Class: SCHEDULED` ...)"))
        for entry in document.elements:
            _osg_entry(entry, found)
    found.skipped += [f"{one.file}:{one.line} {one.key}: {one.message}; the last one holds" for one in repeated]
    return found.done()


def _osg_entry(entry: YamlNode, found: ReadImport) -> None:
    found.entry += 1
    wrong = len(found.problems)
    number = _osg_number(entry)
    if number:
        found.told.add(number)
    for key in ("ResourceName", "Severity", "StartTime", "EndTime"):
        if key not in entry.items:
            close = nearest(key, [other for other in entry.items if other not in _OSG_KEYS])
            found.wrong(number, entry.problem((key,), f"{key} is missing", "", f"{close}: {key}" if close else ""))
    if len(found.problems) > wrong:
        return
    start, end = (_osg_time(entry, key, number, found) for key in ("StartTime", "EndTime"))
    # Nobody can tell that there was notice of an entry without a date: it counts as declared when it begins.
    declared = _osg_time(entry, "CreatedTime", number, found) if "CreatedTime" in entry.items else start
    if len(found.problems) > wrong:
        return
    resource, severity = str(entry.items["ResourceName"].value), str(entry.items["Severity"].value)
    title = f"OSG downtime {number.removeprefix('osg-')}"
    if severity.lower() not in _OSG_OUTAGES:
        found.skipped.append(f"{title}: severity {severity} is no outage")
        return
    if end < start:
        found.wrong(number, entry.problem(("EndTime",), "ends before it begins", "an instant after its start"))
        return
    if end == start:
        found.skipped.append(f"{title}: ends as it begins")
        return
    services = [str(one.value) for one in entry.items["Services"].elements] if "Services" in entry.items else []
    objects = [name for service in services if (name := found.ours([f"{service}@{resource}"]))]
    objects = objects or [name for name in (found.ours([resource]),) if name]
    if not objects:
        names = [resource, *(f"{service}@{resource}" for service in services)]
        found.unknown(number, replace(entry.problem(("ResourceName",), f"concerns {resource}"), key=title), names)
        return
    reason = str(entry.items["Description"].value or "") if "Description" in entry.items else ""
    found.add(number, objects, Revision(declared, start, end, "OSG topology"), reason)


def _osg_number(entry: YamlNode) -> str:
    """Return an entry's number, or what stands for it: resource and start. "": it has neither."""
    if "ID" in entry.items:
        return f"osg-{short(entry.items['ID'].raw)}"
    if "ResourceName" not in entry.items or "StartTime" not in entry.items:
        return ""
    return f"osg-{short(str(entry.items['ResourceName'].value))} {short(entry.items['StartTime'].raw)}"


_OSG_KEYS = ("Class", "ID", "Description", "Severity", "StartTime", "EndTime", "CreatedTime", "ResourceName", "Services")


def _osg_time(entry: YamlNode, key: str, number: str, found: ReadImport) -> Instant:
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
    found.wrong(number, entry.problem((key,), message, "like `Nov 21, 2026 14:00 +0000`"))
    return 0


# --- iCalendar --------------------------------------------------------------------------------------------------------


def ical(content: bytes, file: str, naming: Naming, until: Instant, *, zone: str = "UTC") -> Imported:
    """Read downtimes from a calendar: what an event concerns stands in its categories, resources or location.

    What an event says now was declared when it was last changed: what it said before is not known.
    """
    found, events = ReadImport(file, naming, "ical"), calendars.events(content, file, until, zone)
    found.told |= {f"ical-{short(uid)}" for uid in events.uids}
    found.skipped += [f"{one} ends as it begins, or before" for one in events.empty]
    for uid, problem in events.wrong:
        found.wrong(f"ical-{short(uid)}" if uid else "", problem)
    for one in events.occurrences:
        _coming(one, found)
    return found.done(events)


def _coming(one: calendars.Occurrence, found: ReadImport) -> None:
    title, series = f"event {one.summary or one.uid!r}", f"ical-{short(one.uid)}"
    if not one.names:
        message = "does not say what it concerns"
        place = "a name in its categories, resources or location"
        found.wrong(series, Problem(found.file, 0, 0, title, message, place))
        return
    named: list[str] = []
    for name in one.names:
        if ours := found.ours([name]):
            named.append(ours)
        else:
            found.unknown(series, Problem(found.file, 0, 0, title, f"concerns {name}"), [name])
    if named:
        said = [moment for moment in (one.created, one.modified) if moment is not None]
        revision = Revision(max(said, default=one.start), one.start, one.end, one.by)
        found.add(f"{series}-{one.start // SECOND}", named, revision, one.summary)
