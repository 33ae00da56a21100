"""What a look says of everything that has a status, and what of it is new."""

from dataclasses import replace

import pytest
from builders import a_host, a_policy, a_queue, a_worker, an_observation, silent

from scheduler.availability.history import Status
from scheduler.journal.segments import CAUSES, Kept, packed, spliced, unpacked
from scheduler.model.actions import Plan
from scheduler.model.ports import DomainEvent, EventKind
from scheduler.model.workers import WorkerState
from scheduler.observe.statuses import LastLook, look, statuses
from scheduler.observe.statuses import looked as look_at

S = WorkerState


def said(observation, policy=None):
    return {name: one.status.name for name, one in statuses(observation, policy or a_policy()).items()}


def looked(at, monotonic=None, **more):
    told = statuses(an_observation(**more), a_policy())
    return LastLook(told, float(at), float(at if monotonic is None else monotonic))


def test_what_answers_is_ok_and_what_does_not_is_critical_from_when_it_was_asked():
    observation = an_observation(queues=[silent()], hosts=[a_host("h1"), silent("h2")])
    found = statuses(observation, a_policy())
    assert (found["pool"].status, found["h1"].status, found["h2"].status) == (Status.CRITICAL, Status.OK, Status.CRITICAL)
    assert found["pool"].at == observation.queues["pool"].asked_at
    assert (found["pool"].kind, found["h2"].kind) == ("service", "host")
    assert found["ambienti"].status is Status.OK


def test_what_was_not_even_asked_is_unknown():
    assert said(an_observation(hosts=[replace(silent("h2"), asked=False)]))["h2"] == "UNKNOWN"


def test_a_part_of_an_answer_and_one_that_is_not_believed_are_a_warning():
    assert said(an_observation(queues=[replace(a_queue(), complete=False)]))["pool"] == "WARNING"
    assert said(an_observation(queues=[replace(a_queue(), suspect=True)]))["pool"] == "WARNING"


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ((), "OK"),
        ((S.IDLE, S.BUSY, S.BOOTING), "OK"),
        ((S.IDLE, S.SILENT), "WARNING"),
        ((S.BUSY, S.FAILED), "WARNING"),
        ((S.SILENT, S.BOOTING), "CRITICAL"),
        ((S.UNSEEN, S.UNSEEN), "UNKNOWN"),
        ((S.UNSEEN, S.BUSY), "OK"),
        ((S.UNSEEN, S.SILENT), "UNKNOWN"),
    ],
)
def test_the_workers_of_an_environment_are_one_object(states, status):
    workers = tuple(a_worker(f"el9-{number}", state) for number, state in enumerate(states, 1))
    assert said(an_observation(workers=workers))["workers/el9"] == status


@pytest.mark.parametrize(
    ("states", "cause"),
    [
        ((S.SILENT,), "detection"),
        ((S.SILENT, S.BOOTING), "boot"),
        ((S.SILENT, S.REQUESTED), "boot"),
        ((S.FAILED,), "boot"),
        ((S.SILENT, S.IDLE), ""),
        ((S.IDLE,), ""),
    ],
)
def test_the_time_that_workers_are_lost_carries_a_cause(states, cause):
    workers = tuple(a_worker(f"el9-{number}", state) for number, state in enumerate(states, 1))
    assert statuses(an_observation(workers=workers), a_policy())["workers/el9"].cause == cause


@pytest.mark.parametrize(
    ("workers", "status"),
    [
        ((("pool", S.BUSY),), "UNKNOWN"),
        ((("pool", S.BUSY), ("pool", S.SILENT)), "UNKNOWN"),
        ((("pool", S.BUSY), ("other", S.IDLE)), "OK"),
        ((("pool", S.BUSY), ("other", S.SILENT)), "UNKNOWN"),
        ((("other", S.SILENT),), "CRITICAL"),
        ((), "OK"),
    ],
)
def test_workers_behind_a_silent_batch_system_are_unknown(workers, status):
    known = tuple(a_worker(f"el9-{n}", state, batch_system=pool) for n, (pool, state) in enumerate(workers, 1))
    seen = an_observation(workers=known, queues=[silent(), a_queue(source="other")])
    assert said(seen)["workers/el9"] == status


def test_the_first_look_tells_everything_and_the_next_only_what_changed():
    first = look(None, looked(100), stale_seconds=180, watched=False)
    assert (first.began, len(first.changes)) == ("start", len(looked(100).said))
    quiet = look(looked(100), looked(130), stale_seconds=180, watched=True)
    assert (quiet.began, quiet.changes, quiet.retired) == ("", (), ())
    news = look(looked(100), looked(130, queues=[silent()]), stale_seconds=180, watched=True)
    assert [(one.object, one.status) for one in news.changes] == [("pool", Status.CRITICAL)]


def test_what_has_time_left_to_answer_stays_what_it_was_and_its_silence_counts_from_when_it_was_asked():
    def at(now, before, *pools):
        seen = replace(an_observation(queues=list(pools)), now=float(now))
        return look_at(seen, a_policy(), Plan(float(now), ()), before, monotonic=now)

    slow = replace(silent(), asked_at=105.0, pending=True)
    first = at(100, None, a_queue())
    second = at(110, first, slow)
    third = at(120, second, slow)
    assert (second.said["pool"].status, third.said["pool"].status) == (Status.OK, Status.OK)
    assert look(first, second, stale_seconds=180, watched=True).changes == ()
    assert look(second, third, stale_seconds=180, watched=True).changes == ()
    answers = at(130, third, a_queue())
    assert look(third, answers, stale_seconds=180, watched=True).changes == ()
    over = at(130, third, replace(slow, pending=False))
    (change,) = [one for one in look(third, over, stale_seconds=180, watched=True).changes if one.object == "pool"]
    assert (change.status, change.at) == (Status.CRITICAL, 105.0)
    assert said(an_observation(queues=[slow]))["pool"] == "UNKNOWN", "nothing was known of it before"


def test_a_status_never_begins_before_the_look_that_saw_another():
    before, after = looked(100), looked(130, queues=[replace(silent(), asked_at=90.0)])
    (change,) = look(before, after, stale_seconds=180, watched=True).changes
    assert change.at == 100.0
    (change,) = look(before, looked(130, queues=[replace(silent(), asked_at=110.0)]), stale_seconds=180, watched=True).changes
    assert change.at == 110.0


def dated(what, at, before, **more):
    """Look at 100 and at 130, with one event of a host or of its domain between; return when h1 and the workers changed."""
    domain = "" if what in {EventKind.HOST_LOST, EventKind.HOST_BACK} else "el9-1"
    event = DomainEvent("h1", domain, what, float(at))
    seen = replace(an_observation(**more), now=130.0)
    after = look_at(seen, a_policy(), Plan(130.0, ()), before, monotonic=130.0, told={(event.host, domain): event})
    told = look(before, after, stale_seconds=180, watched=True).changes
    return {one.object: (one.status.name, one.at) for one in told if one.object in {"h1", "workers/el9"}}


def test_a_host_is_lost_and_back_from_when_it_told_so_not_from_the_next_look():
    lost = replace(silent("h1"), asked_at=129.0)
    before = looked(100, hosts=[a_host("h1")])
    assert dated(EventKind.HOST_LOST, 111.25, before, hosts=[lost])["h1"] == ("CRITICAL", 111.25)
    assert dated(EventKind.HOST_BACK, 111.25, before, hosts=[lost])["h1"] == ("CRITICAL", 129.0), "it says nothing of a loss"
    before = looked(100, hosts=[lost])
    assert dated(EventKind.HOST_BACK, 117.5, before, hosts=[a_host("h1")])["h1"] == ("OK", 117.5)
    assert dated(EventKind.HOST_LOST, 117.5, before, hosts=[a_host("h1")])["h1"] == ("OK", None), "at the look"


@pytest.mark.parametrize("at", [99.0, 100.0, 130.5])
def test_an_event_dates_nothing_before_the_last_look_nor_after_this_one(at):
    lost = replace(silent("h1"), asked_at=129.0)
    assert dated(EventKind.HOST_LOST, at, looked(100, hosts=[a_host("h1")]), hosts=[lost])["h1"] == ("CRITICAL", 129.0)
    failed = (a_worker("el9-1", S.FAILED),)
    assert dated(EventKind.CRASHED, at, looked(100), workers=failed)["workers/el9"] == ("CRITICAL", None)


def test_a_loss_is_dated_by_its_event_also_when_the_answer_had_time_left_at_the_look_between():
    slow = replace(silent("h1"), asked_at=105.0, pending=True)
    between = replace(looked(120, hosts=[a_host("h1")]), known_at={"h1": 100.0})
    lost = replace(slow, asked_at=119.0, pending=False)
    assert dated(EventKind.HOST_LOST, 104.5, between, hosts=[lost])["h1"] == ("CRITICAL", 104.5)


def test_a_worker_that_ended_by_itself_is_lost_from_when_its_host_told_so():
    failed, idle = a_worker("el9-1", S.FAILED), a_worker("el9-2")
    before = looked(100)
    assert dated(EventKind.CRASHED, 104.5, before, workers=(failed,))["workers/el9"] == ("CRITICAL", 104.5)
    assert dated(EventKind.CRASHED, 104.5, before, workers=(failed, idle))["workers/el9"] == ("WARNING", 104.5)
    more = (failed, a_worker("el9-3", S.SILENT))
    assert dated(EventKind.CRASHED, 104.5, before, workers=more)["workers/el9"] == ("CRITICAL", None), "of one nobody told"


def test_an_object_that_is_no_longer_there_retires():
    gone = looked(130, hosts=[])
    assert look(looked(100), gone, stale_seconds=180, watched=True).retired == tuple(looked(100).said.keys() - gone.said.keys())


@pytest.mark.parametrize(
    ("at", "monotonic", "watched", "began"),
    [
        (281, 281, True, "gap"),
        (3730, 130, True, "clock"),
        (99, 130, True, "clock"),
        (130.9, 130, True, ""),
        (130, 130, False, "start"),
    ],
)
def test_after_a_gap_a_jump_of_the_clock_or_a_loss_of_the_journal_everything_is_told_again(at, monotonic, watched, began):
    made = look(looked(100), looked(at, monotonic), stale_seconds=180, watched=watched)
    assert made.began == began
    assert len(made.changes) == (len(looked(100).said) if began else 0)


# --- records ----------------------------------------------------------------------------------------------------------


def kept(at, confirmed, status=0):
    return Kept(at, confirmed, at, 1, -1, 0, status, 0)


def test_records_are_packed_and_read_back():
    records = [kept(2**62, 2**62 + 1), kept(5, 6, 3)]
    assert unpacked(packed(records)) == records
    assert len(packed(records)) == 96


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (5, [(5, 5, 2), (10, 30, 0), (40, 40, 1)]),
        (35, [(10, 30, 0), (35, 35, 2), (40, 40, 1)]),
        (20, [(10, 20, 0), (20, 20, 2), (30, 30, 0), (40, 40, 1)]),
        (50, [(10, 30, 0), (40, 40, 1), (50, 50, 2)]),
    ],
)
def test_a_late_record_cuts_the_stretch_it_falls_into_and_that_goes_on_from_its_last_confirmation(late, expected):
    made = spliced([kept(10, 30), kept(40, 40, 1)], kept(late, late, 2))
    assert [(one.at, one.confirmed, one.status) for one in made] == expected


def test_causes_keep_the_numbers_by_which_the_journal_stores_them():
    assert CAUSES[:9] == (
        "", "detection", "fencing", "placement", "boot", "service start", "waiting for a human", "excluded", "unknown",
    )  # fmt: skip
