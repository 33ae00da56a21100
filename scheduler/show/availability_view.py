"""Availability on a terminal: the table of windows, one window in detail, and what the report rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from scheduler.availability import figures
from scheduler.availability.figures import UNDEFINED, compared, decimal, percent
from scheduler.availability.measuring.explaining import FigureDifference, sentence, write_points
from scheduler.availability.reports.report_data import COLUMNS
from scheduler.model.instants import micro, seconds, shown_instant, to_the_second, write_duration, write_instant, write_seconds
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.availability.reports.report_shape import CorrectionShown, ExclusionShown, Report, ReportRow


STYLES = {"PASS": "green", "FAIL": "bold red", "UNDECIDED": "yellow", "not applicable": "dim"}
_JUDGED = ("PASS", "FAIL", "UNDECIDED")
WHOLLY = Fraction(999, 1000)
"""A window of which more was observed counts as observed, for the eye; the data say it exactly."""
SHOWN = 12
"""So many downtimes and exclusions are listed; the rest is counted."""


def table(report: Report, profile: str) -> RenderableType:
    """Return the table: a row for each object and group, a column for each window, coloured by verdict."""
    shown = Table("service", "kind", title=f"Availability, profile {profile}", title_justify="left")
    for title in COLUMNS.values():
        shown.add_column(title, justify="right")
    cells: dict[str, list[ReportRow]] = {}
    for row in report.rows:
        if row.profile == profile:
            cells.setdefault(row.object, []).append(row)
    for name, found in cells.items():
        group = found[0].kind == "group"
        shown.add_row(Text(name, style="bold" if group else ""), found[0].kind, *map(_cell_in_words, found))
    return shown


def detail(report: Report, profiles: tuple[str, ...]) -> RenderableType:
    """Return one window in detail: figures, A and R, times, verdicts."""
    window = report.windows[0]
    title = f"{window.name or 'window'}: {_span(window.start, window.end)}"
    shown = Table(title=title, title_justify="left")
    shown.add_column("service", overflow="fold")
    if len(profiles) > 1:
        shown.add_column("profile")
    for column in ("figure", "A", "R", "observed"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("how the time went")
    shown.add_column("verdict", overflow="fold")
    for row in report.rows:
        group = row.kind == "group"
        shown.add_row(
            Text(row.object, style="bold" if group else ""),
            *([row.profile] if len(profiles) > 1 else []),
            *(_cell(row), _percent(row.availability_decimal), _percent(row.reliability_decimal), _percent(row.observed_share)),
            _spent(row),
            _verdict(row),
        )
    return shown


def footing(report: Report) -> RenderableType:
    """Return what the report rests on: objectives, profile, tables, zone, downtimes, exclusions."""
    return Group(*(Text(line, style=style) for line, style in (*_weighted(report), *_objectives(report), *_lines(report))))


def _weighted(report: Report) -> Iterator[tuple[str, str]]:
    """Say which part of their capacity groups had whose members have weights."""
    by_group: dict[str, list[str]] = {}
    for row in report.rows:
        if row.capacity_decimal is not None:
            profile = f" ({row.profile})" if len(report.profiles) > 1 else ""
            by_group.setdefault(row.object, []).append(
                f"{row.window or 'the window'}{profile} {_percent(row.capacity_decimal)}"
            )
    for name, said in by_group.items():
        yield f"Capacity of {name}, weight x time: {', '.join(said)}.", ""


def _objectives(report: Report) -> Iterator[tuple[str, str]]:
    """Say what became of each objective in its own window, which may be another than the one that is shown."""
    if report.objectives:
        yield "Objectives, each in its own window:", "dim"
    for one in report.objectives:
        target = f"{decimal(Fraction(one.target) * 100)} %"
        unknown = f", {write_seconds(one.unknown)} unknown" if one.unknown else ""
        where = f"{one.window.name} ({one.zone})"
        measured = "no figure" if one.figure is None else compared(Fraction(one.figure), (Fraction(one.target),))
        promised = f"promised {target} in {where}, profile {one.profile}"
        yield f"{one.verdict}: {one.name}: {one.object} {measured}, {promised}{unknown}", STYLES[str(one.verdict)]


def _lines(report: Report) -> Iterator[tuple[str, str]]:
    tables, profiles = ", ".join(report.algebras), ", ".join(report.profiles)
    now = to_the_second(report.now)
    yield f"Profile {profiles}; truth tables {tables}; zone {report.zone} (data {report.zone_data}); now {now}.", "dim"
    for downtime in report.downtimes[:SHOWN]:
        last = downtime.declarations[-1] if downtime.declarations else {}
        span = downtime.recurring or _span(str(last.get("start")), str(last.get("end")))
        said = "; ".join(
            f"declared {to_the_second(str(one['declared']))}" + (f" by {one['by']}" if one.get("by") else "")
            for one in downtime.declarations
        )
        yield (
            f"{_called('Downtime', downtime.id)} of {', '.join(downtime.objects)}: {span}; {said}. {downtime.reason}".rstrip(),
            "dim",
        )
    for exclusion in report.exclusions[:SHOWN]:
        yield _excluded(exclusion), "dim"
    for correction in report.corrections[:SHOWN]:
        yield _corrected(correction), "dim"
    for jump in report.clock_jumps[:SHOWN]:
        yield f"The monitor's clock was set from {_span(jump.before, jump.after)}.", "dim"
    for gap in report.gaps[:SHOWN]:
        yield f"The monitor was not there: {_span(gap.start, gap.end or 'now')}.", "dim"
    listed = (report.downtimes, report.exclusions, report.corrections, report.clock_jumps, report.gaps)
    hidden = sum(max(0, len(one) - SHOWN) for one in listed)
    if hidden:
        yield f"... and {hidden} more (--json lists all).", "dim"


def _span(start: str, end: str) -> str:
    return f"{to_the_second(start)} to {to_the_second(end)}"


def _called(kind: str, name: str) -> str:
    """Return `Downtime d1`, and `Downtime 1` of one without a name, which is called `downtime 1`."""
    return f"{kind} {name.removeprefix(f'{kind.lower()} ')}"


def _excluded(one: ExclusionShown) -> str:
    accepted = f"accepted by {one.accepted_by}" if one.accepted_by else "not accepted: excuses nothing"
    what = f"{one.cause}: {one.reason}, by {one.author}"
    return f"{_called('Exclusion', one.id)} of {', '.join(one.objects)}: {_span(one.start, one.end)}; {what}; {accepted}."


def _corrected(one: CorrectionShown) -> str:
    accepted = f"accepted by {one.accepted_by}" if one.accepted_by else "not accepted: changes nothing"
    said = f"{one.object} was {one.status} at {to_the_second(one.at)}"
    return f"{_called('Correction', one.id)}: {said}, reported by {one.by} at {to_the_second(one.received)}; {accepted}."


def _cell(row: ReportRow) -> Text:
    return Text(row.figure_shown, style=STYLES.get(row.verdict or "", "dim" if row.figure is None else ""))


def _cell_in_words(row: ReportRow) -> Text:
    """Return a cell that can be read without its colour: the verdict, how long was unknown, how much was observed."""
    cell = _cell(row)
    if row.verdict in _JUDGED:
        cell.append(f" {row.verdict}")
    if row.undecided:
        cell.append(f"\n{write_seconds(row.undecided)} unknown")
    if seen := partly_observed(row):
        cell.append(f"\n{seen}", style="not bold")
    return cell


def partly_observed(row: ReportRow) -> str:
    """Say how much of a window was observed; "" where practically all of it was."""
    if row.observed_share is None or (share := Fraction(row.observed_share)) >= WHOLLY:
        return ""
    if not share:
        return "nothing observed"
    return f"{_time(row.observed)} observed ({percent(share)})"


def _verdict(row: ReportRow) -> Text:
    lines = [Text(f"{name}: {said}", style=STYLES[said]) for name, said in row.verdicts.items()]
    return Text("\n").join(lines)


def _spent(row: ReportRow) -> str:
    """Say what a row's seconds were; what there was none of is left out."""
    parts = {
        "up": row.up,
        "bad": row.bad,
        "unknown": row.unknown,
        "pending": row.pending,
        "scheduled downtime": row.scheduled_downtime,
        "unscheduled downtime": row.unscheduled_downtime,
        "excused": row.excused,
    }
    said = ", ".join(f"{name} {_time(seconds)}" for name, seconds in parts.items() if seconds)
    return f"of {_time(row.total)}: {said}" if said else _time(row.total)


def _time(seconds: float | Decimal) -> str:
    length = micro(seconds)
    return write_duration(length) if length else "0"


def _percent(written: str | None) -> str:
    return UNDEFINED if written is None else percent(Fraction(written))


STRETCHES_SHOWN = 200
"""So many stretches are listed; JSON has them all."""


def explanation(why: FigureDifference, zone: str) -> RenderableType:
    """Return the figures, what each reason does to them, and the stretches that both count differently."""
    one, other, window = why.one, why.other, why.one.window
    first, second = (figures.percent(measure.figure, 4) for measure in (one, other))
    span = f"{shown_instant(window.start, zone)} to {shown_instant(window.end, zone)}"
    lines = [
        Text(f"{one.object}, {window.name or 'window'}: {span}", style="bold"),
        Text(f"{one.profile} {first}, {other.profile} {second}: {write_points(why.difference)}"),
        *(Text(f"  {sentence(each)} in {write_duration(each.length)}") for each in why.contributions),
    ]
    if not why.stretches:
        return Group(*lines, Text("No second is counted differently.", style="dim"))
    table = Table()
    for column in ("from", "to", "length", "seen", "downtime", "excluded", one.profile, other.profile, "why", "points"):
        table.add_column(column, no_wrap=column in {"from", "to"})
    for each in why.stretches[:STRETCHES_SHOWN]:
        table.add_row(
            *(shown_instant(each.start, zone), shown_instant(each.end, zone), write_duration(each.length), each.status),
            *(each.downtime or "-", "yes" if each.excluded else "-", str(each.one), str(each.other), each.reason),
            write_points(each.points),
        )
    hidden = len(why.stretches) - STRETCHES_SHOWN
    return Group(*lines, table, *([Text(f"... and {hidden} more (--json lists all)", style="dim")] if hidden > 0 else []))


def explanation_data(why: FigureDifference, zone: str) -> dict[str, Any]:
    """Return an explanation as plain data: times in seconds, figures and points as exact fractions."""
    window = why.one.window
    return {
        "object": why.one.object,
        "window": window.name,
        "start": write_instant(window.start, zone),
        "end": write_instant(window.end, zone),
        "profiles": [
            {"profile": one.profile, "figure": figures.fraction(one.figure), "figure_decimal": figures.decimal(one.figure)}
            for one in (why.one, why.other)
        ],
        "difference": figures.fraction(why.difference),
        "contributions": [
            {
                "reason": one.reason,
                "seconds": seconds(one.length),
                "points": figures.fraction(one.points),
                "sentence": sentence(one),
            }
            for one in why.contributions
        ],
        "stretches": [
            asdict(one)
            | {
                "start": write_instant(one.start, zone),
                "end": write_instant(one.end, zone),
                "length": seconds(one.length),
                "points": figures.fraction(one.points),
            }
            for one in why.stretches
        ],
    }
