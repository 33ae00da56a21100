"""A real farm on one machine: `make lab`, `make lab-try`, `make lab-status`, `make lab-down`.

    python -m tests.lab up [lxc qemu xen]    start the pool, the hosts of these lanes (all by default) and the daemon
    python -m tests.lab try [lxc qemu xen]   a job of each VO in each lane (that runs, by default); shows where it ran, from
                                             HTCondor's history and the journal
    python -m tests.lab status               what runs
    python -m tests.lab env                  print what a shell needs: source <(python -m tests.lab env)
    python -m tests.lab down                 stop all of it

Everything it keeps is in the lab's directory: `$AMBIENTI_LAB`, by default `.lab`.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scheduler.journal.records import Sighting
from tests.lab import lanes
from tests.lab.farm import PROGRAM, LabFarm
from tests.lab.libvirtd import Libvirtd
from tests.lab.paths import lab_path
from tests.lab.pool import Pool, lab_pool
from tests.lab.processes import Process, kept, known
from tests.lab.xen import worker as xen_worker
from tests.lab.xen.build import build
from tests.lab.xen.host import XenHost

LANES = ("lxc", "qemu", "xen")
LISTEN = "127.0.0.1:19620"
JOB_SECONDS = 6
"""Long enough to be seen by a look of the daemon: one every two seconds."""
TRY_SECONDS = {"lxc": 120, "qemu": 240, "xen": 600}
"""The farm polls no sooner than the slowest of its hosts has answered: what is quick alone waits for the others here."""
SEEN_SECONDS = 90
OUT = Console()


def up(chosen: list[str]) -> int:
    """Start everything, one part after the other; what runs already stays."""
    if os.getuid() != 0:
        OUT.print("The lab starts containers and mounts: run it as root (sudo make lab).")
        return 2
    if _daemon():
        OUT.print("The lab runs already; `make lab-down` first to change its lanes.")
        return 1
    try:
        _start(chosen)
    except (RuntimeError, OSError, AssertionError) as error:
        OUT.print(f"The lab did not start: {error}", markup=False)
        OUT.print("`make lab-down` stops what runs of it.")
        return 1
    OUT.print("The farm is up. Now:\n")
    for line in (
        f"source <({shlex.quote(sys.executable)} -m tests.lab env)     # condor_* and ambienti of this farm",
        "ambienti status",
        "make lab-try     # a job of each VO in each lane",
        "make lab-down",
    ):
        OUT.print(f"    {line}", soft_wrap=True, highlight=False)
    return 0


def _start(chosen: list[str]) -> None:
    if _listens():
        raise RuntimeError(f"something else listens on {LISTEN} already (the lab of another checkout?)")
    hosts, daemon, xen = [], Libvirtd("lab"), XenHost(1)
    with _step("HTCondor pool"):
        pool = lab_pool()
        pool.start()
    if {"lxc", "qemu"} & set(chosen):
        with _step("worker images for LXC and QEMU"):
            lanes.worker_images()
        with _step("libvirt daemon"):
            daemon.start()
        hosts += [lanes.host_entry(daemon, lane, name=f"{lane}1") for lane in ("lxc", "qemu") if lane in chosen]
    if "xen" in chosen:
        with _step("Xen host: hypervisor and dom0 from Debian's packages (a minute or two, once)"):
            build()
        with _step("Xen host: boots in full emulation (some 20 seconds)"):
            if not xen.pid:
                xen.start()
        with _step("worker image for Xen"):
            xen_worker.publish_worker(xen)
        hosts.append(xen_worker.host_entry(xen))
    with _step("Ambienti's daemon"):
        through = xen_worker.BATCH_OPTIONS if "xen" in chosen else {}
        environments = _environments(chosen, xen)
        farm = LabFarm(_directory(), pool, hosts, environments, {"poll_seconds": 2}, listen=LISTEN, batch_options=through)
        pool.configure("60-ambienti.conf", farm.ambienti("hooks", "htcondor"))
        pool.restart_schedd()
        pid = farm.start(stays=True)
        if process := known(pid):
            process.keep(_directory() / "daemon.pid")
        farm.until(_listens, 60, f"the daemon listens on {LISTEN}")


@contextlib.contextmanager
def _step(what: str) -> Iterator[None]:
    """Say what is under way, on a terminal all the while, and how long it took."""
    began = time.monotonic()
    if not OUT.is_terminal:
        OUT.print(f"{what} ...", soft_wrap=True, highlight=False)
    with OUT.status(what):
        yield
    OUT.print(f"{what}: {time.monotonic() - began:.0f} s", soft_wrap=True, highlight=False)


def try_jobs(chosen: list[str]) -> int:
    """Submit a job of each VO to each lane; half by condor_submit, half through the Python bindings."""
    farm_of, pool = _running_farm(), lab_pool()
    running = _lanes_of(farm_of)
    missing = [lane for lane in chosen if lane not in running]
    if missing:
        OUT.print(f"The lab runs without {', '.join(missing)}: it has {', '.join(running)}.")
        return 1
    chosen = chosen or running
    submitted = {}
    for number, (lane, vo) in enumerate((lane, vo) for lane in chosen for vo in lanes.VOS):
        environment = f"{vo}-{lane}"
        how = pool.submit_by_bindings if number % 2 else pool.sleep
        submitted[how(JOB_SECONDS, vo=vo, user=f"user-{vo}", environment=environment)] = (lane, vo, environment, how.__name__)
    heads = ("VO", "environment", "job", "submitted by", "ran on", "seconds", "journal")
    table = Table(*heads, title="A job of each VO in each lane", title_justify="left", box=None, pad_edge=False)
    failed = 0
    began = time.monotonic()
    OUT.print(
        f"{len(submitted)} jobs are submitted; they run when their workers have booted: minutes, where a machine is emulated."
    )
    for cluster, (lane, vo, environment, how) in submitted.items():
        with OUT.status(f"job {cluster} of {vo} in {environment}"):
            job = _finished(pool, cluster, began + TRY_SECONDS[lane])
            seen = _seen(farm_of, cluster, environment, SEEN_SECONDS if job else 0)
        good = bool(job and job.get("ExitCode") == 0 and seen and str(seen[0].worker) in str(job.get("LastRemoteHost")))
        failed += not good
        took = f"{job['CompletionDate'] - job['QDate']}" if job else "-"
        tool = "condor_submit" if how == "sleep" else "htcondor2"
        ran = str(job.get("LastRemoteHost", "?")).split("@")[-1].split(".")[0] if job else "[red]did not end[/]"
        table.add_row(vo, environment, str(cluster), tool, ran, took, seen[0].worker if seen else "[red]not seen[/]")
    OUT.print(table)
    return 1 if failed else 0


def status() -> int:
    """Say what runs."""
    table = Table("part", "pid", "where")
    pool = lab_pool()
    table.add_row("HTCondor pool", str(pool.running() or "-"), pool.collector)
    daemon, xen = Libvirtd("lab"), XenHost(1)
    keeper = daemon.keeper()
    table.add_row("libvirt daemon", str(keeper.pid if keeper else "-"), daemon.uri("qemu"))
    table.add_row("Xen host", str(xen.pid or "-"), xen.uri if xen.pid else "")
    table.add_row("ambienti run", str(ours.pid if (ours := _daemon()) else "-"), f"http://{LISTEN}")
    OUT.print(table)
    if not _daemon():
        OUT.print("The lab does not run: `make lab` starts it.")
    return 0


def environment() -> int:
    """Print the lines that a shell evaluates."""
    pool = lab_pool()
    path = f"{PROGRAM.parent}:{pool.release / 'bin'}:{pool.release / 'sbin'}:$PATH"
    print(f'export PATH="{path}"')
    print(f"export CONDOR_CONFIG={shlex.quote(str(pool.client('alice')))}")
    print(f"export AMBIENTI_SITE={shlex.quote(str(_directory() / 'site.yaml'))}")
    return 0


def down() -> int:
    """Stop the daemon, the hosts with all their guests, and the pool; the next farm knows nothing of this one."""
    if daemon := _daemon():
        daemon.signal(signal.SIGTERM)
        end = time.monotonic() + 60
        while daemon.runs() and time.monotonic() < end:
            time.sleep(0.1)
        daemon.signal(signal.SIGKILL)
    (_directory() / "daemon.pid").unlink(missing_ok=True)
    Libvirtd("lab").stop()
    XenHost(1).stop()
    pool_directory = lab_path("pool")
    if (pool_directory / "master.pid").exists():
        lab_pool().stop()
        shutil.rmtree(pool_directory, ignore_errors=True)
    for left in _directory().glob("ambienti.db*"):
        left.unlink()  # the workers are gone with their hosts; a journal of them would be a lie
    OUT.print("The lab is down.")
    return 0


def _directory() -> Path:
    return lab_path("farm")


def _daemon() -> Process | None:
    return kept(_directory() / "daemon.pid")


def _listens() -> bool:
    host, _, port = LISTEN.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _running_farm() -> LabFarm:
    if not _daemon():
        OUT.print("The lab does not run: `make lab` first.")
        raise SystemExit(1)
    return LabFarm.found(_directory())


def _lanes_of(farm: LabFarm) -> list[str]:
    """Return the lanes that the running farm was started with."""
    hosts = json.loads(farm.site_file.read_text())["hosts"]
    return [lane for lane in LANES if any(str(host["uri"]).startswith(lane) for host in hosts)]


def _environments(chosen: list[str], xen: XenHost) -> dict[str, dict[str, dict[str, object]]]:
    """Each VO has an environment in each lane; its default is the lane of its own number, if that runs."""
    ramdisk = xen_worker.publish_worker(xen) if "xen" in chosen else ""
    result: dict[str, dict[str, dict[str, object]]] = {}
    for number, vo in enumerate(lanes.VOS):
        made: dict[str, dict[str, object]] = {}
        if "lxc" in chosen:
            made[f"{vo}-lxc"] = lanes.container(vo, idle_seconds=20)
        if "qemu" in chosen:
            made[f"{vo}-qemu"] = lanes.diskless(idle_seconds=20)
            made[f"{vo}-disk"] = lanes.with_disk(idle_seconds=20)
        if "xen" in chosen:
            made[f"{vo}-xen"] = xen_worker.environment(ramdisk, vo=vo)
        own = f"{vo}-{LANES[number]}"
        made[own if own in made else next(iter(made))]["default"] = True
        result[vo] = made
    return result


def _finished(pool: Pool, cluster: int, deadline: float) -> dict[str, object] | None:
    while time.monotonic() < deadline:
        found = pool.history(cluster)
        if found:
            return found[0]
        time.sleep(0.3)
    return None


def _seen(farm: LabFarm, cluster: int, environment: str, seconds: float) -> list[Sighting]:
    """Wait until the journal knows where a job has run: what ended between two polls is found at the next in the history."""
    deadline = time.monotonic() + seconds
    while True:
        with farm.journal() as journal:
            found = [one for one in journal.sightings(job=f"{cluster}.0") if one.environment == environment]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def main() -> int:
    """Choose the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=["up", "try", "status", "env", "down"])
    parser.add_argument("lanes", nargs="*", metavar="LANE", help=f"of {', '.join(LANES)}; all by default")
    options = parser.parse_args()
    for name in options.lanes:
        if name not in LANES:
            near = difflib.get_close_matches(name, LANES, 1)
            OUT.print(
                f"No lane is called {name!r}{f': did you mean {near[0]}?' if near else '.'} There are {', '.join(LANES)}."
            )
            return 2
    act = {
        "up": lambda: up(options.lanes or list(LANES)),
        "try": lambda: try_jobs(options.lanes),
        "status": status,
        "env": environment,
        "down": down,
    }
    return act[options.command]()


if __name__ == "__main__":
    sys.exit(main())
