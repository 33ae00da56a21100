"""A report as one self-contained page with live charts, and as a PDF: both from the same template, neither needs a network."""

from __future__ import annotations

import json
import logging
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from scheduler.availability.instants import seconds, write_instant, write_seconds
from scheduler.availability.reports.report_data import COLUMNS
from scheduler.publish import charts, writing
from scheduler.show.availability_view import partly_observed

if TYPE_CHECKING:
    from jinja2 import Template

    from scheduler.availability.reports.report_data import WindowShown
    from scheduler.publish.charts import Spec
    from scheduler.publish.sheet import Sheet

CHARTS = (
    ("Timelines", "of those that lost most time; on the page, drag to move and turn the wheel to zoom", charts.strips),
    ("Time lost, by cause", "of those that lost most time", charts.lost),
    ("Error budgets", "what each objective has left", charts.budgets),
)

MOST_DETAILS = 40
"""Services that a PDF shows in detail, those that lost most: a thousand of them would be laid out for minutes."""


def page(sheet: Sheet) -> str:
    """Return the page: HTML with its style, its charts and the library that draws them."""
    drawn = _drawn(sheet)
    live = {
        "specs": [_script_safe(spec | charts.AS_WIDE_AS_THE_PAGE) for _, _, spec in drawn],
        "themes": _script_safe({"light": charts.theme(dark=False), "dark": charts.theme(dark=True)}),
        "library": _library().replace("</script", "<\\/script"),
    }
    return _render(sheet, drawn, live=live, pictures=[])


def pdf(sheet: Sheet) -> bytes:
    """Return the report as a PDF, its charts as vector pictures."""
    import vl_convert
    import weasyprint

    # It warns of every rule of the page that is for screens alone.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    drawn, theme = _drawn(sheet), charts.theme(dark=False)
    pictures = [vl_convert.vegalite_to_svg(spec | {"config": theme}) for _, _, spec in drawn]
    written: bytes = weasyprint.HTML(string=_render(sheet, drawn, live=None, pictures=pictures)).write_pdf()
    return written


def _drawn(sheet: Sheet) -> list[tuple[str, str, Spec]]:
    """Return the charts that there is something to draw in: title, what it says, specification."""
    return [(title, text, spec) for title, text, draw in CHARTS if (spec := draw(sheet)) is not None]


def _render(sheet: Sheet, drawn: list[tuple[str, str, Spec]], *, live: dict[str, Any] | None, pictures: list[str]) -> str:
    targets: dict[str, list[Fraction]] = {}
    for one in sheet.report.objectives:
        targets.setdefault(one.object, []).append(Fraction(one.target))
    return _template().render(
        sheet=sheet,
        report=sheet.report,
        charts=[(title, text) for title, text, _ in drawn],
        live=live,
        pictures=pictures,
        columns=[_title(window) for window in sheet.report.windows],
        window=sheet.report.windows[sheet.detail],
        detailed=sheet.names if live else sheet.names[:MOST_DETAILS],
        targets=targets,
        alerting=any(one.burns for one in sheet.standings),
        colours=charts.STATES,
        overlays=charts.OVERLAYS,
        percent=writing.percent,
        duration=writing.duration,
        budget=writing.budget,
        exactly=write_seconds,
        seconds=seconds,
        partly=partly_observed,
        clock=writing.clock,
        instant=lambda at: writing.clock(write_instant(at, sheet.report.zone)),
    )


def _title(window: WindowShown) -> str:
    """Name a window above its column."""
    return COLUMNS.get(window.name, window.name.capitalize().replace("-", " ")) or "Window"


@cache
def _template() -> Template:
    import jinja2

    loader = jinja2.PackageLoader("scheduler.publish", "templates")
    strict = jinja2.StrictUndefined
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=strict, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("page.html")


@cache
def _library() -> str:
    import vl_convert

    return vl_convert.javascript_bundle()  # type: ignore[call-arg]  # the stub does not know the snippet's default


def _script_safe(data: object) -> str:
    """Write JSON that cannot end the script it stands in, whatever somebody called a service."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
