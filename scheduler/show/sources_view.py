"""The batch systems and hosts for people at a terminal: who answers, how full the hosts are, and what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from scheduler.model.host_states import HostState
from scheduler.show import rows
from scheduler.show.terminal import Table, bar, duration, jobs, memory, number, plain_table

if TYPE_CHECKING:
    from scheduler.model.observation import Observation
    from scheduler.show.rows import HostRow, SourceRow

HOSTS_SHOWN = 40
SILENT_NAMED = 3
HOSTS_NAMED = 3
HOSTS_ONE_BY_ONE = 5
"""So many hosts in trouble are shown one by one; more of one state are one line, but with --all."""
_SOURCE_STYLES = {
    "ok": "green",
    "carried over": "green",
    "partial": "yellow",
    "suspect": "yellow",
    "slow": "yellow",
    "removed": "yellow",
    "silent": "bold red",
}

SOURCE_STATES: dict[str, str] = {
    "ok": "It answered, and all of it is believed.",
    "carried over": "A cheap summary says that nothing has changed since the last exact answer, whose rows stand.",
    "partial": "It answered in part: what it shows counts, what it does not show means nothing.",
    "suspect": "Its answer is doubtful (empty right after full, too many hosts gone): not followed until confirmed.",
    "slow": "It has not answered yet and still may; what was known of it stands.",
    "silent": "It does not answer: nothing is concluded from that.",
    "removed": "The site file no longer has it, but some of its workers are left.",
}
"""What `ambienti status` says of a batch system, host or discovery."""


def source_table(sources: Iterable[SourceRow]) -> Table:
    """Draw the batch systems and those hosts that are not fine; many of one state are one line."""
    table = plain_table("Sources", "source", "kind", "answered", "state", "why")
    hosts: dict[str, list[SourceRow]] = {}
    for row in sources:
        if row.kind == "host":
            hosts.setdefault(row.state, []).append(row)
        else:
            says = f"{row.says}; {jobs(row.last_jobs)}" if row.last_jobs else row.says
            table.add_row(row.source, row.kind, _ago([row]), Text(row.state, style=_SOURCE_STYLES[row.state]), says)
    for state, found in sorted(hosts.items(), key=lambda one: (one[0] == "ok", one[0])):
        named = Text(state, style=_SOURCE_STYLES[state])
        if state == "ok" or len(found) > HOSTS_ONE_BY_ONE:
            count = f"{len(found)} host{'s' * (len(found) != 1)}"
            table.add_row(count, "", _ago(found), named, "" if state == "ok" else in_one_line(found))
        else:
            for row in found:
                table.add_row(row.source, row.kind, _ago([row]), named, row.says)
    return table


def in_one_line(sources: Sequence[SourceRow]) -> str:
    """Say of many sources in one line which they are, and why they are not fine: `xen01, xen02, xen03 and 37 more: timeout`."""
    names = [row.source for row in sources]
    why = Counter(row.says.replace(row.source, "HOST") for row in sources).most_common()
    more = f" and {len(names) - HOSTS_NAMED} more" if len(names) > HOSTS_NAMED else ""
    others = f" ({why[0][1]} of them; {len(why) - 1} other reasons)" if len(why) > 1 else ""
    return f"{', '.join(names[:HOSTS_NAMED])}{more}: {why[0][0]}{others}"


def _ago(found: Sequence[SourceRow]) -> str:
    """Say when sources last answered: the longest ago of those that ever did."""
    ages = [row.answered_seconds_ago for row in found if row.answered_seconds_ago is not None]
    return f"{duration(max(ages))} ago" if ages else "never"


def host_table(hosts: Iterable[HostRow], *, everything: bool = False) -> Table:
    """Draw how full the hosts are; of a large farm those with something to say, then the fullest."""
    table = plain_table("Hosts", "host", "memory", "", "cores", "workers", "strangers", "why", right=("workers", "strangers"))
    listed = list(hosts)
    silent = [row for row in listed if row.memory_mib is None]
    if everything or len(silent) <= HOSTS_ONE_BY_ONE:
        silent = []
    else:
        listed = [row for row in listed if row.memory_mib is not None]
        workers = _workers(silent)
        told = "do not answer (see Sources); --all shows them"
        table.add_row(f"{len(silent)} hosts", bar(None, None), "?", "?", workers, "?", told)
    shown = listed
    if len(listed) > HOSTS_SHOWN and not everything:
        shown = sorted(listed, key=lambda h: (not h.says, not h.draining, -(h.used_memory_mib or 0), h.host))[:HOSTS_SHOWN]
    for row in shown:
        used = "?" if row.memory_mib is None else f"{memory(row.used_memory_mib)} of {memory(row.memory_mib)}"
        cores = f"{number(row.used_cpus)}/{number(row.cpus)}"
        says = "; ".join(dict.fromkeys(filter(None, (_stands(row), row.says))))
        full = bar(row.used_memory_mib, row.memory_mib)
        table.add_row(row.host, full, used, cores, number(row.workers, row.known_workers), number(row.strangers), says)
    if len(shown) < len(listed):
        rest = [row for row in listed if row not in shown]
        table.add_row(f"and {len(rest)} more", "", "", "", _workers(rest), "", "--all shows them")
    return table


def _stands(row: HostRow) -> str:
    """Write how a host stands, unless it is simply up: for how long, on whose word, and why."""
    if row.state in {"", HostState.UP}:
        return "draining" if row.draining else ""
    by = f" by {row.state_by}" if row.state_by else ""
    why = f": {row.state_why}" if row.state_why and row.state_why != row.says else ""
    also = ", drained" if row.draining and row.state != HostState.DRAINING else ""
    since = "" if row.state_seconds is None else f" for {duration(row.state_seconds)}"
    return f"{row.state}{since}{by}{why}{also}"


def _workers(hosts: Sequence[HostRow]) -> str:
    """Write how many workers hosts have together: of those never heard that is a least number."""
    known = sum(row.known_workers for row in hosts)
    return number(None if any(row.workers is None for row in hosts) else known, known)


def unheard(observation: Observation) -> list[str]:
    """Say of the batch systems and hosts that do not answer since when, and what is not known therefore."""
    silent = [row for row in rows.source_rows(observation) if row.state == "silent"]
    told = [
        f"{row.source} has not answered {_for(row)} ({row.says}): its jobs are not known"
        for row in silent
        if row.kind == "batch system"
    ]
    hosts = [row for row in silent if row.kind == "host"]
    if len(hosts) > SILENT_NAMED:
        told.append(f"{len(hosts)} hosts do not answer, what runs there is not known: {in_one_line(hosts)}")
    else:
        told += [f"{row.source} has not answered {_for(row)} ({row.says}): what runs there is not known" for row in hosts]
    return told


def _for(row: SourceRow) -> str:
    return "yet" if row.answered_seconds_ago is None else f"for {duration(row.answered_seconds_ago)}"
