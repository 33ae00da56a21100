"""`host drain`, `undrain`, `forget`, `list`: the administrator's marks and words on hosts, kept in the journal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from environments.names import as_known, nearest
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, plural, print_json, say
from scheduler.commands.journaled import ByOption, asker, looked_into, opened
from scheduler.journal.hosts import drain, drained_hosts, say_off, undrain
from scheduler.model.clock import WallClock, clock_time
from scheduler.model.ports import SourceError
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from scheduler.journal.records import Entry
    from scheduler.site.definitions import Definitions

hosts = typer.Typer(
    no_args_is_help=True, help="The hypervisor hosts: drain one, take it back, forget one that is gone, list them."
)
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="Name of the host.")]


def _known(host: str, found: Definitions) -> None:
    if host not in found.policy.hosts:
        near = nearest(host, found.policy.hosts)
        hint = f"; did you mean {near}?" if near else "; see `ambienti host list`"
        raise fail(f"the site has no host called {host!r}{hint}", Exit.PROBLEM)


@hosts.command("drain", epilog=examples('ambienti host drain xen07 --why "replace fan"'))
def drain_host(
    host: HostArgument,
    why: Annotated[str, typer.Option("--why", help="Shown wherever the host is listed.")] = "",
    site: SiteOption = None,
) -> None:
    """Start nothing new on a host and retire its workers when their jobs have ended."""
    with opened(site) as (found, journal):
        host = as_known(host, found.policy.hosts)
        _known(host, found)
        drain(journal, host, why, WallClock().now(), str(asker()))
    say(f"{host} is drained from the next cycle on; `ambienti host undrain {host}` takes it back.")


@hosts.command("undrain", epilog=examples("ambienti host undrain xen07"))
def undrain_host(host: HostArgument, site: SiteOption = None) -> None:
    """Take a host back into service."""
    with opened(site) as (found, journal):
        host = as_known(host, [*found.policy.hosts, *drained_hosts(journal)])
        if not undrain(journal, host, WallClock().now(), str(asker())):
            _known(host, found)
            raise fail(f"{host} was not drained", Exit.PROBLEM)
    say(f"{host} is in service again from the next cycle on.")


@hosts.command(
    "forget",
    epilog=examples("ambienti host forget xen07", 'ambienti host forget xen07 --i-confirm-it-is-off --why "burnt, scrapped"'),
)
def forget(
    host: HostArgument,
    *,
    why: Annotated[str, typer.Option("--why", help="Stands in the event log beside every worker that is given up.")] = "",
    by: ByOption = "",
    confirmed: Annotated[
        bool, typer.Option("--i-confirm-it-is-off", help="Your word that the host is off, and with it all its workers.")
    ] = False,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up the workers of a host that is off for good, on your word.

    While a host does not answer, its workers may still run: they are `unseen`, count, and are neither ended nor replaced. Only
    somebody who knows that the host is off can say so. From the next cycle on its workers are gone, and what they held (room
    within maxima and ceilings, addresses, names on its disks) is free. If the host answers after all, nothing is given up.
    """
    with opened(site) as (found, journal):
        host = as_known(host, dict.fromkeys([*found.policy.hosts, *(e.host for e in journal.ledger().entries.values())]))
        theirs = sorted((e for e in journal.ledger().entries.values() if e.host == host), key=lambda entry: entry.serial)
        _may_be_forgotten(host, found, traces=bool(theirs) or host in drained_hosts(journal))
        if not as_json:
            _tell_what_is_given_up(host, theirs)
        if not confirmed:
            _ask_for_the_word(host)
        say_off(journal, host, why, WallClock().now(), str(asker(by)))
    if as_json:
        workers = [
            {"worker": one.name, "state": one.state.value, "vo": one.vo, "environment": one.environment} for one in theirs
        ]
        print_json({"host": host, "by": str(asker(by)), "why": why, "workers": workers})
        return
    say(
        f"{host} is taken as off on the word of {asker(by)}: its workers are given up in the daemon's next cycle, "
        "unless it answers."
    )


def _may_be_forgotten(host: str, found: Definitions, *, traces: bool) -> None:
    if host not in found.policy.hosts:
        if not traces:
            near = nearest(host, found.policy.hosts)
            hint = f"did you mean {near}?" if near else "see `ambienti host list` and `ambienti status`"
            raise fail(f"neither the site nor the journal knows a host called {host!r}; {hint}", Exit.PROBLEM)
        return
    from scheduler.site import compose

    farm = compose.connect(found)
    try:
        running = sum(domain.identity is not None for domain in farm.hypervisors[host].read().domains)
    except SourceError:
        return
    finally:
        farm.close()
    raise fail(
        f"{host} answers and runs {plural(running, 'worker')}: it is not off. `ambienti host drain {host}` empties it",
        Exit.PROBLEM,
    )


def _tell_what_is_given_up(host: str, theirs: list[Entry]) -> None:
    say(f"Workers on {host} that the journal has: {len(theirs) or 'none'}.")
    if theirs:
        table = Table("worker", "state", "VO", "environment", "cores", "MiB", box=None, pad_edge=False)
        for one in theirs:
            table.add_row(one.name, one.state.value, one.vo, one.environment, str(one.cpus), str(one.memory_mib))
        console().print(table)


def _ask_for_the_word(host: str) -> None:
    """Let the administrator say that the host is off: by its name, for a habit of saying yes is no word."""
    if not sys.stdin.isatty():
        raise fail(f"nothing is given up without your word: if {host} is off for good, add --i-confirm-it-is-off", Exit.PROBLEM)
    told = typer.prompt(f"If {host} is powered off and stays so, type its name", default="", show_default=False, err=True)
    if told.strip() != host:
        raise fail(f"{host} is kept: its workers may still run", Exit.PROBLEM)


@hosts.command("list", epilog=examples("ambienti host list", "ambienti host list --json"))
def list_hosts(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """List the hosts of the site with their labels, and which are drained since when and why."""
    with looked_into(site) as (found, journal):
        drained = drained_hosts(journal)
    rows = [
        {
            "host": name,
            "uri": entry.uri,
            "labels": dict(entry.labels),
            "discovery": entry.discovery,
            "left": entry.left,
            "drained_since": drained[name].since if name in drained else None,
            "drained_by": drained[name].by if name in drained else "",
            "why": drained[name].why if name in drained else "",
        }
        for name, entry in found.file.hosts.items()
    ]
    if as_json:
        print_json(rows)
        return
    columns = ["host", "URI", "labels", *(["named by"] if found.site.discover else []), "drained since", "by", "why"]
    table = Table(*columns, box=None, pad_edge=False)
    for name, entry in found.file.hosts.items():
        word = drained.get(name)
        said = ("", "", "") if word is None else (clock_time(word.since, 0, found.policy.zone), word.by, word.why)
        labels = " ".join(f"{key}={value}" for key, value in entry.labels.items())
        named = f"{entry.discovery or 'the site file'}{', no longer: it is emptied' if entry.left else ''}"
        by = [named] if found.site.discover else []
        table.add_row(name, entry.uri, labels, *by, *said, style="yellow" if word or entry.left else "")
    console().print(table)
    for name in sorted(set(drained) - set(found.file.hosts)):
        say(f"{name} is drained too, but the site file does not name it any more.", style="yellow")
