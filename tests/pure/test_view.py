"""The live view and the tables: true numbers, and no more lines than the terminal has."""

import io
from dataclasses import replace

import pytest
from builders import (
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
from rich.console import Console

from environments.reason import Reason
from scheduler.decide.explanation import Explanation
from scheduler.decide.plan import decide
from scheduler.model.actions import Boot, Drain, Plan, Verdict
from scheduler.model.queues import JobCount, JobCounts
from scheduler.model.workers import WorkerState
from scheduler.show import rows, sources_view, view
from scheduler.show import terminal as writing
from scheduler.show.job_numbers import UNMAPPED, JobNumbers
from scheduler.show.live_view import LiveView

REASON = Reason("queue", "20 jobs of atlas wait")


def console(width=120, height=40, *, terminal=True):
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, _environ={})


def printed(out, what):
    out.print(what)
    return out.file.getvalue()


def a_large_farm(hosts=200):
    environments = [an_environment(f"e{n}", vo=f"vo{n % 4}") for n in range(8)]
    policy = a_policy(*environments, hosts=tuple(f"h{n}" for n in range(hosts)))
    workers = [
        a_worker(f"e{n % 8}-{n}", WorkerState.BUSY, environment=f"e{n % 8}", vo=f"vo{n % 4}", host=f"h{n}")
        for n in range(hosts)
    ]
    clusters = [a_cluster(f"pool:{n}", idle=1000, vo=f"vo{n}") for n in range(4)]
    observation = an_observation(*clusters, workers=workers, hosts=[a_host(f"h{n}") for n in range(hosts)])
    return observation, policy, decide(observation, policy)


def test_the_live_view_fits_the_terminal():
    for height in (30, 50):
        out = console(height=height)
        with LiveView(out, decisions=50) as live:
            observation, policy, plan = a_large_farm()
            live.show(observation, policy, plan)
            picture = out.render_lines(live.picture(observation, policy, plan))
        assert len(picture) <= height


@pytest.mark.parametrize("width", [80, 109, 110, 160])
def test_no_column_of_the_live_view_is_cut(width):
    out = console(width=width, terminal=False)
    observation, policy, _ = a_large_farm()
    text = printed(out, LiveView(console(width=width)).picture(observation, policy, Plan(NOW, ())))
    assert "…" not in text
    assert "waiting" in text


def test_a_batch_system_that_the_site_has_no_longer_is_shown_as_long_as_workers_of_it_live():
    observation = an_observation(workers=[a_worker(batch_system="old")])
    (row,) = [row for row in rows.source_rows(observation) if row.source == "old"]
    assert (row.state, row.says) == ("removed", "1 worker left: put it back into the site file to have them drained")
    (line,) = [
        line
        for line in printed(console(width=160, terminal=False), view.status(observation, a_policy())).splitlines()
        if line.startswith("old ")
    ]
    assert line.split()[:5] == ["old", "batch", "system", "never", "removed"]


def test_a_host_taken_out_of_the_site_is_shown_while_it_has_workers_with_the_way_out():
    observation = an_observation(workers=[a_worker(host="h9"), a_worker("el9-2", host="h9"), a_worker("el9-3")])
    (row,) = [row for row in rows.source_rows(observation) if row.source == "h9"]
    assert (row.kind, row.state) == ("host", "removed")
    assert row.says == "2 workers left: put it back into the site file, or `ambienti host forget h9` if it is off for good"


def test_a_source_that_may_answer_yet_is_slow_and_not_silent():
    observation = an_observation(hosts=[replace(silent("h1"), pending=True), silent("h2")])
    told = {row.source: row.state for row in rows.source_rows(observation) if row.kind == "host"}
    assert told == {"h1": "slow", "h2": "silent"}


def status_of(observation, policy=None):
    return printed(console(width=200, terminal=False), view.status(observation, policy or a_policy(), width=200))


def line_of(text, first):
    return next(line for line in text.splitlines() if line.startswith(first))


def test_the_jobs_of_a_silent_batch_system_are_unknown_and_not_none():
    observation = an_observation(queues=[replace(silent(), answered_at=None)])
    row = rows.vo_rows(observation, a_policy())[0]
    assert (row.idle, row.running, row.held, row.oldest_wait_seconds, row.last) == (None, None, None, None, None)
    assert rows.environment_rows(observation, a_policy())[0].wanted is None
    text = status_of(observation)
    assert line_of(text, "atlas").split()[1:5] == ["?", "?", "?", "?"]
    picture = printed(
        console(width=160, terminal=False), LiveView(console(width=160)).picture(observation, a_policy(), Plan(NOW, ()))
    )
    assert line_of(picture, "atlas").split()[1:3] == ["?", "?"]


def test_what_a_silent_batch_system_told_last_is_shown_with_its_age():
    last = JobCounts(NOW - 84, (JobCount("atlas", "el9", 20, 3, 1),))
    observation = an_observation(queues=[silent()], last_jobs={POOL: last})
    row = rows.vo_rows(observation, a_policy())[0]
    assert (row.idle, row.last) == (None, JobNumbers(20, 3, 1, 84.0))
    text = status_of(observation)
    assert "84 s ago: 20 waiting, 3 running, 1 held" in line_of(text, "atlas")
    assert "84 s ago: 20 waiting, 3 running, 1 held" in line_of(text, POOL)


def test_with_one_of_two_batch_systems_silent_there_are_at_least_the_jobs_of_the_other():
    queues = [a_queue(a_cluster(idle=20, running=2), source="one"), silent("two")]
    last = {"two": JobCounts(NOW - 84, (JobCount("atlas", "", 5, 0, 0),))}
    row = rows.vo_rows(an_observation(queues=queues, last_jobs=last), a_policy())[0]
    assert (row.idle, row.known, row.last) == (None, JobNumbers(20, 2, 0), JobNumbers(25, 2, 0, 84.0))
    assert line_of(status_of(an_observation(queues=queues)), "atlas").split()[1:4] == ["20+", "2+", "?"]


@pytest.mark.parametrize("doubt", [{"complete": False}, {"suspect": True}])
def test_the_jobs_that_a_doubted_answer_does_not_show_are_unknown(doubt):
    observation = an_observation(queues=[a_queue(**doubt)])
    assert rows.vo_rows(observation, a_policy())[0].idle is None


def test_the_jobs_of_a_batch_system_that_is_only_late_are_those_it_told_last():
    last = {POOL: JobCounts(NOW - 10, (JobCount("atlas", "", 20, 3, 1),))}
    observation = an_observation(queues=[replace(silent(), pending=True)], last_jobs=last)
    row = rows.vo_rows(observation, a_policy())[0]
    assert (row.idle, row.running, row.held) == (20, 3, 1)


def test_of_a_silent_host_nothing_is_said_but_what_the_journal_knows():
    row = rows.host_rows(an_observation(workers=[a_worker()], hosts=[silent("h1")]), a_policy())[0]
    read = (row.cpus, row.used_cpus, row.memory_mib, row.used_memory_mib, row.strangers)
    assert (read, row.workers) == ((None,) * 5, 1)
    line = line_of(status_of(an_observation(workers=[a_worker()], hosts=[silent("h1")])), "h1    ??")
    assert line.split()[2:6] == ["?", "?/?", "1", "?"]


def test_what_hosts_have_that_were_never_heard_is_unknown_and_not_none():
    observation, policy = an_observation(hosts=[replace(silent("h1"), answered_at=None)], unheard=("h1",)), a_policy()
    told = rows.status_data(observation, policy, decide(observation, policy))
    (vo,), (environment,), (host,) = told["vos"], told["environments"], told["hosts"]
    assert [vo[name] for name in ("workers", "cpus", "memory_mib")] == [None, None, None]
    assert [environment[name] for name in ("in_flight", "idle", "busy", "draining", "other")] == [None] * 5
    assert host["workers"] is None
    assert "atlas holds ? of ? cores and ? of ? MiB (dominant share ?" in vo["says"]
    text = status_of(observation)
    assert line_of(text, "atlas").split()[5:7] == ["?", "?"]
    assert line_of(text, "el9").split()[4:9] == ["?"] * 5
    assert line_of(text, "h1    ??").split()[2:6] == ["?", "?/?", "?", "?"]
    live = LiveView(console(width=160)).picture(observation, policy, Plan(NOW, ()))
    assert line_of(printed(console(width=160, terminal=False), live), "atlas").split()[3:5] == ["?", "?"]


def test_beside_a_host_never_heard_there_are_at_least_the_workers_that_are_known():
    observation = an_observation(
        workers=[a_worker()], hosts=[a_host(cpus=32), replace(silent("h2"), answered_at=None)], unheard=("h2",)
    )
    policy = a_policy(hosts=("h1", "h2"))
    (vo,) = rows.vo_rows(observation, policy, decide(observation, policy))
    assert (vo.workers, vo.known_workers, vo.known_cpus) == (None, 1, 2)
    assert "atlas holds at least 2 of at least 32 cores" in vo.says
    assert line_of(status_of(observation, policy), "atlas").split()[5:7] == ["1+", "2+"]


def test_forty_silent_hosts_are_one_line_in_every_table_and_all_of_them_with_all():
    names = [f"h{n:02d}" for n in range(41)]
    observation = an_observation(hosts=[a_host("h00"), *(silent(name) for name in names[1:])])
    policy = a_policy(hosts=names)
    text = status_of(observation, policy)
    assert len([line for line in text.splitlines() if "40 hosts" in line]) == 2
    assert "h01, h02, h03 and 37 more: connection refused" in text
    assert len(text.splitlines()) < 20
    whole = printed(console(width=200, terminal=False), view.status(observation, policy, everything=True, width=200))
    assert "h17" in whole
    (said,) = sources_view.unheard(observation)
    assert said.startswith("40 hosts do not answer")


def test_workers_of_a_silent_batch_system_are_shown_as_last_seen():
    observation = an_observation(workers=[a_worker(state=WorkerState.BUSY), a_worker("el9-2")], queues=[silent()])
    assert [(row.state, row.known, row.free_cpus) for row in rows.worker_rows(observation)] == [
        ("busy", False, None),
        ("idle", False, None),
    ]
    text = status_of(observation)
    assert "busy, as last seen" in line_of(text, "el9-1")
    assert "2 of them as last seen: their batch system is silent" in line_of(text, "el9 ")


@pytest.mark.parametrize("state", ["ok", "carried over", "partial", "suspect", "slow", "removed", "silent"])
def test_every_state_of_a_source_stands_there_in_words(state):
    row = rows.SourceRow("pool", "batch system", 1.0, state)
    assert state in printed(console(width=160, terminal=False), sources_view.source_table([row]))


def test_a_plan_made_while_a_source_is_silent_says_what_it_does_not_know():
    text = printed(console(width=160, terminal=False), view.plan_lines(Plan(NOW, ()), an_observation(queues=[silent()])))
    assert "nothing to do as far as is known" in text
    assert "pool has not answered for 60 s (connection refused): its jobs are not known" in text


def test_guarantees_larger_than_the_farm_are_told_once_all_hosts_have_told_their_cores():
    policy = a_policy(vos=(a_vo("atlas", guarantee_cpus=500), a_vo("cms", guarantee_cpus=2)))
    says = {row.vo: row.says for row in rows.vo_rows(an_observation(hosts=[a_host(cpus=32)]), policy)}
    assert says == {
        "atlas": "guarantees 500 cores, the farm has 32",
        "cms": "all guarantees together are 502 cores, the farm has 32",
    }
    assert [row.says for row in rows.vo_rows(an_observation(hosts=[silent("h1")]), policy)] == ["", ""]


def test_a_ceiling_larger_than_the_farm_is_told_as_a_guarantee_is():
    policy = a_policy(vos=(a_vo("atlas", ceiling_cpus=33), a_vo("cms", ceiling_cpus=32), a_vo("lhcb")))
    says = {row.vo: row.says for row in rows.vo_rows(an_observation(hosts=[a_host(cpus=32)]), policy)}
    assert says == {"atlas": "may have 33 cores, the farm has 32", "cms": "", "lhcb": ""}


def test_the_last_decisions_are_shown_newest_first_with_their_reasons():
    live = LiveView(console(), decisions=2)
    for serial in (1, 2, 3):
        boot = Boot(f"el9-{serial}", serial, "el9", "1", "atlas", "pool", "h1", REASON)
        live.show(an_observation(), a_policy(), Plan(NOW, (boot,)))
    text = printed(console(), live.picture(an_observation(), a_policy(), Plan(NOW, ())))
    assert "el9-1" not in text
    assert text.index("el9-3") < text.index("el9-2")
    assert "20 jobs of atlas wait" in text


def test_without_a_terminal_each_decision_is_one_plain_line():
    out = console(terminal=False)
    with LiveView(out) as live:
        live.show(an_observation(), a_policy(), Plan(NOW, (Drain("el9-1", "idle", REASON),)))
    assert out.file.getvalue() == "    0.0 s  drain        el9-1  20 jobs of atlas wait\n"


@pytest.mark.parametrize("width", [80, 100, 130, 160])
def test_status_and_what_waits_are_whole_in_any_terminal(width):
    policy = a_policy(an_environment("atlas-el9-bigmem"), vos=(a_vo("atlas", ceiling_cpus=1000, guarantee_cpus=200),))
    workers = [a_worker("atlas-el9-bigmem-17", WorkerState.BUSY, environment="atlas-el9-bigmem"), a_worker(batch_system="old")]
    observation = an_observation(
        a_cluster(idle=12345, cpus=64, example_job="12345.0"), workers=workers, hosts=[a_host(), silent("h2")]
    )
    plan = decide(observation, policy)
    out = console(width=width, terminal=False)
    out.print(view.status(observation, policy, plan, width=width))
    row = observation.queues["pool"].clusters
    text = printed(out, view.waiting(row, plan, width=width))
    assert "…" not in text
    said = " ".join(text.split())
    for whole in (
        "longest wait",
        "guarantee",
        "atlas-el9-bigmem-17",
        "12345.0",
        "asks for 64 cores, a worker of atlas-el9-bigmem has 2",
    ):
        assert whole in said
    assert "weight 1, guarantee 200, ceiling 1000" in said
    assert max(map(len, text.splitlines())) <= width


def test_of_a_large_farm_those_hosts_are_shown_that_have_something_to_say():
    observation, policy, plan = a_large_farm()
    observation.hosts["h150"] = silent("h150")
    text = printed(console(width=160, terminal=False), view.status(observation, policy, plan))
    assert "h150" in text
    assert "and 160 more" in text
    assert "200 workers (--all lists them)" in text
    everything = printed(console(width=160, terminal=False), view.status(observation, policy, plan, everything=True))
    assert "h199" in everything
    assert "e7-199" in everything


def test_workers_of_an_environment_that_is_no_longer_defined_are_shown():
    worker = a_worker("old-1", environment="old")
    (row,) = [r for r in rows.environment_rows(an_observation(workers=[worker]), a_policy()) if r.environment == "old"]
    assert (row.defined, row.idle) == (False, 1)


def test_jobs_of_unknown_vos_and_unmapped_jobs_are_counted():
    observation = an_observation(a_cluster("pool:1", idle=3, vo="other"), a_cluster("pool:2", idle=2, vo=""))
    assert {row.vo: row.idle for row in rows.vo_rows(observation, a_policy(vos=(a_vo(),)))} == {
        "atlas": 0,
        UNMAPPED: 2,
        "other": 3,
    }


def test_the_reason_of_a_verdict_stands_in_its_row():
    plan = Plan(NOW, (), vos={"atlas": Verdict("atlas", (REASON,))})
    assert rows.vo_rows(an_observation(), a_policy(), plan)[0].says == "20 jobs of atlas wait"


def test_strangers_and_workers_fill_a_host():
    host = a_host("h1", a_domain(memory_mib=1000, cpus=3), memory_mib=10000, cpus=10)
    observation = an_observation(workers=[a_worker()], hosts=[host], strangers=(("h1", "stranger"),))
    (row,) = rows.host_rows(observation, a_policy())
    assert (row.used_memory_mib, row.used_cpus, row.workers, row.strangers) == (5096, 5, 1, 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (176400, "2 d 1 h"),
        (172800, "2 d"),
    ],
)
def test_time_spans_are_written_as_people_do(seconds, text):
    assert writing.duration(seconds) == text


def test_a_bar_shows_how_full_something_is():
    assert writing.bar(5, 10).plain == "█████░░░░░"
    assert writing.bar(15, 10).plain == "██████████"
    assert writing.bar(0, None).plain == "??????????"


def test_why_boots_fail_stands_in_plan_and_status_and_so_does_the_breaker():
    cause = "h1: boot el9-7: image.path: there is no such file /srv/el9.qcow2"
    for history, said in (
        ([an_outcome(cause=cause)], "the last boot of el9 failed"),
        ([an_outcome(cause=cause, ago=100 - n, n=n) for n in range(3)], "next probe boots at 13:50:02 UTC"),
    ):
        observation, policy = an_observation(a_cluster(), boots=tuple(history)), a_policy()
        plan = decide(observation, policy)
        for shown in (view.plan_lines(plan), view.status(observation, policy, plan, width=400)):
            text = printed(console(width=400, terminal=False), shown)
            assert cause in text
            assert said in text
    assert "(breaker open since 13:45:02 UTC)" in text


def test_instants_among_the_numbers_of_an_answer_are_clock_times():
    told = Explanation("job 1.0", "breaker-open", "it waits", missing={"until": NOW + 200.5, "failures": 3})
    text = printed(console(terminal=False), view.explanation(told, clock=lambda at: f"clock {at:.0f}"))
    assert f"until: clock {NOW + 200.5:.0f}" in text
    assert "failures: 3" in text
