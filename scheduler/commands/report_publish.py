"""`report publish`, `report versions`: figures that were handed out change only aloud."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from environments.names import can_be_read
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, optional, plural, print_json, say
from scheduler.commands.journaled import ByOption, asker, now, opened
from scheduler.commands.report import FromOption, HistoryOption, ToOption, WindowOption, ZoneOption, read, window_of
from scheduler.commands.report_bundle import report
from scheduler.model.instants import in_seconds, seconds, shown_instant, write_instant
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.availability.history import History, Window
    from scheduler.availability.reports.publication import ChangedFigure, Version
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.journal.journal import Journal
    from scheduler.site.definitions import Definitions

__all__ = ["report"]
SHOWN = 12
"""How many changed numbers are printed; JSON has them all."""
FileOption = Annotated[
    Path | None,
    optional(
        "--versions",
        metavar="FILE",
        help="Where versions of a history file are kept (JSON). Those of the site are in its journal.",
    ),
]


@report.command(
    "publish",
    epilog=examples(
        "ambienti report publish --window past-week",
        "ambienti report publish --from 2026-03-02 --to 2026-03-09",
        "ambienti report publish --history farm.yaml --window past-week --versions published.json",
    ),
)
def publish(
    *,
    history: HistoryOption = None,
    window: WindowOption = None,
    start: FromOption = "",
    end: ToOption = "",
    zone: ZoneOption = "",
    versions: FileOption = None,
    by: ByOption = "",
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the figures of a period that is over, or a new version of them with a note that names what was late.

    Nothing is written when nothing is new. The daemon does it by itself for the `reports` of the site file, and whenever an
    event changes a figure that is published.
    """
    window = window or (None if start or end else "past-week")
    if history is None:
        if versions is not None:
            raise fail("--versions belongs to --history: versions of the site are kept in its journal", Exit.WRONG)
        with opened(site) as (found, journal):
            before, made, period = _live(found, journal, (window, start, end, zone), str(asker(by)))
    else:
        if versions is None:
            raise fail("say where versions are kept: --versions FILE", Exit.WRONG)
        before, made, period = _from_file(read(history), versions, (window, start, end, zone))
    _tell(before, made, period, as_json=as_json)


@report.command("versions", epilog=examples("ambienti report versions", "ambienti report versions --json"))
def listed(*, file: FileOption = None, site: SiteOption = None, as_json: JsonOption = False) -> None:
    """List what was published: periods, versions, and why there is more than one. JSON has every number that changed."""
    from scheduler.journal import publications as kept
    from scheduler.site import publications

    if file is not None:
        if not can_be_read(file):
            raise fail(f"there is no file {file}", Exit.WRONG)
        found, zone = publications.read_file(file), "UTC"
    else:
        with opened(site) as (definitions, journal):
            _take_over(definitions, journal)
            found, zone = kept.versions(journal), definitions.site.timezone
    found.sort(key=lambda one: (one.period.end, one.period.start, one.number))
    if as_json:
        print_json([_plain(one, _before(found, one), zone) for one in found])
        return
    if not found:
        say("nothing is published yet (ambienti report publish)")
        return
    table = Table("period", "from", "to", "version", "published", "note", box=None, pad_edge=False)
    for one in found:
        instants = (write_instant(instant, zone) for instant in (one.period.start, one.period.end))
        table.add_row(one.period.name or "-", *instants, str(one.number), shown_instant(one.published_at, zone), one.note)
    console().print(table)


Asked = tuple[str | None, str, str, str]
"""Name of a window, its begin and its end as they were given, and the zone."""


def _live(definitions: Definitions, journal: Journal, asked: Asked, by: str) -> tuple[Version | None, Version | None, Window]:
    from scheduler.site import publications, services

    _take_over(definitions, journal)
    prepared = services.live_prepared(definitions, journal, in_seconds(now()))
    period = _over(prepared.history, asked)
    _observed(prepared, period)
    found = publications.look(journal, prepared, period, prepared.history.now)
    publications.publish(journal, found, now(), by=by)
    return found.before, found.version, period


def _take_over(definitions: Definitions, journal: Journal) -> None:
    from scheduler.site import publications

    try:
        told = list(publications.take_over(definitions, journal, now()))
    except OSError as error:
        raise fail(f"published.json cannot be taken over into the journal: {error.strerror}", Exit.WRONG) from error
    for line in told:
        say(line, error=True, style="yellow")


def _from_file(history: History, file: Path, asked: Asked) -> tuple[Version | None, Version | None, Window]:
    from scheduler.availability.reports import publication
    from scheduler.availability.timelines.prepared import prepare
    from scheduler.commands.report_page import save
    from scheduler.site.publications import read_file

    known, period = read_file(file), _over(history, asked)
    before, prepared = _last(known, period), prepare(history)
    _observed(prepared, period)
    made = publication.publish(period, publication.measured(prepared, period), history, history.now, before)
    if made is not None:
        data = [publication.version_data(one) for one in [*known, made]]
        content = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise fail(f"cannot write {file}: {error.strerror}", Exit.WRONG) from error
        save(file, content.encode(), quietly=True)
    return before, made, period


def _over(history: History, asked: Asked) -> Window:
    """Return the period that is asked for; it has to be over."""
    period = window_of(history, *asked)
    if period is None:
        raise fail("say which period: --window NAME, or --from and --to", Exit.WRONG)
    if period.end >= history.now:
        raise fail(f"{period.name or 'the period'} is still going on: publish past-week, past-month...", Exit.PROBLEM)
    return period


def _observed(prepared: Prepared, period: Window) -> None:
    """Refuse to hand out figures of a period in which nobody looked."""
    from scheduler.availability.measuring.accounting import measure
    from scheduler.availability.reports.publication import observed

    if not observed(measure(prepared, period, "excuse").values()):
        start, end = (write_instant(one, prepared.history.zone) for one in (period.start, period.end))
        named = f"{period.name}, " if period.name else ""
        why = f"nothing was observed from {start} to {end} ({named}no figure is defined)"
        raise fail(f"{why}: nothing is published", Exit.PROBLEM)


def _last(known: Sequence[Version], period: Window) -> Version | None:
    same = [one for one in known if (one.period.start, one.period.end) == (period.start, period.end)]
    return max(same, key=lambda one: one.number, default=None)


def _before(known: Sequence[Version], version: Version) -> Version | None:
    return _last([one for one in known if one.number < version.number], version.period)


def _plain(one: Version, before: Version | None, zone: str) -> dict[str, Any]:
    from scheduler.availability.reports.publication import changes

    start, end, at = (write_instant(instant, zone) for instant in (one.period.start, one.period.end, one.published_at))
    moved = [] if before is None else [_change(change) for change in changes(before.figures, one.figures)]
    told = {"window": one.period.name, "start": start, "end": end, "version": one.number, "published": at, "note": one.note}
    return told | {"events": one.events, "fingerprint": one.fingerprint, "changes": moved}


def _tell(before: Version | None, made: Version | None, period: Window, *, as_json: bool) -> None:
    from scheduler.availability.reports.publication import changes

    moved = list(changes(before.figures, made.figures)) if before and made else []
    current = made or before
    if as_json:
        told = {"period": [write_instant(period.start), write_instant(period.end)], "published": made is not None}
        told |= {"version": current.number if current else 0, "note": made.note if made else ""}
        print_json(told | {"changes": [_change(one) for one in moved]})
        return
    name = period.name or f"{write_instant(period.start)} to {write_instant(period.end)}"
    if made is None:
        say(f"{name} stands as published: version {current.number if current else 0}, nothing is new.")
        return
    say(f"{name} is published, version {made.number}: {made.note}.")
    for one in moved[:SHOWN]:
        said = _change(one)
        say(f"  {one.object} ({one.profile}) {one.what}: {said['before']} -> {said['after']}")
    if len(moved) > SHOWN:
        say(f"  ... and {plural(len(moved) - SHOWN, 'number')} more (--json has all)")


def _change(one: ChangedFigure) -> dict[str, str | None]:
    """Return a change in words: lengths in seconds, figures exact."""

    def said(value: int | Fraction | None) -> str | None:
        return None if value is None else str(value) if isinstance(value, Fraction) else f"{seconds(value)} s"

    keys = {"object": one.object, "profile": one.profile, "what": one.what}
    return {**keys, "before": said(one.before), "after": said(one.after)}
