"""A report as one self-contained page with live charts, and as a PDF: both from the same template, neither needs a network."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from scheduler.availability.instants import as_time, write_duration
from scheduler.publish import charts, writing

if TYPE_CHECKING:
    from jinja2 import Environment

    from scheduler.availability.report import Report

CHARTS = (
    ("Timelines", "of those that lost most time; on the page, drag to move and turn the wheel to zoom", charts.strips),
    ("Time lost, by cause", "in the longest window of this report", charts.lost),
    ("Error budgets", "what each objective has left", charts.budgets),
)
WINDOWS = {"this-week": "This week", "past-week": "Past week", "today": "Today", "yesterday": "Yesterday"}


def page(report: Report) -> str:
    """Return the page: HTML with its style, its charts and the library that draws them."""
    drawn = {title: spec for title, _, draw in CHARTS if (spec := draw(report)) is not None}
    live = {
        "specs": [_script_safe(spec) for spec in drawn.values()],
        "themes": _script_safe({"light": charts.theme(dark=False), "dark": charts.theme(dark=True)}),
        "library": _library().replace("</script", "<\\/script"),
    }
    return _render(report, list(drawn), live=live, pictures=[])


def pdf(report: Report) -> bytes:
    """Return the report as a PDF, its charts as vector pictures."""
    import vl_convert
    import weasyprint

    drawn = {title: spec for title, _, draw in CHARTS if (spec := draw(report)) is not None}
    pictures = [vl_convert.vegalite_to_svg(spec | {"config": charts.theme(dark=False)}) for spec in drawn.values()]
    written: bytes = weasyprint.HTML(string=_render(report, list(drawn), live=None, pictures=pictures)).write_pdf()
    return written


def _render(report: Report, drawn: list[str], *, live: dict[str, Any] | None, pictures: list[str]) -> str:
    said = {title: text for title, text, _ in CHARTS}
    return (
        _templates()
        .get_template("page.html")
        .render(
            report=report,
            charts=[(title, said[title]) for title in drawn],
            live=live,
            pictures=pictures,
            columns=[WINDOWS.get(window.name, window.name[:1].upper() + window.name[1:]) for window in report.windows],
            figure=writing.figure,
            percent=writing.percent,
            verdict=writing.verdict,
            duration=write_duration,
            moment=lambda instant: f"{as_time(instant, report.zone):%Y-%m-%d %H:%M:%S %Z}",
            worst=charts.most_lost(report),
        )
    )


@cache
def _templates() -> Environment:
    import jinja2

    loader = jinja2.PackageLoader("scheduler.publish", "templates")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _library() -> str:
    import vl_convert

    return vl_convert.javascript_bundle()  # type: ignore[call-arg]  # the stub does not know the snippet's default


def _script_safe(data: object) -> str:
    """Write JSON that cannot end the script it stands in, whatever somebody called a service."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
