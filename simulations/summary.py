"""What came of a simulation, for people: jobs and waits per VO, workers, idle time."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulations.farm import SimulatedFarm
    from simulations.jobs import Served


def span(seconds: float) -> str:
    """Write a wait: `7.3 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def data_of(served: Mapping[str, Served]) -> list[dict[str, Any]]:
    """Return the figures of each VO; waits in seconds, None where no job has started."""
    rows = []
    for vo, one in sorted(served.items()):
        waits = sorted(one.waits_seconds)
        rows.append(
            {
                "vo": vo,
                "submitted": one.submitted,
                "served": one.completed,
                "waiting": one.submitted - one.completed - one.removed,
                "median_wait_seconds": statistics.median(waits) if waits else None,
                "wait_95_percent_seconds": waits[-(-95 * len(waits) // 100) - 1] if waits else None,
                "core_seconds": one.core_seconds,
            }
        )
    return rows


def table_of(served: Mapping[str, Served], title: str) -> Table:
    """Return the same as a table."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in ("VO", "submitted", "served", "not yet", "median wait", "95 % wait", "core-hours"):
        table.add_column(column, justify="left" if column == "VO" else "right", header_style="dim")
    for row in data_of(served):
        waits = [row["median_wait_seconds"], row["wait_95_percent_seconds"]]
        shown = ["-" if wait is None else span(wait) for wait in waits]
        counts = [str(row[key]) for key in ("submitted", "served", "waiting")]
        table.add_row(row["vo"], *counts, *shown, f"{row['core_seconds'] / 3600:.2f}")
    return table


def farm_data(farm: SimulatedFarm) -> dict[str, Any]:
    """Return the figures of a simulated farm."""
    calls = farm.plant.calls
    return {
        "simulated_hours": farm.clock.monotonic() / 3600,
        "cycles": sum(daemon.cycles for daemon in farm.daemons),
        "workers_booted": sum(call.started for call in calls),
        "workers_powered_off": sum(call.stopped for call in calls),
        "idle_worker_hours": farm.queue.idle_so_far() / 3600,
        "vos": data_of(farm.queue.book.served),
    }
