"""Programs run on behalf of connectors: deadlines are kept, complaints are passed on; companions that hang are killed."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from connectors.command import Companion, run
from scheduler.model.ports import SourceError

ECHO = """
import os, subprocess, sys, time
from connectors.command import FramedPipe
line = FramedPipe(int(sys.argv[1]))
greeting = line.receive()
try:
    while True:
        question = line.receive()
        if question == b"hang":
            subprocess.Popen(["sleep", "61"])
            while True: time.sleep(60)
        if question == b"die":
            raise SystemExit(3)
        if question == b"environment":
            line.send(" ".join(sorted(os.environ)).encode())
            continue
        if question == b"much":
            line._socket.sendall(bytes([255] * 4))
            continue
        line.send(greeting + question)
except EOFError:
    pass
"""


@pytest.fixture
def companion(tmp_path):
    program = tmp_path / "echo.py"
    program.write_text(ECHO)
    companion = Companion("source", (sys.executable, str(program)), {"PYTHONPATH": str(Path(__file__).parents[2])}, b"hello ")
    yield companion
    companion.close()


def ask(companion, question, seconds=60.0):
    return companion.ask(question, asked="a question", deadline_seconds=seconds)


def group_is_gone(leader):
    """Whether no process of a group is left, within a moment."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def asked(*arguments, deadline_seconds=60.0, **more):
    return run(arguments, source="source", asked="a question", deadline_seconds=deadline_seconds, **more)


def test_what_a_program_prints_is_returned():
    assert asked("sh", "-c", "echo $WORD", environment={"WORD": "ambienti"}) == "ambienti\n"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("sh", "-c", "echo bad luck >&2; exit 3"), "bad luck"),
        (("sh", "-c", "echo told on stdout; exit 1"), "told on stdout"),
        (("sh", "-c", "exit 7"), "sh ended with 7"),
        (("/no/such/program",), "/no/such/program cannot be run: No such file or directory"),
    ],
)
def test_a_program_that_fails_is_an_error_with_its_own_words(arguments, answer):
    with pytest.raises(SourceError) as raised:
        asked(*arguments)
    assert (raised.value.source, raised.value.asked, raised.value.answer) == ("source", "a question", answer)


def test_a_program_that_is_late_is_stopped():
    begun = time.monotonic()
    with pytest.raises(SourceError, match="gave no answer within"):
        asked("sleep", "60", deadline_seconds=0.2)
    assert time.monotonic() - begun < 30


def test_a_companion_answers_question_after_question(companion):
    assert [ask(companion, b"%d" % number) for number in range(3)] == [b"hello 0", b"hello 1", b"hello 2"]


def test_a_companion_that_hangs_is_killed_at_the_deadline_and_replaced(companion):
    ask(companion, b"1")
    first = companion.pid
    begun = time.monotonic()
    with pytest.raises(SourceError, match="no answer within"):
        ask(companion, b"hang", 1)
    assert time.monotonic() - begun < 30
    assert group_is_gone(first), "and what it had started"
    assert ask(companion, b"2") == b"hello 2"
    assert companion.pid != first


def test_a_stopped_companion_is_killed_at_the_deadline(companion):
    ask(companion, b"1")
    os.kill(companion.pid, signal.SIGSTOP)
    with pytest.raises(SourceError, match="no answer within"):
        ask(companion, b"2", 0.3)


def test_a_companion_that_dies_is_an_error_and_replaced(companion):
    with pytest.raises(SourceError, match="ended unexpectedly"):
        ask(companion, b"die")
    assert ask(companion, b"2") == b"hello 2"


def test_a_companion_ends_with_the_one_who_asks(companion):
    ask(companion, b"1")
    pid = companion.pid
    companion.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_that_cannot_be_started_is_an_error():
    companion = Companion("source", ("/no/such/program",))
    with pytest.raises(SourceError, match="cannot be run"):
        ask(companion, b"1")


def test_a_companion_that_is_closed_while_it_is_asked_is_an_error_and_nothing_else(companion):
    closer = threading.Timer(0.5, companion.close)
    closer.start()
    with pytest.raises(SourceError):
        ask(companion, b"hang", 20)
    closer.join()
    assert ask(companion, b"2") == b"hello 2"


def test_an_answer_without_measure_is_an_error_and_the_companion_is_replaced(companion):
    with pytest.raises(SourceError, match="4294967295 bytes are more than"):
        ask(companion, b"much")
    assert ask(companion, b"2") == b"hello 2"


def test_a_program_is_given_no_more_of_our_environment_than_it_needs(companion, monkeypatch):
    monkeypatch.setenv("PAGE_ANNA", "tgram://secret")
    monkeypatch.setenv("PGPASSWORD", "sesame")
    monkeypatch.setenv("_CONDOR_TOOL_DEBUG", "D_FULLDEBUG")
    for names in (asked("env").splitlines(), ask(companion, b"environment").decode().split()):
        given = {name.partition("=")[0] for name in names}
        assert not given & {"PAGE_ANNA", "PGPASSWORD"}
        assert {"PATH", "_CONDOR_TOOL_DEBUG"} <= given


def test_what_a_program_has_started_ends_with_it(tmp_path):
    with pytest.raises(SourceError, match="gave no answer within"):
        asked("sh", "-c", f"sleep 61 & echo $$ > {tmp_path}/pid; sleep 61", deadline_seconds=1)
    assert group_is_gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_leaves_a_child_with_its_output_keeps_nobody_waiting(tmp_path):
    begun = time.monotonic()
    assert asked("sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 61 & echo done", deadline_seconds=30) == "done\n"
    assert time.monotonic() - begun < 50
    assert group_is_gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_prints_without_end_is_stopped():
    with pytest.raises(SourceError, match="printed more than"):
        asked("sh", "-c", "yes", deadline_seconds=60)


def test_a_nul_in_an_argument_is_an_error():
    with pytest.raises(SourceError, match="cannot be run: embedded null byte"):
        asked("echo", "a\0b")
