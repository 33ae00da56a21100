"""The lives of a worker and of an incident as pictures, drawn from their tables of transitions."""

from __future__ import annotations

from math import hypot
from typing import TYPE_CHECKING, TypeVar

from scheduler.model.lifecycle import TRANSITIONS
from scheduler.model.workers import WorkerState as S
from scheduler.oncall import states
from scheduler.oncall.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

One = TypeVar("One", bound="StrEnum")
WIDTH, HEIGHT = 840, 360
_BOX_WIDTH, _BOX_HEIGHT = 116, 34
PLACES: dict[S, tuple[int, int]] = {
    S.REQUESTED: (70, 180),
    S.BOOTING: (230, 180),
    S.IDLE: (400, 110),
    S.BUSY: (400, 250),
    S.DRAINING: (570, 180),
    S.DRAINED: (740, 180),
    S.SILENT: (570, 40),
    S.FAILED: (230, 320),
    S.GONE: (740, 320),
}
"""Where each state stands; `unseen` is left out: every living state may step there and back."""
INCIDENT_PLACES: dict[State, tuple[int, int]] = {
    State.QUIET: (90, 60),
    State.DISMISSED: (90, 300),
    State.OPEN: (300, 60),
    State.ACKNOWLEDGED: (520, 60),
    State.RESOLVED: (740, 180),
    State.SELF_HEALED: (300, 300),
    State.REOPENED: (520, 300),
}
_HEAD = (
    '<svg viewBox="0 0 {width} {height}" role="img" aria-label="states of {whom}" '
    'style="max-width:100%;font:14px sans-serif" fill="currentColor" stroke="currentColor">'
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" stroke="none"/></marker></defs>'
)


def lifecycle_svg() -> str:
    """Return the life of a worker as an SVG image that stands in a page."""
    return _drawn("a worker", TRANSITIONS, PLACES)


def incident_svg() -> str:
    """Return the life of an incident as an SVG image that stands in a page."""
    return _drawn("an incident", states.TRANSITIONS, INCIDENT_PLACES)


def _drawn(whom: str, transitions: Mapping[One, Mapping[One, str]], places: Mapping[One, tuple[int, int]]) -> str:
    parts = [_HEAD.format(width=WIDTH, height=HEIGHT, whom=whom)]
    for before, steps in transitions.items():
        for after, why in steps.items():
            if before in places and after in places:
                title = f"{before} to {after}: {why}"
                parts.append(_arrow(places[before], places[after], title, both=before in transitions[after]))
    parts += [_box(str(state), *place) for state, place in places.items()]
    return "".join([*parts, "</svg>"])


def _box(state: str, x: int, y: int) -> str:
    left, top = x - _BOX_WIDTH // 2, y - _BOX_HEIGHT // 2
    return (
        f'<rect x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="8" fill="none"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle" stroke="none">{state}</text>'
    )


def _arrow(start_box: tuple[int, int], end_box: tuple[int, int], title: str, *, both: bool) -> str:
    """Draw one step from edge to edge; the two directions of a pair run side by side."""
    (x1, y1), (x2, y2) = start_box, end_box
    length = hypot(x2 - x1, y2 - y1)
    along_x, along_y = (x2 - x1) / length, (y2 - y1) / length
    aside = 7 if both else 0
    shift_x, shift_y = -along_y * aside, along_x * aside
    margin = min(
        (_BOX_WIDTH / 2 + 3) / abs(along_x) if along_x else float("inf"),
        (_BOX_HEIGHT / 2 + 3) / abs(along_y) if along_y else float("inf"),
    )
    start = (x1 + along_x * margin + shift_x, y1 + along_y * margin + shift_y)
    end = (x2 - along_x * margin + shift_x, y2 - along_y * margin + shift_y)
    return (
        f'<line x1="{start[0]:.0f}" y1="{start[1]:.0f}" x2="{end[0]:.0f}" y2="{end[1]:.0f}" stroke-opacity="0.6" '
        f'marker-end="url(#tip)"><title>{title}</title></line>'
    )
