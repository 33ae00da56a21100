"""A foreign watcher: asks at fixed intervals, with commands as an administrator types them, whether things are well.

    python3 watcher.py FILE INTERVAL_SECONDS NAME=COMMAND...

It knows nothing of Ambienti and shares no code with it. Something is well when its command ends with 0 before anybody would lose
patience. Each look is one line of FILE: name, when it began and when it ended (seconds since 1970), `well` or `bad`. SIGTERM ends it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PATIENCE_SECONDS = 5.0


def is_well(command: str) -> bool:
    """Run a command of the shell; what hangs is not well."""
    asked = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return asked.wait(PATIENCE_SECONDS) == 0
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(asked.pid, signal.SIGKILL)
        asked.wait()
        return False


def watch(name: str, command: str, interval_seconds: float, write, over: threading.Event) -> None:
    """Look at one thing until it is over; a look that took long moves the next ones."""
    due = time.monotonic()
    while not over.wait(max(0.0, due - time.monotonic())):
        begun = time.time()
        well = is_well(command)
        write(f"{name}\t{begun:.6f}\t{time.time():.6f}\t{'well' if well else 'bad'}\n")
        due = max(due + interval_seconds, time.monotonic())


def main(file: str, interval_seconds: str, *things: str) -> None:
    """Look at all things, each in a thread of its own, until told to end."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with Path(file).open("a", encoding="utf-8", buffering=1) as lines:
        threads = []
        for thing in things:
            name, _, command = thing.partition("=")
            words = (name, command, float(interval_seconds), lines.write, over)
            threads.append(threading.Thread(target=watch, args=words))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
