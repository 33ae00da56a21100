"""The loop on the simulated plant: intents before acts, last looks, events, the lease, set clocks. Nothing touches a disk."""

import threading
import time
from dataclasses import replace
from random import Random

import pytest

from environments.environment import VO, Environment
from environments.matching import Catalogue
from environments.reason import Reason
from scheduler.journal.hosts import say_off
from scheduler.journal.journal import KEPT_KINDS, Journal, JournalError, LeaseLostError
from scheduler.journal.records import Outcome
from scheduler.loop.engine import Engine
from scheduler.loop.errands import why_keep
from scheduler.loop.lanes import ThreadRunner
from scheduler.loop.leading import Holder
from scheduler.model.actions import Adopt, Boot, CleanUp, Drain, Plan, PowerOff
from scheduler.model.clock import WallClock
from scheduler.model.hosts import DomainState, Host, worker_uuid
from scheduler.model.policy import Limits, Policy
from scheduler.model.ports import EventKind
from scheduler.model.queues import Node, RunningJob
from scheduler.model.readings import Unanswered
from scheduler.model.workers import WorkerState as S
from simulations.clock import Agenda, SimulatedClock
from simulations.jobs import Request
from simulations.lanes import AgendaRunner
from simulations.plant import Machine, Plant
from simulations.queue import SimulatedQueue

EL9 = Environment(name="el9", vo="atlas", virtualization="lxc", vcpus=1, memory_mib=1024, default=True, idle_seconds=60)
WHY = Reason("test", "because")


class Orders:
    """Decides what it is told; nothing otherwise."""

    def __init__(self):
        self.actions = ()
        self.asked = 0
        self.decide = lambda observation, _policy: Plan(observation.now, self.actions)

    def __call__(self, observation, policy):
        self.asked += 1
        return self.decide(observation, policy)


class Farm:
    """A plant of two hosts, a queue, an engine that decides what it is told (or by itself)."""

    def __init__(self, *, by_itself=False, runner=None, clock=None, **limits):
        self.clock = clock or SimulatedClock()
        self.agenda = Agenda(self.clock)
        self.queue, self.slow = (SimulatedQueue(name, self.agenda) for name in ("pool", "slow"))
        self.plant = Plant(self.agenda, Random(1), {"pool": self.queue, "slow": self.slow})
        self.hosts = {name: self.plant.add(Machine(name, boot_seconds=5)) for name in ("h1", "h2")}
        self.policy = Policy(
            "hill", Catalogue({"el9": EL9}, {"atlas": VO(name="atlas")}), {n: Host(n) for n in self.hosts}, Limits(**limits)
        )
        self.committed = []
        self.journal = Journal("sqlite://", now=self.clock.now(), on_commit=self.committed.append)
        self.orders = Orders()
        decisions = {} if by_itself else {"decide": self.orders, "still_holds": lambda *_: False}
        self.runner = runner or AgendaRunner(self.agenda)
        self.engine = Engine(
            self.policy, {"pool": self.queue}, self.hosts, self.journal, self.clock, self.runner, owner="a", **decisions
        )

    def order(self, *actions):
        self.orders.actions = actions
        try:
            return self.engine.cycle()
        finally:
            self.orders.actions = ()

    def wait(self, seconds):
        self.clock.sleep(seconds)
        self.agenda.catch_up()

    def worker(self, serial=1, host="h1"):
        """Boot a worker and let it register."""
        (result,) = self.order(boot(serial, host)).results
        assert result.outcome is Outcome.DONE
        self.wait(10)
        self.order()
        return f"el9-{serial}"

    def state(self, name):
        return self.journal.ledger().entries[name].state

    def kinds(self, subject):
        return [event.note.kind for event in self.journal.events(subject=subject)]


def boot(serial, host="h1"):
    return Boot(f"el9-{serial}", serial, "el9", "1", "atlas", "pool", host, WHY)


@pytest.fixture
def farm():
    made = Farm()
    yield made
    made.journal.close()


# --- intents before acts ----------------------------------------------------------------------------------------------


def test_the_intents_of_a_plan_are_committed_before_its_first_side_effect(farm):
    farm.queue.on_enrol = lambda worker, _: farm.committed.append(f"enrol {worker}")
    farm.plant.tell = lambda kind, name: farm.committed.append(f"{kind} {name}")
    farm.order(boot(1), boot(2))
    assert farm.committed == ["lease", "remember", "begin", "enrol el9-1", "enrol el9-2", "end"], "one commit for both ends"
    assert [call.worker for call in farm.plant.calls] == ["el9-1", "el9-2"]


def test_the_uuid_of_a_worker_derives_from_its_intent(farm):
    farm.order(boot(7))
    assert farm.hosts["h1"].domains["el9-7"].uuid == worker_uuid("hill", "el9-7", 7)


def test_nothing_is_done_when_the_intent_cannot_be_committed(farm):
    farm.order()
    other = farm.journal
    with other.write("steal") as connection:
        connection.exec_driver_sql("UPDATE lease SET owner = 'b', epoch = epoch + 1")
    farm.engine.lease.hold = lambda: True
    with pytest.raises(LeaseLostError):
        farm.order(boot(1))
    assert farm.plant.calls == []


def test_an_act_whose_end_cannot_be_written_counts_as_cut_off_and_is_found_again(farm):
    with farm.journal.write("refuse") as connection:
        connection.exec_driver_sql("CREATE TRIGGER full BEFORE UPDATE ON intents BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(JournalError, match="disk full"):
        farm.order(boot(1), boot(2))
    assert farm.engine.under_way == 0
    with farm.journal.write("allow") as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    farm.order()
    assert [farm.state("el9-1"), farm.state("el9-2")] == [S.BOOTING, S.BOOTING]
    assert farm.journal.ledger().intents == ()


def test_a_stranger_of_the_same_name_does_not_keep_a_failed_boot_in_the_journal(farm):
    farm.hosts["h1"].add_stranger("el9-1", 512, 1)
    (result,) = farm.order(boot(1)).results
    assert result.outcome is Outcome.FAILED
    (result,) = farm.order(CleanUp("el9-1", "h1", WHY)).results
    assert result.outcome is Outcome.DONE
    assert (farm.journal.ledger().entries, farm.hosts["h1"].domains["el9-1"].memory_mib) == ({}, 512)


def test_a_name_that_was_used_is_refused_and_the_others_go_on(farm):
    farm.order(boot(1))
    refused, done = farm.order(boot(1, "h2"), boot(2, "h2")).results
    assert (refused.outcome, refused.detail) == (Outcome.REFUSED, "worker el9-1 stands in the journal already")
    assert done.outcome is Outcome.DONE
    assert list(farm.hosts["h2"].domains) == ["el9-2"]


def test_a_source_that_errs_ends_its_own_action_only(farm):
    farm.hosts["h1"].faults.boots_fail = "no such image"
    failed, done = farm.order(boot(1), boot(2, "h2")).results
    assert (failed.outcome, failed.detail) == (Outcome.FAILED, "h1: boot el9-1: no such image")
    assert done.outcome is Outcome.DONE
    farm.order()
    assert farm.state("el9-1") is S.FAILED
    (outcome,) = farm.journal.ledger().boots
    assert (outcome.registered, outcome.cause) == (False, "h1: boot el9-1: no such image")


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (replace(boot(1), host="h9"), "host h9 is not configured"),
        (replace(boot(1), environment="gone"), "environment gone is no longer defined"),
        (replace(boot(1), batch_system="other"), "batch system other is not configured"),
        (Drain("el9-9", "idle", WHY), "the journal does not know this worker, or has closed it"),
        (Adopt("el9-9", "h1", WHY), "its domain is no longer seen"),
    ],
)
def test_what_cannot_be_done_is_refused_before_an_intent_is_written(farm, action, why):
    (result,) = farm.order(action).results
    assert (result.outcome, result.detail) == (Outcome.REFUSED, why)
    assert farm.committed == ["lease", "remember"]


# --- the last look ----------------------------------------------------------------------------------------------------

NODE = Node("el9-1", 1, 900, 1, 900)


@pytest.mark.parametrize(
    ("node", "against"),
    [
        (None, ""),
        (replace(NODE, draining=True), ""),
        (replace(NODE, draining=True, claimed=True), "it has work: a claim"),
        (replace(NODE, draining=True, jobs=(RunningJob("3.1"),)), "it has work: 3.1"),
        (replace(NODE, jobs=(RunningJob("3.1"),)), "it has work: 3.1"),
        (NODE, "it takes jobs: it is registered and not draining"),
    ],
)
def test_what_a_last_look_holds_against_a_power_off(node, against):
    assert why_keep(node) == against


@pytest.mark.parametrize(("cause", "drained"), [("idle", False), ("surplus", False), ("drift", False), ("lifetime", True)])
def test_a_worker_that_just_got_work_is_not_drained_as_idle(farm, cause, drained):
    name = farm.worker()
    farm.queue.submit(Request("atlas"), 1, 1000)
    farm.wait(10)
    (result,) = farm.order(Drain(name, cause, WHY)).results
    assert (result.outcome, result.detail) == ((Outcome.DONE, "") if drained else (Outcome.REFUSED, "it has work: 1.0"))
    assert farm.queue.nodes[name].draining is drained
    farm.order()
    assert farm.state(name) is (S.DRAINING if drained else S.BUSY)


def test_a_claim_that_the_batch_system_does_not_tell_of_yet_is_found_by_the_worker_itself(farm):
    name = farm.worker()
    farm.queue.faults.stale = True
    farm.queue.submit(Request("atlas"), 1, 1000)
    farm.wait(10)
    (result,) = farm.order(Drain(name, "idle", WHY)).results
    assert (result.outcome, result.detail) == (Outcome.REFUSED, "it has work: 1.0")
    assert not farm.queue.nodes[name].draining
    farm.order()
    assert farm.state(name) is S.IDLE, "which is what the batch system told"


def test_a_worker_whose_drain_was_taken_back_unseen_is_not_powered_off(farm):
    name = farm.worker()
    farm.order(Drain(name, "idle", WHY))
    farm.order()
    farm.queue.faults.stale = True
    farm.queue.cancel_drain(name)
    farm.queue.submit(Request("atlas"), 1, 1000)
    farm.wait(10)
    (result,) = farm.order(PowerOff(name, "h1", WHY)).results
    assert (result.outcome, result.detail) == (Outcome.REFUSED, "it has work: 1.0")
    assert name in farm.hosts["h1"].domains


def test_a_job_between_two_looks_is_remembered_although_the_queue_was_read_twice(farm):
    name = farm.worker()
    farm.queue.faults.lagging = True  # the first reading is not exact, so a drain is decided upon a second one
    farm.queue.submit(Request("atlas"), 1, 1)
    farm.wait(20)
    (result,) = farm.order(Drain(name, "lifetime", WHY)).results
    assert result.outcome is Outcome.DONE
    assert [(seen.job, seen.worker, seen.last_seen - seen.first_seen) for seen in farm.journal.sightings()] == [
        ("1.0", name, 1)
    ]


def test_a_worker_that_registers_just_after_its_boot_was_given_up_is_not_powered_off(farm):
    farm.order(boot(1))
    farm.wait(10)
    (result,) = farm.order(PowerOff("el9-1", "h1", Reason("boot-failed", "it did not register within 600 s"))).results
    assert (result.outcome, result.detail) == (Outcome.REFUSED, "it takes jobs: it is registered and not draining")
    assert "el9-1" in farm.hosts["h1"].domains


def test_a_worker_that_just_got_work_is_not_powered_off(farm):
    name = farm.worker()
    farm.queue.submit(Request("atlas"), 1, 1000)
    farm.wait(10)
    (result,) = farm.order(PowerOff(name, "h1", WHY)).results
    assert (result.outcome, result.detail) == (Outcome.REFUSED, "it has work: 1.0")
    assert name in farm.hosts["h1"].domains


def test_a_worker_is_not_powered_off_while_its_batch_system_is_silent(farm):
    name = farm.worker()
    farm.queue.faults.silent = True
    (result,) = farm.order(PowerOff(name, "h1", WHY)).results
    assert result.outcome is Outcome.FAILED
    assert name in farm.hosts["h1"].domains


def test_a_worker_of_a_removed_batch_system_goes_without_a_last_look_and_one_of_a_silent_system_does_not(farm):
    name = farm.worker()
    removed = PowerOff(name, "h1", Reason("batch-removed", "the site has no batch system pool any more"))
    farm.queue.faults.silent = True
    (result,) = farm.order(removed).results
    assert result.outcome is Outcome.FAILED, "the pool was put back just now, and is silent"
    farm.engine.connect({}, farm.hosts)
    (result,) = farm.order(replace(removed, reason=WHY)).results
    assert result.outcome is Outcome.FAILED, "only the decision that knows of the removal goes without a look"
    (result,) = farm.order(removed).results
    assert result.outcome is Outcome.DONE
    assert farm.journal.entry(name).state is S.GONE
    assert not farm.hosts["h1"].domains


def test_the_ads_of_a_dead_worker_are_forgotten_once_its_batch_system_answers_again(farm):
    name = farm.worker()
    farm.queue.faults.silent = True
    farm.hosts["h1"].domains[name].state = DomainState.CRASHED
    (result,) = farm.order(CleanUp(name, "h1", WHY)).results
    assert result.outcome is Outcome.FAILED
    farm.queue.faults.silent = False
    (result,) = farm.order(CleanUp(name, "h1", WHY)).results
    assert result.outcome is Outcome.DONE
    assert name not in farm.queue.nodes


def test_an_update_that_crosses_the_invalidation_of_a_dead_worker_is_invalidated_at_the_next_look(farm):
    name = farm.worker()
    farm.hosts["h1"].domains[name].state = DomainState.CRASHED
    farm.queue.faults.last_words = 1
    (result,) = farm.order(CleanUp(name, "h1", WHY)).results
    assert (result.outcome, result.detail) == (Outcome.AGAIN, "an update of it crossed the invalidation")
    assert farm.state(name) is S.GONE
    (result,) = farm.order(CleanUp(name, "h1", WHY)).results
    assert result.outcome is Outcome.DONE
    assert (name in farm.queue.nodes, farm.journal.ledger().entries) == (False, {})


def test_a_drained_worker_is_powered_off_forgotten_and_cleaned_up(farm):
    name = farm.worker()
    farm.order(Drain(name, "idle", WHY))
    assert farm.state(name) is S.DRAINING
    farm.order()
    assert farm.state(name) is S.DRAINED
    (result,) = farm.order(PowerOff(name, "h1", WHY)).results
    assert result.outcome is Outcome.DONE
    assert farm.journal.ledger().entries == {}
    assert farm.journal.entry(name).state is S.GONE
    assert (farm.queue.nodes, farm.hosts["h1"].domains) == ({}, {})
    steps = [event.note.cause for event in farm.journal.events(subject=name) if event.note.kind == "state"]
    assert steps == ["idle", "draining", "drained", "gone"]


def test_a_running_domain_is_not_cleaned_up_and_a_shut_off_one_is_removed(farm):
    name = farm.worker()
    (result,) = farm.order(CleanUp(name, "h1", WHY)).results
    assert (result.outcome, result.detail) == (Outcome.REFUSED, "its domain is running on h1")
    farm.hosts["h1"].domains[name].state = DomainState.CRASHED
    (result,) = farm.order(CleanUp(name, "h1", WHY)).results
    assert result.outcome is Outcome.DONE
    assert name not in farm.hosts["h1"].domains


def test_drains_and_ends_are_decided_on_exact_readings_only(farm):
    name = farm.worker()
    cheap = []
    read = farm.queue.read
    farm.queue.read = lambda environments, *, cheap: asked(cheap) or read(environments, cheap=cheap)
    asked = cheap.append
    before = farm.orders.asked

    farm.orders.decide = lambda observation, _policy: Plan(observation.now, (Drain(name, "idle", WHY),))
    farm.engine.cycle()
    assert cheap == [True, False]
    assert farm.orders.asked == before + 2


# --- submit hooks that learn ------------------------------------------------------------------------------------------


class LearningQueue(SimulatedQueue):
    """A queue whose submit hooks learn of environments."""

    def __init__(self, *args):
        super().__init__(*args)
        self.heard = []

    def announce(self, environments, vos):
        self._answer("announce")
        self.heard.append(([one.name for one in environments], list(vos)))


def test_submit_hooks_are_told_of_environments_at_once_when_they_change_and_again_every_minute(farm):
    queue = LearningQueue("pool", farm.agenda)
    farm.engine.connect({"pool": queue}, farm.hosts)
    farm.order()
    assert queue.heard == [(["el9"], ["atlas"])]
    farm.wait(30)
    assert len(queue.heard) == 1
    el8 = EL9.model_copy(update={"name": "el8", "default": False})
    farm.engine.policy = replace(farm.policy, catalogue=Catalogue({"el9": EL9, "el8": el8}, farm.policy.catalogue.vos))
    farm.order()
    assert queue.heard[1:] == [(["el9", "el8"], ["atlas"])]
    for _ in range(3):
        farm.wait(30)
        farm.order()
    assert len(queue.heard) == 3


def test_what_keeps_submit_hooks_from_being_told_is_known_and_keeps_nobody_else(farm):
    queue = LearningQueue("pool", farm.agenda)
    farm.engine.connect({"pool": queue, "slow": farm.slow}, farm.hosts)
    queue.faults.silent = True
    farm.order()
    assert farm.order().unannounced == {"pool": "connection refused"}
    queue.faults.silent = False
    farm.wait(60)
    farm.order()
    assert farm.order().unannounced == {}


# --- events -----------------------------------------------------------------------------------------------------------


def test_the_ads_of_a_domain_that_ended_are_invalidated_at_once(farm):
    name = farm.worker()
    farm.engine.watch()
    farm.hosts["h1"].stop(name, EventKind.CRASHED)
    assert name in farm.queue.nodes
    assert farm.engine.attend() == [name]
    assert name not in farm.queue.nodes
    farm.order()
    assert farm.state(name) is S.GONE, "explained by the event: not doubted"
    (event,) = [e for e in farm.journal.events(subject=name) if e.note.kind == "domain"]
    assert event.note.cause == "crashed"


def test_a_worker_that_migrated_has_not_ended_even_where_it_is_no_longer_found(farm):
    name = farm.worker()
    wakes = []
    farm.engine.watch(wakes.append)
    farm.hosts["h1"].domains.pop(name)
    farm.hosts["h1"].notify(name, EventKind.MIGRATED)
    assert farm.engine.attend() == []
    assert [event.what.wakes for event in wakes] == [True], "the farm is looked at again"
    assert farm.queue.nodes[name].alive
    assert not [e for e in farm.journal.events(subject=name) if e.note.kind == "domain"]


def test_lost_seconds_of_a_host_are_exact_to_its_events_however_late_the_looks_come(farm):
    farm.engine.watch()
    farm.order()
    begun = farm.clock.now()
    farm.agenda.after(7.25, farm.hosts["h2"].fall_silent)
    farm.agenda.after(41.5, farm.hosts["h2"].answer_again)
    for _ in range(2):
        farm.wait(30)
        farm.order()
    kept = [(event.note.detail["status"], event.at - begun) for event in farm.journal.events(subject="h2", kind="status")]
    assert sorted(kept)[:3] == [("CRITICAL", 7.25), ("OK", 0.0), ("OK", 41.5)]


def test_a_worker_ended_when_its_host_told_so_not_when_that_was_attended_to(farm):
    name = farm.worker()
    farm.engine.watch()
    farm.agenda.after(3.5, lambda: farm.hosts["h1"].stop(name, EventKind.CRASHED))
    died = farm.clock.now() + 3.5
    farm.wait(20)
    assert farm.engine.attend() == [name]
    (event,) = farm.journal.events(subject=name, kind="domain")
    assert event.at == died


def test_an_event_alone_proves_nothing(farm):
    name = farm.worker()
    wakes = []
    farm.engine.watch(wakes.append)
    farm.hosts["h1"].notify(name, EventKind.STOPPED)
    assert [event.what for event in wakes] == [EventKind.STOPPED]
    assert farm.engine.attend() == []
    assert farm.queue.nodes[name].alive


def test_events_of_strangers_and_of_domains_that_we_powered_off_ourselves_are_no_news(farm):
    name = farm.worker()
    farm.engine.watch()
    farm.hosts["h1"].add_stranger("nas", 512)
    farm.hosts["h1"].stop("nas", EventKind.STOPPED)
    farm.order(Drain(name, "idle", WHY))
    farm.order(PowerOff(name, "h1", WHY))
    assert farm.engine.attend() == []


def test_a_daemon_that_waits_attends_to_nothing(farm):
    name = farm.worker()
    farm.engine.watch()
    farm.engine.lease.leading = False
    farm.hosts["h1"].stop(name, EventKind.CRASHED)
    assert farm.engine.attend() == []
    assert name in farm.queue.nodes


def test_a_source_that_fails_while_an_event_is_attended_to_is_left_to_the_next_cycle(farm):
    name = farm.worker()
    farm.engine.watch()
    farm.hosts["h1"].stop(name, EventKind.CRASHED)
    farm.queue.faults.silent = True
    assert farm.engine.attend() == []
    farm.queue.faults.silent = False
    farm.order()
    farm.order(CleanUp(name, "h1", WHY))
    assert name not in farm.queue.nodes


# --- lease, look, adoption, clock -------------------------------------------------------------------------------------


def test_while_another_daemon_acts_nothing_is_read_and_nothing_done(farm):
    assert farm.journal.hold_lease("b", farm.clock.now(), 60)
    farm.hosts["h1"].read = farm.queue.read = None
    cycle = farm.order(boot(1))
    assert (cycle.leading, cycle.results, cycle.observation.workers) == (False, (), ())
    unmoved = 0
    for seconds in (20, 20, 19):
        farm.clock.sleep(seconds)
        unmoved += seconds
        assert farm.order().holder == Holder("b", unmoved)
    farm.clock.sleep(1)
    del farm.hosts["h1"].read, farm.queue.read
    assert farm.engine.cycle().leading


def test_a_look_writes_nothing(farm):
    farm.worker()
    farm.committed.clear()
    farm.queue.submit(Request("atlas"), 3)
    assert [w.name for w in farm.engine.look().workers] == ["el9-1"]
    assert farm.committed == []


def test_a_silent_source_becomes_a_value_in_one_place(farm):
    farm.hosts["h2"].faults.silent = True
    observation = farm.order().observation
    assert isinstance(observation.hosts["h2"], Unanswered)
    assert observation.hosts["h2"].reason == "capacity and domains: connection refused"


def test_with_a_lost_journal_the_farm_is_adopted_and_goes_on(farm):
    name = farm.worker()
    again = Journal("sqlite://", now=farm.clock.now())
    engine = Engine(farm.policy, {"pool": farm.queue}, farm.hosts, again, farm.clock, AgendaRunner(farm.agenda), owner="b")
    cycle = engine.cycle()
    assert [(type(r.action), r.outcome) for r in cycle.results] == [(Adopt, Outcome.DONE)]
    entry = again.ledger().entries[name]
    assert (entry.origin, entry.host, entry.uuid) == ("adopted", "h1", farm.hosts["h1"].domains[name].uuid)
    assert engine.cycle().observation.unjournaled == frozenset()
    assert len(farm.plant.calls) == 1, "nothing was booted or ended"
    again.close()


def test_a_host_that_was_forgotten_and_comes_back_has_its_workers_adopted(farm):
    name, host = farm.worker(), farm.hosts["h1"]
    host.faults.silent = True
    assert [w.state for w in farm.order().observation.workers] == [S.UNSEEN]
    say_off(farm.journal, "h1", "burnt", farm.clock.now(), "anna")
    assert farm.order().observation.workers == ()
    assert farm.journal.entry(name).closed_at is not None
    assert farm.journal.ledger().host_words == ()
    host.faults.silent = False
    assert farm.order().observation.unjournaled == {name}
    (adopted,) = farm.order(Adopt(name, "h1", WHY)).results
    assert adopted.outcome is Outcome.DONE
    assert farm.journal.entry(name).closed_at is None
    assert [w.name for w in farm.order().observation.workers] == [name]


def given_up(farm):
    name = farm.worker()
    farm.hosts["h1"].faults.silent = True
    farm.order()
    assert name in farm.queue.nodes
    say_off(farm.journal, "h1", "burnt", farm.clock.now(), "anna")
    return name


def test_what_the_batch_system_shows_of_workers_that_are_given_up_with_their_host_is_taken_out_of_it(farm):
    name = given_up(farm)
    assert farm.order().uninvalidated == {}
    assert name not in farm.queue.nodes


@pytest.mark.parametrize(
    ("fails", "why"),
    [({"silent": True}, "connection refused"), ({"last_words": 1}, "an update of it crossed the invalidation")],
    ids=["it does not answer", "an update crosses"],
)
def test_taking_out_what_is_shown_of_them_is_tried_again_until_it_is_done(farm, fails, why):
    name = given_up(farm)
    for key, value in fails.items():
        setattr(farm.queue.faults, key, value)
    assert farm.order().uninvalidated == {name: why}
    assert name in farm.queue.nodes
    farm.queue.faults.silent = False
    assert farm.order().uninvalidated == {}
    assert name not in farm.queue.nodes


@pytest.mark.parametrize("later", [0, 3700], ids=["at once", "when nothing of it is shown any more"])
def test_whoever_acts_next_takes_out_what_the_last_one_did_not_come_to(farm, later):
    name = given_up(farm)
    farm.queue.faults.silent = True
    assert farm.order().uninvalidated == {name: "connection refused"}
    farm.queue.faults.silent = False
    farm.engine.lease.release()
    farm.clock.sleep(later)
    sources = {"pool": farm.queue}, farm.hosts, farm.journal
    engine = Engine(farm.policy, *sources, farm.clock, AgendaRunner(farm.agenda), owner="b", decide=Orders())
    assert engine.cycle().leading
    assert (name in farm.queue.nodes) is bool(later)


def test_when_the_clock_is_set_forward_no_deadline_passes(farm):
    farm.order(boot(1))
    farm.plant.broken_images["el9", "1"] = "hangs"
    farm.clock.jump(7200)
    cycle = farm.order()
    assert cycle.clock_step_seconds == 7200
    assert farm.state("el9-1") is S.BOOTING
    farm.wait(601)
    farm.order()
    assert farm.state("el9-1") is S.FAILED


def test_when_the_clock_is_set_back_deadlines_still_pass(farm):
    farm.plant.broken_images["el9", "1"] = "hangs"
    farm.order(boot(1))
    farm.clock.jump(-7200)
    farm.wait(300)
    farm.order()
    farm.wait(302)
    farm.order()
    assert farm.state("el9-1") is S.FAILED


def test_deadlines_pass_when_the_clock_is_set_back_while_no_daemon_runs(farm):
    farm.plant.broken_images["el9", "1"] = "hangs"
    farm.order(boot(1))
    farm.engine.lease.release()
    farm.clock.jump(-7200)
    sources = {"pool": farm.queue}, farm.hosts, farm.journal
    engine = Engine(farm.policy, *sources, farm.clock, AgendaRunner(farm.agenda), owner="b", decide=farm.orders)
    assert engine.cycle().clock_step_seconds == -7200
    farm.wait(602)
    assert engine.cycle().clock_step_seconds == 0
    assert farm.state("el9-1") is S.FAILED


def test_a_quiet_cycle_does_not_decide_again_until_something_changes():
    farm = Farm(by_itself=True)
    farm.engine.cycle()
    assert farm.engine.cycle().quiet
    farm.queue.submit(Request("atlas"), 1)
    cycle = farm.engine.cycle()
    assert not cycle.quiet
    assert [type(r.action) for r in cycle.results] == [Boot]
    farm.wait(300)
    while not farm.engine.cycle().quiet:
        farm.wait(30)
    farm.engine.policy = replace(farm.policy, limits=Limits(poll_seconds=10))
    assert not farm.engine.cycle().quiet, "a new policy is always decided by"
    farm.journal.close()


# --- sources that hang ------------------------------------------------------------------------------------------------


@pytest.fixture
def real():
    """A farm under the real clock, with a reading deadline of a second."""
    clock = WallClock()
    made = Farm(clock=clock, runner=ThreadRunner(clock), reading_deadline_seconds=1)
    made.hang = threading.Event()
    yield made
    made.hang.set()
    until(lambda: not made.engine.under_way)
    made.engine.close()
    made.journal.close()


def hanging(farm, of, name):
    """Let a call hang until the test ends, and do its work then."""
    real = getattr(of, name)
    setattr(of, name, lambda *args, **more: farm.hang.wait(30) and real(*args, **more))


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.01)


def quickly(farm, *actions):
    """Go round; it must not wait for whoever hangs."""
    begun = time.monotonic()
    cycle = farm.order(*actions)
    assert time.monotonic() - begun < 10, "whoever hangs does so for 30 s"
    return cycle


def raising(error):
    def call(*_args, **_more):
        raise error

    return call


@pytest.mark.parametrize("error", [ValueError("embedded null byte"), AssertionError(), RecursionError("too deep"), OSError(5)])
def test_whatever_a_connector_raises_at_a_boot_is_that_boot_s_failure_and_counts_towards_the_breaker(real, error):
    real.hosts["h1"].boot = raising(error)
    for serial in range(1, 4):
        real.order(boot(serial), boot(serial + 10, "h2"))
        until(lambda number=serial: f"el9-{number + 10}" in real.hosts["h2"].domains and not real.engine.under_way)
    real.order()
    causes = [one.cause for one in real.journal.ledger().boots if one.host == "h1"]
    assert len(causes) == 3
    assert all(type(error).__name__ in cause for cause in causes)


@pytest.mark.parametrize("answer", [raising(ValueError("nul")), lambda *_, **__: None, raising(KeyError("x"))])
def test_a_source_whose_reading_fails_in_an_unforeseen_way_is_silent_and_the_others_are_served(real, answer):
    real.engine.connect({"pool": real.queue, "slow": real.slow}, real.hosts)
    real.hosts["h1"].read = real.slow.read = answer
    cycle = real.order(boot(1, "h2"))
    assert isinstance(cycle.observation.hosts["h1"], Unanswered)
    assert isinstance(cycle.observation.queues["slow"], Unanswered)
    until(lambda: "el9-1" in real.hosts["h2"].domains)


def test_a_host_that_cannot_be_listened_to_keeps_nobody_from_being_served(real):
    real.hosts["h1"].watch = raising(ValueError("nul"))
    real.engine.watch()
    real.order(boot(1, "h2"))
    until(lambda: "el9-1" in real.hosts["h2"].domains)


def test_an_act_that_hangs_goes_on_by_itself_and_what_waits_behind_it_is_given_up_in_time(real):
    hanging(real, real.hosts["h1"], "boot")
    quickly(real)
    first, behind, other = quickly(real, boot(1), boot(2), boot(3, "h2")).results
    assert (first.outcome, behind.outcome, other.outcome) == (Outcome.UNDER_WAY, Outcome.UNDER_WAY, Outcome.DONE)
    cycle = quickly(real)
    assert cycle.observation.hosts["h1"].pending
    states = {worker.name: worker.state for worker in cycle.observation.workers}
    assert (states["el9-1"], states["el9-2"]) == (S.REQUESTED, S.REQUESTED), "both are counted"
    assert [result.outcome for result in quickly(real, boot(4, "h2")).results] == [Outcome.DONE], "others are served meanwhile"
    time.sleep(1.1)
    (late,) = quickly(real).results
    assert (late.action.machine, late.outcome) == ("el9-2", Outcome.LATE)
    assert real.journal.entry("el9-2").closed_at is not None
    cycle = quickly(real)
    late = cycle.observation.hosts["h1"]
    assert (late.pending, late.asked) == (False, False), "an act of ours holds it for longer than its deadline: nobody knows"
    assert {worker.name: worker.state for worker in cycle.observation.workers}["el9-1"] is S.UNSEEN
    real.hang.set()
    until(lambda: not real.engine.under_way)
    (done,) = quickly(real).results
    assert (done.action.machine, done.outcome) == ("el9-1", Outcome.DONE), "its end is told when it comes"
    assert real.state("el9-1") is S.BOOTING
    assert list(real.hosts["h1"].domains) == ["el9-1"]


def test_a_host_on_which_an_act_ends_while_others_are_still_asked_is_pending_and_not_unknown(real):
    hanging(real, real.hosts["h1"], "boot")
    quickly(real)
    quickly(real, boot(1))
    read = real.queue.read

    def read_slowly(*args, **more):
        real.hang.set()
        until(lambda: real.hosts["h1"].domains)
        time.sleep(0.1)
        return read(*args, **more)

    real.queue.read = read_slowly
    assert quickly(real).observation.hosts["h1"].pending
    notes = [event.note for event in real.journal.events()]
    assert not [note for note in notes if note.subject == "h1" and note.kind == "source"]
    assert {note.detail["status"] for note in notes if note.subject == "h1" and note.kind == "status"} == {"OK"}


def test_a_batch_system_that_hangs_while_a_worker_is_enrolled_keeps_no_host_waiting(real):
    real.engine.connect({"pool": real.queue, "slow": real.slow}, real.hosts)
    quickly(real)
    hanging(real, real.slow, "enrol")
    slow = replace(boot(1), batch_system="slow")
    mine, other = quickly(real, slow, boot(2)).results
    assert (mine.outcome, other.outcome) == (Outcome.UNDER_WAY, Outcome.DONE)
    assert list(real.hosts["h1"].domains) == ["el9-2"]
    cycle = quickly(real, boot(3))
    assert [result.outcome for result in cycle.results] == [Outcome.DONE]
    assert cycle.observation.queues["slow"].pending
    assert {w.name: w.state for w in cycle.observation.workers}["el9-1"] is S.REQUESTED


def test_a_host_that_leaves_the_site_while_its_worker_is_enrolled_ends_the_boot_and_nothing_else(real):
    hanging(real, real.queue, "enrol")
    quickly(real, boot(1))
    real.engine.connect({"pool": real.queue}, {"h2": real.hosts["h2"]})
    real.hang.set()
    until(lambda: not real.engine.under_way)
    (ended,) = quickly(real).results
    assert (ended.outcome, "the site has no host of this name" in ended.detail) == (Outcome.FAILED, True)


def test_a_daemon_that_slept_through_the_end_of_its_lease_boots_no_worker_that_it_had_begun_to_enrol(real):
    hanging(real, real.queue, "enrol")
    quickly(real, boot(1))
    real.engine.lease.seconds = 0
    assert real.engine.lease.renew()  # it ends in this instant: from now on another daemon may act
    real.engine.lease.seconds = 60
    real.hang.set()
    until(lambda: not real.engine.under_way)
    (ended,) = quickly(real).results
    assert (ended.outcome, "the right to act has ended" in ended.detail) == (Outcome.LATE, True)
    assert not real.hosts["h1"].domains
    assert "el9-1" not in real.journal.ledger().entries


def test_a_source_that_is_slow_to_answer_is_pending_and_changes_nothing_that_is_known(real):
    real.engine.connect({"pool": real.queue, "slow": real.slow}, real.hosts)
    quickly(real)
    quickly(real, boot(1))
    hanging(real, real.hosts["h1"], "read")
    hanging(real, real.slow, "read")
    cycle = quickly(real)
    assert cycle.observation.hosts["h1"].pending
    assert cycle.observation.queues["slow"].pending
    before = real.state("el9-1")
    assert [result.outcome for result in quickly(real, boot(2, "h2")).results] == [Outcome.DONE]
    assert real.state("el9-1") is before
    assert "source" not in {event.note.kind for event in real.journal.events()}, "nobody is called silent yet"
    real.hang.set()
    until(lambda: not any(isinstance(one, Unanswered) for one in quickly(real).observation.hosts.values()))


def test_nothing_is_begun_of_a_worker_while_an_act_on_it_is_under_way(real):
    hanging(real, real.hosts["h1"], "boot")
    quickly(real, boot(1))
    (refused,) = quickly(real, PowerOff("el9-1", "h1", WHY)).results
    assert (refused.outcome, refused.detail) == (Outcome.REFUSED, "a boot of it is still under way")


def test_events_come_from_the_threads_of_the_hosts_while_a_cycle_runs():
    clock = WallClock()
    farm = Farm(clock=clock, runner=ThreadRunner(clock))
    name = "el9-1"
    farm.order(boot(1))
    farm.queue.register(name, EL9, farm.queue.token(name), "h1")
    farm.order()
    woken = threading.Event()
    farm.engine.watch(lambda _event: woken.set())
    thread = threading.Thread(target=farm.hosts["h1"].stop, args=(name, EventKind.CRASHED))
    thread.start()
    thread.join(5)
    assert woken.is_set()
    assert farm.engine.attend() == [name]
    farm.engine.close()
    farm.journal.close()


def test_what_is_older_than_the_journal_s_days_is_forgotten_once_a_day():
    farm = Farm(journal_days=1)
    farm.worker()
    farm.wait(86400 + 3600)
    farm.order()
    assert {event.note.kind for event in farm.journal.events()} >= {"journal"}
    assert farm.committed.count("forget") == 1
    forgotten = [event for event in farm.journal.events() if event.note.kind not in KEPT_KINDS]
    assert all(event.at > farm.clock.now() - 86400 - 60 for event in forgotten)
    farm.order()
    assert farm.committed.count("forget") == 1
    farm.journal.close()


def test_a_clock_that_was_set_makes_nothing_old_at_once():
    farm = Farm(journal_days=1)
    farm.worker()
    farm.wait(86400)
    farm.clock.jump(30 * 86400)
    farm.order()
    assert "forget" not in farm.committed
    farm.journal.close()


def test_a_closed_engine_gives_the_lease_back(farm):
    farm.order()
    farm.engine.close()
    assert farm.journal.lease().owner == ""
