"""Processes that another process has started: found again by their number, and never taken for a later one of the same number."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process; its start makes it another than a later one of its number."""

    pid: int
    started: int
    """Ticks of the kernel's clock."""

    def runs(self) -> bool:
        """Whether it has not ended."""
        return _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it has ended. Nobody else can get it, not even one that takes its number now."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.runs():
                    signal.pidfd_send_signal(descriptor, number)
                    return True
            finally:
                os.close(descriptor)
        return False

    def keep(self, file: Path) -> None:
        """Write down who it is."""
        file.write_text(f"{self.pid} {self.started}\n")


def known(pid: int) -> Process | None:
    """Return a process by its number, while it runs."""
    started = _started(pid)
    return None if started is None else Process(pid, started)


def kept(file: Path) -> Process | None:
    """Return the process that was written down, if that very one still runs."""
    try:
        pid, started = map(int, file.read_text().split())
    except (OSError, ValueError):
        return None
    process = Process(pid, started)
    return process if process.runs() else None


def named(file: Path, word: str) -> Process | None:
    """Return the process whose number a program has written down itself, if its command still has this word."""
    try:
        process = known(int(file.read_text()))
        ours = process is not None and word.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return process if ours and process.runs() else None


def _started(pid: int) -> int | None:
    """Return when a process was started; None when there is none, or only its exit code is left."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in {"Z", "X"} else int(fields[18])
