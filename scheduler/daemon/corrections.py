"""The daemon's corrections: a published figure that an event changes later gets a new version, with a note that names it.

Once a minute the event log is looked through for what tells of published periods; only these are computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from environments.problems import ConfigurationError
from scheduler.journal import publications as kept
from scheduler.model.instants import in_seconds, micro
from scheduler.site import publications, services

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.journal.publications import Published
    from scheduler.loop.engine import Engine
    from scheduler.model.instants import Instant
    from scheduler.site.definitions import Definitions
    from scheduler.site.publications import Review

EVERY_SECONDS = 60.0
"""Between two looks at the log."""
MOST_AT_ONCE = 8
"""Periods that are computed again in one round: what is late by a year must not hold up the farm."""


class Corrections:
    """Knows which periods are still to be looked at, and with which definitions."""

    def __init__(self, engine: Engine, definitions: Callable[[], Definitions]) -> None:
        """Prepare; `definitions()` returns those in force."""
        self._engine = engine
        self._definitions = definitions
        self._log = structlog.get_logger("ambienti")
        self._looked_at = float("-inf")
        self._with: Definitions | None = None
        self._review: Review | None = None
        self._waiting: list[Published] = []
        self._told = ""

    def round(self) -> int:
        """Make the new versions that are called for; return how many. What hinders it is told once, and it is tried again."""
        if not self._engine.leading:
            self._review, self._with = None, None
            return 0
        try:
            made = self._round()
        except (ConfigurationError, OSError) as error:
            if self._told != str(error):
                self._log.error("publication", problem=str(error), consequence="it is tried again")
            self._told = str(error)
            return 0
        self._told = ""
        return made

    def _round(self) -> int:
        engine, definitions, now = self._engine, self._definitions(), self._now()
        if self._review is None:
            since = engine.clock.monotonic() - self._looked_at
            if since < EVERY_SECONDS and self._with is definitions:
                return 0
            for line in publications.take_over(definitions, engine.journal, now):
                self._log.warning("publication", told=line)
            self._review = publications.review(definitions, engine.journal, now, groups=self._with is not definitions)
            self._looked_at, self._with = engine.clock.monotonic(), definitions
            self._waiting = list(self._review.periods) if self._review else []
        return self._some(definitions, now) if self._review else 0

    def _some(self, definitions: Definitions, now: Instant) -> int:
        journal, owner, made = self._engine.journal, self._engine.owner, 0
        if self._waiting:
            prepared = services.live_prepared(definitions, journal, in_seconds(now))
        for one in self._waiting[:MOST_AT_ONCE]:
            if not self._engine.leading:
                return made
            found = publications.look(journal, prepared, one.period, now)
            publications.publish(journal, found, self._now(), by=owner, owner=owner)
            if found.version is not None:
                made += 1
                told = {"period": kept.named(one.period), "version": found.version.number, "note": found.version.note}
                self._log.warning("a published figure has a new version", **told)
            self._waiting.remove(one)
        review = self._review
        if review is not None and not self._waiting:
            with journal.write("publications-checked") as connection:
                journal.fence(connection, owner)
                kept.mark_checked(connection, review.until, review.groups)
            self._review = None
        return made

    def _now(self) -> Instant:
        return micro(self._engine.clock.now())
