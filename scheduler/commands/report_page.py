"""`ambienti report --html` and `--pdf`: the report as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from environments.problems import ConfigurationError
from environments.whole import written_whole
from scheduler.availability.history import History, Window
from scheduler.availability.reports import report_data
from scheduler.availability.timelines.prepared import Prepared, prepare
from scheduler.commands import journaled, loaded
from scheduler.commands.common import Exit, fail, say
from scheduler.model.instants import SECOND

if TYPE_CHECKING:
    from scheduler.availability.promises.burn_rate import Alert
    from scheduler.journal.used import Used
    from scheduler.oncall.incident import Incident
    from scheduler.publish.sheet import PublicationStatus


DAY = 24 * 3600 * SECOND


def write(
    source: History | Prepared,
    detail: Window | None,
    profiles: Sequence[str],
    *,
    html: Path | None,
    pdf: Path | None,
    site: Path | None,
    objects: Sequence[str],
    zone: str,
    vo: str = "",
) -> None:
    """Write the report as a page, as a PDF, or as both: the table of windows, and one window in detail."""
    try:
        from scheduler.publish import page, sheet
        from scheduler.publish.apart import UndrawnError
    except ImportError as error:
        raise fail(f"pages and PDFs need the extra `report` of ambienti ({error})", Exit.WRONG) from error
    if len(profiles) > 1:
        raise fail("a page shows one profile: --profile NAME", Exit.WRONG)
    # A history file knows neither incidents nor publications; the journal of a live site does.
    prepared, incidents = (prepare(source), []) if isinstance(source, History) else (source, _incidents(site))
    table = report_data.table_windows(prepared.history, zone)
    shown = max(table, key=lambda one: one.end - one.start) if detail is None else detail
    made = sheet.make(
        *(prepared, table, profiles[0]),
        site=f"{name_of(site)} for {vo}" if vo else name_of(site),
        detail=shown,
        objects=objects,
        zone=zone,
        incidents=incidents,
        used=None if isinstance(source, History) else _used(site, prepared, shown, vo),
        published=None if isinstance(source, History) else _published(site, prepared, shown, zone or prepared.history.zone),
        alerts=None if isinstance(source, History) else _alerts(site, prepared.history),
    )
    if html is not None:
        save(html, page.page(made).encode())
    if pdf is not None:
        try:
            content = page.pdf(made)
        except UndrawnError as error:
            raise fail(str(error), Exit.PROBLEM) from error
        save(pdf, content)


def _incidents(site: Path | None) -> list[Incident]:
    from scheduler.journal.incidents import all_incidents

    with journaled.looked_into(site) as (_, journal):
        return all_incidents(journal)


def _used(site: Path | None, prepared: Prepared, window: Window, vo: str) -> Used:
    from scheduler.journal.used import of_vo, used

    with journaled.looked_into(site) as (definitions, journal):
        found = used(journal, prepared, window, definitions.policy.limits.journal_days * DAY)
    return of_vo(found, vo) if vo else found


def _published(site: Path | None, prepared: Prepared, window: Window, zone: str) -> PublicationStatus:
    """Say which version of a window the journal holds, and whether these are still its figures."""
    from scheduler.journal import publications as kept
    from scheduler.publish.sheet import PublicationStatus, version_line
    from scheduler.site import publications

    with journaled.looked_into(site) as (_, journal):
        known = [one for one in kept.listed(journal) if (one.period.start, one.period.end) == (window.start, window.end)]
        if not known:
            return PublicationStatus(None)
        found = publications.look(journal, prepared, window, prepared.history.now)
    lines = tuple(version_line(one, zone) for one in known)
    return (
        PublicationStatus(lines[-1], lines[:-1])
        if found.version is None
        else PublicationStatus(None, lines, pending=found.version.note)
    )


def _alerts(site: Path | None, history: History) -> dict[str, tuple[Alert, ...]]:
    from scheduler.site import services

    return loaded.answered(loaded.load(site), lambda known: services.alerts_of(known, history.names, history.now))


def name_of(site: Path | None) -> str:
    """Return the name of the site, where there is a site file to tell it."""
    try:
        return loaded.load(site).site.site
    except ConfigurationError:
        if site is not None:
            raise
        return "the farm"


def save(file: Path, content: bytes, *, quietly: bool = False) -> None:
    """Write a file whole or not at all."""
    try:
        with written_whole(file) as out:
            out.write(content)
    except OSError as error:
        raise fail(f"cannot write {file}: {error.strerror}", Exit.WRONG) from error
    if not quietly:
        say(f"written: {file}")
