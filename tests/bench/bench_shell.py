"""What a person waits for at the shell: `check` of a large site, `status` and `why` beside a running daemon.

Each command is a process of its own, started again and again; the demo's farm stands behind the daemon.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.demo import lay_out
from tests.bench import report

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

AMBIENTI = Path(sys.executable).with_name("ambienti")
HOSTS = 10_000
RUNS = 7
SITE = """\
site: large
batch_systems: [{{name: pool, options: {{collector: "127.0.0.1:9618"}}}}]
hosts: [{{name: "node[00001-{hosts:05d}]", uri: "xen+ssh://root@{{host}}/system"}}]
vos: {{atlas: {{}}}}
"""
VO = "vo: atlas\nenvironments: {el9: {virtualization: xen-pv, image: {path: /srv/el9.qcow2}, disk: {mode: overlay, pool: workers}}}\n"
ASKED = {"check": 2.0, "status": 0.5, "why": 0.7}


def timed(*words: str) -> tuple[float, float]:
    """Run a command; return how long it took by the clock, and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([AMBIENTI, *words], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in {0, 1}, done.stderr
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, *words: str) -> list[object]:
    """Return medians and least of several runs of a command; the first is not counted."""
    taken = [timed(*words) for _ in range(RUNS + 1)][1:]
    wall, cpu = ([one[place] for one in taken] for place in (0, 1))
    return [name, round(report.median(wall), 2), round(min(wall), 2), round(report.median(cpu), 2)]


def waiting_job(site: Path) -> str:
    """Return a job that waits, once the daemon has seen one."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        done = subprocess.run([AMBIENTI, "why", "--json", "--site", site], capture_output=True, text=True, check=False)
        if done.returncode == 0 and (
            found := [one["job"] for one in json.loads(done.stdout)["clusters"] if one["vo"] == "theory"]
        ):
            return str(found[0])
        time.sleep(0.5)
    raise TimeoutError("no job waits")


def measure(_arguments: argparse.Namespace) -> report.Report:
    """Time the three commands."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as place:
        large = Path(place, "large")
        (large / "vos").mkdir(parents=True)
        (large / "site.yaml").write_text(SITE.format(hosts=HOSTS))
        (large / "vos/atlas.yaml").write_text(VO)
        rows.append(row(f"check of {HOSTS:,} hosts", "check", "--site", str(large / "site.yaml")))
        farm = Path(place, "farm")
        farm.mkdir()
        site = lay_out(farm, seed=1)
        daemon = subprocess.Popen([AMBIENTI, "run", "--site", site], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            job = waiting_job(site)
            rows.append(row("status", "status", "--site", str(site)))
            rows.append(row("why", "why", job, "--site", str(site)))
        finally:
            daemon.terminate()
            daemon.wait(30)
    made = report.Report("shell", measure.__doc__ or "")
    made.what = "commands as a person runs them, each a process of its own; the demo's daemon runs beside status and why"
    made.tables.append(report.Table(f"medians of {RUNS}", ["command", "wall (s)", "least (s)", "CPU (s)"], rows))
    made.targets += [_target(one) for one in rows]
    return made


def _target(measured: Sequence[object]) -> report.Target:
    asked = ASKED[str(measured[0]).split()[0]]
    wall = float(str(measured[1]))
    return report.Target(str(measured[0]), f"<= {asked} s", f"{wall:.2f} s", wall <= asked)


if __name__ == "__main__":
    report.main(measure)
