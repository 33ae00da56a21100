"""Health: breakers of images and hosts, and canaries, from how past boots ended."""

from dataclasses import replace

import pytest

from scheduler.decide.waiting import Waiting
from scheduler.model.clock import clock_time
from scheduler.model.failures import FailureCause
from scheduler.model.hosts import Host
from scheduler.model.workers import WorkerState
from tests.pure.builders import (
    NOW,
    a_cluster,
    a_host,
    a_policy,
    a_worker,
    an_environment,
    an_outcome,
    boots,
    codes,
    plan_for,
)

TWO = ("h1", "h2")
HOSTS = [a_host("h1"), a_host("h2")]
FAILS_EVERYWHERE = [an_outcome("h1", ago=120), an_outcome("h2", ago=110), an_outcome("h1", ago=100, n=1)]


def test_an_image_that_fails_on_several_hosts_is_no_longer_booted():
    plan = plan_for(a_cluster(idle=20), boots=FAILS_EVERYWHERE, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert boots(plan) == []
    reason = plan.clusters["pool:1"].reasons[0]
    assert reason.code == "breaker-open"
    assert reason.numbers["failures"] == 3
    assert reason.numbers["until"] == NOW + 200
    assert codes(plan.environments["el9"])[0] == "breaker-open"
    assert plan.hosts == {}  # the hosts are not to blame


def test_when_its_time_has_passed_exactly_one_probe_is_booted():
    aged = [an_outcome(b.host, ago=NOW - b.at + 300, n=n) for n, b in enumerate(FAILS_EVERYWHERE)]
    plan = plan_for(a_cluster(idle=20), boots=aged, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert len(boots(plan)) == 1
    probes = plan.clusters["pool:1"].reasons[0]
    assert probes.code == "breaker-probing"
    assert f"half-open since {clock_time(NOW - 100, NOW, 'UTC')}" in probes.sentence, "not since it opened"
    probing = plan_for(
        a_cluster(idle=20), boots=aged, hosts=HOSTS, policy=a_policy(hosts=TWO), workers=[a_worker(state=WorkerState.BOOTING)]
    )
    assert boots(probing) == []


def test_a_probe_that_registers_closes_the_breaker():
    history = [*FAILS_EVERYWHERE, an_outcome("h1", registered=True, ago=10)]
    plan = plan_for(a_cluster(idle=20), boots=history, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert len(boots(plan)) == 10


def test_each_failed_probe_doubles_the_wait_up_to_the_maximum():
    history = [an_outcome(host, ago=100_000, n=n) for n, host in enumerate(("h1", "h2", "h1"))]
    waits = []
    ago = 20_000.0
    history = [an_outcome(host, ago=ago, n=n) for n, host in enumerate(("h1", "h2", "h1"))]
    for probe in range(6):
        plan = plan_for(
            a_cluster(idle=1), boots=history, hosts=HOSTS, policy=a_policy(hosts=TWO, limits={"breaker_maximum_seconds": 2000})
        )
        assert len(boots(plan)) == 1, probe  # half-open by now
        waits.append(wait_after(history, ago))
        ago -= waits[-1] + 1
        history = [*history, an_outcome("h2", ago=ago, n=probe)]
    assert waits == [300, 600, 1200, 2000, 2000, 2000]


def wait_after(history, ago):
    """How long the breaker stays open after the last failure, `ago` seconds before now."""
    from scheduler.decide.health import judge
    from scheduler.model.policy import Limits
    from tests.pure.builders import an_observation

    health = judge(an_observation(boots=tuple(history)), Limits(breaker_maximum_seconds=2000), lambda _: False, Waiting(NOW))
    return health.images["el9", "1"].until - (NOW - ago)


def test_a_burst_that_fails_together_counts_as_one_opening():
    burst = [an_outcome("h1" if n % 2 else "h2", ago=100 - n / 10, n=n) for n in range(20)]
    plan = plan_for(a_cluster(idle=1), boots=burst, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert plan.clusters["pool:1"].reasons[0].numbers["until"] <= NOW + 201


def test_a_new_version_of_a_broken_image_starts_afresh_with_a_canary():
    policy = a_policy(an_environment(version="2"), hosts=TWO)
    plan = plan_for(a_cluster(idle=20), boots=FAILS_EVERYWHERE, hosts=HOSTS, policy=policy)
    assert len(boots(plan)) == 1
    assert codes(plan.clusters["pool:1"])[0] == "canary"


def test_a_host_on_which_images_fail_that_work_elsewhere_is_left_out():
    history = [an_outcome("h1", ago=50 - n, n=n) for n in range(3)] + [an_outcome("h2", registered=True, ago=10)]
    plan = plan_for(a_cluster(idle=50), boots=history, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert {boot.host for boot in boots(plan)} == {"h2"}
    assert codes(plan.hosts["h1"]) == ["host-breaker-open"]
    assert plan.environments.get("el9") is None or "breaker-open" not in codes(plan.environments["el9"])


def test_a_host_on_which_several_images_fail_is_left_out():
    history = [an_outcome("h1", ago=50 - n, environment=name) for n, name in enumerate(("el9", "el8", "el7"))]
    policy = a_policy(an_environment(), an_environment("el8"), an_environment("el7"), hosts=TWO)
    plan = plan_for(a_cluster(idle=4, wanted="el9"), boots=history, hosts=HOSTS, policy=policy)
    assert {boot.host for boot in boots(plan)} == {"h2"}
    assert codes(plan.hosts["h1"]) == ["host-breaker-open"]


def test_an_image_is_not_condemned_for_one_host_alone():
    history = [an_outcome("h1", ago=50 - n, n=n) for n in range(3)]
    plan = plan_for(a_cluster(idle=2), boots=history, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert [boot.host for boot in boots(plan)] == ["h2"]


def test_a_host_gets_exactly_one_probe_when_its_time_has_passed():
    history = [an_outcome("h1", ago=450 - n, n=n) for n in range(3)] + [an_outcome("h2", registered=True, ago=10)]
    plan = plan_for(a_cluster(idle=200), boots=history, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert len([boot for boot in boots(plan) if boot.host == "h1"]) == 1


def test_a_host_that_works_again_is_used_again():
    history = [*(an_outcome("h1", ago=50 - n, n=n) for n in range(3)), an_outcome("h1", registered=True, ago=5)]
    assert plan_for(a_cluster(idle=1), boots=history, hosts=HOSTS, policy=a_policy(hosts=TWO)).hosts == {}


def test_after_one_failure_the_next_boot_of_the_image_goes_to_another_host():
    history = [an_outcome("h1", ago=10)]
    hosts = [a_host("h1", memory_mib=5000), a_host("h2")]  # h1 is the tighter one
    assert boots(plan_for(a_cluster(), hosts=hosts, policy=a_policy(hosts=TWO)))[0].host == "h1"
    assert boots(plan_for(a_cluster(), hosts=hosts, policy=a_policy(hosts=TWO), boots=history))[0].host == "h2"


def test_after_one_failure_the_only_host_is_tried_again():
    assert len(boots(plan_for(a_cluster(), boots=[an_outcome("h1", ago=10)]))) == 1


def test_where_one_host_alone_can_take_an_image_its_failures_there_are_the_images():
    history = [an_outcome("h1", ago=50 - n, n=n) for n in range(3)]
    policy = a_policy(
        an_environment(labels={"gpu": "yes"}), an_environment("el8"), hosts=[Host("h1", {"gpu": "yes"}), Host("h2")]
    )
    plan = plan_for(a_cluster(wanted="el9"), boots=history, hosts=HOSTS, policy=policy)
    assert codes(plan.clusters["pool:1"]) == ["breaker-open"]
    assert plan.hosts == {}


@pytest.mark.parametrize("failure", [FailureCause.STOCK_OUT, FailureCause.UNREACHABLE])
def test_a_stock_out_is_never_held_against_the_image(failure):
    history = [an_outcome(host, ago=50 - n, n=n, failure=failure) for n, host in enumerate(("h1", "h2", "h1", "h2"))]
    hosts = [*HOSTS, a_host("h3")]
    plan = plan_for(a_cluster(idle=4), boots=history, hosts=hosts, policy=a_policy(hosts=(*TWO, "h3")))
    assert len(boots(plan)) == 2
    assert {boot.host for boot in boots(plan)} == {"h3"}


def test_a_batch_system_that_enrols_nobody_is_neither_the_hosts_fault_nor_asked_for_ever():
    history = [an_outcome("h1", ago=50 - n, n=n) for n in range(3)]
    history = [replace(boot, failure=FailureCause.BATCH_SYSTEM) for boot in history]
    plan = plan_for(a_cluster(idle=4), boots=history, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert boots(plan) == []
    assert plan.clusters["pool:1"].reasons[0].code == "breaker-open"
    assert plan.clusters["pool:1"].reasons[0].remedy.startswith("see why the batch system does not enrol new workers")
    assert plan.hosts == {}


def test_failures_that_are_long_past_are_forgotten():
    old = [an_outcome(b.host, ago=90000 + n, n=n) for n, b in enumerate(FAILS_EVERYWHERE)]
    plan = plan_for(a_cluster(idle=20), boots=old, hosts=HOSTS, policy=a_policy(hosts=TWO))
    assert len(boots(plan)) == 10


def test_an_unproven_version_boots_one_canary_and_nothing_on_top():
    plan = plan_for(a_cluster(idle=20), proven=())
    assert len(boots(plan)) == 1
    assert codes(plan.clusters["pool:1"]) == ["canary", "boot-ordered"]
    under_way = plan_for(a_cluster(idle=20), proven=(), workers=[a_worker(state=WorkerState.BOOTING)])
    assert boots(under_way) == []
    assert codes(under_way.clusters["pool:1"]) == ["canary", "booting"]


def test_a_canary_that_has_registered_frees_the_rest_at_once():
    plan = plan_for(a_cluster(idle=20), proven=(), workers=[a_worker(registered_at=NOW - 1)])
    assert len(boots(plan)) == 9
