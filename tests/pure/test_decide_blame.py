"""Blame: the cause of a failed boot, and what happened elsewhere, tell who is to be looked at."""

import pytest

from scheduler.decide.facts import gather
from scheduler.decide.health import failing, host_gate
from scheduler.model.failures import FailureCause as F
from tests.pure.builders import NOW, a_cluster, a_host, a_policy, an_environment, an_observation, an_outcome, codes, plan_for

TWO = ("h1", "h2")
MISSING = "h1: boot el9-7: image.path: there is no such file /srv/el9.qcow2"


def trouble(*history, policy=None, hosts=TWO):
    """What is said of el9 after a history of boots."""
    observation = an_observation(boots=tuple(history), hosts=[a_host(host) for host in hosts], proven=())
    return failing(gather(observation, policy or a_policy(hosts=hosts)).health, ("el9", "1"))


@pytest.mark.parametrize(
    ("cause", "failure", "blamed", "to_do"),
    [
        (MISSING, F.IMAGE, "image", "put the image where `image` of el9 says"),
        (
            "h1: start domain el9-7: Network not found: no network with matching name 'farm'",
            F.NETWORK,
            "network",
            "`network` of el9",
        ),
        ("h1: find storage pool fast: it is not active", F.STORAGE, "image", "repair the image of el9"),
        ("h1: boot el9-7: cannot allocate memory", F.STOCK_OUT, "host", "look at host h1"),
        ("h1: boot el9-7: no answer within 20 s", F.NO_ANSWER, "host", "look at host h1"),
        ("h1: connect to xen:///system: Connection refused", F.UNREACHABLE, "host", "look at host h1"),
        ("pool: enrol el9-7: no network today", F.BATCH_SYSTEM, "batch system", "does not enrol new workers"),
        ("no network, no space, not found: words decide nothing", F.UNKNOWN, "image", "repair the image of el9"),
        ("its domain ended before it registered", F.UNKNOWN, "image", "repair the image of el9"),
        (
            "did not register with pool within 600 s",
            F.UNREGISTERED,
            "unclear",
            "its start daemon must run and reach the batch system",
        ),
    ],
)
def test_on_a_farm_of_one_host_the_cause_tells_who_is_to_blame(cause, failure, blamed, to_do):
    reason = trouble(an_outcome(cause=cause, failure=failure), hosts=("h1",))
    assert reason.numbers["blame"] == blamed
    assert to_do in reason.remedy
    assert cause in reason.sentence


def test_an_image_that_one_host_of_several_does_not_find_is_that_hosts_affair():
    reason = trouble(an_outcome("h1", cause=MISSING, failure=F.IMAGE))
    assert (reason.numbers["blame"], reason.remedy) == (
        "host",
        "see why host h1 does not find the image of el9 (is the share mounted there?)",
    )


def test_an_image_that_no_host_finds_is_the_definitions_affair():
    reason = trouble(
        an_outcome("h1", ago=200, cause=MISSING, failure=F.IMAGE), an_outcome("h2", cause=MISSING, failure=F.IMAGE)
    )
    assert reason.numbers["blame"] == "image"


def test_what_fails_here_and_boots_elsewhere_is_the_hosts_affair():
    history = [an_outcome("h2", registered=True, ago=300), an_outcome("h1", cause="its domain ended before it registered")]
    assert trouble(*history).numbers["blame"] == "host"


def test_when_workers_of_several_environments_boot_and_none_registers_the_batch_system_is_to_blame():
    unseen = "did not register with pool within 600 s"
    history = [an_outcome(host, ago=200 - n, cause=unseen, failure=F.UNREGISTERED, environment=name) for n, (host, name) in enumerate(
        [("h1", "el9"), ("h2", "el8"), ("h2", "el9")])]  # fmt: skip
    policy = a_policy(an_environment(), an_environment("el8"), hosts=TWO)
    reason = trouble(*history, policy=policy)
    assert reason.numbers["blame"] == "batch system"
    assert "none of them registers" in reason.remedy


def test_a_failure_is_told_with_its_clock_time_and_forgotten_when_the_image_registers():
    assert "the last boot of el9 failed; el9-h1-100.0-0 on host h1 at 13:45:00 UTC: " in trouble(an_outcome()).sentence
    assert trouble(an_outcome(), an_outcome("h2", registered=True, ago=50)) is None


def test_the_site_tells_the_time_in_its_own_zone():
    policy = a_policy()
    rome = type(policy)(policy.site, policy.catalogue, policy.hosts, policy.limits, policy.address_pools, "Europe/Rome")
    assert "at 14:45:00 CET" in trouble(an_outcome(), policy=rome, hosts=("h1",)).sentence


def test_the_canary_that_failed_says_why_on_the_row_of_its_jobs_and_of_its_environment():
    plan = plan_for(a_cluster(idle=4), boots=[an_outcome(cause=MISSING, failure=F.IMAGE)], proven=())
    reason = plan.clusters["pool:1"].reasons[0]
    assert reason.code == "canary"
    assert MISSING in reason.sentence
    assert reason.remedy.startswith("put the image where `image` of el9 says")
    assert MISSING in plan.environments["el9"].reasons[0].sentence


def test_an_environment_whose_last_boot_failed_says_so_before_any_breaker_opens():
    plan = plan_for(a_cluster(), boots=[an_outcome(cause="its domain ended before it registered")])
    assert codes(plan.environments["el9"]) == ["boots-fail"]


def test_a_breaker_of_a_host_tells_its_state_and_claims_nothing_of_other_hosts_that_is_not_known():
    history = [
        an_outcome("h1", ago=50 - n, environment=name, cause="no space left", failure=F.STOCK_OUT)
        for n, name in enumerate(("a", "b", "c"))
    ]
    observation = an_observation(boots=tuple(history))
    allowed, reason = host_gate(gather(observation, a_policy()).health, "h1", 0)
    assert allowed == 0
    assert (reason.code, reason.numbers["breaker"], reason.numbers["opened_at"]) == ("host-breaker-open", "open", NOW - 48)
    assert reason.remedy == "look at host h1"
    elsewhere = [an_outcome("h2", registered=True, ago=400, environment="a"), *history]
    _, reason = host_gate(gather(an_observation(boots=tuple(elsewhere)), a_policy(hosts=TWO)).health, "h1", 0)
    assert reason.remedy == "look at host h1: the same images boot elsewhere"
