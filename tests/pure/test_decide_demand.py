"""Demand and usable supply: what is booted for which jobs, and what counts as room already."""

import pytest

from environments.requirements import Amounts
from scheduler.decide.plan import decide
from scheduler.model.hosts import PoolSpace
from scheduler.model.workers import WorkerState
from tests.pure.builders import (
    DRAINED,
    NOW,
    a_cluster,
    a_host,
    a_policy,
    a_queue,
    a_vo,
    a_worker,
    an_environment,
    an_observation,
    boots,
    cancels,
    codes,
    drains,
    plan_for,
    power_offs,
    silent,
)


def test_a_burst_of_jobs_is_answered_at_once_with_as_many_workers_as_it_needs():
    plan = plan_for(a_cluster(idle=21))
    assert len(boots(plan)) == 11  # two cores each, 32 cores in all
    assert [boot.machine for boot in boots(plan)] == [f"el9-{n}" for n in range(1, 12)]
    assert codes(plan.clusters["pool:1"]) == ["boot-ordered"]


@pytest.mark.parametrize(
    ("cpus", "memory_mib", "per_worker"),
    [(1, 100, 2), (2, 100, 1), (1, 2000, 1), (1, 1843, 2), (1, 1844, 1)],
)
def test_jobs_are_packed_by_the_scarcer_of_cores_and_memory(cpus, memory_mib, per_worker):
    plan = plan_for(a_cluster(idle=8, cpus=cpus, memory_mib=memory_mib))
    assert len(boots(plan)) == 8 // per_worker


def test_jobs_that_take_whatever_a_worker_has_take_whole_workers():
    whole = {"el9": Amounts(cpus=2, memory_mib=100), "big": Amounts(cpus=16, memory_mib=100)}
    plan = plan_for(a_cluster(idle=8, cpus=16, by_environment=whole))
    assert len(boots(plan)) == 8


@pytest.mark.parametrize(("disk_mib", "gpus", "per_worker"), [(0, 0, 4), (2048, 0, 4), (4000, 0, 2), (10240, 0, 1), (0, 1, 2)])
def test_disk_and_gpus_count_when_jobs_are_packed(disk_mib, gpus, per_worker):
    environment = an_environment(vcpus=4, disk={"mode": "overlay", "pool": "p", "size_gib": 10}, provides={"GPUs": 2})
    asked = a_cluster(idle=8, memory_mib=100, disk_mib=disk_mib, gpus=gpus)
    pool = (PoolSpace("p", 1000),)
    plan = decide(an_observation(queues=[a_queue(asked)], hosts=[a_host(pools=pool)]), a_policy(environment))
    assert len(boots(plan)) == 8 // per_worker


def test_a_worker_without_free_disk_or_gpus_is_no_room():
    environment = an_environment(disk={"mode": "overlay", "pool": "p", "size_gib": 10}, provides={"GPUs": 1})
    for asked, used in (({"disk_mib": 5000}, {"used_disk_mib": 8000}), ({"gpus": 1}, {"used_gpus": 1})):
        for taken, booted in ((used, 1), ({}, 0)):
            worker = a_worker(state=WorkerState.BUSY, free_cpus=1, free_memory_mib=3000, **taken)
            host = a_host(pools=(PoolSpace("p", 1000),))
            observation = an_observation(queues=[a_queue(a_cluster(idle=1, **asked))], hosts=[host], workers=[worker])
            assert len(boots(decide(observation, a_policy(environment)))) == booted


def test_no_jobs_no_workers():
    assert plan_for().actions == ()


def test_free_cores_without_free_memory_are_no_room():
    worker = a_worker(state=WorkerState.BUSY, free_cpus=1, free_memory_mib=500)
    assert len(boots(plan_for(a_cluster(idle=1, memory_mib=1000), workers=[worker]))) == 1


def test_free_room_in_a_busy_worker_is_used_before_anything_boots():
    worker = a_worker(state=WorkerState.BUSY, free_cpus=1, free_memory_mib=2000)
    plan = plan_for(a_cluster(idle=1), workers=[worker])
    assert boots(plan) == []
    assert codes(plan.clusters["pool:1"]) == ["free-slot"]


@pytest.mark.parametrize("state", [WorkerState.REQUESTED, WorkerState.BOOTING])
def test_a_boot_in_flight_counts_as_a_whole_worker(state):
    plan = plan_for(a_cluster(idle=3), workers=[a_worker(state=state)])
    assert len(boots(plan)) == 1
    assert codes(plan.clusters["pool:1"]) == ["boot-ordered", "booting"]


@pytest.mark.parametrize("state", [WorkerState.DRAINING, WorkerState.DRAINED, WorkerState.FAILED, WorkerState.GONE])
def test_workers_that_leave_or_failed_are_no_supply(state):
    worker = a_worker(state=state, drain_cause="lifetime", free_cpus=2, free_memory_mib=3687)
    assert len(boots(plan_for(a_cluster(idle=2), workers=[worker]))) == 1


def test_a_worker_too_old_for_the_walltime_is_no_supply_for_it():
    old = a_worker(requested_at=NOW - 172800 + 3600)
    assert len(boots(plan_for(a_cluster(idle=1, walltime_seconds=36000), workers=[old]))) == 1
    assert boots(plan_for(a_cluster(idle=1, walltime_seconds=3600), workers=[old])) == []


def test_the_longest_job_that_is_accepted_fits_a_worker_that_took_all_the_time_allowed_to_boot():
    longest = 172800 - 600
    young = a_worker(requested_at=NOW - 600, registered_at=NOW)
    assert boots(plan_for(a_cluster(idle=1, walltime_seconds=longest), workers=[young])) == []
    plan = plan_for(a_cluster(idle=1, walltime_seconds=longest + 1, wanted="el9"))
    assert boots(plan) == []
    assert plan.clusters["pool:1"].reasons[0].numbers == {
        "asked_seconds": longest + 1, "lifetime_seconds": 172800, "boot_seconds": 600,
    }  # fmt: skip


def test_a_worker_past_its_lifetime_is_no_supply_even_before_it_is_drained():
    old = [a_worker(f"el9-{n}", requested_at=NOW - 172801 - n) for n in (1, 2)]
    plan = plan_for(a_cluster(idle=4), workers=old, policy=a_policy(limits={"drains_per_cycle": 1}))
    assert drains(plan) == {"el9-2": "lifetime"}
    assert len(boots(plan)) == 2


def test_room_is_counted_once_for_clusters_that_share_an_environment():
    worker = a_worker(free_cpus=2, free_memory_mib=3687)
    plan = plan_for(a_cluster("pool:1", idle=2), a_cluster("pool:2", idle=2, memory_mib=900), workers=[worker])
    assert len(boots(plan)) == 1


def test_room_left_over_beside_a_large_job_serves_small_ones():
    policy = a_policy(an_environment(vcpus=4, memory_mib=8192))
    large, small = a_cluster("pool:1", idle=1, cpus=3, memory_mib=3000), a_cluster("pool:2", idle=1, memory_mib=1000)
    assert len(boots(plan_for(small, large, policy=policy))) == 1


def test_supply_of_another_environment_or_batch_system_does_not_count():
    policy = a_policy(an_environment(), an_environment("el8"))
    other = a_worker(environment="el8")
    elsewhere = a_worker(batch_system="other")
    for worker in (other, elsewhere):
        plan = decide(an_observation(a_cluster(wanted="el9"), workers=[worker]), policy)
        assert len(boots(plan)) == 1


def test_jobs_that_fit_several_environments_use_what_runs_in_any_of_them():
    policy = a_policy(an_environment(), an_environment("el8"))
    plan = plan_for(a_cluster(idle=2), workers=[a_worker(environment="el9")], policy=policy)
    assert boots(plan) == []


def test_jobs_that_fit_several_environments_boot_the_default_one():
    policy = a_policy(an_environment("el8"), an_environment("el9", default=True))
    assert {boot.environment for boot in boots(plan_for(a_cluster(idle=2), policy=policy))} == {"el9"}


def test_jobs_fall_back_on_another_environment_when_the_best_has_its_maximum():
    policy = a_policy(an_environment("el8"), an_environment("el9", default=True, maximum_workers=1))
    plan = plan_for(a_cluster(idle=4), policy=policy, proven=[("el8", "1"), ("el9", "1")])
    assert sorted(boot.environment for boot in boots(plan)) == ["el8", "el9"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"wanted": "el99"}, "unknown-environment"),
        ({"vo": "cms", "wanted": "el9"}, "not-allowed"),
        ({"vo": ""}, "no-vo"),
        ({"vo": "atls"}, "unknown-vo"),
        ({"cpus": 3}, "no-match"),
        ({"cpus": 3, "wanted": "el9"}, "larger-than-worker"),
        ({"accepts": frozenset(), "wanted": "el9"}, "requirements-refuse"),
        ({"problem": "RequestCpus is not a number"}, "malformed"),
    ],
)
def test_jobs_that_cannot_be_served_ask_for_nothing_and_are_told_why(changes, code):
    policy = a_policy(an_environment(), an_environment("el8", vo="cms"))
    plan = plan_for(a_cluster(idle=5, **changes), a_cluster("pool:2", idle=1, wanted="el9"), policy=policy)
    assert codes(plan.clusters["pool:1"]) == [code]
    assert plan.clusters["pool:1"].reasons[0].remedy
    assert len(boots(plan)) == 1  # the others are served all the same


def test_a_silent_batch_system_boots_and_retires_nothing():
    workers = [
        a_worker(idle_since=NOW - 9999),
        a_worker("el9-2", WorkerState.DRAINED),
        a_worker("el9-3", WorkerState.SILENT, since=0.0),
    ]
    plan = plan_for(workers=workers, queues=[silent()])
    assert plan.actions == ()


def test_a_silent_batch_system_does_not_stop_the_others():
    queues = [silent("other"), a_queue(a_cluster(idle=1))]
    assert len(boots(plan_for(queues=queues))) == 1


def test_a_partial_answer_boots_for_the_jobs_it_shows_and_retires_nothing():
    idle = a_worker(environment="el8", idle_since=NOW - 9999)
    policy = a_policy(an_environment(), an_environment("el8"))
    plan = plan_for(queues=[a_queue(a_cluster(idle=2, wanted="el9"), complete=False)], workers=[idle], policy=policy)
    assert len(boots(plan)) == 1
    assert drains(plan) == {}


@pytest.mark.parametrize("changes", [{"suspect": True}, {"at": NOW - 181}, {"complete": False}])
def test_a_doubtful_empty_answer_retires_nothing(changes):
    worker = a_worker(idle_since=NOW - 9999)
    assert plan_for(workers=[worker], queues=[a_queue(**changes)]).actions == ()


def test_a_stale_reading_boots_nothing():
    assert plan_for(queues=[a_queue(a_cluster(idle=5), at=NOW - 181)]).actions == ()


def test_workers_on_a_silent_host_are_not_booted_a_second_time():
    waiting = a_worker(state=WorkerState.UNSEEN, registered_at=None, host="h2", since=NOW - 60)
    policy = a_policy(hosts=("h1", "h2"))
    plan = plan_for(a_cluster(idle=2), workers=[waiting], hosts=[a_host(), silent("h2")], policy=policy)
    assert boots(plan) == []
    assert codes(plan.clusters["pool:1"]) == ["in-doubt"]


def test_workers_on_a_host_silent_for_too_long_are_given_up():
    lost = a_worker(state=WorkerState.UNSEEN, registered_at=None, host="h2", since=NOW - 901)
    policy = a_policy(hosts=("h1", "h2"))
    plan = plan_for(a_cluster(idle=2), workers=[lost], hosts=[a_host(), silent("h2")], policy=policy)
    assert len(boots(plan)) == 1


def test_one_silent_worker_is_replaced_but_mass_silence_is_a_brake():
    lone = [a_worker("el9-1", WorkerState.SILENT), *(a_worker(f"el9-{n}", WorkerState.BUSY) for n in range(2, 9))]
    assert len(boots(plan_for(a_cluster(idle=2), workers=lone))) == 1
    many = [a_worker(f"el9-{n}", WorkerState.SILENT) for n in range(1, 5)]
    assert boots(plan_for(a_cluster(idle=2), workers=many)) == []


def test_a_returned_demand_takes_drains_back_before_it_boots():
    leaving = [
        a_worker("el9-1", WorkerState.DRAINED, drain_cause="idle"),
        a_worker("el9-2", WorkerState.DRAINING, drain_cause="idle", free_cpus=1, free_memory_mib=1800),
        a_worker("el9-3", WorkerState.DRAINED, drain_cause="lifetime"),
    ]
    plan = plan_for(a_cluster(idle=6), workers=leaving)
    assert cancels(plan) == ["el9-1", "el9-2"]
    assert len(boots(plan)) == 1


def test_no_more_drains_are_taken_back_than_are_needed():
    leaving = [a_worker(f"el9-{n}", WorkerState.DRAINED, drain_cause="idle") for n in range(1, 5)]
    plan = plan_for(a_cluster(idle=3), workers=leaving)
    assert len(cancels(plan)) == 2
    assert boots(plan) == []


def test_the_drain_of_a_worker_that_has_left_its_batch_system_cannot_be_taken_back():
    left = a_worker(state=WorkerState.DRAINED, drain_cause="idle")
    plan = plan_for(workers=[left], queues=[a_queue(a_cluster(idle=1))])
    assert cancels(plan) == []
    assert len(boots(plan)) == 1
    assert power_offs(plan) == ["el9-1"]


def test_the_drain_of_a_worker_on_a_drained_host_is_not_taken_back():
    leaving = a_worker(state=WorkerState.DRAINED, drain_cause="idle")
    policy = a_policy(hosts=("h1", "h2"))
    hosts = [a_host(), a_host("h2")]
    plan = plan_for(a_cluster(), workers=[leaving], policy=policy, hosts=hosts, host_words=(DRAINED,))
    assert cancels(plan) == []
    assert [boot.host for boot in boots(plan)] == ["h2"]


@pytest.mark.parametrize("cause", ["host-drain", "unwanted"])
def test_when_a_host_or_an_environment_is_back_the_drains_for_its_sake_are_taken_back(cause):
    plan = plan_for(a_cluster(idle=1), workers=[a_worker(state=WorkerState.DRAINED, drain_cause=cause)])
    assert cancels(plan) == ["el9-1"]
    assert boots(plan) == []


def test_the_drain_of_an_old_version_is_not_taken_back():
    old = a_worker(state=WorkerState.DRAINED, drain_cause="idle", version="0")
    plan = plan_for(a_cluster(idle=1), workers=[old])
    assert cancels(plan) == []
    assert len(boots(plan)) == 1


def test_minimum_workers_are_kept_without_demand():
    policy = a_policy(an_environment(minimum_workers=3))
    plan = plan_for(policy=policy, workers=[a_worker(idle_since=NOW - 9999)])
    assert len(boots(plan)) == 2
    assert drains(plan) == {}
    assert boots(plan)[0].reason.code == "minimum"


@pytest.mark.parametrize(("unseen_for", "expected"), [(60, 0), (901, 1)])
def test_minimum_workers_on_a_silent_host_are_replaced_after_a_while(unseen_for, expected):
    policy = a_policy(an_environment(minimum_workers=1), hosts=("h1", "h2"))
    lost = a_worker(state=WorkerState.UNSEEN, host="h2", since=NOW - unseen_for)
    assert len(boots(plan_for(workers=[lost], hosts=[a_host(), silent("h2")], policy=policy))) == expected


def test_a_maximum_reached_by_workers_of_whom_nothing_is_heard_says_so():
    policy = a_policy(an_environment(maximum_workers=1), hosts=("h1", "h2"))
    lost = a_worker(state=WorkerState.UNSEEN, host="h2", since=NOW - 5000)
    plan = plan_for(a_cluster(idle=1), workers=[lost], hosts=[a_host(), silent("h2")], policy=policy)
    assert plan.clusters["pool:1"].reasons[0].numbers == {"workers": 1, "maximum_workers": 1, "unseen": 1}


def test_minimum_workers_are_not_booted_while_the_batch_system_is_silent():
    policy = a_policy(an_environment(minimum_workers=3))
    plan = plan_for(policy=policy, queues=[silent()])
    assert plan.actions == ()
    assert codes(plan.environments["el9"]) == ["batch-silent"]


def test_a_minimum_worker_that_must_go_is_replaced_in_the_same_cycle():
    policy = a_policy(an_environment(minimum_workers=1))
    plan = plan_for(policy=policy, workers=[a_worker(requested_at=NOW - 172801)])
    assert drains(plan) == {"el9-1": "lifetime"}
    assert len(boots(plan)) == 1


def test_spare_workers_are_kept_while_there_is_demand_and_go_with_it():
    policy = a_policy(an_environment(spare_workers=2))
    assert len(boots(plan_for(a_cluster(idle=0, running=2), policy=policy, workers=[a_worker(state=WorkerState.BUSY)]))) == 2
    spares = [a_worker(f"el9-{n}", idle_since=NOW - 9999) for n in (1, 2)]
    assert plan_for(a_cluster(idle=0, running=2), policy=policy, workers=spares).actions == ()
    assert len(drains(plan_for(policy=policy, workers=spares))) == 2


def test_an_idle_worker_is_no_longer_a_spare_when_enough_of_them_are_coming():
    policy = a_policy(an_environment(spare_workers=1))
    workers = [a_worker("el9-1", idle_since=NOW - 9999), a_worker("el9-2", WorkerState.BOOTING)]
    assert drains(plan_for(a_cluster(idle=0, running=2), policy=policy, workers=workers)) == {"el9-1": "idle"}


def test_spares_in_flight_are_not_ordered_twice():
    policy = a_policy(an_environment(spare_workers=2))
    coming = [a_worker(f"el9-{n}", WorkerState.BOOTING) for n in (1, 2)]
    assert plan_for(a_cluster(idle=0, running=2), policy=policy, workers=coming).actions == ()


def test_a_maximum_is_never_exceeded_and_is_the_reason_given():
    policy = a_policy(an_environment(maximum_workers=2))
    plan = plan_for(a_cluster(idle=20), workers=[a_worker(state=WorkerState.BUSY)], policy=policy)
    assert len(boots(plan)) == 1
    assert codes(plan.clusters["pool:1"]) == ["maximum-workers", "boot-ordered"]
    assert plan.clusters["pool:1"].reasons[0].numbers == {"workers": 2, "maximum_workers": 2}


def test_with_a_new_journal_nothing_boots_until_the_hosts_have_answered():
    plan = plan_for(a_cluster(idle=2), adopting_until=NOW + 100)
    assert plan.actions == ()
    assert codes(plan.clusters["pool:1"]) == ["adopting"]
    assert plan.quiet_until == NOW + 100


def test_a_failed_worker_counts_to_the_maximum_until_it_is_powered_off():
    policy = a_policy(an_environment(maximum_workers=2))
    workers = [a_worker("el9-1", state=WorkerState.FAILED), a_worker("el9-2", state=WorkerState.BUSY, free_cpus=0)]
    plan = plan_for(a_cluster(idle=1), workers=workers, policy=policy)
    assert boots(plan) == [], "a daemon that is killed before the power-off would leave three"
    assert "maximum-workers" in codes(plan.clusters["pool:1"])


def test_jobs_take_running_room_of_any_environment_before_what_boots_for_others():
    environments = an_environment("el8", shared_with=("cms",), default=True), an_environment("el9"), an_environment("c9", "cms")
    policy = a_policy(*environments, vos=[a_vo("atlas"), a_vo("cms")])
    workers = [a_worker("el8-1", environment="el8", state=WorkerState.BOOTING, cpus=2), a_worker("el9-2", environment="el9")]
    plan = plan_for(a_cluster(idle=2), a_cluster("pool:2", idle=2, vo="cms"), workers=workers, policy=policy)
    assert boots(plan) == []
    assert [codes(verdict) for _, verdict in sorted(plan.clusters.items())] == [["free-slot"], ["booting"]]
