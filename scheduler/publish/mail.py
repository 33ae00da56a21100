"""The text of a mailed report: a small plain table of figures and verdicts, for whoever opens no attachment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from scheduler.availability.history import ObjectiveVerdict
from scheduler.publish import writing

if TYPE_CHECKING:
    from scheduler.publish.sheet import Sheet

MOST_LINES = 60
"""Objects in the table, those that lost most; all stand in the attached files."""
MOST_CORRECTIONS = 10
"""Changed publications that are listed."""


def subject(sheet: Sheet) -> str:
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


def text(sheet: Sheet, *, attached: Sequence[str]) -> str:
    """Write the mail's text: the window in detail."""
    report, window = sheet.report, sheet.report.windows[sheet.detail]
    targets: dict[str, list[Fraction]] = {}
    for one in report.objectives:
        targets.setdefault(one.object, []).append(Fraction(one.target))
    lines = [("", "figure", "observed", "bad", "unknown", "verdict")]
    for name in sheet.names[:MOST_LINES]:
        row = sheet.rows[name][sheet.detail]
        figure = writing.percent(row.figure, targets.get(name, []))
        lengths = (writing.duration(row.bad), writing.duration(row.unknown))
        lines.append((name, figure, writing.percent(row.observed_share), *lengths, row.verdict or "-"))
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
