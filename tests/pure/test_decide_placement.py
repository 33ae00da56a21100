"""Placement: on which host a worker starts, and what stands against it."""

from collections import Counter

import pytest

from environments.environment import Disk, DiskMode, Image, Network, NetworkKind, Virtualization
from scheduler.model.hosts import DomainState, Host
from scheduler.model.workers import WorkerState
from tests.pure.builders import (
    DRAINED,
    NOW,
    a_cluster,
    a_domain,
    a_host,
    a_policy,
    a_pool,
    a_vo,
    a_worker,
    an_environment,
    boots,
    codes,
    drains,
    plan_for,
    silent,
)


def only_reason(plan, key="pool:1"):
    return plan.clusters[key].reasons[0]


def test_memory_is_never_over_committed_strangers_count():
    plan = plan_for(a_cluster(idle=50), hosts=[a_host("h1", a_domain(memory_mib=10000), memory_mib=20000)])
    assert len(boots(plan)) == 2  # 10000 MiB are left for workers of 4096
    reason = only_reason(plan)
    assert reason.code == "farm-full"
    assert reason.numbers["best_free_memory_mib"] == 10000 - 2 * 4096
    assert reason.numbers["asked_memory_mib"] == 4096


@pytest.mark.parametrize(("state", "expected"), [(DomainState.PAUSED, 1), (DomainState.CRASHED, 1), (DomainState.STOPPED, 2)])
def test_a_domain_holds_its_memory_unless_it_is_stopped(state, expected):
    plan = plan_for(a_cluster(idle=50), hosts=[a_host("h1", a_domain(state=state), memory_mib=8192)])
    assert len(boots(plan)) == expected


def test_a_worker_whose_domain_is_not_seen_yet_holds_its_memory():
    coming = a_worker(state=WorkerState.REQUESTED)
    assert len(boots(plan_for(a_cluster(idle=50), workers=[coming], hosts=[a_host(memory_mib=8192)]))) == 1


def test_cores_may_be_over_committed_as_the_site_says():
    hosts = [a_host(cpus=4, memory_mib=1_000_000)]
    assert len(boots(plan_for(a_cluster(idle=50), hosts=hosts))) == 2
    policy = a_policy(cpu_overcommit=2.0)
    assert len(boots(plan_for(a_cluster(idle=50), hosts=hosts, policy=policy))) == 4


def test_the_tightest_host_is_filled_first():
    hosts = [a_host("h1", memory_mib=65536), a_host("h2", memory_mib=9000), a_host("h3", memory_mib=3000)]
    plan = plan_for(a_cluster(idle=6), hosts=hosts, policy=a_policy(hosts=("h1", "h2", "h3")))
    assert [boot.host for boot in boots(plan)] == ["h2", "h2", "h1"]


@pytest.mark.parametrize(
    ("environment", "host", "code"),
    [
        ({"virtualization": Virtualization.XEN_PV}, {}, "virtualization"),
        ({"labels": {"rack": "a"}}, {}, "labels"),
        ({"network": Network(kind=NetworkKind.LIBVIRT, source="wn")}, {"networks": frozenset({"default"})}, "network"),
        ({"image": Image(pool="shared", volume="el9.qcow2")}, {}, "pool"),
        ({"disk": Disk(mode=DiskMode.LVM, pool="vg")}, {"pools": (a_pool("vg", active=False),)}, "pool"),
    ],
)
def test_a_host_that_lacks_what_the_environment_needs_is_not_used(environment, host, code):
    plan = plan_for(a_cluster(idle=1), policy=a_policy(an_environment(**environment)), hosts=[a_host(**host)])
    assert boots(plan) == []
    assert only_reason(plan).code == "no-host"
    assert only_reason(plan).numbers == {code: 1}


def test_labels_choose_the_host():
    policy = a_policy(an_environment(labels={"rack": "a"}), hosts=[Host("h1", {"rack": "b"}), Host("h2", {"rack": "a"})])
    plan = plan_for(a_cluster(idle=2), policy=policy, hosts=[a_host("h1"), a_host("h2")])
    assert [boot.host for boot in boots(plan)] == ["h2"]


def test_disk_space_of_the_pool_bounds_full_copies():
    environment = an_environment(disk=Disk(mode=DiskMode.LVM, pool="vg", size_gib=10))
    plan = plan_for(a_cluster(idle=50), policy=a_policy(environment), hosts=[a_host(pools=(a_pool("vg", available_gib=25),))])
    assert len(boots(plan)) == 2


@pytest.mark.parametrize("drained", [{"host_words": (DRAINED,)}, {}])
def test_nothing_starts_on_a_host_that_is_drained(drained):
    policy = a_policy(hosts=[Host("h1", draining=not drained)])
    plan = plan_for(a_cluster(idle=1), policy=policy, **drained)
    assert boots(plan) == []
    assert codes(plan.hosts["h1"]) == ["host-draining"]
    assert only_reason(plan).code == "hosts-closed"


@pytest.mark.parametrize("reading", [silent("h1"), a_host(at=NOW - 181), a_host(complete=False)])
def test_nothing_starts_on_a_host_whose_answer_cannot_be_believed(reading):
    plan = plan_for(a_cluster(idle=1), hosts=[reading])
    assert boots(plan) == []
    assert "h1" in plan.hosts


def test_hosts_that_are_all_silent_are_the_reason_given():
    plan = plan_for(a_cluster(idle=1), hosts=[silent("h1")])
    assert only_reason(plan).code == "hosts-silent"


def test_a_drained_host_beside_others_that_do_not_suit_is_the_reason_and_not_the_description_of_the_environment():
    policy = a_policy(an_environment(labels={"rack": "a"}), hosts=[Host("h1", draining=True, labels={"rack": "a"}), Host("h2")])
    reason = only_reason(plan_for(a_cluster(idle=1), policy=policy, hosts=[a_host("h1"), a_host("h2")]))
    assert (reason.code, reason.numbers) == ("hosts-closed", {"host-draining": 1, "labels": 1})
    assert "undrain" in reason.remedy


def test_a_host_that_the_site_does_not_name_is_not_used():
    plan = plan_for(a_cluster(idle=1), hosts=[a_host("h9")])
    assert boots(plan) == []


def test_simultaneous_boots_on_a_host_are_bounded_and_told():
    coming = a_worker(state=WorkerState.BOOTING)
    plan = plan_for(a_cluster(idle=50), policy=a_policy(max_boots=3), workers=[coming])
    assert len(boots(plan)) == 2
    assert only_reason(plan).code == "host-boots-limit"


def test_simultaneous_boots_from_one_pool_are_bounded_over_all_environments():
    image = Image(pool="shared", volume="el.qcow2")
    policy = a_policy(an_environment(image=image), an_environment("el8", image=image), limits={"boots_per_pool": 5})
    plan = plan_for(
        a_cluster("pool:1", 50, wanted="el9"), a_cluster("pool:2", 50, wanted="el8"),
        policy=policy, hosts=[a_host(pools=(a_pool(),))],
        workers=[a_worker(state=WorkerState.BOOTING)], proven=[("el9", "1"), ("el8", "1")],
    )  # fmt: skip
    assert len(boots(plan)) == 4
    assert only_reason(plan).code == "pool-boots-limit"


def test_boots_in_flight_are_bounded_over_the_farm():
    plan = plan_for(
        a_cluster(idle=50), policy=a_policy(limits={"boots_in_flight": 3}), workers=[a_worker(state=WorkerState.BOOTING)]
    )
    assert len(boots(plan)) == 2
    assert only_reason(plan).code == "in-flight-limit"


def test_boots_per_cycle_are_bounded():
    plan = plan_for(a_cluster(idle=50), policy=a_policy(limits={"boots_per_cycle": 3}))
    assert len(boots(plan)) == 3
    assert only_reason(plan).code == "boots-limit"


def test_static_addresses_are_given_lowest_first_and_never_twice():
    policy = a_policy(addresses={"el9": ("10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24")})
    plan = plan_for(a_cluster(idle=50), policy=policy, workers=[a_worker(state=WorkerState.BUSY, address="10.0.0.2/24")])
    assert [boot.address for boot in boots(plan)] == ["10.0.0.1/24", "10.0.0.3/24"]
    assert only_reason(plan).code == "addresses-exhausted"
    assert only_reason(plan).numbers == {"addresses": 3}


def test_no_static_address_is_given_while_workers_that_the_journal_does_not_know_may_have_it():
    policy = a_policy(addresses={"el9": ("10.0.0.1/24",)})
    plan = plan_for(a_cluster(idle=1), policy=policy, unheard=("h7", "h8"))
    assert boots(plan) == []
    assert only_reason(plan).code == "addresses-unknown"
    assert only_reason(plan).sentence == (
        "nothing has been heard of 2 hosts (h7, h8) since the journal began or was restored: "
        "workers there may have static addresses of el9"
    )
    assert len(boots(plan_for(a_cluster(idle=1), unheard=("h7",)))) == 1


def test_the_address_of_a_worker_that_is_not_cleaned_up_yet_is_not_given_again():
    policy = a_policy(addresses={"el9": ("10.0.0.1/24",)})
    gone = a_worker(state=WorkerState.GONE, address="10.0.0.1/24")
    assert boots(plan_for(a_cluster(idle=1), policy=policy, workers=[gone])) == []


def test_a_worker_larger_than_every_host_is_told_with_the_largest_host():
    plan = plan_for(a_cluster(idle=1), policy=a_policy(an_environment(memory_mib=100_000)))
    assert only_reason(plan).code == "larger-than-hosts"
    assert only_reason(plan).numbers["largest_memory_mib"] == 65536


@pytest.mark.parametrize("sizes", [[(1, 65536)], [(1, 65536), (32, 4095)]])
def test_a_worker_for_which_no_host_has_both_cores_and_memory_waits_for_none_to_end(sizes):
    names = [f"h{n}" for n in range(len(sizes))]
    hosts = [a_host(name, cpus=cpus, memory_mib=memory) for name, (cpus, memory) in zip(names, sizes, strict=True)]
    reason = only_reason(plan_for(a_cluster(idle=1), policy=a_policy(hosts=names), hosts=hosts))
    assert reason.code == "larger-than-hosts"
    assert reason.numbers["largest_cpus"] == max(cpus for cpus, _ in sizes)
    assert "end" not in reason.remedy.split()


def test_cores_that_are_promised_twice_count_for_the_largest_worker():
    plan = plan_for(a_cluster(idle=1), policy=a_policy(cpu_overcommit=2.0), hosts=[a_host(cpus=1)])
    assert len(boots(plan)) == 1


def test_cores_short_is_told_with_the_best_host():
    plan = plan_for(a_cluster(idle=1), hosts=[a_host("h1", a_domain(cpus=31))])
    assert only_reason(plan).code == "farm-full"
    assert only_reason(plan).numbers["best_free_cpus"] == 1


@pytest.mark.parametrize(("free_gib", "booted"), [(120.0, 2), (49.9, 0)])
def test_a_full_storage_pool_is_no_full_farm(free_gib, booted):
    disk = Disk(mode=DiskMode.COPY, pool="shared", size_gib=50)
    plan = plan_for(
        a_cluster(idle=10), policy=a_policy(an_environment(disk=disk)), hosts=[a_host(pools=(a_pool(available_gib=free_gib),))]
    )
    assert len(boots(plan)) == booted
    (reason,) = (one for one in plan.clusters["pool:1"].reasons if one.code != "boot-ordered")
    assert reason.code == "storage-full"
    assert reason.numbers["best_free_disk_gib"] == free_gib - 50 * booted


def test_nothing_is_taken_back_for_a_worker_that_lacks_a_disk():
    """The farm has memory and cores: ending what others have lent would give atlas nothing."""
    theirs = an_environment("cms7", "cms")
    policy = a_policy(
        an_environment(disk=Disk(mode=DiskMode.LVM, pool="shared", size_gib=50)), theirs, vos=[a_vo("atlas", guarantee_cpus=8)]
    )
    busy = [a_worker(f"cms7-{n}", state=WorkerState.BUSY, environment="cms7", vo="cms") for n in range(4)]
    hosts = [a_host(pools=(a_pool(available_gib=10.0),))]
    plan = plan_for(a_cluster(idle=4), policy=policy, workers=busy, hosts=hosts, proven=[("el9", "1"), ("cms7", "1")])
    assert drains(plan) == {}
    assert only_reason(plan).code == "storage-full"


def test_large_workers_are_placed_before_small_ones_take_their_room():
    policy = a_policy(
        an_environment("large", vcpus=8, memory_mib=32768),
        an_environment("small", vcpus=1, memory_mib=2048),
        hosts=("h1", "h2"),
    )
    plan = plan_for(
        a_cluster("pool:s", 40, wanted="small"), a_cluster("pool:l", 2, wanted="large", cpus=8),
        policy=policy, hosts=[a_host("h1", memory_mib=40000), a_host("h2", memory_mib=40000)],
        proven=[("large", "1"), ("small", "1")],
    )  # fmt: skip
    assert Counter(boot.environment for boot in boots(plan))["large"] == 2


def test_names_are_numbered_upward_from_the_next_serial():
    plan = plan_for(a_cluster(idle=4), next_serial=41)
    assert [(boot.machine, boot.serial) for boot in boots(plan)] == [("el9-41", 41), ("el9-42", 42)]
