"""The side file of a journal: its lock proves that who held it is dead, for the kernel takes it back that very instant."""

from __future__ import annotations

import fcntl
import os
import weakref


class SideFile:
    """Holds the lock on a file; a journal without such a file proves nothing."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._held: weakref.finalize[..., SideFile] | None = None

    @property
    def exists(self) -> bool:
        """Whether there is such a file to take."""
        return self._path is not None

    def take(self) -> bool:
        """Take the lock, or keep it; False where another process has it, or there is no file."""
        if self._path is None:
            return False
        if self._held is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                return False
            self._held = weakref.finalize(self, os.close, file)
        return True

    def let_go(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            self._held()
            self._held = None
