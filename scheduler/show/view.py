"""Observation and plan for people at a terminal: the tables of `status`, the list of `plan`, the answers to `why`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from scheduler.actions import Action, Adopt, Boot, CancelDrain, CleanUp, Drain, PowerOff
from scheduler.show import rows
from scheduler.show.fitting import fitted
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from scheduler.actions import Plan
    from scheduler.decide.explain import Explanation
    from scheduler.model import Observation, RequestCluster
    from scheduler.policy import Policy
    from scheduler.show.rows import EnvironmentRow, HostRow, SourceRow, VORow, WorkerRow

HOSTS_SHOWN = 40
_TABLES_ALWAYS = 4
_VERBS: dict[type, tuple[str, str]] = {
    Boot: ("boot", "green"),
    Drain: ("drain", "yellow"),
    CancelDrain: ("cancel drain", "cyan"),
    PowerOff: ("power off", "red"),
    CleanUp: ("clean up", "dim"),
    Adopt: ("adopt", "magenta"),
}
_SOURCE_STYLES = {
    "ok": "green",
    "carried over": "green",
    "partial": "yellow",
    "suspect": "yellow",
    "slow": "yellow",
    "removed": "yellow",
    "silent": "bold red",
}


def duration(seconds: float | None) -> str:
    """Write a time span as people do: `42 s`, `7 min`, `3 h 20 min`, `2 d 4 h`; `-` when there is none."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    hours, minutes = divmod(whole // 60, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def memory(mib: int | None) -> str:
    """Write an amount of memory: `512 MiB`, `16 GiB`."""
    if mib is None:
        return "-"
    return f"{mib} MiB" if mib < 10240 else f"{mib / 1024:.0f} GiB"


def cores(count: int) -> str:
    """Write a number of cores: `1 core`, `8 cores`."""
    return f"{count} core{'s' * (count != 1)}"


def bar(part: float, whole: float | None, width: int = 10) -> Text:
    """Draw how full something is."""
    if not whole:
        return Text("?" * width, style="dim")
    filled = min(width, round(width * part / whole))
    style = "red" if part > whole else "yellow" if part > 0.9 * whole else "green"
    return Text("█" * filled, style=style).append("░" * (width - filled), style="dim")


def plain_table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make a table without frames; the columns named in `right` hold numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column != "why", header_style="dim")
    return table


# --- status -----------------------------------------------------------------------------------------------------------


def source_table(sources: Iterable[SourceRow]) -> Table:
    """Draw the batch systems and those hosts that are not fine."""
    table = plain_table("Sources", "source", "kind", "answered", "state", "why")
    fine = []
    for row in sources:
        if row.kind == "host" and row.state == "ok":
            fine.append(row.answered_seconds_ago or 0.0)
            continue
        ago = "never" if row.answered_seconds_ago is None else f"{duration(row.answered_seconds_ago)} ago"
        table.add_row(row.source, row.kind, ago, Text(row.state, style=_SOURCE_STYLES[row.state]), Text(row.says))
    if fine:
        ago, count = f"{duration(max(fine))} ago", f"{len(fine)} host{'s' * (len(fine) != 1)}"
        table.add_row(count, "", ago, Text("ok", style="green"), "")
    return table


def vo_table(vos: Iterable[VORow]) -> Table:
    """Draw what each VO asks and has."""
    numbers = ("waiting", "running", "held", "longest wait", "workers", "cores", "weight", "guarantee", "ceiling")
    table = plain_table("VOs", "VO", *numbers, "why", right=numbers)
    for row in vos:
        weight = "-" if row.weight is None else f"{row.weight:g}"
        table.add_row(
            *(Text(row.vo), str(row.idle), str(row.running), str(row.held), duration(row.oldest_wait_seconds)),
            *(str(row.workers), str(row.cpus), weight, str(row.guarantee_cpus)),
            *("-" if row.ceiling_cpus is None else str(row.ceiling_cpus), Text(row.says)),
        )
    return table


def environment_table(environments: Iterable[EnvironmentRow]) -> Table:
    """Draw the workers of each environment by state."""
    numbers = ("wanted", "booting", "idle", "busy", "draining", "other", "limits")
    table = plain_table("Environments", "environment", "VO", "version", *numbers, "why", right=numbers)
    for row in environments:
        most = "" if row.maximum_workers is None else str(row.maximum_workers)
        says = row.says if row.defined else "no file defines it any more: its workers are retired"
        other = Text(str(row.other), style="red" if row.other else "")
        table.add_row(
            *(row.environment, row.vo, row.version, str(row.wanted), str(row.in_flight), str(row.idle), str(row.busy)),
            *(str(row.draining), other, f"{row.minimum_workers}..{most}", Text(says)),
        )
    return table


def worker_table(workers: Iterable[WorkerRow]) -> Table:
    """Draw the workers one by one."""
    columns = ("worker", "VO", "host", "state", "for", "age", "jobs", "free", "why")
    table = plain_table("Workers", *columns, right=("for", "age"))
    for row in workers:
        jobs = " ".join(row.jobs[:3]) + (f" and {len(row.jobs) - 3} more" if len(row.jobs) > 3 else "")
        free = f"{cores(row.free_cpus)} {memory(row.free_memory_mib)}" if row.free_cpus or row.free_memory_mib else "-"
        table.add_row(
            *(row.worker, row.vo, row.host, row.state, duration(row.state_seconds), duration(row.age_seconds)),
            *(Text(jobs), free, Text(row.says)),
        )
    return table


def host_table(hosts: Iterable[HostRow], *, everything: bool = False) -> Table:
    """Draw how full the hosts are; of a large farm those with something to say, then the fullest."""
    listed = list(hosts)
    shown = listed
    if len(listed) > HOSTS_SHOWN and not everything:
        shown = sorted(listed, key=lambda h: (not h.says, not h.draining, -h.used_memory_mib, h.host))[:HOSTS_SHOWN]
    table = plain_table("Hosts", "host", "memory", "", "cores", "workers", "strangers", "why", right=("workers", "strangers"))
    for row in shown:
        cores = f"{row.used_cpus}/{'?' if row.cpus is None else row.cpus}"
        used = f"{memory(row.used_memory_mib)} of {memory(row.memory_mib)}"
        says = row.says or ("draining" if row.draining else "")
        full = bar(row.used_memory_mib, row.memory_mib)
        table.add_row(row.host, full, used, cores, str(row.workers), str(row.strangers), Text(says))
    if len(shown) < len(listed):
        rest = [row for row in listed if row not in shown]
        table.add_row(f"and {len(rest)} more", "", "", "", str(sum(row.workers for row in rest)), "", "--all shows them")
    return table


def status(
    observation: Observation, policy: Policy, plan: Plan | None = None, *, everything: bool = False, width: int = 160
) -> RenderableType:
    """Draw the farm as it stands, in so many columns of a terminal."""
    workers = rows.worker_rows(observation, plan)
    tables = [
        source_table(rows.source_rows(observation)),
        vo_table(rows.vo_rows(observation, policy, plan)),
        environment_table(rows.environment_rows(observation, policy, plan)),
        host_table(rows.host_rows(observation, policy, plan), everything=everything),
    ]
    if workers and (everything or len(workers) <= HOSTS_SHOWN):
        tables.append(worker_table(workers))
    parts = [fitted(table, width) for table in tables]
    if workers and len(tables) == _TABLES_ALWAYS:
        parts.append(Text(f"{len(workers)} workers (--all lists them)"))
    if observation.strangers:
        named = [f"{domain} on {host}" for host, domain in observation.strangers[:3]]
        more = ["..."] if len(observation.strangers) > len(named) else []
        parts.append(Text(f"Not ours, and left alone: {', '.join([*named, *more])}", style="dim"))
    return Group(*(piece for part in parts for piece in (part, Text())))


# --- plan -------------------------------------------------------------------------------------------------------------


def action_line(action: Action) -> Text:
    """Write one action and its reason in a line."""
    verb, style = _VERBS[type(action)]
    line = Text(f"{verb:12}", style=style).append(f" {action.worker}", style="bold")
    host = getattr(action, "host", "")
    return line.append(f" on {host}" if host else "").append(f"  {action.reason.sentence}", style="dim")


def plan_lines(plan: Plan) -> RenderableType:
    """Draw what a plan orders, every action with its reason."""
    lines = [action_line(action) for action in plan.actions]
    count = len(lines)
    return Group(*lines, Text("nothing to do" if not count else f"{count} action{'s' * (count != 1)}", style="bold"))


# --- why ---------------------------------------------------------------------------------------------------------------


def explanation(told: Explanation) -> RenderableType:
    """Draw one answer to `why` on one screen."""
    lines = [Text(told.headline, style="bold")]
    if told.matched:
        lines += _block("matched", list(told.matched), "green")
    lines += _block("did not match", [f"{name}: {reason.sentence}" for name, reason in told.refused.items()], "yellow")
    lines += _block("missing", [f"{name.replace('_', ' ')}: {number}" for name, number in told.missing.items()], "")
    lines += _block("waits for", list(told.waits_for), "cyan")
    lines += _block("because", list(told.details), "")
    lines += _block("would change it", list(told.would_change), "green")
    return Group(*lines, Text(f"code: {told.code}", style="dim"))


def _block(title: str, entries: list[str], style: str, most: int = 6) -> list[Text]:
    shown = (
        entries if len(entries) <= most else [*entries[: most - 1], f"and {len(entries) - most + 1} more (--json lists all)"]
    )
    return [Text(f"  {title if not index else '':16}").append(entry, style=style) for index, entry in enumerate(shown)]


def waiting(clusters: Iterable[RequestCluster], plan: Plan, *, width: int = 160) -> RenderableType:
    """Draw all request clusters that have idle jobs, with what they wait for, the decisive reason first."""
    table = plain_table("Waiting", "example", "VO", "jobs", "asks for", "why", right=("jobs",))
    for cluster in clusters:
        asked, verdict = cluster.requirements, plan.clusters.get(cluster.key)
        wants = f"{cores(asked.cpus)} {memory(asked.memory_mib)}" + (f" {asked.wanted}" if asked.wanted else "")
        says = cluster.problem or "; ".join(reason.sentence for reason in (verdict.reasons if verdict else ()))
        table.add_row(cluster.example_job, cluster.vo or rows.UNMAPPED, str(cluster.idle), wants, Text(says))
    return fitted(table, width)
