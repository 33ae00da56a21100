"""`ambienti usage` and the page of the report: hours of workers, and the jobs of hosts and workers that failed."""

import json
from dataclasses import replace

import pytest

from scheduler.availability.timelines.prepared import prepare
from scheduler.availability.timelines.windows import between
from scheduler.commands import journaled
from scheduler.journal.histories import load_history
from scheduler.journal.holds import holds_in
from scheduler.journal.journal import Journal
from scheduler.journal.records import Look, Memo, Note, Said, Sighting
from scheduler.journal.usage import Fates, Hours
from scheduler.journal.used import used
from scheduler.model.instants import SECOND
from scheduler.model.queues import HeldJob
from scheduler.publish import sheet
from scheduler.publish.page import page
from simulations.jobs import Request
from tests.pure.test_cli_agreements import ambienti, site  # noqa: F401 - fixtures
from tests.pure.test_engine import Farm, boot


def story(journal, at, *, tells=True):
    """Worker el9-1 on h1 runs three jobs. h1 is silent from 100 to 200 s; one job runs again, one is put on hold at 900 s."""
    where = {"host": "h1", "environment": "el9", "vo": "atlas"}
    assert journal.hold_lease("a", at, 1e9)

    def look(seconds, status, *, began="", worker="", holds=()):
        said = (Said("h1", status, "host"),) if status is not None else ()
        notes = (Note("state", "el9-1", worker, detail=where, at=at + seconds),) if worker else ()
        told = {"pool": holds if tells else None}
        seen = Look(at + seconds, seconds, said, began=began)
        journal.remember("a", at + seconds, Memo(notes=notes, look=seen, holds=told, appeared=jobs if worker == "busy" else ()))

    jobs = tuple(Sighting("pool", f"{n}.0", "el9-1", "atlas", "ann", "el9", at + 10, at + 10) for n in (1, 2, 3))
    look(0, 0, began="start", worker="busy")
    again = tuple(replace(one, last_seen=at + 95) for one in jobs)
    elsewhere = Sighting("pool", "1.0", "el9-2", "atlas", "ann", "el9", at + 250, at + 300)
    journal.remember("a", at + 95, Memo(ended=(*again, elsewhere)))
    look(100, 2, worker="unseen")
    look(200, 0, worker="gone")
    look(1000, None, holds=(HeldJob("2.0", "el9-1", at + 900, "no disk"),))


@pytest.fixture
def journal():
    made = Journal("sqlite://", now=1.0)
    yield made
    made.close()


def told_of(journal, *, start=0, end=2000, kept=10**9):
    prepared = prepare(load_history(journal, end))
    return used(journal, prepared, between(start * SECOND, end * SECOND, end * SECOND), kept * SECOND)


def test_an_outage_tells_what_became_of_each_job(journal):
    story(journal, 0.0)
    found = told_of(journal)
    [outage] = found.outages
    assert (outage.host, outage.start, outage.end) == ("h1", 100 * SECOND, 200 * SECOND)
    assert outage.jobs == Fates(("1.0",), ("2.0",), ("3.0",))
    assert found.hours["atlas", "el9"].used == 100 * SECOND
    assert (found.fallen, found.forgotten) == ((), False)


def test_where_the_batch_system_does_not_tell_of_holds_the_page_says_so(journal):
    story(journal, 0.0, tells=False)
    found = told_of(journal)
    assert found.outages[0].jobs == Fates(("1.0",), None, ("2.0", "3.0"))
    assert "<td>1</td><td>not told</td><td>2</td>" in page_of(found, journal)


def page_of(found, journal):
    prepared = prepare(load_history(journal, 2000))
    window = between(0, 2000 * SECOND, 2000 * SECOND)
    return page(sheet.make(prepared, [window], "excuse", site="hill", used=found))


def test_the_page_shows_the_outage_and_the_hours(journal):
    story(journal, 0.0)
    section = page_of(told_of(journal), journal).partition('<section id="workers">')[2].partition("</section>")[0]
    assert "<td>1</td><td>1</td><td>1</td>" in section
    assert "2.0, 3.0" in section
    assert "host h1" in section
    assert "<td>0.03</td>" in section
    assert 'id="workers"' not in page_of(None, journal)


def test_a_cycle_keeps_which_jobs_of_ours_were_put_on_hold():
    farm = Farm()
    try:
        farm.order()
        assert holds_in(farm.journal).since == {"pool": round(farm.clock.now() * SECOND)}
        [job] = farm.queue.submit(Request("atlas"), 1, run_seconds=600)
        farm.journal.remember(
            farm.engine.owner,
            farm.clock.now(),
            Memo(appeared=(Sighting("pool", job.id, "el9-1", "atlas", "ann", "el9", 1.0, 2.0),)),
        )
        job.ran_in = "el9-1"
        farm.wait(30)
        farm.queue.book.hold_idle("atlas", farm.clock.monotonic())
        held_at = round(farm.clock.now() * SECOND)
        for _ in range(2):
            farm.wait(30)
            farm.order()
        assert holds_in(farm.journal).held == {("pool", job.id, "el9-1"): held_at}
    finally:
        farm.journal.close()


def test_a_worker_that_was_ordered_and_not_looked_at_since_is_its_owners_and_while_nobody_looks_nothing_is_known():
    farm = Farm()
    began = farm.clock.now()
    farm.order(boot(1))
    farm.engine.lease.release()
    prepared = prepare(load_history(farm.journal, began + 90))
    start, end = (round((began + seconds) * SECOND) for seconds in (0, 90))
    found = used(farm.journal, prepared, between(start, end, end), 10**9 * SECOND)
    assert found.hours == {("atlas", "el9"): Hours(unknown=90 * SECOND)}
    farm.journal.close()


def test_of_many_outages_the_page_lists_the_newest_and_counts_the_others(journal):
    story(journal, 0.0)
    found = told_of(journal)
    hosts = tuple(replace(found.outages[0], host=f"x{number:03}") for number in range(120))
    section = page_of(replace(found, outages=hosts), journal).partition('<section id="workers">')[2]
    assert "host x020<" in section
    assert "host x019<" not in section
    assert "20 more are in" in section


def test_of_a_window_that_the_journal_has_forgotten_in_part_only_the_rest_is_told(journal):
    story(journal, 0.0)
    found = told_of(journal, kept=1950)
    assert found.forgotten
    assert (found.window.start, found.hours["atlas", "el9"].used) == (50 * SECOND, 50 * SECOND)
    assert "what was before is forgotten" in page_of(found, journal)
    assert not told_of(journal, kept=10).hours


def test_where_there_were_no_workers_usage_is_one_sentence(ambienti, site):  # noqa: F811
    Journal(f"sqlite:///{site}/ambienti.db", now=journaled.now() / SECOND - 5000).close()
    assert ambienti("usage", "--since", "1h")[:2] == (0, "There were no workers in that time.\n")


def test_usage_tells_it_on_the_terminal_and_as_json(ambienti, site):  # noqa: F811
    now = journaled.now() / SECOND
    book = Journal(f"sqlite:///{site}/ambienti.db", now=now - 5000)
    story(book, now - 2000)
    book.close()
    code, out, _ = ambienti("usage", "--since", "1h")
    assert code == 0
    assert "h1 did not answer for 1 min 40 s: 1 job runs again, 1 not seen since (3.0), 1 on hold (2.0)" in out
    told = json.loads(ambienti("usage", "--since", "1h", "--json")[1])
    [outage] = told["outages"]
    assert (outage["jobs_run_again"], outage["jobs_held"], outage["jobs_not_seen_since"]) == (["1.0"], ["2.0"], ["3.0"])
    assert told["lost_workers"] == []
    [hours] = json.loads(ambienti("usage", "--since", "1h", "--vo", "atlas", "--json")[1])["workers"]
    assert (hours["vo"], hours["environment"]) == ("atlas", "el9")
    assert ambienti("usage", "--vo", "atlsa")[2].strip() == "the site has no VO 'atlsa'; did you mean atlas?"
    code, _, err = ambienti("usage", "--since", "1h", "--until", "2020-01-01")
    assert code == 2
    assert "is not after --since" in err
    assert "the journal keeps workers and jobs for 400 days" in ambienti("usage", "--since", "900d")[1]
