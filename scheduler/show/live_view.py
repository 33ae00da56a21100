"""The farm on a terminal while it lives: queue per VO, workers by state, hosts, and the last decisions with their reasons."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from scheduler.model.actions import Action, Plan
from scheduler.show import rows
from scheduler.show.terminal import Table, bar, duration, number, plain_table
from scheduler.show.view import action_line

if TYPE_CHECKING:
    from scheduler.loop.engine import Cycle, Engine
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.show.rows import EnvironmentRow, HostRow, VORow

WIDE = 110
"""Columns from which on there is room for everything."""
LINES_OF_FRAME = 11
"""Titles, heads and gaps of the picture, and the line of the cursor."""
LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class ShownAction:
    """One action of a past plan."""

    at: float
    action: Action


class LiveView:
    """The farm on a terminal, drawn anew after each cycle; without a terminal each decision is one line."""

    def __init__(self, console: Console, *, decisions: int = 12) -> None:
        self.console = console
        self.recent: deque[ShownAction] = deque(maxlen=decisions)
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
        self.recent.extend(ShownAction(observation.now, action) for action in plan.actions)
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
        wide = self.console.width >= WIDE
        side = Table.grid(padding=(0, 4, 0, 0))
        side.add_row(_live_vos(vos, wide=wide), _live_hosts(hosts, beside, wide=wide))
        decisions = [
            Text(f"{duration(observation.now - one.at):>6} ago  ", style="dim").append_text(action_line(one.action))
            for one in reversed(self.recent)
        ][:room]
        for line in decisions:
            line.no_wrap, line.overflow = True, "ellipsis"
        last = [Text("Last decisions", style="bold"), *decisions]
        return Group(head, Text(), side, Text(), _live_environments(environments), Text(), *last)


def _live_vos(vos: tuple[VORow, ...], *, wide: bool) -> Table:
    numbers = ("waiting", "running", "workers", "cores", *(("longest wait",) if wide else ()))
    table = plain_table("Queues", "VO", *numbers, right=numbers)
    for row in vos:
        unknown = row.idle is None
        waiting = Text(number(row.idle, row.known.idle), style="yellow" if row.idle or unknown else "dim")
        wait = ["?" if unknown else duration(row.oldest_wait_seconds)] if wide else []
        running = number(row.running, row.known.running)
        held = (number(row.workers, row.known_workers), number(row.cpus, row.known_cpus))
        table.add_row(row.vo, waiting, running, *held, *wait)
    return table


def _live_hosts(hosts: tuple[HostRow, ...], room: int, *, wide: bool) -> Table:
    table = plain_table("Hosts", "host", "memory", "cores", "workers", right=("workers",))
    shown = hosts if len(hosts) <= room else hosts[: room - 1]
    for row in shown:
        style = "red" if row.cpus is None else "yellow" if row.draining else ""
        cores = f"{number(row.used_cpus)}/{number(row.cpus)}"
        name = f"{row.host} (drained)" if row.draining else row.host
        table.add_row(
            Text(name, style=style),
            bar(row.used_memory_mib, row.memory_mib, 16 if wide else 8),
            cores,
            number(row.workers, row.known_workers),
        )
    if len(shown) < len(hosts):
        table.add_row(f"and {len(hosts) - len(shown)} more", "", "", "")
    return table


def _liveliest(environments: tuple[EnvironmentRow, ...], count: int) -> tuple[EnvironmentRow, ...]:
    """Leave out environments without workers, then whatever is too much."""
    if len(environments) <= count:
        return environments
    alive = [row for row in environments if any(row.known_workers.values())]
    return tuple(alive[:count])


def _live_environments(environments: tuple[EnvironmentRow, ...]) -> Table:
    numbers = ("booting", "idle", "busy", "draining", "other")
    table = plain_table("Workers", "environment", "VO", *numbers, "", right=numbers)
    for row in environments:
        blocks, cells = Text(), []
        for (name, known), style in zip(row.known_workers.items(), ("cyan", "green", "blue", "yellow", "red"), strict=True):
            blocks.append("■" * min(known, 24), style=style)
            cells.append(Text(number(getattr(row, name), known), style=style if known else "dim"))
        table.add_row(row.environment, row.vo, *cells, blocks)
    return table


@contextmanager
def watching(engine: Engine, console: Console) -> Iterator[LiveView]:
    """Draw every cycle of an engine until the end of the block."""
    over = threading.Event()
    with LiveView(console) as view:
        thread = threading.Thread(target=_draw, args=(engine, view, over), name="ambienti-view", daemon=True)
        thread.start()
        try:
            yield view
        finally:
            over.set()
            thread.join(5)


def _draw(engine: Engine, view: LiveView, over: threading.Event) -> None:
    shown: Cycle | None = None
    while not over.wait(LOOK_SECONDS):
        cycle = engine.last
        if cycle is not None and cycle is not shown:
            view.show(cycle.observation, engine.policy, cycle.plan)
            shown = cycle
