"""Every command, before a journal and a snapshot full of hostile texts: text stays text, and nothing moves a cursor.

Old journals may hold what no door lets in any more. A command that is new must be given its arguments here.
"""

import csv
import io
import json
import time
from dataclasses import replace

import pytest
import typer.main
from builders import a_cluster, a_domain, a_host, a_policy, a_vo, a_worker, an_environment, an_observation, silent

from environments.identity import Signature
from environments.reason import Reason
from environments.text import csv_cell
from scheduler.availability.history import Exclusion, Recurrence, Revision
from scheduler.commands.cli import build, main
from scheduler.journal.agreements import Token, add_downtime, add_exclusion, add_token
from scheduler.journal.hosts import drain, say_off
from scheduler.journal.journal import Journal
from scheduler.journal.records import (
    Declared,
    Entry,
    Intent,
    Look,
    Memo,
    Note,
    Outcome,
    Push,
    Said,
    Sighting,
)
from scheduler.journal.statuses import declare, push
from scheduler.model.actions import Boot
from scheduler.model.hosts import worker_uuid
from scheduler.model.instants import SECOND
from scheduler.model.queues import HeldJob, RunningJob
from scheduler.model.snapshot import dump
from scheduler.model.workers import BootOutcome, WorkerState
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import IncidentEvent, Level, Rules, What
from scheduler.oncall.rotation import Roster
from scheduler.publish.paging import PagingRules, happened

HOSTILE = [
    "[/x] [link=http://evil]y[/link] {x}%s$(y) :bug:",
    "\x1b[2J\x1b]0;t\x07 \x9b2J a\u202eb two\nlines\ttab",
    "=1+cmd|' /C calc'!A0",
]
SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: "xen[1-2]", uri: "test:///nowhere/{host}.xml"}]
vos: {atlas: }
daemon: {listen: ""}
limits: {reading_deadline_seconds: 1}
"""
ATLAS = """\
vo: atlas
environments:
  el9: {virtualization: lxc, image: {path: /srv/el9}, vcpus: 2, memory_mib: 4 GiB, default: true, description: "[/x] [b]"}
"""
WORDS = {
    "why": ["1.0"],
    "why-worker": ["el9-1"],
    "hooks": ["pool"],
    "snapshot": ["-"],
    "env show": ["el9"],
    "env try": ["{text}"],
    "correction accept": ["1", "--by", "{text}"],
    "correction refuse": ["1", "--by", "{text}"],
    "host drain": ["xen1", "--why", "{text}"],
    "host undrain": ["{text}"],
    "host forget": ["xen2", "--why", "{text}", "--yes"],
    "token add": ["n", "--file", "t/{number}"],
    "token revoke": ["{text}"],
    "downtime add": ["{text}", "--why", "{text}", "--duration", "1h"],
    "downtime extend": ["d1", "--end", "+9h", "--by", "{text}"],
    "downtime end": ["d2"],
    "downtime import": ["{text}"],
    "exclusion add": ["{text}", "--start", "-2h", "--duration", "1h", "--cause", "{text}", "--why", "{text}"],
    "exclusion accept": ["x1", "--by", "{text}"],
    "objective check": ["{text}"],
    "objective export": ["--history", "{text}"],
    "incident show": ["1"],
    "incident open": ["{text}", "--unwatched", "--text", "{text}"],
    "incident ack": ["1", "--by", "{text}"],
    "incident resolve": ["1", "--by", "{text}"],
    "oncall simulate": ["{text}"],
    "oncall schedule": ["{text}"],
    "oncall notify": ["{text}"],
    "report explain": ["--object", "{text}"],
    "report bundle": ["b/{number}"],
    "report verify": ["{text}"],
    "report publish": ["--by", "{text}"],
    "report algebra": ["{text}"],
    "status report": ["{text}", "--status", "OK", "--text", "{text}"],
    "simulate scenario": ["{text}"],
    "simulate seeds": ["--count", "1", "--start", "1"],
    "simulate replay": ["{text}"],
    "simulate snapshot": ["{text}"],
    "schema": ["{text}"],
    "completion": ["{text}"],
}
"""Arguments of the commands that take some; whatever is hostile in them is typed by somebody who should not."""
GO_ON = {"run", "demo", "once"}
"""They act until they are stopped; what they show is that of `plan` and `status`."""
LEAVES_NEED_A_SNAPSHOT = {"plan", "why", "why-worker", "status"}
LOOKS = {*LEAVES_NEED_A_SNAPSHOT, "snapshot", "host list", "simulate seeds"}
"""They look at the farm themselves where no daemon runs, or take no text: once is enough."""


def leaves(command=None, path=()):
    command = command or typer.main.get_command(build())
    if hasattr(command, "commands"):
        if path and command.invoke_without_command:
            yield " ".join(path), command
        for name, one in command.commands.items():
            yield from leaves(one, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(leaves())


def boots(text):
    reason = Reason("demand", text, {"text": text})
    for number in (1, 2):
        name = f"el9-{number}"
        entry = Entry(
            *(name, number, worker_uuid("perugia", name, number), "el9", text, "atlas", "pool", "xen1", 2, 4096),
            state=WorkerState.REQUESTED,
            since=100.0,
            requested_at=100.0,
            boot_error=text,
        )
        yield Intent(Boot(name, number, "el9", text, "atlas", "pool", "xen1", reason), entry)


def fill(book, number, text):
    """Write a text into every field of the journal that somebody else may write."""
    now, micro = time.time() - 600 + number, round((time.time() - 600) * SECOND)
    assert book.hold_lease("a", now, 3600)
    if number == 0:
        for one in book.begin("a", now, list(boots(text))):
            book.end(now, one, Outcome.FAILED, text, changes={"boot_error": text})
    declare(book, "a", now, (Declared(text), Declared("voms")))
    push(book, "a", now, 5.0 + number, Push(text, 2, text, None, text, "", text))
    said = (Said(f"{text}2", 2, "service", "", text), Said("pool", 2, "service", "", text), Said("voms2", 0))
    book.remember(
        "a",
        now,
        Memo(
            notes=(Note("x", text, text, text, {"why": text, text: text}),),
            appeared=(Sighting("pool", f"{text}.0", "el9-1", "atlas", text, "el9", now, now),),
            outcomes=(BootOutcome(f"el9-{number + 5}", "el9", text, "xen1", now, registered=False, cause=text),),
            holds={"pool": (HeldJob(f"{text}.0", "el9-1", now, text),)},
            look=Look(now, 5.0 + number, said, began="start" if number == 0 else ""),
        ),
    )
    drain(book, text, text, now)
    say_off(book, f"{text}2", text, now, text)
    span = Revision(micro, micro - 60 * SECOND, micro + 3600 * SECOND, text)
    add_downtime(book, [text, "pool"], span, reason=text, author=text, now=micro)
    weekly = Recurrence("FREQ=WEEKLY", "UTC", "2026-01-01T00:00:00", 60 * SECOND)
    add_downtime(book, [text], weekly, reason=text, author=text, now=micro)
    add_exclusion(book, Exclusion("", (text, "pool"), micro, micro + SECOND, text, text, text), micro, text)
    add_token(book, Token(text, (text,)), text, Signature(text, text), micro)
    rules = Rules(ResponseTimes("UTC"), Roster({}), (Level("anna", 600 * SECOND),), 1, 900 * SECOND)
    happened(
        book, [IncidentEvent(micro, What.BAD, text, cause=text, text=text)], PagingRules("perugia", "UTC", rules, {}), micro
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = tmp_path_factory.mktemp("hostile")
    for name in ("vos", "t", "b"):
        (made / name).mkdir()
    (made / "site.yaml").write_text(SITE)
    (made / "vos/atlas.yaml").write_text(ATLAS)
    (made / "services.yaml").write_text(
        "objects: ['[/x]', voms, '=1+1']\ngroups: {'[/g]': {operator: and, members: ['[/x]', pool]}}\n"
    )
    book = Journal(f"sqlite:///{made}/ambienti.db", now=100.0, durable=False)
    for number, text in enumerate(HOSTILE):
        fill(book, number, text)
    book.release_lease("a", time.time())
    book.close()
    return made


def snapshot_of(text):
    """A farm in which every text that is not ours is hostile."""
    policy = a_policy(an_environment(), vos=(a_vo(),), hosts=("h1", "h2", text))
    job = RunningJob(text, vo=text, user=text)
    observation = an_observation(
        a_cluster(f"pool:{text}", idle=3, example_job=text, held=1),
        a_cluster("pool:2", idle=3, vo=text, example_job=text),
        a_cluster("pool:3", idle=3, problem=text, example_job=text),
        workers=(a_worker(), a_worker("el9-2", WorkerState.BUSY, jobs=(job,), version=text)),
        hosts=[a_host("h1", a_domain(text)), silent("h2"), replace(silent(text), reason=text)],
    )
    queues = {name: replace(one, warnings=(text,)) for name, one in observation.queues.items()}
    return dump(replace(observation, queues=queues), policy)


@pytest.fixture
def call(site, monkeypatch, capsys):
    for name in ("AMBIENTI_SITE", "COLUMNS", "FORCE_COLOR", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(site)

    def run(*words):
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        for line in (printed.out + printed.err).split("\n"):
            assert line.isprintable(), line
        assert "Traceback" not in printed.err
        assert (left.value.code or 0) in range(4)
        return left.value.code or 0, printed.out

    return run


def forms(command):
    """The forms of output that a command has."""
    names = {one for parameter in command.params for one in parameter.opts}
    return [[], *([form] for form in ("--json", "--csv") if form in names)]


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in GO_ON])
def test_no_command_takes_a_text_for_markup_or_lets_it_move_the_cursor(path, call, site):
    command = COMMANDS[path]
    needs = [one for one in command.params if one.required]
    assert not needs or path in WORDS, f"tell this test how to call `ambienti {path}`"
    for number, text in enumerate(HOSTILE):
        for form in forms(command):
            words = [word.format(text=text, number=number) if "{" in word else word for word in WORDS.get(path, [])]
            if not (path in LOOKS and number):
                call(*path.split(), *words, *form)
            if path in LEAVES_NEED_A_SNAPSHOT:
                (site / "farm.json").write_bytes(snapshot_of(text))
                _, out = call(*path.split(), *words, "--snapshot", "farm.json", *form)
                assert form != ["--json"] or not out or json.loads(out)


def test_the_hostile_site_is_a_right_one_and_its_texts_are_shown(call):
    code, out = call("check")
    assert code == 0, out
    assert "[/x]" in call("exclusion", "list")[1]
    assert r"\x1b[2J" in call("downtime", "list")[1]


def test_what_is_typed_is_refused_when_it_cannot_be_printed(call):
    code, _ = call("downtime", "add", "pool", "--why", "\x1b[2J", "--duration", "1h")
    assert code == 2


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(1)"])
def test_a_cell_that_would_begin_a_formula_is_text(text):
    out = io.StringIO()
    csv.writer(out).writerow([csv_cell(text)])
    assert next(csv.reader(io.StringIO(out.getvalue())))[0].startswith("'")


@pytest.mark.parametrize("number", ["-5", "+1.25", "-3e-7", "-1.5%", "-", 7, -2.5, None, "99.9", "plain"])
def test_a_cell_that_is_a_number_stays_one(number):
    assert csv_cell(number) == number


def test_every_row_of_the_report_as_a_table_is_harmless(call):
    code, out = call("report", "--window", "7d", "--csv")
    assert code == 0, out
    cells = [cell for row in csv.reader(io.StringIO(out)) for cell in row]
    assert "'=1+1" in cells
    assert "=1+1" not in cells
