"""A worker without a hypervisor: the worker image's tree in namespaces of its own, started by hand. Needs root."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.paths import lab_path
from tests.lab.worker_image import tree

_ENTER = """
mount --make-rprivate /
mount --bind "$TREE" "$TREE"
mount --bind "$FILES" "$TREE/ambienti"
mount -o remount,bind,ro "$TREE"
mount -t proc proc "$TREE/proc"
mount --rbind /dev "$TREE/dev"
exec chroot "$TREE" /init
"""


@dataclass
class BareWorker:
    """One worker; `kill` is a power cut: nothing says good-bye."""

    name: str
    parameters: Mapping[str, str]
    files: Mapping[str, bytes]
    _process: subprocess.Popen | None = field(default=None, init=False)

    @property
    def directory(self) -> Path:
        """Return the worker's directory in the lab (its console is `console` there)."""
        return lab_path("bare", f"{self.name}-{os.getpid()}")

    def start(self) -> None:
        """Deliver the enrolment and start the worker's first process."""
        delivered = self.directory / "ambienti"
        delivered.mkdir(mode=0o700, exist_ok=True)
        (delivered / "parameters").write_text("".join(f"{name}={value}\n" for name, value in self.parameters.items()))
        for name, content in self.files.items():
            (delivered / name).write_bytes(content)
            (delivered / name).chmod(0o600)
        environment = {"PATH": os.environ["PATH"], "TREE": str(tree()), "FILES": str(delivered)}
        command = [
            "setpriv",
            "--pdeathsig=KILL",
            "unshare",
            "-m",
            "-u",
            "-i",
            "-p",
            "-f",
            "--kill-child=KILL",
            "bash",
            "-ec",
            _ENTER,
        ]
        with (self.directory / "console").open("ab") as console:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )

    def running(self) -> bool:
        """Whether it still runs."""
        return self._process is not None and self._process.poll() is None

    def console(self) -> str:
        """Return what it has said."""
        return (self.directory / "console").read_text(errors="replace")

    def kill(self) -> None:
        """Cut its power."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(120)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended by itself."""
        end = time.monotonic() + seconds
        while self.running() and time.monotonic() < end:
            time.sleep(0.05)
        return not self.running()

    def close(self) -> None:
        """Cut its power and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
