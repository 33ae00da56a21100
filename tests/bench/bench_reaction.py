"""How fast the loop reacts, in the plant under simulated time: the same engine and journal, every phase between two polls.

Rise: jobs arrive; fall: the last of them ends. Everything is measured at many offsets between arrival and poll, for three polls.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scheduler.model.workers import WorkerState
from simulations.farm import SimulatedFarm
from simulations.scenario import Scenario
from tests.bench import report

POLLS = (10, 30, 60)
OFFSETS = 12
IDLE_SECONDS = 300
JOBS = 40
RISE_AT = 200.0


@dataclass
class Reaction:
    """What one run showed; seconds."""

    boot: float
    """From the arrival of the jobs to the first boot that was asked for."""
    drain: float
    """From the end of the last job to the first drain."""
    counted: list[float]
    """For each worker: from its registration to the first cycle that saw it."""
    before: int
    """Workers before any job came."""
    after: int
    """Workers at the end."""
    unserved: int


def react(poll: int, offset: float) -> Reaction:
    """Let jobs come at one offset after a poll, and run until all is over."""
    rise = RISE_AT + offset
    scenario = Scenario.model_validate(
        {
            "lasts": 1,
            "limits": {"poll_seconds": poll},
            "hosts": {f"xen{i}": {"cpus": 16, "memory_mib": 32768} for i in range(1, 4)},
            "vos": {"atlas": {}},
            "environments": {"atlas-el9": {"vo": "atlas", "vcpus": 4, "memory_mib": 8192, "idle_seconds": IDLE_SECONDS}},
            "jobs": [{"at": round(rise), "vo": "atlas", "count": JOBS, "wants": "atlas-el9", "runs": 400 + 2 * round(offset)}],
        }
    )
    with tempfile.TemporaryDirectory(prefix="ambienti-") as directory:
        farm = SimulatedFarm(scenario, Path(directory))
        seen: dict[str, float] = {}
        farm.checks.append(lambda farm: _note(farm, seen))
        farm.run(round(rise) - 0.001)
        before = _workers(farm)
        farm.run(6000)
        reaction = Reaction(
            boot=_first(farm, "plan", "boot ") - round(rise),
            drain=_first(farm, "plan", "drain ") - _idle_since_first_drained(farm),
            counted=_counted(farm, seen),
            before=before,
            after=_workers(farm),
            unserved=sum(served.submitted - served.completed for served in farm.queue.book.served.values()),
        )
        farm.close()
    return reaction


def _note(farm: SimulatedFarm, seen: dict[str, float]) -> None:
    cycle = farm.daemons[0].last
    for worker in cycle.observation.workers if cycle else ():
        if worker.state in {WorkerState.IDLE, WorkerState.BUSY}:
            seen.setdefault(worker.name, cycle.observation.now - farm.clock.now() + farm.clock.monotonic())


def _workers(farm: SimulatedFarm) -> int:
    return sum(len(host.domains) for host in farm.plant.hosts.values())


def _first(farm: SimulatedFarm, who: str, begins: str) -> float:
    return next(line.seconds for line in farm.chronicle.lines if line.who == who and line.text.startswith(begins))


def _idle_since_first_drained(farm: SimulatedFarm) -> float:
    """Return when the worker that was drained first had finished its last job before."""
    drain = next(line for line in farm.chronicle.lines if line.who == "plan" and line.text.startswith("drain "))
    worker = drain.text.split()[1]
    ends = [line.seconds for line in farm.chronicle.lines if line.who == "jobs" and line.text.endswith(f"done in {worker}")]
    return max(end for end in ends if end <= drain.seconds)


def _counted(farm: SimulatedFarm, seen: dict[str, float]) -> list[float]:
    joined = {line.text.split()[0]: line.seconds for line in farm.chronicle.lines if line.text.endswith(" registered")}
    return [seen[worker] - at for worker, at in joined.items()]


def measure(_options: argparse.Namespace) -> report.Report:
    """Measure all polls at all offsets."""
    made = report.Report("reaction", f"{JOBS} jobs come and go, {OFFSETS} offsets between arrival and poll; simulated seconds")
    rows: list[list[object]] = []
    worst = {"boot": -1e9, "drain": -1e9, "counted": -1e9, "workers": 0}
    for poll in POLLS:
        runs = [react(poll, poll * number / OFFSETS) for number in range(OFFSETS)]
        boots, drains = [run.boot for run in runs], [run.drain for run in runs]
        counted = [seconds for run in runs for seconds in run.counted]
        assert not any(run.unserved for run in runs), "every job is done"
        rows.append(
            [poll, *(f"{f(values):.1f}" for values in (boots, drains, counted) for f in (statistics.median, max)), len(counted)]
        )
        worst["boot"] = max(worst["boot"], max(boots) - poll)
        worst["drain"] = max(worst["drain"], max(drains) - poll - IDLE_SECONDS)
        worst["counted"] = max(worst["counted"], max(counted) - poll)
        worst["workers"] = max(worst["workers"], *(run.before for run in runs), *(run.after for run in runs))
    columns = [
        "poll s",
        "boot median s",
        "boot max s",
        "drain median s",
        "drain max s",
        "seen median s",
        "seen max s",
        "workers",
    ]
    made.tables.append(report.Table(f"reaction, idle time {IDLE_SECONDS} s", columns, rows))
    made.targets += [
        report.Target("first boot after the rise", "<= poll + 1 s", f"poll {worst['boot']:+.1f} s", worst["boot"] <= 1),
        report.Target(
            "first drain after the fall",
            "<= idle time + poll",
            f"idle time + poll {worst['drain']:+.1f} s",
            worst["drain"] <= 0.001,
        ),
        report.Target("workers without jobs", "0", str(worst["workers"]), worst["workers"] == 0),
        report.Target(
            "a registered worker is counted",
            "at the first poll after",
            f"poll {worst['counted']:+.1f} s",
            worst["counted"] <= 0.001,
        ),
    ]
    return made


if __name__ == "__main__":
    report.main(measure)
