"""What was read of downtimes that were declared elsewhere, and how foreign names become names of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from environments.names import nearest
from environments.problems import ConfigurationError, Problem
from environments.text import printable
from scheduler.availability.history import Downtime, Revision
from scheduler.model.instants import SECOND, Instant

if TYPE_CHECKING:
    from scheduler.availability.files import calendars

_COMING = re.compile(r"--?\d+(?= |$)")
"""What makes the number of one coming of that of a calendar's event: the second at which it begins."""
_LONGEST = 80


def short(text: str) -> str:
    """Return what a foreign number or a list of names is kept as: printable, and no longer than the journal keeps it."""
    shown = printable(text, len(text))
    return shown if len(shown) <= _LONGEST else f"{shown[:60]}#{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Naming:
    """How names of a foreign source become names of ours. Host names have no case: neither has a name where it is not exact."""

    known: frozenset[str]
    """Objects and groups."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Their name -> ours."""
    others: bool = False
    """The source also speaks of things that are not ours: they are skipped. Else a name that is not known is an error."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read, and in words what was left out."""

    kind: str
    """gocdb, osg or ical: with it the numbers begin."""
    downtimes: tuple[Downtime, ...]
    skipped: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    """What of entries cannot be understood. It stops no other entry."""
    wrong_entries: int = 0
    """Of so many entries something cannot be understood."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Downtime -> its number at the source: where the objects of one number are down at different times they are several."""
    again: Mapping[str, str] = field(default_factory=dict)
    """Number of a further time at which an object is down -> the number at the source."""
    told: frozenset[str] = frozenset()
    """All numbers that the file speaks of, also where it says that nothing is down or nothing of ours."""
    unread: frozenset[str] = frozenset()
    """Of these something cannot be understood: what the file does not say of them is not known. "": of one without a number."""
    series: frozenset[str] = frozenset()
    """Events of a calendar that the file tells of, each with all its comings: one that is not there was cancelled or moved."""
    changed: Mapping[str, Instant] = field(default_factory=dict)
    """Event of a calendar -> when it was changed last, as far as the calendar says."""

    def coming(self, source: str) -> tuple[str, str]:
        """Return the event of a coming, of those that the file tells of, and the coming's number; empty: of none."""
        for match in _COMING.finditer(source):
            if source[: match.start()] in self.series:
                return source[: match.start()], source[: match.end()]
        return "", ""

    def doubtful(self, number: str) -> bool:
        """Whether something of this number could not be understood."""
        return number in self.unread or (self.coming(number)[0] or "-") in self.unread


@dataclass(slots=True)
class ReadImport:
    """What a file says, as far as it was read."""

    file: str
    naming: Naming
    kind: str
    downtimes: dict[str, Downtime] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    entry: int = 0
    """Which entry is being read; 0: the source has no entries but numbers."""
    wrong_entries: set[object] = field(default_factory=set)
    folded: dict[str, str] = field(default_factory=dict)
    """Names of ours and aliases without case, where only one name of ours is meant."""

    def __post_init__(self) -> None:
        meant: dict[str, set[str]] = {}
        for name in self.naming.known:
            meant.setdefault(name.casefold(), set()).add(name)
        for theirs, ours in self.naming.aliases.items():
            meant[theirs.casefold()] = {ours} & self.naming.known
        self.folded = {name: next(iter(ours)) for name, ours in meant.items() if len(ours) == 1}

    def add(self, number: str, objects: Iterable[str], revision: Revision, reason: str) -> None:
        """Add a downtime; several entries of one number and one span are one downtime of several objects."""
        name, objects = number, tuple(objects)
        before = self.downtimes.get(name)
        if before is not None and before.revisions != (revision,):
            if {*objects} & {*before.objects}:  # an object that is down twice: each time is a downtime of its own
                further = f"{number} from {revision.start // SECOND} until {revision.end // SECOND}"
                self.again[further], number = number, further
                self.told.add(number)
            name = f"{number} {'/'.join(objects)}"
            before = self.downtimes.get(name)
        together = (*(before.objects if before else ()), *objects)
        self.downtimes[name] = Downtime(name, tuple(dict.fromkeys(together)), (revision,), reason=reason)
        self.numbers[name] = number

    def ours(self, candidates: Iterable[str]) -> str:
        """Return our name for the first of several foreign ones that is known, or ""."""
        for name in candidates:
            exact = self.naming.aliases.get(name, name)
            found = exact if exact in self.naming.known else self.folded.get(name.casefold(), "")
            if name and found:
                return found
        return ""

    def wrong(self, number: str, problem: Problem) -> None:
        """Note what cannot be understood of an entry."""
        self.problems.append(problem)
        self.unread.add(number)
        self.wrong_entries.add(self.entry or number or (problem.line, problem.message))

    def unknown(self, number: str, problem: Problem, names: list[str]) -> None:
        """Note that an entry is about something that is not ours."""
        if self.naming.others:
            self.skipped.append(f"{problem.key}: {', '.join(names[:2])} is not ours")
            return
        close = next((near for name in names if (near := nearest(name, self.naming.known))), "")
        said = f"{problem.message}, which is no object or group of ours"
        self.wrong(number, replace(problem, message=said, expected="a known name, or an alias", nearest=close))

    def done(self, events: calendars.Events | None = None) -> Imported:
        """Return what was read; a file of which nothing can be understood is refused."""
        if self.problems and not self.told - self.unread:
            raise ConfigurationError(self.problems)
        return Imported(
            kind=self.kind,
            downtimes=tuple(self.downtimes.values()),
            skipped=tuple(dict.fromkeys(self.skipped)),
            problems=tuple(dict.fromkeys(self.problems)),
            wrong_entries=len(self.wrong_entries),
            numbers=self.numbers,
            again=self.again,
            told=frozenset(self.told),
            unread=frozenset(self.unread),
            series=frozenset(f"ical-{short(uid)}" for uid in events.uids) if events else frozenset(),
            changed={f"ical-{short(uid)}": at for uid, at in events.changed.items()} if events else {},
        )
