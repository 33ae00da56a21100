"""Programs run on behalf of connectors: deadlines are kept, complaints are passed on; companions that hang are killed."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from connectors.command import Companion, run
from scheduler.ports import SourceError

ECHO = """
import sys, time
from connectors.command import questions
line = questions(int(sys.argv[1]))
greeting = line.recv()
try:
    while True:
        question = line.recv()
        if question == "hang":
            while True: time.sleep(60)
        if question == "die":
            raise SystemExit(3)
        line.send((greeting, question))
except EOFError:
    pass
"""


@pytest.fixture
def companion(tmp_path):
    program = tmp_path / "echo.py"
    program.write_text(ECHO)
    companion = Companion("source", (sys.executable, str(program)), {"PYTHONPATH": str(Path(__file__).parents[2])}, "hello")
    yield companion
    companion.close()


def ask(companion, question, seconds=10.0):
    return companion.ask(question, asked="a question", deadline_seconds=seconds)


def asked(*arguments, deadline_seconds=10.0, **more):
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
    assert [ask(companion, number) for number in range(3)] == [("hello", 0), ("hello", 1), ("hello", 2)]


def test_a_companion_that_hangs_is_killed_at_the_deadline_and_replaced(companion):
    ask(companion, 1)
    first = companion.pid
    begun = time.monotonic()
    with pytest.raises(SourceError, match="no answer within"):
        ask(companion, "hang", 0.3)
    assert time.monotonic() - begun < 30
    assert ask(companion, 2) == ("hello", 2)
    assert companion.pid != first


def test_a_stopped_companion_is_killed_at_the_deadline(companion):
    ask(companion, 1)
    os.kill(companion.pid, signal.SIGSTOP)
    with pytest.raises(SourceError, match="no answer within"):
        ask(companion, 2, 0.3)


def test_a_companion_that_dies_is_an_error_and_replaced(companion):
    with pytest.raises(SourceError, match="ended unexpectedly"):
        ask(companion, "die")
    assert ask(companion, 2) == ("hello", 2)


def test_a_companion_ends_with_the_one_who_asks(companion):
    ask(companion, 1)
    pid = companion.pid
    companion.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_that_cannot_be_started_is_an_error():
    companion = Companion("source", ("/no/such/program",))
    with pytest.raises(SourceError, match="cannot be run"):
        ask(companion, 1)
