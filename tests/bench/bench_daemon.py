"""The whole process `ambienti run`, over farms of several sizes: memory, processor, threads, commits; and memory under churn.

Hosts are libvirt's test driver behind the real connector; the queue is the simulated one. Both live in the daemon's process: a
process that holds only them is measured beside it. Processor time is read from the kernel, not from the clock on the wall.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.commands.daemon import NoAnswerError, ask
from tests.bench import report
from tests.bench.whole_farm import HOSTS, POLL_SECONDS, known_to_python, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SIZES = (1, 500, 1_500, 5_000, 10_000)
MEASURED_SECONDS = 2 * POLL_SECONDS
CHURNING_WORKERS = 200
CHURN_SECONDS = 120
CHURN_WARMS_UP_SECONDS = 20
_FRAME_HEADER, _WAL_HEADER = 24, 32


class Process:
    """One running daemon."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = os.pathsep.join((str(known_to_python()), str(Path(__file__).parents[2])))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        # As an installed one has its bytecode ready: compiling it takes memory that is never given back.
        environment |= {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(known_to_python() / "bytecode")}
        program = Path(sys.executable).with_name("ambienti")
        # A journal is made once in its life, by what is loaded for that alone.
        subprocess.run(
            [program, "journal", "upgrade", "--site", directory / "site.yaml"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with (directory / "daemon.log").open("wb") as log:
            self.child = subprocess.Popen(
                [program, "run", "--site", directory / "site.yaml"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.pid = self.child.pid

    def until_busy(self, workers: int, seconds: float = 180.0) -> None:
        """Wait until all workers are adopted and seen at work; each signal makes it go round at once."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(2.5)
            assert self.child.poll() is None, self.directory.joinpath("daemon.log").read_text()[-3000:]
            if self._busy() >= workers:
                return
            if (self.directory / "state/daemon.sock").exists():
                self.child.send_signal(signal.SIGHUP)
        raise TimeoutError(self.directory.joinpath("daemon.log").read_text()[-3000:])

    def _busy(self) -> float:
        try:
            text = ask(self.directory / "state/daemon.sock", "/metrics", seconds=30).content.decode()
        except NoAnswerError:
            return 0.0
        return sum(
            float(line.split()[-1]) for line in text.splitlines() if line.startswith("ambienti_workers{") and '"busy"' in line
        )

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Return its resident memory."""
        return _memory_mib(self.pid)

    def threads(self) -> int:
        """Return how many threads it has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def commits(self) -> int:
        """Return how many commits stand in the journal's log; fewer than before: it was begun anew."""
        with (self.directory / "ambienti.db-wal").open("rb") as file:
            head = file.read(_WAL_HEADER)
            page, salts = int.from_bytes(head[8:12]), head[16:24]
            found = 0
            while len(frame := file.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salts:
                found += frame[4:8] != bytes(4)
                file.seek(page, os.SEEK_CUR)
        return found

    def stop(self) -> None:
        """End it."""
        self.child.terminate()
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(60)


def _memory_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


@contextmanager
def _running(workers: int, **options: object) -> Iterator[Process]:
    with tempfile.TemporaryDirectory(prefix="ambienti-bench-") as place:
        lay_out(Path(place), workers, **options)
        process = Process(Path(place))
        try:
            yield process
        finally:
            process.stop()


def _own_mib(workers: int) -> float:
    """Return what the hosts of the test driver and the simulated queue take in a process that holds nothing else."""
    with tempfile.TemporaryDirectory(prefix="ambienti-bench-") as place:
        lay_out(Path(place), workers)
        command = [sys.executable, "-m", "tests.bench.whole_farm", place, str(workers)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _row(workers: int) -> dict[str, float]:
    with _running(workers) as process:
        process.until_busy(workers)
        time.sleep(3)
        cpu, commits, began = process.cpu_seconds(), process.commits(), time.monotonic()
        time.sleep(MEASURED_SECONDS)
        minutes = (time.monotonic() - began) / 60
        return {
            "memory": process.memory_mib(),
            "own": _own_mib(workers),
            "cpu": (process.cpu_seconds() - cpu) / minutes,
            "threads": process.threads(),
            "commits": (process.commits() - commits) / (MEASURED_SECONDS / POLL_SECONDS),
        }


def _churn(seconds: int) -> dict[str, float]:
    """Let every worker live for seconds only, and see whether the daemon grows."""
    with _running(CHURNING_WORKERS, churn=True) as process:
        process.until_busy(CHURNING_WORKERS // 2)
        time.sleep(CHURN_WARMS_UP_SECONDS)
        first, began = _boots(process), time.monotonic()
        memory, cpu, commits, last = [], process.cpu_seconds(), 0, process.commits()
        while time.monotonic() - began < seconds:
            time.sleep(0.2)
            now = process.commits()
            commits, last = commits + (now - last if now >= last else now), now
            memory.append(process.memory_mib())
        boots = _boots(process) - first
        half = len(memory) // 2
        return {
            "boots": boots,
            "first": report.median(memory[: half // 2]),
            "last": report.median(memory[-half // 2 :]),
            "commits": commits / boots,
            "cpu": 1000 * (process.cpu_seconds() - cpu) / boots,
        }


def _boots(process: Process) -> float:
    text = ask(process.directory / "state/daemon.sock", "/metrics", seconds=30).content.decode()
    mark = 'ambienti_actions_total{action="boot",outcome="done"} '
    return sum(float(line.removeprefix(mark)) for line in text.splitlines() if line.startswith(mark))


def measure(arguments: argparse.Namespace) -> report.Report:
    """Measure each size in a process of its own, one after the other."""
    with _running(1) as process:
        process.until_busy(1)  # so that all bytecode is there
    rows = {workers: _row(workers) for workers in arguments.sizes}
    made = report.Report("daemon", "")
    made.what = (
        f"the whole process `ambienti run` with {HOSTS} hosts of libvirt's test driver, polled every {POLL_SECONDS} s while nothing "
        "changes. Of its own: what the test driver's hosts and the simulated queue take of it, measured in a process without a daemon."
    )
    made.tables.append(
        report.Table(
            "a quiet farm",
            ["workers", "MiB", "of its own MiB", "CPU s a minute", "threads", "commits a cycle"],
            [
                [f"{n:,}", round(r["memory"]), round(r["own"]), round(r["cpu"], 2), int(r["threads"]), r["commits"]]
                for n, r in rows.items()
            ],
        )
    )
    made.targets += list(_targets(rows))
    if arguments.churn_seconds:
        churn = _churn(arguments.churn_seconds)
        made.tables.append(
            report.Table(
                f"churn: {CHURNING_WORKERS} workers that live for seconds",
                ["boots", "MiB in the first quarter", "in the last", "commits a boot and its end", "CPU ms a boot and its end"],
                [[int(churn["boots"]), round(churn["first"], 1), round(churn["last"], 1), churn["commits"], churn["cpu"]]],
            )
        )
        grown = churn["last"] - churn["first"]
        asked = f"+{FLAT_MIB} MiB at most over {churn['boots']:,.0f} boots"
        made.targets.append(report.Target("memory under churn", asked, f"{grown:+.1f} MiB", grown <= FLAT_MIB))
    return made


FLAT_MIB = 2
"""What the allocator moves to and fro."""


def _targets(rows: Mapping[int, Mapping[str, float]]) -> Iterator[report.Target]:
    for workers, most in ((1, 70), (5_000, 120)):
        if workers in rows:
            memory, own = rows[workers]["memory"], rows[workers]["own"]
            note = f"{own:.0f} MiB of it are the test driver's hosts and the simulated queue."
            yield report.Target(f"memory, {workers:,} workers", f"<= {most} MiB", f"{memory:.0f} MiB", memory <= most, note)
    if 5_000 in rows:
        cpu = rows[5_000]["cpu"]
        yield report.Target("CPU, 5,000 workers", "<= 1.5 s a minute", f"{cpu:.2f} s", cpu <= 1.5)


def add(parser: argparse.ArgumentParser) -> None:
    """Add what may be chosen."""
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="workers of each farm")
    parser.add_argument("--churn-seconds", type=int, default=CHURN_SECONDS, help="0: no churn")


if __name__ == "__main__":
    report.main(measure, add)
