"""`exclusion add/accept/list`: bad time that does not count, once somebody else has accepted it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from scheduler.availability.history import Exclusion
from scheduler.commands import loaded
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, optional, print_json, say
from scheduler.commands.journaled import (
    AsTokenOption,
    ByOption,
    asker,
    check_names,
    end_of,
    instant,
    looked_into,
    now,
    opened,
    ordered,
)
from scheduler.model.instants import shown_instant, write_instant
from scheduler.show.terminal import Table

exclusions = typer.Typer(no_args_is_help=True, help="Exclusions: bad time that does not count, once somebody accepted it.")


@exclusions.command(
    "add",
    epilog=examples(
        "ambienti exclusion add pool --start '2026-03-10 08:00' --duration 2h --cause building --why 'power cut of the campus'"
    ),
)
def add(
    objects: Annotated[list[str], typer.Argument(metavar="OBJECT...", help="Objects and groups; `*` is all of them.")],
    *,
    start: Annotated[str, typer.Option("--start", metavar="INSTANT", help="ISO 8601, or local time of the site.")],
    cause: Annotated[str, typer.Option("--cause", help="building, network, power, downtime...")],
    why: Annotated[str, typer.Option("--why", help="The reason, for the report.")],
    end: Annotated[str, optional("--end", metavar="INSTANT", help="When it ends.")] = "",
    length: Annotated[str, optional("--duration", metavar="LENGTH", help="How long: 90m, 4h.")] = "",
    by: ByOption = "",
    token: AsTokenOption = None,
    site: SiteOption = None,
) -> None:
    """Propose an exclusion. It excuses nothing until somebody else accepts it, and then only bad seconds."""
    from scheduler.journal.agreements import add_exclusion
    from scheduler.site import services

    if bool(end) == bool(length):
        raise fail("give either --end or --duration", Exit.WRONG)
    if not (cause.strip() and why.strip()):
        raise fail("an exclusion has a cause and a reason: --cause and --why say something", Exit.WRONG)
    with opened(site) as (found, journal):
        objects = check_names(objects, loaded.answered(found, services.load).names)
        begins = instant(start, "--start", found.site.timezone)
        ends = end_of(begins, end, length, found.site.timezone)
        ordered(begins, ends)
        who = asker(by, token, journal)
        name = add_exclusion(journal, Exclusion("", tuple(objects), begins, ends, cause, who.name, why), now(), who.login)
    say(f"{name} is proposed for {', '.join(objects)}; it counts once somebody else says `ambienti exclusion accept {name}`.")


@exclusions.command("accept", epilog=examples("ambienti exclusion accept x2 --by 'the computing board'"))
def accept(
    name: Annotated[str, typer.Argument(metavar="ID", help="As `ambienti exclusion list` shows it.")],
    by: ByOption = "",
    force: Annotated[bool, typer.Option("--force", help="Accept one's own, by name and with a line in the log.")] = False,
    token: AsTokenOption = None,
    site: SiteOption = None,
) -> None:
    """Accept an exclusion. Who proposed it may not accept it, whatever he calls himself: logins and tokens are compared."""
    from scheduler.journal.agreements import accept_exclusion

    if force and not by:
        raise fail("--force goes with --by: who accepts his own exclusion is named in the report", Exit.WRONG)
    with opened(site) as (_, journal):
        who = asker(by, token, journal)
        one = accept_exclusion(journal, name, who, now(), force=force)
    say(f"{name} is accepted by {who}: bad seconds of {', '.join(one.objects)} in it no longer count.")


@exclusions.command("list", epilog=examples("ambienti exclusion list", "ambienti exclusion list --json"))
def show(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """List all exclusions with who proposed and who accepted them."""
    from scheduler.journal import agreements

    with looked_into(site) as (found, journal):
        listed = agreements.exclusions(journal)
    zone = found.site.timezone
    if as_json:
        times = ("start", "end", "accepted_at")
        rows = [asdict(one) for one in listed]
        print_json([{k: write_instant(v, zone) if k in times and v is not None else v for k, v in row.items()} for row in rows])
        return
    table = Table("id", "objects", "from", "until", "cause", "author", "accepted by", "reason", box=None, pad_edge=False)
    for one in listed:
        span = (shown_instant(one.start, zone), shown_instant(one.end, zone))
        style = "" if one.accepted_by else "yellow"
        table.add_row(
            *(one.id, ", ".join(one.objects), *span, one.cause, one.author, one.accepted_by or "nobody yet", one.reason),
            style=style,
        )
    console().print(table)
