"""How long one decision takes, and how that grows with the farm.

    python -m tests.bench.bench_decide [--json FILE] [--runs N] [--largest N] [--seed N]

Each size is measured in a process of its own, so that its peak memory (observation included) is its own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from environments.domain_identity import WorkerIdentity
from environments.environment import VO, Environment, Network, NetworkKind, Share, Virtualization
from environments.matching import Catalogue, Requirements
from scheduler.decide.plan import decide, still_holds
from scheduler.model.hosts import Domain, DomainState, Host, HostReading
from scheduler.model.observation import Observation
from scheduler.model.policy import Limits, Policy
from scheduler.model.queues import Node, QueueReading, RequestCluster, RunningJob
from scheduler.model.workers import BootOutcome, Worker, WorkerState
from tests.bench import report

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
FULL_WORKERS = 100_000
SIZES = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Parts of the full farm."""
SECONDS_ALLOWED = 1.0
MIB_ALLOWED = 500
EXPONENT_ALLOWED = 1.2
SITUATIONS = ("rush", "full", "night")
"""Free hosts and much demand; a full farm with VOs below their guarantee; demand gone, many workers idle."""
BURST = {"boots_per_cycle": 5000, "boots_in_flight": 10_000}
"""Limits of a farm of this size in a rush."""


def catalogue(chance: random.Random, scale: float) -> Catalogue:
    """28 VOs, four of them guaranteed twice what they hold, and 200 environments of five shapes, every fifth shared."""
    vos = {
        f"vo{n:02}": VO(name=f"vo{n:02}", share=Share(weight=1 + n % 4, guarantee_cpus=0 if n % 7 else round(20_000 * scale)))
        for n in range(28)
    }
    shapes = [(1, 2048), (2, 4096), (4, 8192), (8, 16384), (2, 8192)]
    environments = {}
    names = list(vos)
    for n in range(200):
        owner = names[n % 28]
        cpus, memory = shapes[n % 5]
        name = f"{owner}-env{n:03}"
        environments[name] = Environment(
            name=name,
            vo=owner,
            shared_with=(names[(n + 1) % 28],) if n % 5 == 0 else (),
            virtualization=Virtualization.XEN_PV if n % 3 else Virtualization.QEMU,
            vcpus=cpus,
            memory_mib=memory,
            network=Network(kind=NetworkKind.BRIDGE, source="br0"),
            labels={"tier": chance.choice(("a", "b"))} if n % 10 == 0 else {},
            default=n < 28,
        )
    return Catalogue(environments, vos)


def farm(scale: float, situation: str, seed: int) -> tuple[Observation, Policy]:
    """Build a farm of a part of the full size."""
    chance = random.Random(seed)
    described = catalogue(chance, scale)
    environments = list(described.environments.values())
    hosts = {f"h{n:05}": Host(f"h{n:05}", {"tier": "ab"[n % 2]}, max_boots=4) for n in range(round(10_000 * scale))}
    workers: list[Worker] = []
    nodes: list[Node] = []
    domains: dict[str, list[Domain]] = {name: [] for name in hosts}
    room = {name: [32, 65536] for name in hosts}
    names = list(hosts)
    wanted = round(FULL_WORKERS * scale)
    serial = 0
    while len(workers) < wanted and names:
        serial += 1
        environment = environments[chance.randrange(200)]
        host = names[serial % len(names)]
        left = room[host]
        if left[0] < environment.vcpus or left[1] < environment.memory_mib:
            environment = next((e for e in environments[:5] if e.vcpus <= left[0] and e.memory_mib <= left[1]), None)
            if environment is None:
                names.remove(host)
                continue
        left[0] -= environment.vcpus
        left[1] -= environment.memory_mib
        worker = one_worker(serial, environment, host, situation, chance)
        workers.append(worker)
        nodes.append(one_node(worker))
        domains[host].append(one_domain(worker))
    kinds = frozenset({Virtualization.XEN_PV, Virtualization.QEMU})
    readings = {name: HostReading(name, NOW, *offered(situation, room[name][0]), kinds, tuple(domains[name])) for name in hosts}
    clusters = () if situation == "night" else tuple(clusters_of(described, scale, chance))
    queue = QueueReading("pool", NOW, clusters, tuple(nodes))
    boots = tuple(history(environments, list(hosts), scale, chance))
    proven = frozenset((e.name, e.version) for e in environments)
    observation = Observation(NOW, {"pool": queue}, readings, tuple(workers), boots, proven, next_serial=serial + 1)
    return observation, Policy("bench", described, hosts, Limits(**(BURST if situation == "rush" else {})))


def offered(situation: str, cores_left: int) -> tuple[int, int]:
    """Return cores and MiB of a host on which 32 cores and 64 GiB are planned: all used, as planned, or twice as much."""
    return {"full": (32 - cores_left, 65536), "night": (32, 65536), "rush": (64, 131072)}[situation]


def one_worker(serial: int, environment: Environment, host: str, situation: str, chance: random.Random) -> Worker:
    """One worker: most are busy, some idle, booting or draining; at night most are idle."""
    busy = 0.2 if situation == "night" else 0.9
    dice = chance.random()
    registered = NOW - chance.uniform(300, 170_000)
    common = (f"{environment.name}-{serial}", serial, environment.name, "1", environment.vo, "pool", host, environment.vcpus)
    memory = environment.memory_mib
    if dice < 0.01 and situation != "full":
        return Worker(*common, memory, WorkerState.BOOTING, NOW - 60, NOW - 50, seen_at=NOW)
    if dice < 0.02:
        return Worker(
            *common, memory, WorkerState.DRAINING, registered - 60, NOW - 50, registered_at=registered, drain_cause="idle"
        )
    if dice < busy:
        job = RunningJob(f"{serial}.0", environment.vo, f"user{serial % 300}", NOW - chance.uniform(0, 5000), 1, 1000)
        used = chance.randrange(1, environment.vcpus + 1)
        free = environment.vcpus - used
        return Worker(
            *common, memory, WorkerState.BUSY, registered - 60, NOW - 500, None, free, free * 1024, (job,), True,
            registered_at=registered, busy_until=NOW + chance.uniform(100, 40_000), seen_at=NOW,
        )  # fmt: skip
    since = NOW - chance.uniform(0, 600)
    return Worker(
        *common, memory, WorkerState.IDLE, registered - 60, since, None, environment.vcpus, environment.slot_memory_mib, idle_since=since, registered_at=registered, seen_at=NOW,
    )  # fmt: skip


def one_node(worker: Worker) -> Node:
    """What the batch system says of a worker."""
    return Node(
        worker.name, worker.cpus, worker.memory_mib, worker.free_cpus, worker.free_memory_mib, worker.jobs, worker.claimed,
        idle_since=worker.idle_since, registered_at=worker.registered_at,
    )  # fmt: skip


def one_domain(worker: Worker) -> Domain:
    """What the host says of a worker."""
    identity = WorkerIdentity(
        "bench", worker.name, worker.environment, "1", worker.vo, "pool", worker.serial, worker.requested_at
    )
    return Domain(worker.name, f"uuid-{worker.serial}", DomainState.RUNNING, worker.cpus, worker.memory_mib, identity)


def clusters_of(described: Catalogue, scale: float, chance: random.Random) -> list[RequestCluster]:
    """1,000 request clusters: two thirds name an environment, the others leave the choice; a few are wrong."""
    environments = list(described.environments.values())
    vos = list(described.vos)
    count = round(1_000 * scale)
    clusters = []
    for n in range(count):
        idle = max(1, round(1_000_000 * scale / count * chance.uniform(0.2, 1.8)))
        walltime = chance.choice((None, 3600, 43_200, 86_400))
        if n % 3:
            environment = environments[chance.randrange(200)]
            wanted = environment.name if n % 50 else environment.name + "x"
            cpus = chance.randrange(1, environment.vcpus + 1)
            asked = Requirements(wanted, cpus, chance.randrange(100, 1800) * cpus // 2, walltime)
            vo = environment.vo
        else:
            vo = vos[n % 28]
            asked = Requirements("", 1, chance.randrange(100, 1800), walltime)
        clusters.append(RequestCluster(f"pool:{n:x}", "pool", vo, asked, idle, 100, example_job=f"{n}.0"))
    return clusters


def history(environments: list[Environment], hosts: list[str], scale: float, chance: random.Random) -> list[BootOutcome]:
    """A day of boots, one in a hundred failed."""
    outcomes = []
    for n in range(round(20_000 * scale)):
        environment = environments[chance.randrange(200)]
        good = chance.random() > 0.01
        host = hosts[chance.randrange(len(hosts))]
        at = NOW - 86_000 + n * 86_000 / (20_000 * scale)
        outcomes.append(
            BootOutcome(f"{environment.name}-b{n}", environment.name, "1", host, at, good, "" if good else "not registered")
        )
    return outcomes


def measure(scale: float, situation: str, runs: int, seed: int) -> dict[str, Any]:
    """Build one farm, decide several times, and the same without change."""
    observation, policy = farm(scale, situation, seed)
    took, used = [], []
    for _ in range(runs):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        plan = decide(observation, policy)
        took.append(time.perf_counter() - begun)
        used.append(time.process_time() - begun_cpu)
    quiet = replace(plan, actions=(), quiet_until=None)
    fresh = replace(observation, now=NOW + 30, hosts={n: replace(r, at=NOW + 30) for n, r in observation.hosts.items()})
    rebuilt = replace(fresh, workers=tuple(replace(worker) for worker in fresh.workers))
    quick = [timed(lambda: still_holds(quiet, observation, fresh)) for _ in range(runs)]
    slow = [timed(lambda: still_holds(quiet, observation, rebuilt)) for _ in range(runs)]
    counted: dict[str, int] = {}
    for action in plan.actions:
        name = type(action).__name__
        counted[name] = counted.get(name, 0) + 1
    queue = observation.queues["pool"]
    return {
        "situation": situation,
        "scale": scale,
        "hosts": len(observation.hosts),
        "workers": len(observation.workers),
        "clusters": len(queue.clusters),
        "idle_jobs": sum(c.idle for c in queue.clusters),
        "cpu_seconds": statistics.median(used),
        "seconds": statistics.median(took),
        "quiet_seconds": statistics.median(quick),
        "quiet_rebuilt_seconds": statistics.median(slow),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "actions": counted,
    }


def timed(what: Callable[[], bool]) -> float:
    """Return how long a call takes, and make sure that it says yes."""
    begun = time.perf_counter()
    answer = what()
    took = time.perf_counter() - begun
    assert answer, "an unchanged farm must be seen as such"
    return took


def in_own_process(scale: float, situation: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a fresh interpreter, so that peak memory is that of this farm alone."""
    command = [sys.executable, "-m", "tests.bench.bench_decide", "--only", f"{scale}:{situation}"]
    command += ["--runs", str(options.runs), "--seed", str(options.seed)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return json.loads(answer.stdout)


def run(options: argparse.Namespace) -> report.Report:
    """Measure every size and situation."""
    rows = [in_own_process(s, situation, options) for situation in SITUATIONS for s in SIZES if s <= options.largest]
    largest = [row for row in rows if row["scale"] == max(row["scale"] for row in rows)]
    table = report.Table(
        "One decision: medians of several runs, each size in its own process",
        ["situation", "hosts", "workers", "idle jobs", "CPU (s)", "wall (s)", "quiet (s)", "quiet, rebuilt (s)", "MiB", "actions"],
        [
            [
                row["situation"], f"{row['hosts']:,}", f"{row['workers']:,}", f"{row['idle_jobs']:,}", row["cpu_seconds"],
                row["seconds"], row["quiet_seconds"], row["quiet_rebuilt_seconds"], f"{row['peak_mib']:.0f}",
                f"{sum(row['actions'].values()):,}",
            ]
            for row in rows
        ],
    )  # fmt: skip
    growths = {name: _growth([row for row in rows if row["situation"] == name]) for name in SITUATIONS}
    growth_table = report.Table(
        "Growth over the sizes", ["situation", "seconds ~ workers^b, b"], [[n, g] for n, g in growths.items()]
    )
    return report.Report("decide", _WHAT, [table, growth_table], _targets(largest, growths))


def _growth(rows: list[dict[str, Any]]) -> float:
    return report.growth([row["workers"] for row in rows], [row["cpu_seconds"] for row in rows]) if len(rows) > 1 else math.nan


def _targets(largest: list[dict[str, Any]], growths: dict[str, float]) -> list[report.Target]:
    slowest = max(row["cpu_seconds"] for row in largest)
    wall = max(row["seconds"] for row in largest)
    peak = max(row["peak_mib"] for row in largest)
    worst = max(growths.values())
    quiet = max(row["quiet_rebuilt_seconds"] / row["seconds"] for row in largest)
    size = f"{largest[0]['workers']:,} workers"
    seconds = f"{slowest:.2f} s of CPU, {wall:.2f} s by the clock"
    note = (
        ""
        if wall <= SECONDS_ALLOWED
        else "A decision waits for nothing: beyond its CPU seconds it took what others used of the machine."
    )
    return [
        report.Target(f"one full decision, {size}", f"<= {SECONDS_ALLOWED} s", seconds, wall <= SECONDS_ALLOWED, note),
        report.Target("peak memory of the process", f"<= {MIB_ALLOWED} MiB", f"{peak:.0f} MiB", peak <= MIB_ALLOWED),
        report.Target("growth", f"exponent <= {EXPONENT_ALLOWED}", f"{worst:.2f}", worst <= EXPONENT_ALLOWED),
        report.Target("a quiet cycle, every worker rebuilt", "<= 1/2 of a decision", f"{quiet:.2f} of it", quiet <= 0.5),
    ]


_WHAT = (
    "decide() on farms up to 10,000 hosts and 100,000 workers, 1,000,000 idle jobs in 1,000 request clusters, 28 VOs, 200 environments. "
    "rush: room is free and thousands of workers are booted at once; full: no room, VOs below their guarantee take cores back; "
    "night: no jobs, most workers idle. Quiet: nothing changed since the last decision; rebuilt: all workers are new, equal objects."
)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--largest", type=float, default=1.0, help="largest part of the full farm to measure")


if __name__ == "__main__":
    if "--only" in sys.argv:
        scale, situation = sys.argv[sys.argv.index("--only") + 1].split(":")
        runs, seed = (int(sys.argv[sys.argv.index(name) + 1]) for name in ("--runs", "--seed"))
        print(json.dumps(measure(float(scale), situation, runs, seed)))
    else:
        report.main(run, _options)
