"""A job that ends badly, on the whole farm: its worker is recognised, told and taken back; a job beside it loses nothing."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.lab.lanes import container
from tests.real.lane import lane

pytestmark = [pytest.mark.real, pytest.mark.lane, pytest.mark.slow, pytest.mark.timeout(900)]
# A start daemon that never gives up on a job's processes: what is left to the farm is to take the worker.
NEVER_KILLS = "KILLING_TIMEOUT = 100000\n"


@pytest.fixture(scope="module")
def lxc(tmp_path_factory):
    box = {**container("atlas"), "vcpus": 2, "memory_mib": 512, "job_memory_mib": 300}
    options = {"vacate_seconds": 2, "worker_config": NEVER_KILLS}
    with lane("lxc", tmp_path_factory.mktemp("stuck"), {"atlas": {"atlas-box": box}}, options, linger_seconds=3) as lxc:
        yield lxc


def starter_of(slot, worker):
    """Return the process that looks after a slot's job in a container of ours."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_text().split("\0")
            its_name = (path.parent / "root/ambienti/parameters").read_text()
            if words[0].endswith("condor_starter") and slot in words and f"worker={worker}\n" in its_name:
                return int(path.parent.name)
    raise LookupError(f"no starter of {slot} in {worker}")


def test_a_worker_whose_slot_is_not_let_go_is_told_drained_and_powered_off_after_the_job_beside(lxc):
    cluster, worker, _ = lxc.running_job("atlas-box", 600)
    beside, out = lxc.submit("atlas-box", 50)
    assert lxc.wait_until_it_runs(beside) == worker
    os.kill(starter_of("slot1_1", worker), signal.SIGSTOP)
    lxc.remove(cluster)
    lxc.pool.tool("condor_rm", "-forcex", str(cluster), user="root", check=False)
    left = f"job {cluster}.0 no longer runs, but holds slot1_1 (Preempting/"

    def told():
        return json.dumps(json.loads(lxc.farm.ambienti("why-worker", worker, "--json")))

    lxc.farm.until(lambda: left in told(), 240, "what is left of the job is told")
    assert f"job {beside}.0 of atlas runs in it" in told()
    lxc.farm.until(lambda: "drains (stuck)" in told(), 240, "it is overdue, and its worker drains")
    assert lxc.domains(), "for the job beside runs by right"
    lxc.farm.until(lambda: lxc.record(beside), 240, "the job beside ends")
    lxc.wait_until_nothing_is_left()
    (record,) = lxc.pool.history(beside)
    assert (record["ExitCode"], record["NumJobStarts"], record["NumShadowStarts"]) == (0, 1, 1)
    assert out.read_text().split()[-1] == "done"
    events = lxc.farm.ambienti("events", worker, "--json")
    assert left in events
    assert "its batch system should have ended that by" in events
