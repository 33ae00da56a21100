"""The reports of the site file: do those exist whom they go to, and the files and mails that the daemon makes of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from environments.names import is_plain_file, nearest
from environments.problems import ConfigurationError, Problem
from environments.whole import written_whole
from scheduler.availability.history import ObjectiveVerdict
from scheduler.availability.reports import report_data
from scheduler.availability.timelines import windows
from scheduler.journal.incidents import all_incidents
from scheduler.journal.publications import listed
from scheduler.journal.used import used
from scheduler.model.instants import SECOND, Instant, as_time, in_seconds
from scheduler.oncall import reading as oncall
from scheduler.publish import addresses, page, sheet
from scheduler.publish.apart import UndrawnError
from scheduler.publish.mailing import Publication, corrections
from scheduler.site import publications, services

if TYPE_CHECKING:
    from scheduler.availability.reports.schedule import Due
    from scheduler.journal.reading import JournalReader
    from scheduler.publish.sheet import Sheet
    from scheduler.site.definitions import Definitions
    from scheduler.site.report_written import ReportSettings


DIRECTORY = "reports"
DAY = 24 * 3600 * SECOND
_NEEDS = {"html": ("jinja2", "vl_convert"), "pdf": ("jinja2", "vl_convert", "weasyprint")}


def check(definitions: Definitions) -> None:
    """Raise a ConfigurationError with all that hinders the reports of the site file; a wrong on-call file does."""
    if definitions.site.reports and (problems := [*_unmade(definitions), *_unreached(definitions)]):
        raise ConfigurationError(problems)


def _unmade(definitions: Definitions) -> Iterator[Problem]:
    for index, report in enumerate(definitions.site.reports):
        for place, form in enumerate(report.formats):
            missing = [name for name in _NEEDS[form] if find_spec(name) is None]
            if missing:
                said = f"{form} cannot be made: {', '.join(missing)} is not installed"
                yield definitions.file.node.problem(
                    ("reports", index, "formats", place), said, "the extra `report` of ambienti"
                )


def _unreached(definitions: Definitions) -> Iterator[Problem]:
    node, path = definitions.file.node, definitions.file.oncall
    if not is_plain_file(path):
        expected = "the on-call file, with these people and their addresses"
        yield node.problem(("reports", 0, "to"), f"there is no file {path}: nobody can be reached", expected)
        return
    people = oncall.load(path).settings.people
    for index, report in enumerate(definitions.site.reports):
        for place, name in enumerate(report.to):
            where = ("reports", index, "to", place)
            if name not in people:
                near = nearest(name, people)
                known = "" if near else f"one of: {', '.join(people)}"
                yield node.problem(where, f"there is no person {name!r} in {path.name}", known, near)
            elif not people[name].addresses:
                yield node.problem(where, f"{name} has no address", f"`addresses` of {name} in {path.name}")


def places(definitions: Definitions, report: ReportSettings) -> dict[str, tuple[str, ...]]:
    """Return where each address of the people is found whom a report goes to; those without any have none."""
    known = addresses.places(oncall.load(definitions.file.oncall))
    return {name: known.get(name, ()) for name in dict.fromkeys(report.to)}


def publish(definitions: Definitions, journal: JournalReader, report: ReportSettings, due: Due, now: Instant) -> Publication:
    """Make the files of a report and the mail's text; files of the same window are written anew.

    The window is cut at the instant of the schedule, however late it is; the journal is read as it is now.
    """
    zone = definitions.site.timezone
    prepared = services.live_prepared(definitions, journal, in_seconds(now))
    window = windows.named(report.covers, due.at, zone)
    stands = publications.look(journal, prepared, window, now)
    known = listed(journal)
    told = sheet.publication_status(
        stands.shown,
        [one for one in known if (one.period.start, one.period.end) == (window.start, window.end)],
        corrections(journal, report.name),
        zone,
    )
    made = sheet.make(
        prepared,
        [windows.named(name, due.at, zone) for name in report_data.COLUMNS],
        report.profile,
        detail=window,
        site=definitions.site.site,
        zone=zone,
        incidents=all_incidents(journal),
        used=used(journal, prepared, window, definitions.policy.limits.journal_days * DAY),
        published=told,
        alerts=services.alerts_of(definitions, services.load(definitions).names, now),
    )
    paths, lacking = _files(definitions, report, made, f"{as_time(window.end, zone):%Y-%m-%d}")
    return Publication(
        name=report.name,
        site=definitions.site.site,
        at=due.at,
        issue=f"{as_time(due.at, zone):%Y-%m-%d}",
        skipped=due.skipped,
        window=report.covers,
        subject=mail_subject(made),
        text="\n\n".join([mail_text(made, attached=[path.name for path in paths]), *lacking]),
        attachments=tuple(str(path.resolve()) for path in paths),
        version=stands.version,
        groups=stands.groups,
        known=known[-1].id if known else 0,
    )


def _files(definitions: Definitions, report: ReportSettings, made: Sheet, day: str) -> tuple[list[Path], list[str]]:
    """Write the files of a report; return them, and why some could not be made."""
    directory = definitions.file.directory / DIRECTORY
    paths = [directory / f"{report.name}-{day}.{form}" for form in dict.fromkeys(report.formats)]
    directory.mkdir(parents=True, exist_ok=True)
    lacking = []
    for path in paths:
        try:
            content = page.pdf(made) if path.suffix == ".pdf" else page.page(made).encode()
            with written_whole(path) as out:
                out.write(content)
        except UndrawnError as error:  # the mail goes without it, and says so
            _log.error("a report lacks a file", extra={"file": path.name, "problem": str(error)})
            path.unlink(missing_ok=True)
            lacking.append(str(error))
    return [path for path in paths if path.exists()], lacking


# --- the text of a mail, for whoever opens no attachment --------------------------------------------------------------


MOST_LINES = 60
"""Objects in the table, those that lost most; all stand in the attached files."""
MOST_CORRECTIONS = 10
"""Changed publications that are listed."""


def mail_subject(sheet: Sheet) -> str:
    """Say what it is about: site, window, and how many of the promises were missed."""
    window = sheet.report.windows[sheet.detail]
    said = Counter(rows[sheet.detail].verdict for rows in sheet.rows.values())
    counts = {
        word: said[verdict] for verdict, word in ((ObjectiveVerdict.FAIL, "missed"), (ObjectiveVerdict.UNDECIDED, "undecided"))
    }
    promised = sum(counts.values()) + said[ObjectiveVerdict.PASS]
    told = [f"{count} of {promised} {word}" for word, count in counts.items() if count]
    verdict = ", ".join(told) if told else "all kept" if promised else "nothing was promised"
    if not any(rows[sheet.detail].observed for rows in sheet.rows.values()):
        verdict = "nothing was observed"
    return f"[{sheet.site}] availability {window.start[:10]} to {window.end[:10]}: {verdict}"


def mail_text(sheet: Sheet, *, attached: Sequence[str]) -> str:
    """Write the mail's text: the window in detail."""
    report, window = sheet.report, sheet.report.windows[sheet.detail]
    targets: dict[str, list[Fraction]] = {}
    for one in report.objectives:
        targets.setdefault(one.object, []).append(Fraction(one.target))
    lines = [("", "figure", "observed", "bad", "unknown", "verdict")]
    for name in sheet.names[:MOST_LINES]:
        row = sheet.rows[name][sheet.detail]
        figure = page.percent(row.figure, targets.get(name, []))
        lengths = (page.duration(row.bad), page.duration(row.unknown))
        lines.append((name, figure, page.percent(row.observed_share), *lengths, row.verdict or "-"))
    more = len(sheet.names) - MOST_LINES
    return "\n".join(
        [
            f"Availability of {sheet.site}",
            f"{window.start} to {window.end} ({report.zone}), profile {report.profiles[0]}, as of {report.now}",
            "",
            *_table(lines),
            *([f"... and {more} more that lost less"] if more > 0 else []),
            *_responses(sheet),
            *_published(sheet),
            "",
            f"Truth tables {', '.join(report.algebras)}; zone {report.zone} (data {report.zone_data}).",
            "Digits are rounded for display; verdicts compare exact fractions.",
            *([f"Attached: {', '.join(attached)}"] if attached else []),
        ]
    )


def _responses(sheet: Sheet) -> list[str]:
    if sheet.responses is None:
        return []
    whole = sheet.responses.whole
    counts = f"{whole.met} met, {whole.breached} breached, {whole.self_healed} self-healed, {whole.pending} pending"
    return ["", f"Incidents: {whole.incidents} ({counts})"]


def _published(sheet: Sheet) -> list[str]:
    """Say which version these figures are, and which published figures have changed since the last report."""
    told = sheet.published
    if told is None or told.current is None:
        return []
    one = told.current
    lines = ["", f"These figures are version {one.number} of this period, published {one.at}."]
    if one.number > 1:
        lines.append(f"They differ from version {one.number - 1}: {one.note}.")
    if told.corrections:
        lines += ["", "Figures published earlier have changed since the last report:"]
    for other in told.corrections[:MOST_CORRECTIONS]:
        named = f"{other.period or 'period'} {other.start[:10]} to {other.end[:10]}"
        lines.append(f"- {named}: version {other.number}, published {other.at}: {other.note}.")
    more = len(told.corrections) - MOST_CORRECTIONS
    return [*lines, *([f"... and {more} more (ambienti report versions)"] if more > 0 else [])]


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Set columns side by side: the first and the last to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if place in {0, last} else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


_log = logging.getLogger("ambienti")
