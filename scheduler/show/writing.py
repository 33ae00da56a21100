"""How times, amounts and numbers are written for people, and the form of their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.show.job_numbers import JobNumbers


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
