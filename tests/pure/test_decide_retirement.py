"""Retirement: which workers are drained, ended and cleaned up, and what keeps them."""

import math
from dataclasses import replace

import pytest

from scheduler.decide.plan import decide, still_holds
from scheduler.model.hosts import DomainState, Host
from scheduler.model.queues import Lingering, RunningJob
from scheduler.model.workers import WorkerState
from tests.pure.builders import (
    DRAINED,
    NOW,
    a_cluster,
    a_domain,
    a_host,
    a_policy,
    a_queue,
    a_worker,
    an_environment,
    an_observation,
    boots,
    cancels,
    clean_ups,
    codes,
    drains,
    plan_for,
    power_offs,
    silent,
)

LONG_IDLE = NOW - 9999


def test_a_worker_idle_past_its_time_is_drained_with_the_numbers():
    plan = plan_for(workers=[a_worker(idle_since=NOW - 301)])
    assert drains(plan) == {"el9-1": "idle"}
    assert plan.actions[0].reason.numbers == {"idle_seconds": 301, "allowed_seconds": 300}
    assert plan.destructive


def test_a_worker_idle_for_less_than_its_time_stays_until_then():
    plan = plan_for(workers=[a_worker(idle_since=NOW - 240)])
    assert plan.actions == ()
    assert plan.quiet_until == NOW + 60


def test_zero_jobs_leave_zero_workers():
    workers = [a_worker(f"el9-{n}", idle_since=LONG_IDLE) for n in range(1, 31)]
    assert len(drains(plan_for(workers=workers))) == 30


def test_a_worker_that_has_just_registered_is_not_retired_as_idle():
    plan = plan_for(
        workers=[a_worker(idle_since=NOW - 301, registered_at=NOW - 100)], policy=a_policy(an_environment(idle_seconds=60))
    )
    assert plan.actions == ()
    assert plan.quiet_until == NOW + 20


def test_a_busy_or_just_claimed_worker_is_not_retired_as_idle():
    busy = a_worker(state=WorkerState.BUSY)
    claimed = a_worker("el9-2", idle_since=LONG_IDLE, claimed=True)
    assert plan_for(workers=[busy, claimed]).actions == ()


def test_an_idle_worker_that_waiting_jobs_can_use_is_kept():
    plan = plan_for(a_cluster(idle=2), workers=[a_worker(idle_since=LONG_IDLE)])
    assert plan.actions == ()
    assert codes(plan.workers["el9-1"]) == ["kept-for-demand"]


def test_only_the_idle_workers_that_nobody_needs_go_the_oldest_first():
    workers = [a_worker(f"el9-{n}", idle_since=LONG_IDLE, requested_at=NOW - 10000 + n) for n in range(1, 5)]
    plan = plan_for(a_cluster(idle=6), workers=workers, policy=a_policy(limits={"drain_percent": 100}))
    assert drains(plan) == {"el9-1": "idle"}


def test_a_worker_that_waiting_jobs_need_does_not_go_in_place_of_one_that_cannot_be_drained():
    too_old = a_worker("el9-1", idle_since=LONG_IDLE, requested_at=NOW - 200_000, host="h2")
    needed = a_worker("el9-2", idle_since=LONG_IDLE)
    policy = a_policy(hosts=("h1", "h2"))
    plan = plan_for(a_cluster(idle=2), workers=[too_old, needed], policy=policy, hosts=[a_host(), a_host("h2", complete=False)])
    assert plan.actions == ()


def test_an_idle_worker_that_offers_no_room_is_retired_all_the_same():
    shut = a_worker("el9-1", idle_since=LONG_IDLE, free_cpus=0)
    assert drains(plan_for(a_cluster(idle=2), workers=[shut, a_worker("el9-2")])) == {"el9-1": "idle"}


def test_drains_are_bounded_per_cycle():
    workers = [a_worker(f"el9-{n}", idle_since=LONG_IDLE) for n in range(1, 31)]
    plan = plan_for(workers=workers, policy=a_policy(limits={"drains_per_cycle": 7}))
    assert len(drains(plan)) == 7
    kept = [name for name, verdict in plan.workers.items() if codes(verdict) == ["drains-limit"]]
    assert len(kept) == 23


def test_while_there_is_demand_only_a_part_of_an_environment_drains_at_a_time():
    workers = [a_worker(f"el9-{n}", idle_since=LONG_IDLE) for n in range(1, 10)]
    workers += [a_worker("el9-10", WorkerState.BUSY)]
    workers += [a_worker("el9-11", WorkerState.DRAINING, drain_cause="idle")]
    plan = plan_for(a_cluster(idle=0, running=1), workers=workers)
    assert len(drains(plan)) == 1  # a fifth of eleven is two, and one drains already
    assert "drain-percent" in [code for verdict in plan.workers.values() for code in codes(verdict)]


def test_a_worker_past_its_lifetime_is_drained_even_when_busy():
    old = a_worker(state=WorkerState.BUSY, requested_at=NOW - 172801)
    plan = plan_for(a_cluster(idle=0, running=1), workers=[old])
    assert drains(plan) == {"el9-1": "lifetime"}


def test_an_old_worker_is_replaced_in_the_same_cycle():
    old = a_worker(requested_at=NOW - 172801)
    plan = plan_for(a_cluster(idle=2), workers=[old])
    assert drains(plan) == {"el9-1": "lifetime"}
    assert len(boots(plan)) == 1


def test_workers_of_an_environment_that_is_no_longer_defined_are_drained():
    assert drains(plan_for(workers=[a_worker(environment="el7", state=WorkerState.BUSY)])) == {"el9-1": "unwanted"}


@pytest.mark.parametrize("by_command", [True, False])
def test_workers_on_a_drained_host_are_drained_whatever_they_do(by_command):
    workers = [a_worker("el9-1"), a_worker("el9-2", WorkerState.BUSY)]
    policy = a_policy(hosts=[Host("h1", draining=not by_command)])
    changes = {"host_words": (DRAINED,)} if by_command else {}
    assert drains(plan_for(workers=workers, policy=policy, **changes)) == {"el9-1": "host-drain", "el9-2": "host-drain"}


def test_a_black_hole_is_drained_and_replaced():
    hole = a_worker(quick_failures=4)
    others = [a_worker(f"el9-{n}", WorkerState.BUSY) for n in range(2, 6)]
    plan = plan_for(a_cluster(idle=2), workers=[hole, *others])
    assert drains(plan) == {"el9-1": "black-hole"}
    assert len(boots(plan)) == 1


def test_a_lone_worker_may_be_a_black_hole():
    assert drains(plan_for(a_cluster(idle=2), workers=[a_worker(quick_failures=4)])) == {"el9-1": "black-hole"}


def test_when_jobs_fail_everywhere_the_workers_are_not_blamed():
    holes = [a_worker(f"el9-{n}", quick_failures=9) for n in range(1, 5)]
    plan = plan_for(a_cluster(idle=50), workers=holes)
    assert drains(plan) == {}
    assert "fails-everywhere" in codes(plan.environments["el9"])


def test_an_idle_worker_of_an_old_version_goes_at_once_when_nobody_needs_it():
    plan = plan_for(workers=[a_worker(version="0")])
    assert drains(plan) == {"el9-1": "drift"}


def test_a_busy_worker_of_an_old_version_finishes_its_jobs():
    assert drains(plan_for(a_cluster(idle=0, running=1), workers=[a_worker(version="0", state=WorkerState.BUSY)])) == {}


def test_needed_workers_of_an_old_version_are_replaced_little_by_little_once_the_new_one_is_proven():
    workers = [a_worker(f"el9-{n}", version="0") for n in range(1, 11)]
    assert len(drains(plan_for(a_cluster(idle=20), workers=workers))) == 2


def test_before_the_new_version_is_proven_one_canary_boots_and_the_old_workers_stay():
    workers = [a_worker(f"el9-{n}", version="0") for n in range(1, 4)]
    plan = plan_for(a_cluster(idle=6), workers=workers, proven=[("el9", "0")])
    assert drains(plan) == {}
    assert [boot.reason.code for boot in boots(plan)] == ["canary"]
    coming = a_worker("el9-9", WorkerState.BOOTING)
    assert plan_for(a_cluster(idle=6), workers=[*workers, coming], proven=[("el9", "0")]).actions == ()


def test_a_drained_worker_is_powered_off_after_a_last_look():
    assert power_offs(plan_for(workers=[a_worker(state=WorkerState.DRAINED, drain_cause="idle")])) == ["el9-1"]


def test_a_drained_worker_whose_drain_is_taken_back_is_not_powered_off():
    plan = plan_for(a_cluster(idle=1), workers=[a_worker(state=WorkerState.DRAINED, drain_cause="idle")])
    assert cancels(plan) == ["el9-1"]
    assert power_offs(plan) == []


def test_a_worker_that_drains_is_left_to_finish():
    assert plan_for(workers=[a_worker(state=WorkerState.DRAINING, drain_cause="idle")]).actions == ()


def test_a_failed_boot_is_powered_off():
    assert power_offs(plan_for(workers=[a_worker(state=WorkerState.FAILED)])) == ["el9-1"]


def test_a_failed_boot_that_left_no_domain_is_cleaned_up():
    observation = an_observation(workers=[a_worker(state=WorkerState.FAILED, host="h1")])
    bare = an_observation(hosts=[a_host()])
    plan = decide(
        type(observation)(**{**{n: getattr(observation, n) for n in observation.__slots__}, "hosts": bare.hosts}), a_policy()
    )
    assert clean_ups(plan) == ["el9-1"]


def test_a_failed_boot_may_have_registered_with_a_batch_system_that_is_silent_just_now():
    worker = a_worker(state=WorkerState.FAILED)
    plan = plan_for(workers=[worker], queues=[silent()])
    assert plan.actions == ()
    assert codes(plan.workers["el9-1"]) == ["batch-silent"]


def test_a_failed_boot_whose_domain_died_is_ended_whatever_the_batch_system_says():
    worker = a_worker(state=WorkerState.FAILED, host="h2")
    hosts = [a_host("h2", a_domain("el9-1", state=DomainState.CRASHED))]
    observation = an_observation(workers=[a_worker("x-9", state=WorkerState.FAILED, host="h9")], hosts=hosts, queues=[silent()])
    fields = {n: getattr(observation, n) for n in observation.__slots__}
    plan = decide(type(observation)(**{**fields, "workers": (worker,)}), a_policy(hosts=("h2",)))
    assert clean_ups(plan) == ["el9-1"]


def test_a_worker_that_is_gone_is_cleaned_up():
    assert clean_ups(plan_for(workers=[a_worker(state=WorkerState.GONE)])) == ["el9-1"]


@pytest.mark.parametrize(("silent_for", "expected"), [(899, []), (901, ["el9-1"])])
def test_a_worker_silent_for_too_long_is_powered_off(silent_for, expected):
    assert power_offs(plan_for(workers=[a_worker(state=WorkerState.SILENT, since=NOW - silent_for)])) == expected


def test_many_silent_workers_at_once_are_kept_longer():
    workers = [a_worker(f"el9-{n}", WorkerState.SILENT, since=NOW - 1000) for n in range(1, 5)]
    plan = plan_for(workers=workers)
    assert plan.actions == ()
    assert codes(plan.workers["el9-1"]) == ["mass-silence"]
    late = [a_worker(f"el9-{n}", WorkerState.SILENT, since=NOW - 3601) for n in range(1, 5)]
    assert len(power_offs(plan_for(workers=late))) == 4


@pytest.mark.parametrize(
    "worker",
    [
        a_worker(idle_since=LONG_IDLE),
        a_worker(state=WorkerState.DRAINED),
        a_worker(state=WorkerState.SILENT, since=0.0),
        a_worker(state=WorkerState.FAILED),
        a_worker(state=WorkerState.GONE),
        a_worker(quick_failures=9),
        a_worker(environment="el7"),
        a_worker(state=WorkerState.UNSEEN),
    ],
    ids=lambda worker: worker.state.value,
)
@pytest.mark.parametrize(
    "host", [silent("h1"), a_host(at=NOW - 181), a_host(complete=False)], ids=["silent", "stale", "partial"]
)
def test_nothing_is_ended_on_a_host_that_cannot_be_believed(worker, host):
    assert plan_for(workers=[worker], hosts=[host]).actions == ()


def test_workers_found_without_a_journal_are_adopted_and_otherwise_left_alone():
    worker = a_worker(idle_since=LONG_IDLE)
    plan = plan_for(workers=[worker], unjournaled=frozenset({"el9-1"}))
    assert [type(action).__name__ for action in plan.actions] == ["Adopt"]


def test_minimum_workers_survive_idleness():
    workers = [a_worker(f"el9-{n}", idle_since=LONG_IDLE) for n in range(1, 4)]
    plan = plan_for(workers=workers, policy=a_policy(an_environment(minimum_workers=2)))
    assert len(drains(plan)) == 1
    assert sorted(code for v in plan.workers.values() for code in codes(v)) == ["idle", "kept-minimum", "kept-minimum"]


def test_a_plan_without_actions_holds_while_nothing_changes_and_its_time_has_not_come():
    before = an_observation(workers=[a_worker(idle_since=NOW - 240)])
    plan = decide(before, a_policy())

    def later(seconds, **changes):
        fields = {n: getattr(before, n) for n in before.__slots__}
        return type(before)(**{**fields, "now": NOW + seconds, **changes})

    assert still_holds(plan, before, later(30))
    fresh = an_observation(workers=[a_worker(idle_since=NOW - 240)], hosts=[a_host(at=NOW + 30)])
    queues = {"pool": replace(before.queues["pool"], at=NOW + 30)}
    assert still_holds(plan, before, later(30, hosts=fresh.hosts, queues=queues, workers=fresh.workers))
    assert not still_holds(plan, before, later(60))
    assert not still_holds(plan, before, later(-5))
    clusters = (a_cluster(idle=0, running=2), a_cluster(idle=0, running=3, held=1), a_cluster(idle=0, running=0))
    running, more, none = ({"queues": {"pool": a_queue(one)}} for one in clusters)
    assert still_holds(plan, later(30, **running), later(30, **more))
    assert not still_holds(plan, later(30, **running), later(30, **none))
    assert not still_holds(plan, before, later(30, workers=(a_worker(state=WorkerState.BUSY),)))
    assert not still_holds(plan, before, later(30, queues={"pool": a_queue(a_cluster())}))
    assert not still_holds(plan, before, later(30, hosts={"h1": silent("h1")}))
    assert not still_holds(plan, before, later(30, host_words=(DRAINED,)))


def test_a_plan_stands_until_a_worker_is_too_old_for_the_jobs_it_is_kept_for():
    worker = a_worker(requested_at=NOW - 172800 + 3650)
    assert plan_for(a_cluster(idle=1, walltime_seconds=3600), workers=[worker]).quiet_until == math.nextafter(
        NOW + 50, NOW + 51
    )


def test_a_plan_with_actions_never_holds():
    before = an_observation(a_cluster())
    assert not still_holds(decide(before, a_policy()), before, before)


# --- a batch system that was taken out of the site file ---------------------------------------------------------------

TWO_DAYS = 172800


def removed(worker, **changes):
    """Decide on a worker whose batch system the site has no longer."""
    return plan_for(workers=[worker], queues=[a_queue(source="another")], **changes)


def test_a_worker_of_a_removed_batch_system_serves_on_and_it_is_said_for_how_long():
    plan = removed(a_worker("el9-1", WorkerState.BUSY, requested_at=NOW - 2 * TWO_DAYS + 90))
    assert plan.actions == ()
    (reason,) = plan.workers["el9-1"].reasons
    assert (reason.code, reason.numbers) == ("batch-removed", {"batch_system": "pool", "until": NOW + 90})
    assert plan.quiet_until == NOW + 90


@pytest.mark.parametrize(
    "state", [WorkerState.BUSY, WorkerState.IDLE, WorkerState.BOOTING, WorkerState.DRAINED, WorkerState.FAILED]
)
def test_after_two_lifetimes_no_job_is_left_in_it_and_it_is_powered_off(state):
    plan = removed(a_worker("el9-1", state, requested_at=NOW - 2 * TWO_DAYS))
    assert power_offs(plan) == ["el9-1"]
    assert codes(plan.workers["el9-1"]) == ["batch-removed"]


def test_it_stays_while_its_host_does_not_answer():
    worker = a_worker("el9-1", WorkerState.BUSY, requested_at=NOW - 3 * TWO_DAYS)
    assert removed(worker, hosts=[silent("h1")]).actions == ()


def test_a_batch_system_that_is_silent_is_not_removed():
    worker = a_worker("el9-1", WorkerState.BUSY, requested_at=NOW - 3 * TWO_DAYS)
    plan = plan_for(workers=[worker], queues=[silent()])
    assert plan.actions == ()


# --- slots that are not let go --------------------------------------------------------------------------------------------


def left(until=NOW - 300, **changes):
    """A job that was taken back and whose slot should have been free 300 s ago, which is as long as is waited by default."""
    return Lingering(
        **{"slot": "slot1_1", "state": "Preempting/Vacating", "since": NOW - 450, "until": until, "job": "7.0", **changes}
    )


def held(*lingering, **changes):
    given = {"state": WorkerState.BUSY, "jobs": (), "busy_until": None, "free_cpus": 1, "lingering": lingering}
    return a_worker(**{**given, **changes})


def test_a_slot_that_is_not_let_go_in_time_makes_its_worker_drain():
    plan = plan_for(workers=[held(left())])
    assert drains(plan) == {"el9-1": "stuck"}
    (reason,) = plan.workers["el9-1"].reasons
    assert reason.sentence == (
        "job 7.0 no longer runs, but holds slot1_1 (Preempting/Vacating) since 13:39:10 UTC; "
        "its batch system should have ended that by 13:41:40 UTC"
    )


def test_until_then_it_is_waited_for_and_said_until_when():
    plan = plan_for(workers=[held(left(NOW - 299))])
    assert drains(plan) == {}
    (reason,) = plan.workers["el9-1"].reasons
    assert (reason.code, "else the worker goes at 13:46:41 UTC" in reason.sentence) == ("lingering", True)
    assert plan.quiet_until == NOW + 1


def test_beside_a_job_that_runs_the_worker_only_drains():
    job = (RunningJob("8.0", "atlas"),)
    assert drains(plan_for(workers=[held(left(), jobs=job)])) == {"el9-1": "stuck"}
    draining = held(left(), jobs=job, state=WorkerState.DRAINING, drain_cause="stuck")
    assert plan_for(workers=[draining]).actions == ()


def test_a_draining_worker_with_nothing_else_in_it_is_powered_off():
    plan = plan_for(workers=[held(left(), state=WorkerState.DRAINING, drain_cause="stuck")])
    assert power_offs(plan) == ["el9-1"]
    assert codes(plan.workers["el9-1"]) == ["stuck"]


@pytest.mark.parametrize(
    "lingering",
    [(left(), left(NOW, slot="slot1_2")), (left(), left(None, slot="slot1_2")), ()],
    ids=["one has time left", "of one it is not known what it does", "claimed, and nothing is known to linger"],
)
def test_whatever_else_is_in_it_keeps_it(lingering):
    worker = held(*lingering, state=WorkerState.DRAINING, drain_cause="idle", claimed=True)
    assert plan_for(workers=[worker]).actions == ()


def test_the_drain_of_a_stuck_worker_is_not_taken_back_for_jobs_that_wait():
    stuck = held(left(NOW + 100), state=WorkerState.DRAINING, drain_cause="stuck", free_memory_mib=3000)
    plan = plan_for(a_cluster(idle=1), workers=[stuck])
    assert cancels(plan) == []


def test_a_stuck_worker_of_a_silent_batch_system_stays():
    assert plan_for(workers=[held(left())], queues=[silent()]).actions == ()
