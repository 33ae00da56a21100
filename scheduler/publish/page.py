"""A report as one self-contained page with live charts, and as a PDF: both from the same template, neither needs a network."""

from __future__ import annotations

import html
import json
import logging
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from environments.text import printable
from scheduler.availability import figures
from scheduler.availability.reports.report_data import COLUMNS
from scheduler.model import instants
from scheduler.model.instants import seconds, to_the_second, write_instant, write_seconds
from scheduler.publish import apart, charts
from scheduler.publish.apart import UndrawnError
from scheduler.show.availability_view import partly_observed

if TYPE_CHECKING:
    from jinja2 import Template

    from scheduler.availability.reports.report_shape import Seconds, WindowShown
    from scheduler.publish.charts import Spec
    from scheduler.publish.sheet import Sheet


CHARTS = (
    ("Timelines", "of those that lost most time; on the page, drag to move and turn the wheel to zoom", charts.strips),
    ("Time lost, by cause", "of those that lost most time", charts.lost),
    ("Error budgets", "what each objective has left", charts.budgets),
)

MOST_SHOWN = 10_000
"""Characters of one text."""
_log = logging.getLogger("ambienti")
MOST_DETAILS = 40
"""Services that a PDF shows in detail, those that lost most: a thousand of them would be laid out for minutes."""


def page(sheet: Sheet) -> str:
    """Return the page: HTML with its style, its charts and the library that draws them."""
    try:
        drawn, library, undrawn = _drawn(sheet), chart_library(), ""
    except UndrawnError as error:
        _log.error("a page has no charts", extra={"problem": str(error)})
        drawn, library, undrawn = [], "", str(error)
    live = {
        "specs": [_script_safe(spec | charts.AS_WIDE_AS_THE_PAGE) for _, _, spec in drawn],
        "themes": _script_safe({"light": charts.theme(dark=False), "dark": charts.theme(dark=True)}),
        "library": library.replace("</script", "<\\/script"),
    }
    return _render(sheet, drawn, live=live, pictures=[], undrawn=undrawn)


def pdf(sheet: Sheet) -> bytes:
    """Return the report as a PDF, its charts as vector pictures. Raises UndrawnError."""
    drawn, theme = _drawn(sheet), charts.theme(dark=False)
    pictures = [_picture(spec | {"config": theme}) for _, _, spec in drawn]
    return apart.made("pdf", _render(sheet, drawn, live=None, pictures=pictures))


def _picture(spec: Spec) -> str:
    """Draw a chart; one that cannot be drawn is told in its place."""
    try:
        return apart.made("svg", spec).decode()
    except UndrawnError as error:
        _log.error("a report lacks a chart", extra={"problem": str(error)})
        return f"<p>{html.escape(str(error))}</p>"


def _drawn(sheet: Sheet) -> list[tuple[str, str, Spec]]:
    """Return the charts that there is something to draw in: title, what it says, specification."""
    return [(title, text, _harmless(spec)) for title, text, draw in CHARTS if (spec := draw(sheet)) is not None]


def _harmless(value: Any) -> Any:
    """Return a specification whose texts a native library can bear."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {key: _harmless(one) for key, one in value.items()}
    return [_harmless(one) for one in value] if isinstance(value, (list, tuple)) else value


def _shown(value: object) -> object:
    """Return a value of the page without characters that cannot be printed; what is markup already is ours."""
    return printable(value, MOST_SHOWN) if type(value) is str and not value.isprintable() else value


def _render(
    sheet: Sheet, drawn: list[tuple[str, str, Spec]], *, live: dict[str, Any] | None, pictures: list[str], undrawn: str = ""
) -> str:
    targets: dict[str, list[Fraction]] = {}
    for one in sheet.report.objectives:
        targets.setdefault(one.object, []).append(Fraction(one.target))
    return _template().render(
        sheet=sheet,
        report=sheet.report,
        charts=[(title, text) for title, text, _ in drawn],
        live=live,
        pictures=pictures,
        undrawn=undrawn,
        columns=[_title(window) for window in sheet.report.windows],
        window=sheet.report.windows[sheet.detail],
        detailed=sheet.names if live else sheet.names[:MOST_DETAILS],
        targets=targets,
        alerting=any(one.burns for one in sheet.standings),
        colours=charts.STATES,
        overlays=charts.OVERLAYS,
        percent=percent,
        duration=duration,
        budget=budget,
        exactly=write_seconds,
        seconds=seconds,
        partly=partly_observed,
        clock=clock,
        instant=lambda at: clock(write_instant(at, sheet.report.zone)),
    )


def _title(window: WindowShown) -> str:
    """Name a window above its column."""
    return COLUMNS.get(window.name, window.name.capitalize().replace("-", " ")) or "Window"


@cache
def _template() -> Template:
    import jinja2

    loader = jinja2.PackageLoader("scheduler.publish", "templates")
    strict = jinja2.StrictUndefined
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=strict, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["to_the_second"] = to_the_second
    return made.get_template("page.html")


@cache
def chart_library() -> str:
    """Return the library that draws the charts; it is made once."""
    return apart.made("library", None).decode()


def _script_safe(data: object) -> str:
    """Write JSON that cannot end the script it stands in, whatever somebody called a service."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def percent(figure: Fraction | str | None, against: Iterable[Fraction] = ()) -> str:
    """Write a figure in percent: two digits, and as many more as it takes to tell it from 100 % and from each target."""
    return figures.compared(None if figure is None else Fraction(figure), tuple(against))


def duration(seconds: Seconds) -> str:
    """Write a time that is given in seconds."""
    return instants.write_duration(instants.micro(seconds))


def budget(left: Fraction) -> str:
    """Write what is left of an error budget, in microseconds, or by how much it is overdrawn."""
    said = instants.write_duration(int(abs(left)))
    return f"overdrawn by {said}" if left < 0 else said


def clock(instant: str) -> str:
    """Write an instant for a table: date, time to the second, and the offset that tells an hour which comes twice."""
    date, _, rest = instant.partition("T")
    time, offset = (rest[:-1], "UTC") if rest.endswith("Z") else (rest[:-6], rest[-6:])
    return f"{date} {time[:8]} {offset}"
