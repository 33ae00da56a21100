"""What the daemon shows and says: metrics with bounded labels, health, a log without secrets."""

import io
import json
import logging
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import anyio
import pytest
import structlog
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from environments.environment import VO, Environment
from environments.matching import Catalogue, Requirements
from environments.reason import Reason
from scheduler.availability.timelines.prepared import prepare
from scheduler.commands import daemon
from scheduler.daemon import log
from scheduler.daemon.changes import Changes
from scheduler.daemon.listening import Web
from scheduler.daemon.metrics import METRICS, Metrics
from scheduler.daemon.paged import Paged
from scheduler.daemon.promised import Promised
from scheduler.daemon.telling import Teller
from scheduler.daemon.web import Pages, Shown
from scheduler.decide.plan import decide
from scheduler.journal import outbox, tables
from scheduler.journal.journal import Journal, JournalError
from scheduler.journal.records import Outcome
from scheduler.loop.engine import Cycle
from scheduler.loop.under_way import ActionResult
from scheduler.model.actions import Boot, Plan, Verdict
from scheduler.model.instants import SECOND
from scheduler.model.observation import Observation
from scheduler.model.policy import Policy
from scheduler.model.ports import SourceError
from scheduler.model.queues import QueueReading, RequestCluster, RunningJob
from scheduler.model.readings import Unanswered
from scheduler.model.workers import Worker
from scheduler.model.workers import WorkerState as S
from scheduler.oncall.hours import ResponseClass, ResponseTimes
from scheduler.oncall.incident import IncidentEvent, Level, Quiet, Rules, What
from scheduler.oncall.rotation import Roster
from scheduler.publish.paging import PagingRules, deliver, happened
from tests.pure import report_sample
from tests.pure.builders import a_cluster, a_host, a_policy, a_worker, an_observation

NOW = 10_000.0
JOB = RunningJob("4711.0", "atlas", "anna")
WORKER = Worker(
    "el9-1", 1, "el9", "1", "atlas", "pool", "h1", 2, 4096, S.BUSY, NOW - 90, NOW - 30, jobs=(JOB,), registered_at=NOW - 40
)
CLUSTER = RequestCluster("pool:1", "pool", "atlas", Requirements(), idle=7, running=1, held=2, example_job="4712.0")
POLICY = Policy(
    "hill", Catalogue({"el9": Environment(name="el9", vo="atlas", virtualization="lxc")}, {"atlas": VO(name="atlas")}), {}
)


def cycle(**changes):
    queues = {"pool": QueueReading("pool", NOW - 5, (CLUSTER,), (), complete=False)}
    hosts = {"h1": Unanswered("h1", "read: no route to host", NOW, NOW - 120)}
    observation = Observation(NOW, queues, hosts, (WORKER, replace(WORKER, name="el9-2", state=S.GONE)))
    waits = Verdict("pool:1", (Reason("no-room", "no host has room"),))
    boot = Boot("el9-3", 3, "el9", "1", "atlas", "pool", "h1", Reason("demand", "7 jobs wait"))
    made = Cycle(
        observation,
        Plan(NOW, (), clusters={"pool:1": waits}),
        (ActionResult(boot, Outcome.FAILED, "no route"),),
        0.2,
        phases={"read": 0.1, "decide": 0.02, "act": 0.08},
        illegal=(("el9-9", S.GONE, S.IDLE),),
    )
    return replace(made, **changes)


def samples(metrics):
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_cycle_is_counted():
    metrics = Metrics()
    coming = replace(WORKER, name="el9-4", state=S.BOOTING, registered_at=None, requested_at=NOW - 20)
    metrics.count(cycle(observation=replace(cycle().observation, workers=(coming,))))
    metrics.count(cycle(observation=replace(cycle().observation, workers=(WORKER, replace(coming, registered_at=NOW - 5)))))
    found = samples(metrics)
    assert found["ambienti_leading", ()] == 1
    assert found["ambienti_workers", (("environment", "el9"), ("state", "busy"))] == 1
    assert found["ambienti_jobs_seen", (("status", "idle"), ("vo", "atlas"))] == 7
    assert not [name for name, _ in found if name == "ambienti_jobs"], "the pool told of a part only"
    assert found["ambienti_waiting_jobs", (("reason", "no-room"), ("vo", "atlas"))] == 7
    assert found["ambienti_source_up", (("kind", "host"), ("source", "h1"))] == 0
    assert found["ambienti_source_age_seconds", (("kind", "host"), ("source", "h1"))] == 120
    assert found["ambienti_source_doubted", (("kind", "batch"), ("source", "pool"))] == 1
    assert found["ambienti_actions_total", (("action", "boot"), ("outcome", "failed"))] == 2
    assert found["ambienti_boot_seconds_sum", (("environment", "el9"),)] == 15
    assert found["ambienti_illegal_steps_total", ()] == 2
    assert found["ambienti_cycles_total", (("outcome", "done"),)] == 2


def test_jobs_that_have_room_are_not_counted_among_those_that_have_none():
    observation = an_observation(a_cluster(idle=10), workers=[a_worker(state=S.BOOTING)], hosts=[a_host(cpus=2)])
    plan = decide(observation, a_policy())
    assert [reason.code for reason in plan.clusters["pool:1"].reasons] == ["farm-full", "booting"]
    metrics = Metrics()
    metrics.count(Cycle(observation, plan, (), 0.1))
    waiting = {dict(of)["reason"]: count for (name, of), count in samples(metrics).items() if name == "ambienti_waiting_jobs"}
    assert waiting == {"farm-full": 8, "booting": 2}


def test_of_jobs_that_nobody_tells_of_there_is_no_number_and_of_a_vo_without_jobs_there_is_zero():
    def jobs(observation):
        metrics = Metrics()
        metrics.count(Cycle(observation, decide(observation, a_policy()), (), 0.1))
        return samples(metrics)

    idle = "ambienti_jobs", (("status", "idle"), ("vo", "atlas"))
    assert jobs(an_observation())[idle] == 0
    silent = jobs(an_observation(queues=[Unanswered("pool", "connection refused", NOW)]))
    assert not [name for name, _ in silent if name in {"ambienti_jobs", "ambienti_jobs_age_seconds"}]


def test_beside_the_workers_that_are_known_stands_how_many_hosts_may_run_others():
    for unheard, count in (((), 0), (("h7", "h8"), 2)):
        metrics = Metrics()
        metrics.count(cycle(observation=replace(cycle().observation, unheard=unheard)))
        assert samples(metrics)["ambienti_hosts_unheard", ()] == count


@pytest.fixture
def journal():
    made = Journal("sqlite://", now=NOW)
    yield made
    made.close()


def test_every_metric_that_is_shown_is_described_and_the_other_way_round(journal):
    metrics = Metrics()
    metrics.registry.register(Promised(lambda: prepare(report_sample.history()), lambda: 0.0))
    metrics.registry.register(Paged(journal, lambda: NOW))
    coming = replace(WORKER, registered_at=None)
    metrics.count(cycle(observation=replace(cycle().observation, workers=(coming,))))
    whole = replace(cycle().observation.queues["pool"], complete=True)
    metrics.count(cycle(observation=replace(cycle().observation, queues={"pool": whole})))
    metrics.count_failed()
    metrics.count_ended(1)
    suffixes = ("_created", "_bucket", "_sum", "_count")
    names = {name for name, _ in samples(metrics) if not name.endswith("_created")}
    shown = {name.removesuffix(next((s for s in suffixes if name.endswith(s)), "")) for name in names}
    assert shown == {metric.name for metric in METRICS}


def test_labels_are_bounded_no_job_no_count_no_worker_is_one():
    assert {label for metric in METRICS for label in metric.labels} <= {
        *("environment", "state", "vo", "status", "reason", "kind", "source", "outcome", "phase", "action"),
        *("object", "window", "objective", "verdict", "class"),
    }
    metrics = Metrics()
    metrics.count(cycle())
    values = {value for _, labels in samples(metrics) for _, value in labels}
    assert not {value for value in values if "4711" in value or "4712" in value or value.startswith("el9-")}


ONE_LEVEL = Rules(ResponseTimes("UTC"), Roster({}), (Level("anna", 60 * SECOND),), reopen=60 * SECOND)
BEGUN = round(NOW) * SECOND


def paged(journal, minutes=0.0):
    metrics = Metrics()
    metrics.registry.register(Paged(journal, lambda: NOW + 60 * minutes))
    found = {}
    for (name, labels), value in samples(metrics).items():
        found.setdefault(name.removeprefix("ambienti_"), {})[tuple(value for _, value in labels)] = value
    return found


def test_incidents_that_are_not_over_are_gauges_by_state_and_class(journal):
    """1970-01-01 was a Thursday: 02:46 lies outside business hours. Without any incident each count is 0, not absent."""
    other, office = ResponseClass.OTHER.value, ResponseClass.BUSINESS.value
    assert set(paged(journal)["incidents"].values()) == {0}
    assert len(paged(journal)["incidents"]) == 7
    paging_rules = PagingRules("hill", "UTC", replace(ONE_LEVEL, quiet=(Quiet(frozenset({"se1"}), 0, BEGUN * 2),)), {})
    happened(journal, [IncidentEvent(BEGUN, What.BAD, name) for name in ("ce1", "ce2", "se1")], paging_rules, BEGUN)
    happened(journal, [IncidentEvent(BEGUN, What.ACKNOWLEDGED, incident=2, by="anna")], paging_rules, BEGUN)
    found = paged(journal)["incidents"]
    assert {labels: count for labels, count in found.items() if count} == {
        (other, "open"): 1,
        (other, "acknowledged"): 1,
        ("none", "quiet"): 1,
    }
    assert found[office, "open"] == 0
    assert paged(journal, 59)["incidents_breached"] == {(): 0}
    assert paged(journal, 61)["incidents_breached"] == {(): 1}
    happened(journal, [IncidentEvent(BEGUN, What.RECOVERED, "ce1")], paging_rules, BEGUN)
    assert paged(journal)["incidents"][other, "open"] == 0


def test_notices_that_nobody_takes_are_gauges(journal):
    class Wall:
        def send(self, _):
            raise SourceError("mail", "send", "refused")

    assert paged(journal)["notice_wait_seconds"] == {(): 0}
    paging_rules = PagingRules("hill", "UTC", ONE_LEVEL, {"anna": ("file:a", "file:b")})
    happened(journal, [IncidentEvent(BEGUN, What.BAD, "ce1")], paging_rules, BEGUN)
    assert paged(journal)["notices"] == {("waiting",): 2, ("failing",): 0, ("given-up",): 0}
    assert deliver(journal, lambda *_: Wall(), lambda: BEGUN) == 0
    assert paged(journal, 1)["notices"] == {("waiting",): 0, ("failing",): 2, ("given-up",): 0}
    assert paged(journal, 1)["notice_wait_seconds"] == {(): 60}
    assert deliver(journal, lambda *_: Wall(), lambda: BEGUN + outbox.GIVE_UP) == 0
    assert paged(journal, 24 * 60)["notices"] == {("waiting",): 0, ("failing",): 0, ("given-up",): 2}
    assert paged(journal, 48 * 60)["notices"]["given-up",] == 0


def test_a_journal_that_cannot_be_read_shows_no_incident_gauges_and_is_told(journal, capsys):
    with journal.write("test") as connection:
        tables.incidents.drop(connection)
    assert not {"incidents", "notices"} & paged(journal).keys()
    assert "no such table: incidents" in capsys.readouterr().out


def test_availability_and_objectives_are_gauges_of_what_is_promised():
    metrics = Metrics()
    metrics.registry.register(Promised(lambda: prepare(report_sample.history()), lambda: 0.0))
    found, report = samples(metrics), report_sample.sample()
    named = {dict(labels)["object"] for name, labels in found if name == "ambienti_availability_ratio"}
    assert named == {"farm", "gratia", "gums"}
    (year,) = (row for row in report.rows["gratia"] if row.window == "year")
    assert found["ambienti_availability_ratio", (("object", "gratia"), ("window", "year"))] == pytest.approx(
        float(Fraction(year.figure))
    )
    for one in report.standings:
        name = one.objective.name
        assert found["ambienti_objective_verdict", (("objective", name), ("verdict", one.verdict.value))] == 1
        left = found["ambienti_objective_budget_left_seconds", (("objective", name),)]
        assert left == pytest.approx(float(one.budget.left) / 1e6)


def test_an_objective_that_does_not_apply_has_no_budget_gauge():
    history = report_sample.history()
    history = replace(history, objectives=tuple(replace(one, applies=()) for one in history.objectives))
    metrics = Metrics()
    metrics.registry.register(Promised(lambda: prepare(history), lambda: 0.0))
    found = samples(metrics)
    assert history.objectives
    for one in history.objectives:
        assert found["ambienti_objective_verdict", (("objective", one.name), ("verdict", "not applicable"))] == 1
        assert ("ambienti_objective_budget_left_seconds", (("objective", one.name),)) not in found


def test_availability_is_measured_once_a_minute_and_a_journal_that_fails_shows_nothing():
    now, asked = [0.0], []

    def load():
        asked.append(now[0])
        if now[0] > 100:
            raise JournalError("the disk is full")
        return prepare(report_sample.history())

    promised = Promised(load, lambda: now[0])
    assert list(promised.collect())
    now[0] = 59
    assert list(promised.collect())
    assert asked == [0]
    now[0] = 120
    assert list(promised.collect()) == []


def test_a_daemon_that_waits_shows_that_and_no_old_gauges():
    metrics = Metrics()
    metrics.count(cycle())
    metrics.count(cycle(leading=False))
    found = samples(metrics)
    assert found["ambienti_leading", ()] == 0
    assert not [name for name, _ in found if name == "ambienti_workers"]


# --- health and pages -------------------------------------------------------------------------------------------------


def ask(shown, path, method="GET", *, local=True):
    """Ask the real server, through its socket (as a command on the machine does) or over the network."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "daemon.sock"
        web = Web("127.0.0.1:0", shown, Metrics(), local=file)
        try:
            answer = daemon.ask(file if local else f"http://{web.address}", path, seconds=10, method=method)
        finally:
            web.close()
    return answer.code, answer.content


def test_health_is_good_while_cycles_end_in_time_whatever_the_sources_do():
    shown = Shown(30, lambda: 1000.0, cycle(), POLICY, ended_at=990.0)
    status, body = ask(shown, "/healthz")
    told = json.loads(body)
    assert (status, told["status"], told["last_cycle_age_seconds"]) == (200, "ok", 10.0)
    assert told["sources"]["h1"] == {"answers": False, "reason": "read: no route to host"}
    told = json.loads(ask(shown, "/healthz", local=False)[1])
    assert told["sources"]["h1"] == {"answers": False}, "reasons are not for everybody"


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (Shown(30, lambda: 1000.0), "starting"),
        (Shown(30, lambda: 1000.0, cycle(), POLICY, ended_at=800.0), "failing"),
        (Shown(30, lambda: 1000.0, cycle(), POLICY, ended_at=990.0, problem="journal: disk full"), "failing"),
    ],
)
def test_health_is_bad_before_the_first_cycle_after_a_late_one_and_after_a_failed_one(shown, status):
    answered, body = ask(shown, "/healthz")
    assert (answered, json.loads(body)["status"]) == (503, status)


def test_the_pages_answer_and_nothing_can_be_changed():
    shown = Shown(30, lambda: 1000.0, cycle(), POLICY, ended_at=990.0)
    assert json.loads(ask(shown, "/snapshot")[1])["observation"]["now"] == NOW
    assert ask(shown, "/metrics", local=False)[0] == 200
    assert ask(shown, "/", local=False)[0] == 200
    assert ask(shown, "/other", local=False)[0] == 404
    assert ask(shown, "/snapshot", "POST")[0] == 405
    assert ask(shown, "/status", "POST", local=False)[0] == 404, "there is no door"
    assert ask(shown, "/snapshot", local=False)[0] == 401, "it names users"
    shown.cycle = cycle(leading=False)
    assert b"another daemon holds the lease of the journal: ask that one" in ask(shown, "/snapshot")[1]


def test_there_are_two_forms_of_metrics_whatever_version_is_asked_for():
    shown = Shown(30, lambda: 1000.0, cycle(), POLICY, ended_at=990.0)
    pages = Pages(shown, Metrics(), None)
    asked = [
        "",
        "*/*",
        "text/plain;version=x",
        *(f"Application/OpenMetrics-text; version={v}" for v in ("x", "1.0.0", "1.0.7")),
    ]

    async def ask_all():
        for accept in asked:
            scope = {"type": "http", "headers": [(b"accept", accept.encode())]}
            yield (await pages.metrics(Request(scope))).media_type

    async def collected():
        return {one async for one in ask_all()}

    assert len(anyio.run(collected)) == 2


# --- the log ----------------------------------------------------------------------------------------------------------

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture
def logged():
    root, before, level = logging.getLogger(), list(logging.getLogger().handlers), logging.getLogger().level
    yield
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_secrets_never_reach_the_log(logged):
    out = io.StringIO()
    log.configure("json", stream=out)
    logger = structlog.get_logger("ambienti")
    logger.info("boot", worker="el9-1", token="abc", files={"x": 1}, key=b"\x00secret", url="postgresql://me:sesame@db/x")
    logger.error("journal", problem=f"cannot use {JWT}", why="amqp://u:p4ss@h refused")
    text = out.getvalue()
    for secret in ("abc", "sesame", "p4ss", "secret\\u", JWT):
        assert secret not in text
    first = json.loads(text.splitlines()[0])
    assert (first["event"], first["worker"], first["level"], first["url"]) == (
        "boot",
        "el9-1",
        "info",
        "postgresql://me:***@db/x",
    )


def test_foreign_libraries_speak_in_the_same_form(logged):
    out = io.StringIO()
    log.configure("json", stream=out)
    logging.getLogger("some.library").warning("lost connection to %s", "mysql://a:b@c")
    logging.getLogger("apscheduler.scheduler").warning("skipped")
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in told] == [("lost connection to mysql://a:***@c", "warning")]


def test_the_human_form_is_one_plain_line_where_there_is_no_terminal(logged):
    out = io.StringIO()
    log.configure("human", stream=out)
    structlog.get_logger("ambienti").info("boot", worker="el9-1", why="7 jobs wait")
    (line,) = out.getvalue().splitlines()
    assert "\x1b" not in line
    assert "worker=el9-1" in line
    structlog.get_logger("ambienti").debug("cycle")
    assert len(out.getvalue().splitlines()) == 1


SECRETS = {
    "postgresql://me:ses/ame@p1@db/x": "ses/ame",
    "https://h/hook?password=sesame&x=1": "sesame",
    "https://h/hook?x=1;access_token=sesame": "sesame",
    "Authorization: Bearer c2VzYW1lCg-_=": "c2VzYW1l",
}


@pytest.mark.parametrize("form", ["human", "json"])
@pytest.mark.parametrize(("text", "secret"), SECRETS.items())
def test_a_secret_is_hidden_wherever_it_stands_in_a_line_its_nested_values_and_its_traceback(logged, form, text, secret):
    out = io.StringIO()
    log.configure(form, stream=out)
    logger = structlog.get_logger("ambienti")
    logger.info("one", deep={"a": [{"b": text}], "token": {"x": "abcdefgh"}}, error=ValueError(text), why=text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("two")
        logging.getLogger("foreign").exception("three %s", text, extra={"told": text})
    written = out.getvalue()
    assert secret not in written
    assert "abcdefgh" not in written
    assert written.count("Traceback") == 2
    assert "told" in written


def test_a_line_for_people_moves_no_cursor_and_begins_no_other_line(logged):
    out = io.StringIO()
    log.configure("human", stream=out)
    logger = structlog.get_logger("ambienti")
    hostile = "x\x1b[2J\n2026-01-01 [error] forged \u202e\x9b"
    logger.warning(hostile, why=hostile, deep={"a": hostile})
    logging.getLogger("foreign").warning(hostile)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_what_goes_wrong_again_and_again_is_one_line_and_its_end_another(logged):
    out = io.StringIO()
    log.configure("json", stream=out)
    changes = Changes(structlog.get_logger("ambienti"))
    for _ in range(5):
        changes.wrong("journal", "disk full")
    changes.wrong("journal", "locked")
    changes.right("journal")
    changes.right("journal")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("journal", "error"),
        ("journal", "error"),
        ("journal: all is well again", "info"),
    ]


def test_forty_hosts_that_fall_silent_together_are_one_line_and_so_is_their_return(logged):
    out = io.StringIO()
    log.configure("json", stream=out)
    teller = Teller(structlog.get_logger("ambienti"), "me")
    names = [f"h{n:02d}" for n in range(40)]
    teller.tell(cycle(observation=Observation(NOW, {}, {name: Unanswered(name, "no route", NOW) for name in names}, ())))
    teller.tell(cycle(observation=Observation(NOW, {}, {name: a_host(name) for name in names}, ())))
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["count"] for one in told if one["event"] == "no answer"] == [40]
    assert [one["count"] for one in told if one["event"] == "answer again"] == [40]


def test_a_source_that_is_silent_for_another_reason_is_told_again_but_not_for_another_number(logged):
    out = io.StringIO()
    log.configure("json", stream=out)
    teller = Teller(structlog.get_logger("ambienti"), "me")
    for reason in ("no answer for 30 s", "no answer for 60 s", "connection refused"):
        silent = {name: Unanswered(name, reason, NOW) for name in ("h2", "h1")}
        teller.tell(cycle(observation=Observation(NOW, {}, silent, ())))
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(one["source"], one["reason"]) for one in told if one["event"] == "no answer"] == [
        ("h1", "no answer for 30 s"),
        ("h2", "no answer for 30 s"),
        ("h1", "connection refused"),
        ("h2", "connection refused"),
    ]
