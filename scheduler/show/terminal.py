"""The one door to a terminal: what is printed is text, never markup, and moves no cursor.

What stands in tables and lines comes from people and programs that Ambienti does not trust. Styles are given as `Text` or as
styles of a column or row, never inside a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rich import console as rich_console
from rich import table as rich_table
from rich.segment import Segment
from rich.text import Text

from environments.text import printable

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

    from scheduler.show.job_numbers import JobNumbers


MOST_IN_A_LINE = 1_000_000
"""Lines that were laid out already are not cut a second time."""


class Console(rich_console.Console):
    """Rich's console without markup, emoji codes and highlighting, through which no control character passes."""

    def __init__(self, file: TextIO, width: int | None = None, *, colors: Literal["auto", "standard"] = "auto") -> None:
        super().__init__(
            file=file, width=width, color_system=colors, highlight=False, markup=False, emoji=False, soft_wrap=False
        )

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


def duration(seconds: float | None) -> str:
    """Write a time span as people do: `42 s`, `7 min`, `3 h 20 min`, `2 d 4 h`; `-` when there is none."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    hours, minutes = divmod(whole // 60, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def memory(mib: int | None) -> str:
    """Write an amount of memory: `512 MiB`, `16 GiB`."""
    if mib is None:
        return "-"
    return f"{mib} MiB" if mib < 10240 else f"{mib / 1024:.0f} GiB"


def number(count: int | None, at_least: int = 0) -> str:
    """Write a number that may be unknown: `3`, `3+` when there may be more, `?` when nothing is known."""
    return str(count) if count is not None else f"{at_least}+" if at_least else "?"


def jobs(numbers: JobNumbers) -> str:
    """Write numbers of jobs as a sentence does, with their age: `84 s ago: 20 waiting, 3 running, 0 held`."""
    return f"{duration(numbers.seconds_ago)} ago: {numbers.idle} waiting, {numbers.running} running, {numbers.held} held"


def cores(count: int) -> str:
    """Write a number of cores: `1 core`, `8 cores`."""
    return f"{count} core{'s' * (count != 1)}"


def bar(part: float | None, whole: float | None, width: int = 10) -> Text:
    """Draw how full something is."""
    if not whole or part is None:
        return Text("?" * width, style="dim")
    filled = min(width, round(width * part / whole))
    style = "red" if part > whole else "yellow" if part > 0.9 * whole else "green"
    return Text("█" * filled, style=style).append("░" * (width - filled), style="dim")


def plain_table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make a table without frames; the columns named in `right` hold numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column != "why", header_style="dim")
    return table
