"""The side file of a journal: its lock proves that who held it is dead, for the kernel takes it back that very instant.

SQLite's lies beside the database: whoever opens that opens it too. For a journal in a server each machine has its own, so the
name under which it is written into the lease tells of which boot of which machine it was: a copy of that machine, started from
a snapshot, proves nothing about the original.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

BESIDE = "beside"
"""The name of a file that lies beside the database."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class SideFile:
    """Holds the lock on a file; a journal without such a file proves nothing."""

    def __init__(self, beside: str | None, of_machine: Path | None = None) -> None:
        self._beside = beside is not None
        self._path = Path(beside) if beside else of_machine
        self._held: weakref.finalize[..., SideFile] | None = None
        self._name = ""

    def name(self) -> str:
        """Return by which name the lease knows this file; "" if there is none."""
        if self._held is not None:
            return self._name
        try:
            return "" if self._path is None else self._named(self._path.stat())
        except OSError:
            return ""

    def take(self) -> str:
        """Take the lock, or keep it, and return its name; "" where another process has it, or it cannot be had."""
        if self._held is None and self._path is not None:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return ""
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                return ""
            self._name = self._named(os.fstat(file))
            self._held = weakref.finalize(self, os.close, file)
        return self.name() if self._held is not None else ""

    def let_go(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            self._held()
            self._held = None

    def _named(self, found: os.stat_result) -> str:
        return BESIDE if self._beside else f"{_BOOT.read_text().strip()}:{found.st_dev}:{found.st_ino}"
