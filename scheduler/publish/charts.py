"""The charts of a report, as Vega-Lite specifications: the page draws them live, the PDF has them as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scheduler.availability.history import Cause, ObjectiveVerdict
from scheduler.model.instants import Instant, as_time, write_duration

if TYPE_CHECKING:
    from scheduler.availability.measuring.accounting import Piece
    from scheduler.publish.sheet import Sheet

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MOST_STRIPS = 40
"""Objects whose timeline is drawn: those that lost most. The rest stands in the table."""
MOST_PIECES = 600
"""Of one strip; shorter stretches of such a lively object are left out of the picture, never out of a figure."""
WIDTH = 860
"""Of a picture; a page's charts are as wide as the page."""
AS_WIDE_AS_THE_PAGE: Spec = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
PIXELS_PER_TICK = 90
"""Times on an axis stand so far apart, however narrow the page is."""
STATES = {
    "OK": "#3a9d5d",
    "WARNING": "#d9b13b",
    "CRITICAL": "#d1495b",
    "UNKNOWN": "#8a7fb5",
    "MISSING": "#9aa3ad",
    "pending": "#cfd6dd",
}
OVERLAYS = {"scheduled downtime": "#2f6db5", "unscheduled downtime": "#8db8e8", "excluded": "#e08e45"}
CAUSES = {
    Cause.DETECTION: "#7b6fd0",
    Cause.FENCING: "#d1495b",
    Cause.PLACEMENT: "#4d908e",
    Cause.BOOT: "#3d7dca",
    Cause.SERVICE_START: "#e08e45",
    Cause.HUMAN: "#b5838d",
    Cause.EXCLUDED: "#8db8a0",
    Cause.UNKNOWN: "#9aa3ad",
}

CLOCK = {"hours": "%H:%M", "minutes": "%H:%M"}
"""The day has 24 hours on the axis too; by itself it writes 05:40 for 17:40. Days and months stay as they are."""
AXIS: Spec = {
    "format": CLOCK,
    "tickCount": {"expr": f"max(2, floor(width / {PIXELS_PER_TICK}))"},
    "labelOverlap": "greedy",
    "labelSeparation": 10,
    "labelFlush": True,
}
NUMBERS: Spec = {key: value for key, value in AXIS.items() if key != "format"}


def strips(sheet: Sheet) -> Spec | None:
    """Draw the timelines of those that lost most; the horizontal axis can be moved and zoomed."""
    chosen = [name for name in sheet.names if sheet.strips.get(name)][:MOST_STRIPS]
    if not chosen:
        return None
    values = [_piece(name, piece, sheet.report.zone) for name in chosen for piece in _longest(sheet.strips[name])]
    overlays = [value for value in values if value["overlay"]]
    tooltip = [{"field": name, "type": "nominal"} for name in ("object", "state", "overlay", "cause", "from", "to", "lasted")]
    common: Spec = {
        "x": {"field": "start", "type": "temporal", "title": None, "scale": {"type": "utc"}, "axis": AXIS},
        "x2": {"field": "end"},
        "y": {"field": "object", "type": "nominal", "sort": chosen, "title": None},
        "tooltip": tooltip,
    }
    states = {
        "data": {"values": values},
        "mark": {"type": "bar", "height": {"band": 0.62}, "yOffset": -2},
        "encoding": common | {"color": _colours("state", STATES, "observed")},
        "params": [{"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"}],
    }
    below = {
        "data": {"values": overlays},
        "mark": {"type": "bar", "height": 4, "yOffset": 9},
        "encoding": common | {"color": _colours("overlay", OVERLAYS, "declared")},
    }
    spec = {"$schema": SCHEMA, "width": WIDTH, "height": 28 * len(chosen), "layer": [states, below] if overlays else [states]}
    return spec | {"resolve": {"scale": {"color": "independent"}}}


def lost(sheet: Sheet) -> Spec | None:
    """Draw how much time the window in detail lost, by cause."""
    values: list[Spec] = [
        {"object": name, "cause": cause, "minutes": round(float(length) / 60, 3)}
        for name in sheet.names[:MOST_STRIPS]
        for cause, length in sheet.rows[name][sheet.detail].lost.items()
        if length
    ]
    if not values:
        return None
    order = list(dict.fromkeys(value["object"] for value in values))
    colours = {str(cause): colour for cause, colour in CAUSES.items()}
    return _bars(values, "object", "minutes lost", _colours("cause", colours, "cause"), order)


def budgets(sheet: Sheet) -> Spec | None:
    """Draw how much of its error budget each objective has left."""
    values = [
        {
            "objective": f"{one.objective.object}: {one.objective.name} ({one.window.name})",
            "minutes": round(float(one.budget.left) / 60_000_000, 3),
            "verdict": str(one.verdict),
        }
        for one in sheet.standings
        if one.verdict is not ObjectiveVerdict.NOT_APPLICABLE
    ]
    if not values:
        return None
    verdicts = {"PASS": STATES["OK"], "FAIL": STATES["CRITICAL"], "UNDECIDED": STATES["UNKNOWN"]}
    title = "bad minutes left (below 0: overdrawn)"
    return _bars(values, "objective", title, _colours("verdict", verdicts, "verdict"), None)


def _bars(values: Sequence[Mapping[str, Any]], field: str, title: str, colour: Spec, order: list[str] | None) -> Spec:
    """Return horizontal bars of minutes, one line for each value of a field."""
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": 24 * len({value[field] for value in values}),
        "data": {"values": values},
        "mark": {"type": "bar", "height": {"band": 0.62}},
        "encoding": {
            "x": {"field": "minutes", "type": "quantitative", "title": title, "stack": "zero", "axis": NUMBERS},
            "y": {"field": field, "type": "nominal", "sort": order, "title": None},
            "color": colour,
            "tooltip": [{"field": name, "type": "nominal"} for name in (field, colour["field"], "minutes")],
        },
    }


def theme(*, dark: bool) -> Spec:
    """Return the colours of axes, grid and letters; the ground is the page's."""
    ink, faint = ("#e6e9ee", "#39424e") if dark else ("#1f2933", "#dde3ea")
    axis = {"labelColor": ink, "titleColor": ink, "gridColor": faint, "domainColor": faint, "tickColor": faint}
    return {
        "background": "transparent",
        "font": "system-ui, 'DejaVu Sans', sans-serif",
        "view": {"stroke": None},
        "axis": axis | {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 240},
        "legend": {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontWeight": "normal", "orient": "bottom"},
    }


def _longest(pieces: Iterable[Piece]) -> list[Piece]:
    """Return at most so many pieces, the longest, in their order."""
    every = list(pieces)
    keep = sorted(range(len(every)), key=lambda n: every[n].start - every[n].end)[:MOST_PIECES]
    return [every[n] for n in sorted(keep)]


def _piece(name: str, piece: Piece, zone: str) -> Mapping[str, Any]:
    return {
        "object": name,
        "state": piece.state,
        "overlay": piece.overlay,
        "cause": piece.cause,
        # Local time written as if it were UTC: the axis then shows the report's zone in whatever zone it is read.
        "start": _local(piece.start, zone),
        "end": _local(piece.end, zone),
        "from": f"{as_time(piece.start, zone):%Y-%m-%d %H:%M:%S %Z}",
        "to": f"{as_time(piece.end, zone):%Y-%m-%d %H:%M:%S %Z}",
        "lasted": write_duration(piece.end - piece.start),
    }


def _local(instant: Instant, zone: str) -> str:
    return f"{as_time(instant, zone).replace(tzinfo=None).isoformat()}Z"


def _colours(field: str, scale: Mapping[str, str], title: str) -> Spec:
    return {"field": field, "type": "nominal", "title": title, "scale": {"domain": list(scale), "range": list(scale.values())}}
