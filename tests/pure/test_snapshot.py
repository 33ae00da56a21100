"""Snapshots: what is written is what is read, and a damaged one is refused with a sentence."""

import json
from dataclasses import replace

import pytest
from builders import (
    a_cluster,
    a_domain,
    a_host,
    a_policy,
    a_vo,
    a_worker,
    an_environment,
    an_observation,
    an_outcome,
    plan_for,
    silent,
)
from hypothesis import given
from hypothesis import strategies as st

from environments.reason import Reason
from scheduler.decide.plan import decide
from scheduler.model.actions import Adopt, Boot, CancelDrain, CleanUp, Drain, Plan, PowerOff, Verdict
from scheduler.model.host_states import HostState, HostWord
from scheduler.model.observation import Observation
from scheduler.model.snapshot import Snapshot, SnapshotError, dump, load
from scheduler.model.workers import WorkerState

REASON = Reason("memory-short", "12 MiB are missing", {"missing_mib": 12, "share": 0.5, "host": "h1"}, "wait")


def a_farm():
    policy = a_policy(
        an_environment(provides={"A": True, "B": 1, "C": 1.0, "D": "1"}, labels={"rack": "a"}),
        vos=(a_vo(weight=2, ceiling_cpus=9),),
        limits={"poll_seconds": 7},
        addresses={"el9": ("10.0.0.1/24",)},
    )
    observation = an_observation(
        a_cluster(idle=3, wanted="el9", accepts=frozenset({"el9"}), refusals={"el8": "clause"}, walltime_seconds=60),
        a_cluster("pool:2", problem="malformed"),
        workers=(a_worker(), a_worker("el9-2", WorkerState.BUSY), a_worker("el9-3", WorkerState.BOOTING)),
        hosts=[a_host("h1", a_domain()), silent("h2")],
        boots=(an_outcome(), an_outcome(registered=True)),
        strangers=(("h1", "stranger"),),
        host_words=(HostWord("h1", HostState.DRAINING, 50.0, "anna", "dust"),),
    )
    return observation, policy


def test_what_is_written_is_what_is_read():
    observation, policy = a_farm()
    actions = (
        Boot("el9-9", 9, "el9", "1", "atlas", "pool", "h1", REASON, "10.0.0.1/24"),
        Drain("el9-1", "idle", REASON),
        CancelDrain("el9-1", REASON),
        PowerOff("el9-1", "h1", REASON),
        CleanUp("el9-1", "h1", REASON),
        Adopt("el9-1", "h1", REASON),
    )
    plan = Plan(5.0, actions, {"pool:1": Verdict("pool:1", (REASON, REASON))}, quiet_until=9.0)
    assert load(dump(observation, policy, plan)) == Snapshot(observation, policy, plan)
    assert load(dump(observation, policy)) == Snapshot(observation, policy)


def test_the_kinds_of_values_survive():
    provides = load(dump(*a_farm())).policy.catalogue.environments["el9"].provides
    assert {key: type(value) for key, value in provides.items()} == {"A": bool, "B": int, "C": float, "D": str}


def test_the_same_decision_is_made_of_a_snapshot():
    observation, policy = a_farm()
    read = load(dump(observation, policy))
    assert decide(read.observation, read.policy) == decide(observation, policy)


def test_a_real_plan_survives():
    observation, policy = a_farm()
    plan = plan_for(a_cluster(idle=50))
    assert plan.actions
    assert load(dump(observation, policy, plan)).plan == plan


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"[1, 2]", "no snapshot"),
        (b'{"format": "ambienti-snapshot", "version": 99}', "has version 99, this program reads version 2"),
        (b'{"format": "ambienti-snapshot", "version": 2}', "'observation' is missing"),
        (b'{"format": "ambienti-snapshot", "version": 2, "observation": {}, "policy": {}}', "damaged at now"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_snapshot_is_refused_with_a_sentence(content, says):
    with pytest.raises(SnapshotError, match=says):
        load(content)


def test_a_snapshot_of_an_unknown_time_zone_is_refused_with_a_sentence():
    observation, policy = a_farm()
    for zone in ("Europe/Atlantis", "../../etc/passwd"):
        with pytest.raises(SnapshotError, match="is no time zone here"):
            load(dump(observation, replace(policy, zone=zone)))


keys = st.sampled_from(["observation", "policy", "plan"])


@given(
    keys,
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)),
)
def test_no_damage_gives_anything_but_a_snapshot_error(key, damage):
    data = json.loads(dump(*a_farm(), Plan(1.0, ())))
    data[key] = damage
    try:
        found = load(json.dumps(data).encode())
    except SnapshotError:
        return
    assert isinstance(found.observation, Observation)


def test_no_secret_can_stand_in_a_snapshot():
    observation, policy = a_farm()
    assert b"token" not in dump(observation, policy).lower()
    assert dump(replace(observation, now=1.0), policy) != dump(observation, policy)
