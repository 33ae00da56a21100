"""`downtime import`: downtimes that were declared in GOCDB, in OSG topology or in a calendar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from scheduler.commands.common import Exit, JsonOption, SiteOption, examples, fail, plural, print_json, say
from scheduler.commands.downtimes import downtimes, notice
from scheduler.commands.journaled import now, opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scheduler.availability.files.imports import Imported
    from scheduler.availability.history import Downtime
    from scheduler.journal.journal import Journal

__all__ = ["downtimes"]
YEAR = 366 * 86_400 * 1_000_000
"""Recurring events of a calendar are taken over so far ahead; import again for what comes after."""


@downtimes.command(
    "import",
    epilog=examples(
        "ambienti downtime import gocdb.xml --others",
        "ambienti downtime import EXAMPLE_downtime.yaml --alias EXAMPLE-CE1=ce",
        "ambienti downtime import maintenance.ics",
    ),
)
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="GOCDB's XML, OSG topology's YAML, or iCalendar.")],
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="THEIRS=OURS", show_default=False, help="What is called otherwise here."),
    ] = None,
    others: Annotated[bool, typer.Option("--others", help="The file also speaks of what is not ours: skip it.")] = False,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over downtimes that were declared elsewhere. Importing again adds what is new and revises what was changed.

    Notice is counted from the instant at which the source says it was declared; a change that is found counts from now. What a
    calendar says no more of an event, because it was cancelled or moved, is called off.
    """
    from environments.reader import read_content
    from scheduler.availability.files import imports
    from scheduler.site import services

    with opened(site) as (found, journal):
        naming = imports.Naming(frozenset(services.load(found).names), _aliases(alias or ()), others)
        read = imports.read(read_content(file), str(file), naming, now() + YEAR, found.site.timezone)
        done = _taken_over(read, journal)
    if as_json:
        print_json({"downtimes": done, "skipped": list(read.skipped)})
        return
    for one in done:
        say(f"{one['id']} ({one['source']}) is {one['what']}. {one['notice']}")
    for line in read.skipped:
        say(line, style="dim")
    counts = {what: sum(one["what"] == what for one in done) for what in ("declared", "revised", "called off", "known already")}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    say(f"{plural(len(done), 'downtime')}{': ' + told if told else ''}; {len(read.skipped)} skipped.")


def _aliases(given: Iterable[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for theirs, sign, ours in pairs:
        if not (theirs and sign and ours):
            raise fail(f"--alias {theirs}{sign}{ours}: write THEIRS=OURS", Exit.WRONG)
    return {theirs: ours for theirs, _, ours in pairs}


def _taken_over(read: Imported, journal: Journal) -> list[dict[str, str]]:
    """Write what was read to the journal; a downtime is known by its number at the source, which signs its revisions."""
    from scheduler.availability.history import Revision
    from scheduler.journal.agreements import add_downtime, revise_downtime
    from scheduler.journal.agreements import downtimes as agreed

    known = {one.revisions[0].by: one for one in agreed(journal) if one.revisions}
    done: list[dict[str, str]] = []

    def add(objects: tuple[str, ...], revision: Revision, reason: str) -> None:
        name = add_downtime(journal, objects, revision, reason=reason, author=revision.by, now=now())
        done.append(_told(name, revision.by, "declared", (revision,)))

    def revise(before: Downtime, revision: Revision, why: str) -> None:
        revise_downtime(journal, before.id, revision, f"{why} at its source")
        done.append(_told(before.id, revision.by, why, (*before.revisions, revision)))

    for one in read.downtimes:
        parts = _parts(one, known, read)
        for source, before in parts.items():
            if _span(before) != _span(one):
                revise(before, replace(one.revisions[-1], by=source, declared_at=now()), "revised")
            else:
                done.append(_told(before.id, source, "known already", before.revisions))
        new = tuple(name for name in one.objects if all(name not in before.objects for before in parts.values()))
        if new and not parts:
            add(new, replace(one.revisions[-1], by=one.id), one.reason)
        elif new:  # nobody was told before now that they would be down too
            add(new, replace(one.revisions[-1], by=f"{one.id} {'/'.join(new)}", declared_at=now()), one.reason)
    for source, before in known.items():
        at, (start, end) = now(), _span(before)
        if start < end and end > at and read.lacks(source):
            revise(before, Revision(at, start, max(start, at), source), "called off")
    return done


def _parts(one: Downtime, known: dict[str, Downtime], read: Imported) -> dict[str, Downtime]:
    """Return what the journal has of a downtime, by source: itself, and objects that were added to it later."""
    others = {each.id for each in read.downtimes} - {one.id}
    return {
        source: before
        for source, before in known.items()
        if source not in others
        and (source == one.id or (source.startswith(f"{one.id} ") and set(before.objects) <= set(one.objects)))
    }


def _span(one: Downtime) -> tuple[int, int]:
    return one.revisions[-1].start, one.revisions[-1].end


def _told(name: str, source: str, what: str, revisions: object) -> dict[str, str]:
    return {"id": name, "source": source, "what": what, "notice": notice(revisions, "UTC")}
