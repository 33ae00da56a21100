"""`ambienti report`: availability from the site's journal, or of a history file without daemon or journal; `report explain`."""

from __future__ import annotations

import csv
import sys
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import PydanticCustomError

from environments.text import csv_cell
from scheduler.availability.history import EVERYTHING, History, Window
from scheduler.availability.timelines import windows
from scheduler.commands import loaded
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, meant, optional, print_json, say
from scheduler.commands.journaled import live, no_bare_number
from scheduler.model.instants import read_instant, to_the_second, write_instant

if TYPE_CHECKING:
    from scheduler.availability.reports.report_shape import Report
    from scheduler.site.definitions import Definitions

ALL = "all"
report = typer.Typer(
    invoke_without_command=True,
    epilog=examples(
        "ambienti report",
        "ambienti report --history farm.yaml",
        "ambienti report --history farm.yaml --window past-week --profile all --json",
        "ambienti report --html report.html --pdf report.pdf",
        "ambienti report --vo atlas --html atlas.html",
        "ambienti report --history farm.yaml --from 2026-03-02 --to 2026-03-09 --object ces --csv",
    ),
)
HistoryOption = Annotated[
    Path | None,
    optional("--history", metavar="FILE", help="A history, YAML or JSON (docs: History file; `-`: standard input)."),
]
WindowOption = Annotated[
    str | None,
    optional(
        "--window",
        "-w",
        metavar="NAME",
        help="today, this-week, month, quarter, year, yesterday, past-week, past-month..., or days like 14d.",
    ),
]
FromOption = Annotated[str, optional("--from", metavar="INSTANT", help="Begin of the window.")]
ToOption = Annotated[str, optional("--to", metavar="INSTANT", help="Its end. [default: now]")]
ZoneOption = Annotated[str, optional("--zone", metavar="ZONE", help="Cut windows in this zone. [default: the history's]")]
ObjectsOption = Annotated[list[str] | None, optional("--object", "-o", metavar="NAME", help="Only this one (may be repeated).")]


VoOption = Annotated[str, optional("--vo", metavar="NAME", help="Only what serves this VO: its shares, its workers.")]


@report.callback()
def shown(
    context: typer.Context,
    *,
    history: HistoryOption = None,
    window: WindowOption = None,
    start: FromOption = "",
    end: ToOption = "",
    profile: Annotated[str, typer.Option("--profile", "-p", help="excuse, argo, icinga, nagios, skip, or all.")] = "excuse",
    objects: ObjectsOption = None,
    vo: VoOption = "",
    zone: ZoneOption = "",
    site: SiteOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line for each row, comma-separated.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts; it needs no network.")
    ] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", metavar="FILE", help="Write a PDF.")] = None,
) -> None:
    """Report what was promised and what was kept: availability of services and groups, exact, with verdicts.

    Without a window: the table of this week, past week, month, quarter and year.
    """
    if context.invoked_subcommand is not None:
        return
    from scheduler.availability.measuring.profiles import PROFILES
    from scheduler.availability.reports import report_data

    source = live(site) if history is None else read(history)
    found = source if isinstance(source, History) else source.history
    chosen = [name for name, wanted in (("--json", as_json), ("--csv", as_csv), ("--html or --pdf", html or pdf)) if wanted]
    if len(chosen) > 1:
        raise fail(f"give one of {', '.join(chosen)}: a report is written in one form at a time", Exit.WRONG)
    profiles = PROFILES if profile == ALL else tuple(dict.fromkeys(_profile(one.strip()) for one in profile.split(",")))
    known(found, objects or ())
    if vo:
        objects = _of_vo(vo, objects, history, site)
    asked = window_of(found, window, start, end, zone)
    _tell_if_empty(found, asked)
    windows = report_data.table_windows(found, zone) if asked is None else [asked]
    if html or pdf:
        from scheduler.commands.report_page import write

        write(source, asked, profiles, html=html, pdf=pdf, site=site, objects=objects or (), zone=zone, vo=vo)
        return
    made = report_data.make(source, windows, profiles, objects or (), zone)
    _tell_if_unobserved(made, in_detail=asked is not None)
    if as_json:
        print_json(_plain(report_data.data(made)))
    elif as_csv:
        _csv(made)
    else:
        _show(made, profiles, in_detail=asked is not None)


def read(history: Path) -> History:
    """Return the history of a file; `-` is the standard input."""
    from scheduler.availability.files.reading import history_of_text, read_history

    if str(history) == "-":
        return history_of_text(sys.stdin.buffer.read(), "standard input")
    return read_history(history)


def known(history: History, objects: Sequence[str]) -> None:
    """Refuse the name of an object or group that the history does not have."""
    names = history.names
    for name in objects:
        if name not in names:
            hint = meant(name, names, f"there are {', '.join(names[:12])}")
            raise fail(f"the history has no object or group called {name!r}; {hint}", Exit.WRONG)


def _of_vo(vo: str, objects: list[str] | None, history: Path | None, site: Path | None) -> list[str]:
    """Return the objects that serve a VO of the site."""
    from scheduler.site import services

    if history is not None or objects:
        raise fail("--vo names the objects of a VO of the site: give it without --history and --object", Exit.WRONG)
    found = loaded.load(site)
    vo_known(vo, found)
    names = loaded.answered(found, lambda known: services.objects_of_vo(known, vo))
    if not names:
        raise fail(f"{vo} may use no environment: nothing serves it yet", Exit.PROBLEM)
    return list(names)


def vo_known(vo: str, definitions: Definitions) -> None:
    """Refuse the name of a VO that the site does not have."""
    vos = definitions.policy.catalogue.vos
    if vo not in vos:
        hint = meant(vo, vos, f"there are {', '.join(vos)}")
        raise fail(f"the site has no VO {vo!r}; {hint}", Exit.WRONG)


def window_of(history: History, name: str | None, start: str, end: str, zone: str = "") -> Window | None:
    """Return the window that is asked for, None where none is."""
    zone_known(zone)
    zone = zone or history.zone
    if name is not None and (start or end):
        raise fail("give either --window or --from and --to", Exit.WRONG)
    for option, text in (("--from", start), ("--to", end)):
        no_bare_number(text, option)
    try:
        if name is not None:
            return windows.named(name, history.now, zone)
        if not start and not end:
            return None
        if not start:
            raise fail("give --from beside --to", Exit.WRONG)
        first, last = read_instant(start, zone), read_instant(end, zone) if end else history.now
    except PydanticCustomError as error:
        context: dict[str, Any] = error.context or {}
        parts = [error.message(), f"expected {context.get('expected')}"]
        near = context.get("nearest")
        raise fail("; ".join([*parts, f"did you mean {near}?"] if near else parts), Exit.WRONG) from error
    if end and last < first:
        raise fail("--to is before --from", Exit.WRONG)
    return windows.between(first, last, history.now)


def _tell_if_empty(history: History, asked: Window | None) -> None:
    """Say why there is nothing to count, beside the report that says so by undefined figures."""
    if not history.objects and not history.groups:
        say("The history has no objects (key `objects`): there is nothing to report.", error=True, style="yellow")
    elif asked is not None and asked.start >= asked.end:
        now = write_instant(history.now, history.zone)
        why = f"it is not before now ({now}), and no future second is counted" if asked.start >= history.now else "it is empty"
        say(f"Nothing is counted in this window: {why}.", error=True, style="yellow")


def _tell_if_unobserved(made: Report, *, in_detail: bool) -> None:
    """Say aloud that nobody looked in the window that was asked for: a verdict of another window is no answer to it."""
    window = made.windows[0]
    if in_detail and made.rows and window.seconds and not any(row.observed for row in made.rows):
        span = f"{window.name or 'the window'}, {to_the_second(window.start)} to {to_the_second(window.end)}"
        say(f"Nothing was observed in {span}: there is no figure and no verdict on it.", error=True, style="yellow")


def _profile(name: str) -> str:
    from scheduler.availability.measuring.profiles import PROFILES

    if name not in PROFILES:
        hint = meant(name, PROFILES, f"there are {', '.join(PROFILES)}, all")
        raise fail(f"no profile is called {name!r}; {hint}", Exit.WRONG)
    return name


def zone_known(name: str) -> None:
    """Refuse a time zone that there is not."""
    zones = zoneinfo.available_timezones() if name else set()
    if name and name not in zones:
        hint = meant(name, zones, "expected an IANA zone, e.g. Europe/Rome")
        raise fail(f"no time zone is called {name!r}; {hint}", Exit.WRONG)


def _plain(value: Any) -> Any:
    """Decimals become numbers; with at most six decimals their digits stay as they are."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value


def _csv(made: Report) -> None:
    """Print a line for each row; what it rests on stands in every line, so that no line can lose it."""
    from scheduler.availability.reports.report_shape import ReportRow

    keys = [key for key in ReportRow.model_fields if key not in {"lost", "verdicts"}]
    rests = {"algebras": " ".join(made.algebras), "zone": made.zone, "zone_data": made.zone_data, "now": made.now}
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*keys, *rests, "downtimes", "exclusions"])
    for row in made.rows:
        values = [f"{value:f}" if isinstance(value := getattr(row, key), Decimal) else value for key in keys]
        cells = [*values, *rests.values(), _downtimes(made, row.object), _exclusions(made, row.object)]
        writer.writerow([csv_cell(cell) for cell in cells])


def _downtimes(made: Report, name: str) -> str:
    mine = [one for one in made.downtimes if {name, EVERYTHING} & set(one.objects)]
    by = {one.id: ", ".join(dict.fromkeys(said["by"] for said in one.declarations if said.get("by"))) for one in mine}
    return "; ".join(f"{name} declared by {who}" if who else name for name, who in by.items())


def _exclusions(made: Report, name: str) -> str:
    mine = [one for one in made.exclusions if {name, EVERYTHING} & set(one.objects)]
    return "; ".join(f"{one.id} {f'accepted by {one.accepted_by}' if one.accepted_by else 'not accepted'}" for one in mine)


def _show(made: Report, profiles: tuple[str, ...], *, in_detail: bool) -> None:
    from scheduler.show import availability_view as view

    out = console()
    if in_detail:
        out.print(view.detail(made, profiles))
    else:
        for profile in profiles:
            out.print(view.table(made, profile))
    out.print(view.footing(made), soft_wrap=True)


@report.command(
    "explain",
    epilog=examples(
        "ambienti report explain --object ce1 --window past-week",
        "ambienti report explain --history farm.yaml --object ces --window past-week",
        "ambienti report explain --history farm.yaml --object ces --window month --profiles excuse,icinga --json",
    ),
)
def explain(
    *,
    history: HistoryOption = None,
    name: Annotated[str, typer.Option("--object", "-o", metavar="NAME", help="An object or a group.")],
    window: WindowOption = None,
    start: FromOption = "",
    end: ToOption = "",
    profiles: Annotated[str, typer.Option("--profiles", help="The two to compare.")] = "excuse,argo",
    zone: ZoneOption = "",
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show, second by second, where two profiles differ and why; the points add up to the difference of their figures."""
    from scheduler.availability.measuring.explaining import explain as explained
    from scheduler.availability.timelines.prepared import prepare
    from scheduler.show import availability_view as view

    source = live(site) if history is None else prepare(read(history))
    found = source.history
    known(found, [name])
    pair = [_profile(one.strip()) for one in profiles.split(",")]
    if len(pair) != 2:
        raise fail("--profiles takes two: --profiles excuse,argo", Exit.WRONG)
    asked = window_of(found, window, start, end, zone)
    if asked is None:
        raise fail("say which window: --window NAME, or --from and --to", Exit.WRONG)
    why = explained(source, name, asked, pair[0], pair[1])
    if as_json:
        print_json(_plain(view.explanation_data(why, zone or found.zone)))
    else:
        console().print(view.explanation(why, zone or found.zone))
