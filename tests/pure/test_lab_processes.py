"""The lab's processes: found again, and never mistaken."""

import os
import signal
import subprocess
import sys

import pytest

from tests.lab.processes import Process, kept, known, named


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=-1) as started:
        started.stdout.read(1)
        yield started
        started.kill()


def test_a_process_that_was_written_down_is_found_again_and_can_be_signalled(sleeper, tmp_path):
    file = tmp_path / "pid"
    known(sleeper.pid).keep(file)
    assert kept(file) == known(sleeper.pid)
    assert kept(file).signal(signal.SIGTERM)
    sleeper.wait(10)
    assert kept(file) is None


def test_another_process_of_the_same_number_is_left_alone(sleeper, tmp_path):
    file = tmp_path / "pid"
    stale = Process(sleeper.pid, known(sleeper.pid).started - 1)
    stale.keep(file)
    assert kept(file) is None
    assert not stale.signal(signal.SIGKILL)
    assert sleeper.poll() is None


def test_one_that_has_ended_and_waits_to_be_reaped_does_not_run(sleeper):
    process = known(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not process.runs()
    assert known(sleeper.pid) is None


def test_a_number_that_a_program_wrote_counts_only_with_its_command(sleeper, tmp_path):
    file = tmp_path / "pid"
    file.write_text(f"{sleeper.pid}\n")
    assert named(file, "-c") == known(sleeper.pid)
    assert named(file, "libvirtd") is None


@pytest.mark.parametrize("content", ["", "12", "a b", "1 2 3"])
def test_nonsense_is_no_process(content, tmp_path):
    file = tmp_path / "pid"
    file.write_text(content)
    assert kept(file) is None
