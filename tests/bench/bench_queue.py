"""Reading the queue of a real schedd: grouped and quiet, against one ad per job with the same attributes, in the same run.

python -m tests.bench.bench_queue [--json FILE] [--jobs N] [--runs N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.htcondor.expressions import vo_attributes
from connectors.htcondor.options import HTCondorOptions
from environments.environment import Environment
from tests.bench.report import Report, Table, Target, growth, main, median
from tests.lab.pool import Pool, test_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTERS = 200
PARTS = (8, 4, 2, 1)
"""Sizes: an eighth, a quarter, half, and all of the jobs."""
VOS = ("atlas", "cms", "theory")
ENVIRONMENTS = tuple(
    Environment(
        name=f"env{number}", vo=VOS[number % 3], virtualization="lxc", vcpus=2, memory_mib=600, network={"kind": "host"}
    )
    for number in range(5)
)
BASE = ("ClusterId", "ProcId", "JobStatus", "RequestCpus", "RequestMemory", "RequestDisk", "WantEnvironment")
PER_JOB = """
import json, resource, sys, time
import htcondor2
schedd = htcondor2.Schedd(htcondor2.Collector(sys.argv[1]).query(htcondor2.AdType.Schedd)[0])
schedd.query("false", ["ClusterId"])
begun = time.perf_counter()
jobs = schedd.query("true", sys.argv[2].split())
print(json.dumps([time.perf_counter() - begun, len(jobs), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))
"""
AUTOCLUSTERS = """
import sys, htcondor2
schedd = htcondor2.Schedd(htcondor2.Collector(sys.argv[1]).query(htcondor2.AdType.Schedd)[0])
print(sum(ad["JobCount"] for ad in schedd.query("true", [], opts=htcondor2.QueryOpt.AutoCluster)))
"""


def submit(pool: Pool, jobs: int, begin: int, end: int) -> None:
    """Queue jobs in clusters begin..end: 150 different requests of three VOs, whatever the number of jobs."""
    for number in range(begin, end):
        pool.sleep(
            60,
            vo=VOS[number % 3],
            user=f"user{number % 7}",
            count=jobs // (end - begin),
            environment=f"env{number % 5}",
            request_memory=300 + 10 * (number % 10),
            requirements="TARGET.AmbientiEnvironment =?= MY.WantEnvironment && TARGET.HasNothing =!= true && TARGET.Never",
        )


def with_bindings(pool: Pool, program: str, *arguments: str) -> str:
    """Run a small program with HTCondor's bindings in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, pool.collector, *arguments],
        env={**os.environ, "CONDOR_CONFIG": str(pool.client("ambienti"))},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return done.stdout


class Reader:
    """The connector with its companions, measured."""

    def __init__(self, pool: Pool) -> None:
        from connectors.htcondor import connect

        self.pool = pool
        self.system = connect(
            "pool",
            {**pool.options(), "exact_seconds": 3600},
            site="bench",
            deadline_seconds=120,
            directory=pool.directory / "ambienti",
        )

    def read(self, *, cheap: bool) -> float:
        """Return the seconds of one whole reading: queue, workers and all."""
        begun = time.perf_counter()
        reading = self.system.read(ENVIRONMENTS, cheap=cheap)
        seconds = time.perf_counter() - begun
        if reading.exact is cheap:
            raise RuntimeError(f"asked for a {'quiet' if cheap else 'exact'} reading and got another")
        self.idle = sum(cluster.idle for cluster in reading.clusters)
        self.rows = len(reading.clusters)
        return seconds

    def per_job(self, projection: tuple[str, ...]) -> tuple[float, int, int]:
        """Return seconds, number of ads and the client's peak memory in MiB of one ad per job."""
        seconds, count, memory_mib = json.loads(with_bindings(self.pool, PER_JOB, " ".join(projection)))
        return seconds, count, memory_mib

    def memory_mib(self) -> int:
        """Return the peak memory of the largest companion in MiB."""
        peaks = []
        for companion in self.system.companions.values():
            lines = Path(f"/proc/{companion.pid}/status").read_text().splitlines()
            peaks.append(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024)
        return max(peaks)


@contextlib.contextmanager
def negotiated(pool: Pool, reader: Reader) -> Iterator[None]:
    """Run one worker that none of the jobs accepts: the schedd then gives all of them autocluster ids."""
    from tests.real.htcondor_pool import wait_until, worker_of

    with worker_of(reader.system, ENVIRONMENTS[0]):
        wait_until(lambda: int(with_bindings(pool, AUTOCLUSTERS)) >= reader.idle, "every job has an autocluster id", 300)
        yield


def measure(reader: Reader, projection: tuple[str, ...], runs: int) -> dict[str, float]:
    """Return medians of per-job, exact and quiet readings, taken in turn so that all see the same machine."""
    seconds: dict[str, list[float]] = {"per job": [], "exact": [], "quiet": []}
    memory_mib = 0
    reader.read(cheap=False)
    for _ in range(runs):
        taken, count, memory_mib = reader.per_job(projection)
        seconds["per job"].append(taken)
        seconds["exact"].append(reader.read(cheap=False))
        if count != reader.idle:
            raise RuntimeError(f"{count} jobs one by one, {reader.idle} in groups")
        seconds["quiet"] += [reader.read(cheap=True) for _ in range(3)]
    return {name: median(values) for name, values in seconds.items()} | {"per job MiB": memory_mib}


def lag(pool: Pool, reader: Reader) -> tuple[int, int, int]:
    """Submit more jobs and look at once: how many there are, what the autoclusters say, what the connector says."""
    due = reader.idle
    for number in range(4):
        pool.sleep(vo="cms", environment="env1", count=250, request_memory=600 + number, requirements="TARGET.Never")
        due += 250
    told = int(with_bindings(pool, AUTOCLUSTERS))
    reader.read(cheap=False)
    return due, told, reader.idle


def run(options: argparse.Namespace) -> Report:
    """Measure at four sizes, and at the largest also with autocluster ids."""
    defaults = HTCondorOptions(collector="x")
    projection = (*BASE, *vo_attributes(defaults.vo), *defaults.walltime, "Requirements")
    report = Report(
        "Reading the queue", f"A real schedd with {options.jobs} idle jobs in {CLUSTERS} clusters; {options.runs} runs."
    )
    rows, taken = [], []
    with test_pool("bench") as pool:
        reader = Reader(pool)
        done = 0
        for part in PARTS:
            size, upto = options.jobs // part, CLUSTERS // part
            submit(pool, size - done * (options.jobs // CLUSTERS), done, upto)
            done = upto
            time.sleep(5)
            taken.append(measure(reader, projection, options.runs))
            rows.append(row(reader, taken[-1], "no worker yet"))
        if os.getuid() == 0:
            with negotiated(pool, reader):
                final = measure(reader, projection, options.runs)
                rows.append(row(reader, final, "a worker"))
                due, autoclusters, told = lag(pool, reader)
            lagging = Target(
                "counts right after 1000 more jobs",
                f"{due} jobs",
                f"{told}",
                told == due,
                f"HTCondor's autoclusters said {autoclusters}.",
            )
        else:
            final, lagging = taken[-1], None
        reader.system.close()
    columns = [
        "idle jobs",
        "rows",
        "pool has",
        "per job s",
        "exact s",
        "quiet s",
        "exact/per job",
        "quiet/per job",
        "per job MiB",
        "ours MiB",
    ]
    report.tables.append(Table("One reading", columns, rows))
    report.targets = targets(final, taken, rows, options.jobs)
    report.targets += [lagging] if lagging else []
    return report


def row(reader: Reader, taken: dict[str, float], has: str) -> list[object]:
    """Return one row of the table."""
    one, exact, quiet = taken["per job"], taken["exact"], taken["quiet"]
    return [
        reader.idle,
        reader.rows,
        has,
        one,
        exact,
        quiet,
        exact / one,
        quiet / one,
        taken["per job MiB"],
        reader.memory_mib(),
    ]


def targets(final: dict[str, float], taken: list[dict[str, float]], rows: list[list[object]], jobs: int) -> list[Target]:
    """Judge the figures."""
    sizes = [jobs / part for part in PARTS]
    exact, first, quiet = (
        final["exact"] / final["per job"], taken[-1]["exact"] / taken[-1]["per job"], final["quiet"] / final["per job"],
    )  # fmt: skip
    memory = [int(str(one[-1])) for one in rows[: len(PARTS)]]
    grows = memory[-1] - memory[0]
    exponent = growth(sizes, [one["exact"] for one in taken])
    return [
        Target(
            "exact reading against one ad per job", "at most 1/3", f"{exact:.3f}", exact <= 1 / 3,
            f"{first:.3f} as long as the pool has never negotiated: without autocluster ids requirements are compared as text.",
        ),
        Target("quiet reading against one ad per job", "at most 1/50", f"{quiet:.5f} (1/{1 / quiet:.0f})", quiet <= 1 / 50),
        Target("growth of an exact reading with the jobs", "about linear", f"exponent {exponent:.2f}", exponent <= 1.2),
        Target("memory of our process from 1/8 to all jobs", "no growth", f"{grows:+d} MiB", grows <= 8, f"{memory} MiB"),
    ]  # fmt: skip


if __name__ == "__main__":
    main(
        run,
        lambda parser: (
            parser.add_argument("--jobs", type=int, default=100_000),
            parser.add_argument("--runs", type=int, default=5),
        ),
    )
