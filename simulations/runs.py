"""Running scenario directories: the log that came of it against the log that must come of it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulations.farm import SimulatedFarm
from simulations.faults import schedule
from simulations.invariants import InvariantWatch

if TYPE_CHECKING:
    from pathlib import Path

    from simulations.scenario import Directory, Scenario


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """What came of a scenario."""

    log: str
    violations: tuple[str, ...]
    cycles: int
    simulated_seconds: float


def run_scenario(scenario: Scenario, directory: Path) -> ScenarioRun:
    """Run a scenario from beginning to end; its journal is kept in `directory`."""
    farm = SimulatedFarm(scenario, directory)
    schedule(farm)
    watch = InvariantWatch(farm)
    farm.run(scenario.lasts)
    if scenario.comes_to_rest:
        watch.rest(farm)
    log = farm.chronicle.text()
    farm.close()
    return ScenarioRun(log, tuple(watch.violations), sum(daemon.cycles for daemon in farm.daemons), farm.clock.monotonic())


def complaint(directory: Directory, run: ScenarioRun) -> str:
    """Return "" when the run is as the directory says, else what is wrong."""
    if run.violations:
        return "forbidden things happened:\n  " + "\n  ".join(run.violations)
    if directory.expected is None:
        return (
            f"there is no {directory.path / 'log.expect'}: read what "
            f"`ambienti simulate scenario {directory.name} --show` prints, and put it there if every line is as it should be"
        )
    if directory.expected == run.log:
        return ""
    lines = difflib.unified_diff(
        directory.expected.splitlines(), run.log.splitlines(), "log.expect", "what happened", lineterm="", n=2
    )
    return "\n".join(lines)
