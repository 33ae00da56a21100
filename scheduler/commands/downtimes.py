"""`downtime add/extend/end/list`: agreed downtimes of objects and groups, with the notice they were given."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.availability.history import Downtime, Recurrence, Revision
from scheduler.commands import loaded
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, optional, print_json, say
from scheduler.commands.journaled import ByOption, asker, check_names, end_of, instant, looked_into, now, opened, ordered
from scheduler.journal import agreements
from scheduler.journal.agreements import add_downtime, revise_downtime, stop_recurring
from scheduler.model.instants import Instant, as_time, shown_instant, write_duration, write_instant
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.journal.journal import Journal
    from scheduler.site.definitions import Definitions

downtimes = typer.Typer(no_args_is_help=True, help="Agreed downtimes: declare one, extend or end it, list them.")
ObjectsArgument = Annotated[list[str], typer.Argument(metavar="OBJECT...", help="Objects and groups; `*` is all of them.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `ambienti downtime list` shows it.")]
EndOption = Annotated[str, optional("--end", metavar="INSTANT", help="When it ends.")]
DurationOption = Annotated[str, optional("--duration", metavar="LENGTH", help="How long: 90m, 4h, 2d.")]


@downtimes.command(
    "add",
    epilog=examples(
        "ambienti downtime add xen07 --start '2026-03-10 08:00' --duration 4h --why 'new memory'",
        "ambienti downtime add pool --start +25h --end +27h --why upgrade",
        "ambienti downtime add tape --start '2026-03-03 09:00' --duration 2h --every 'FREQ=WEEKLY;BYDAY=TU' --why cleaning",
    ),
)
def add(
    objects: ObjectsArgument,
    *,
    why: Annotated[str, typer.Option("--why", help="The reason, for the report.")],
    start: Annotated[str, typer.Option("--start", metavar="INSTANT", help="ISO 8601, local time of the site, or +2h.")] = "now",
    end: EndOption = "",
    length: DurationOption = "",
    every: Annotated[str, optional("--every", metavar="RRULE", help="It comes back (RFC 5545).")] = "",
    by: ByOption = "",
    site: SiteOption = None,
) -> None:
    """Declare a downtime. Only what is declared 24 hours before it begins is scheduled; the answer says what is."""
    from scheduler.site import services

    if bool(end) == bool(length):
        raise fail("give either --end or --duration", Exit.WRONG)
    with opened(site) as (found, journal):
        zone, author = found.site.timezone, str(asker(by))
        objects = check_names(objects, loaded.answered(found, services.load).names)
        begins, declared = instant(start, "--start", zone), now()
        ends = end_of(begins, end, length, zone)
        ordered(begins, ends)
        agreed: Revision | Recurrence = Revision(declared, begins, ends, author)
        if every:
            local = as_time(begins, zone).replace(tzinfo=None, microsecond=0).isoformat()
            agreed = Recurrence(_rule(every, local), zone, local, ends - begins)
        name = add_downtime(journal, objects, agreed, reason=why, author=author, now=declared)
    span = " until ".join(shown_instant(at, zone) for at in (begins, ends))
    told = notice([agreed], zone) if isinstance(agreed, Revision) else f"It comes back: {every}."
    say(f"{name} is declared for {', '.join(objects)} from {span} ({write_duration(ends - begins)}). {told}")


@downtimes.command("extend", epilog=examples("ambienti downtime extend d3 --end '2026-03-10 18:00'"))
def extend(name: IdArgument, end: EndOption, by: ByOption = "", site: SiteOption = None) -> None:
    """Move the end of a downtime: what is added with less than 24 hours of notice is unscheduled."""
    with opened(site) as (found, journal):
        one = _known(name, journal)
        if not one.revisions:
            raise fail(f"{name} recurs: it has no single end (`ambienti downtime end {name}` stops it)", Exit.PROBLEM)
        until = instant(end, "--end", found.site.timezone)
        _revise(one, until, "extended" if until > one.revisions[-1].end else "shortened", str(asker(by)), (found, journal))


@downtimes.command("end", epilog=examples("ambienti downtime end d3"))
def finish(name: IdArgument, by: ByOption = "", site: SiteOption = None) -> None:
    """End a downtime now, a recurring one with all that is to come. What is cut off gives no credit."""
    with opened(site) as (found, journal):
        one = _known(name, journal)
        if one.revisions:
            if one.revisions[-1].end <= now():
                raise fail(f"{name} has ended already", Exit.PROBLEM)
            _revise(one, max(now(), one.revisions[-1].start), "ended", str(asker(by)), (found, journal))
        else:
            stop_recurring(journal, name, now(), str(asker(by)))
            say(f"{name} is called off: nothing of it holds any more.")


@downtimes.command("list", epilog=examples("ambienti downtime list", "ambienti downtime list --json"))
def show(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """List all downtimes: how much of each is scheduled, and who declared it."""
    with looked_into(site) as (found, journal):
        listed = agreements.downtimes(journal)
    zone = found.site.timezone
    if as_json:
        print_json([_data(one, zone) for one in listed])
        return
    table = Table("id", "objects", "from", "until", "notice", "by", "reason", box=None, pad_edge=False)
    for one in listed:
        if one.revisions:
            last = one.revisions[-1]
            when = (shown_instant(last.start, zone), shown_instant(last.end, zone), notice(one.revisions, zone), last.by)
        else:
            when = (one.recurrence.start if one.recurrence else "", _recurs(one, zone), "", one.by)
        table.add_row(one.id, ", ".join(one.objects), *when, one.reason)
    console().print(table)


def notice(revisions: Any, zone: str) -> str:
    """Say which part of a downtime is scheduled, and how much of it is not."""
    last, parts = revisions[-1], _scheduled(revisions)
    whole = last.end - last.start
    if not whole:
        return "It was taken back before it began."
    credited = sum(end - start for start, end in parts)
    if not credited:
        return "Unscheduled: it had no 24 h of notice."
    if credited == whole:
        return "Scheduled as a whole."
    (start, end), rest = parts[0], write_duration(whole - credited)
    if len(parts) == 1 and end == last.end:
        return f"Scheduled from {shown_instant(start, zone)}; the first {rest} are unscheduled."
    if len(parts) == 1 and start == last.start:
        return f"Scheduled until {shown_instant(end, zone)}; the last {rest} are unscheduled."
    return f"Scheduled for {write_duration(credited)} of {write_duration(whole)}."


def _scheduled(revisions: Any) -> list[tuple[int, int]]:
    from scheduler.availability.timelines.downtimes import agreed

    return agreed(Downtime("", (), tuple(revisions)), now()).scheduled


def _revise(one: Downtime, end: Instant, why: str, by: str, where: tuple[Definitions, Journal]) -> None:
    found, journal = where
    start = one.revisions[-1].start
    if end < start:
        ordered(start, end)
    revision = Revision(now(), start, end, by)
    revise_downtime(journal, one.id, revision, why)
    span = "" if end == start else f", now until {shown_instant(end, found.site.timezone)}"
    say(f"{one.id} is {why}{span}. {notice([*one.revisions, revision], found.site.timezone)}")


def _known(name: str, journal: Journal) -> Downtime:
    listed = {one.id: one for one in agreements.downtimes(journal)}
    if name not in listed:
        raise fail(f"there is no downtime {name}; there are {', '.join(listed) or 'none'}", Exit.PROBLEM)
    return listed[name]


def _rule(every: str, start: str) -> str:
    from scheduler.availability.timelines.downtimes import rule_problem

    if problem := rule_problem(every, start):
        raise fail(f"--every {every!r} {problem}", Exit.WRONG)
    return every


def _recurs(one: Downtime, zone: str) -> str:
    if one.recurrence is None or one.recurrence.ended is None:
        return one.recurrence.rule if one.recurrence else ""
    return f"{one.recurrence.rule}, called off {shown_instant(one.recurrence.ended, zone)}"


def _data(one: Downtime, zone: str) -> dict[str, Any]:
    def at(instant: Instant) -> str:
        return write_instant(instant, zone)

    parts = _scheduled(one.revisions) if one.revisions else []
    spans = [{"start": at(start), "end": at(end)} for start, end in parts]
    revisions = [{"declared": at(r.declared_at), "start": at(r.start), "end": at(r.end), "by": r.by} for r in one.revisions]
    recurrence = asdict(one.recurrence) if one.recurrence else None
    told = {"id": one.id, "objects": list(one.objects), "reason": one.reason, "by": one.by, "revisions": revisions}
    return {**told, "scheduled": spans, "recurring": recurrence}
