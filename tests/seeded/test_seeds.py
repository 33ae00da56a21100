"""Random farms with random faults; AMBIENTI_SEEDS says how many."""

import os

import pytest

from environments.environment import Environment
from simulations.farm import SimulatedFarm
from simulations.invariants import ALWAYS, AT_REST, IN_CALM, OF_CALLS, InvariantWatch
from simulations.plant import HostCall, SimulatedVolume
from simulations.scenario import Scenario
from simulations.seeds import run_seed

COUNT = int(os.environ.get("AMBIENTI_SEEDS", "30"))
BATCH = 10


@pytest.mark.parametrize("first", range(1, COUNT + 1, BATCH))
def test_nothing_forbidden_happens_and_in_the_end_all_is_served(first, tmp_path):
    for seed in range(first, min(first + BATCH, COUNT + 1)):
        directory = tmp_path / str(seed)
        directory.mkdir()
        result = run_seed(seed, directory)
        assert not result.violations, (
            f"seed {seed}: {result.violations[0]}\nreplay: ambienti simulate seeds --start {seed} --count 1 --log"
        )


def test_the_same_seed_gives_the_same_log_to_the_last_letter(tmp_path):
    logs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        logs.append(run_seed(5, tmp_path / name).log)
    assert logs[0] == logs[1]


def test_different_seeds_give_different_farms(tmp_path):
    logs = set()
    for seed in (1, 2, 3):
        (tmp_path / str(seed)).mkdir()
        logs.add(run_seed(seed, tmp_path / str(seed)).log)
    assert len(logs) == 3


# --- the invariants themselves: each is shown a farm in which it is broken ------------------------------------------------


@pytest.fixture
def farm(tmp_path):
    scenario = Scenario.model_validate(
        {
            "lasts": 600,
            "hosts": {"xen1": {"memory_mib": 8192}, "xen2": {"memory_mib": 8192}},
            "vos": {"atlas": {"ceiling_cpus": 4}},
            "environments": {
                "atlas-el9": {
                    "vo": "atlas", "vcpus": 2, "memory_mib": 4096, "maximum_workers": 2, "idle_seconds": 60,
                    "disk": {"mode": "overlay"}, "network": {"kind": "bridge", "addresses": "10.0.0.1-10.0.0.9/24"},
                }
            },
            "jobs": [{"vo": "atlas", "count": 1, "wants": "atlas-el9", "runs": 400}],
        }
    )  # fmt: skip
    farm = SimulatedFarm(scenario, tmp_path)
    farm.run(200)
    assert [list(host.domains) for host in farm.plant.hosts.values()] == [["atlas-el9-1"], []]
    yield farm
    farm.close()


def copied(farm, name="atlas-el9-1", to="xen2", **changes):
    """Let a second domain appear that nobody ordered."""
    from dataclasses import replace

    domain = farm.plant.hosts["xen1"].domains["atlas-el9-1"]
    farm.plant.hosts[to].domains[name] = replace(domain, name=name, **changes)


def found(farm):
    return {
        invariant.__name__
        for invariant in (*ALWAYS, *IN_CALM)
        if list(invariant(farm))
    }  # fmt: skip


def test_a_healthy_farm_breaks_no_invariant(farm):
    assert found(farm) == set()


def test_overcommitted_memory_is_found(farm):
    copied(farm, "somebody", memory_mib=9000, identity=None, environment=None, volume=None)
    assert found(farm) == {"no_host_is_above_its_memory"}


def test_a_worker_that_runs_twice_writes_twice_and_has_its_address_twice(farm):
    copied(farm)
    assert found(farm) == {"no_disk_is_writable_on_two_hosts", "no_worker_runs_twice"}


def test_an_address_given_twice_is_found(farm):
    copied(farm, "atlas-el9-2", volume=None)
    assert found(farm) == {"no_static_address_is_given_twice"}


def test_a_ceiling_and_a_maximum_overrun_are_found(farm):
    for number in (2, 3):
        copied(farm, f"atlas-el9-{number}", "xen2", volume=None)
        identity = farm.plant.hosts["xen2"].domains[f"atlas-el9-{number}"].identity
        from dataclasses import replace

        farm.plant.hosts["xen2"].domains[f"atlas-el9-{number}"].identity = replace(identity, address=None)
    assert found(farm) == {"no_vo_is_above_its_ceiling", "no_environment_is_above_its_maximum"}


def test_a_stranger_that_vanished_is_found(farm):
    farm.plant.hosts["xen2"].add_stranger("database", 1024)
    assert found(farm) == set()
    del farm.plant.hosts["xen2"].domains["database"]
    assert found(farm) == {"strangers_are_not_touched"}


def test_a_boot_that_no_job_can_use_is_found(farm):
    copied(farm, "atlas-el9-2", volume=None, registered=False, started_monotonic=farm.clock.monotonic())
    assert "no_more_workers_boot_than_jobs_can_use" in found(farm)


def test_what_is_left_at_rest_is_found(farm):
    broken = {invariant.__name__ for invariant in AT_REST if list(invariant(farm))}
    assert broken == {"every_satisfiable_job_is_done", "zero_jobs_zero_workers"}
    farm.plant.volumes["default", "atlas-el9-77"] = SimulatedVolume("hill", "atlas-el9-77", "u77")
    farm.queue.book.served["atlas"].submitted += 1
    broken = {invariant.__name__ for invariant in AT_REST if list(invariant(farm))}
    assert broken >= {"nothing_is_left_behind", "no_job_is_lost"}


def test_forbidden_acts_are_found():
    call = {"at": 1.0, "host": "xen1", "worker": "atlas-el9-1"}
    killed = HostCall(kind="power-off", stopped=True, running_jobs=1, seen_by_batch_system=True, **call)
    unwritten = HostCall(kind="boot", started=True, journaled=False, **call)
    squeezed = HostCall(kind="boot", short_of_memory_mib=512, **call)
    swept = HostCall(kind="clean-up", removed_under="atlas-el9-1.disk", removed_foreign="theirs.disk", **call)
    assert {invariant.__name__ for invariant in OF_CALLS if list(invariant([killed, unwritten, squeezed, swept]))} == {
        "no_boot_is_asked_for_where_memory_is_short",
        "no_worker_with_work_is_powered_off_by_choice",
        "nothing_starts_without_a_journaled_intent",
        "only_our_storage_is_removed_and_only_when_nothing_runs_on_it",
    }


def test_a_name_started_twice_and_a_power_off_with_work_are_seen_as_they_happen(farm):
    watch = InvariantWatch(farm)
    host = farm.plant.hosts["xen1"]
    uuid = host.domains["atlas-el9-1"].uuid
    host.power_off("atlas-el9-1", uuid)
    farm.plant.calls.append(HostCall(at=1.0, kind="boot", host="xen1", worker="atlas-el9-1", started=True))
    farm.run(1)
    farm.plant.calls.append(HostCall(at=2.0, kind="boot", host="xen1", worker="atlas-el9-1", started=True))
    farm.run(60)
    told = " ".join(watch.violations)
    assert "no worker with work is powered off by choice" in told
    assert "no name is used twice" in told


def test_the_environment_of_a_simulation_is_one_the_catalogue_would_take(farm):
    assert all(isinstance(one, Environment) for one in farm.policy.catalogue.environments.values())
