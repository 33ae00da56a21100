"""`correction list/accept/refuse`: reports on a time that had been told of already wait until somebody else accepts them."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, plural, print_json, say
from scheduler.commands.journaled import AsTokenOption, ByOption, asker, looked_into, now, opened
from scheduler.journal.corrections import corrections as all_corrections
from scheduler.journal.corrections import decide
from scheduler.model.instants import write_instant
from scheduler.show.terminal import Table

corrections = typer.Typer(
    no_args_is_help=True, help="Corrections of the past: they change nothing until somebody else accepts them."
)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `ambienti correction list` shows it.")]


@corrections.command(
    "accept", epilog=examples("ambienti correction accept c3", "ambienti correction accept c3 --token-file anna.token")
)
def accept(
    name: IdArgument,
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
def refuse(name: IdArgument, by: ByOption = "", token: AsTokenOption = None, site: SiteOption = None) -> None:
    """Refuse a correction: it changes nothing, and stands in the event log."""
    _decide(name, by, token, site, accept=False, force=False)


def _decide(name: str, by: str, token: AsTokenOption, site: SiteOption, *, accept: bool, force: bool) -> None:
    with opened(site) as (_, journal):
        who = asker(by, token, journal)
        one = decide(journal, name, who, now(), accept=accept, force=force)
    then = "it counts from the daemon's next cycle on" if accept else "it changes nothing"
    say(f"{name} ({one.object} {one.status.name}) is {'accepted' if accept else 'refused'} by {who}: {then}.")


@corrections.command("list", epilog=examples("ambienti correction list", "ambienti correction list --all --json"))
def show(
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
