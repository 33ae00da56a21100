"""`objective check`, `objective export`: promises written in OpenSLO."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from scheduler.clock import WallClock
from scheduler.commands.common import Exit, JsonOption, console, examples, fail, plural, print_json, say

if TYPE_CHECKING:
    from scheduler.availability.openslo import Promise, Promises

objectives = typer.Typer(no_args_is_help=True, help="Objectives in OpenSLO: check them, write them from a history file.")
FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE...", help="OpenSLO files; one may refer to another.")]
ZoneOption = Annotated[
    str, typer.Option("--zone", metavar="ZONE", help="Of times and windows that name none.", show_default="UTC")
]
MICROSECONDS = 1_000_000


def now_micro() -> int:
    """Return this instant."""
    return int(WallClock().now()) * MICROSECONDS


@objectives.command("check", epilog=examples("ambienti objective check slo.yaml", "ambienti objective check slo/*.yaml --json"))
def check(files: FilesArgument, zone: ZoneOption = "UTC", as_json: JsonOption = False) -> None:
    """Check OpenSLO files and say what they promise: object, target, window, when it applies, what pages."""
    from scheduler.availability import openslo

    found = openslo.read_files(files, now_micro(), zone)
    if as_json:
        print_json([_data(promise, zone) for promise in found.promises])
        return
    table = Table("objective", "object", "target", "window", "zone", "profile", "applies", "alerts", box=None, pad_edge=False)
    for promise in found.promises:
        table.add_row(*(Text(cell) for cell in _row(promise, zone)))
    console().print(table)
    say(f"{plural(len(found.promises), 'objective')}, no problem.")


@objectives.command("export", epilog=examples("ambienti objective export --history farm.yaml > slo.yaml"))
def export(
    history: Annotated[Path, typer.Option("--history", metavar="FILE", help="The history file that defines them.")],
) -> None:
    """Write the objectives of a history file as OpenSLO v1."""
    from scheduler.availability import openslo_export
    from scheduler.availability.openslo import Promise, Promises
    from scheduler.availability.reading import read_history

    known = read_history(history)
    made = Promises(tuple(Promise(one, one.name, "", one.object) for one in known.objectives))
    sys.stdout.write(_written(made, known.zone, openslo_export.NotExpressibleError))


def _written(promises: Promises, zone: str, refusal: type[Exception]) -> str:
    from scheduler.availability import openslo_export

    try:
        return openslo_export.text(promises, zone)
    except refusal as error:
        raise fail(str(error), Exit.PROBLEM) from error


def _row(promise: Promise, zone: str) -> list[str]:
    from scheduler.availability.instants import write_duration

    one = promise.objective
    applies = "always" if one.applies is None else plural(len(one.applies), "period")
    alerts = [f"{alert.severity} at {float(alert.factor):g}x over {write_duration(alert.long)}" for alert in promise.alerts]
    target = f"{float(one.target * 100):.10g} %"
    return [one.name, one.object, target, one.window, one.zone or zone, one.profile, applies, ", ".join(alerts)]


def _data(promise: Promise, zone: str) -> dict[str, object]:
    from scheduler.availability.instants import seconds, write_instant

    one = promise.objective
    spans = [[write_instant(span.start), span.end and write_instant(span.end)] for span in one.applies or ()]
    alerts = [
        {
            "name": alert.name,
            "severity": alert.severity,
            "factor": str(alert.factor),
            "long_seconds": seconds(alert.long),
            "short_seconds": seconds(alert.short),
        }
        for alert in promise.alerts
    ]
    return {
        "objective": one.name,
        "title": promise.title,
        "service": promise.service,
        "object": one.object,
        "target": str(one.target),
        "window": one.window,
        "zone": one.zone or zone,
        "profile": one.profile,
        "applies": None if one.applies is None else spans,
        "alerts": alerts,
    }
