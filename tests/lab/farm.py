"""A farm of the lab as a site has it: its files, its daemon as a process of its own, its journal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from scheduler.journal.reading import JournalReader
from tests.lab.paths import interpreted_here
from tests.lab.pool import Pool

T = TypeVar("T")
LIMITS = {
    "poll_seconds": 1,
    "reading_deadline_seconds": 60,
    "minimum_life_seconds": 0,
    "confirm_empty_seconds": 2,
    "adoption_seconds": 30,
}
"""A lab's clock; a site's is slower."""
PROGRAM = Path(sys.executable).with_name("ambienti")


class LabFarm:
    """Holds a site's directory and, once started, its daemon."""

    def __init__(
        self,
        directory: Path,
        pool: Pool,
        hosts: list[Mapping[str, object]],
        environments: Mapping[str, Mapping[str, Mapping[str, object]]],
        limits: Mapping[str, object] | None = None,
        listen: str = "",
        batch_options: Mapping[str, object] | None = None,
    ) -> None:
        """Write the site's files; `environments` are VO -> name -> definition. YAML reads JSON.

        `batch_options` are options of the batch system's connector beside those that the pool needs.
        """
        self.directory = directory
        self.site_file = directory / "site.yaml"
        self.process: subprocess.Popen[bytes] | None = None
        site = {
            "site": "lab",
            "batch_systems": [{"name": "pool", "kind": "htcondor", "options": {**pool.options(), **(batch_options or {})}}],
            "hosts": hosts,
            "image_roots": ["/"],  # the lab's images lie in the checkout, wherever that is
            "vos": {vo: {} for vo in environments},
            "limits": {**LIMITS, **(limits or {})},
            "daemon": {"listen": listen, "lease_seconds": 10},
        }
        (directory / "vos").mkdir(parents=True, exist_ok=True)
        self.site_file.write_text(json.dumps(site, indent=2))
        for vo, definitions in environments.items():
            (directory / f"vos/{vo}.yaml").write_text(json.dumps({"vo": vo, "environments": definitions}, indent=2))

    @classmethod
    def found(cls, directory: Path) -> LabFarm:
        """Return the farm whose files stand in `directory` already."""
        farm = cls.__new__(cls)
        farm.directory, farm.site_file, farm.process = directory, directory / "site.yaml", None
        return farm

    def ambienti(self, *words: str, seconds: float = 60) -> str:
        """Run one command of the command line on this site and return what it prints."""
        command = [str(interpreted_here(PROGRAM)), *words, "--site", str(self.site_file)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode:
            raise RuntimeError(f"ambienti {' '.join(words)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    # --- the daemon -------------------------------------------------------------------------------------------------------

    def start(self, *, stays: bool = False) -> int:
        """Start the daemon and return its pid; unless it `stays` it dies with this process."""
        bound = [] if stays else ["setpriv", "--pdeathsig=TERM"]
        with (self.directory / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*bound, str(interpreted_here(PROGRAM)), "run", "--site", str(self.site_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NO_COLOR": "1"},
                start_new_session=True,
            )
        return self.process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon and return its exit status; one that does not end in time is killed, and that is an error.

        It may wait as long as a source may take to answer and 5 s more for what is under way; then it gives its own things back.
        """
        seconds = 5 * LIMITS["reading_deadline_seconds"]
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(120)
            raise RuntimeError(f"the daemon did not end within {seconds} s of {how.name}:\n{self.log()}") from None

    def log(self, lines: int = 60) -> str:
        """Return the last lines of the daemon's log."""
        path = self.directory / "daemon.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # --- what is known of it ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def journal(self) -> Iterator[JournalReader]:
        """Read the journal beside the daemon."""
        reader = JournalReader(f"sqlite:///{self.directory / 'ambienti.db'}", now=time.time())
        try:
            yield reader
        finally:
            reader.close()

    def until(self, holds: Callable[[], T], seconds: float, what: str) -> T:
        """Wait until something holds and return it; fail with the end of the daemon's log."""
        deadline = time.monotonic() + seconds
        while True:
            answer = holds()
            if answer:
                return answer
            ended = self.process.poll() if self.process else None
            if ended is not None or time.monotonic() > deadline:
                why = f"the daemon ended with {ended}" if ended is not None else f"not within {seconds} s"
                raise AssertionError(f"{what}: {why}\n{self.log()}")
            time.sleep(0.1)
