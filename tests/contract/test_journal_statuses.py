"""Statuses are kept as intervals, exact to the event, on SQLite and on a real PostgreSQL alike."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from environments.identity import Signature
from scheduler.availability.history import Span, Status
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.timelines.axis import ABSENT
from scheduler.availability.timelines.prepared import prepare
from scheduler.availability.timelines.timeline import CAUSE_CODES
from scheduler.availability.timelines.windows import between
from scheduler.journal import tables as t
from scheduler.journal.corrections import MOST_WAITING, TooManyError, corrections, decide
from scheduler.journal.histories import load_columns, load_history, worker_steps
from scheduler.journal.records import Declared, Look, Memo, Note, Push, Said
from scheduler.journal.segments import MOST
from scheduler.journal.statuses import HELD, UnknownObjectError, correct, declare, push
from scheduler.journal.used import outages

OK, WARNING, CRITICAL, UNKNOWN = Status.OK, Status.WARNING, Status.CRITICAL, Status.UNKNOWN
SECOND = 1_000_000
KEYS = ("object", "at", "status", "cause", "confirmed", "sequence", "monotonic", "boot")


def look(journal, at, *changes, began="", retired=(), monotonic=None):
    told = tuple(Said(name, status) if not isinstance(name, Said) else name for name, status in changes)
    seen = Look(float(at), float(at if monotonic is None else monotonic), told, tuple(retired), began)
    assert journal.hold_lease("a", at, 60)
    journal.remember("a", at, Memo(look=seen))


def spans(history, name, zero=0):
    """Every interval of an object: from, confirmed until, status; in seconds."""
    return [
        ((r.at - zero) / SECOND, (r.at if r.confirmed is None else r.confirmed) / SECOND, r.status.name)
        for r in history.results
        if r.object == name
    ]


def test_a_status_found_again_prolongs_its_interval_without_a_new_row(journal, opened):
    look(journal, 101, ("pool", OK), began="start")
    for at in range(102, 140):
        look(journal, at)
    look(journal, 140, ("pool", CRITICAL))
    look(journal, 150)
    journal.release_lease("a", 151)
    history = load_history(opened(), 151.0)
    assert spans(history, "pool") == [(101, 139, "OK"), (140, 150, "CRITICAL")]
    assert [one.note.detail["status"] for one in journal.events(subject="pool")] == ["OK", "CRITICAL"]


def test_a_look_without_news_costs_no_commit_of_its_own(opened):
    told = []
    journal = opened(on_commit=told.append)
    look(journal, 101, ("pool", OK), began="start")
    look(journal, 102)
    look(journal, 103)
    assert told == ["lease", "remember", "lease", "lease"]


def test_each_status_has_its_sequence_number_both_clocks_and_the_start_of_its_daemon(journal):
    journal.monotonic = lambda: 7.5
    look(journal, 101, ("pool", OK), ("xen1", OK), began="start", monotonic=7)
    look(journal, 110, ("pool", CRITICAL), monotonic=16)
    first, other, second = sorted(load_history(journal, 110).results, key=lambda r: r.sequence)
    assert (first.sequence < other.sequence < second.sequence, first.boot, second.boot) == (True, "1", "1")
    assert (first.monotonic, second.monotonic) == (7 * SECOND, 16 * SECOND)
    line = next(one for one in journal.events(subject="pool") if one.id == second.sequence)
    assert (line.at, line.boot, line.monotonic, line.received) == (110.0, 1, 7_500_000, 110 * SECOND)
    assert line.note.detail == {"status": "CRITICAL", "from": "OK", "text": ""}


def test_a_status_may_have_begun_before_the_look_that_found_it(journal):
    look(journal, 101, ("pool", OK), began="start")
    look(journal, 102)
    look(journal, 125, (Said("pool", CRITICAL, at=105.0), None), monotonic=225)
    one = load_history(journal, 125).results[-1]
    assert (one.at, one.monotonic, one.received) == (105 * SECOND, 205 * SECOND, 125 * SECOND)


def test_a_silence_that_was_slowness_at_first_begins_before_looks_that_told_nothing_of_it(journal, opened):
    look(journal, 101, ("pool", OK), ("h1", OK), began="start")
    look(journal, 104)
    look(journal, 110)
    look(journal, 120)
    look(journal, 130, (Said("pool", CRITICAL, at=105.0), None))
    journal.release_lease("a", 131)
    history = load_history(opened(), 131.0)
    assert spans(history, "pool") == [(101, 105, "OK"), (105, 130, "CRITICAL")]
    assert spans(history, "h1") == [(101, 130, "OK")]


def test_while_nobody_looked_there_is_a_gap_from_the_last_sign_of_life_to_the_first_look(opened):
    first, second = opened(), opened()
    look(first, 101, ("pool", OK), began="start")
    look(first, 102)
    first.hold_lease("a", 103, 60)
    assert load_history(second, 104).gaps == ()
    assert load_history(second, 200).gaps == (Span(102 * SECOND),), "the lease has ended and nobody took it"
    assert second.hold_lease("b", 200, 60, unmoved=second.lease())
    second.remember("b", 205, Memo(look=Look(205.0, 205.0, (Said("pool", OK),), began="start")))
    history = load_history(first, 206)
    assert history.gaps == (Span(102 * SECOND, 205 * SECOND),)
    assert spans(history, "pool") == [(101, 102, "OK"), (205, 205, "OK")]
    assert [r.boot for r in history.results] == ["1", "2"]


def test_a_clock_that_was_set_cuts_every_interval_and_makes_no_gap(journal):
    look(journal, 101, ("pool", OK), began="start")
    look(journal, 102)
    look(journal, 4000, ("pool", OK), began="clock", monotonic=103)
    history = load_history(journal, 4000)
    assert spans(history, "pool") == [(101, 102, "OK"), (4000, 4000, "OK")]
    assert history.gaps == ()
    assert [one.note.cause for one in journal.events(subject="ambienti")] == ["start", "clock"]


def test_a_daemon_that_slept_says_so(journal):
    look(journal, 101, ("pool", OK), began="start")
    look(journal, 900, ("pool", OK), began="gap")
    assert load_history(journal, 900).gaps == (Span(101 * SECOND, 900 * SECOND),)


def test_what_is_no_longer_there_ceases_to_exist_and_may_come_back(journal):
    look(journal, 101, ("pool", OK), ("xen1", OK), began="start")
    look(journal, 110)
    look(journal, 120, retired=["xen1"])
    look(journal, 130)
    look(journal, 140, ("xen1", CRITICAL))
    history = load_history(journal, 141)
    (xen1,) = [one for one in history.objects if one.name == "xen1"]
    assert xen1.existence == (Span(101 * SECOND, 120 * SECOND), Span(140 * SECOND))
    assert spans(history, "xen1") == [(101, 110, "OK"), (140, 140, "CRITICAL")]


def test_what_left_while_nobody_looked_has_left_at_the_first_look(opened):
    look(opened(), 101, ("pool", OK), ("xen1", OK), began="start")
    second = opened()
    second.hold_lease("a", 300, 60, unmoved=second.lease())
    second.remember("a", 300, Memo(look=Look(300.0, 9.0, (Said("pool", OK),), began="start")))
    (xen1,) = [one for one in load_history(second, 301).objects if one.name == "xen1"]
    assert xen1.existence == (Span(101 * SECOND, 300 * SECOND),)


def test_many_changes_fill_row_after_row_and_are_read_back_in_order(journal, opened):
    look(journal, 1000, ("pool", OK), began="start")
    for number in range(1, 2 * MOST + 10):
        look(journal, 1000 + number, ("pool", CRITICAL if number % 2 else OK))
    found = [r.at // SECOND for r in load_history(opened(), 3000).results]
    assert found == list(range(1000, 1000 + 2 * MOST + 10))
    late = load_history(opened(), 3000, since=1200 * SECOND).results
    assert len(late) < len(found)
    assert next(r for r in late if r.at >= 1200 * SECOND).at == 1200 * SECOND


def test_a_write_that_fails_is_forgotten_and_the_next_look_tells_everything(journal, opened):
    look(journal, 101, ("pool", OK), began="start")
    with pytest.raises(RuntimeError), journal.write("x"):
        raise RuntimeError
    assert journal.watch is None, "so the engine begins a new stretch"
    look(journal, 105, ("pool", CRITICAL), began="start")
    history = load_history(opened(), 106)
    assert spans(history, "pool") == [(101, 101, "OK"), (105, 105, "CRITICAL")]
    assert history.gaps == (), "it is the same daemon, and it was not away"


# --- pushed statuses --------------------------------------------------------------------------------------------------


@pytest.fixture
def pushed(journal):
    look(journal, 101, ("pool", OK), began="start")
    declare(journal, "a", 101.0, [Declared("voms", freshness=300 * SECOND), Declared("bdii", "host")])
    return journal


def report(journal, now, status, name="voms", **more):
    return push(journal, "a", float(now), float(now), Push(name, status, **more))


def accepted(journal, now, status, name="voms", **more):
    """Report what lies before what is told already, and let somebody else accept it."""
    held = report(journal, now, status, name, by="nagios", **more)
    assert held.startswith(HELD)
    decide(journal, held.removeprefix(HELD), Signature("the board"), now * SECOND, accept=True)
    assert correct(journal, "a", float(now)) == 1


def test_a_pushed_status_that_is_repeated_prolongs_its_interval(pushed, opened):
    assert report(pushed, 110, OK) == "kept"
    assert [report(pushed, at, OK) for at in (200, 400)] == ["repeated", "repeated"]
    assert report(pushed, 500, CRITICAL, text="no answer", by="nagios") == "kept"
    history = load_history(opened(), 500)
    assert spans(history, "voms") == [(110, 400, "OK"), (500, 500, "CRITICAL")]
    (voms,) = [one for one in history.objects if one.name == "voms"]
    assert (voms.freshness, voms.existence, voms.kind) == (300 * SECOND, (Span(101 * SECOND),), "service")
    assert pushed.events(subject="voms")[-1].note.detail["text"] == "no answer"


def test_a_repetition_after_the_freshness_ran_out_is_a_new_interval(pushed):
    report(pushed, 110, OK)
    assert report(pushed, 411, OK) == "kept"
    assert spans(load_history(pushed, 411), "voms") == [(110, 110, "OK"), (411, 411, "OK")]


def test_a_repetition_after_a_gap_or_a_jump_of_the_clock_is_a_new_interval(pushed):
    report(pushed, 110, OK)
    look(pushed, 120, ("pool", OK), began="gap")
    assert report(pushed, 121, OK) == "kept"


def test_what_is_sent_twice_counts_once(pushed, opened):
    assert report(pushed, 110, CRITICAL, id="n-1") == "kept"
    assert report(pushed, 115, OK, id="n-2") == "kept"
    assert report(pushed, 120, CRITICAL, id="n-1") == "duplicate"
    assert report(pushed, 121, OK, id="n-1") == "contradicts what id n-1 said first, CRITICAL"
    assert report(pushed, 122, CRITICAL, id="n-3", at=122.0) == "kept"
    assert report(pushed, 123, CRITICAL, id="n-3", at=121.0).endswith("said first, CRITICAL at 1970-01-01T00:02:02Z")
    assert [one.note.detail["id"] for one in pushed.events(kind="contradiction")] == ["n-1", "n-3"]
    assert spans(load_history(pushed, 120), "voms") == [(110, 110, "CRITICAL"), (115, 115, "OK"), (122, 122, "CRITICAL")]


def test_a_late_status_is_put_in_its_place_and_says_when_it_came(pushed, opened):
    report(pushed, 110, OK)
    report(pushed, 200, OK)
    report(pushed, 300, CRITICAL)
    accepted(pushed, 400, WARNING, at=150.0)
    history = load_history(opened(), 400)
    assert spans(history, "voms") == [(110, 150, "OK"), (150, 150, "WARNING"), (200, 200, "OK"), (300, 300, "CRITICAL")]
    late = next(r for r in history.results if r.status is WARNING)
    assert (late.received, late.sequence, late.monotonic) == (400 * SECOND, None, None)


def test_a_late_status_finds_its_place_in_an_older_row(pushed):
    for number in range(2 * MOST):
        report(pushed, 1000 + 10 * number, OK if number % 2 else CRITICAL)
    accepted(pushed, 9000, UNKNOWN, at=1015.0)
    found = spans(load_history(pushed, 9000), "voms")
    assert [one[0] for one in found[:4]] == [1000, 1010, 1015, 1020]
    assert len(found) == 2 * MOST + 1


@pytest.mark.parametrize(("at", "status"), [(0.0, OK), (150.0, WARNING), (299.9, CRITICAL), (300.0, OK)])
def test_what_was_told_of_a_time_is_changed_by_nobody_alone(pushed, at, status):
    report(pushed, 110, OK)
    report(pushed, 300, CRITICAL, at=300.0)
    before = load_history(pushed, 400)
    assert report(pushed, 310, status, at=at, by="nagios", id="n-7") == "held as c1"
    assert report(pushed, 311, status, at=at, by="nagios", id="n-7") == "duplicate"
    assert load_history(pushed, 400) == replace(before, corrections=tuple(one for one, _ in corrections(pushed)))
    assert report(pushed, 320, CRITICAL, at=300.0) == "repeated", "the same at the same instant contradicts nothing"


def test_a_report_that_is_ahead_of_our_clock_is_of_now_and_holds_up_no_other(pushed):
    assert report(pushed, 200, CRITICAL, at=259.0) == "kept"
    assert report(pushed, 210, OK, at=205.0) == "kept"
    assert spans(load_history(pushed, 300), "voms") == [(200, 200, "CRITICAL"), (205, 205, "OK")]


def test_so_many_corrections_wait_and_no_more(pushed):
    report(pushed, 5000, OK)
    assert report(pushed, 6000, CRITICAL, at=1000.0, by="nagios") == "held as c1"
    with pushed.write("many") as connection:
        (one,) = connection.execute(sa.select(t.corrections)).mappings().all()
        rows = [{key: value for key, value in one.items() if key != "id"}] * (MOST_WAITING - 1)
        connection.execute(t.corrections.insert(), rows)
    with pytest.raises(TooManyError):
        report(pushed, 6000, CRITICAL, at=999.0, by="nagios")
    assert report(pushed, 6000, CRITICAL, at=999.0, by="icinga").startswith(HELD)


def test_a_status_of_an_object_that_is_not_declared_is_refused_and_leaves_nothing(pushed):
    before = len(pushed.events())
    with pytest.raises(UnknownObjectError) as refused:
        report(pushed, 110, OK, name="vom")
    assert sorted(refused.value.known) == ["bdii", "voms"]
    with pytest.raises(UnknownObjectError):
        report(pushed, 110, OK, name="pool")
    assert len(pushed.events()) == before
    assert pushed.watch is not None, "and nothing known is thrown away"


def test_an_object_that_is_no_longer_declared_retires(pushed):
    report(pushed, 110, OK)
    declare(pushed, "a", 150.0, [Declared("bdii", "host")])
    history = load_history(pushed, 160)
    (voms,) = [one for one in history.objects if one.name == "voms"]
    assert voms.existence == (Span(101 * SECOND, 150 * SECOND),)
    with pytest.raises(UnknownObjectError):
        report(pushed, 170, OK)


# --- read as columns --------------------------------------------------------------------------------------------------


def test_columns_hold_what_results_hold(pushed):
    report(pushed, 110, OK)
    report(pushed, 200, OK)
    report(pushed, 300, CRITICAL, cause="boot")
    accepted(pushed, 400, WARNING, at=150.0)
    look(pushed, 410, ("xen1", OK))
    look(pushed, 420, ("pool", CRITICAL))
    for number in range(MOST):
        look(pushed, 500 + number, ("xen1", CRITICAL if number % 2 else OK))
    history = load_history(pushed, 700)
    read = load_columns(pushed, history)
    names = [one.name for one in history.objects]
    absent = lambda value: None if value == ABSENT else value  # noqa: E731
    rows = zip(*(getattr(read, key).tolist() for key in KEYS), strict=True)
    found = [
        (names[o], at, status, cause, absent(confirmed), absent(sequence), absent(monotonic), read.boots[boot])
        for o, at, status, cause, confirmed, sequence, monotonic, boot in rows
    ]
    assert found == [
        (r.object, r.at, r.status, CAUSE_CODES[r.cause], r.confirmed, r.sequence, r.monotonic, r.boot) for r in history.results
    ]


def test_what_the_journal_knows_is_measured(pushed):
    """pool: OK 101..201, CRITICAL 201..251, OK until now at 301; voms: pushed OK at 110 and 200, fresh for 300 s."""
    report(pushed, 110, OK)
    report(pushed, 200, OK)
    look(pushed, 201, ("pool", CRITICAL))
    look(pushed, 251, ("pool", OK))
    pushed.hold_lease("a", 301, 60)
    history = load_history(pushed, 301)
    window = between(0, 301 * SECOND, history.now)
    found = measure(history, window, "excuse")
    assert (found["pool"].up, found["pool"].bad) == (150 * SECOND, 50 * SECOND)
    assert (found["voms"].up, found["voms"].pending, found["voms"].missing) == (191 * SECOND, 9 * SECOND, 0)
    assert measure(prepare(replace(history, results=()), load_columns(pushed, history)), window, "excuse") == found


def test_what_a_published_year_is_computed_from_is_never_forgotten(pushed):
    report(pushed, 110, OK, id="n-1")
    report(pushed, 120, CRITICAL)
    before = load_history(pushed, 121)
    lines = [one.note.kind for one in pushed.events() if one.note.kind in {"status", "object", "watch"}]
    pushed.remember("a", 122, Memo(notes=(Note("state", "el9-1", "gone"),)))
    while pushed.forget("a", 10_000_000, 9_000_000):
        pass
    assert load_history(pushed, 121) == before
    assert [one.note.kind for one in pushed.events() if one.note.kind in {"status", "object", "watch"}] == lines
    assert not pushed.events(kind="state")
    assert report(pushed, 130, CRITICAL, id="n-1") != "duplicate", "an id is remembered for as long as lines are"


# --- what workers were used for ---------------------------------------------------------------------------------------


def test_steps_of_workers_and_outages_of_hosts_are_read_from_the_log(journal):
    """h1 is CRITICAL 120..150 and again from 180; from 190 on nobody looked until 195."""
    el9 = {"from": "requested", "host": "h1", "environment": "el9", "vo": "atlas"}
    up, down = ((Said("h1", OK, "host"), None), (Said("h1", CRITICAL, "host"), None))
    look(journal, 101, up, began="start")
    journal.remember("a", 102, Memo(notes=(Note("boot-begun", "el9-1"), Note("other", "el9-1", "idle"))))
    journal.remember("a", 110, Memo(notes=(Note("state", "el9-1", "booting", detail=el9),)))
    look(journal, 120, down)
    look(journal, 150, up)
    look(journal, 180, down)
    look(journal, 190)
    look(journal, 195, down, began="gap")
    history = load_history(journal, 200)
    window = between(0, 200 * SECOND, 200 * SECOND)
    assert [(a // SECOND, b // SECOND) for _, a, b in outages(prepare(history), window)] == [(120, 150), (180, 190), (195, 200)]
    steps = [(one.at // SECOND, one.worker, one.state.value, one.vo, one.host) for one in worker_steps(journal, 200 * SECOND)]
    assert steps == [(102, "el9-1", "requested", "", ""), (110, "el9-1", "booting", "atlas", "h1")]
