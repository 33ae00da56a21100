"""One thread sees to the keepalives of all hosts, and a host that hangs keeps no other waiting."""

import threading
import time

import pytest

from connectors.libvirt.line import LineTask
from connectors.libvirt.threads import MOST_IDLE, in_a_thread
from connectors.libvirt.watching import Watcher
from scheduler.model.ports import EventKind, SourceError


def until(holds, seconds=60.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class StillLine:
    """The line to a host that says nothing by itself, and answers when it is asked, or never."""

    deadline_seconds = 20.0
    keepalive_seconds = 1
    is_open = True

    def __init__(self, host, *, hangs=False):
        self.host = host
        self.asked_in = []
        self.wakes = threading.Event()
        self.answered = time.monotonic()
        if not hangs:
            self.wakes.set()

    @property
    def silent_seconds(self):
        return time.monotonic() - self.answered

    def watch(self, on_event, on_line):
        self.on_line = on_line

    def ask(self, asked):
        return LineTask(asked, time.monotonic(), None)

    def carry_out(self, task, _operation):
        self.asked_in.append(threading.get_ident())
        self.wakes.wait()
        self.answered = time.monotonic()
        task.done.set()

    def leave(self, task, seconds):
        task.cancelled.set()
        return SourceError(self.host, task.asked, f"no answer within {seconds:g} s")


@pytest.fixture
def watched():
    told, made = [], []

    def watch(*lines):
        made.extend((line, Watcher(line, told.append, 60)) for line in lines)
        return told

    yield watch
    for line, watcher in made:
        watcher.close()
        line.wakes.set()


def test_idle_hosts_that_answer_are_asked_in_one_thread(watched):
    lines = [StillLine(f"h{n}") for n in range(50)]
    told = watched(*lines)
    until(lambda: all(line.asked_in for line in lines))
    assert len({line.asked_in[0] for line in lines}) <= 2, "one round, or two that follow each other"
    assert told == []


def test_a_host_that_hangs_is_lost_in_its_time_and_keeps_no_other_waiting(watched):
    hanging, others = StillLine("h0", hangs=True), [StillLine(f"h{n}") for n in range(1, 20)]
    began = time.monotonic()
    told = watched(hanging, *others)
    until(lambda: all(line.asked_in for line in others))
    assert time.monotonic() - began < 10
    until(lambda: told)
    assert [(event.host, event.what) for event in told] == [("h0", EventKind.HOST_LOST)]
    assert all(line.silent_seconds < 10 for line in others)


def test_threads_are_used_again_and_new_ones_made_while_all_are_held():
    held, ran = threading.Event(), []
    for _ in range(MOST_IDLE + 4):
        in_a_thread(lambda: (ran.append(threading.get_ident()), held.wait()))
    until(lambda: len(ran) == MOST_IDLE + 4)
    assert len(set(ran)) == MOST_IDLE + 4
    held.set()
    time.sleep(0.2)
    again = []
    in_a_thread(lambda: again.append(threading.get_ident()))
    until(lambda: again)
    assert again[0] in ran
