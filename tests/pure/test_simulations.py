"""The pieces of the simulated farm: clock, agenda, workloads, the negotiator, and farms that begin as a snapshot."""

import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from environments.environment import Environment
from scheduler.model.ports import SourceError
from simulations.cli import failure, simulate
from simulations.clock import START, Agenda, SimulatedClock
from simulations.interrupted import cuts
from simulations.interruptions import Killed, Knife
from simulations.jobs import JobState, Request, Served
from simulations.queue import Habits, SimulatedQueue
from simulations.scenario import Deed, Scenario
from simulations.seeds import SeedResult, random_scenario, run_seed
from simulations.summary import data_of
from simulations.workload import WorkloadError, arrivals, random_arrivals, read_swf, vo_of

# --- clock and agenda -------------------------------------------------------------------------------------------------


def test_time_passes_only_when_somebody_sleeps_and_a_jump_moves_the_wall_clock_alone():
    clock = SimulatedClock()
    assert (clock.now(), clock.monotonic()) == (START, 0)
    clock.sleep(10)
    clock.jump(-3600)
    assert (clock.now(), clock.monotonic()) == (START + 10 - 3600, 10)
    clock.sleep(-5)
    assert clock.monotonic() == 10


@given(st.lists(st.floats(0, 100), max_size=30))
def test_an_agenda_lets_things_happen_in_their_order_each_at_its_own_time(delays):
    clock = SimulatedClock()
    agenda = Agenda(clock)
    happened = []
    for delay in delays:
        agenda.after(delay, lambda: happened.append((agenda.monotonic(), agenda.now() - START)))
    clock.sleep(200)
    agenda.catch_up()
    assert [at for at, _ in happened] == sorted(delays)
    assert all(wall == pytest.approx(at, abs=1e-5) for at, wall in happened)
    assert agenda.next_at() is None


def test_what_an_entry_adds_in_time_happens_in_the_same_catching_up():
    clock = SimulatedClock()
    agenda = Agenda(clock)
    happened = []
    agenda.after(1, lambda: agenda.after(2, lambda: happened.append(agenda.monotonic())))
    clock.sleep(10)
    agenda.catch_up()
    assert happened == [3]


# --- workloads --------------------------------------------------------------------------------------------------------

SWF = """; Version: 2.2
; Computer: a made-up grid
1 100 5 60 1 -1 -1 1 120 -1 1 7 3 -1 -1 41 -1 -1
2 100 5 60 1 -1 -1 1 120 -1 1 7 3 -1 -1 41 -1 -1

3 160 -1 0 1 -1 -1 1 120 -1 5 8 4 -1 -1 41 -1 -1
4 220 9 30 -1 -1 -1 4 -1 2097152 0 8 4 -1 2 -1 -1 -1 {1,1} q_2h 1:ppn=4
5 400 9 30 256 -1 -1 256 40 -1 1 -1 -1 -1 2 -1 -1 -1
"""


def test_a_log_is_read_line_by_line_with_minus_one_as_not_known():
    jobs = list(read_swf(SWF.splitlines()))
    assert [job.number for job in jobs] == [1, 2, 3, 4, 5]
    first, fourth = jobs[0], jobs[3]
    assert (first.submitted, first.run, first.processors, first.requested_seconds) == (100, 60, 1, 120)
    assert (first.memory_kib, first.queue, first.partition, first.completed) == (None, None, 41, True)
    assert (fourth.processors, fourth.memory_kib, fourth.completed, fourth.requested_seconds) == (4, 2097152, False, None)
    assert fourth.extra == ("{1,1}", "q_2h", "1:ppn=4")
    assert [vo_of(job, "group") for job in jobs] == ["group-3", "group-3", "group-4", "group-4", "group-none"]


BURSTS = """; job 1 was swapped out once: a summary, then its two bursts; job 3 failed in its last one
1  0.25 10 600.5 4 -1 -1 4 900.5 -1 1 1 1 -1 1 -1 -1 -1
1  0 10 300 4 -1 -1 4 900 -1 2 1 1 -1 1 -1 -1 -1
1 -1 50 300 4 -1 -1 4 900 -1 3 1 1 -1 1 -1 -1 -1
2 60.75  5.5 600 2 -1 -1 2 900 -1 1 2 1 -1 1 -1 -1 -1
3 70  5 60 2 -1 -1 2 900 -1 0 2 1 -1 1 -1 -1 -1
3 -1  5 60 2 -1 -1 2 900 -1 4 2 1 -1 1 -1 -1 -1
"""


def test_the_bursts_of_a_job_that_was_swapped_out_are_no_jobs_and_fractions_of_seconds_are_kept():
    jobs = list(read_swf(BURSTS.splitlines()))
    assert [(job.number, job.submitted, job.waited, job.run) for job in jobs] == [
        (1, 0.25, 10, 600.5),
        (2, 60.75, 5.5, 600),
        (3, 70, 5, 60),
    ]
    coming = list(arrivals(jobs, column="user"))
    assert [(one.at_seconds, one.run_seconds, one.request.vo) for one in coming] == [
        (0, 600.5, "user-1"),
        (60.5, 600, "user-2"),
        (69.75, 60, "user-2"),
    ]
    assert coming[0].request.walltime_seconds == 901, "as asked for, in whole seconds and not less"


def test_equal_jobs_of_one_second_arrive_together_and_what_never_ran_is_left_out():
    coming = list(arrivals(read_swf(SWF.splitlines()), memory_mib=1000, largest_cpus=8))
    assert [(one.at_seconds, one.count, one.run_seconds, one.request.vo) for one in coming] == [
        (0, 2, 60, "group-3"),
        (120, 1, 30, "group-4"),
        (300, 1, 30, "group-none"),
    ]
    assert [one.request.cpus for one in coming] == [1, 4, 8]
    assert [one.request.memory_mib for one in coming] == [1000, 4000, 8000]
    assert coming[0].request.walltime_seconds == 120


def test_a_faster_replay_shortens_the_gaps_and_not_the_jobs():
    coming = list(arrivals(read_swf(SWF.splitlines()), speed=10))
    assert [(one.at_seconds, one.run_seconds) for one in coming] == [(0, 60), (12, 30), (30, 30)]


@pytest.mark.parametrize(
    ("line", "said"),
    [("1 2 3", "3 columns"), ("a" + " 1" * 17, "expected 18 numbers"), ("inf" + " 1" * 17, "expected 18 numbers")],
)
def test_a_line_that_is_no_job_is_named_with_its_number(line, said):
    with pytest.raises(WorkloadError, match=said) as caught:
        list(read_swf(["; head", line], "log.swf"))
    assert str(caught.value).startswith("log.swf:2:")


def test_random_farms_are_valid_and_a_seed_makes_the_same_one_again():
    for seed in range(30):
        scenario = random_scenario(random.Random(seed))
        assert scenario == random_scenario(random.Random(seed))
        environments = tuple(scenario.catalogue_environments().values())
        coming = random_arrivals(random.Random(seed), environments, 600, 20)
        assert coming == random_arrivals(random.Random(seed), environments, 600, 20)
        assert all(0 <= one.at_seconds <= 600 and one.count > 0 for one in coming)


# --- the simulated batch system ---------------------------------------------------------------------------------------

EL9 = Environment(
    name="el9", vo="atlas", virtualization="lxc", vcpus=2, memory_mib=2000, lifetime_seconds=3600, boot_seconds=60
)


@pytest.fixture
def queue():
    clock = SimulatedClock()
    agenda = Agenda(clock)
    queue = SimulatedQueue("pool", agenda, habits=Habits(leave_seconds=5))
    queue.clock, queue.agenda = clock, agenda
    return queue


def later(queue, seconds):
    queue.clock.sleep(seconds)
    queue.agenda.catch_up()


def joined(queue, name="el9-1", environment=EL9):
    assert queue.register(name, environment, queue.token(name), "xen1")
    return queue.nodes[name]


def test_a_worker_with_a_wrong_token_does_not_join(queue):
    assert not queue.register("el9-1", EL9, queue.token("el9-2"))
    assert queue.nodes == {}


def test_a_job_runs_for_its_time_and_its_wait_is_counted(queue):
    joined(queue)
    (job,) = queue.submit(Request("atlas", "el9"), 1, 100)
    later(queue, 7)
    assert job.state is JobState.RUNNING
    later(queue, 100)
    assert job.state is JobState.COMPLETED
    served = queue.book.served["atlas"]
    assert (served.completed, served.waits_seconds, served.core_seconds) == (1, [6.0], 100.0)


def test_a_drain_sends_a_claim_that_has_not_started_back_to_the_queue(queue):
    joined(queue)
    (job,) = queue.submit(Request("atlas", "el9"), 1, 100)
    later(queue, 5.5)
    assert job.state is JobState.CLAIMED
    queue.drain("el9-1", "idle")
    assert job.state is JobState.IDLE
    later(queue, 4)
    assert "el9-1" in queue.nodes
    later(queue, 2)
    assert "el9-1" not in queue.nodes, "a drained worker leaves by itself"


def test_a_drain_taken_back_in_time_keeps_the_worker(queue):
    joined(queue)
    queue.drain("el9-1", "idle")
    later(queue, 3)
    queue.cancel_drain("el9-1")
    later(queue, 100)
    assert "el9-1" in queue.nodes


def test_a_dead_workers_claimed_ad_stalls_its_vo_until_somebody_forgets_it(queue):
    joined(queue, "el9-1")
    queue.submit(Request("atlas", "el9"), 1, 1000)
    later(queue, 10)
    queue.die("el9-1")
    joined(queue, "el9-2")
    (waiting,) = queue.submit(Request("atlas", "el9"), 1, 1000)
    later(queue, 30)
    assert waiting.state is JobState.IDLE
    queue.forget("el9-1")
    later(queue, 10)
    assert waiting.state is JobState.RUNNING


def test_jobs_of_a_black_hole_fail_at_once_and_go_back(queue):
    joined(queue)
    queue.faults.black_holes.add("xen1")
    queue.submit(Request("atlas", "el9"), 1, 1000)
    later(queue, 60)
    assert queue.nodes["el9-1"].quick_failures >= 4
    assert queue.book.served["atlas"].completed == 0


def test_a_job_that_outlives_its_worker_is_not_started(queue):
    joined(queue)
    (short,) = queue.submit(Request("atlas", "el9", walltime_seconds=3600), 1, 10)
    later(queue, 10)
    assert short.state is JobState.RUNNING
    later(queue, 600)
    (long,) = queue.submit(Request("atlas", "el9", walltime_seconds=3600), 1, 10)
    later(queue, 60)
    assert long.state is JobState.IDLE


def test_a_lagging_summary_shows_old_counts_until_it_is_read_exactly(queue):
    queue.submit(Request("atlas", "el9"), 1)
    queue.read((EL9,), cheap=False)
    queue.faults.lagging = True
    queue.submit(Request("atlas", "el9"), 5)
    cheap, exact = queue.read((EL9,), cheap=True), queue.read((EL9,), cheap=False)
    assert [(reading.exact, reading.clusters[0].idle) for reading in (cheap, exact)] == [(False, 1), (True, 6)]


def test_a_slow_queue_answers_nothing_only_beyond_the_deadline(queue):
    queue.faults.slow_seconds = 19
    queue.read((EL9,), cheap=False)
    queue.faults.slow_seconds = 21
    with pytest.raises(SourceError, match="no answer within 20 s"):
        queue.read((EL9,), cheap=False)


# --- interruptions ----------------------------------------------------------------------------------------------------


def test_a_knife_kills_after_the_chosen_step_and_lets_nothing_happen_after():
    knife = Knife()
    knife.cut_after = 2
    knife.step("begin")
    with pytest.raises(Killed):
        knife.step("boot el9-1")
    with pytest.raises(Killed):
        knife.check()
    assert not issubclass(Killed, Exception), "nothing in a daemon may catch it"


def test_of_many_rounds_in_which_nothing_happened_one_is_cut():
    assert cuts(("lease", "lease", "lease", "begin", "end", "lease", "lease")) == [3, 4, 5, 7]


def test_every_deed_can_be_done():
    from simulations.faults import DEEDS

    assert set(DEEDS) == set(Deed)


# --- the command line -------------------------------------------------------------------------------------------------


def invoked(*arguments):
    return CliRunner().invoke(simulate, [str(one) for one in arguments])


def test_scenarios_are_listed_with_what_they_show():
    answer = invoked("scenario", "--list")
    assert answer.exit_code == 0
    assert "silent-queue: The batch system answers nothing" in answer.output


def test_an_unknown_scenario_is_refused_with_the_nearest_one():
    answer = invoked("scenario", "silent-que")
    assert answer.exit_code == 2
    assert "did you mean silent-queue?" in answer.output


def test_scenarios_and_seeds_are_told_as_json():
    listed = json.loads(invoked("scenario", "--list", "--json").output)
    assert {"silent-queue", "canary"} <= {one["scenario"] for one in listed}
    (ran,) = json.loads(invoked("scenario", "zero-jobs-zero-workers", "--json").output)
    assert (ran["ok"], ran["differences"]) == (True, "")
    (shown,) = json.loads(invoked("scenario", "zero-jobs-zero-workers", "--show", "--json").output)
    assert shown["log"]
    (told,), (expected,) = (json.loads(invoked("scenario", "ceiling", way, "--json").output) for way in ("--show", "--codes"))
    assert re.search(r" why .*: VO atlas holds 4 of at most 4 cores, .* \[over-ceiling\]\n", told["log"])
    assert re.search(r" why .*\S+ \[over-ceiling\]\n", expected["log"])
    assert "holds 4 of at most" not in expected["log"]
    (seed,) = json.loads(invoked("seeds", "--start", 3, "--count", 1, "--json").output)
    assert (seed["seed"], seed["ok"], seed["log"]) == (3, True, None)


def test_a_seed_that_fails_prints_the_command_that_replays_it(tmp_path):
    failed = SeedResult(42, tuple(f"sentence {n}" for n in range(7)), 1.0, 1, 1, 1, 0, "")
    told = failure(failed)
    assert told.startswith("seed 42 failed:\n  sentence 0\n")
    assert "... and 2 more" in told
    replay = told.splitlines()[-1].removeprefix("replay: ambienti simulate ")
    answer = invoked(*replay.split())
    assert answer.exit_code == 0, answer.output
    assert run_seed(42, tmp_path).log in answer.output


def test_one_seed_is_run_with_its_log_and_a_summary():
    answer = invoked("seeds", "--start", 3, "--count", 1, "--log")
    assert answer.exit_code == 0, answer.output
    assert "everything is mended" in answer.output
    assert "1 seeds, " in answer.output
    assert answer.output.rstrip().endswith("0 failed")


def test_a_log_is_replayed_until_every_job_is_done_and_every_worker_gone(tmp_path):
    log = tmp_path / "log.swf"
    log.write_text(SWF)
    answer = invoked("replay", log, "--hosts", 2, "--cpus", 8, "--json")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.output)
    assert {row["vo"]: row["served"] for row in told["vos"]} == {"group-3": 2, "group-4": 1, "group-none": 1}
    assert told["workers_booted"] == told["workers_powered_off"] == 3


def test_what_of_a_log_is_not_replayed_as_it_stands_there_is_told(tmp_path):
    """Job 3 never ran, job 5 wants 256 cores of 8, job 4 wants 2 GiB for each core; of two that come together one may be the last."""
    log = tmp_path / "log.swf"
    log.write_text(SWF)
    for jobs, altered in ((1, (0, 0, 0)), (3, (1, 0, 1)), (9, (1, 1, 1))):
        answer = invoked("replay", log, "--hosts", 2, "--cpus", 8, "--jobs", jobs, "--json")
        told = json.loads(answer.output)
        assert sum(row["submitted"] for row in told["vos"]) == min(jobs, 4)
        assert (told["never_ran"], told["cut_to_a_host"], told["cut_memory"]) == altered
    said = invoked("replay", log, "--hosts", 2, "--cpus", 8).output
    assert "1 left out because they never ran, 1 cut to the 8 cores of a host, 1 cut to 1024 MiB for each core" in said


def test_the_wait_of_95_in_a_hundred_is_longer_than_theirs_alone():
    (row,) = data_of({"atlas": Served(waits_seconds=[float(n) for n in range(1, 21)])})
    assert (row["median_wait_seconds"], row["wait_95_percent_seconds"]) == (10.5, 19)


def test_a_log_that_cannot_be_read_is_refused_with_its_line(tmp_path):
    log = tmp_path / "log.swf"
    log.write_text("1 2 3\n")
    answer = invoked("replay", log)
    assert answer.exit_code == 2
    assert "log.swf:1: 3 columns" in answer.output


def test_a_farm_goes_on_from_its_snapshot(tmp_path):
    from scheduler.model.snapshot import dump
    from simulations.farm import SimulatedFarm

    scenario = Scenario.model_validate(
        {
            "lasts": 600,
            "hosts": {"xen1": {}},
            "vos": {"atlas": {}},
            "environments": {"atlas-el9": {"vo": "atlas", "vcpus": 2, "memory_mib": 4096, "idle_seconds": 60}},
            "jobs": [{"vo": "atlas", "count": 5, "wants": "atlas-el9", "cpus": 2, "runs": 400}],
        }
    )
    farm = SimulatedFarm(scenario, tmp_path)
    farm.run(300)
    cycle = farm.daemons[0].last
    file = tmp_path / "farm.json"
    file.write_bytes(dump(cycle.observation, farm.policy, cycle.plan))
    farm.close()
    answer = invoked("snapshot", file, "--hours", 1, "--runs", 200, "--log")
    assert answer.exit_code == 0, answer.output
    assert "adopt atlas-el9-1 on xen1" in answer.output
    assert "boot atlas-el9-" not in answer.output.split("adopt")[0]
    told = json.loads(invoked("snapshot", file, "--runs", 200, "--json").output)
    assert [(row["submitted"], row["served"]) for row in told["vos"]] == [(5, 5)]
    assert told["workers_powered_off"] == 4 + told["workers_booted"]


def test_a_file_that_is_no_snapshot_is_refused(tmp_path):
    file = tmp_path / "farm.json"
    file.write_text("{}")
    answer = invoked("snapshot", file)
    assert answer.exit_code == 2
    assert "this is no snapshot" in answer.output
