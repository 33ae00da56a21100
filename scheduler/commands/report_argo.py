"""`report argo`: figures in the shape of ARGO's web API, a result for each day or month."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.availability.history import History, Measure, Window
from scheduler.availability.reports import argo_export
from scheduler.availability.timelines.windows import PERIODS, period_end
from scheduler.commands import loaded
from scheduler.commands.common import Exit, SiteOption, examples, fail, print_json
from scheduler.commands.journaled import looked_into
from scheduler.commands.report import FromOption, HistoryOption, ToOption, WindowOption, read, report, window_of
from scheduler.model.clock import WallClock

if TYPE_CHECKING:
    from scheduler.availability.timelines.prepared import Prepared

__all__ = ["report"]
GRANULARITIES = {"daily": "day", "monthly": "month"}


@report.command(
    "argo",
    epilog=examples(
        "ambienti report argo --history farm.yaml --window past-week",
        "ambienti report argo --history farm.yaml --window year --granularity monthly --group-type SERVICEGROUPS",
    ),
)
def argo(
    *,
    history: HistoryOption = None,
    window: WindowOption = "month",
    start: FromOption = "",
    end: ToOption = "",
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="Cut days in this zone; ARGO's are UTC.")] = "UTC",
    granularity: Annotated[str, typer.Option("--granularity", help="daily or monthly.")] = "daily",
    supergroup: Annotated[str, typer.Option("--supergroup-type", help="What ARGO calls groups of groups.")] = "GROUP",
    group: Annotated[str, typer.Option("--group-type", help="What ARGO calls groups.")] = "SITES",
    service: Annotated[str, typer.Option("--service", help="What ARGO calls the service of each endpoint.")] = "service",
    site: SiteOption = None,
) -> None:
    """Print availability and reliability as ARGO's web API answers (v3): per cent as text, -1 where a figure is undefined.

    Without a window: the month so far.
    """
    from scheduler.availability.measuring.accounting import capacity, measure
    from scheduler.availability.timelines.prepared import prepare

    if granularity not in GRANULARITIES:
        raise fail(f"no granularity is called {granularity!r}; there are daily, monthly", Exit.WRONG)
    found = history_of(history, site)
    asked = window_of(found, None if start or end else window, start, end, zone)
    if asked is None:
        raise fail("say which window: --window NAME, or --from and --to", Exit.WRONG)
    prepared = prepare(found)
    measures: dict[str, list[Measure]] = {}
    for piece in pieces(asked, GRANULARITIES[granularity], zone):
        for name, one in measure(prepared, piece, "argo").items():
            measures.setdefault(name, []).append(one)
    kinds = argo_export.Kinds(supergroup, group, service)
    weighted = argo_export.weighted(
        [
            (name, piece, found_there)
            for piece in pieces(asked, GRANULARITIES[granularity], zone)
            for name in (group.name for group in found.groups)
            if (found_there := capacity(prepared, name, piece, "argo")) is not None
        ],
        zone,
        granularity,
    )
    document = argo_export.document(
        found.groups, measures, zone, granularity, kinds, rests_on=_rests_on(prepared, zone) | weighted
    )
    print_json(document)


def _rests_on(prepared: Prepared, zone: str) -> dict[str, Any]:
    """Say what the figures rest on: profile, truth tables, zone and its data, downtimes, exclusions with who accepted them."""
    from scheduler.availability.reports import report_data

    whole = report_data.data(report_data.make(prepared, [], ["argo"], (), zone))
    keys = ("now", "zone", "zone_data", "profiles", "algebras", "downtimes", "exclusions", "clock_jumps", "gaps")
    return {key: whole[key] for key in keys}


def history_of(file: Path | None, site: Path | None) -> History:
    """Return the history of a file, or of the site's journal."""
    if file is not None:
        return read(file)
    from scheduler.site import services

    with looked_into(site) as (found, journal):
        return loaded.answered(found, lambda known: services.live_history(known, journal, WallClock().now()))


def pieces(window: Window, period: str, zone: str) -> Iterator[Window]:
    """Cut a window into the days or months that it touches; the first and the last may be parts of one."""
    start = window.start
    while start < window.end:
        end = min(period_end(PERIODS[period], start, zone) or window.end, window.end)
        end = end if end > start else window.end  # where the calendar ends
        yield Window(period, start, end)
        start = end
