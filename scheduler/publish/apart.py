"""Charts and PDFs are made in processes of their own: a native library that crashes or hangs takes only itself.

Such a library aborts its process on a text that it cannot bear; in the daemon that was the end of everything, again after each
start.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile

from environments.text import printable

SECONDS = {"svg": 60.0, "library": 60.0, "pdf": 900.0}
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "FONTCONFIG_FILE", "FONTCONFIG_PATH")
_WHAT = {"svg": "the chart", "library": "the charts", "pdf": "the PDF"}
_SAID = 300


class UndrawnError(Exception):
    """What could not be drawn, and why."""


def made(task: str, given: object, seconds: float | None = None) -> bytes:
    """Return what the child makes of a task (see `native.TASKS`). Raises UndrawnError."""
    seconds = SECONDS[task] if seconds is None else seconds
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        question.write(json.dumps({"task": task, "given": given}).encode())
        question.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-m", "scheduler.publish.native"],
            stdin=question,
            stdout=out,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise UndrawnError(f"{_WHAT[task]} took longer than {seconds:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if code:
            said.seek(0)
            words = said.read(100_000).decode(errors="replace").strip().splitlines()
            last = f": {printable(words[-1], _SAID)}" if words else ""
            raise UndrawnError(f"{_WHAT[task]} could not be drawn: {_ended(code)}{last}")
        out.seek(0)
        return out.read()


def _ended(code: int) -> str:
    return f"the library died of {signal.Signals(-code).name}" if code < 0 else f"the library failed ({code})"
