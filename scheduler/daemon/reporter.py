"""The daemon's reporter: publishes the reports of the site file when they are due. Only the daemon that acts publishes.

What was published stands in the journal, in the commit that puts the mails into the outbox; the pager sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from environments.problems import ConfigurationError
from scheduler.availability.reports.schedule import due
from scheduler.daemon.corrections import Corrections
from scheduler.journal.journal import LeaseLostError
from scheduler.model.instants import micro
from scheduler.publish import mailing, reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.loop.engine import Engine
    from scheduler.model.instants import Instant
    from scheduler.site.definitions import Definitions
    from scheduler.site.report_written import ReportSettings


class Reporter:
    """Knows what hindered each report, to tell it once."""

    def __init__(self, engine: Engine, definitions: Callable[[], Definitions]) -> None:
        """Prepare; `definitions()` returns those in force."""
        self._engine = engine
        self._definitions = definitions
        self._log = structlog.get_logger("ambienti")
        self._told: dict[str, str] = {}
        self._corrections = Corrections(engine, definitions)

    def round(self) -> int:
        """Publish what is due; return how many reports were. What hinders one is told, and it is tried again.

        Before that, published figures that an event has changed since get a new version.
        """
        try:
            self._corrections.round()
        finally:  # whatever becomes of those, a report goes out
            published = self._due()
        return published

    def _due(self) -> int:
        if not self._engine.leading:
            return 0
        definitions, published, unforeseen = self._definitions(), 0, []
        for report in definitions.site.reports:
            try:
                published += self._tried(definitions, report)
            except LeaseLostError:
                raise
            except Exception as error:  # noqa: BLE001 - raised below, when the other reports have had their turn
                unforeseen.append(error)
        if unforeseen:
            raise unforeseen[0]
        return published

    def _tried(self, definitions: Definitions, report: ReportSettings) -> bool:
        try:
            published = self._one(definitions, report)
        except (ConfigurationError, ImportError, OSError) as error:
            if self._told.get(report.name) != str(error):
                self._log.error("report", name=report.name, problem=str(error), consequence="it is tried again")
            self._told[report.name] = str(error)
            return False
        self._told.pop(report.name, None)
        return published

    def _one(self, definitions: Definitions, report: ReportSettings) -> bool:
        journal, owner, now = self._engine.journal, self._engine.owner, self._now()
        last = mailing.last_published(journal, report.name)
        if last is None:
            mailing.begin(journal, owner, report.name, now)
            return False
        found = due(report.schedule, last, now, definitions.site.timezone)
        if found is None:
            return False
        to = reports.places(definitions, report)
        made = reports.publish(definitions, journal, report, found, now)
        letters = mailing.post(journal, owner, made, to, self._now())
        told = {"letters": letters, "skipped": found.skipped, "files": ", ".join(made.attachments)}
        if made.version is not None:
            told |= {"version": made.version.number, "note": made.version.note}
        self._log.info("report", name=report.name, **told)
        return True

    def _now(self) -> Instant:
        return micro(self._engine.clock.now())
