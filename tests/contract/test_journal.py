"""The journal keeps its promises on SQLite and on a real PostgreSQL alike."""

import contextlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from environments.reason import Reason
from scheduler.journal.histories import load_columns, load_history
from scheduler.journal.holds import JobHolds, holds_in
from scheduler.journal.hosts import drain, drained_hosts, say_off, undrain
from scheduler.journal.journal import Journal, JournalError, LeaseLostError
from scheduler.journal.records import ADOPTION_GAP, Declared, Entry, Intent, Memo, Note, Outcome, Push, Sighting
from scheduler.journal.statuses import declare, push
from scheduler.journal.tables import metadata
from scheduler.journal.upgrading import UPGRADE_LOCK, StillLedError, newest_form, upgrade
from scheduler.model.actions import Adopt, Boot, Drain, PowerOff
from scheduler.model.failures import FailureCause
from scheduler.model.host_states import HostState, HostWord
from scheduler.model.hosts import worker_uuid
from scheduler.model.machines import Placement
from scheduler.model.queues import HeldJob
from scheduler.model.workers import BootOutcome, WorkerState
from simulations.clock import SimulatedClock
from tests.lab.old_journal import to_form

ROOT = Path(__file__).parents[2]
WHY = Reason("demand", "12 jobs wait", {"jobs": 12, "vo": "atlas"})
_numbers = count(1)


def entry(number, **changes):
    name = f"el9-{number}"
    made = Entry(
        name=name,
        serial=number,
        uuid=worker_uuid("hill", name, number),
        environment="el9",
        version="1",
        vo="atlas",
        batch_system="pool",
        host="h1",
        cpus=2,
        memory_mib=4096,
        state=WorkerState.REQUESTED,
        since=101.0,
        requested_at=101.0,
        address="10.0.0.7/24",
    )
    return replace(made, **changes)


def boot(number):
    made = entry(number)
    return Intent(Boot(made.name, number, "el9", "1", "atlas", "pool", "h1", WHY, made.address), made)


# --- intents ----------------------------------------------------------------------------------------------------------


def test_a_new_journal_knows_nothing(opened):
    ledger = opened(now=123.0).ledger()
    assert (ledger.made_at, ledger.next_serial, ledger.entries, ledger.intents, ledger.boots) == (123.0, 1, {}, (), ())


def test_a_boot_stands_in_the_journal_before_it_is_done(journal, opened):
    assert journal.begin("a", 101.0, [boot(7)]) == [1]
    seen = opened().ledger()
    assert seen.entries == {"el9-7": entry(7)}
    assert seen.next_serial == 8
    (intent,) = seen.intents
    assert (intent.kind, intent.machine, intent.cause, intent.begun_at) == ("boot", "el9-7", "demand", 101.0)


def test_the_end_of_an_intent_closes_it_and_changes_its_worker(journal, opened):
    (number,) = journal.begin("a", 101.0, [boot(1)])
    journal.end(105.0, number, Outcome.DONE, changes={"booted_at": 105.0})
    seen = opened().ledger()
    assert seen.intents == ()
    assert seen.entries["el9-1"].booted_at == 105.0


def test_a_name_is_used_once_for_ever(journal, opened):
    first, second = journal.begin("a", 101.0, [boot(1), boot(1)])
    assert (first, second) == (1, "worker el9-1 stands in the journal already")
    journal.end(102.0, 1, Outcome.DONE, changes={"state": "gone", "closed_at": 102.0, "ended_by": "power-off"})
    assert journal.ledger().entries == {}
    assert journal.begin("a", 103.0, [boot(1)]) == ["worker el9-1 stands in the journal already"]
    assert journal.entry("el9-1").closed_at == 102.0
    assert journal.ledger().next_serial == 2


def test_names_go_on_well_behind_those_that_were_adopted(journal):
    """A silent host may run workers with the next numbers, of which the journal that was lost knew."""
    adopted = entry(7, origin="adopted", state=WorkerState.BOOTING, since=110.0)
    before = journal.ledger().next_serial
    journal.begin("a", 110.0, [Intent(Adopt("el9-7", "h1", WHY), adopted)])
    assert journal.ledger().next_serial == max(before, 7 + ADOPTION_GAP)


def test_a_domain_that_comes_late_reopens_its_entry_by_adoption(journal):
    journal.begin("a", 101.0, [boot(1)])
    journal.end(102.0, 1, Outcome.LATE, changes={"state": "gone", "closed_at": 102.0, "ended_by": "not-begun"})
    adopted = entry(1, origin="adopted", state=WorkerState.BOOTING, since=110.0)
    assert journal.begin("a", 110.0, [Intent(Adopt("el9-1", "h1", WHY), adopted)]) == [2]
    assert journal.ledger().entries == {"el9-1": adopted}
    assert journal.placements("el9-1") == [
        Placement("el9-1", "h1", 1, 101.0, 102.0, "not-begun"),
        Placement("el9-1", "h1", 2, 110.0),
    ]
    assert journal.begin("a", 111.0, [Intent(Adopt("el9-1", "h1", WHY), adopted)]) == [
        "worker el9-1 stands in the journal already"
    ]


def test_a_worker_that_moves_has_another_placement_from_then_on(journal, opened):
    journal.begin("a", 101.0, [boot(1)])
    journal.remember("a", 110.0, Memo(changes={"el9-1": {"host": "h2"}}))
    journal.remember("a", 120.0, Memo(changes={"el9-1": {"state": "gone", "closed_at": 120.0, "ended_by": "died"}}))
    assert opened().placements("el9-1") == [
        Placement("el9-1", "h1", 1, 101.0, 110.0, "moved"),
        Placement("el9-1", "h2", 1, 110.0, 120.0, "died"),
    ]
    assert opened().entry("el9-1").host == "h2"


def test_a_look_from_before_its_end_places_no_machine_anew(journal):
    (number,) = journal.begin("a", 101.0, [boot(1)])
    journal.end(110.0, number, Outcome.DONE, changes={"state": "gone", "closed_at": 110.0, "ended_by": "power-off"})
    journal.remember("a", 111.0, Memo(changes={"el9-1": {"host": "h2"}}))
    assert [one.ended_by for one in journal.placements("el9-1")] == ["power-off"]
    adopted = entry(1, origin="adopted", state=WorkerState.BOOTING, since=120.0)
    assert journal.begin("a", 120.0, [Intent(Adopt("el9-1", "h1", WHY), adopted)]) == [2]
    assert [one.generation for one in journal.placements("el9-1")] == [1, 2]


def test_a_machine_is_never_placed_twice_at_once(url, journal):
    journal.begin("a", 101.0, [boot(1)])
    engine = sa.create_engine(url)
    second = "INSERT INTO placements (machine, host, generation, begun, ended_by) VALUES ('el9-1', 'h2', 2, 102.0, '')"
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.text(second))
    engine.dispose()


def test_intents_of_other_acts_open_no_entry(journal):
    numbers = journal.begin("a", 101.0, [Intent(Drain("el9-1", "idle", WHY)), Intent(PowerOff("el9-1", "h1", WHY))])
    assert numbers == [1, 2]
    assert journal.ledger().entries == {}
    assert [intent.kind for intent in journal.ledger().intents] == ["drain", "power-off"]


def test_every_intent_and_its_end_stand_in_the_event_log_with_reason_and_numbers(journal):
    (number,) = journal.begin("a", 101.0, [boot(1)])
    journal.end(105.0, number, Outcome.FAILED, "no such image", notes=[Note("state", "el9-1", "failed")])
    begun, ended, state = journal.events(subject="el9-1")
    assert (begun.at, begun.note.kind, begun.note.cause, begun.note.correlation) == (101.0, "boot-begun", "demand", "intent-1")
    assert begun.note.detail == {"jobs": 12, "vo": "atlas", "sentence": "12 jobs wait", "host": "h1"}
    assert ended.note.detail == {"outcome": "failed", "detail": "no such image"}
    assert (ended.note.correlation, state.note.cause) == ("intent-1", "failed")
    assert [event.note.kind for event in journal.events(limit=2)] == ["boot-ended", "state"]
    assert journal.events(after=ended.id)[0].note == state.note


# --- the lease --------------------------------------------------------------------------------------------------------


def test_a_second_daemon_waits_and_never_acts(journal, opened):
    second = opened()
    assert not second.hold_lease("b", 110, 60)
    with pytest.raises(LeaseLostError, match="the lease is held by a, not by b: nothing is done"):
        second.begin("b", 110, [boot(1)])
    assert journal.ledger().entries == {}
    assert journal.lease().owner == "a"


def test_a_lease_that_ended_is_taken_over_and_its_old_holder_is_fenced(journal, opened):
    second = opened()
    assert journal.hold_lease("a", 120, 60)
    watched = second.lease()
    assert not second.hold_lease("b", 1e9, 60), "no clock of its own says that it ended"
    assert journal.hold_lease("a", 130, 60)
    assert not second.hold_lease("b", 181, 60, unmoved=watched), "it was renewed since"
    assert second.hold_lease("b", 181, 60, unmoved=second.lease())
    with pytest.raises(LeaseLostError):
        journal.begin("a", 182, [boot(1)])
    with pytest.raises(LeaseLostError):
        journal.remember("a", 182, Memo(notes=(Note("x", "y"),)))
    assert not journal.renew_lease("a", 182, 60)
    assert second.begin("b", 182, [boot(1)]) == [1]
    assert not journal.hold_lease("a", 183, 60)


def test_a_daemon_that_lost_the_lease_and_has_it_again_reads_everything_afresh(journal, opened):
    second = opened()
    journal.ledger()
    assert second.hold_lease("b", 161, 60, unmoved=second.lease())
    second.begin("b", 162, [boot(1)])
    second.release_lease("b", 163)
    assert journal.hold_lease("a", 164, 60)
    assert list(journal.ledger().entries) == ["el9-1"]
    assert journal.epoch == 3


def test_a_released_lease_is_free_at_once(journal, opened):
    journal.release_lease("a", 110)
    assert opened().hold_lease("b", 110, 60)


def test_what_happened_is_written_even_after_the_lease_was_lost(journal, opened):
    (number,) = journal.begin("a", 101, [boot(1)])
    second = opened()
    assert second.hold_lease("b", 161, 60, unmoved=second.lease())
    journal.end(170, number, Outcome.DONE, changes={"booted_at": 170.0})
    assert opened().ledger().entries["el9-1"].booted_at == 170.0


def test_of_many_daemons_that_start_together_exactly_one_acts(url):
    start, over, got = threading.Barrier(4), threading.Barrier(4), []

    def one(name):
        journal = Journal(url, now=100, durable=False, busy_seconds=20)
        start.wait(120)
        held = journal.hold_lease(name, 100, 60)
        try:
            begun = journal.begin(name, 100, [boot(1)])
        except LeaseLostError:
            begun = None
        got.append((held, begun))
        over.wait(120)
        journal.close()

    threads = [threading.Thread(target=one, args=(f"d{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(got, key=str) == [(False, None)] * 3 + [(True, [1])]


HOLDER = """
import sys, time
from scheduler.journal.journal import Journal
journal = Journal(sys.argv[1], now=100.0)
print(journal.hold_lease("holder", 100.0, 3600.0), flush=True)
time.sleep(60)
"""


def test_on_one_machine_the_lease_of_a_killed_daemon_is_taken_over_at_once(tmp_path):
    url = f"sqlite:///{tmp_path}/journal.db"
    with subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, cwd=ROOT, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        journal = Journal(url, now=101.0)
        assert not journal.hold_lease("next", 101.0, 60)
        holder.send_signal(signal.SIGKILL)
        holder.wait(120)
        assert journal.hold_lease("next", 101.0, 60)
        journal.close()


# --- what observations leave ------------------------------------------------------------------------------------------


def test_what_an_observation_saw_is_remembered(journal, opened):
    journal.begin("a", 101, [boot(1), boot(2)])
    seen = Sighting("pool", "12.0", "el9-1", "atlas", "anna", "el9", 110.0, 110.0)
    other = Sighting("pool", "12.0", "el9-2", "atlas", "anna", "el9", 110.0, 110.0)
    memo = Memo(
        changes={
            "el9-1": {"state": "busy", "since": 110.0, "registered_at": 109.0},
            "el9-2": {"state": "booting", "since": 110.0},
        },
        outcomes=(BootOutcome("el9-1", "el9", "1", "h1", 109.0, True),),
        appeared=(seen, other),
        notes=(Note("state", "el9-1", "busy"),),
        settled=(1,),
    )
    journal.remember("a", 110.0, memo)
    journal.remember("a", 140.0, Memo(ended=(replace(seen, last_seen=139.0),)))
    fresh = opened()
    ledger = fresh.ledger()
    assert ledger == journal.ledger() or replace(ledger, epoch=1) == journal.ledger()
    assert ledger.entries["el9-1"].state is WorkerState.BUSY
    assert ledger.proven == {("el9", "1")}
    assert ledger.boots == memo.outcomes
    assert [intent.id for intent in ledger.intents] == [2]
    assert fresh.sightings(opened=True) == [other]
    assert fresh.sightings(job="12.0") == [replace(seen, last_seen=139.0), other]
    assert fresh.sightings(worker="el9-1") == [replace(seen, last_seen=139.0)]


def test_a_job_seen_again_in_the_same_worker_keeps_its_first_sight(journal):
    seen = Sighting("pool", "1.0", "w", "atlas", "anna", "el9", 110.0, 110.0)
    journal.remember("a", 110, Memo(appeared=(seen,)))
    journal.remember("a", 120, Memo(ended=(seen,)))
    journal.remember("a", 130, Memo(appeared=(replace(seen, first_seen=130.0, last_seen=130.0),)))
    assert journal.sightings() == [replace(seen, last_seen=130.0)]
    assert journal.sightings(opened=True) == journal.sightings()


def test_a_hold_is_kept_once_and_only_of_a_job_that_was_seen_in_a_worker(journal, opened):
    seen = Sighting("pool", "1.0", "el9-1", "atlas", "ann", "el9", 105.0, 110.0)
    journal.remember("a", 110, Memo(appeared=(seen,), holds={"pool": (), "slurm": None}))
    held = (HeldJob("1.0", "el9-1", 115.0, "no disk"), HeldJob("1.0", "el9-2", 115.0), HeldJob("2.0", "el9-1", 115.0))
    journal.remember("a", 120, Memo(holds={"pool": held, "slurm": None}))
    journal.remember("a", 130, Memo(holds={"pool": held, "slurm": None}))
    assert holds_in(opened()) == JobHolds({"pool": 110_000_000}, {("pool", "1.0", "el9-1"): 115_000_000})
    [line] = journal.events(kind="job")
    assert (line.note.subject, line.note.cause, line.note.correlation) == ("1.0", "held", "el9-1")
    assert line.note.detail["why"] == "no disk"


def test_holds_are_known_from_when_a_batch_system_last_began_to_tell_them(journal, opened):
    for at, told in ((110, ()), (120, ()), (130, None), (140, None), (150, ()), (160, ())):
        journal.remember("a", at, Memo(holds={"pool": told}))
        if told is None:
            assert holds_in(journal).since == {}
    assert holds_in(journal).since == {"pool": 150_000_000}
    assert len(journal.events(kind="watch")) == 3, "only what has changed"
    again = opened()
    assert again.hold_lease("a", 170, 60, unmoved=again.lease())
    again.remember("a", 170, Memo(holds={"pool": ()}))
    assert holds_in(again).since == {"pool": 150_000_000}, "a daemon that starts anew goes on"


def test_a_boot_that_failed_and_registered_after_all_counts_as_registered(journal):
    failed = BootOutcome("el9-1", "el9", "1", "h1", 700.0, False, "did not register within 600 s")
    journal.remember("a", 700, Memo(outcomes=(failed,)))
    journal.remember("a", 800, Memo(outcomes=(replace(failed, at=790.0, registered=True, cause=""),)))
    assert [boot.registered for boot in journal.ledger().boots] == [True]


def test_only_recent_boots_are_judged_but_proven_versions_stay_proven(journal, opened):
    old = BootOutcome("el9-1", "el9", "1", "h1", 10.0, True)
    journal.remember("a", 100, Memo(outcomes=(old, replace(old, worker="el9-2", at=90.0))))
    for one in (journal, opened()):
        assert [boot.worker for boot in one.ledger(50.0).boots] == ["el9-2"]
        assert one.ledger(95.0).proven == {("el9", "1")}


def test_when_the_clock_is_set_all_open_times_move_along(journal, opened):
    (number,) = journal.begin("a", 101, [boot(1)])
    journal.begin("a", 101, [boot(2)])
    journal.end(102, number, Outcome.DONE, changes={"booted_at": 102.0})
    failed = BootOutcome("el9-0", "el9", "1", "h1", 90.0, False)
    journal.remember("a", 102, Memo(outcomes=(failed,)))
    journal.shift("a", 4000, 3600.0)
    assert journal.ledger().newest == 3702.0
    ledger = opened().ledger()
    assert ledger.boots == (replace(failed, at=3690.0),)
    moved = ledger.entries["el9-1"]
    assert (moved.requested_at, moved.since, moved.booted_at, moved.registered_at) == (3701.0, 3701.0, 3702.0, None)
    assert [intent.begun_at for intent in ledger.intents] == [3701.0]
    assert journal.ledger() == replace(ledger, epoch=1)


def test_the_word_that_a_host_is_off_reaches_the_daemon_at_once_and_goes_when_it_has_acted_upon_it(journal, opened):
    administrator = opened()
    drain(administrator, "h1", "burns", 199.0)
    say_off(administrator, "h1", "burnt", 200.0, "anna")
    say_off(administrator, "h1", "burnt down", 201.0, "otto")
    drained, off = journal.ledger().host_words
    assert (drained.state, off) == (HostState.DRAINING, HostWord("h1", HostState.OFF, 201.0, "otto", "burnt down"))
    journal.remember("a", 210.0, Memo(words=("h1",)))
    assert journal.ledger().host_words == ()
    assert [event.note.detail["by"] for event in journal.events(subject="h1") if event.note.kind == "host-forget"] == [
        "anna",
        "otto",
    ]


def test_of_whom_the_journal_knows_all_workers_is_kept(journal, opened):
    host, cloud = ("host", "h1"), ("discovery", "h1")
    for heard in ({host: False}, {host: True, cloud: False}, {}):
        journal.remember("a", 210.0, Memo(heard=heard))
    assert journal.ledger().heard == opened().ledger().heard == {host: True, cloud: False}


def test_a_word_that_was_void_leaves_a_drained_host_drained(journal, opened):
    administrator = opened()
    drain(administrator, "h1", "burns", 199.0)
    say_off(administrator, "h1", "burnt", 200.0, "anna")
    journal.remember("a", 210.0, Memo(void=("h1",)))
    assert journal.ledger().host_words == (HostWord("h1", HostState.DRAINING, 199.0, "", "burns"),)


def test_drained_hosts_survive_and_are_seen_by_the_daemon_at_once(journal, opened):
    administrator = opened()
    journal.ledger()
    drain(administrator, "h1", "new memory", 200.0, "anna")
    drain(administrator, "h1", "new board", 201.0, "otto")
    word = HostWord("h1", HostState.DRAINING, 200.0, "otto", "new board")
    assert journal.ledger().host_words == (word,)
    assert drained_hosts(administrator) == {"h1": word}, "drained since the first time"
    assert undrain(administrator, "h1", 300.0)
    assert not undrain(administrator, "h1", 301.0)
    assert journal.ledger().host_words == ()


def test_what_ended_long_ago_is_forgotten_little_by_little_and_what_is_open_stays(journal, opened):
    numbers = journal.begin("a", 101, [boot(n) for n in range(1, 6)])
    for n, number in enumerate(numbers[:4], 1):
        journal.end(110.0 + n, number, Outcome.DONE, changes={"state": "gone", "closed_at": 110.0 + n, "ended_by": "power-off"})
    ran = [Sighting("pool", f"{n}.0", f"el9-{n}", "atlas", "anna", "el9", 105.0, 110.0 + n) for n in range(1, 6)]
    old = BootOutcome("el9-1", "el9", "1", "h1", 108.0, True)
    journal.remember("a", 109, Memo(outcomes=(old, replace(old, worker="el9-4", at=120.0)), ended=ran[:4], appeared=ran[4:]))
    assert journal.forget("a", 200, 113.5, most=2)
    assert [journal.entry(f"el9-{n}") is None for n in range(1, 6)] == [True, True, False, False, False]
    rounds = 1
    while journal.forget("a", 201, 113.5, most=2):
        rounds += 1
        assert rounds < 20
    fresh = opened()
    assert [fresh.entry(f"el9-{n}") is None for n in range(1, 6)] == [True, True, True, False, False]
    assert fresh.sightings() == [ran[4], ran[3]] or fresh.sightings() == [ran[3], ran[4]]
    assert [one.worker for one in fresh.ledger().boots] == ["el9-4"]
    assert [one.id for one in fresh.ledger().intents] == numbers[4:]
    assert all(event.at >= 113.5 for event in fresh.events())
    assert fresh.ledger().next_serial == 6
    assert fresh.ledger().entries.keys() == {"el9-5"}


def test_where_nothing_is_old_nothing_is_written(opened):
    told = []
    journal = opened(on_commit=told.append)
    journal.hold_lease("a", 100, 60)
    journal.begin("a", 101, [boot(1)])
    assert not journal.forget("a", 200, 50)
    assert told == ["lease", "begin"]


def test_only_the_daemon_that_acts_forgets(journal, opened):
    journal.begin("a", 101, [boot(1)])
    with pytest.raises(LeaseLostError):
        opened().forget("b", 200, 150)
    assert journal.events()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_in_memory_is_what_stands_in_the_database(journal, opened, seed):
    chance, names = random.Random(seed), count(1)
    open_numbers, registered = [], set()
    for step in range(60):
        now = 200.0 + step
        kind = chance.choice(["begin", "begin", "end", "remember", "shift", "close"])
        entries = list(journal.ledger().entries)
        if kind == "begin":
            open_numbers += journal.begin("a", now, [boot(next(names)) for _ in range(chance.randint(0, 4))])
        elif kind == "end" and open_numbers:
            number = open_numbers.pop(chance.randrange(len(open_numbers)))
            journal.end(
                now, number, chance.choice(list(Outcome)), changes={"booted_at": now} if chance.random() < 0.5 else None
            )
        elif kind == "remember" and entries:
            worker = chance.choice(entries)
            state = chance.choice(list(WorkerState)).value
            if chance.random() < 0.5:
                registered.add(worker)  # which no boot that has registered ever takes back
            outcome = BootOutcome(worker, "el9", str(len(worker) % 3), "h1", now, worker in registered)
            journal.remember("a", now, Memo(changes={worker: {"state": state, "since": now}}, outcomes=(outcome,)))
        elif kind == "shift":
            journal.shift("a", now, chance.choice([-3600.0, 7200.5]))
        elif kind == "close" and entries:
            journal.remember(
                "a", now, Memo(changes={chance.choice(entries): {"state": "gone", "closed_at": now, "ended_by": "power-off"}})
            )
    kept, fresh = journal.ledger(), opened().ledger()
    assert sorted(kept.boots, key=lambda b: b.worker) == sorted(fresh.boots, key=lambda b: b.worker)
    assert replace(kept, boots=()) == replace(fresh, boots=(), epoch=1)


# --- when it goes wrong -----------------------------------------------------------------------------------------------


def test_a_journal_in_memory_is_read_and_written_from_several_threads():
    journal = Journal("sqlite://", now=100)
    journal.hold_lease("a", 100, 60)
    failed = []

    def ask(call):
        try:
            for _ in range(50):
                call()
        except JournalError as error:
            failed.append(error)

    calls = [journal.ledger, journal.events, journal.sightings, lambda: journal.hold_lease("a", 100, 60), journal.lease]
    threads = [threading.Thread(target=ask, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    journal.close()
    assert failed == []


def test_every_commit_is_told_by_name(opened):
    told = []
    journal = opened(on_commit=told.append)
    journal.hold_lease("a", 100, 60)
    (number,) = journal.begin("a", 101, [boot(1)])
    journal.end(102, number, Outcome.DONE)
    journal.remember("a", 103, Memo(notes=(Note("x", "y"),)))
    journal.remember("a", 103, Memo())
    journal.release_lease("a", 104)
    assert told == ["lease", "begin", "end", "remember", "release"]


def test_an_intent_that_the_database_refuses_does_not_stop_the_others(journal, opened):
    bad = Intent(Boot("el9-2", 2, "el9", "1", "atlas", "pool", "h1", WHY), entry(2, host=None))
    first, refusal, third = journal.begin("a", 101, [boot(1), bad, boot(3)])
    assert isinstance(first, int)
    assert isinstance(third, int)
    assert "cannot write (begin)" in refusal
    assert set(opened().ledger().entries) == set(journal.ledger().entries) == {"el9-1", "el9-3"}
    assert [one.machine for one in journal.ledger().intents] == ["el9-1", "el9-3"]


@pytest.mark.parametrize("number", [2**40, 2**70, -(2**70)])
def test_a_number_that_is_too_large_for_the_database_is_that_row_s_failure(journal, number):
    bad = Intent(Boot("el9-2", 2, "el9", "1", "atlas", "pool", "h1", WHY), entry(2, cpus=number))
    answers = journal.begin("a", 101, [boot(1), bad, boot(3)])
    assert isinstance(answers[0], int)
    assert isinstance(answers[2], int)


HOSTILE = ["nul\0", "half \ud800 a pair", "\x1b[2J", "a\u202eb", "two\nlines", "x" * 5000, "[/x]"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_kept_and_read_again_with_all_that_stands_beside_it(journal, opened, text):
    reason = Reason("demand", text, {"text": text, "number": float("inf")})
    bad = Intent(Boot("el9-2", 2, "el9", text, "atlas", "pool", "h1", reason), entry(2, version=text))
    first, second = journal.begin("a", 101, [boot(1), bad])
    journal.end(102, second, Outcome.FAILED, text, changes={"boot_error": text})
    journal.remember(
        "a",
        103,
        Memo(
            notes=(Note("x", text, text, text, {"why": text}), Note("x", "fine")),
            appeared=(Sighting("pool", "1.0", "el9-1", "atlas", text, "el9", 103, 103),),
            outcomes=(BootOutcome("el9-2", "el9", text, "h1", 103, registered=False, cause=text),),
        ),
    )
    again = opened()
    assert set(again.ledger().entries) == {"el9-1", "el9-2"}
    assert again.ledger().entries["el9-2"].boot_error[:3] == text[:3]
    assert [event.note.subject for event in again.events(kind="x")][-1] == "fine"
    assert len(again.events(kind="x")) == 2
    assert len(again.sightings(opened=True)) == 1
    assert isinstance(first, int)


def test_a_line_of_the_log_that_the_database_refuses_is_told_and_the_others_are_written(journal, caplog):
    journal.remember("a", 103, Memo(notes=(Note("x", "one"), Note("x", None), Note("x", "three"))))
    assert [event.note.subject for event in journal.events(kind="x")] == ["one", "three"]
    assert "the journal refuses a row" in caplog.text


def test_a_locked_sqlite_file_is_a_clear_error_and_nothing_is_begun(tmp_path):
    journal = Journal(f"sqlite:///{tmp_path}/journal.db", now=100, busy_seconds=0.1)
    journal.hold_lease("a", 100, 60)
    locker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match=r"journal sqlite:.*cannot write \(begin\): database is locked: another process"):
        journal.begin("a", 101, [boot(1)])
    locker.execute("ROLLBACK")
    locker.close()
    assert journal.begin("a", 102, [boot(1)]) == [1]
    journal.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_sqlite_file_that_was_removed_or_replaced_is_noticed_and_nothing_is_done(tmp_path, replaced):
    path = tmp_path / "journal.db"
    journal = Journal(f"sqlite:///{path}", now=100)
    assert journal.hold_lease("a", 100, 60)
    for one in tmp_path.glob("journal.db*"):
        one.rename(tmp_path / f"aside-{one.name}")
    if replaced:
        Journal(f"sqlite:///{path}", now=100).close()
    before = path.read_bytes() if replaced else None
    gone = r"^journal sqlite:///.*journal\.db: the file was removed or replaced while it was in use: nothing is done until"
    writes = (lambda: journal.begin("a", 101, [boot(1)]), lambda: journal.hold_lease("a", 101, 60))
    for write in (*writes, lambda: journal.renew_lease("a", 101, 60)):
        with pytest.raises(JournalError, match=gone):
            write()
    with journal.read("one connection"), pytest.raises(JournalError, match=gone), journal.read("a further one"):
        pass
    assert not journal.stuck
    assert (path.read_bytes() if path.exists() else None) == before
    for one in tmp_path.glob("aside-journal.db*"):
        one.rename(tmp_path / one.name.removeprefix("aside-"))
    assert journal.begin("a", 102, [boot(1)]) == [1], "the very file is back"
    journal.close()


FILLER = """
import resource, signal, sys
from tests.contract.test_journal import boot
from scheduler.journal.journal import Journal, JournalError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(sys.argv[1], now=100.0)
journal.hold_lease("a", 100.0, 60.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
begun = 0
try:
    for number in range(1, 10_000):
        journal.begin("a", 101.0, [boot(number)])
        begun = number
except JournalError as error:
    print(begun, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(journal.begin("a", 102.0, [boot(begun + 1)]))
"""


def test_a_full_disk_is_a_clear_error_and_no_intent_is_half_written(tmp_path):
    url = f"sqlite:///{tmp_path}/journal.db"
    done = subprocess.run(
        [sys.executable, "-c", FILLER, url], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    begun = int(first.split()[0])
    assert begun > 10
    assert "cannot write (begin)" in first
    assert "is the file system full" in first
    assert second == f"[{begun + 1}]"
    journal = Journal(url, now=200)
    assert len(journal.ledger().entries) == begun + 1
    journal.close()


@pytest.mark.real
def test_a_postgresql_that_went_away_is_a_clear_error_and_the_journal_recovers(server):
    url = server.url(f"j{next(_numbers)}")
    journal = Journal(url, now=100)
    journal.hold_lease("a", 100, 60)
    cutter = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    cut = sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    with cutter.connect() as connection:
        connection.execute(cut)
    assert journal.begin("a", 101, [boot(1)]) == [1], "a connection that was cut while idle is replaced"
    cutter.dispose()
    journal.close()


def test_a_server_that_is_not_there_is_a_clear_error_without_the_password():
    with pytest.raises(JournalError) as failed:
        Journal("postgresql://ambienti:sesame@127.0.0.1:1/ambienti", now=100, busy_seconds=2)
    assert "journal postgresql+psycopg://127.0.0.1:1/ambienti: cannot open" in str(failed.value)
    assert "sesame" not in str(failed.value)


@pytest.mark.parametrize(
    ("url", "says"), [("ambienti.db", "is not a database URL"), ("mysql://x/y", "supported are sqlite and postgresql")]
)
def test_a_wrong_url_is_a_clear_error(url, says):
    with pytest.raises(JournalError, match=says):
        Journal(url, now=100)


# --- migrations -------------------------------------------------------------------------------------------------------


def test_a_journal_of_the_first_version_is_brought_up_to_date_with_its_content(url, opened):
    engine = to_form(url, "0001")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE journal SET next_serial = 42"))
        connection.execute(sa.text("INSERT INTO drained_hosts (host, since, why) VALUES ('h9', 7.0, 'dust')"))
    assert upgrade(url, SimulatedClock(), 60) == ("0001", newest_form())
    assert upgrade(url, SimulatedClock(), 60) == (newest_form(), newest_form())
    journal = opened(now=100.0)
    assert (journal.ledger().made_at, journal.ledger().next_serial) == (50.0, 42)
    assert drained_hosts(journal) == {"h9": HostWord("h9", HostState.DRAINING, 7.0, "", "dust")}
    names = {index["name"] for index in sa.inspect(engine).get_indexes("events")}
    assert "ix_events_subject" in names
    engine.dispose()


_OLD_WORKER = (
    "INSERT INTO workers (id, name, serial, uuid, environment, version, vo, batch_system, host, cpus, memory_mib, address, origin, "
    "state, since, requested_at, booted_at, registered_at, drain_cause, boot_error, closed_at) VALUES "
    "({0}, 'el9-{0}', {0}, 'u-{0}', 'el9', '1', 'atlas', 'pool', 'h{0}', 2, 4096, NULL, 'booted', "
    "'{1}', 12.5, 10.5, 11.5, NULL, '', '', {2})"
)
"""A row in the form of before machines."""


def test_workers_and_acts_of_a_journal_without_machines_are_kept(url, opened):
    engine = to_form(url, "0014")
    with engine.begin() as connection:
        connection.execute(sa.text(_OLD_WORKER.format(3, "booting", "NULL")))
        connection.execute(sa.text(_OLD_WORKER.format(4, "gone", "12.5")))
        connection.execute(
            sa.text(
                "INSERT INTO intents (kind, worker, host, cause, sentence, epoch, begun_at, outcome, detail) "
                "VALUES ('boot', 'el9-3', 'h3', 'demand', 'jobs wait', 1, 10.5, '', '')"
            )
        )
    engine.dispose()
    upgrade(url, SimulatedClock(), 60)
    journal = opened(now=100.0)
    (kept,) = journal.ledger().entries.values()
    assert (kept.name, kept.uuid, kept.host, kept.state, kept.booted_at) == ("el9-3", "u-3", "h3", WorkerState.BOOTING, 11.5)
    assert journal.entry("el9-4").closed_at == 12.5
    assert [one.machine for one in journal.ledger().intents] == ["el9-3"]
    assert journal.placements("el9-3") == [Placement("el9-3", "h3", 1, 10.5)]
    assert journal.placements("el9-4") == [Placement("el9-4", "h4", 1, 10.5, 12.5, "unknown")]
    assert journal.hold_lease("a", 100.0, 60)
    (number,) = journal.begin("a", 101.0, [boot(50)])
    assert number == 2
    assert set(journal.ledger().entries) == {"el9-3", "el9-50"}


def test_what_was_said_of_hosts_is_kept_when_it_comes_into_one_table(url, opened):
    engine = to_form(url, "0015")
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO drained_hosts (host, since, why) VALUES ('h1', 7.0, 'dust')"))
        connection.execute(sa.text("INSERT INTO hosts_off (host, at, by, why) VALUES ('h1', 9.0, 'anna', 'burnt')"))
        connection.execute(
            sa.text(
                "INSERT INTO events (at, kind, subject, cause, correlation, detail) "
                """VALUES (7.0, 'host-drain', 'h1', 'by-hand', '', '{"by": "otto", "why": "dust"}')"""
            )
        )
    engine.dispose()
    upgrade(url, SimulatedClock(), 60)
    assert opened(now=100.0).ledger().host_words == (
        HostWord("h1", HostState.DRAINING, 7.0, "otto", "dust"),
        HostWord("h1", HostState.OFF, 9.0, "anna", "burnt"),
    )


def test_whoever_opens_a_journal_of_an_older_version_is_told_what_to_do_and_changes_nothing(url, opened):
    engine = to_form(url, "0010")
    with pytest.raises(
        JournalError, match=r"older Ambienti \(its form is 0010, this one needs \d{4}\): stop .* journal upgrade"
    ):
        opened()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "0010"
    engine.dispose()


class Passing(SimulatedClock):
    """A clock under which something happens while somebody sleeps."""

    def __init__(self, happens):
        super().__init__()
        self.happens = happens

    def sleep(self, seconds):
        super().sleep(seconds)
        self.happens(self.monotonic())


def test_an_upgrade_waits_until_it_is_sure_that_nobody_works_with_the_older_form(url):
    engine, told = to_form(url, "0010"), []

    def hold(until):
        with engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE lease SET owner = 'old', epoch = 3, until = {until}"))

    hold(1.0)
    clock = Passing(lambda now: hold(now) if 10 < now < 12 else None)
    with pytest.raises(StillLedError, match=r"another daemon, old, holds the lease of journal .*: stop it first"):
        upgrade(url, clock, 60, waits=told.append)
    assert 10 < clock.monotonic() < 13
    clock = Passing(lambda _: None)
    assert upgrade(url, clock, 60, waits=told.append) == ("0010", newest_form())
    assert clock.monotonic() == 60
    assert told == ["old"] * 2
    engine.dispose()


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("h1: start domain el9-1: Network not found: no network with matching name 'farm'", "network"),
        ("h1: start domain el9-1: cannot allocate memory", "stock-out"),
        ("h1: boot el9-1: no answer within 20 s", "no-answer"),
        ("pool: enrol el9-1: connection refused", "batch-system"),
        ("h1: boot el9-1: image.path: there is no /srv/el9.img on the host", "image"),
        ("did not register with pool within 600 s", "unregistered"),
        ("its domain ended before it registered", "unknown"),
        ("", "unknown"),
    ],
)
def test_why_an_old_boot_failed_is_read_from_its_words_when_the_journal_is_brought_up_to_date(url, opened, words, failure):
    engine = to_form(url, "0011")
    row = {"worker": "el9-1", "environment": "el9", "version": "1", "host": "h1", "at": 90.0, "registered": False}
    old = sa.table("boots", *map(sa.column, [*row, "cause"]))
    with engine.begin() as connection:
        connection.execute(old.insert().values(row | {"cause": words}))
    engine.dispose()
    upgrade(url, SimulatedClock(), 60)
    (boot,) = opened(now=100.0).ledger().boots
    assert (boot.cause, boot.failure) == (words, FailureCause(failure))


def test_why_a_boot_failed_is_kept_as_a_code_beside_the_words(journal, opened):
    (number,) = journal.begin("a", 101, [boot(1)])
    changes = {"boot_error": "h1: no", "boot_failure": FailureCause.NETWORK.value}
    journal.end(102, number, Outcome.FAILED, "h1: no", changes=changes)
    told = BootOutcome("el9-1", "el9", "1", "h1", 103.0, registered=False, cause="h1: no", failure=FailureCause.NETWORK)
    journal.remember("a", 103, Memo(outcomes=(told,)))
    for one in (journal, opened()):
        assert one.ledger().entries["el9-1"].boot_failure is FailureCause.NETWORK
        assert one.ledger().boots == (told,)
        assert one.ledger().boots[0].failure is FailureCause.NETWORK


def test_a_journal_of_a_newer_version_is_refused(url, opened):
    opened().close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(JournalError, match=r"was written by a newer Ambienti \(its form is 9999, this one knows up to \d{4}\)"):
        opened()
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_the_migrations_lead_to_the_tables_that_the_code_uses(url, opened):
    opened()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_opening_waits_for_nobody_when_nothing_is_to_migrate(url, opened):
    opened()
    engine = sa.create_engine(url)
    with engine.connect() as busy:
        if engine.dialect.name == "sqlite":
            busy.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            busy.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        opened()
        busy.rollback()
    engine.dispose()


def test_no_secret_ever_has_a_column():
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    assert not {name for name in columns if "token" in name or "secret" in name or "password" in name}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:ses@me/db",
        "postgresql://me:sesame@127.0.0.1:1/db?password=sesame&connect_timeout=2",
        "postgresql://127.0.0.1:1/db?password=sesame",
        "postgresql+psycopg://me:sesame@127.0.0.1:x/db",
        "sesame",
        "://me:sesame@h",
        "mysql+none://me:sesame@h/db?password=sesame",
    ],
)
def test_no_secret_of_the_url_of_a_journal_is_told(url):
    with pytest.raises(JournalError) as told:
        Journal(url, now=100.0, busy_seconds=1)
    assert "ses" not in str(told.value)


def test_a_journal_is_for_its_owner_alone_with_all_its_side_files(tmp_path):
    before = os.umask(0o022)
    try:
        journal = Journal(f"sqlite:///{tmp_path}/new.db", now=100)
        journal.hold_lease("a", 100, 60)
        assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}
        journal.close()
        (tmp_path / "new.db").chmod(0o644)
        Journal(f"sqlite:///{tmp_path}/new.db", now=100).close()
        assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o640, "what the group may is meant, or was: it stays"
    finally:
        os.umask(before)


def test_a_damaged_journal_is_told_as_that_with_the_remedy_whoever_finds_it(tmp_path):
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is no database, " * 500)
    with pytest.raises(JournalError, match=r"the journal is damaged\. Stop the daemon, move the file .* the last back-up"):
        Journal(f"sqlite:///{path}", now=1000.0)
    path.unlink()
    journal = Journal(f"sqlite:///{path}", now=1000.0)
    journal.close()
    content = bytearray(path.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    path.write_bytes(bytes(content))
    with pytest.raises(JournalError, match="the journal is damaged"):
        Journal(f"sqlite:///{path}", now=1000.0).ledger()


def read_events(journal):
    journal.events()


def read_statuses(journal):
    load_columns(journal, load_history(journal, 2_000_000_000))


@pytest.mark.parametrize(
    ("column", "damaged", "read"),
    [
        ("events.detail", "{bad", read_events),
        ("statuses.records", b"\xee" * 7, read_statuses),
    ],
)
def test_a_value_that_is_not_as_it_was_written_is_told_as_damage(tmp_path, column, damaged, read):
    path = tmp_path / "journal.db"
    journal = Journal(f"sqlite:///{path}", now=1000.0)
    assert journal.hold_lease("a", 1000.0, 60)
    declare(journal, "a", 1000.0, [Declared("voms")])
    push(journal, "a", 1000.0, 1.0, Push("voms", 0))
    read(journal)
    table, _, name = column.partition(".")
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute(f"UPDATE {table} SET {name} = ?", (damaged,))
        made.commit()
    with pytest.raises(JournalError, match="the journal is damaged"):
        read(journal)
    journal.close()


def test_what_is_no_journal_is_told_and_left_as_it_is(tmp_path):
    text, foreign, pipe = tmp_path / "passwd", tmp_path / "cookies.db", tmp_path / "pipe"
    text.write_text("root:x:0:0")
    os.mkfifo(pipe)
    with contextlib.closing(sqlite3.connect(foreign)) as made:
        made.execute("CREATE TABLE cookies (name)")
    places = {
        text: "no file of SQLite. Unless daemon.journal names",
        foreign: "of something else",
        pipe: "no file",
        tmp_path: "no file",
    }
    for path in places:
        path.chmod(0o755)
    before = {path: path.read_bytes() for path in (text, foreign)}
    lying = sorted(tmp_path.iterdir())
    for path, said in places.items():
        with pytest.raises(JournalError, match=said):
            Journal(f"sqlite:///{path}", now=1000.0)
    assert [stat.S_IMODE(path.stat().st_mode) for path in places] == [0o755] * 4
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(tmp_path.iterdir()) == lying
    with contextlib.closing(sqlite3.connect(foreign)) as found:
        assert found.execute("SELECT name FROM sqlite_master").fetchall() == [("cookies",)]


def test_a_journal_that_another_process_keeps_locked_is_stuck_until_a_write_goes_through(tmp_path):
    now = [100.0]
    journal = Journal(f"sqlite:///{tmp_path / 'journal.db'}", now=1000.0, busy_seconds=0.05)
    journal.monotonic = lambda: now[0]
    locker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    assert not journal.stuck
    with pytest.raises(JournalError, match="locked"):
        journal.hold_lease("a", 1000.0, 60)
    assert journal.stuck
    locker.execute("ROLLBACK")
    assert journal.hold_lease("a", 1000.0, 60)
    assert not journal.stuck
    locker.close()
    journal.close()
