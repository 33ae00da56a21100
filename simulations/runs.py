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
    """As `log.expect` holds it: of each reason its code."""
    told: str
    """The same for people: with the sentences of the reasons."""
    sentences: dict[str, str]
    """By code: the sentence that came first."""
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
    chronicle = farm.chronicle
    log, told = chronicle.text(sentences=False), chronicle.text(sentences=True)
    farm.close()
    cycles, seconds = sum(daemon.cycles for daemon in farm.daemons), farm.clock.monotonic()
    return ScenarioRun(log, told, chronicle.first_sentences(), tuple(watch.violations), cycles, seconds)


def complaint(directory: Directory, run: ScenarioRun) -> str:
    """Return "" when the run is as the directory says, else what is wrong."""
    if run.violations:
        return "forbidden things happened:\n  " + "\n  ".join(run.violations)
    if directory.expected is None:
        return (
            f"there is no {directory.path / 'log.expect'}: read what `ambienti simulate scenario {directory.name} --show` "
            "prints. If every line is right, write what `--codes` prints to that file"
        )
    if directory.expected == run.log:
        return ""
    lines = difflib.unified_diff(
        directory.expected.splitlines(), run.log.splitlines(), "log.expect", "what happened", lineterm="", n=2
    )
    return "\n".join(lines)
