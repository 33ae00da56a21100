"""Observation and plan for people at a terminal: the tables of `status`, the list of `plan`, the live view."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from scheduler import rows
from scheduler.actions import Action, Adopt, Boot, CancelDrain, CleanUp, Drain, PowerOff

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from rich.console import Console, RenderableType

    from scheduler.actions import Plan
    from scheduler.model import Observation
    from scheduler.policy import Policy
    from scheduler.rows import EnvironmentRow, HostRow, SourceRow, VORow, WorkerRow

HOSTS_SHOWN = 40
LINES_OF_FRAME = 11
"""Titles, heads and gaps of the live view, and the line of the cursor."""
_VERBS: dict[type, tuple[str, str]] = {
    Boot: ("boot", "green"),
    Drain: ("drain", "yellow"),
    CancelDrain: ("cancel drain", "cyan"),
    PowerOff: ("power off", "red"),
    CleanUp: ("clean up", "dim"),
    Adopt: ("adopt", "magenta"),
}
_SOURCE_STYLES = {"ok": "green", "carried over": "green", "partial": "yellow", "suspect": "yellow", "silent": "bold red"}


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


def bar(part: float, whole: float | None, width: int = 10) -> Text:
    """Draw how full something is."""
    if not whole:
        return Text("?" * width, style="dim")
    filled = min(width, round(width * part / whole))
    style = "red" if part > whole else "yellow" if part > 0.9 * whole else "green"
    return Text("█" * filled, style=style).append("░" * (width - filled), style="dim")


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column != "why", header_style="dim")
    return table


# --- status -----------------------------------------------------------------------------------------------------------


def source_table(sources: Iterable[SourceRow]) -> Table:
    """Draw the batch systems and those hosts that are not fine."""
    table = _table("Sources", "source", "kind", "answered", "state", "why")
    fine = 0
    for row in sources:
        if row.kind == "host" and row.state == "ok":
            fine += 1
            continue
        ago = "never" if row.answered_seconds_ago is None else f"{duration(row.answered_seconds_ago)} ago"
        table.add_row(row.source, row.kind, ago, Text(row.state, style=_SOURCE_STYLES[row.state]), Text(row.says))
    if fine:
        table.add_row(f"{fine} hosts" if fine > 1 else "1 host", "host", "", Text("ok", style="green"), "")
    return table


def vo_table(vos: Iterable[VORow]) -> Table:
    """Draw what each VO asks and has."""
    numbers = ("waiting", "running", "held", "longest wait", "workers", "cores", "weight", "guarantee", "ceiling")
    table = _table("VOs", "VO", *numbers, "why", right=numbers)
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
    table = _table("Environments", "environment", "VO", "version", *numbers, "why", right=numbers)
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
    table = _table("Workers", *columns, right=("for", "age"))
    for row in workers:
        jobs = " ".join(row.jobs[:3]) + (f" and {len(row.jobs) - 3} more" if len(row.jobs) > 3 else "")
        free = f"{row.free_cpus} cores {memory(row.free_memory_mib)}" if row.free_cpus or row.free_memory_mib else "-"
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
    table = _table("Hosts", "host", "memory", "", "cores", "workers", "strangers", "why", right=("workers", "strangers"))
    for row in shown:
        cores = f"{row.used_cpus}/{'?' if row.cpus is None else row.cpus}"
        used = f"{memory(row.used_memory_mib)} of {memory(row.memory_mib)}"
        says = "; ".join(filter(None, ["draining" if row.draining else "", row.says]))
        full = bar(row.used_memory_mib, row.memory_mib)
        table.add_row(row.host, full, used, cores, str(row.workers), str(row.strangers), Text(says))
    if len(shown) < len(listed):
        rest = [row for row in listed if row not in shown]
        table.add_row(f"and {len(rest)} more", "", "", "", str(sum(row.workers for row in rest)), "", "--all shows them")
    return table


def status(observation: Observation, policy: Policy, plan: Plan | None = None, *, everything: bool = False) -> RenderableType:
    """Draw the farm as it stands."""
    workers = rows.worker_rows(observation, plan)
    parts: list[RenderableType] = [
        source_table(rows.source_rows(observation)),
        vo_table(rows.vo_rows(observation, policy, plan)),
        environment_table(rows.environment_rows(observation, policy, plan)),
        host_table(rows.host_rows(observation, policy, plan), everything=everything),
    ]
    if workers and (everything or len(workers) <= HOSTS_SHOWN):
        parts.append(worker_table(workers))
    elif workers:
        parts.append(Text(f"{len(workers)} workers (--all lists them)"))
    if observation.strangers:
        named = ", ".join(f"{domain} on {host}" for host, domain in observation.strangers[:3])
        parts.append(Text(f"{len(observation.strangers)} domains are not ours and are left alone: {named}...", style="dim"))
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


# --- live -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decision:
    """One action of a past plan."""

    at: float
    action: Action


class LiveView:
    """The farm on a terminal, drawn anew after each cycle; without a terminal each decision is one line."""

    def __init__(self, console: Console, *, decisions: int = 12) -> None:
        self.console = console
        self.recent: deque[Decision] = deque(maxlen=decisions)
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        self._started_at: float | None = None

    def __enter__(self) -> Self:
        """Take the terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the terminal back."""
        if self._live:
            self._live.stop()

    def show(self, observation: Observation, policy: Policy, plan: Plan) -> None:
        """Draw what one cycle saw and decided."""
        if self._started_at is None:
            self._started_at = observation.now
        self.recent.extend(Decision(observation.now, action) for action in plan.actions)
        if self._live:
            self._live.update(self.picture(observation, policy, plan), refresh=True)
            return
        for action in plan.actions:
            elapsed = Text(f"{observation.now - self._started_at:7.1f} s  ")
            self.console.print(elapsed.append_text(action_line(action)), soft_wrap=True)

    def picture(self, observation: Observation, policy: Policy, plan: Plan) -> RenderableType:
        """Compose one picture that fits the terminal."""
        hosts = rows.host_rows(observation, policy, plan)
        environments = _liveliest(rows.environment_rows(observation, policy, plan), self.console.height // 3)
        vos = rows.vo_rows(observation, policy, plan)[: max(4, self.console.height // 4)]
        left = self.console.height - len(environments) - LINES_OF_FRAME
        beside = max(len(vos), min(len(hosts), left // 2))
        room = max(1, left - beside)
        started = observation.now if self._started_at is None else self._started_at
        head = Text(f"Ambienti · {policy.site}", style="bold").append(f" · {duration(observation.now - started)}", style="dim")
        silent = [row.source for row in rows.source_rows(observation) if row.state == "silent"]
        if silent:
            head.append(f" · silent: {', '.join(silent[:5])}", style="bold red")
        side = Table.grid(padding=(0, 4))
        side.add_row(_live_vos(vos), _live_hosts(hosts, beside))
        decisions = [
            Text(f"{duration(observation.now - one.at):>6} ago  ", style="dim").append_text(action_line(one.action))
            for one in reversed(self.recent)
        ][:room]
        for line in decisions:
            line.no_wrap, line.overflow = True, "ellipsis"
        last = [Text("Last decisions", style="bold"), *decisions]
        return Group(head, Text(), side, Text(), _live_environments(environments), Text(), *last)


def _live_vos(vos: tuple[VORow, ...]) -> Table:
    numbers = ("waiting", "running", "longest wait", "workers", "cores")
    table = _table("Queues", "VO", *numbers, right=numbers)
    for row in vos:
        waiting = Text(str(row.idle), style="yellow" if row.idle else "dim")
        wait = duration(row.oldest_wait_seconds)
        table.add_row(row.vo, waiting, str(row.running), wait, str(row.workers), str(row.cpus))
    return table


def _live_hosts(hosts: tuple[HostRow, ...], room: int) -> Table:
    table = _table("Hosts", "host", "memory", "cores", "workers", right=("workers",))
    shown = hosts if len(hosts) <= room else hosts[: room - 1]
    for row in shown:
        style = "red" if row.cpus is None else "yellow" if row.draining else ""
        cores = f"{row.used_cpus}/{'?' if row.cpus is None else row.cpus}"
        table.add_row(Text(row.host, style=style), bar(row.used_memory_mib, row.memory_mib, 16), cores, str(row.workers))
    if len(shown) < len(hosts):
        table.add_row(f"and {len(hosts) - len(shown)} more", "", "", "")
    return table


def _liveliest(environments: tuple[EnvironmentRow, ...], count: int) -> tuple[EnvironmentRow, ...]:
    """Leave out environments without workers, then whatever is too much."""
    if len(environments) <= count:
        return environments
    alive = [row for row in environments if row.in_flight + row.idle + row.busy + row.draining + row.other]
    return tuple(alive[:count])


def _live_environments(environments: tuple[EnvironmentRow, ...]) -> Table:
    numbers = ("booting", "idle", "busy", "draining", "other")
    table = _table("Workers", "environment", "VO", *numbers, "", right=numbers)
    for row in environments:
        counts = (
            (row.in_flight, "cyan"),
            (row.idle, "green"),
            (row.busy, "blue"),
            (row.draining, "yellow"),
            (row.other, "red"),
        )
        blocks = Text()
        for count, style in counts:
            blocks.append("■" * min(count, 24), style=style)
        cells = [Text(str(count), style=style if count else "dim") for count, style in counts]
        table.add_row(row.environment, row.vo, *cells, blocks)
    return table
