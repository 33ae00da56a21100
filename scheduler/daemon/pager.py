"""The daemon's pager: follows statuses and the clock, and sends what stands in the outbox. Only the daemon that acts pages.

The on-call file is read again when it changes; a wrong one is told once, and the last good one stays in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from environments.problems import ConfigurationError
from scheduler.model.instants import SECOND, Instant, micro
from scheduler.oncall import reading as oncall
from scheduler.oncall.standing import Structure
from scheduler.publish import addresses
from scheduler.publish.paging import deliver, happened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from environments.problems import Problem
    from scheduler.loop.engine import Engine
    from scheduler.model.ports import Notifier
    from scheduler.oncall.incident import IncidentEvent
    from scheduler.oncall.reading import OnCallFile

HORIZON = 8 * 24 * 3600 * SECOND
"""How far ahead holidays of calendars are laid out."""
ALARM_INTERVAL = 60 * SECOND
"""How often groups are read and burn-rate alerts evaluated: their shortest windows are minutes."""


class Pager:
    """Holds the on-call file as it was last right."""

    def __init__(
        self,
        engine: Engine,
        path: Path,
        site: str,
        alarms: Callable[[Instant], Sequence[IncidentEvent]] | None = None,
        structure: Callable[[Instant], Structure] | None = None,
    ) -> None:
        """Prepare; `path` need not exist: without an on-call file nobody is paged.

        `alarms` says what burn-rate alerts have to tell, `structure` which groups there are and what is promised of which
        object; both are asked once a minute.
        """
        self._engine = engine
        self._path = path
        self._site = site
        self._log = structlog.get_logger("ambienti")
        self._stamp: tuple[int, int] | None = None
        self._found: OnCallFile | None = None
        self._alarms = alarms
        self._structure = structure
        self._structure_found = Structure()
        self._asked_at: Instant | None = None
        self._problem = ""
        self._unopened: dict[tuple[str, str], str] = {}
        """Addresses that cannot be used as they stand, with what was told of them in the log."""
        self.refused: tuple[Problem, ...] = ()
        """What is wrong in the on-call file as it stands now."""

    def round(self) -> int:
        """Follow and deliver once; return how many notices were taken."""
        found = self._file()
        if found is None or not self._engine.leading:
            return 0
        now = self._now()
        burning = self._burning(now)
        paging_rules = addresses.paging_rules(found, self._site, now + HORIZON, self._structure_found)
        for line in happened(self._engine.journal, burning, paging_rules, now, watching=True):
            self._log.info("incident", number=line.incident, what=line.kind.value, why=line.sentence)
        opener = addresses.opener(found)
        return deliver(self._engine.journal, self._told(opener), self._now)

    def _burning(self, now: Instant) -> Sequence[IncidentEvent]:
        """Ask for groups and alerts when it is time; wrong files are told once, and leave all incidents as they are."""
        if self._asked_at is not None and 0 <= now - self._asked_at < ALARM_INTERVAL:
            return ()
        self._asked_at = now
        try:
            self._structure_found = self._structure(now) if self._structure else self._structure_found
            found = self._alarms(now) if self._alarms else ()
        except ConfigurationError as error:
            if str(error) != self._problem:
                self._refused(error, "no burn-rate alert is evaluated, and groups stay as they were")
            self._problem = str(error)
            return ()
        self._problem = ""
        return found

    def _told(self, opener: Callable[[str, str], Notifier]) -> Callable[[str, str], Notifier]:
        def open_one(person: str, place: str) -> Notifier:
            try:
                notifier = opener(person, place)
            except ValueError as error:
                if self._unopened.get((person, place)) != str(error):
                    self._log.error("notice", person=person, address=place, problem=str(error))
                self._unopened[person, place] = str(error)
                raise
            if self._unopened.pop((person, place), ""):
                self._log.info("notice", person=person, address=place, problem="none any more")
            return notifier

        return open_one

    def _file(self) -> OnCallFile | None:
        try:
            found = self._path.stat()
        except OSError:
            return self._found
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._stamp, self.refused = stamp, ()
            try:
                self._found = oncall.load(self._path)
            except ConfigurationError as error:
                self.refused = error.problems
                self._refused(error)
        return self._found

    def _refused(self, error: ConfigurationError, consequence: str = "") -> None:
        kept: Any = consequence or ("the last good on-call file stays in force" if self._found else "nobody is paged")
        for problem in error.problems:
            self._log.error("refused", file=problem.file, line=problem.line, problem=problem.sentence, consequence=kept)

    def _now(self) -> Instant:
        return micro(self._engine.clock.now())
