"""Cut after every write to the journal and every act on the outside, start again, and compare."""

import pytest

from simulations.interrupted import MOST_BOOTS_MORE, cuts, tell
from simulations.scenario import Scenario

STORY = {
    "lasts": 660,
    "limits": {"poll_seconds": 30},
    "hosts": {"xen1": {"cpus": 4, "memory_mib": 8192}, "xen2": {"cpus": 4, "memory_mib": 8192}},
    "vos": {"atlas": {}, "cms": {}},
    "environments": {
        "atlas-el9": {"vo": "atlas", "vcpus": 2, "memory_mib": 4096, "idle_seconds": 60, "disk": {"mode": "overlay"}},
        "cms-el9": {"vo": "cms", "vcpus": 2, "memory_mib": 4096, "idle_seconds": 60},
    },
    "jobs": [
        {"at": 10, "vo": "atlas", "count": 2, "wants": "atlas-el9", "cpus": 2, "runs": 120},
        {"at": 40, "vo": "cms", "count": 1, "wants": "cms-el9", "cpus": 2, "runs": 90},
        {"at": 240, "vo": "atlas", "count": 1, "wants": "atlas-el9", "cpus": 2, "runs": 60},
    ],
    "faults": [{"at": 100, "do": "worker-dies", "worker": "atlas-el9-1"}],
}


@pytest.fixture(scope="module", params=[False, True], ids=["stays", "leaves"])
def story(request):
    return Scenario.model_validate({**STORY, "drained_workers_leave": request.param})


def test_whatever_step_the_daemon_is_killed_after_the_farm_ends_the_same(story, tmp_path_factory):
    whole = tell(story, tmp_path_factory.mktemp("whole"))
    assert not whole.violations
    assert whole.end.jobs_done == (("atlas", 3), ("cms", 1))
    chosen = cuts(whole.steps)
    assert len(chosen) > 50, "the story has become too short to prove anything"
    assert {step.split()[0] for step in whole.steps} >= {
        "begin",
        "boot",
        "enrol",
        "drain",
        "end",
        "remember",
        "forget",
        "clean-up",
    }
    for cut in chosen:
        told = tell(story, tmp_path_factory.mktemp("cut"), cut)
        where = f"killed after step {cut} ({whole.steps[cut - 1]})\n{told.log}"
        assert told.killed, where
        assert not told.violations, f"{told.violations[0]}; {where}"
        assert told.end == whole.end, where
        assert told.started_twice == 0, where
        assert told.boots <= whole.boots + MOST_BOOTS_MORE, where
