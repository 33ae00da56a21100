"""Why: for each situation of a job or a worker the right answer, with the numbers."""

from dataclasses import replace

import pytest

from environments.environment import Virtualization
from environments.requirements import Chooser
from scheduler.decide.explain import explain_job
from scheduler.decide.plan import decide
from scheduler.decide.worker_story import explain_worker
from scheduler.model.ports import JobRecord, Submission
from scheduler.model.queues import RunningJob
from scheduler.model.workers import WorkerState
from tests.pure.builders import (
    NOW,
    POOL,
    a_cluster,
    a_domain,
    a_host,
    a_policy,
    a_queue,
    a_vo,
    a_worker,
    an_environment,
    an_observation,
    an_outcome,
    silent,
)


def a_job(status="idle", vo="atlas", cluster_key="pool:1", **changes):
    return JobRecord("12.0", POOL, vo, "ada", status, cluster_key, "", 1, 1000, **changes)


def why(*clusters, job=None, policy=None, **changes):
    observation = an_observation(*clusters, **changes)
    policy = policy or a_policy()
    return explain_job(job or a_job(), observation, policy, decide(observation, policy))


def why_worker(worker, *clusters, policy=None, name=None, **changes):
    observation = an_observation(*clusters, workers=[worker], **changes)
    policy = policy or a_policy()
    return explain_worker(name or worker.name, observation, policy, decide(observation, policy))


def test_why_a_running_job_names_its_worker_environment_and_host():
    worker = a_worker(state=WorkerState.BUSY, jobs=(RunningJob("12.0", since=NOW - 90),))
    answer = why(job=a_job("running", worker="el9-1"), workers=[worker])
    assert answer.code == "runs"
    assert answer.headline == "job 12.0 runs in el9-1 (environment el9) on host h1"
    assert "it has run since 13:45:10 UTC" in answer.details


def test_why_a_job_whose_worker_is_gone_waits_for_the_end_of_its_lease():
    for workers in ([], [a_worker("el9-7", WorkerState.GONE)]):
        answer = why(job=a_job("running", worker="el9-7"), workers=workers, next_serial=8)
        assert answer.code == "worker-gone"
        assert "el9-7, which is gone: pool starts it again when the job's lease ends" in answer.headline
    assert why(job=a_job("running", worker="wn-7")).code == "runs", "a node that is not ours"


def test_why_a_job_in_a_worker_that_was_booted_since_the_last_look_says_that_it_runs():
    answer = why(job=a_job("running", worker="el9-8"), next_serial=8)
    assert (answer.code, answer.headline) == ("runs", "job 12.0 runs in el9-8, which was booted since the last look")


def test_why_a_held_job_gives_the_batch_systems_own_words():
    answer = why(job=a_job("held", hold_reason="Transfer input files failure"))
    assert answer.code == "held"
    assert "Transfer input files failure" in answer.headline
    assert answer.would_change == ("remove the cause and release 12.0",)


@pytest.mark.parametrize(("status", "code"), [("completed", "completed"), ("removed", "removed"), ("unknown", "not-known")])
def test_why_a_job_that_is_not_in_the_queue(status, code):
    assert why(job=a_job(status)).code == code


def test_why_unknown_environment_names_the_nearest():
    answer = why(a_cluster(wanted="el-9"))
    assert answer.code == "unknown-environment"
    assert "Did you mean 'el9'?" in answer.headline
    assert answer.would_change == ('resubmit with WantEnvironment = "el9"',)


def test_why_not_allowed_names_the_owner_and_what_the_vo_may_use():
    policy = a_policy(an_environment(), an_environment("c9", "cms"))
    answer = why(a_cluster(wanted="c9"), policy=policy)
    assert answer.code == "not-allowed"
    assert "belongs to VO cms and is not shared with atlas" in answer.headline
    assert answer.would_change[0].endswith("use one of: el9")


def test_why_larger_than_any_worker_tells_both_sizes_for_each_environment():
    policy = a_policy(an_environment(), an_environment("large", vcpus=8))
    answer = why(a_cluster(cpus=16), policy=policy)
    assert answer.code == "no-match"
    assert {name: reason.numbers for name, reason in answer.refused.items()} == {
        "el9": {"asked_cpus": 16, "worker_cpus": 2},
        "large": {"asked_cpus": 16, "worker_cpus": 8},
    }


def test_why_refused_requirements_give_the_clause():
    cluster = a_cluster(accepts=frozenset(), refusals={"el9": 'OpSysAndVer == "AlmaLinux8"'})
    answer = why(cluster)
    assert answer.code == "no-match"
    assert answer.refused["el9"].numbers == {"clause": 'OpSysAndVer == "AlmaLinux8"'}


def test_why_tells_beside_what_matched_also_what_did_not():
    policy = a_policy(an_environment(), an_environment("large", vcpus=8))
    answer = why(a_cluster(idle=1, cpus=4), policy=policy, proven=[("large", "1")])
    assert answer.matched == ("large",)
    assert answer.refused["el9"].code == "larger-than-worker"


def test_why_a_job_waits_for_a_booting_worker():
    answer = why(a_cluster(idle=2), workers=[a_worker(state=WorkerState.BOOTING)])
    assert answer.code == "booting"
    assert answer.waits_for == ("2 jobs fit in workers that are booting",)
    assert answer.details[0] == "worker el9-1 boots on host h1 since 13:46:10 UTC, and has until 13:56:10 UTC"


def test_why_a_worker_is_being_booted_for_it_now():
    answer = why(a_cluster(idle=2))
    assert answer.code == "boot-ordered"
    assert answer.details[0] == "worker el9-1 is to be booted on host h1, and may take 600 s"


def test_why_names_the_workers_that_boot_longest_and_counts_the_others():
    booting = [a_worker(f"el9-{n}", WorkerState.BOOTING, requested_at=NOW - 10 * n) for n in range(1, 6)]
    answer = why(a_cluster(idle=20), workers=booting, hosts=[a_host(cpus=10)])
    assert [line.split()[1] for line in answer.details if " boots on " in line] == ["el9-5", "el9-4", "el9-3"]
    assert "and 2 more workers boot" in answer.details


def test_why_over_the_ceiling_of_its_vo():
    policy = a_policy(vos=[a_vo("atlas", ceiling_cpus=2)])
    answer = why(a_cluster(idle=4), policy=policy, workers=[a_worker(state=WorkerState.BUSY)])
    assert answer.code == "over-ceiling"
    assert answer.missing == {"held_cpus": 2, "ceiling_cpus": 2, "worker_cpus": 2}
    assert any("ceiling 2" in line for line in answer.details)


def test_why_an_environment_at_its_maximum():
    policy = a_policy(an_environment(maximum_workers=1))
    answer = why(a_cluster(idle=4), policy=policy, workers=[a_worker(state=WorkerState.BUSY)])
    assert answer.code == "maximum-workers"
    assert answer.missing == {"workers": 1, "maximum_workers": 1}


def test_why_the_farm_is_full_shows_the_hosts_that_come_closest():
    hosts = [
        a_host("h1", a_domain(memory_mib=62000)),
        a_host("h2", a_domain(memory_mib=64000)),
        a_host("h3", kinds=(Virtualization.LXC,)),
    ]
    answer = why(a_cluster(idle=4), policy=a_policy(hosts=("h1", "h2", "h3")), hosts=hosts)
    assert answer.code == "farm-full"
    assert answer.missing["asked_memory_mib"] == 4096
    assert answer.missing["best_free_memory_mib"] == 3536
    assert answer.details[:3] == (
        "host h1 has 3536 MiB and 30 cores free: 560 MiB short",
        "host h2 has 1536 MiB and 30 cores free: 2560 MiB short",
        "host h3 offers lxc, not qemu",
    )


def test_why_another_vo_is_served_first_tells_the_place_in_the_order():
    policy = a_policy(an_environment(), an_environment("c9", "cms"), vos=[a_vo("atlas"), a_vo("cms")])
    held = [a_worker(f"el9-{n}", WorkerState.BUSY) for n in range(1, 5)]
    clusters = [a_cluster(idle=50), a_cluster("pool:2", 50, "cms")]
    answer = why(*clusters, policy=policy, workers=held, hosts=[a_host(cpus=10)], proven=[("el9", "1"), ("c9", "1")])
    assert answer.code == "farm-full"
    assert "atlas is number 2 of 2 VOs that wait, by weighted dominant share, after cms" in answer.details


def test_why_the_images_breaker_is_open():
    history = tuple(an_outcome(host, ago=100, n=n) for n, host in enumerate(("h1", "h2", "h1")))
    answer = why(a_cluster(idle=4), boots=history, hosts=[a_host("h1"), a_host("h2")], policy=a_policy(hosts=("h1", "h2")))
    assert answer.code == "breaker-open"
    assert "3 boots in a row of el9 version 1 failed on 2 hosts" in answer.headline
    assert answer.missing["until"] == NOW + 200
    assert "(breaker open since 13:45:00 UTC); the next probe boots at 13:50:00 UTC" in answer.headline


def test_why_a_canary_boots_first():
    answer = why(a_cluster(idle=4), proven=(), workers=[a_worker(state=WorkerState.BOOTING)])
    assert answer.code == "canary"
    assert answer.missing == {"in_flight": 1}


def test_why_all_hosts_are_silent():
    answer = why(a_cluster(idle=4), hosts=[silent("h1")])
    assert answer.code == "hosts-silent"
    assert "host h1 has not answered since 13:45:40 UTC: connection refused" in answer.details


def test_why_the_batch_system_is_silent():
    answer = why(queues=[silent()])
    assert answer.code == "batch-silent"
    assert "batch system pool has not answered since 13:45:40 UTC: connection refused" in answer.headline


def test_why_addresses_are_exhausted():
    policy = a_policy(addresses={"el9": ("10.0.0.1/24",)})
    answer = why(a_cluster(idle=4), policy=policy, workers=[a_worker(state=WorkerState.BUSY, address="10.0.0.1/24")])
    assert answer.code == "addresses-exhausted"
    assert answer.missing == {"addresses": 1}


def test_why_this_cycles_boots_are_used_up():
    answer = why(a_cluster(idle=40), policy=a_policy(limits={"boots_per_cycle": 2}))
    assert answer.code == "boots-limit"
    assert answer.missing == {"boots": 2, "boots_per_cycle": 2}
    assert answer.waits_for == ("workers are being booted now for 4 jobs",)


def test_why_only_the_negotiator_is_waited_for():
    answer = why(a_cluster(idle=2), workers=[a_worker()])
    assert answer.code == "free-slot"
    assert answer.missing == {"jobs": 2}


def test_why_room_is_being_taken_back_for_it():
    policy = a_policy(an_environment(), an_environment("c9", "cms"), vos=[a_vo("atlas", guarantee_cpus=2), a_vo("cms")])
    lent = a_worker("c9-1", WorkerState.BUSY, environment="c9", vo="cms")
    answer = why(a_cluster(idle=2), policy=policy, workers=[lent], hosts=[a_host(cpus=2)])
    assert answer.code == "reclaiming"


def test_why_a_malformed_row_says_what_is_wrong_with_it():
    answer = why(a_cluster(problem="RequestCpus is not a number", example_job="12.0"))
    assert answer.code == "malformed"
    assert "RequestCpus is not a number" in answer.headline


def test_why_a_job_submitted_since_the_last_reading():
    answer = why(a_cluster("pool:2"), queues=[a_queue(at=NOW - 20)])
    assert answer.code == "not-read-yet"
    assert answer.missing == {"age_seconds": 20}


def test_why_with_an_older_plan_says_that_nothing_is_decided_yet():
    policy = a_policy()
    older = decide(an_observation(), policy)
    assert explain_job(a_job(), an_observation(a_cluster()), policy, older).code == "not-decided-yet"


# --- plain words ------------------------------------------------------------------------------------------------------


def test_the_plain_words_come_without_codes_and_say_what_to_change_in_the_submit_file():
    answer = why(a_cluster(cpus=16))
    assert answer.plain == "The only environment of VO atlas does not fit: asks for 16 cores, a worker of el9 has 2."
    assert answer.submit == "Write `request_cpus = 2` or less: that fits el9."
    waiting = why(a_cluster(idle=2), workers=[a_worker(state=WorkerState.BOOTING)])
    assert waiting.plain == "A worker that it can use is booting."
    assert waiting.submit == "Nothing has to change in the submit file: wait."


def test_a_job_that_asks_for_a_gpu_is_told_that_no_worker_has_one():
    answer = why(a_cluster(gpus=1))
    assert answer.plain == "Asks for 1 GPU, no worker of VO atlas has one."
    assert answer.submit == "Write no `request_gpus`: that fits el9."


def test_a_silent_batch_system_is_told_with_its_age_and_that_running_jobs_go_on():
    answer = why(queues=[silent()])
    assert answer.plain == (
        "Batch system pool has not answered for 60 s (since 13:45:40 UTC); running jobs go on, waiting jobs keep their place."
    )


def test_a_submission_is_told_by_the_states_of_its_jobs():
    observation, policy = an_observation(a_cluster(idle=3)), a_policy()
    of = Submission("12", POOL, 3, 1, 0, None, "12.0")
    answer = explain_job(a_job(), observation, policy, decide(observation, policy), submission=of)
    assert answer.submission == "12: 3 jobs wait, 1 job runs, 0 jobs are held, how many are done is not known"


def test_why_the_last_boot_of_its_environment_failed_is_a_note_of_the_job():
    answer = why(a_cluster(idle=1), boots=[an_outcome(cause="there is no such file /srv/el9.qcow2")])
    (note,) = answer.notes
    assert "there is no such file /srv/el9.qcow2" in note


@pytest.mark.parametrize("status", ["idle", "running", "held", "completed", "removed", "unknown"])
def test_every_answer_has_plain_words(status):
    answer = why(a_cluster(), job=a_job(status, hold_reason="disk full."))
    assert answer.plain.endswith(".")
    assert not answer.plain.endswith("..")


# --- workers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("worker", "code", "numbers"),
    [
        (a_worker(state=WorkerState.BOOTING), "booting", {"age_seconds": 30, "allowed_seconds": 600}),
        (a_worker(state=WorkerState.BUSY), "busy", {"jobs": 1, "free_cpus": 0}),
        (a_worker(idle_since=NOW - 100), "idle-for-now", {"idle_seconds": 100, "allowed_seconds": 300}),
        (a_worker(idle_since=NOW - 400), "idle", {"idle_seconds": 400, "allowed_seconds": 300}),
        (a_worker(state=WorkerState.DRAINING, drain_cause="idle"), "draining", {"cause": "idle", "jobs": 0}),
        (a_worker(state=WorkerState.DRAINED, drain_cause="idle"), "drained", {"cause": "idle"}),
        (a_worker(state=WorkerState.SILENT, since=NOW - 50), "silent", {"silent_seconds": 50, "silence_seconds": 900}),
        (a_worker(state=WorkerState.FAILED), "boot-failed", {"age_seconds": 30}),
        (a_worker(state=WorkerState.GONE), "gone", {}),
        (a_worker(environment="el7", state=WorkerState.BUSY), "unwanted", {"environment": "el7"}),
        (a_worker(quick_failures=7), "black-hole", {"quick_failures": 7}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_worker_tells_its_state_and_the_numbers(worker, code, numbers):
    answer = why_worker(worker)
    assert (answer.code, answer.missing) == (code, numbers)
    assert answer.headline.startswith(f"worker el9-1 is {worker.state.value} since ")


def test_why_worker_tells_which_waiting_jobs_keep_it_and_what_lies_ahead():
    answer = why_worker(a_worker(idle_since=NOW - 400), a_cluster(idle=2))
    assert answer.code == "kept-for-demand"
    assert "waiting jobs that could run in it: pool:1 (2 of atlas)" in answer.details
    assert answer.waits_for == ("at 1970-01-14 12:45:00 UTC its lifetime has passed and it is drained",)
    soon = why_worker(a_worker(idle_since=NOW - 100))
    assert soon.waits_for[0] == "at 13:50:00 UTC it is drained as idle if no job needs it"


def test_why_worker_on_a_silent_host_says_that_nothing_is_done():
    answer = why_worker(a_worker(state=WorkerState.UNSEEN), hosts=[silent("h1")])
    assert answer.code == "host-silent"
    assert "nothing is done about it" in answer.headline


def test_why_worker_of_a_silent_batch_system_says_that_nothing_is_done():
    assert why_worker(a_worker(idle_since=NOW - 9999), queues=[silent()]).code == "batch-silent"


def test_why_worker_of_an_old_version_says_which_is_current():
    busy = replace(a_worker(state=WorkerState.BUSY), version="0")
    assert "el9 is now version 1: it is replaced when it is idle" in why_worker(busy).details


def test_why_an_unknown_worker_names_the_nearest():
    answer = why_worker(a_worker("el9-17"), name="el9-71")
    assert answer.code == "not-known"
    assert "did you mean el9-17?" in answer.headline


def test_one_job_is_told_as_one():
    answer = why(a_cluster(idle=1), workers=[a_worker(state=WorkerState.BOOTING)])
    assert answer.headline == "job 12.0 waits: 1 job fits in workers that are booting"
    assert "one of 2 idle jobs" in why(a_cluster(idle=2)).headline


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"wanted": "el9"}, "the job itself names environment el9"),
        ({"wanted": "el9", "chosen_by": Chooser.HOOK}, "the submit hook gave the job el9, the default of its VO"),
        ({"wanted": "el9", "cpus": 9}, "the job itself names environment el9"),
        ({"accepts": frozenset({"other"})}, "its requirements and amounts choose among the environments of its VO"),
        ({}, "it asks for nothing that excludes an environment of its VO: other, the smallest, comes first"),
    ],
)
def test_why_says_who_chose_and_shows_every_environment_of_the_vo_with_its_verdict(asked, says):
    told = why(a_cluster(**asked), policy=a_policy(an_environment(), an_environment("other", vcpus=1)))
    assert told.details[-1].startswith(says)
    assert set(told.matched) | set(told.refused) == {"el9", "other"}
