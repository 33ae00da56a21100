"""`report bundle`, `report verify`: figures that others can compute again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from environments.names import can_be_read
from environments.reader import opened_content
from environments.whole import written_whole
from scheduler.availability.history import History, Result, Window
from scheduler.availability.timelines.windows import zone_data
from scheduler.commands.common import Exit, JsonOption, SiteOption, examples, fail, optional, print_json, say
from scheduler.commands.journaled import looked_into
from scheduler.commands.report import FromOption, HistoryOption, ToOption, WindowOption, ZoneOption, read, window_of
from scheduler.commands.report_argo import report
from scheduler.model.clock import WallClock

if TYPE_CHECKING:
    from scheduler.availability.reports.publication import Version
    from scheduler.availability.timelines.prepared import Prepared

__all__ = ["report"]
SHOWN = 12
"""How many differences are printed; JSON has them all."""
VersionsOption = Annotated[
    Path | None, optional("--versions", metavar="FILE", help="Where published versions are kept (JSON). [default: the journal]")
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

    In it, as canonical JSON: events and definitions as a history file, the report under all profiles, the published versions
    of its windows.
    """
    from scheduler.availability.reports import bundle as bundles

    with _source(history, site) as (found, events):
        windows = _windows(found, window_of(found, window, start, end, zone), zone)
        parameters = _parameters(found, windows, zone)
        published = _versions(windows, versions, site, live=history is None)
        try:
            with written_whole(out) as target:
                digest = bundles.write(target, found, events, parameters, compute, versions=published)
            size = out.stat().st_size
        except OSError as error:
            raise fail(f"cannot write {out}: {error.strerror}", Exit.WRONG) from error
    say(f"{out}: {size} bytes, SHA-256 {digest}. `ambienti report verify {out}` computes it again.")


@contextmanager
def _source(file: Path | None, site: Path | None) -> Iterator[tuple[History, Iterable[Result]]]:
    """Open a history and its events: of a file, or of the site's journal, from which they come one after the other."""
    if file is not None:
        found = read(file)
        yield found, found.results
        return
    from scheduler.journal.histories import stored
    from scheduler.site import services

    with looked_into(site) as (defined, journal):
        found = services.live_history(defined, journal, WallClock().now(), with_results=False)
        yield found, stored(journal, found)


@report.command("verify", epilog=examples("ambienti report verify week.tar", "ambienti report verify week.tar --json"))
def verify(
    given: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A file that `ambienti report bundle` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Compute a bundle again from its own events and definitions, offline, and compare it byte by byte."""
    from scheduler.availability.reports import bundle as bundles

    try:
        with opened_content(given) as source:
            found = bundles.verify(source, compute)
    except bundles.BundleError as error:
        raise fail(f"{given} {error}", Exit.WRONG) from error
    except OSError as error:
        raise fail(f"{given} cannot be read: {error.strerror}", Exit.WRONG) from error
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


def compute(history: Prepared, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Compute the report of a bundle: from its history and its parameters alone. Numbers that are not whole become text."""
    from scheduler.availability.reports import report_data

    made = report_data.make(history, _asked(parameters), tuple(parameters["profiles"]), (), parameters["zone"])
    # The zone data are those it was first computed with: whether others give other figures is what verifying shows.
    whole: dict[str, Any] = json.loads(json.dumps(report_data.data(made), default=str)) | {"zone_data": parameters["zone_data"]}
    return whole


def _asked(parameters: Mapping[str, Any]) -> list[Window]:
    """Return the windows of a bundle's parameters; what cannot be computed by them is refused."""
    from scheduler.availability.files.crosscheck import is_zone
    from scheduler.availability.measuring.profiles import PROFILES
    from scheduler.availability.reports.bundle import MANIFEST, BundleError

    def refused(what: str) -> BundleError:
        return BundleError(f"cannot be computed here: the parameters in its {MANIFEST} {what}")

    missing = [key for key in ("windows", "profiles", "zone", "zone_data") if key not in parameters]
    if missing:
        raise refused(f"do not say {', '.join(missing)}")
    if not isinstance(parameters["zone"], str) or not is_zone(parameters["zone"]):
        raise refused(f"name a time zone that there is not: {parameters['zone']!r}")
    if not isinstance(parameters["profiles"], list) or any(one not in PROFILES for one in parameters["profiles"]):
        raise refused(f"name profiles that there are not: {parameters['profiles']!r}")
    found = parameters["windows"]
    keys = {"name": str, "start": int, "end": int}
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and all(isinstance(one.get(key), kind) for key, kind in keys.items()) for one in found
    ):
        raise refused("hold windows without name, start and end")
    return [Window(one["name"], one["start"], one["end"]) for one in found]


def _windows(history: History, asked: Window | None, zone: str) -> list[Window]:
    from scheduler.availability.reports import report_data

    return report_data.table_windows(history, zone) if asked is None else [asked]


def _versions(windows: Sequence[Window], file: Path | None, site: Path | None, *, live: bool) -> list[Version]:
    """Return the published versions of some windows, from a file or from the site's journal."""
    from scheduler.journal import publications as kept
    from scheduler.site.publications import read_file

    if file is None and live:
        with looked_into(site) as (_, journal):
            return kept.versions(journal, windows)
    if file is not None and not can_be_read(file):
        raise fail(f"there is no file {file} of published versions", Exit.WRONG)
    found = [] if file is None else read_file(file)
    spans = {(one.start, one.end) for one in windows}
    return [one for one in found if (one.period.start, one.period.end) in spans]


def _parameters(history: History, windows: Sequence[Window], zone: str) -> dict[str, Any]:
    from scheduler.availability.measuring.profiles import PROFILES

    return {
        "windows": [{"name": one.name, "start": one.start, "end": one.end} for one in windows],
        "profiles": list(PROFILES),
        "zone": zone or history.zone,
        "zone_data": zone_data(),
    }
