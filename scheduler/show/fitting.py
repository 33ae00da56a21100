"""Tables in narrow terminals: names stay whole, and reasons stand below a table instead of in its last column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

if TYPE_CHECKING:
    from rich.table import Column, Table

LEAST_FOR_REASONS = 36
"""Columns that reasons need to be read beside the rest."""
_GAP = 2


def fitted(table: Table, width: int) -> RenderableType:
    """Fit a table whose first column names and whose last one says why into so many columns of a terminal."""
    widths = [_width(column) for column in table.columns]
    beside = width - sum(one + _GAP for one in widths[:-1])
    if beside >= min(LEAST_FOR_REASONS, widths[-1]):
        return table
    names, reasons = table.columns[0], table.columns.pop()
    table.padding = (0, 1, 0, 0)
    names.min_width = widths[0]
    told = [
        Text(f"  {_plain(name)}: ").append(_plain(reason), style="dim")
        for name, reason in zip(names.cells, reasons.cells, strict=True)
        if _plain(reason)
    ]
    return Group(table, *told)


def _width(column: Column) -> int:
    return max(cell_len(_plain(one)) for one in (column.header, *column.cells))


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
