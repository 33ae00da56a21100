"""`incident list`, `show`, `open`, `ack`, `resolve`, `report`: the incidents of the journal, and what people do about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from environments.names import can_be_read, nearest, nearest_file
from environments.problems import ConfigurationError, Problem
from scheduler.commands import journaled, loaded
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, plural, print_json, say
from scheduler.commands.oncall import COLOURS, FileOption, print_periods
from scheduler.journal import outbox
from scheduler.model.instants import Instant, micro, to_the_second, write_instant
from scheduler.oncall import response
from scheduler.oncall.incident import Incident, IncidentEvent, OncallDecision, What
from scheduler.oncall.rows import IncidentView, incident_view, period_view
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from environments.identity import Signature
    from scheduler.journal.journal import Journal
    from scheduler.journal.reading import JournalReader
    from scheduler.oncall.reading import OnCallFile
    from scheduler.oncall.standing import Structure
    from scheduler.publish.paging import PagingRules
    from scheduler.site.definitions import Definitions

incidents = typer.Typer(no_args_is_help=True, help="Incidents: what is bad, who was paged, who answered and how soon.")
NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", max=2**31 - 1, help="Number of the incident.")]


@contextmanager
def _paging_rules(site: Path | None, file: Path | None) -> Iterator[tuple[Journal, PagingRules, OnCallFile]]:
    from scheduler.oncall import reading as oncall
    from scheduler.publish import addresses

    with journaled.opened(site) as (definitions, journal):
        path, now = file or definitions.file.oncall, journaled.now()
        if not can_be_read(path):
            expected = "the on-call file: --file FILE, or `oncall` in the site file (docs: On call)"
            raise ConfigurationError([Problem(str(path), 0, 0, "", "there is no such file", expected, nearest_file(path))])
        found = oncall.load(path) if file else loaded.load_oncall(path, definitions.file.directory)
        yield journal, addresses.paging_rules(found, definitions.file.site.site, now + 1, _structure(definitions, now)), found


def _structure(definitions: Definitions, now: Instant) -> Structure | None:
    """Return the site's groups; files that are wrong keep nobody from answering an incident."""
    from scheduler.site import services

    try:
        return loaded.answered(definitions, lambda known: services.structure(known, now))
    except ConfigurationError as error:
        say(
            f"{error.problems[0]}\nGoing on without the groups: `ambienti check` tells what is wrong.",
            error=True,
            style="yellow",
        )
        return None


@incidents.command("list", epilog=examples("ambienti incident list", "ambienti incident list --all --json"))
def list_incidents(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the incidents that are not over, with their deadlines and who has them in hand."""
    views = [view for _, view in _views(site, standing=not everything)]
    if as_json:
        print_json([view.model_dump(mode="json") for view in views])
        return
    table = Table(
        "incident", "cause", "objects", "since", "state", "acknowledge by", "answered by", "pages", "", box=None, pad_edge=False
    )
    for view in views:
        call = view.calls[-1] if view.calls else None
        first: list[str | Text] = [
            str(view.number),
            Text(to_the_second(view.cause)),
            Text(", ".join(view.objects)),
            to_the_second(view.bad_since),
            view.state,
        ]
        rest = [to_the_second(call.deadline) if call else "-", (call.by if call else "") or "-", str(len(view.pages))]
        table.add_row(*first, *rest, Text(view.verdict, style=COLOURS[view.verdict]))
    console().print(table)
    say(f"{plural(len(views), 'incident')}{'' if everything else ' not over'}.")


@incidents.command("show", epilog=examples("ambienti incident show 12", "ambienti incident show 12 --json"))
def show(number: NumberArgument, site: SiteOption = None, as_json: JsonOption = False) -> None:
    """Show one incident: its calls and deadlines, every page and what became of its notices, and its whole story."""
    with journaled.looked_into(site) as (definitions, journal):
        found, zone = _known(journal, number), definitions.file.site.timezone
        letters = outbox.letters(journal, number)
        told = [event for event in journal.events(subject=f"incident-{number}") if event.note.kind == "incident"]
    view = incident_view(found, zone, journaled.now())
    notices = [
        {
            "key": one.key,
            "person": one.person,
            "address": one.address,
            "attempts": one.attempts,
            "outcome": one.outcome or "waiting",
            "ended": None if one.ended_at is None else write_instant(one.ended_at, zone),
            "error": one.error,
        }
        for one in letters
    ]
    story = [{"at": write_instant(micro(event.at), zone), "what": event.note.cause, **event.note.detail} for event in told]
    if as_json:
        print_json(view.model_dump(mode="json") | {"notices": notices, "story": story})
        return
    _show(view, notices, story)


def _show(view: IncidentView, notices: Sequence[Mapping[str, object]], story: Sequence[Mapping[str, object]]) -> None:
    head = f"incident {view.number}: {to_the_second(view.cause)} ({', '.join(view.objects)}): {view.state}, {view.verdict}"
    say(head, style=COLOURS[view.verdict])
    lines = Table("when", "", "what", box=None, pad_edge=False)
    for line in story:
        lines.add_row(to_the_second(str(line["at"])), str(line["what"]), Text(str(line.get("sentence", ""))))
    console().print(lines)
    if notices:
        table = Table("notice", "to", "address", "tries", "", "last answer", box=None, pad_edge=False)
        for one in notices:
            table.add_row(*(Text(str(one[key])) for key in ("key", "person", "address", "attempts", "outcome", "error")))
        console().print(table)


@incidents.command("open", epilog=examples('ambienti incident open ce1 --cause san --text "no route to the storage"'))
def open_one(
    name: Annotated[str, typer.Argument(metavar="OBJECT", help="What is bad.")],
    *,
    cause: Annotated[str, typer.Option("--cause", help="One cause is one incident. [default: the object]")] = "",
    text: Annotated[str, typer.Option("--text", help="What was seen.")] = "",
    unwatched: Annotated[bool, typer.Option("--unwatched", help="Though no object or group is called that.")] = False,
    by: journaled.ByOption = "",
    site: SiteOption = None,
    file: FileOption = None,
) -> None:
    """Say that something is bad: opens an incident, or joins the one of its cause, and pages whoever is on call."""
    from scheduler.publish import addresses
    from scheduler.publish.paging import deliver, happened

    if not name.strip():
        raise fail("say what is bad: the name of an object or group", Exit.WRONG)
    with _paging_rules(site, file) as (journal, paging_rules, found):
        watched = unwatched or _watched(name, site)
        who = _by(by, found)
        change = IncidentEvent(journaled.now(), What.BAD, name, cause, by=who.name, text=text, login=who.login)
        decisions = happened(journal, [change], paging_rules, change.at)
        _tell(decisions)
        for person in sorted({line.person for line in decisions if line.page and not paging_rules.addresses.get(line.person)}):
            say(f"{person} has no address in {found.path}: nobody is told.", style="red")
        if not watched:
            say(f"Nobody watches {name}: only `ambienti incident resolve` ends this.", style="yellow")
        taken = deliver(journal, addresses.opener(found), journaled.now)
        waiting = sum(not one.outcome for one in outbox.letters(journal))
        say(f"{plural(taken, 'notice')} sent{f', {waiting} to be tried again by the daemon' if waiting else ''}.")


def _watched(name: str, site: Path | None) -> bool:
    """Whether there is an object or group of that name; one that looks like a slip of the pen is refused."""
    from scheduler.site import services

    try:
        known = loaded.answered(loaded.load(site), services.load).names
    except ConfigurationError:
        return True  # what is wrong there was told; nobody is kept from calling for help
    if name not in known and (near := nearest(name, known)):
        raise fail(f"no object and no group is called {name!r}; did you mean {near}? (--unwatched if not)", Exit.PROBLEM)
    return name in known


def _by(given: str, found: OnCallFile) -> Signature:
    """Return who answers; it need be nobody of the on-call file, unless it looks like a slip of the pen."""
    people = found.settings.people
    if given and given not in people and (near := nearest(given, people)):
        raise fail(f"there is no person {given!r} in {found.path}; did you mean {near}?", Exit.PROBLEM)
    return journaled.asker(given)


@incidents.command("ack", epilog=examples("ambienti incident ack 12", "ambienti incident ack 12 --by anna"))
def ack(number: NumberArgument, by: journaled.ByOption = "", site: SiteOption = None, file: FileOption = None) -> None:
    """Acknowledge an incident: it is in hand, and nobody else is paged."""
    _answer(number, What.ACKNOWLEDGED, by, site, file)


@incidents.command("resolve", epilog=examples("ambienti incident resolve 12 --by anna"))
def resolve(number: NumberArgument, by: journaled.ByOption = "", site: SiteOption = None, file: FileOption = None) -> None:
    """Say that an incident is over; if the same cause comes back soon, it is reopened."""
    _answer(number, What.RESOLVED, by, site, file)


@incidents.command("report", epilog=examples("ambienti incident report", "ambienti incident report --cut month --json"))
def report(
    cut: Annotated[response.Cut, typer.Option("--cut", help="Lines per week, per month or one for all.")] = response.Cut.WEEK,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the response report: incidents, met and breached, self-healed apart, time to acknowledge, and who answered."""
    found, zone = [one for one, _ in _views(site, standing=False)], loaded.load(site).site.timezone
    views = [period_view(one, zone) for one in response.report(found, cut, zone, journaled.now())]
    if as_json:
        print_json([view.model_dump(mode="json") for view in views])
        return
    print_periods(views)


def _views(site: Path | None, *, standing: bool) -> list[tuple[Incident, IncidentView]]:
    from scheduler.journal.incidents import all_incidents

    with journaled.looked_into(site) as (definitions, journal):
        zone, now = definitions.file.site.timezone, journaled.now()
        return [(one, incident_view(one, zone, now)) for one in all_incidents(journal, standing=standing)]


def _known(journal: JournalReader, number: int) -> Incident:
    from scheduler.journal.incidents import incident

    found = incident(journal, number)
    if found is None:
        raise fail(f"there is no incident {number}; see `ambienti incident list --all`", Exit.PROBLEM)
    return found


def _answer(number: int, what: What, by: str, site: Path | None, file: Path | None) -> None:
    from scheduler.publish.paging import happened

    with _paging_rules(site, file) as (journal, paging_rules, found):
        _known(journal, number)
        who = _by(by, found)
        change = IncidentEvent(journaled.now(), what, incident=number, by=who.name, login=who.login)
        _tell(happened(journal, [change], paging_rules, change.at), of=number)


def _tell(decisions: tuple[OncallDecision, ...], of: int = 0) -> None:
    ours = [line for line in decisions if not of or line.incident == of]
    for line in ours:
        say(f"incident {line.incident}: {line.sentence}", style="yellow" if line.kind.value == "ignored" else "")
    if not ours or all(line.kind.value == "ignored" for line in ours):
        raise typer.Exit(int(Exit.PROBLEM))
