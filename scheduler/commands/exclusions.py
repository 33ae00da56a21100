"""`exclusion add/accept/list`, `correction list/accept/refuse`: what changes figures once somebody else has accepted it.

An exclusion is bad time that does not count; a correction is a report on a time that had been told of already.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from scheduler.availability.history import Exclusion
from scheduler.commands import loaded
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, optional, plural, print_json, say
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
from scheduler.journal import agreements
from scheduler.journal.agreements import accept_exclusion, add_exclusion
from scheduler.journal.corrections import corrections as all_corrections
from scheduler.journal.corrections import decide
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
    if force and not by:
        raise fail("--force goes with --by: who accepts his own exclusion is named in the report", Exit.WRONG)
    with opened(site) as (_, journal):
        who = asker(by, token, journal)
        one = accept_exclusion(journal, name, who, now(), force=force)
    say(f"{name} is accepted by {who}: bad seconds of {', '.join(one.objects)} in it no longer count.")


@exclusions.command("list", epilog=examples("ambienti exclusion list", "ambienti exclusion list --json"))
def show(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """List all exclusions with who proposed and who accepted them."""
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


# --- corrections ------------------------------------------------------------------------------------------------------

corrections = typer.Typer(
    no_args_is_help=True, help="Corrections of the past: they change nothing until somebody else accepts them."
)
CorrectionArgument = Annotated[str, typer.Argument(metavar="ID", help="As `ambienti correction list` shows it.")]


@corrections.command(
    "accept", epilog=examples("ambienti correction accept c3", "ambienti correction accept c3 --token-file anna.token")
)
def accept_correction(
    name: CorrectionArgument,
    by: ByOption = "",
    force: Annotated[bool, typer.Option("--force", help="Accept one's own, by name and with a line in the log.")] = False,
    token: AsTokenOption = None,
    site: SiteOption = None,
) -> None:
    """Accept a correction: figures of its time change, and those that are published get a new version that names it.

    Who reported it, or made the token for that, may not accept it.
    """
    if force and not by:
        raise fail("--force goes with --by: who accepts his own correction is named in the report", Exit.WRONG)
    _decide(name, by, token, site, accept=True, force=force)


@corrections.command("refuse", epilog=examples("ambienti correction refuse c3"))
def refuse_correction(
    name: CorrectionArgument, by: ByOption = "", token: AsTokenOption = None, site: SiteOption = None
) -> None:
    """Refuse a correction: it changes nothing, and stands in the event log."""
    _decide(name, by, token, site, accept=False, force=False)


def _decide(name: str, by: str, token: AsTokenOption, site: SiteOption, *, accept: bool, force: bool) -> None:
    with opened(site) as (_, journal):
        who = asker(by, token, journal)
        one = decide(journal, name, who, now(), accept=accept, force=force)
    then = "it counts from the daemon's next cycle on" if accept else "it changes nothing"
    say(f"{name} ({one.object} {one.status.name}) is {'accepted' if accept else 'refused'} by {who}: {then}.")


@corrections.command("list", epilog=examples("ambienti correction list", "ambienti correction list --all --json"))
def list_corrections(
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided upon too.")] = False,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the corrections that wait for somebody to accept or refuse them."""
    with looked_into(site) as (found, journal):
        listed = [(one, decided) for one, decided in all_corrections(journal) if everything or not decided]
    zone = found.site.timezone
    rows = [
        {
            "id": one.id,
            "object": one.object,
            "status": one.status.name,
            "at": write_instant(one.at, zone),
            "received": write_instant(one.received, zone),
            "by": one.by,
            "text": one.text,
            "decided": decided,
            "accepted_by": one.accepted_by,
        }
        for one, decided in listed
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("id", "object", "is to have been", "at", "reported", "by", "state", "what was said", box=None, pad_edge=False)
    for row in rows:
        by = f" by {row['accepted_by']}" if row["accepted_by"] else ""
        state = f"{row['decided'] or 'waits'}{by}"
        shown = (row["id"], row["object"], row["status"], row["at"], row["received"], row["by"], state, row["text"])
        table.add_row(*(str(one) for one in shown), style="dim" if row["decided"] else "")
    console().print(table)
    say(f"{plural(len(rows), 'correction')}{'' if everything else ' to decide upon'}.")
