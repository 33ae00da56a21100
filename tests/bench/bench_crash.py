"""A thousand SIGKILLs of the daemon at random instants, during bursts of boots and retirements on a real libvirtd (LXC).

`--kills N` for fewer, `--seed N` to replay.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.bench import report
from tests.lab.crashes import CrashFarm, Ordeal
from tests.lab.libvirtd import Libvirtd


def measure(kills: int, seed: int) -> report.Report:
    """Kill, restart, judge, until there were so many kills."""
    made = report.Report("crash", "the daemon is killed with -9 at random instants while it boots and retires LXC workers")
    begun = time.monotonic()
    libvirtd = Libvirtd(f"bench-crash-{os.getpid()}", dies_with_parent=True)
    libvirtd.start()
    try:
        with tempfile.TemporaryDirectory(prefix="ambienti-crash-") as directory:
            farm = CrashFarm(Path(directory), libvirtd)
            ordeal = Ordeal(farm, seed)
            try:
                while ordeal.kills < kills:
                    ordeal.round(jobs=8, most_kills=24)
                started, leftovers = len(farm.queue.started), farm.leftovers()
            finally:
                ordeal.close()
                farm.close()
    finally:
        libvirtd.remove()
    made.seconds = time.monotonic() - begun
    acts = ", ".join(f"{kind}: {count}" for kind, count in ordeal.killed_in.most_common())
    made.tables.append(
        report.Table(
            f"seed {seed}",
            ["kills", "rounds", "workers started", "double boots", "orphans", "left behind", "kills with open intents"],
            [[ordeal.kills, ordeal.rounds, started, len(ordeal.double_boots), len(ordeal.orphans), len(leftovers), acts]],
        )
    )
    for name, found in (("double boots", ordeal.double_boots), ("orphans", ordeal.orphans), ("left behind", sorted(leftovers))):
        made.targets.append(report.Target(name, "0", f"{len(found)} {found[:3] or ''}".strip(), not found))
    made.targets.append(report.Target("kills", f"{kills}", f"{ordeal.kills}", ordeal.kills >= kills))
    return made


def run(options: argparse.Namespace) -> report.Report:
    """Run with the options of the command line."""
    return measure(options.kills, options.seed)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=int(os.environ.get("AMBIENTI_KILLS", "1000")))
    parser.add_argument("--seed", type=int, default=1)


if __name__ == "__main__":
    report.main(run, _options)
