"""`objective check`, `status`, `export`, `page`: promises written in OpenSLO, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from scheduler.availability.figures import fraction, percent
from scheduler.availability.history import Objective, ObjectiveVerdict
from scheduler.commands import loaded
from scheduler.commands.common import (
    PLACES,
    Exit,
    JsonOption,
    SiteOption,
    console,
    examples,
    fail,
    optional,
    plural,
    print_json,
    say,
    write,
)
from scheduler.commands.journaled import looked_into, now, opened
from scheduler.model.clock import WallClock
from scheduler.model.instants import SECOND, seconds, write_duration, write_instant
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.availability.promises.openslo import Promise
    from scheduler.availability.promises.standing import ObjectiveStanding
    from scheduler.availability.timelines.prepared import Prepared

objectives = typer.Typer(no_args_is_help=True, help="Objectives in OpenSLO: check them, write them from a history file.")
FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE...", help="OpenSLO files; one may refer to another.")]
ZoneOption = Annotated[
    str,
    optional(
        "--zone",
        metavar="ZONE",
        help="Of times and windows that name none. [default: that of the history or of the site; without either UTC]",
    ),
]


@objectives.command("check", epilog=examples("ambienti objective check slo.yaml", "ambienti objective check slo/*.yaml --json"))
def check(
    files: FilesArgument,
    *,
    zone: ZoneOption = "",
    history: Annotated[
        Path | None, optional("--history", metavar="FILE", help="Objects and groups are those of this history.")
    ] = None,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check OpenSLO files and say what they promise: object, target, window, when it applies, what pages.

    Whether the objects exist is asked of the history file or of the site, where there is one.
    """
    from scheduler.availability.promises import openslo

    names, measured_in = _known(history, site)
    zone = zone or measured_in
    found = openslo.read_files(files, now(), zone, names)
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
    from scheduler.availability.files.reading import read_history
    from scheduler.availability.promises import openslo_export
    from scheduler.availability.promises.openslo import Promises

    known = read_history(history)
    try:
        write(openslo_export.text(Promises(tuple(_own(known.objectives))), known.zone))
    except openslo_export.NotExpressibleError as error:
        raise fail(str(error), Exit.PROBLEM) from error


@objectives.command(
    "status",
    epilog=examples(
        "ambienti objective status --history farm.yaml", "ambienti objective status slo.yaml --history farm.yaml --json"
    ),
)
def status(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="OpenSLO files, beside the history's own.")
    ] = None,
    *,
    history: Annotated[
        Path | None, optional("--history", metavar="FILE", help="A history file. [default: the site's journal]")
    ] = None,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where each promise stands: verdict, error budget left, how many failovers it affords, which alerts fire."""
    from scheduler.availability.promises.standing import stand

    prepared, promised = _live(files or (), site) if history is None else _offline(files or (), history)
    standing = [(one, stand(prepared, one.objective, one.alerts)) for one in promised]
    if as_json:
        print_json([_standing_data(promise, one) for promise, one in standing])
        return
    table = Table(
        "objective", "object", "target", "window", "figure", "verdict", "budget left", "failovers", "alerts", box=None
    )
    for promise, one in standing:
        table.add_row(*_standing_row(promise, one))
    console().print(table)
    for _, one in standing:
        if one.recovery is not None:
            _say_recovery(one)


@objectives.command("page", epilog=examples("ambienti objective page", "ambienti objective page --oncall oncall.yaml"))
def page(
    oncall: Annotated[Path | None, optional("--oncall", metavar="FILE", help="[default: the site's on-call file]")] = None,
    site: SiteOption = None,
) -> None:
    """Evaluate the burn-rate alerts once: open an incident for each objective that burns, end those that burn no more.

    For a timer where the daemon does not do it. Whoever is on call is paged by the daemon.
    """
    from scheduler.oncall import reading as rules
    from scheduler.publish import addresses
    from scheduler.publish.paging import happened
    from scheduler.site import services

    with opened(site) as (found, journal):
        read = rules.load(oncall or found.file.oncall)
        at = now()
        paging_rules = addresses.paging_rules(read, found.site.site, at + 1, services.structure(found, at))
        told = services.alarms(found, journal, at)
        decisions = happened(journal, told, paging_rules, at) if told else ()
    for line in decisions:
        say(f"incident {line.incident}: {line.sentence}")
    say(f"{plural(len(told), 'change')} of burn-rate alerts.")


def _known(history: Path | None, site: Path | None) -> tuple[list[str] | None, str]:
    """Return all objects and groups, and the zone in which `status` measures; None: there is neither a history nor a site."""
    from scheduler.availability.files.reading import read_history
    from scheduler.site import services

    if history is not None:
        read = read_history(history)
        return read.names, read.zone
    if site is None and not any(place.is_file() for place in PLACES):
        return None, "UTC"
    found = loaded.load(site)
    return list(loaded.answered(found, services.load).names), found.site.timezone


def _offline(files: Iterable[Path], history: Path) -> tuple[Prepared, list[Promise]]:
    """Read a history file, and the promises of it and of OpenSLO files."""
    from scheduler.availability.files.reading import read_history
    from scheduler.availability.promises import openslo
    from scheduler.availability.timelines.prepared import prepare

    found = read_history(history)
    read = openslo.read_files(files, found.now, found.zone, found.names)
    return prepare(found), [*_own(found.objectives), *read.promises]


def _live(files: Iterable[Path], site: Path | None) -> tuple[Prepared, list[Promise]]:
    """Read the site's journal, its own promises, and those of further OpenSLO files."""
    from scheduler.availability.promises import openslo
    from scheduler.site import services

    with looked_into(site) as (asked, journal):
        now = WallClock().now()
        found, prepared = loaded.answered(asked, lambda known: (known, services.live_prepared(known, journal, now)))
        history = prepared.history
        known = services.load(found)
        own = services.load_promises(found, known.names, history.now).promises
        read = openslo.read_files(files, history.now, history.zone, history.names).promises
    return prepared, [*_own(known.objectives), *own, *read]


def _own(objectives: Iterable[Objective]) -> list[Promise]:
    from scheduler.availability.promises.openslo import Promise

    return [Promise(one, one.name, "", one.object) for one in objectives]


def _standing_row(promise: Promise, one: ObjectiveStanding) -> list[Text]:
    colours = {"PASS": "green", "FAIL": "bold red", "UNDECIDED": "yellow"}
    applies, left = _applies(one), one.budget.left
    budget = (
        _length(left)
        if one.budget.left_at_least == one.budget.left_at_most
        else (f"{_length(left)} ({_length(one.budget.left_at_least)} to {_length(one.budget.left_at_most)})")
    )
    alerts = ", ".join(f"{burn.alert.name} {burn.state}" for burn in one.burns)
    cells = [
        Text(one.objective.name),
        Text(one.objective.object),
        Text(percent(one.objective.target, 3)),
        Text(one.objective.window),
        Text(percent(one.measure.figure, 4)),
        Text(_said(one), style=colours.get(str(one.verdict), "dim")),
        Text(budget, style="red" if left < 0 else "") if applies else Text("-"),
        Text(str(one.budget.failovers) if applies and one.budget.failovers is not None else "-"),
        Text(alerts, style="bold red" if "firing" in alerts else ""),
    ]
    return cells if promise.alerts else [*cells[:-1], Text("")]


def _applies(one: ObjectiveStanding) -> bool:
    """Whether anything was measured; of nothing there is no budget that could be left."""
    return one.verdict is not ObjectiveVerdict.NOT_APPLICABLE


def _said(one: ObjectiveStanding) -> str:
    """Say the verdict; beside UNDECIDED how long was unknown."""
    unknown = f" ({_length(Fraction(one.measure.undecided))} unknown)" if one.verdict is ObjectiveVerdict.UNDECIDED else ""
    return f"{one.verdict}{unknown}"


def _length(exact: Fraction) -> str:
    """Write an exact length for people; the sign is kept."""
    whole = abs(exact).__floor__()
    return f"{'-' if exact < 0 else ''}{write_duration(whole - whole % SECOND if whole > SECOND else whole)}"


def _say_recovery(one: ObjectiveStanding) -> None:
    assert one.recovery is not None
    mean, longest = _length(one.recovery.mean), _length(Fraction(one.recovery.longest))
    count = plural(one.recovery.outages, "outage")
    say(f"{one.objective.name}: {count} in 90 days, recovered after {mean} on average, {longest} at most.", style="dim")


def _standing_data(promise: Promise, one: ObjectiveStanding) -> dict[str, object]:
    budget, zone, applies = one.budget, one.objective.zone or "UTC", _applies(one)
    micro = Fraction(1, SECOND)
    burning = [
        {
            "alert": burn.alert.name,
            "severity": burn.alert.severity,
            "factor": fraction(burn.alert.factor),
            "state": str(burn.state),
            "long": [fraction(burn.long.least), fraction(burn.long.most)],
            "short": [fraction(burn.short.least), fraction(burn.short.most)],
        }
        for burn in one.burns
    ]
    return {
        "objective": one.objective.name,
        "title": promise.title,
        "object": one.objective.object,
        "profile": one.objective.profile,
        "target": fraction(one.objective.target),
        "window": {
            "name": one.window.name,
            "start": write_instant(one.window.start, zone),
            "end": write_instant(one.window.end, zone),
            "ahead_seconds": seconds(one.ahead),
        },
        "figure": fraction(one.measure.figure),
        "figure_if_unknown_bad": fraction(one.measure.lowest),
        "figure_if_unknown_up": fraction(one.measure.highest),
        "unknown_seconds": seconds(one.measure.undecided),
        "verdict": str(one.verdict),
        "budget_seconds": {
            "allowed": fraction(budget.allowed * micro),
            "spent": seconds(budget.spent),
            "left": fraction(budget.left * micro) if applies else None,
            "left_at_least": fraction(budget.left_at_least * micro) if applies else None,
            "left_at_most": fraction(budget.left_at_most * micro) if applies else None,
        },
        "failovers": budget.failovers if applies else None,
        "failovers_at_least": budget.failovers_at_least if applies else None,
        "recovery_seconds": one.recovery
        and {
            "outages": one.recovery.outages,
            "mean": fraction(one.recovery.mean * micro),
            "longest": seconds(one.recovery.longest),
        },
        "alerts": burning,
    }


def _row(promise: Promise, zone: str) -> list[str]:
    one = promise.objective
    applies = "always" if one.applies is None else plural(len(one.applies), "period")
    alerts = [f"{alert.severity} at {float(alert.factor):g}x over {write_duration(alert.long)}" for alert in promise.alerts]
    target = f"{float(one.target * 100):.10g} %"
    return [one.name, one.object, target, one.window, one.zone or zone, one.profile, applies, ", ".join(alerts)]


def _data(promise: Promise, zone: str) -> dict[str, object]:
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
