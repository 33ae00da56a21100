"""Why two profiles differ, on a terminal and as data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from scheduler.availability import figures
from scheduler.availability.measuring.explaining import FigureDifference, sentence, write_points
from scheduler.model.instants import seconds, shown_instant, write_duration, write_instant
from scheduler.show.terminal import Table

SHOWN = 200
"""So many stretches are listed; JSON has them all."""


def page(why: FigureDifference, zone: str) -> RenderableType:
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
    for each in why.stretches[:SHOWN]:
        table.add_row(
            *(shown_instant(each.start, zone), shown_instant(each.end, zone), write_duration(each.length), each.status),
            *(each.downtime or "-", "yes" if each.excluded else "-", str(each.one), str(each.other), each.reason),
            write_points(each.points),
        )
    hidden = len(why.stretches) - SHOWN
    return Group(*lines, table, *([Text(f"... and {hidden} more (--json lists all)", style="dim")] if hidden > 0 else []))


def data(why: FigureDifference, zone: str) -> dict[str, Any]:
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
