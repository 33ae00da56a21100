"""`usage`: what the workers of each VO and environment were used for, and what became of the jobs on hosts that failed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from scheduler.clock import WallClock
from scheduler.commands.common import JsonOption, SiteOption, console, print_json, say
from scheduler.commands.journaled import instant, now, opened, since

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.journal.usage import Casualties, Hours

HOUR = 3600 * 1_000_000


def usage(
    start: Annotated[str, typer.Option("--since", metavar="WHEN", help="12h or 30d ago, or an instant.")] = "7d",
    end: Annotated[str, typer.Option("--until", metavar="INSTANT", show_default=False, help="[default: now]")] = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
) -> None:
    """Show the hours of workers per VO and environment - used, booting, idle, lost - and the jobs of hosts that failed.

    Whether each VO's share was there when it was asked for is a service in `ambienti report`: VO/ENVIRONMENT.
    """
    from scheduler.availability.history import Window
    from scheduler.journal.histories import load_history, outages, worker_steps
    from scheduler.journal.usage import casualties, worker_hours

    with opened(site) as (found, journal):
        zone = found.site.timezone
        last = instant(end, "--until", zone) if end else now()
        window = Window("", since(start, "--since", zone), last)
        steps = worker_steps(journal, last)
        hours = worker_hours(steps, window)
        history = load_history(journal, WallClock().now(), zone, since=window.start)
        failed = casualties(outages(history, window), steps, journal.sightings())
    if as_json:
        rows = [{"vo": vo, "environment": name, **_seconds(one)} for (vo, name), one in sorted(hours.items())]
        print_json({"workers": rows, "outages": [_outage(one, zone) for one in failed]})
        return
    _show(hours, failed, zone)


def _show(hours: Mapping[tuple[str, str], Hours], failed: Sequence[Casualties], zone: str) -> None:
    from scheduler.availability.instants import write_duration

    if not hours:
        say("there were no workers", style="dim")
    table = Table("VO", "environment", "used h", "booting h", "idle h", "lost h", box=None, pad_edge=False)
    for (vo, name), one in sorted(hours.items()):
        table.add_row(vo, name, *(f"{length / HOUR:.2f}" for length in (one.used, one.booting, one.idle, one.lost)))
    console().print(table)
    for outage in (_outage(one, zone) for one in failed):
        length = write_duration(int(outage["seconds"]) * 1_000_000)
        rerun, lost = outage["jobs_run_again"], outage["jobs_not_seen_since"]
        told = f"{len(rerun)} jobs run again, {len(lost)} not seen since"
        listed = f" ({', '.join(lost[:5])}{'...' if len(lost) > 5 else ''})" if lost else ""
        say(f"{outage['start']}  {outage['host']} did not answer for {length}: {told}{listed}")


def _seconds(one: Hours) -> dict[str, float]:
    return {f"{name}_seconds": length / 1_000_000 for name, length in asdict(one).items()}


def _outage(one: Casualties, zone: str) -> dict[str, Any]:
    from scheduler.availability.instants import write_instant

    span = {"start": write_instant(one.start, zone), "end": write_instant(one.end, zone)}
    jobs = {"jobs_run_again": list(one.rerun), "jobs_not_seen_since": list(one.lost)}
    return {"host": one.host, **span, "seconds": (one.end - one.start) / 1_000_000, **jobs}
