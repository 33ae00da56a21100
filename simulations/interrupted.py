"""Interrupted sequences: the same farm again and again, with the daemon killed after each of its steps in turn.

A story is told once undisturbed, and its steps are counted; then once for each step, killed right after it and started again a
little later. Whatever the instant, nothing forbidden happens, and the farm ends in the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulations.farm import SimulatedFarm
from simulations.faults import schedule
from simulations.invariants import InvariantWatch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simulations.scenario import Scenario

RESTART_SECONDS = 7.0
"""Sooner than a call that was cut off may still take effect: the harder case."""
MOST_BOOTS_MORE = 4
"""A killed daemon may leave so many ordered boots behind that never were begun; others take their place."""


@dataclass(frozen=True, slots=True)
class End:
    """How a story ended: what must be the same whatever was interrupted."""

    jobs_done: tuple[tuple[str, int], ...]
    """(VO, jobs)."""
    domains: frozenset[str]
    nodes: frozenset[str]
    volumes: int
    open_entries: frozenset[str]
    open_intents: int


@dataclass(frozen=True, slots=True)
class Telling:
    """One telling of a story."""

    end: End
    steps: tuple[str, ...]
    boots: int
    started_twice: int
    violations: tuple[str, ...]
    killed: bool
    log: str


def cuts(steps: Sequence[str]) -> list[int]:
    """Return the steps worth dying after: all, but of rounds in which only the lease was renewed just one in a row."""
    return [number for number, step in enumerate(steps, 1) if step != "lease" or steps[number : number + 1] != ("lease",)]


def tell(scenario: Scenario, directory: Path, cut_after: int | None = None) -> Telling:
    """Tell a story to its end, killing the daemon after one of its steps."""
    farm = SimulatedFarm(scenario, directory)
    farm.restart_seconds = RESTART_SECONDS
    farm.knife.cut_after = cut_after
    schedule(farm)
    watch = InvariantWatch(farm)
    farm.run(scenario.lasts)
    if not any(daemon.alive for daemon in farm.daemons):
        farm.run(RESTART_SECONDS + scenario.limits.poll_seconds)
    watch.rest(farm)
    ledger = next(daemon for daemon in farm.daemons if daemon.alive).journal.ledger()
    running = frozenset(name for host in farm.plant.hosts.values() for name in host.domains)
    started = [call.worker for call in farm.plant.calls if call.started]
    told = Telling(
        end=End(
            jobs_done=tuple(sorted((vo, served.completed) for vo, served in farm.queue.book.served.items())),
            domains=running,
            nodes=frozenset(farm.queue.nodes),
            volumes=len(farm.plant.volumes),
            open_entries=frozenset(ledger.entries),
            open_intents=len(ledger.intents),
        ),
        steps=tuple(farm.knife.steps),
        boots=len(started),
        started_twice=len(started) - len(set(started)),
        violations=tuple(watch.violations),
        killed=farm.kills > 0,
        log=farm.chronicle.text(sentences=True),
    )
    farm.close()
    return told
