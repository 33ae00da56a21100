"""Trials of environments on the simulated plant: the way of every worker, followed, and taken down whoever stops asking."""

import math
from dataclasses import replace

import pytest

from environments.matching import Catalogue
from scheduler.loop.trial import ASKS_WITHIN_SECONDS, AnotherTrialError, Trials
from simulations.jobs import Request
from tests.pure.test_engine import EL9, Farm


@pytest.fixture
def farm():
    farm = Farm(by_itself=True)
    farm.engine.cycle()
    yield farm
    farm.journal.close()


def ask(farm, key="one", environment="el9", **more):
    return farm.engine.trials.ask(key, environment, farm.clock.now(), farm.clock.monotonic(), **more)


def go_on(farm, key="one", seconds=600, **more):
    """Go round and ask, every two seconds, until the trial has ended; return what was told last."""
    for _ in range(seconds // 2):
        told = ask(farm, key, **more)
        if told["ended"]:
            return told
        farm.engine.cycle()
        farm.wait(2)
    raise AssertionError(f"it has not ended: {told}")


def steps(told):
    return [step["what"] for step in told["steps"]]


def test_a_worker_is_ordered_booted_registered_and_taken_down(farm):
    told = go_on(farm)
    assert (told["verdict"], steps(told)) == ("works", ["asked", "ordered", "started", "registered", "gone"])
    assert farm.journal.ledger().entries == {}
    assert not farm.hosts["h1"].domains
    causes = [event.note.cause for event in farm.journal.events(subject=told["worker"]) if event.note.kind == "state"]
    assert causes[-1] == "gone"
    assert not farm.engine.trials.active


def test_a_quick_worker_is_not_said_to_register_before_its_domain_started(farm):
    """HTCondor tells whole seconds, cut off: what registers half a second after its order seems older than that."""
    farm.wait(0.7)
    while "started" not in steps(told := ask(farm)):
        farm.engine.cycle()
        farm.wait(1)
    while not farm.queue.nodes:
        farm.wait(1)
    ordered = next(step["at"] for step in told["steps"] if step["what"] == "ordered")
    (node,) = farm.queue.nodes.values()
    node.registered_monotonic = math.floor(ordered) - farm.clock.now() + farm.clock.monotonic()
    sentence = next(step["sentence"] for step in go_on(farm)["steps"] if step["what"] == "registered")
    assert sentence.startswith("it registered within 1 s of the order: 1 core, ")


def test_a_kept_worker_stays_and_goes_when_it_has_been_idle_for_long_enough(farm):
    told = go_on(farm, keep=True)
    assert (told["verdict"], steps(told)[-1]) == ("works", "kept")
    assert told["worker"] in farm.queue.nodes


def test_a_worker_that_took_a_job_stays_in_service(farm):
    told = ask(farm)
    while "started" not in steps(told):
        farm.engine.cycle()
        farm.wait(1)
        told = ask(farm)
    farm.queue.submit(Request("atlas"), 1, 1000)
    while not any(node.jobs for node in farm.queue.nodes.values()):
        farm.wait(1)
    told = go_on(farm)
    assert (told["verdict"], steps(told)[-1]) == ("works", "kept")
    assert "has taken job 1.0" in told["steps"][-1]["sentence"]


def test_whoever_asks_no_longer_leaves_no_worker_behind(farm):
    ask(farm)
    farm.engine.cycle()
    for _ in range(60):
        farm.wait(2)
        farm.engine.cycle()
    assert farm.clock.monotonic() > ASKS_WITHIN_SECONDS
    assert farm.journal.ledger().entries == {}
    assert not farm.engine.trials.active


def test_a_boot_that_fails_says_so_and_whom_to_blame_and_is_cleaned_up(farm):
    for host in farm.hosts.values():
        host.faults.boots_fail = "cannot start the domain"
    told = go_on(farm)
    assert (told["verdict"], steps(told)[:3]) == ("failed", ["asked", "ordered", "failed"])
    assert "blame" in steps(told)
    assert farm.journal.ledger().entries == {}


def test_what_keeps_a_worker_from_being_ordered_is_told(farm):
    for name in farm.hosts:
        farm.engine.policy = farm.policy
        farm.hosts[name].faults.silent = True
    farm.engine.cycle()
    ask(farm)
    farm.engine.cycle()
    told = ask(farm)
    assert not told["worker"]
    assert told["waits"]
    told = go_on(farm, give_up=True)
    assert told["verdict"] == "not-booted"


def test_two_trials_of_one_environment_at_a_time_are_refused(farm):
    ask(farm)
    with pytest.raises(AnotherTrialError, match="under way already"):
        ask(farm, "two")


def test_alone_nothing_else_is_done(farm):
    el8 = EL9.model_copy(update={"name": "el8", "default": False, "minimum_workers": 3})
    environments = {"el9": EL9, "el8": el8}
    farm.engine.policy = replace(farm.policy, catalogue=Catalogue(environments, farm.policy.catalogue.vos))
    farm.engine.trials = Trials(alone=True)
    told = go_on(farm)
    assert told["verdict"] == "works"
    begun = {event.note.subject for event in farm.journal.events() if event.note.kind == "boot-begun"}
    assert begun == {told["worker"]}


def test_a_worker_that_jobs_wait_for_is_tried_and_stays(farm):
    farm.queue.submit(Request("atlas"), 3, 1000)
    told = go_on(farm)
    assert (told["verdict"], steps(told)[-1]) == ("works", "kept")
