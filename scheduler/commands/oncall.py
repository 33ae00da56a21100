"""`oncall simulate`, `oncall who`: what the on-call rules make of a story, and who is on call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column
from rich.text import Text

from environments.names import can_be_read
from environments.problems import ConfigurationError, Problem
from scheduler.availability.timelines.windows import days_later
from scheduler.commands import common
from scheduler.commands.common import Exit, JsonOption, console, examples, fail, meant, optional, plural, print_json, say
from scheduler.commands.journaled import instant
from scheduler.commands.loaded import load_oncall
from scheduler.model.clock import WallClock
from scheduler.model.instants import to_the_second, write_instant
from scheduler.model.ports import Notice, SourceError
from scheduler.oncall.rotation import schedule as laid_out
from scheduler.oncall.rows import IncidentView, PeriodView, StoryView, story_view
from scheduler.show.terminal import Table
from scheduler.site.site_file import SiteFile, read_site

if TYPE_CHECKING:
    from scheduler.oncall.reading import OnCallFile

PLACES = (Path("oncall.yaml"), Path("/etc/ambienti/oncall.yaml"))
COLOURS = {"met": "green", "breached": "red", "pending": "yellow", "self-healed": "cyan", "none": "dim"}
oncall = typer.Typer(no_args_is_help=True, help="Who is on call, and what the on-call rules make of incidents.")
FileOption = Annotated[
    Path | None,
    optional(
        "--file",
        "-f",
        envvar="AMBIENTI_ONCALL",
        help="The on-call file. [default: that of the site file, ./oncall.yaml, /etc/ambienti/oncall.yaml]",
    ),
]


def _of_site() -> SiteFile | None:
    """Return the site file, if there is one that names an on-call file; a wrong one is another command's to tell."""
    given = os.environ.get("AMBIENTI_SITE")
    site = Path(given) if given else next((place for place in common.PLACES if place.is_file()), None)
    file = read_site(site, [])[0] if site else None
    return file if file is not None and can_be_read(file.oncall) else None


def find_file(given: Path | None) -> Path:
    """Return the on-call file that is meant: the one named, else that of the site file that other commands find."""
    of_site = None if given else _of_site()
    found = given or (of_site.oncall if of_site else next((place for place in PLACES if place.is_file()), None))
    if found is not None:
        return found
    message = f"there is no on-call file: neither {' nor '.join(map(str, PLACES))}"
    raise ConfigurationError([Problem("", 0, 0, "", message, "--file FILE, or its path in AMBIENTI_ONCALL (docs: On call)")])


def _read(given: Path | None) -> OnCallFile:
    """Read the on-call file that is meant; that of the site as its daemon keeps it, while it is wrong."""
    from scheduler.oncall import reading as settings

    of_site = None if given else _of_site()
    return load_oncall(of_site.oncall, of_site.directory) if of_site else settings.load(find_file(given))


@oncall.command(
    "simulate", epilog=examples("ambienti oncall simulate story.yaml", "ambienti oncall simulate story.json --json")
)
def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What happened, and the on-call rules (YAML or JSON).")],
    as_json: JsonOption = False,
) -> None:
    """Tell the whole story of a file of events: incidents, deadlines, who was paged when and why, met or breached.

    No daemon, no database, no clock. Schemas: ambienti schema oncall-simulation (the file), oncall-story (the answer).
    """
    from scheduler.oncall import simulation as oncall_simulation

    asked = oncall_simulation.load(file)
    view = story_view(asked.story(), asked.zone)
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        _show(view)


@oncall.command("who", epilog=examples("ambienti oncall who", "ambienti oncall who --at '2026-12-24 18:00' --json"))
def who(
    at: Annotated[str, optional("--at", metavar="INSTANT", help="[default: now]")] = "",
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who is on call at an instant: per level of the escalation and per rotation."""
    found = _read(file)
    zone, roster = found.settings.zone, found.rules.roster
    at_instant = instant(at or "now", "--at", zone)
    rows = [
        {"what": f"level {number}", "target": level.target, "person": duty.person, "because": duty.because}
        for number, level in enumerate(found.rules.levels, 1)
        for duty in [roster.on_call(level.target, at_instant)]
    ]
    for name in roster.rotations:
        duty = roster.on_call(name, at_instant)
        rows.append({"what": "rotation", "target": name, "person": duty.person, "because": duty.because})
    if as_json:
        print_json({"at": write_instant(at_instant, zone), "on_call": rows})
        return
    table = Table("", "rotation", "on call", "because", box=None, pad_edge=False, title=write_instant(at_instant, zone))
    for row in rows:
        full = found.settings.people[row["person"]].name
        table.add_row(
            row["what"], row["target"], Text(f"{row['person']} ({full})" if full else row["person"]), Text(row["because"])
        )
    console().print(table)


@oncall.command("schedule", epilog=examples("ambienti oncall schedule", "ambienti oncall schedule primary --days 90 --json"))
def schedule(
    rotation: Annotated[str, typer.Argument(metavar="ROTATION", show_default=False, help="[default: all of them]")] = "",
    *,
    at: Annotated[str, optional("--from", metavar="INSTANT", help="[default: now]")] = "",
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How many days of the calendar.")] = 28,
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is on call from when to when; hand-overs, swaps and overrides to the instant."""
    found = _read(file)
    roster, zone, start = found.rules.roster, found.settings.zone, instant(at or "now", "--from", found.settings.zone)
    if rotation and rotation not in roster.rotations:
        hint = meant(rotation, roster.rotations, "see the on-call file")
        raise fail(f"there is no rotation {rotation!r}; {hint}", Exit.PROBLEM)
    end = days_later(start, days, zone)
    if end <= start:
        raise fail(f"--from {at}: so late in the year 9999 the calendar has no days left to lay out", Exit.WRONG)
    rows = [
        {
            "rotation": name,
            "from": write_instant(turn.start, zone),
            "until": write_instant(turn.end, zone),
            "person": turn.person,
        }
        | {"because": turn.because}
        for name in ([rotation] if rotation else roster.rotations)
        for turn in laid_out(roster, name, start, end)
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("rotation", "from", "until", "on call", "because", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(row[key]) for key in ("rotation", "from", "until", "person", "because")))
    console().print(table)


@oncall.command("notify", epilog=examples("ambienti oncall notify anna"))
def notify(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Who is to be told.")], file: FileOption = None
) -> None:
    """Send a test notice to every address of a person, and say what became of each."""
    from scheduler.publish import addresses

    found = _read(file)
    if person not in found.settings.people:
        hint = meant(person, found.settings.people, f"there are {', '.join(found.settings.people)}")
        raise fail(f"there is no person {person!r}; {hint}", Exit.PROBLEM)
    places, failures = addresses.places(found)[person], 0
    key = f"test-{WallClock().now():.6f}.{person}@ambienti"
    for index, place in enumerate(places):
        notice = Notice(
            f"{index}.{key}", "[ambienti] test", f"A test: notices reach {person} by {place}. Nothing is to be done."
        )
        try:
            addresses.opener(found)(person, place).send(notice)
        except (SourceError, ValueError) as error:
            failures += 1
            say(f"{place}: {error}", style="red")
        else:
            say(f"{place}: taken", style="green")
    if failures or not places:
        say(f"{failures} of {len(places)} failed." if places else f"{person} has no address.")
        raise typer.Exit(int(Exit.PROBLEM))


# --- for people -------------------------------------------------------------------------------------------------------


def _show(view: StoryView) -> None:
    """Print the story line by line, then a table of incidents, then the response report."""
    story = Table("when", "incident", "", "what", box=None, pad_edge=False)
    for line in view.decisions:
        style = {"paged": "bold", "ignored": "dim", "exhausted": "red"}.get(line.kind, "")
        story.add_row(line.at, str(line.incident or ""), line.kind, Text(line.sentence), style=style)
    console().print(story)
    say("")
    instants = (Column(name, overflow="fold") for name in ("opened", "deadline", "answered"))
    table = Table("incident", "cause", "class", *instants, "by", "pages", "state", "", box=None, pad_edge=False)
    for incident in view.incidents:
        for row in _rows(incident):
            table.add_row(*row)
    console().print(table)
    say("")
    print_periods(view.response)
    counts = {verdict: sum(one.verdict == verdict for one in view.incidents) for verdict in COLOURS}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count and verdict != "none")
    say(f"{plural(len(view.incidents), 'incident')}{': ' + told if told else ''} as of {view.now}.")


def _rows(incident: IncidentView) -> list[list[str | Text]]:
    end = incident.state
    first: list[str | Text] = [str(incident.number), Text(to_the_second(incident.cause)), incident.response_class or "-"]
    if not incident.calls:
        return [[*first, _in_two(incident.bad_since), "-", "-", "-", "0", end, ""]]
    rows: list[list[str | Text]] = []
    for index, call in enumerate(incident.calls):
        last = index == len(incident.calls) - 1
        pages = str(len(incident.pages)) if last else ""
        head = first if not index else ["", "  again", ""]
        verdict = Text(call.verdict, style=COLOURS[call.verdict])
        answered = call.ended if call.how != "self-healed" else None
        rows.append(
            [
                *head,
                *map(_in_two, (call.at, call.deadline, answered or "-")),
                call.by or "-",
                pages,
                end if last else call.how or "",
                verdict,
            ]
        )
    return rows


def _in_two(instant: str) -> str:
    """Return an instant that a narrow column breaks between date and time, and cuts nothing off."""
    return instant.replace("T", " ")


def print_periods(periods: Iterable[PeriodView]) -> None:
    """Print the response report."""
    table = Table(
        "period", "incidents", "met", "breached", "self-healed", "pending", "median", "longest", "answered by", box=None
    )
    for period in periods:
        table.add_row(*_period_row(period))
    console().print(table)


def _period_row(period: PeriodView) -> list[str | Text]:
    counts: list[str | Text] = [str(n) for n in (period.incidents, period.met)]
    counts += [Text(str(period.breached), style="red" if period.breached else ""), str(period.self_healed), str(period.pending)]
    people = ", ".join(f"{person} {count}" for person, count in period.by_person.items())
    return [period.name, *counts, minutes(period.median_seconds), minutes(period.longest_seconds), people]


def minutes(seconds: float | None) -> str:
    """Write a time in minutes and seconds."""
    if seconds is None:
        return "-"
    whole, rest = divmod(round(seconds, 1), 60)
    shown = f"{rest:.1f}".removesuffix(".0")
    return f"{int(whole)} min {shown} s" if whole else f"{shown} s"
