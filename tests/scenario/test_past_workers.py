"""Workers that have ended, and jobs that ran before, as the journal of a whole scenario tells of them."""

from contextlib import contextmanager

from scheduler.commands.questions import run_before
from scheduler.decide.explain import explain_job
from scheduler.decide.plan import decide
from scheduler.decide.worker_story import explain_worker
from scheduler.journal.ended import past_worker
from scheduler.journal.journal import Journal
from simulations.farm import SimulatedFarm
from simulations.faults import schedule
from simulations.scenario import directories, load


def after(name, seconds, tmp_path):
    """The farm of one of our scenarios so long after its beginning, and its journal."""
    return at(next(path for path in directories() if path.name == name), seconds, tmp_path)


@contextmanager
def at(scenario, seconds, tmp_path):
    """The farm of a scenario so long after its beginning, and its journal."""
    directory = tmp_path / f"after-{seconds}"
    directory.mkdir()
    farm = SimulatedFarm(load(scenario).scenario, directory)
    schedule(farm)
    farm.run(seconds)
    journal = Journal(farm.journal_url, now=farm.clock.now())
    yield farm, journal
    journal.close()
    farm.close()


def told(farm, journal, worker):
    observation = farm.daemons[0].engine.last.observation
    policy = farm.policy
    return explain_worker(worker, observation, policy, decide(observation, policy), past_worker(journal, worker))


def test_a_worker_that_died_says_when_and_that_nobody_had_ordered_it(tmp_path):
    with after("worker-dies", 500, tmp_path) as (farm, journal):
        answer = told(farm, journal, "atlas-el9-1")
    assert answer.code == "gone"
    assert " by itself: its domain crashed without an order of ours, as host xen1 told" in answer.headline
    assert any(line.startswith("it was booted for this: ") for line in answer.details)
    assert "1 job ran in it" in answer.details
    assert any(line.startswith("job 1.0 of atlas (") for line in answer.details)


def test_a_worker_that_was_migrated_says_where_it_was_before(tmp_path):
    with after("worker-migrates", 1100, tmp_path) as (farm, journal):
        answer = told(farm, journal, "atlas-el9-1")
        stays = [(one.host, one.generation, one.ended_by) for one in journal.placements("atlas-el9-1")]
    assert stays == [("xen1", 1, "moved"), ("xen2", 1, "power-off")]
    assert answer.details[0] == "environment atlas-el9 version 1, on host xen2"
    assert any(line.startswith("before, it was on host xen1 until ") and line.endswith(" (moved)") for line in answer.details)


def test_a_worker_that_was_drained_says_why_and_by_whom(tmp_path):
    with after("worker-dies", 660, tmp_path) as (farm, journal):
        answer = told(farm, journal, "atlas-el9-2")
    assert answer.code == "idle"
    assert ", by Ambienti: it was drained (idle): idle for " in answer.headline


def test_a_worker_that_never_came_up_says_why(tmp_path):
    with after("image-broken", 300, tmp_path) as (farm, journal):
        answer = told(farm, journal, "atlas-el9-1")
    assert answer.code == "boot-failed"
    assert "it did not come up: did not register with pool within 180 s" in answer.headline
    assert any("it never registered" in line for line in answer.details)


def test_a_restarted_job_names_the_worker_that_died(tmp_path):
    with after("worker-dies", 190, tmp_path) as (farm, journal):
        job = next(one for one in farm.queue.book.jobs.values() if one.ran_in == "atlas-el9-1")
        record = farm.queue.job(job.id, ())
        observation = farm.daemons[0].engine.last.observation
        answer = explain_job(
            record, observation, farm.policy, decide(observation, farm.policy), before=run_before(journal, record)
        )
    assert record.status == "idle"
    (note,) = answer.notes
    assert note.startswith("it ran before in worker atlas-el9-1 on host xen1, until ")
    assert "that worker died at " in note
    assert "its domain crashed" in note


def test_a_job_that_runs_where_it_always_ran_has_no_past(tmp_path):
    with after("worker-dies", 170, tmp_path) as (farm, journal):
        assert all(run_before(journal, farm.queue.job(job, ())) is None for job in farm.queue.book.jobs)
        assert past_worker(journal, "atlas-el9-99") is None


GIVEN_UP_TOO_SOON = """
lasts: 20 min
hosts:
  xen1: {cpus: 4, memory_mib: 8 GiB}
vos:
  atlas: {}
environments:
  atlas-el9: {vo: atlas, vcpus: 2, memory_mib: 4 GiB}
jobs:
  - {at: 10 s, vo: atlas, count: 1, wants: atlas-el9, cpus: 2, runs: 8 min}
faults:
  - {at: 2 min, do: host-silent, host: xen1, lasts: 4 min}
  - {at: 3 min, do: host-forgotten, host: xen1}
"""


def test_a_worker_that_was_given_up_and_came_back_tells_its_real_end(tmp_path):
    (tmp_path / "README.md").write_text("A host was given up as off, and answers after all.\n")
    (tmp_path / "scenario.yaml").write_text(GIVEN_UP_TOO_SOON)
    with at(tmp_path, 240, tmp_path) as (farm, journal):
        assert "its host xen1 was given up as off" in told(farm, journal, "atlas-el9-1").headline
    with at(tmp_path, 1100, tmp_path) as (farm, journal):
        answer = told(farm, journal, "atlas-el9-1")
    assert answer.code == "boot-failed"
    assert ", by Ambienti: it was powered off: it did not register" in answer.headline, "its ads had been taken back"


def test_a_worker_that_was_ordered_at_the_last_look_is_not_said_to_end(tmp_path):
    with after("worker-dies", 31, tmp_path) as (farm, journal):
        answer = told(farm, journal, "atlas-el9-1")
    assert answer.code == "booting"
    assert answer.headline.startswith("worker atlas-el9-1 was ordered at ")
    assert not any("never registered" in line for line in answer.details)
