"""The one place that runs a program: argument lists, a deadline, bounded output; every failure is a SourceError.

A program gets the few variables of our environment that it may need, and no secret that stands in another. It leads a process
group of its own, which is killed as a whole at its end or its deadline: what it started does not outlive it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_ANSWER = 2000
"""Characters of a program's complaint that are passed on."""
MOST_OUTPUT_BYTES = 16 * 2**20
"""Of a program that is run once."""
MOST_FRAME_BYTES = 128 * 2**20
"""Of one question to a companion, or one answer."""
_FAREWELL_SECONDS = 2.0
_LOOK_SECONDS = 0.1
_PASSED_ON = frozenset(
    "PATH HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR LD_LIBRARY_PATH PYTHONPATH CONDOR_CONFIG CONDOR_IDS"
    " KRB5CCNAME KRB5_CONFIG SSL_CERT_FILE SSL_CERT_DIR".split()
)
_PASSED_ON_BEGINNINGS = ("LC_", "_CONDOR_", "_condor_")
"""HTCondor's own settings may stand in the environment."""


def environment_of(further: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a program: what of ours it may need, and `further`."""
    ours = {name: text for name, text in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_BEGINNINGS)}
    return {**ours, **(further or {})}


def run(
    arguments: Sequence[str],
    *,
    source: str,
    asked: str,
    deadline_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed; failing, not starting and being late are SourceErrors.

    `environment` is added to what is passed on of our own.
    """
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment_of(environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        said = getattr(error, "strerror", None) or error
        raise SourceError(source, asked, f"{arguments[0]} cannot be run: {said}") from error
    with process:
        try:
            out, complaint = _gathered(process, time.monotonic() + deadline_seconds)
        except TimeoutError as error:
            raise SourceError(source, asked, f"{arguments[0]} gave no answer within {deadline_seconds:g} s") from error
        except OverflowError as error:
            raise SourceError(source, asked, f"{arguments[0]} printed more than {MOST_OUTPUT_BYTES} bytes") from error
        finally:
            kill_group(process)
    if process.returncode:
        said = (complaint or out).decode(errors="replace").strip()[-_LONGEST_ANSWER:]
        raise SourceError(source, asked, said or f"{arguments[0]} ended with {process.returncode}")
    return out.decode(errors="replace")


def _gathered(process: subprocess.Popen[bytes], until: float) -> tuple[bytes, bytes]:
    """Return what a program printed until its end, which grandchildren that hold its pipes do not put off."""
    assert process.stdout is not None
    assert process.stderr is not None
    kept = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as ready:
        for stream in kept:
            ready.register(stream, selectors.EVENT_READ)
        while ready.get_map():
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError
            has_ended = _has_ended(process)
            events = ready.select(0 if has_ended else min(left, _LOOK_SECONDS))
            if has_ended and not events:
                break
            for key, _ in events:
                if not (content := os.read(key.fd, 65536)):
                    ready.unregister(key.fd)
                kept[key.fd] += content
            if sum(map(len, kept.values())) > MOST_OUTPUT_BYTES:
                raise OverflowError
    while not _has_ended(process):
        if time.monotonic() >= until:
            raise TimeoutError
        time.sleep(0.01)
    return bytes(kept[process.stdout.fileno()]), bytes(kept[process.stderr.fileno()])


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a program has ended; it is not reaped, so that its number still is its group's and nobody else's."""
    return process.returncode is not None or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that leads a group of its own, with all that it started, and reap it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class FramedPipe:
    """Frames of bytes between us and a companion, each with its length before it."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def send(self, content: bytes) -> None:
        """Send one frame. Raises OSError when nobody listens, ValueError for one that is too large."""
        if len(content) > MOST_FRAME_BYTES:
            raise ValueError(f"{len(content)} bytes are more than the {MOST_FRAME_BYTES} that may be sent at once")
        self._socket.sendall(struct.pack("!I", len(content)) + content)

    def receive(self) -> bytes:
        """Return the next frame. Raises EOFError when the other side has gone, ValueError for one that is too large."""
        (length,) = struct.unpack("!I", self._exactly(4))
        if length > MOST_FRAME_BYTES:
            raise ValueError(f"{length} bytes are more than the {MOST_FRAME_BYTES} that may be received at once")
        return self._exactly(length)

    def close(self) -> None:
        """Hang up; whoever waits for a frame in another thread is told so."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _exactly(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            more = self._socket.recv(min(length - len(content), 2**20))
            if not more:
                raise EOFError
            content += more
        return bytes(content)


@dataclass(frozen=True, slots=True)
class _Running:
    """One life of a companion."""

    process: subprocess.Popen[bytes]
    line: FramedPipe
    complaints: IO[bytes]

    def kill(self) -> None:
        """Kill its group at once; whoever waits for its answer reaps it."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> str:
        """Hang up, let it end by itself or kill it, with all that it started; return its last words."""
        self.line.close()
        until = time.monotonic() + _FAREWELL_SECONDS
        while not _has_ended(self.process) and time.monotonic() < until:
            time.sleep(0.01)
        kill_group(self.process)
        with self.complaints as said:
            said.seek(max(0, said.seek(0, os.SEEK_END) - 4 * _LONGEST_ANSWER))
            return said.read().decode(errors="replace").strip()[-_LONGEST_ANSWER:] or "it said nothing"


class Companion:
    """A process of our own beside us, asked one thing at a time; one that is late is killed and started afresh.

    A foreign library that may hang, or that holds the interpreter's lock while it waits, is used behind such a door: then a
    deadline is kept whatever the library does, and nothing else of the daemon waits with it.
    """

    def __init__(
        self, source: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, greeting: bytes = b""
    ) -> None:
        """`greeting` is the first thing that each new process is told."""
        self._source = source
        self._arguments = list(arguments)
        self._environment = dict(environment or {})
        self._greeting = greeting
        self._running: _Running | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Return the process id while it runs."""
        return self._running.process.pid if self._running is not None else None

    def ask(self, question: bytes, *, asked: str, deadline_seconds: float) -> bytes:
        """Send a question and return the answer, as the two sides have agreed to write them."""
        begun = time.monotonic()
        running = self._started(asked)
        alarm = threading.Timer(max(0.0, deadline_seconds), running.kill)
        alarm.daemon = True
        alarm.start()
        try:
            running.line.send(question)
            return running.line.receive()
        except (EOFError, OSError) as error:
            late = time.monotonic() - begun >= deadline_seconds
            complaint = self._end(running)
            if late:
                raise SourceError(self._source, asked, f"no answer within {deadline_seconds:g} s") from error
            raise SourceError(self._source, asked, f"{self._arguments[-1]} ended unexpectedly: {complaint}") from error
        except ValueError as error:
            running.kill()
            self._end(running)
            raise SourceError(self._source, asked, str(error)) from error
        finally:
            alarm.cancel()

    def close(self) -> None:
        """End the process, and all that it started; the next question starts another."""
        if (running := self._running) is not None:
            self._end(running)

    def _end(self, running: _Running) -> str:
        """End one life, once: it may be given up by another thread while it is asked."""
        with self._lock:
            if self._running is not running:
                return "it was closed"
            self._running = None
        return running.end()

    def _started(self, asked: str) -> _Running:
        if (running := self._running) is not None:
            if not _has_ended(running.process):
                return running
            self._end(running)
        ours, theirs = socket.socketpair()
        complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed in end()
        with theirs:
            try:
                # In a session of its own: a Ctrl-C at the terminal is for us to answer.
                process = subprocess.Popen(
                    [*self._arguments, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stderr=complaints,
                    pass_fds=(theirs.fileno(),),
                    env=environment_of(self._environment),
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                complaints.close()
                raise SourceError(self._source, asked, f"{self._arguments[0]} cannot be run: {error}") from error
        running = self._running = _Running(process, FramedPipe(ours.detach()), complaints)
        with contextlib.suppress(OSError):  # one that has ended already is found out by the question
            running.line.send(self._greeting)
        return running
