"""`host drain`, `host undrain`, `host list`: the administrator's marks on hosts, kept in the journal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from environments.names import nearest
from scheduler.clock import WallClock
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, print_json, say
from scheduler.commands.journaled import opened

if TYPE_CHECKING:
    from scheduler.site.definitions import Definitions

hosts = typer.Typer(no_args_is_help=True, help="The hypervisor hosts: drain one, take it back, list them.")
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="Name of the host.")]


def _known(host: str, found: Definitions) -> None:
    if host not in found.policy.hosts:
        near = nearest(host, found.policy.hosts)
        hint = f"; did you mean {near}?" if near else "; see `ambienti host list`"
        raise fail(f"the site has no host called {host!r}{hint}", Exit.PROBLEM)


@hosts.command("drain", epilog=examples('ambienti host drain xen07 --why "replace fan"'))
def drain(
    host: HostArgument,
    why: Annotated[str, typer.Option("--why", help="Shown wherever the host is listed.")] = "",
    site: SiteOption = None,
) -> None:
    """Start nothing new on a host and retire its workers when their jobs have ended."""
    with opened(site) as (found, journal):
        _known(host, found)
        journal.drain_host(host, why, WallClock().now())
    say(f"{host} is drained from the next cycle on; `ambienti host undrain {host}` takes it back.")


@hosts.command("undrain", epilog=examples("ambienti host undrain xen07"))
def undrain(host: HostArgument, site: SiteOption = None) -> None:
    """Take a host back into service."""
    with opened(site) as (found, journal):
        if not journal.undrain_host(host, WallClock().now()):
            _known(host, found)
            raise fail(f"{host} was not drained", Exit.PROBLEM)
    say(f"{host} is in service again from the next cycle on.")


@hosts.command("list", epilog=examples("ambienti host list", "ambienti host list --json"))
def list_hosts(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """List the hosts of the site with their labels, and which are drained since when and why."""
    with opened(site) as (found, journal):
        drained = journal.drained_hosts()
    rows = [
        {
            "host": name,
            "uri": entry.uri,
            "labels": dict(entry.labels),
            "discovery": entry.discovery,
            "left": entry.left,
            "drained_since": drained[name][0] if name in drained else None,
            "why": drained[name][1] if name in drained else "",
        }
        for name, entry in found.file.hosts.items()
    ]
    if as_json:
        print_json(rows)
        return
    columns = ["host", "URI", "labels", *(["named by"] if found.site.discover else []), "drained since", "why"]
    table = Table(*columns, box=None, pad_edge=False)
    for name, entry in found.file.hosts.items():
        since, why = drained.get(name, (None, ""))
        shown = "" if since is None else f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC"
        labels = " ".join(f"{key}={value}" for key, value in entry.labels.items())
        named = f"{entry.discovery or 'the site file'}{', no longer: it is emptied' if entry.left else ''}"
        by = [named] if found.site.discover else []
        table.add_row(name, entry.uri, labels, *by, shown, why, style="yellow" if since or entry.left else "")
    console().print(table)
    for name in sorted(set(drained) - set(found.file.hosts)):
        say(f"{name} is drained too, but the site file does not name it any more.", style="yellow")
