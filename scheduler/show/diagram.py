"""The life of a worker as a picture, drawn from the table of transitions."""

from __future__ import annotations

from math import hypot

from scheduler.lifecycle import TRANSITIONS
from scheduler.model import WorkerState as S

WIDTH, HEIGHT = 840, 360
_BOX_WIDTH, _BOX_HEIGHT = 100, 34
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
_HEAD = (
    '<svg viewBox="0 0 {width} {height}" role="img" aria-label="states of a worker" '
    'style="max-width:100%;font:14px sans-serif" fill="currentColor" stroke="currentColor">'
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" stroke="none"/></marker></defs>'
)


def lifecycle_svg() -> str:
    """Return the diagram as an SVG image that stands in a page."""
    parts = [_HEAD.format(width=WIDTH, height=HEIGHT)]
    for before, steps in TRANSITIONS.items():
        parts += [_arrow(before, after, why) for after, why in steps.items() if before in PLACES and after in PLACES]
    parts += [_box(state) for state in PLACES]
    return "".join([*parts, "</svg>"])


def _box(state: S) -> str:
    x, y = PLACES[state]
    left, top = x - _BOX_WIDTH // 2, y - _BOX_HEIGHT // 2
    return (
        f'<rect x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="8" fill="none"/>'
        f'<text x="{x}" y="{y + 5}" text-anchor="middle" stroke="none">{state}</text>'
    )


def _arrow(before: S, after: S, why: str) -> str:
    """Draw one step from edge to edge; the two directions of a pair run side by side."""
    (x1, y1), (x2, y2) = PLACES[before], PLACES[after]
    length = hypot(x2 - x1, y2 - y1)
    along_x, along_y = (x2 - x1) / length, (y2 - y1) / length
    aside = 7 if before in TRANSITIONS[after] else 0
    shift_x, shift_y = -along_y * aside, along_x * aside
    margin = min(
        (_BOX_WIDTH / 2 + 3) / abs(along_x) if along_x else float("inf"),
        (_BOX_HEIGHT / 2 + 3) / abs(along_y) if along_y else float("inf"),
    )
    start = (x1 + along_x * margin + shift_x, y1 + along_y * margin + shift_y)
    end = (x2 - along_x * margin + shift_x, y2 - along_y * margin + shift_y)
    return (
        f'<line x1="{start[0]:.0f}" y1="{start[1]:.0f}" x2="{end[0]:.0f}" y2="{end[1]:.0f}" stroke-opacity="0.6" '
        f'marker-end="url(#tip)"><title>{before} to {after}: {why}</title></line>'
    )
