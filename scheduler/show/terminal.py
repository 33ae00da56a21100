"""The one door to a terminal: what is printed is text, never markup, and moves no cursor.

What stands in tables and lines comes from people and programs that Ambienti does not trust. Styles are given as `Text` or as
styles of a column or row, never inside a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from rich import console as rich_console
from rich import table as rich_table
from rich.segment import Segment
from rich.text import Text

from environments.text import printable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

MOST_IN_A_LINE = 1_000_000
"""Lines that were laid out already are not cut a second time."""


class Console(rich_console.Console):
    """Rich's console without markup, emoji codes and highlighting, through which no control character passes."""

    def __init__(self, file: TextIO, width: int | None = None) -> None:
        super().__init__(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; a text that holds what cannot be printed is written with numbers in its place."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            if control or text.isprintable() or text == "\n":
                yield segment
            else:
                lines = (printable(line, MOST_IN_A_LINE) for line in text.split("\n"))
                yield Segment("\n".join(lines), style, control)


class Table(rich_table.Table):
    """Rich's table, in which a cell is a text and nothing else."""

    def __init__(self, *headers: Any, title: str = "", **options: Any) -> None:
        super().__init__(*headers, title=Text(printable(title)) if title else None, **options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; texts are shown as they are, made printable."""
        super().add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells), **options)
