"""`report bundle`, `report verify`, `report publish`: figures that others can compute again, and that change only aloud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.commands.common import Exit, JsonOption, SiteOption, examples, fail, plural, print_json, say
from scheduler.commands.report import FromOption, HistoryOption, ToOption, WindowOption, ZoneOption, window_of
from scheduler.commands.report_argo import history_of, report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scheduler.availability.history import History, Window
    from scheduler.availability.reports.publication import Change, Version

__all__ = ["report"]
SHOWN = 12
"""How many changed numbers are printed; JSON has them all."""
VersionsOption = Annotated[
    Path | None,
    typer.Option(
        "--versions", metavar="FILE", show_default=False, help="Where published versions are kept (JSON). [default: the site's]"
    ),
]


@report.command(
    "bundle",
    epilog=examples(
        "ambienti report bundle week.tar --window past-week",
        "ambienti report bundle week.tar --history farm.yaml --window past-week --versions published.json",
    ),
)
def bundle(
    out: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The tar file to write.")],
    *,
    history: HistoryOption = None,
    window: WindowOption = None,
    start: FromOption = "",
    end: ToOption = "",
    zone: ZoneOption = "",
    versions: VersionsOption = None,
    site: SiteOption = None,
) -> None:
    """Write everything a report rests on, and the report, to one file that anybody can compute again.

    In it, as canonical JSON: events and definitions as a history file, the report under all profiles, published versions.
    """
    from scheduler.availability.reports import bundle as bundles

    found, kept = history_of(history, site)
    parameters = _parameters(found, window_of(found, window, start, end, zone), zone)
    content = bundles.bundle(found, parameters, compute, _versions(versions or kept))
    out.write_bytes(content)
    say(f"{out}: {len(content)} bytes, SHA-256 {_digest(content)}. `ambienti report verify {out}` computes it again.")


@report.command("verify", epilog=examples("ambienti report verify week.tar", "ambienti report verify week.tar --json"))
def verify(
    given: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A file that `ambienti report bundle` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Compute a bundle again from its own events and definitions, offline, and compare it byte by byte."""
    from environments.reader import read_content
    from scheduler.availability.reports import bundle as bundles
    from scheduler.availability.timelines.windows import zone_data

    try:
        found = bundles.verify(read_content(given), compute)
    except bundles.BundleError as error:
        raise fail(f"{given} {error}", Exit.WRONG) from error
    here, there = zone_data(), found.parameters.get("zone_data")
    if as_json:
        told = {"identical": found.identical, "differences": list(found.differences), "sha256": found.digest}
        print_json(told | {"zone_data": there, "zone_data_here": here})
    else:
        for line in found.differences[:SHOWN]:
            say(line, style="red")
        if here != there:
            say(f"It was computed with zone data {there}, here they are {here}.", style="yellow")
        same = "was computed again to the same bytes" if found.identical else "is NOT what comes out here"
        say(f"{given} {same}. SHA-256 {found.digest}", style="green" if found.identical else "bold red")
    if not found.identical:
        raise typer.Exit(int(Exit.PROBLEM))


@report.command(
    "publish",
    epilog=examples(
        "ambienti report publish --window past-week",
        "ambienti report publish --history farm.yaml --window past-week --versions published.json",
    ),
)
def publish(
    *,
    history: HistoryOption = None,
    window: WindowOption = "past-week",
    start: FromOption = "",
    end: ToOption = "",
    zone: ZoneOption = "",
    versions: VersionsOption = None,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the figures of a period that is over, or a new version of them with a note that names what was late.

    Nothing is written when nothing is new.
    """
    from scheduler.availability.reports.publication import version_data

    found, kept = history_of(history, site)
    file = versions or kept
    if file is None:
        raise fail("say where versions are kept: --versions FILE", Exit.WRONG)
    known = _versions(file)
    period = window_of(found, None if start or end else window, start, end, zone)
    if period is None:
        raise fail("say which period: --window NAME, or --from and --to", Exit.WRONG)
    if period.end >= found.now:
        raise fail(f"{period.name or 'the period'} is still going on: publish past-week, past-month...", Exit.PROBLEM)
    before = next((one for one in reversed(known) if _same(one, period)), None)
    made = _next_version(found, period, before)
    if made is not None:
        content = json.dumps([version_data(one) for one in [*known, made]], indent=1, sort_keys=True, ensure_ascii=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n", encoding="utf-8")
    _tell(before, made, period, as_json=as_json)


def compute(history: History, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Compute the report of a bundle: from its history and its parameters alone. Numbers that are not whole become text."""
    from scheduler.availability.history import Window
    from scheduler.availability.reports import report_data

    asked = [Window(one["name"], one["start"], one["end"]) for one in parameters["windows"]]
    made = report_data.make(history, asked, tuple(parameters["profiles"]), (), parameters["zone"])
    # The zone data are those it was first computed with: whether others give other figures is what verifying shows.
    whole: dict[str, Any] = json.loads(json.dumps(report_data.data(made), default=str)) | {"zone_data": parameters["zone_data"]}
    return whole


def _parameters(history: History, asked: Window | None, zone: str) -> dict[str, Any]:
    from scheduler.availability.measuring.profiles import PROFILES
    from scheduler.availability.reports import report_data
    from scheduler.availability.timelines.windows import zone_data

    windows = report_data.table_windows(history, zone) if asked is None else [asked]
    return {
        "windows": [{"name": one.name, "start": one.start, "end": one.end} for one in windows],
        "profiles": list(PROFILES),
        "zone": zone or history.zone,
        "zone_data": zone_data(),
    }


def _next_version(history: History, period: Window, before: Version | None) -> Version | None:
    from scheduler.availability.measuring.accounting import measure
    from scheduler.availability.measuring.profiles import PROFILES
    from scheduler.availability.reports import publication
    from scheduler.availability.timelines.prepared import prepare

    prepared = prepare(history)
    measures = [one for profile in PROFILES for one in measure(prepared, period, profile).values()]
    return publication.publish(period, measures, history, history.now, before)


def _versions(file: Path | None) -> list[Version]:
    from environments.reader import ConfigurationError, Problem, read_content
    from scheduler.availability.reports.publication import version_of

    if file is None or not file.exists():
        return []
    try:
        return [version_of(one) for one in json.loads(read_content(file))]
    except (ValueError, KeyError, TypeError) as error:
        problem = Problem(str(file), 0, 0, "", f"holds no published versions: {error!r}", "what `report publish` wrote")
        raise ConfigurationError([problem]) from error


def _same(version: Version, period: Window) -> bool:
    return (version.period.start, version.period.end) == (period.start, period.end)


def _tell(before: Version | None, made: Version | None, period: Window, *, as_json: bool) -> None:
    from scheduler.availability.instants import write_instant
    from scheduler.availability.reports.publication import changes

    moved = list(changes(before.figures, made.figures)) if before and made else []
    if as_json:
        told = {"period": [write_instant(period.start), write_instant(period.end)], "published": made is not None}
        number = (made or before).number if made or before else 0  # type: ignore[union-attr]
        print_json(told | {"version": number, "note": made.note if made else "", "changes": [_change(one) for one in moved]})
        return
    if made is None:
        say(f"{period.name} stands as published: version {before.number if before else 0}, nothing is new.")
        return
    say(f"{period.name} is published, version {made.number}: {made.note}.")
    for one in moved[:SHOWN]:
        said = _change(one)
        say(f"  {one.object} ({one.profile}) {one.what}: {said['before']} -> {said['after']}")
    if len(moved) > SHOWN:
        say(f"  ... and {plural(len(moved) - SHOWN, 'number')} more (--json has all)")


def _change(one: Change) -> dict[str, str | None]:
    """Return a change in words: lengths in seconds, figures exact."""
    from fractions import Fraction

    from scheduler.availability.instants import seconds

    def said(value: int | Fraction | None) -> str | None:
        return None if value is None else str(value) if isinstance(value, Fraction) else f"{seconds(value)} s"

    keys = {"object": one.object, "profile": one.profile, "what": one.what}
    return {**keys, "before": said(one.before), "after": said(one.after)}


def _digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
