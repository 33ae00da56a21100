"""What every benchmark hands over: tables, and targets with the figure that meets or misses them."""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass
class Table:
    """Rows of measured figures; units stand in the column names."""

    title: str
    columns: list[str]
    rows: list[list[object]]


@dataclass
class Target:
    """What was asked, what was measured. `met` is computed where it is measured, never by hand."""

    name: str
    asked: str
    measured: str
    met: bool
    note: str = ""


@dataclass
class Report:
    """One benchmark's result."""

    name: str
    what: str
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    seconds: float = 0.0


def times(action: Callable[[], object], runs: int = 5) -> list[float]:
    """Run an action several times; return the seconds of each."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return taken


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def growth(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the exponent b of seconds ~ size^b by least squares on logarithms: 1 is linear."""
    xs, ys = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)


def show(report: Report, console: Console | None = None) -> None:
    """Print a report for people."""
    console = console or Console()
    console.rule(report.name)
    console.print(report.what)
    for table in report.tables:
        view = RichTable(*table.columns, title=table.title)
        for row in table.rows:
            view.add_row(*(_cell(value) for value in row))
        console.print(view)
    for target in report.targets:
        mark = "[green]met[/]" if target.met else "[red]MISSED[/]"
        console.print(f"{mark}  {target.name}: asked {target.asked}, measured {target.measured}. {target.note}")


def markdown(reports: Sequence[Report]) -> str:
    """Return all reports as the body of the documentation's page."""
    machine = f"{platform.machine()}, {platform.system()} {platform.release()}, CPython {platform.python_version()}"
    lines = [f"Measured on {time.strftime('%Y-%m-%d')}: {machine}. Medians unless said otherwise.", ""]
    for report in reports:
        lines += [f"## {report.name}", "", report.what, ""]
        if report.targets:
            lines += ["| target | asked | measured | |", "|---|---|---|---|"]
            lines += [
                f"| {t.name} | {t.asked} | {t.measured} | {'met' if t.met else '**missed**'} {t.note} |" for t in report.targets
            ]
            lines.append("")
        for table in report.tables:
            lines += [f"**{table.title}**", "", "| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
            lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in table.rows]
            lines.append("")
    return "\n".join(lines)


def main(run: Callable[[argparse.Namespace], Report], add: Callable[[argparse.ArgumentParser], None] | None = None) -> None:
    """Run one benchmark from the command line: `python -m tests.bench.bench_x [--json FILE]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, help="write the result to this file")
    if add:
        add(parser)
    options = parser.parse_args()
    start = time.perf_counter()
    report = run(options)
    report.seconds = round(time.perf_counter() - start, 1)
    show(report)
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1))


def load(path: Path) -> Report:
    """Read a report back."""
    data = json.loads(path.read_text())
    return Report(
        data["name"],
        data["what"],
        [Table(**t) for t in data["tables"]],
        [Target(**t) for t in data["targets"]],
        data["seconds"],
    )


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
