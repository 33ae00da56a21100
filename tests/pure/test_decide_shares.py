"""Shares: whose jobs are served when not all can be, and how lent cores come back."""

from collections import Counter
from dataclasses import replace

import pytest

from scheduler.model.hosts import Host
from scheduler.model.workers import WorkerState
from tests.pure.builders import (
    NOW,
    a_cluster,
    a_host,
    a_policy,
    a_queue,
    a_vo,
    a_worker,
    an_environment,
    an_outcome,
    boots,
    cancels,
    codes,
    drains,
    plan_for,
    power_offs,
    silent,
)

PROVEN = [("el9", "1"), ("c9", "1"), ("t9", "1")]


def farm(*vos, hosts=("h1",), limits=None, **environment):
    """One environment per VO: el9 of atlas, c9 of cms, t9 of theory."""
    names = {"atlas": "el9", "cms": "c9", "theory": "t9"}
    environments = [an_environment(names[vo.name], vo.name, **environment) for vo in vos]
    return a_policy(*environments, vos=vos, hosts=hosts, limits=limits)


def served(plan):
    return Counter(boot.vo for boot in boots(plan))


def both(idle=50):
    return a_cluster("pool:a", idle, "atlas"), a_cluster("pool:c", idle, "cms")


def test_equal_vos_get_equal_parts_of_a_full_farm():
    plan = plan_for(*both(), policy=farm(a_vo("atlas"), a_vo("cms")), proven=PROVEN)
    assert served(plan) == {"atlas": 8, "cms": 8}


def test_weights_divide_the_farm():
    plan = plan_for(*both(), policy=farm(a_vo("atlas", weight=3), a_vo("cms")), proven=PROVEN)
    assert served(plan) == {"atlas": 12, "cms": 4}


def test_the_dominant_resource_counts_not_only_cores():
    policy = a_policy(an_environment("el9", vcpus=2, memory_mib=8192), an_environment("c9", "cms", vcpus=2, memory_mib=2048))
    plan = plan_for(
        a_cluster("pool:a", 50, "atlas"),
        a_cluster("pool:c", 50, "cms", memory_mib=900),
        policy=policy,
        hosts=[a_host(cpus=40, memory_mib=81920)],
        proven=PROVEN,
    )
    # A worker of atlas is a tenth of the memory, one of cms a twentieth of the cores: both reach 60 %, atlas takes the rest.
    assert served(plan) == {"atlas": 7, "cms": 12}


def test_what_a_vo_holds_already_counts():
    held = [a_worker(f"el9-{n}", WorkerState.BUSY) for n in range(1, 9)]
    plan = plan_for(*both(), policy=farm(a_vo("atlas"), a_vo("cms")), proven=PROVEN, workers=held)
    assert served(plan) == {"cms": 8}


def test_idle_share_is_lent():
    policy = farm(a_vo("atlas", guarantee_cpus=16), a_vo("cms"))
    plan = plan_for(a_cluster("pool:c", 50, "cms"), policy=policy, proven=PROVEN)
    assert served(plan) == {"cms": 16}


def test_a_guarantee_goes_before_weights():
    policy = farm(a_vo("atlas", guarantee_cpus=24), a_vo("cms", weight=100))
    assert served(plan_for(*both(), policy=policy, proven=PROVEN)) == {"atlas": 12, "cms": 4}


@pytest.mark.parametrize(
    ("share", "changes", "code"), [({"ceiling_cpus": 1}, {}, "over-ceiling"), ({}, {"maximum_workers": 0}, "maximum-workers")]
)
def test_nobody_is_told_to_wait_for_an_end_that_frees_nothing(share, changes, code):
    plan = plan_for(a_cluster(idle=1), policy=a_policy(an_environment(**changes), vos=(a_vo("atlas", **share),)))
    (reason,) = plan.clusters["pool:1"].reasons
    assert reason.code == code
    assert "wait" not in reason.remedy


def test_a_ceiling_holds_even_when_the_farm_is_idle_and_is_told_with_numbers():
    policy = farm(a_vo("atlas", ceiling_cpus=5))
    plan = plan_for(a_cluster(idle=50), policy=policy, workers=[a_worker(state=WorkerState.BUSY)])
    assert len(boots(plan)) == 1
    reason = plan.clusters["pool:1"].reasons[0]
    assert reason.code == "over-ceiling"
    assert reason.numbers == {"held_cpus": 4, "ceiling_cpus": 5, "worker_cpus": 2}
    assert codes(plan.vos["atlas"]) == ["over-ceiling", "share"]


def test_a_worker_that_did_not_boot_counts_until_its_domain_is_powered_off():
    policy = farm(a_vo("atlas", ceiling_cpus=5))
    workers = [a_worker("el9-1", WorkerState.BUSY), a_worker("el9-2", WorkerState.FAILED)]
    plan = plan_for(a_cluster(idle=9), policy=policy, workers=workers)
    assert (boots(plan), len(power_offs(plan))) == ([], 1)
    assert codes(plan.clusters["pool:1"]) == ["over-ceiling"]


def test_small_classes_of_a_vo_do_not_wait_for_its_largest():
    plan = plan_for(
        a_cluster("pool:big", 1000, wanted="el9"), a_cluster("pool:small", 1, wanted="el8"),
        policy=a_policy(an_environment(), an_environment("el8"), limits={"boots_per_cycle": 4}),
        proven=[("el9", "1"), ("el8", "1")],
    )  # fmt: skip
    assert Counter(boot.environment for boot in boots(plan)) == {"el9": 3, "el8": 1}
    assert codes(plan.clusters["pool:big"]) == ["boots-limit", "boot-ordered"]


# --- canaries ---------------------------------------------------------------------------------------------------------

CMS_PROVEN = [("c9", "1")]


def three_to_one(**share):
    return farm(a_vo("atlas", weight=3, **share), a_vo("cms"))


def test_the_share_of_a_vo_whose_image_is_being_proven_is_kept_for_it():
    plan = plan_for(*both(), policy=three_to_one(), proven=CMS_PROVEN)
    assert served(plan) == {"atlas": 1, "cms": 4}
    (reason,) = plan.clusters["pool:c"].reasons[:1]
    assert (reason.code, reason.numbers) == ("kept-for-canary", {"el9": 11})
    assert plan.vos["atlas"].reasons[0].numbers["held_cpus"] == 2, "what is kept is not held"


def test_it_is_kept_as_long_as_the_canary_boots():
    canary = a_worker("el9-1", WorkerState.BOOTING)
    others = [a_worker(f"c9-{n}", WorkerState.BUSY, environment="c9", vo="cms") for n in range(2, 6)]
    plan = plan_for(*both(), policy=three_to_one(), proven=CMS_PROVEN, workers=[canary, *others])
    assert served(plan) == {}
    assert codes(plan.clusters["pool:c"]) == ["kept-for-canary"]


def test_a_vo_whose_image_is_broken_keeps_nothing():
    failed = [an_outcome(f"h{n}", ago=100 - n, n=n) for n in (1, 2, 3)]
    plan = plan_for(*both(), policy=three_to_one(), proven=CMS_PROVEN, boots=tuple(failed))
    assert codes(plan.clusters["pool:a"]) == ["breaker-open"]
    assert served(plan) == {"cms": 16}


@pytest.mark.parametrize(
    ("idle", "share", "kept"),
    [(4, {}, 1), (1, {}, 0), (50, {"ceiling_cpus": 6}, 2)],
    ids=["no more than its jobs need", "nothing when the canary takes them all", "no more than its ceiling allows"],
)
def test_no_more_is_kept_than_the_vo_could_use(idle, share, kept):
    clusters = a_cluster("pool:a", idle, "atlas"), a_cluster("pool:c", 50, "cms")
    plan = plan_for(*clusters, policy=three_to_one(**share), proven=CMS_PROVEN)
    assert served(plan) == {"atlas": 1, "cms": 15 - kept}


def test_no_more_is_kept_than_workers_of_the_environment_may_live():
    plan = plan_for(*both(), policy=farm(a_vo("atlas"), a_vo("cms"), maximum_workers=3), proven=CMS_PROVEN, hosts=SMALL)
    assert served(plan) == {"atlas": 1, "cms": 2}
    plan = plan_for(*both(), policy=farm(a_vo("atlas"), a_vo("cms"), maximum_workers=3), proven=CMS_PROVEN)
    assert served(plan) == {"atlas": 1, "cms": 3}


def test_hosts_that_cannot_take_the_canary_s_environment_are_not_kept():
    policy = a_policy(
        an_environment("el9", labels={"rack": "a"}), an_environment("c9", "cms"), vos=(a_vo("atlas", weight=3), a_vo("cms")),
        hosts=(Host("h1", {"rack": "a"}, max_boots=100), Host("h2", {"rack": "b"}, max_boots=100)),
    )  # fmt: skip
    asked = {"policy": policy, "hosts": [a_host("h1", cpus=8), a_host("h2", cpus=8)]}
    plan, proven = (plan_for(*both(), proven=known, **asked) for known in (CMS_PROVEN, PROVEN))
    assert served(plan)["cms"] == served(proven)["cms"] == 5
    assert Counter(boot.host for boot in boots(plan) if boot.vo == "cms") == {"h1": 1, "h2": 4}


def test_two_canaries_share_what_is_kept():
    vos = a_vo("atlas"), a_vo("cms", weight=2), a_vo("theory")
    clusters = (*both(), a_cluster("pool:t", 50, "theory"))
    plan = plan_for(*clusters, policy=farm(*vos), proven=CMS_PROVEN)
    assert served(plan) == {"atlas": 1, "theory": 1, "cms": 8}


# --- reclaim ----------------------------------------------------------------------------------------------------------


def lent(count, **changes):
    """Workers of cms, each 2 cores and 4096 MiB, busy."""
    return [
        a_worker(f"c9-{n}", WorkerState.BUSY, environment="c9", vo="cms", busy_until=NOW + 100 * n, **changes)
        for n in range(1, count + 1)
    ]


def guaranteed(**limits):
    return farm(a_vo("atlas", guarantee_cpus=8), a_vo("cms"), limits=limits)


SMALL = (a_host(cpus=8, memory_mib=65536),)


def test_lent_cores_come_back_by_drain_those_whose_jobs_end_first():
    plan = plan_for(a_cluster(idle=4), policy=guaranteed(), workers=lent(4), hosts=SMALL, proven=PROVEN)
    assert drains(plan) == {"c9-1": "reclaim", "c9-2": "reclaim"}
    assert boots(plan) == []
    assert codes(plan.clusters["pool:1"]) == ["reclaiming", "farm-full"]
    assert codes(plan.vos["atlas"]) == ["below-guarantee"]


def test_all_that_drain_for_jobs_are_told_to_them():
    workers = [*lent(4), *(replace(one, name=f"{one.name}0", host="h2") for one in lent(4))]
    policy = farm(a_vo("atlas", guarantee_cpus=8), a_vo("cms"), hosts=("h1", "h2"))
    hosts = (a_host("h1", cpus=8), a_host("h2", cpus=8))
    plan = plan_for(a_cluster(idle=8), policy=policy, workers=workers, hosts=hosts, proven=PROVEN)
    reason = plan.clusters["pool:1"].reasons[0]
    assert len(drains(plan)) == 4
    assert reason.numbers == {"draining": 4, "hosts": 2}
    assert reason.sentence == "4 workers drain on 2 hosts to make room for workers of el9"


def test_an_idle_lent_worker_goes_before_a_busy_one():
    workers = [*lent(3), a_worker("c9-9", environment="c9", vo="cms", registered_at=NOW - 10)]
    plan = plan_for(a_cluster(idle=2), policy=guaranteed(), workers=workers, hosts=SMALL, proven=PROVEN)
    assert drains(plan) == {"c9-9": "reclaim"}


def test_no_more_is_taken_back_than_the_guarantee():
    plan = plan_for(a_cluster(idle=100), policy=guaranteed(), workers=lent(8), hosts=(a_host(cpus=16),), proven=PROVEN)
    assert len(drains(plan)) == 4


def test_classes_of_one_vo_do_not_each_take_its_guarantee():
    clusters = [a_cluster(f"pool:{n}", 100, memory_mib=900 + n) for n in range(5)]
    plan = plan_for(*clusters, policy=guaranteed(), workers=lent(8), hosts=(a_host(cpus=16),), proven=PROVEN)
    assert len(drains(plan)) == 4


def test_drains_under_way_count_towards_the_guarantee():
    leaving = [
        a_worker(f"c9-{n}", WorkerState.DRAINING, environment="c9", vo="cms", drain_cause="reclaim") for n in (21, 22, 23)
    ]
    plan = plan_for(
        a_cluster(idle=100), policy=guaranteed(), workers=[*lent(5), *leaving], hosts=(a_host(cpus=16),), proven=PROVEN
    )
    assert len(drains(plan)) == 1


def test_nobody_gives_more_than_it_holds_above_its_own_guarantee():
    policy = farm(a_vo("atlas", guarantee_cpus=8), a_vo("cms", guarantee_cpus=6))
    plan = plan_for(a_cluster(idle=100), policy=policy, workers=lent(4), hosts=SMALL, proven=PROVEN)
    assert len(drains(plan)) == 1


def test_drains_under_way_are_counted():
    workers = lent(4)
    leaving = [
        *workers[2:],
        *(a_worker(w.name, WorkerState.DRAINING, environment="c9", vo="cms", drain_cause="reclaim") for w in workers[:2]),
    ]
    plan = plan_for(a_cluster(idle=4), policy=guaranteed(), workers=leaving, hosts=SMALL, proven=PROVEN)
    assert drains(plan) == {}
    plan = plan_for(a_cluster(idle=6), policy=guaranteed(), workers=leaving, hosts=SMALL, proven=PROVEN)
    assert drains(plan) == {"c9-3": "reclaim"}


def test_the_one_lent_worker_that_helps_is_found_among_thousands_that_do_not():
    policy = a_policy(
        an_environment(labels={"rack": "a"}), an_environment("c9", "cms"),
        vos=[a_vo("atlas", guarantee_cpus=8), a_vo("cms")], hosts=[Host("h1", {"rack": "a"}), Host("h2")],
    )  # fmt: skip
    elsewhere = [
        a_worker(f"c9-{n}", WorkerState.BUSY, environment="c9", vo="cms", host="h2", busy_until=NOW + n, memory_mib=1)
        for n in range(1, 2001)
    ]
    helps = a_worker("c9-9999", WorkerState.BUSY, environment="c9", vo="cms", busy_until=NOW + 99_999)
    hosts = [a_host("h1", cpus=2), a_host("h2", cpus=4000)]
    plan = plan_for(a_cluster(idle=2), policy=policy, workers=[*elsewhere, helps], hosts=hosts, proven=PROVEN)
    assert drains(plan) == {"c9-9999": "reclaim"}


def test_reclaim_can_be_switched_off():
    plan = plan_for(a_cluster(idle=4), policy=guaranteed(reclaim=False), workers=lent(4), hosts=SMALL, proven=PROVEN)
    assert drains(plan) == {}


def test_nothing_is_reclaimed_on_the_word_of_a_silent_host():
    plan = plan_for(
        a_cluster(idle=4), policy=farm(a_vo("atlas", guarantee_cpus=8), a_vo("cms"), hosts=("h1", "h2")),
        workers=lent(4, host="h2"), hosts=[a_host(cpus=1), silent("h2")], proven=PROVEN,
    )  # fmt: skip
    assert drains(plan) == {}


def test_reclaimed_room_is_kept_for_the_owner_of_the_guarantee():
    workers = [*lent(2), a_worker("c9-3", WorkerState.DRAINING, environment="c9", vo="cms", drain_cause="reclaim")]
    policy = a_policy(
        an_environment(vcpus=4, memory_mib=8192),
        an_environment("c9", "cms"),
        vos=[a_vo("atlas", guarantee_cpus=4), a_vo("cms")],
    )
    plan = plan_for(
        a_cluster(idle=1, cpus=4), a_cluster("pool:c", 9, "cms"),
        policy=policy, workers=workers, hosts=SMALL, proven=PROVEN,
    )  # fmt: skip
    assert boots(plan) == []  # two cores are free and cms could use them, but atlas waits for four


def test_room_that_is_taken_back_is_given_to_its_owner():
    workers = [*lent(2), a_worker("c9-3", WorkerState.DRAINING, environment="c9", vo="cms", drain_cause="reclaim")]
    plan = plan_for(
        a_cluster(idle=2), a_cluster("pool:c", 9, "cms"), policy=guaranteed(), workers=workers, hosts=SMALL, proven=PROVEN
    )
    assert served(plan) == {"atlas": 1}


def test_room_that_nobody_waits_for_any_more_is_free_for_all():
    leaving = a_worker("c9-3", WorkerState.DRAINING, environment="c9", vo="cms", drain_cause="reclaim", claimed=True)
    plan = plan_for(a_cluster("pool:c", 4, "cms"), policy=guaranteed(), workers=[leaving], hosts=SMALL, proven=PROVEN)
    assert served(plan) == {"cms": 2}


def test_a_drain_that_takes_lent_cores_back_stands_while_their_owner_waits():
    leaving = a_worker("c9-1", WorkerState.DRAINED, environment="c9", vo="cms", drain_cause="reclaim")
    clusters = [a_cluster(idle=2), a_cluster("pool:c", 2, "cms")]
    plan = plan_for(*clusters, policy=guaranteed(), workers=[leaving], hosts=[a_host(cpus=2)], proven=PROVEN)
    assert cancels(plan) == []


def two_sizes(**limits):
    return a_policy(
        an_environment(vcpus=4, memory_mib=8192), an_environment("c9", "cms"), an_environment("t9", "theory", vcpus=4),
        vos=[a_vo("atlas", guarantee_cpus=4), a_vo("cms"), a_vo("theory")], limits=limits,
    )  # fmt: skip


def test_a_worker_without_which_the_rest_suffices_is_left_alone():
    small = a_worker("c9-1", WorkerState.BUSY, environment="c9", vo="cms", busy_until=NOW + 10)
    large = a_worker("t9-2", WorkerState.BUSY, environment="t9", vo="theory", cpus=4, memory_mib=8192, busy_until=NOW + 20)
    plan = plan_for(a_cluster(cpus=4), policy=two_sizes(), workers=[small, large], hosts=[a_host(cpus=6)], proven=PROVEN)
    assert drains(plan) == {"t9-2": "reclaim"}


def test_room_is_not_freed_by_halves():
    plan = plan_for(
        a_cluster(cpus=4), policy=two_sizes(drains_per_cycle=1), workers=lent(2), hosts=[a_host(cpus=4)], proven=PROVEN
    )
    assert drains(plan) == {}
    plan = plan_for(
        a_cluster(cpus=4), policy=two_sizes(drains_per_cycle=2), workers=lent(2), hosts=[a_host(cpus=4)], proven=PROVEN
    )
    assert len(drains(plan)) == 2


def test_room_is_freed_where_one_worker_will_fit_and_not_a_little_on_every_host():
    policy = a_policy(
        an_environment(vcpus=4, memory_mib=8192),
        an_environment("c9", "cms"),
        vos=[a_vo("atlas", guarantee_cpus=4), a_vo("cms")],
        hosts=("h1", "h2"),
    )
    workers = [
        a_worker("c9-1", WorkerState.BUSY, environment="c9", vo="cms", host="h1", busy_until=NOW + 10),
        a_worker("c9-2", WorkerState.BUSY, environment="c9", vo="cms", host="h2", busy_until=NOW + 20),
        a_worker("c9-3", WorkerState.BUSY, environment="c9", vo="cms", host="h2", busy_until=NOW + 30),
        a_worker("c9-4", WorkerState.BUSY, environment="c9", vo="cms", host="h1", busy_until=NOW + 40),
    ]
    hosts = [a_host("h1", cpus=4), a_host("h2", cpus=4)]
    plan = plan_for(a_cluster(idle=1, cpus=4), policy=policy, workers=workers, hosts=hosts, proven=PROVEN)
    assert set(drains(plan)) == {"c9-2", "c9-3"}


def test_a_reclaim_that_is_no_longer_needed_is_taken_back_when_its_owner_has_work():
    leaving = [a_worker("c9-1", WorkerState.DRAINED, environment="c9", vo="cms", drain_cause="reclaim")]
    plan = plan_for(a_cluster("pool:c", 2, "cms"), policy=guaranteed(), workers=leaving, proven=PROVEN)
    assert cancels(plan) == ["c9-1"]


@pytest.mark.parametrize(("idle_for", "expected"), [(10, {"c9-1": "surplus"}), (400, {"c9-1": "idle"})])
def test_an_idle_worker_that_nobody_needs_makes_room_early_for_jobs_that_fit_nowhere(idle_for, expected):
    idle = a_worker("c9-1", environment="c9", vo="cms", idle_since=NOW - idle_for)
    plan = plan_for(
        a_cluster(idle=2), policy=farm(a_vo("atlas"), a_vo("cms")), workers=[idle], hosts=[a_host(cpus=2)], proven=PROVEN
    )
    assert drains(plan) == expected


def test_an_idle_worker_whose_jobs_wait_is_not_taken_for_others():
    idle = a_worker("c9-1", environment="c9", vo="cms")
    plan = plan_for(
        a_cluster(idle=2), a_cluster("pool:c", 2, "cms"),
        policy=farm(a_vo("atlas"), a_vo("cms")), workers=[idle], hosts=[a_host(cpus=2)], proven=PROVEN,
    )  # fmt: skip
    assert drains(plan) == {}


def test_while_a_batch_system_is_silent_nobody_is_said_to_lack_nothing():
    told = plan_for(queues=[silent()]).vos["atlas"].reasons[-1]
    assert told.sentence.endswith("how many jobs lack room is not known")
    assert "missing_jobs" not in told.numbers
    partly = plan_for(queues=[a_queue(a_cluster(idle=50)), silent("other")], hosts=[a_host(cpus=0)]).vos["atlas"].reasons[-1]
    assert partly.sentence.endswith("at least 50 jobs without room")
    assert plan_for().vos["atlas"].reasons[-1].numbers["missing_jobs"] == 0
