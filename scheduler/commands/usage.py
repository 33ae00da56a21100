"""`usage`: what workers were used for, and what became of the jobs on hosts and in workers that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from environments.reason import counted
from scheduler.availability.history import Window
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, fail, optional, print_json, say
from scheduler.commands.journaled import instant, looked_into, now, since
from scheduler.commands.report import VoOption, vo_known
from scheduler.model.clock import WallClock
from scheduler.model.instants import SECOND, Instant, in_seconds, shown_instant, write_duration, write_instant
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.journal.usage import Casualties, Fallen, Hours
    from scheduler.journal.used import Used

HOUR = 3600 * SECOND
DAY = 24 * HOUR


def usage(
    start: Annotated[str, typer.Option("--since", metavar="WHEN", help="12h or 30d ago, or an instant.")] = "7d",
    end: Annotated[str, optional("--until", metavar="INSTANT", help="[default: now]")] = "",
    vo: VoOption = "",
    as_json: JsonOption = False,
    site: SiteOption = None,
) -> None:
    """Show the hours of workers per VO and environment, and the jobs of hosts and workers that failed.

    Whether each VO's share was there when it was asked for is a service in `ambienti report`: VO/ENVIRONMENT.
    """
    from scheduler.availability.timelines.prepared import prepare
    from scheduler.journal.histories import load_history
    from scheduler.journal.used import of_vo, used

    with looked_into(site) as (found, journal):
        if vo:
            vo_known(vo, found)
        zone = found.site.timezone
        window = _window(since(start, "--since", zone), instant(end, "--until", zone) if end else now(), zone)
        days = found.policy.limits.journal_days
        told = used(journal, prepare(load_history(journal, WallClock().now(), zone, since=window.start)), window, days * DAY)
        told = of_vo(told, vo) if vo else told
    if as_json:
        print_json(data(told, zone))
        return
    if told.forgotten:
        say(f"From {shown_instant(told.window.start, zone)} on: the journal keeps workers and jobs for {days:g} days.")
    _show(told.hours)
    _show_failures(told, zone)


def _window(start: Instant, end: Instant, zone: str) -> Window:
    if end <= start:
        told = f"--until ({shown_instant(end, zone)}) is not after --since ({shown_instant(start, zone)})"
        raise fail(told, Exit.WRONG)
    return Window("", start, end)


def data(told: Used, zone: str) -> dict[str, Any]:
    """Return what is known as plain data: the documented output of `ambienti usage --json`."""
    workers = [{"vo": vo, "environment": name, **_seconds(one)} for (vo, name), one in sorted(told.hours.items())]
    return {
        "start": write_instant(told.window.start, zone),
        "end": write_instant(told.window.end, zone),
        "workers": workers,
        "outages": [_outage(one, zone) for one in told.outages],
        "lost_workers": [_fallen(one, zone) for one in told.fallen],
    }


def _show(hours: Mapping[tuple[str, str], Hours]) -> None:
    from scheduler.journal.usage import Hours

    if not hours:
        say("There were no workers in that time.")
        return
    parts = [one.name for one in fields(Hours)]
    table = Table("VO", "environment", *(f"{part} h" for part in parts), box=None, pad_edge=False)
    for (vo, name), one in sorted(hours.items()):
        table.add_row(vo, name, *(f"{getattr(one, part) / HOUR:.2f}" for part in parts))
    console().print(table)


def _show_failures(found: Used, zone: str) -> None:
    told = []
    for one in found.outages:
        length = write_duration((one.end - one.start) // SECOND * SECOND)
        told.append((one.start, f"{one.host} did not answer for {length}: {_fates(one)}"))
    told += [(one.at, f"{one.worker} ended on {one.host} with work in it: {_fates(one)}") for one in found.fallen]
    for at, sentence in sorted(told):
        say(f"{shown_instant(at, zone)}  {sentence}")


def _fates(one: Casualties | Fallen) -> str:
    jobs = one.jobs
    held = "not told which are on hold" if jobs.held is None else f"{len(jobs.held)} on hold{_listed(jobs.held)}"
    return f"{counted(len(jobs.rerun), 'job', 'run')} again, {len(jobs.lost)} not seen since{_listed(jobs.lost)}, {held}"


def _listed(jobs: Sequence[str]) -> str:
    return f" ({', '.join(jobs[:5])}{'...' if len(jobs) > 5 else ''})" if jobs else ""


def _seconds(one: Hours) -> dict[str, float]:
    return {f"{name}_seconds": in_seconds(length) for name, length in asdict(one).items()}


def _outage(one: Casualties, zone: str) -> dict[str, Any]:
    span = {"start": write_instant(one.start, zone), "end": write_instant(one.end, zone)}
    return {"host": one.host, **span, "seconds": in_seconds(one.end - one.start), **_jobs(one)}


def _fallen(one: Fallen, zone: str) -> dict[str, Any]:
    where = {"worker": one.worker, "host": one.host, "vo": one.vo, "environment": one.environment}
    return {**where, "at": write_instant(one.at, zone), **_jobs(one)}


def _jobs(one: Casualties | Fallen) -> dict[str, Any]:
    held = None if one.jobs.held is None else list(one.jobs.held)
    return {"jobs_run_again": list(one.jobs.rerun), "jobs_held": held, "jobs_not_seen_since": list(one.jobs.lost)}
