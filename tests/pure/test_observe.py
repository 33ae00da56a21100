"""What is made of readings, journal and memory: states, doubts, adoption, twins, sightings."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.domain_identity import ServiceIdentity, WorkerIdentity
from environments.environment import VO, Environment
from environments.matching import Catalogue, Requirements
from scheduler.journal.records import ADOPTION_GAP, Entry, Ledger, OpenIntent, Sighting
from scheduler.model.host_states import HostState, HostWord
from scheduler.model.hosts import DiscoveryReading, Domain, DomainState, Host, HostReading, worker_uuid
from scheduler.model.lifecycle import allowed
from scheduler.model.policy import Limits, Policy
from scheduler.model.queues import EndedJob, JobCount, JobCounts, Node, QueueReading, RequestCluster, RunningJob
from scheduler.model.readings import Unanswered
from scheduler.model.workers import BootOutcome
from scheduler.model.workers import WorkerState as S
from scheduler.observe.derive import WorkerFacts, state_of
from scheduler.observe.memory import Memory, moved
from scheduler.observe.merge import Readings, merge

EL9 = Environment(name="el9", vo="atlas", virtualization="lxc", vcpus=2, memory_mib=4096, boot_seconds=600)
POLICY = Policy("hill", Catalogue({"el9": EL9}, {"atlas": VO(name="atlas")}), {"h1": Host("h1"), "h2": Host("h2")}, Limits())
NOW = 10_000.0
JOB = RunningJob("12.0", vo="cms", user="anna", since=NOW - 50, cpus=2, ends_by=NOW + 900)
CLUSTER = RequestCluster("pool:1", "pool", "atlas", Requirements(), idle=3)


def entry(name="el9-1", **changes):
    made = Entry(
        name=name,
        serial=int(name.rpartition("-")[2]),
        uuid=worker_uuid("hill", name, 1),
        environment="el9",
        version="1",
        vo="atlas",
        batch_system="pool",
        host="h1",
        cpus=2,
        memory_mib=4096,
        state=S.REQUESTED,
        since=NOW - 30,
        requested_at=NOW - 30,
    )
    return replace(made, **changes)


def booting(name="el9-1", **changes):
    return entry(name, **{"state": S.BOOTING, "booted_at": NOW - 29, **changes})


def registered(name="el9-1", **changes):
    made = {"state": S.IDLE, "booted_at": NOW - 500, "registered_at": NOW - 400, "requested_at": NOW - 510, "since": NOW - 300}
    return entry(name, **{**made, **changes})


def domain(name="el9-1", state=DomainState.RUNNING, site="hill", **changes):
    serial = int(name.rpartition("-")[2])
    identity = WorkerIdentity(site, name, "el9", "1", "atlas", "pool", serial, changes.pop("requested_at", NOW - 30))
    return Domain(name, worker_uuid("hill", name, 1), state, 2, 4096, identity)


def node(name="el9-1", **changes):
    made = {"free_cpus": 2, "free_memory_mib": 3686, "idle_since": NOW - 20, "registered_at": NOW - 25}
    return Node(name, 2, 3686, **{**made, **changes})


def host(*domains, name="h1", **changes):
    return HostReading(name, NOW, 16, 65536, frozenset(EL9.virtualization), domains, **changes)


def queue(*nodes, clusters=(CLUSTER,), **changes):
    return QueueReading("pool", NOW, clusters, nodes, **changes)


DEAD = Unanswered("h1", "read: no route to host", NOW)
MUTE = Unanswered("pool", "read: timed out", NOW)


H1, H2, CLOUD = ("host", "h1"), ("host", "h2"), ("discovery", "cloud")


def ledger(*entries, **changes):
    heard = {H1: True, H2: True}
    made = {"made_at": 0.0, "next_serial": 50, "entries": {e.name: e for e in entries}, "epoch": 1, "heard": heard}
    return Ledger(**{**made, **changes})


def readings(h1=None, pool=None, h2=None, **changes):
    hosts = {"h1": h1 or host(), "h2": h2 or host(name="h2")}
    made = {"now": NOW, "monotonic": 500.0, "queues": {"pool": pool or queue()}, "hosts": hosts}
    return Readings(**{**made, **changes})


def see(*entries, memory=None, intents=(), **changes):
    return merge(readings(**changes), ledger(*entries, intents=tuple(intents)), memory or Memory(), POLICY)


def worker(seen, name="el9-1"):
    return next(w for w in seen.observation.workers if w.name == name)


# --- hosts that are off for good --------------------------------------------------------------------------------------

WORD = {"host_words": (HostWord("h1", HostState.OFF, NOW - 5, "anna", "scrapped"),)}


def give_up(*entries, intents=(), word=WORD, **changes):
    known = ledger(*entries, intents=tuple(intents), **word)
    return merge(readings(**changes), known, Memory(), POLICY)


@pytest.mark.parametrize("gone", [DEAD, None], ids=["silent", "taken out of the site"])
def test_the_workers_of_a_host_that_is_off_are_given_up_on_somebody_s_word(gone):
    hosts = {"h2": host(name="h2")} | ({"h1": gone} if gone else {})
    seen = merge(replace(readings(), hosts=hosts), ledger(registered(), booting("el9-2", host="h2"), **WORD), Memory(), POLICY)
    assert [w.name for w in seen.observation.workers] == ["el9-2"]
    assert seen.memo.changes["el9-1"] == {"state": S.GONE.value, "since": NOW, "closed_at": NOW, "ended_by": "given-up"}
    assert seen.memo.words == ("h1",)
    told = {(note.kind, note.subject): note for note in seen.memo.notes}
    assert told["state", "el9-1"].detail["off_by_word_of"] == "anna"
    assert told["host-forget", "h1"].detail == {"by": "anna", "why": "scrapped", "workers": 1}


def test_the_word_on_a_host_that_answers_is_void():
    seen = give_up(registered(), h1=host(domain()))
    assert [w.name for w in seen.observation.workers] == ["el9-1"]
    assert "closed_at" not in seen.memo.changes.get("el9-1", {})
    assert (seen.memo.words, seen.memo.void) == ((), ("h1",))
    assert [(n.subject, n.detail["reason"]) for n in seen.memo.notes if n.kind == "host-forget"] == [("h1", "the host answers")]


def test_a_host_that_may_answer_yet_is_waited_for_and_so_is_an_act_under_way():
    waits = give_up(registered(), h1=replace(DEAD, pending=True))
    assert (waits.memo.words, len(waits.observation.workers)) == ((), 1)
    busy = give_up(registered(), registered("el9-2"), h1=DEAD, acted_on=frozenset({"el9-1"}))
    assert [w.name for w in busy.observation.workers] == ["el9-1"]
    assert busy.memo.words == ()


def test_a_worker_that_is_seen_elsewhere_is_not_given_up():
    seen = give_up(registered(), h1=DEAD, h2=host(domain(), name="h2"))
    assert worker(seen).host == "h2"
    assert seen.memo.words == ("h1",)


def test_a_worker_ended_while_the_hosts_were_asked_is_not_adopted_from_an_older_answer():
    seen = see(h1=host(domain()), acted_on=frozenset({"el9-1"}))
    assert seen.observation.workers == ()
    assert [w.name for w in see(h1=host(domain())).observation.workers] == ["el9-1"]


def test_a_boot_that_ended_while_its_host_was_asked_has_not_failed():
    seen = see(booting(state=S.REQUESTED), being_booted=frozenset({"el9-1"}), acted_on=frozenset({"el9-1"}))
    assert worker(seen).state is S.REQUESTED


@pytest.mark.parametrize(
    ("known", "nodes", "state"),
    [
        (registered(), (), S.IDLE),
        (registered(), (node(jobs=(JOB,)),), S.BUSY),
        (booting(), (), S.BOOTING),
        (booting(), (node(),), S.IDLE),
        (entry(), (), S.REQUESTED),
    ],
)
def test_while_a_host_may_answer_yet_what_was_known_of_its_workers_stands(known, nodes, state):
    seen = see(known, h1=replace(DEAD, pending=True), pool=queue(*nodes))
    assert worker(seen).state is state
    assert "source" not in {note.kind for note in seen.memo.notes}


# --- the states -------------------------------------------------------------------------------------------------------

UNDER_WAY = {"intents": [OpenIntent(7, "boot", "el9-1", "demand", 1, NOW - 30)], "performing": frozenset({7})}
STATES = {
    "its boot is under way": (entry(), UNDER_WAY, S.REQUESTED),
    "its boot failed": (entry(boot_error="h1: boot: no such image"), {}, S.FAILED),
    "its boot failed but a domain is there": (entry(boot_error="h1: boot: timed out"), {"h1": host(domain())}, S.BOOTING),
    "its domain runs": (entry(), {"h1": host(domain())}, S.BOOTING),
    "its domain is paused": (booting(), {"h1": host(domain(state=DomainState.PAUSED))}, S.BOOTING),
    "its domain died while it booted": (booting(), {"h1": host(domain("x-1"))}, S.FAILED),
    "its domain crashed while it booted": (booting(), {"h1": host(domain(state=DomainState.CRASHED))}, S.FAILED),
    "it registered": (booting(), {"h1": host(domain()), "pool": queue(node())}, S.IDLE),
    "it registered and is claimed": (booting(), {"h1": host(domain()), "pool": queue(node(claimed=True))}, S.BUSY),
    "a job runs in it": (registered(), {"h1": host(domain()), "pool": queue(node(jobs=(JOB,)))}, S.BUSY),
    "it missed its deadline": (booting(booted_at=NOW - 601), {"h1": host(domain())}, S.FAILED),
    "it missed its deadline, but the batch system is mute": (
        booting(booted_at=NOW - 601),
        {"h1": host(domain()), "pool": MUTE},
        S.BOOTING,
    ),
    "it missed its deadline, but the answer is partial": (
        booting(booted_at=NOW - 601),
        {"h1": host(domain()), "pool": queue(complete=False)},
        S.BOOTING,
    ),
    "it registered after its deadline": (
        booting(state=S.FAILED, booted_at=NOW - 900),
        {"h1": host(domain()), "pool": queue(node())},
        S.IDLE,
    ),
    "it had failed": (booting(state=S.FAILED, booted_at=NOW - 900), {"h1": host(domain()), "pool": MUTE}, S.FAILED),
    "its domain is gone": (registered(), {"h1": host(domain("el9-2")), "pool": queue(node())}, S.GONE),
    "its domain is shut off": (registered(), {"h1": host(domain(state=DomainState.STOPPED))}, S.GONE),
    "its host is silent": (registered(), {"h1": DEAD, "pool": queue(node())}, S.UNSEEN),
    "its host answers in part, without it": (registered(), {"h1": host(complete=False)}, S.UNSEEN),
    "its host answers in part, with it": (registered(), {"h1": host(domain(), complete=False), "pool": queue(node())}, S.IDLE),
    "its host is no longer configured": (registered(host="h9"), {"pool": queue(node())}, S.UNSEEN),
    "the batch system lost sight of it": (registered(), {"h1": host(domain()), "pool": queue(node("x-1"))}, S.SILENT),
    "the batch system is mute": (registered(state=S.IDLE), {"h1": host(domain()), "pool": MUTE}, S.IDLE),
    "the batch system is mute and its last state is unknown": (
        registered(state=S.UNSEEN),
        {"h1": host(domain()), "pool": MUTE},
        S.BUSY,
    ),
    "the batch system answers in part": (
        registered(state=S.BUSY),
        {"h1": host(domain()), "pool": queue(complete=False)},
        S.BUSY,
    ),
    "it drains, with a job": (
        registered(state=S.DRAINING, drain_cause="idle", drained_at=NOW - 90),
        {"h1": host(domain()), "pool": queue(node(draining=True, jobs=(JOB,)))},
        S.DRAINING,
    ),
    "it drains, and its last job ended": (
        registered(state=S.DRAINING, drain_cause="idle", drained_at=NOW - 90),
        {"h1": host(domain()), "pool": queue(node(draining=True))},
        S.DRAINED,
    ),
    "its drain was ordered and does not show yet": (
        registered(state=S.DRAINING, drain_cause="idle", drained_at=NOW - 10),
        {"h1": host(domain()), "pool": queue(node(jobs=(JOB,)))},
        S.DRAINING,
    ),
    "its drain was lost": (
        registered(state=S.DRAINING, drain_cause="idle", drained_at=NOW - 100),
        {"h1": host(domain()), "pool": queue(node(jobs=(JOB,)))},
        S.BUSY,
    ),
    "its drain was taken back and still shows": (
        registered(state=S.DRAINING, cancelled_at=NOW - 10),
        {"h1": host(domain()), "pool": queue(node(draining=True))},
        S.IDLE,
    ),
    "it left after its drain": (
        registered(state=S.DRAINED, drain_cause="idle", drained_at=NOW - 90),
        {"h1": host(domain()), "pool": queue(node("x-1"))},
        S.DRAINED,
    ),
    "it drained and fell silent; nobody knows what was in it": (
        registered(state=S.DRAINING, drain_cause="idle", drained_at=NOW - 90),
        {"h1": host(domain()), "pool": queue(node("x-1"))},
        S.SILENT,
    ),
}


@pytest.mark.parametrize("situation", STATES)
def test_the_state_of_a_worker_when(situation):
    known, seen, state = STATES[situation]
    found = see(known, **seen)
    assert worker(found).state is state
    assert allowed(known.state, state) or found.illegal


ENTRIES = st.builds(
    entry,
    state=st.sampled_from([state for state in S if state is not S.GONE]),
    booted_at=st.none() | st.floats(NOW - 2000, NOW),
    registered_at=st.none() | st.floats(NOW - 2000, NOW),
    drain_cause=st.sampled_from(["", "idle"]),
    drained_at=st.none() | st.floats(NOW - 200, NOW),
    cancelled_at=st.none() | st.floats(NOW - 200, NOW),
    boot_error=st.sampled_from(["", "h1: boot: no"]),
)
NODES = st.none() | st.builds(node, draining=st.booleans(), claimed=st.booleans(), jobs=st.sampled_from([(), (JOB,)]))
DOMAINS = st.none() | st.builds(domain, state=st.sampled_from(DomainState))


@given(ENTRIES, NODES, DOMAINS, st.sampled_from(["full", "partial", "mute"]), st.sampled_from(["full", "partial", "dead"]))
def test_what_a_source_does_not_say_ends_nothing(known, seen_node, seen_domain, batch, hypervisor):
    nodes = [node("x-1")] + ([seen_node] if seen_node else [])
    domains = [domain("x-1")] + ([seen_domain] if seen_domain else [])
    pool = MUTE if batch == "mute" else queue(*nodes, complete=batch == "full")
    h1 = DEAD if hypervisor == "dead" else host(*domains, complete=hypervisor == "full")
    found = worker(see(known, pool=pool, h1=h1))
    shown = hypervisor != "dead" and seen_domain is not None
    if not shown and hypervisor != "full":
        assert found.state is S.UNSEEN
    if found.state is S.GONE:
        assert hypervisor == "full" or seen_domain.state in {DomainState.STOPPED, DomainState.CRASHED}
    if found.state is S.SILENT and known.state is not S.SILENT:
        assert batch == "full"
    if shown and seen_node and batch != "mute" and seen_domain.state in {DomainState.RUNNING, DomainState.PAUSED}:
        assert (found.state in {S.BUSY, S.DRAINING}) == bool(seen_node.jobs or seen_node.claimed), "work is never overlooked"
    assert found.since <= NOW


def test_a_step_of_state_is_written_with_its_instant_and_told():
    seen = see(booting(), h1=host(domain()), pool=queue(node(jobs=(JOB,))))
    assert seen.memo.changes == {"el9-1": {"state": "busy", "since": NOW, "registered_at": NOW - 25}}
    assert seen.memo.outcomes == (BootOutcome("el9-1", "el9", "1", "h1", NOW - 25, True),)
    (note,) = seen.memo.notes
    assert (note.kind, note.subject, note.cause, note.detail["from"]) == ("state", "el9-1", "busy", "booting")


def test_nothing_is_written_when_nothing_changed():
    seen = see(registered(), h1=host(domain()), pool=queue(node()))
    assert not seen.memo
    assert worker(seen).since == NOW - 300


def test_a_step_that_the_table_does_not_hold_is_told_not_hidden():
    seen = see(registered(state=S.GONE), h1=host(domain()), pool=queue(node()))
    assert seen.illegal == (("el9-1", S.GONE, S.IDLE),)
    assert [note.kind for note in seen.memo.notes] == ["illegal-step"]


def steps():
    """Yield (before, after) for all that two sources may say of a worker in each state, by its own drain or by hand."""
    unregistered, open_states = (S.REQUESTED, S.BOOTING, S.FAILED), set(S) - {S.GONE}
    lately, long_ago, running = NOW - 10, NOW - 200, domain()
    hosts = [(running, True, False), (domain(state=DomainState.STOPPED), True, False)]
    hosts += [(None, *says) for says in ((True, False), (False, False), (False, True))]
    nodes = [None, *(node(draining=draining, claimed=claimed) for draining in (False, True) for claimed in (False, True))]
    for state, (found, answers, pending), shown, batch_answers, drain, cancelled_at, drained_at in product(
        open_states, hosts, nodes, (True, False), ("", "idle"), (None, lately, long_ago), (lately, long_ago)
    ):
        registered_at = None if state in unregistered else long_ago
        row = entry(state=state, registered_at=registered_at, drain_cause=drain, cancelled_at=cancelled_at)
        facts = WorkerFacts(
            now=NOW,
            entry=replace(row, drained_at=drained_at if drain else None),
            host=row.host,
            domain=found,
            host_answers=answers,
            host_pending=pending,
            node=shown,
            batch_answers=batch_answers,
            before=None,
            boot_seconds=300,
            grace_seconds=30,
        )
        yield state, state_of(facts)


def test_the_table_holds_every_step_that_is_ever_derived():
    assert {step for step in steps() if not allowed(*step)} == set()


def test_a_worker_is_charged_to_the_vo_whose_jobs_run_in_it():
    seen = see(registered(), h1=host(domain()), pool=queue(node(jobs=(JOB,))))
    found = worker(seen)
    assert (found.vo, found.busy_until, found.jobs) == ("cms", NOW + 900, (JOB,))
    assert worker(see(registered(), h1=host(domain()), pool=queue(node()))).vo == "atlas"


# --- boots and their ends ---------------------------------------------------------------------------------------------


def test_a_boot_cut_off_by_a_crash_may_still_take_effect_for_a_while_and_blames_nobody():
    cut = [OpenIntent(7, "boot", "el9-1", "demand", 0, NOW - 19)]
    assert worker(see(entry(), intents=cut)).state is S.REQUESTED
    late = see(entry(), intents=[replace(cut[0], begun_at=NOW - 21)])
    assert worker(late).state is S.FAILED
    assert late.memo.outcomes == ()
    assert late.memo.settled == (7,)


def test_a_boot_cut_off_by_a_crash_that_happened_is_found_and_its_intent_closed():
    seen = see(entry(), intents=[OpenIntent(7, "boot", "el9-1", "demand", 0, NOW - 19)], h1=host(domain()))
    assert worker(seen).state is S.BOOTING
    assert seen.memo.settled == (7,)
    assert seen.memo.changes["el9-1"]["booted_at"] == NOW


def test_an_intent_of_a_worker_nobody_can_see_stays_open():
    seen = see(entry(), intents=[OpenIntent(7, "boot", "el9-1", "demand", 0, NOW - 900)], h1=DEAD)
    assert worker(seen).state is S.UNSEEN
    assert seen.memo.settled == ()


@pytest.mark.parametrize(
    ("known", "seen", "cause"),
    [
        (entry(boot_error="h1: boot el9-1: no such image"), {}, "h1: boot el9-1: no such image"),
        (booting(), {"h1": host(domain("x-1"))}, "its domain ended before it registered"),
        (booting(booted_at=NOW - 700), {"h1": host(domain())}, "did not register with pool within 600 s"),
    ],
)
def test_a_failed_boot_is_told_once_with_its_cause(known, seen, cause):
    first = see(known, **seen)
    assert [(o.registered, o.cause) for o in first.memo.outcomes] == [(False, cause)]
    again = see(replace(known, state=S.FAILED), **seen)
    assert again.memo.outcomes == ()


def test_a_worker_without_definition_is_judged_by_a_default_deadline():
    orphan = booting(environment="removed", booted_at=NOW - 601)
    assert worker(see(orphan, h1=host(domain()))).state is S.FAILED


# --- doubt ------------------------------------------------------------------------------------------------------------


def test_an_empty_queue_right_after_a_full_one_is_suspect_until_it_still_stands():
    first = see(registered(), h1=host(domain()), pool=queue(node()))
    empty = queue(clusters=())
    doubted = see(registered(), memory=first.memory, h1=host(domain()), pool=empty, monotonic=530.0)
    assert doubted.observation.queues["pool"].suspect
    assert worker(doubted).state is S.IDLE, "a doubted answer makes nobody silent"
    still = see(registered(), memory=doubted.memory, h1=host(domain()), pool=empty, monotonic=574.0)
    assert still.observation.queues["pool"].suspect
    believed = see(registered(), memory=still.memory, h1=host(domain()), pool=empty, monotonic=575.0)
    assert not believed.observation.queues["pool"].suspect
    assert worker(believed).state is S.SILENT


def test_an_empty_queue_after_one_that_was_full_in_part_is_suspect_too():
    first = see(registered(), h1=host(domain()), pool=queue(clusters=()))
    part = replace(queue(node()), complete=False)
    partial = see(registered(), memory=first.memory, h1=host(domain()), pool=part, monotonic=530.0)
    doubted = see(registered(), memory=partial.memory, h1=host(domain()), pool=queue(clusters=()), monotonic=560.0)
    assert doubted.observation.queues["pool"].suspect


def test_an_answer_that_is_full_again_ends_the_doubt():
    first = see(registered(), h1=host(domain()), pool=queue(node()))
    doubted = see(registered(), memory=first.memory, h1=host(domain()), pool=queue(clusters=()), monotonic=530.0)
    full = see(registered(), memory=doubted.memory, h1=host(domain()), pool=queue(node()), monotonic=560.0)
    again = see(registered(), memory=full.memory, h1=host(domain()), pool=queue(clusters=()), monotonic=590.0)
    assert again.observation.queues["pool"].suspect, "the wait begins anew"


def test_a_queue_whose_last_worker_was_closed_is_not_suspect_for_having_no_nodes():
    first = see(registered(), h1=host(domain()), pool=queue(node()))
    seen = see(memory=first.memory, pool=queue(), monotonic=530.0)
    assert not seen.observation.queues["pool"].suspect


def test_a_daemon_that_has_just_started_doubts_emptiness_where_the_journal_knows_workers():
    assert see(registered(), h1=host(domain()), pool=queue(clusters=())).observation.queues["pool"].suspect
    assert not see(pool=queue(clusters=())).observation.queues["pool"].suspect


def test_a_host_that_suddenly_shows_none_of_our_domains_is_doubted():
    two = (registered(), registered("el9-2"))
    first = see(*two, h1=host(domain(), domain("el9-2")), pool=queue(node(), node("el9-2")))
    bare = see(*two, memory=first.memory, h1=host(), pool=queue(node(), node("el9-2")), monotonic=530.0)
    assert worker(bare).state is S.UNSEEN
    later = see(*two, memory=bare.memory, h1=host(), pool=queue(node(), node("el9-2")), monotonic=575.0)
    assert worker(later).state is S.GONE


def test_a_host_whose_last_domain_we_powered_off_is_believed_at_once():
    seen = see(registered(), h1=host(), pool=queue(node("x-1")), explained=frozenset({"el9-1"}))
    assert worker(seen).state is S.GONE


def test_a_silent_source_tells_when_it_last_answered():
    first = see(registered(), h1=host(domain()), pool=queue(node()))
    seen = see(registered(), memory=first.memory, h1=DEAD, pool=MUTE, now=NOW + 60)
    assert seen.observation.hosts["h1"].answered_at == NOW
    assert seen.observation.queues["pool"].answered_at == NOW
    assert [(n.subject, n.cause) for n in seen.memo.notes if n.kind == "source"] == [
        ("h1", "unanswered"),
        ("pool", "unanswered"),
    ]
    back = see(registered(), memory=seen.memory, h1=host(domain()), pool=queue(node()), now=NOW + 90)
    assert [(n.subject, n.cause) for n in back.memo.notes if n.kind == "source"] == [("h1", "answers"), ("pool", "answers")]


def test_while_the_batch_system_is_mute_what_was_known_of_a_worker_is_kept():
    first = see(registered(), h1=host(domain()), pool=queue(node(jobs=(JOB,))))
    seen = see(registered(state=S.BUSY), memory=first.memory, h1=host(domain()), pool=MUTE)
    assert worker(seen).jobs == (JOB,)
    assert worker(seen).state is S.BUSY


def test_a_draining_worker_that_falls_silent_with_a_job_is_not_called_drained():
    known = registered(state=S.DRAINING, drain_cause="lifetime", drained_at=NOW - 90)
    first = see(known, h1=host(domain()), pool=queue(node(draining=True, jobs=(JOB,))))
    seen = see(known, memory=first.memory, h1=host(domain()), pool=queue(node("x-1")))
    assert (worker(seen).state, worker(seen).drain_cause, worker(seen).jobs) == (S.SILENT, "lifetime", (JOB,))
    empty = see(known, h1=host(domain()), pool=queue(node(draining=True)))
    left = see(replace(known, state=S.DRAINED), memory=empty.memory, h1=host(domain()), pool=queue(node("x-1")))
    assert worker(left).state is S.DRAINED


# --- drains that others order -----------------------------------------------------------------------------------------


def test_a_drain_that_somebody_ordered_by_hand_is_taken_note_of():
    seen = see(registered(), h1=host(domain()), pool=queue(node(draining=True, jobs=(JOB,))))
    assert worker(seen).drain_cause == "by-hand"
    assert seen.memo.changes["el9-1"]["drain_cause"] == "by-hand"


def test_a_drain_cut_off_by_a_crash_after_it_was_ordered_keeps_its_cause():
    cut = [OpenIntent(9, "drain", "el9-1", "reclaim", 0, NOW - 40)]
    seen = see(registered(), intents=cut, h1=host(domain()), pool=queue(node(draining=True, jobs=(JOB,))))
    assert seen.memo.changes["el9-1"]["drain_cause"] == "reclaim"
    assert seen.memo.settled == (9,)


def test_a_drain_that_is_over_leaves_no_cause_behind():
    known = registered(state=S.DRAINING, drain_cause="idle", drained_at=NOW - 100)
    seen = see(known, h1=host(domain()), pool=queue(node()))
    assert seen.memo.changes["el9-1"] == {"state": "idle", "since": NOW, "drain_cause": "", "drained_at": None}


# --- adoption, strangers, twins ---------------------------------------------------------------------------------------


def test_a_domain_with_our_identity_that_the_journal_does_not_know_is_a_worker_to_adopt():
    seen = see(h1=host(domain("el9-7")), pool=queue(node("el9-7", jobs=(JOB,))))
    found = worker(seen, "el9-7")
    assert seen.observation.unjournaled == {"el9-7"}
    assert (found.state, found.host, found.serial, found.memory_mib) == (S.BUSY, "h1", 7, 4096)
    assert not seen.memo.changes


def test_names_are_given_out_above_those_that_hosts_now_down_may_hold():
    seen = see(h1=host(domain("el9-7"), domain("el9-300")), pool=queue())
    assert seen.observation.next_serial == 300 + ADOPTION_GAP
    assert see(registered(), h1=host(domain())).observation.next_serial == 50


def test_an_old_worker_that_its_batch_system_does_not_see_is_adopted_as_silent_not_as_failed():
    seen = see(h1=host(domain("el9-7", requested_at=NOW - 5000)), pool=queue())
    assert worker(seen, "el9-7").state is S.SILENT
    fresh = see(h1=host(domain("el9-7")), pool=queue())
    assert worker(fresh, "el9-7").state is S.BOOTING


def test_domains_of_others_are_strangers():
    other = replace(domain("el9-9", site="valley"), name="theirs")
    bare = Domain("nas", "u", DomainState.RUNNING, 1, 512)
    seen = see(h1=host(other, bare))
    assert seen.observation.strangers == (("h1", "theirs"), ("h1", "nas"))
    assert seen.observation.workers == ()


def test_a_machine_of_a_service_is_neither_a_worker_nor_a_stranger():
    service = Domain("ce-1", "uuid-ce-1", DomainState.RUNNING, 2, 4096, ServiceIdentity("hill", "ce-1", 3, NOW - 30))
    seen = see(registered(), h1=host(domain(), service))
    assert (seen.observation.services, seen.observation.strangers) == ((("h1", "ce-1"),), ())
    assert [worker.name for worker in seen.observation.workers] == ["el9-1"]
    assert seen.observation.unjournaled == frozenset()


def test_a_copy_of_a_worker_under_another_name_is_a_stranger():
    """As virt-clone makes them, with all metadata: nothing of its own would be found by the worker's name."""
    copy = replace(domain(), name="backup-of-el9-1", uuid="another", memory_mib=9999)
    for shown in ((domain(), copy), (copy, domain())):
        seen = see(registered(), h1=host(*shown), pool=queue(node()))
        assert (worker(seen).state, worker(seen).host, seen.twins) == (S.IDLE, "h1", {})
        assert seen.observation.strangers == (("h1", "backup-of-el9-1"),)
    alone = see(h1=host(copy), pool=queue())
    assert (alone.observation.workers, alone.observation.unjournaled) == ((), frozenset())


def test_one_name_on_two_hosts_is_shouted_about_once_and_touched_never():
    seen = see(registered(), h1=host(domain()), h2=host(domain(), name="h2"), pool=queue(node()))
    assert seen.twins == {"el9-1": ("h1", "h2")}
    assert worker(seen).state is S.UNSEEN
    assert [n.detail["hosts"] for n in seen.memo.notes if n.kind == "twins"] == ["h1, h2"]
    again = see(
        registered(state=S.UNSEEN), memory=seen.memory, h1=host(domain()), h2=host(domain(), name="h2"), pool=queue(node())
    )
    assert again.twins
    assert not [n for n in again.memo.notes if n.kind == "twins"]


@pytest.mark.parametrize("first", ["h1", "h2"])
def test_the_copy_that_a_live_migration_makes_is_no_twin_and_its_worker_serves_on(first):
    running, copy = host(domain()), host(domain(state=DomainState.PAUSED), name="h2")
    hosts = {"h1": running, "h2": copy} if first == "h1" else {"h2": copy, "h1": running}
    seen = merge(replace(readings(pool=queue(node())), hosts=hosts), ledger(registered()), Memory(), POLICY)
    assert not seen.twins
    assert (worker(seen).state, worker(seen).host) == (S.IDLE, "h1")
    assert "host" not in seen.memo.changes.get("el9-1", {})
    over = see(registered(), memory=seen.memory, h1=host(), h2=host(domain(), name="h2"), pool=queue(node()))
    assert (worker(over).state, worker(over).host, over.memo.changes["el9-1"]["host"]) == (S.IDLE, "h2", "h2")


def test_a_copy_alone_is_not_the_worker_while_the_host_that_it_comes_from_is_silent():
    copy = domain(state=DomainState.PAUSED)
    seen = see(registered(), h1=DEAD, h2=host(copy, name="h2"), pool=queue(node()))
    assert (worker(seen).state, worker(seen).host) == (S.UNSEEN, "h1")
    assert "host" not in seen.memo.changes["el9-1"]


def test_while_a_migration_hands_over_both_domains_are_paused_and_no_twins():
    paused = domain(state=DomainState.PAUSED)
    seen = see(registered(), h1=host(paused), h2=host(paused, name="h2"), pool=queue(node()))
    assert (seen.twins, worker(seen).state) == ({}, S.IDLE)


def test_a_paused_domain_of_another_uuid_beside_a_running_one_is_a_twin():
    other = replace(domain(state=DomainState.PAUSED), uuid="another")
    assert see(registered(), h1=host(domain()), h2=host(other, name="h2"), pool=queue(node())).twins


@pytest.mark.parametrize(("departed", "state"), [({"el9-1"}, S.IDLE), (set(), S.GONE)])
def test_a_worker_that_has_just_left_its_host_is_not_gone_before_the_other_host_was_asked_again(departed, state):
    entries = (registered(), registered("el9-2"))
    nodes = queue(node(), node("el9-2"))
    before = see(*entries, h1=host(domain(), domain("el9-2")), h2=host(name="h2"), pool=nodes)
    changes = {
        "h1": host(domain("el9-2")),
        "h2": host(name="h2"),
        "pool": queue(node("el9-2")),
        "departed": frozenset(departed),
    }
    assert worker(see(*entries, memory=before.memory, **changes)).state is state


@pytest.mark.parametrize(
    ("other_host", "pool", "explained", "state"),
    [
        ("silent", queue(node(), node("el9-2")), (), S.UNSEEN),
        ("silent", Unanswered("pool", "no answer", NOW), (), S.UNSEEN),
        ("silent", queue(node("el9-2")), (), S.GONE),
        ("silent", queue(node(), node("el9-2")), ("el9-1",), S.GONE),
        ("answers", queue(node(), node("el9-2")), (), S.GONE),
    ],
)
def test_a_worker_that_its_batch_system_shows_may_run_on_a_host_that_does_not_answer(other_host, pool, explained, state):
    """Somebody may have migrated it there, unheard: its disks are not those of a dead worker."""
    other = Unanswered("h2", "no route to host", NOW) if other_host == "silent" else host(name="h2")
    seen = see(registered(), registered("el9-2"), h1=host(domain("el9-2")), h2=other, pool=pool, explained=frozenset(explained))
    assert worker(seen).state is state


def test_a_stopped_domain_beside_a_running_one_of_the_same_name_is_no_twin():
    seen = see(registered(), h1=host(domain()), h2=host(domain(state=DomainState.STOPPED), name="h2"), pool=queue(node()))
    assert not seen.twins
    assert (worker(seen).state, worker(seen).host) == (S.IDLE, "h1")


def test_a_worker_that_somebody_moved_is_followed():
    seen = see(registered(), h2=host(domain(), name="h2"), pool=queue(node()))
    assert worker(seen).host == "h2"
    assert seen.memo.changes["el9-1"] == {"host": "h2"}


def test_with_a_new_journal_nothing_boots_until_every_host_answered_or_the_time_is_over():
    fresh = ledger(made_at=NOW - 10, heard={})
    assert merge(readings(h1=DEAD), fresh, Memory(), POLICY).observation.adopting_until == NOW + 290
    assert merge(readings(), fresh, Memory(), POLICY).observation.adopting_until is None
    old = replace(fresh, made_at=NOW - 301)
    assert merge(readings(h1=DEAD), old, Memory(), POLICY).observation.adopting_until is None
    heard = merge(readings(), fresh, Memory(), POLICY).memo.heard
    assert heard == {H1: True, H2: True}
    known = replace(fresh, heard=heard)
    assert merge(readings(h1=DEAD), known, Memory(), POLICY).observation.adopting_until is None


def test_the_journal_knows_the_workers_of_a_host_once_it_has_answered_and_they_are_adopted():
    for not_whole in (DEAD, replace(host(), complete=False)):
        silent = merge(readings(h1=not_whole), ledger(heard={}), Memory(), POLICY)
        assert (silent.observation.unheard, silent.memo.heard) == (("h1",), {H1: False, H2: True})
    again = merge(readings(h1=DEAD), ledger(heard=silent.memo.heard), Memory(), POLICY)
    assert (again.observation.unheard, again.memo.heard) == (("h1",), {})
    to_adopt = merge(readings(h1=host(domain())), ledger(heard={}), Memory(), POLICY)
    assert to_adopt.observation.unjournaled
    assert (to_adopt.observation.unheard, to_adopt.memo.heard) == ((), {H1: False, H2: True})
    adopted = merge(readings(h1=host(domain())), ledger(registered(), heard=to_adopt.memo.heard), Memory(), POLICY)
    assert (adopted.observation.unheard, adopted.memo.heard) == ((), {H1: True})


def test_of_a_host_that_somebody_gave_up_the_journal_knows_all():
    word = HostWord("h1", HostState.OFF, NOW, "anna")
    seen = merge(readings(h1=DEAD), ledger(heard={H1: False, H2: True}, host_words=(word,)), Memory(), POLICY)
    assert (seen.observation.unheard, seen.memo.heard) == ((), {H1: True})


def test_a_host_named_after_the_journal_began_has_no_worker_that_it_does_not_know():
    seen = merge(readings(h1=DEAD), ledger(made_at=NOW - 10, heard={H2: True}), Memory(), POLICY)
    assert (seen.observation.unheard, seen.observation.adopting_until, seen.memo.heard) == ((), None, {H1: True})


def test_hosts_of_a_discovery_that_had_not_answered_when_the_journal_began_are_named_with_it():
    none, one = (DiscoveryReading("cloud", "hosts.txt", at, 0) for at in (None, NOW))
    began = merge(readings(h1=host(), discoveries={"cloud": none}), ledger(heard={}), Memory(), POLICY)
    assert (began.observation.untold, began.memo.heard) == (("cloud",), {H1: True, H2: True, CLOUD: False})
    told = merge(readings(h1=DEAD, discoveries={"cloud": one}), ledger(heard={H2: True, CLOUD: False}), Memory(), POLICY)
    assert (told.observation.unheard, told.observation.untold) == (("h1",), ())
    assert told.memo.heard == {H1: False, CLOUD: True}
    later = merge(readings(discoveries={"cloud": none}), ledger(heard={H1: True, H2: True}), Memory(), POLICY)
    assert (later.observation.untold, later.memo.heard) == ((), {CLOUD: True}), "a discovery that is new in the site file"
    gone = merge(readings(h1=DEAD), ledger(heard={H2: True, CLOUD: False}), Memory(), POLICY)
    assert gone.observation.unheard == (), "a discovery that the site file names no longer keeps nobody waiting"


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_which_job_ran_in_which_worker_is_written_at_its_first_and_last_sight():
    first = see(registered(), h1=host(domain()), pool=queue(node(jobs=(JOB,))))
    sighting = Sighting("pool", "12.0", "el9-1", "cms", "anna", "el9", NOW - 50, NOW)
    assert first.memo.appeared == (sighting,)
    again = see(registered(state=S.BUSY), memory=first.memory, h1=host(domain()), pool=queue(node(jobs=(JOB,))), now=NOW + 30)
    assert (again.memo.appeared, again.memo.ended) == ((), ())
    over = see(registered(state=S.BUSY), memory=again.memory, h1=host(domain()), pool=queue(node()), now=NOW + 60)
    assert over.memo.ended == (replace(sighting, last_seen=NOW + 30),)


ENDED = EndedJob("13.0", "el9-1", "atlas", "otto", NOW - 9, NOW - 4)


def test_a_job_that_came_and_went_between_two_looks_is_written_too():
    pool = queue(
        node(), ended=(ENDED, replace(ENDED, job="14.0", worker="another-pool-s"), replace(ENDED, job="15.0", began_at=None))
    )
    seen = see(registered(), h1=host(domain()), pool=pool)
    unseen = Sighting("pool", "13.0", "el9-1", "atlas", "otto", "el9", NOW - 9, NOW - 4)
    assert seen.memo.ended == (unseen, replace(unseen, job="15.0", first_seen=NOW - 4))
    assert (seen.memo.appeared, seen.memory.sightings) == ((), {})


def test_a_job_that_was_seen_ends_when_its_batch_system_says_and_is_written_once():
    first = see(registered(), h1=host(domain()), pool=queue(node(jobs=(JOB,))))
    ended = replace(ENDED, job="12.0", began_at=NOW - 51, ended_at=NOW + 11)
    late = queue(node(jobs=(JOB,)), ended=(ended,))
    lagging = see(registered(state=S.BUSY), memory=first.memory, h1=host(domain()), pool=late, now=NOW + 20)
    assert (lagging.memo.appeared, lagging.memo.ended) == ((), ()), "its slot still shows it"
    over = see(
        registered(state=S.BUSY), memory=first.memory, h1=host(domain()), pool=queue(node(), ended=(ended,)), now=NOW + 60
    )
    assert [(one.first_seen, one.last_seen) for one in over.memo.ended] == [(NOW - 50, NOW + 11)]


def test_a_job_in_a_worker_that_is_not_seen_now_has_not_ended():
    first = see(registered(), h1=host(domain()), pool=queue(node(jobs=(JOB,))))
    mute = see(registered(state=S.BUSY), memory=first.memory, h1=host(domain()), pool=MUTE)
    assert mute.memo.ended == ()
    closed = see(memory=mute.memory, pool=queue(node("x-1")))
    assert [s.job for s in closed.memo.ended] == ["12.0"]


# --- the clock --------------------------------------------------------------------------------------------------------


def test_no_duration_is_ever_negative_even_when_the_clock_was_set_back():
    seen = see(registered(), h1=host(domain()), pool=queue(node(registered_at=None)), now=NOW - 3600)
    found = worker(seen)
    assert found.since <= NOW - 3600
    assert found.requested_at <= NOW - 3600
    assert seen.observation.adopting_until is None or seen.observation.adopting_until <= NOW - 3600 + 300


def test_what_is_remembered_moves_along_with_the_clock():
    first = see(registered(), h1=host(domain()), pool=queue(node()))
    later = moved(first.memory, 3600.0)
    before, after = first.memory.workers["el9-1"], later.workers["el9-1"]
    assert (after.since - before.since, after.idle_since - before.idle_since, after.busy_until) == (3600.0, 3600.0, None)
    assert later.hosts_at == {"h1": NOW + 3600, "h2": NOW + 3600}


# --- what did not change ----------------------------------------------------------------------------------------------


def test_a_serving_worker_of_which_nothing_changed_is_the_very_same_value():
    known = registered(state=S.BUSY)
    first = see(known, h1=host(domain()), pool=queue(node(jobs=(JOB,))))
    again = see(known, memory=first.memory, h1=host(domain()), pool=queue(node(jobs=(JOB,))), now=NOW + 30)
    assert worker(again) is worker(first)
    freed = see(known, memory=again.memory, h1=host(domain()), pool=queue(node()), now=NOW + 60)
    assert worker(freed).state is S.IDLE


@given(ENTRIES, NODES, NODES, DOMAINS, DOMAINS, st.sampled_from(["full", "partial", "mute"]), st.sampled_from(["full", "dead"]))
def test_what_is_kept_from_the_last_look_never_changes_what_is_seen(
    known, node_1, node_2, domain_1, domain_2, batch, hypervisor
):
    first = see(
        known,
        pool=queue(node("x-1"), *([node_1] if node_1 else [])),
        h1=host(domain("x-1"), *([domain_1] if domain_1 else [])),
    )
    kept = known
    for name, change in first.memo.changes.items():
        if name == known.name:
            kept = replace(known, **{k: S(v) if k == "state" else v for k, v in change.items()})
    nodes = [node("x-1"), *([node_2] if node_2 else [])]
    pool = MUTE if batch == "mute" else queue(*nodes, complete=batch == "full")
    h1 = DEAD if hypervisor == "dead" else host(domain("x-1"), *([domain_2] if domain_2 else []))
    quick = see(kept, memory=first.memory, pool=pool, h1=h1, now=NOW + 30, monotonic=530.0)
    slow = see(kept, memory=replace(first.memory, settled={}), pool=pool, h1=h1, now=NOW + 30, monotonic=530.0)
    assert quick.observation == slow.observation
    assert quick.memo == slow.memo


def test_what_a_batch_system_told_of_its_jobs_last_is_kept_while_it_tells_nothing_or_is_doubted():
    told = JobCounts(NOW, (JobCount("atlas", "", 3, 0, 0),))
    first = see()
    assert first.observation.last_jobs == {}
    later = see(memory=first.memory, pool=MUTE, now=NOW + 60, monotonic=560.0)
    assert later.observation.last_jobs == {"pool": told}
    doubted = see(memory=later.memory, pool=queue(clusters=()), now=NOW + 70, monotonic=570.0)
    assert doubted.observation.queues["pool"].suspect
    assert doubted.observation.last_jobs == {"pool": told}
    assert see(memory=doubted.memory).observation.last_jobs == {}
    assert see(pool=MUTE).observation.last_jobs == {}, "it was never heard: nothing is known"


def test_what_was_told_last_grows_no_older_when_the_clock_is_set():
    kept = moved(see().memory, 3600.0).jobs["pool"]
    assert kept.at == NOW + 3600
