"""The one place that runs a program: argument lists, a deadline, captured output; every failure is a SourceError."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING

from scheduler.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_ANSWER = 2000
"""Characters of a program's complaint that are passed on."""
_FAREWELL_SECONDS = 2.0


def run(
    arguments: Sequence[str],
    *,
    source: str,
    asked: str,
    deadline_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed; failing, not starting and being late are SourceErrors.

    `environment` is added to our own.
    """
    try:
        done = subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=deadline_seconds,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(source, asked, f"{arguments[0]} gave no answer within {deadline_seconds:g} s") from error
    except OSError as error:
        raise SourceError(source, asked, f"{arguments[0]} cannot be run: {error.strerror or error}") from error
    if done.returncode:
        complaint = (done.stderr or done.stdout).decode(errors="replace").strip()[-_LONGEST_ANSWER:]
        raise SourceError(source, asked, complaint or f"{arguments[0]} ended with {done.returncode}")
    return done.stdout.decode(errors="replace")


class Companion:
    """A process of our own beside us, asked one thing at a time; one that is late is killed and started afresh.

    A foreign library that may hang, or that holds the interpreter's lock while it waits, is used behind such a door: then a
    deadline is kept whatever the library does, and nothing else of the daemon waits with it.
    """

    def __init__(
        self, source: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, greeting: object = None
    ) -> None:
        """`greeting` is the first thing that each new process is told."""
        self._source = source
        self._arguments = list(arguments)
        self._environment = dict(environment or {})
        self._greeting = greeting
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._complaints: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return self._process.pid if self._process is not None else None

    def ask(self, question: object, *, asked: str, deadline_seconds: float) -> object:
        """Send a question (anything that can be pickled) and return the answer."""
        begun = time.monotonic()
        process, line = self._started(asked)
        alarm = threading.Timer(max(0.0, deadline_seconds), process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            line.send(question)
            answer: object = line.recv()
        except (EOFError, OSError) as error:
            late = time.monotonic() - begun >= deadline_seconds
            process.wait(_FAREWELL_SECONDS)
            complaint = self._last_words()
            self.close()
            if late:
                raise SourceError(self._source, asked, f"no answer within {deadline_seconds:g} s") from error
            raise SourceError(self._source, asked, f"{self._arguments[-1]} ended unexpectedly: {complaint}") from error
        finally:
            alarm.cancel()
        return answer

    def close(self) -> None:
        """End the process; the next question starts another."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_FAREWELL_SECONDS)
            self._process.kill()
            self._process.wait()
        if self._complaints is not None:
            self._complaints.close()
        self._process = self._line = self._complaints = None

    def _last_words(self) -> str:
        assert self._complaints is not None
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace").strip()[-_LONGEST_ANSWER:] or "it said nothing"

    def _started(self, asked: str) -> tuple[subprocess.Popen[bytes], Connection]:
        if self._process is not None and self._line is not None and self._process.poll() is None:
            return self._process, self._line
        self.close()
        ours, theirs = socket.socketpair()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        with theirs:
            try:
                # In a session of its own: a Ctrl-C at the terminal is for us to answer.
                self._process = subprocess.Popen(
                    [*self._arguments, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stderr=self._complaints,
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, **self._environment},
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                self.close()
                raise SourceError(self._source, asked, f"{self._arguments[0]} cannot be run: {error}") from error
        self._line = Connection(ours.detach())
        self._line.send(self._greeting)
        return self._process, self._line


def questions(descriptor: int) -> Connection:
    """Return the line to whoever started this process as a companion."""
    return Connection(descriptor)
