"""`downtime import`: downtimes that were declared in GOCDB, in OSG topology or in a calendar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from environments.reader import read_content
from scheduler.availability.files.imported import Imported, Naming
from scheduler.availability.files.taking_over import Asked, ImportStep, TakenOver, taken_over
from scheduler.commands import loaded
from scheduler.commands.common import (
    Exit,
    JsonOption,
    SiteOption,
    examples,
    fail,
    optional,
    plural,
    print_json,
    problem_data,
    say,
    show_problems,
)
from scheduler.commands.downtimes import downtimes, notice
from scheduler.commands.journaled import check_names, now, opened
from scheduler.journal.agreements import add_downtime, adopt, revise_downtime
from scheduler.journal.agreements import taken_over as known
from scheduler.model.instants import SECOND

if TYPE_CHECKING:
    from scheduler.journal.journal import Journal

__all__ = ["downtimes"]
MOST_OF_A_NAME = 400
"""Characters of a list's name that are kept, from its end."""
WORDS = ("declared", "goes on", "parted", "revised", "called off", "known already")
"""What can become of a downtime."""
YEAR = 366 * 86_400 * SECOND
"""Recurring events of a calendar are taken over so far ahead; import again for what comes after."""


@downtimes.command(
    "import",
    epilog=examples(
        "ambienti downtime import gocdb.xml --others",
        "ambienti downtime import EXAMPLE_downtime.yaml --alias EXAMPLE-CE1=ce",
        "ambienti downtime import maintenance.ics",
        "ambienti downtime import gocdb-2026-11-30.xml --others --list gocdb",
    ),
)
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="GOCDB's XML, OSG topology's YAML, or iCalendar.")],
    *,
    alias: Annotated[
        list[str] | None, optional("--alias", metavar="THEIRS=OURS", help="What is called otherwise here.")
    ] = None,
    others: Annotated[bool, typer.Option("--others", help="The file also speaks of what is not ours: skip it.")] = False,
    named: Annotated[str, optional("--list", metavar="NAME", help="What the list is called. [default: the file's path]")] = "",
    whole: Annotated[
        bool, typer.Option("--whole", help="The file is all there is of its kind: call off whatever is not in it.")
    ] = False,
    part: Annotated[bool, typer.Option("--part", help="The file is only a part of its list: nothing was deleted.")] = False,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over downtimes that were declared elsewhere. Importing again adds what is new and takes back what was taken back.

    Notice is counted from the instant at which the source says it was declared; a change that is found counts from now. What
    the source takes back - an object, its severity, a part of the span - is taken back here. What stood in the same file (or
    list) before and is not there any more is called off. An entry that cannot be understood is told, and stops no other.
    """
    from scheduler.availability.files import imports
    from scheduler.site import services

    if whole and part:
        raise fail("the file is either the whole list or a part of it: --whole or --part", Exit.WRONG)
    with opened(site) as (found, journal):
        names = frozenset(loaded.answered(found, services.load).names)
        aliases = _aliases(alias or ())
        check_names(aliases.values(), names)
        at = now()
        asked = Asked(at, (named or str(file.resolve()))[-MOST_OF_A_NAME:], whole=whole, part=part, ahead=YEAR)
        content = read_content(file, given=True)
        read = imports.read(content, str(file), Naming(names, aliases, others), at + YEAR, found.site.timezone)
        planned = taken_over(read, known(journal), asked)
        done = write(planned.steps, journal, asked)
    left = _left(planned)
    if as_json:
        problems = problem_data(read.problems)
        print_json({"downtimes": done, "skipped": list(read.skipped), "problems": problems, "left": left})
    else:
        _tell(done, read, left)
    if read.problems or planned.doubted:
        raise typer.Exit(int(Exit.PROBLEM))


def _tell(done: list[dict[str, Any]], read: Imported, left: list[str]) -> None:
    for one in done:
        verb = one["what"] if one["what"] == "goes on" else f"is {one['what']}"
        about = f" for {', '.join(one['objects'])}" if one["partly"] or one["what"] == "goes on" else ""
        say(f"{one['id']} ({one['source']}) {verb}{about}. {one['notice']}")
    for line in read.skipped:
        say(line, style="dim")
    for line in left:
        say(line, style="yellow")
    counts = {what: sum(one["what"] == what for one in done) for what in WORDS}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    wrong = f"; {plural(read.wrong_entries, 'entry', 'entries')} not understood" if read.problems else ""
    say(f"{plural(len(done), 'downtime')}{': ' + told if told else ''}; {len(read.skipped)} skipped{wrong}.")
    if read.problems:
        show_problems(read.problems)


def _left(planned: TakenOver) -> list[str]:
    """Say which downtimes in force the file does not speak of, and why they stay all the same."""
    lines: list[str] = []
    if planned.doubted:
        names = ", ".join(f"{one.downtime.id} ({one.source})" for one in planned.doubted)
        lines.append(
            f"not in the file any more, and not called off, because the file is empty or an entry of it has no number: {names} "
            "(--whole: it is so; or `ambienti downtime end`)"
        )
    if planned.elsewhere:
        names = ", ".join(f"{one.downtime.id} ({one.source})" for one in planned.elsewhere)
        lines.append(f"not in this file, taken over from another one, and still in force: {names} (--whole calls them off)")
    return lines


def _aliases(given: Iterable[str]) -> dict[str, Any]:
    pairs = [one.partition("=") for one in given]
    for theirs, sign, ours in pairs:
        if not (theirs and sign and ours):
            raise fail(f"--alias {theirs}{sign}{ours}: write THEIRS=OURS", Exit.WRONG)
    return {theirs: ours for theirs, _, ours in pairs}


def write(steps: Iterable[ImportStep], journal: Journal, asked: Asked) -> list[dict[str, Any]]:
    """Write the steps to the journal, and return what is told of each."""
    done: list[dict[str, Any]] = []
    stays: list[str] = []
    for one in steps:
        name, revision = one.id, one.revisions[-1]
        if one.what == "known already":
            stays.append(name)
        elif name:
            why = f"{one.what} at its source"
            revise_downtime(journal, name, revision, why, now=asked.now, source="" if asked.part else asked.list)
        else:
            name = add_downtime(
                journal,
                one.objects,
                revision,
                reason=one.reason,
                author=one.source,
                now=asked.now,
                earlier=one.revisions[:-1],
                source=asked.list,
            )
        told: dict[str, Any] = {"id": name, "source": one.source, "what": one.what, "objects": list(one.objects)}
        told["partly"] = one.partly
        done.append({**told, "notice": "It goes on as several." if one.what == "parted" else notice(one.revisions, "UTC")})
    if stays and not asked.part:
        adopt(journal, stays, asked.list)
    return done
