"""`ambienti env try` on real containers: through the daemon, without one, with a broken image, and killed half-way."""

import json
import os
import signal
import subprocess

import pytest

from scheduler.commands.daemon import NoAnswerError, ask
from scheduler.site import definitions
from tests.lab.farm import PROGRAM
from tests.lab.lanes import container
from tests.real.lane import lane

pytestmark = [pytest.mark.real, pytest.mark.lane, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lxc(tmp_path_factory):
    good = {**container("atlas"), "idle_seconds": 30}
    broken = {**container("cms"), "image": {"path": "/no/such/tree"}}
    with lane("lxc", tmp_path_factory.mktemp("try"), {"atlas": {"atlas-box": good, "atlas-broken": broken}}) as lxc:
        yield lxc


@pytest.fixture
def daemon(lxc):
    """The farm's daemon, which goes round."""
    lxc.farm.until(lambda: goes_round(lxc), 240, "the daemon has gone round once")


def goes_round(lxc):
    try:
        answer = ask(definitions.load(lxc.farm.site_file).file.socket, "/healthz", seconds=60)
    except NoAnswerError:
        return False
    return json.loads(answer.content)["leading"] if answer.code == 200 else False


def start(lxc, *words):
    command = [str(PROGRAM), "env", "try", *words, "--site", str(lxc.farm.site_file)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tried(lxc, *words):
    """Try an environment; return the exit code and what was printed."""
    with start(lxc, *words) as command:
        out, err = command.communicate(timeout=400)
    return command.returncode, out + err


@pytest.fixture
def without_daemon(lxc):
    assert lxc.farm.stop() == 0
    yield lxc
    if lxc.farm.process is None:
        lxc.farm.start()


def test_through_the_daemon_a_worker_is_booted_registered_and_taken_down(lxc, daemon):
    before = lxc.starts()
    code, said = tried(lxc, "atlas-box")
    assert code == 0, said
    assert "Tried by the daemon at " in said
    for words in ("is ordered on host", "its domain started", "it registered", "it provides Lane=lxc", "nothing of it is left"):
        assert words in said
    assert len(lxc.starts()) == len(before) + 1
    assert not any(lxc.left().values()), lxc.left()


def test_without_a_daemon_it_goes_the_same_way_and_does_nothing_else(without_daemon):
    lxc = without_daemon
    waiting = lxc.pool.sleep(environment="atlas-broken")
    code, said = tried(lxc, "atlas-box", "--json")
    told = json.loads(said)
    assert (code, told["verdict"], told["by"]) == (0, "works", "this command: no daemon runs")
    assert [step["what"] for step in told["steps"]] == ["asked", "ordered", "started", "registered", "gone"]
    assert not any(lxc.left().values()), lxc.left()
    with lxc.farm.journal() as journal:
        assert not [one for one in journal.ledger().entries.values() if one.environment == "atlas-broken"]
    lxc.remove(waiting)


def test_an_image_that_is_not_there_is_told_with_who_is_to_blame(lxc, daemon):
    code, said = tried(lxc, "atlas-broken")
    assert code == 1
    assert "it was not started: " in said
    assert "/no/such/tree" in said
    assert "to blame: image; put the image where `image` of atlas-broken says" in said, said
    assert not any(lxc.left().values()), lxc.left()


def test_a_worker_whose_command_was_killed_is_taken_down_by_the_daemon(lxc, daemon):
    with start(lxc, "atlas-box") as command:
        lxc.farm.until(lxc.domains, 240, "its domain runs")
        os.kill(command.pid, signal.SIGKILL)
        command.wait(120)
    lxc.wait_until_nothing_is_left()


def test_a_worker_that_a_killed_command_booted_by_itself_is_one_of_the_farm_s_for_the_next_daemon(without_daemon):
    lxc = without_daemon
    with start(lxc, "atlas-box") as command:
        lxc.farm.until(lxc.domains, 240, "its domain runs")
        os.kill(command.pid, signal.SIGKILL)
        command.wait(120)
    (worker,) = lxc.domains()
    lxc.farm.start()
    lxc.farm.until(lambda: worker in lxc.farm.ambienti("status", "--all"), 240, "it stands in the journal and is known")
    with lxc.farm.journal() as journal:
        assert journal.ledger().entries[worker].origin == "booted", "its intent came before its boot"
    lxc.wait_until_nothing_is_left()
