"""Was my share there when I asked for it? And what became of workers and jobs."""

from dataclasses import replace

import pytest
from builders import NOW, a_cluster, a_host, a_policy, a_vo, a_worker, an_environment, an_observation, an_outcome, silent

from scheduler.availability.history import Window
from scheduler.decide.plan import decide
from scheduler.journal.holds import JobHolds
from scheduler.journal.records import Sighting
from scheduler.journal.usage import (
    Casualties,
    Fallen,
    Fates,
    Hours,
    JournaledWork,
    StateEntered,
    casualties,
    fallen,
    worker_hours,
)
from scheduler.model.workers import WorkerState
from scheduler.observe.provisioning import Provisioned, UnmetDemand, entitlements, provisioned, statuses

S = WorkerState
EL9 = ("atlas", "el9")
SECOND = 1_000_000


def waiting(*clusters, workers=(), policy=None, before=None, monotonic=1000.0, **more):
    policy = policy or a_policy()
    observation = an_observation(*clusters, workers=workers, **more)
    known = Provisioned(before or {})
    return provisioned(observation, policy, decide(observation, policy), known, monotonic).waiting


def said(found, monotonic=1000.0, policy=None, **more):
    observation = an_observation(**more)
    return {one.object: one for one in statuses(found, observation, policy or a_policy(), monotonic)}


def test_demand_waits_from_when_it_was_queued_or_from_when_it_was_first_within_the_entitlement():
    young = replace(a_cluster(idle=3), oldest_idle_at=NOW - 5)
    assert waiting(young) == {EL9: UnmetDemand(3, 1000.0)}
    assert waiting(young, before={EL9: UnmetDemand(1, 900.0)}) == {EL9: UnmetDemand(3, 995.0)}, "those before it were served"
    old = replace(a_cluster(idle=3), oldest_idle_at=NOW - 500)
    assert waiting(old, before={EL9: UnmetDemand(1, 900.0)}) == {EL9: UnmetDemand(3, 900.0)}


def test_a_share_is_critical_after_the_promised_boot_time_and_from_then_on_exactly():
    policy = a_policy(an_environment(boot_seconds=60))
    assert said({EL9: UnmetDemand(3, 945.0)}, policy=policy)["atlas/el9"].status == 0
    late = said({EL9: UnmetDemand(3, 935.0)}, policy=policy)["atlas/el9"]
    assert (late.status, late.at, late.cause) == (2, NOW - 5, "placement")
    booting = said({EL9: UnmetDemand(3, 935.0)}, policy=policy, workers=[a_worker("el9-1", S.BOOTING)])
    assert booting["atlas/el9"].cause == "boot"
    assert said({})["atlas/el9"].status == 0


def test_a_share_that_is_not_there_says_why_the_last_boot_failed():
    late = {EL9: UnmetDemand(3, -9000.0)}
    assert "the last boot failed: el9-h1-100.0-0 on host h1" in said(late, boots=(an_outcome(),))["atlas/el9"].text
    recovered = (an_outcome(), an_outcome("h2", registered=True, ago=50))
    assert "failed" not in said(late, boots=recovered)["atlas/el9"].text


def test_while_a_batch_system_is_silent_nobody_knows_and_what_waited_is_not_forgotten():
    before = {EL9: UnmetDemand(3, 900.0)}
    assert waiting(before=before, queues=[silent()]) == before
    assert said(before, queues=[silent()])["atlas/el9"].status == 3


def test_jobs_that_fit_in_running_workers_and_jobs_that_nothing_can_serve_are_not_waiting_for_a_share():
    assert waiting(a_cluster(idle=1), workers=[a_worker()]) == {}
    assert waiting(a_cluster(idle=5, wanted="el7")) == {}
    assert waiting(a_cluster(idle=5, problem="no request_cpus")) == {}
    assert waiting(a_cluster(idle=0, running=3)) == {}


def test_beyond_the_entitlement_nothing_was_promised():
    vos = [a_vo("atlas", weight=1, ceiling_cpus=4), a_vo("cms", weight=1)]
    policy = a_policy(an_environment(shared_with=("cms",)), vos=vos)
    busy = [a_worker(f"el9-{n}", S.BUSY) for n in (1, 2)]
    assert waiting(a_cluster(idle=9), workers=busy, policy=policy) == {}
    assert waiting(a_cluster(idle=9), workers=busy[:1], policy=policy) == {EL9: UnmetDemand(9, 1000.0)}


@pytest.mark.parametrize(
    ("shares", "active", "entitled"),
    [
        ({"atlas": {"weight": 3}, "cms": {"weight": 1}}, ("atlas", "cms"), {"atlas": 24.0, "cms": 8.0}),
        ({"atlas": {"weight": 3}, "cms": {"weight": 1}}, ("cms",), {"cms": 32.0}),
        ({"atlas": {"weight": 3}, "cms": {"guarantee_cpus": 20}}, ("atlas", "cms"), {"atlas": 24.0, "cms": 20.0}),
        ({"atlas": {"ceiling_cpus": 5}}, ("atlas",), {"atlas": 5.0}),
    ],
)
def test_the_entitlement_is_the_guarantee_or_the_fair_part_up_to_the_ceiling(shares, active, entitled):
    policy = a_policy(an_environment(), vos=[a_vo(name, **share) for name, share in shares.items()])
    assert entitlements(32.0, policy, active) == pytest.approx(entitled)


def test_a_silent_host_takes_nothing_from_what_was_promised():
    """Both hosts have 32 cores; with h2 silent its share of 64 is promised still."""
    policy = a_policy(hosts=("h1", "h2"))
    both = an_observation(hosts=[a_host("h1"), a_host("h2")])
    one = an_observation(hosts=[a_host("h1"), silent("h2")])
    seen = provisioned(both, policy, decide(both, policy), Provisioned(), 1000.0)
    assert provisioned(one, policy, decide(one, policy), seen, 1030.0).cores == {"h1": 32.0, "h2": 32.0}
    assert provisioned(one, policy, decide(one, policy), Provisioned(), 1030.0).cores == {"h1": 32.0}


# --- hours and casualties ---------------------------------------------------------------------------------------------


def steps(worker, *told, host="h1"):
    return [StateEntered(at * SECOND, worker, state, *EL9, host) for at, state in told]


def test_the_hours_of_workers_are_cut_at_the_window():
    """Booting 0-10, idle 10-20, busy 20-50, silent 50-60, gone. The window is 5-55; a second one boots from 40 on."""
    told = steps("a", (0, S.REQUESTED), (2, S.BOOTING), (10, S.IDLE), (20, S.BUSY), (50, S.SILENT), (60, S.GONE))
    told += steps("b", (40, S.BOOTING))
    found = worker_hours(told, Window("", 5 * SECOND, 55 * SECOND))
    assert found == {EL9: Hours(30 * SECOND, (5 + 15) * SECOND, 10 * SECOND, 5 * SECOND)}


TELLS = JobHolds({"pool": 0}, {})


def sighting(job, worker, first, last):
    return Sighting("pool", job, worker, "atlas", "ann", "el9", float(first), float(last))


def test_jobs_of_a_failed_host_run_again_or_are_lost_and_those_that_had_ended_are_neither():
    told = steps("a", (0, S.BUSY), (100, S.UNSEEN), (150, S.GONE))
    told += steps("b", (0, S.BUSY), (100, S.UNSEEN), (120, S.BUSY), host="h1")
    told += steps("c", (0, S.BUSY), host="h2")
    seen = [
        sighting("1.0", "a", 10, 99),
        sighting("1.0", "c", 160, 200),
        sighting("2.0", "a", 20, 99),
        sighting("3.0", "b", 20, 300),
        sighting("4.0", "c", 20, 90),
    ]
    outage = ("h1", 100 * SECOND, 150 * SECOND)
    assert casualties([outage], JournaledWork(told, seen, TELLS)) == [Casualties(*outage, Fates(("1.0",), (), ("2.0",)))]


def test_a_job_that_left_its_worker_before_the_outage_is_not_counted():
    told = steps("a", (0, S.BUSY), (60, S.IDLE), (100, S.UNSEEN), (150, S.GONE))
    (found,) = casualties([("h1", 100 * SECOND, 150 * SECOND)], JournaledWork(told, [sighting("1.0", "a", 10, 60)], TELLS))
    assert found.jobs == Fates()


def test_time_behind_a_silent_host_is_unknown_and_not_lost():
    told = steps("a", (0, S.BUSY), (50, S.UNSEEN), (70, S.BUSY), (90, S.GONE))
    assert worker_hours(told, Window("", 0, 100 * SECOND)) == {EL9: Hours(used=70 * SECOND, unknown=20 * SECOND)}


def test_a_worker_that_ended_with_work_in_it_is_told_with_what_became_of_its_jobs():
    """a ends at 100 with two jobs, b as it should, c in the outage of its host, d before the window; e came back once, then ended."""
    told = steps("a", (0, S.BUSY), (100, S.GONE))
    told += steps("b", (0, S.BUSY), (50, S.DRAINING), (100, S.GONE))
    told += steps("c", (0, S.BUSY), (100, S.UNSEEN), (150, S.GONE), host="h2")
    told += steps("d", (0, S.BUSY), (5, S.GONE))
    told += steps("e", (0, S.BUSY), (100, S.UNSEEN), (150, S.BUSY), (180, S.GONE), host="h2")
    seen = [sighting("1.0", "a", 10, 99), sighting("1.0", "e", 120, 170), sighting("2.0", "a", 20, 99)]
    seen += [sighting("3.0", "b", 0, 99), sighting("4.0", "c", 0, 99), sighting("5.0", "d", 0, 4)]
    outage = ("h2", 100 * SECOND, 150 * SECOND)
    assert fallen([outage], JournaledWork(told, seen, TELLS), Window("", 10 * SECOND, 200 * SECOND)) == [
        Fallen("a", "h1", *EL9, 100 * SECOND, Fates(("1.0",), (), ("2.0",))),
        Fallen("e", "h2", *EL9, 180 * SECOND, Fates((), (), ("1.0",))),
    ]


def test_jobs_that_were_held_after_their_worker_failed_are_told_apart_and_none_is_told_twice():
    told = steps("a", (0, S.BUSY), (1000, S.UNSEEN), (1500, S.GONE)) + steps("c", (0, S.BUSY), host="h2")
    seen = [sighting(f"{n}.0", "a", 10, 999) for n in range(1, 6)] + [sighting("2.0", "c", 1600, 1900)]
    held = {
        ("pool", "1.0", "a"): 3400 * SECOND,  # when its lease had ended, long after the outage
        ("pool", "2.0", "a"): 1400 * SECOND,  # released, and run again
        ("pool", "3.0", "b"): 1400 * SECOND,  # in another worker
        ("pool", "4.0", "a"): 800 * SECOND,  # before: it had come back
        ("other", "5.0", "a"): 1400 * SECOND,
    }
    outage = ("h1", 1000 * SECOND, 1500 * SECOND)
    [found] = casualties([outage], JournaledWork(told, seen, JobHolds({"pool": 1000 * SECOND}, held)))
    assert found.jobs == Fates(("2.0",), ("1.0",), ("3.0", "4.0", "5.0"))


def test_where_holds_were_not_told_from_the_failure_on_their_number_is_unknown_and_not_zero():
    told = steps("a", (0, S.BUSY), (100, S.UNSEEN), (150, S.GONE))
    seen, outage = [sighting("1.0", "a", 10, 99), sighting("2.0", "a", 10, 99)], ("h1", 100 * SECOND, 150 * SECOND)
    held = {("pool", "1.0", "a"): 120 * SECOND}
    for since in ({}, {"other": 0}, {"pool": 100 * SECOND + 1}):
        [found] = casualties([outage], JournaledWork(told, seen, JobHolds(since, held)))
        assert found.jobs == Fates((), None, ("1.0", "2.0"))
    [found] = casualties([outage], JournaledWork(told, [], JobHolds({}, {})))
    assert found.jobs.held == (), "no job was there: none was held"
