"""A weekly report reaches a real mail server with its files, and once, whoever refuses it and whoever is killed in between."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from environments.matching import Catalogue
from scheduler.availability.history import Status
from scheduler.daemon.pager import Pager
from scheduler.daemon.reporter import Reporter
from scheduler.journal import outbox
from scheduler.journal.journal import Journal
from scheduler.journal.records import Declared, Push
from scheduler.journal.statuses import declare, push
from scheduler.loop.engine import Engine
from scheduler.model.instants import SECOND
from scheduler.model.policy import Limits, Policy
from scheduler.oncall.incident import IncidentEvent, What
from scheduler.publish.mailing import last_published
from scheduler.publish.paging import PagingRules, happened
from scheduler.site import definitions
from simulations.clock import START, Agenda, SimulatedClock
from simulations.lanes import AgendaRunner
from tests.real.test_notify import RULES, TOKEN, hook, hook_address, mail, mail_address  # noqa: F401 - fixtures

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
MONDAY = START + 252_000  # 15 January 2027, 09:00 in Rome, and 2 d 22 h: Monday 07:00
SITE = """\
site: hill
timezone: Europe/Rome
batch_systems: [{name: pool}]
hosts: [{name: kvm1, uri: "qemu:///system"}]
vos: {atlas: }
reports: [{name: weekly, to: [anna], every: mon, at: "07:00", formats: [FORMATS]}]
"""
VO = "vo: atlas\nenvironments:\n  el9: {virtualization: lxc, image: {path: /srv/el9}}\n"
ON_CALL = (
    "people: {anna: {addresses: [{file: anna.url}, {file: hook.url}]}}\nobjects: []\nescalation: {levels: [{notify: anna}]}\n"
)
SERVICES = """\
objects: [{name: voms, freshness: 30d}]
objectives: [{name: promised, object: voms, target: 99.9%, window: past-week}]
"""


def write(directory, mail_url, hook_url="", formats="html, pdf"):
    (directory / "vos").mkdir()
    people = ON_CALL if hook_url else ON_CALL.replace(", {file: hook.url}", "")
    for name, text in {
        "site.yaml": SITE.replace("FORMATS", formats),
        "vos/atlas.yaml": VO,
        "oncall.yaml": people,
        "services.yaml": SERVICES,
        "anna.url": mail_url,
        "hook.url": hook_url,
    }.items():
        (directory / name).write_text(text)


class Daemon:
    """As much of a daemon as publishes and sends, on a journal in a file and a clock that is told how late it is."""

    def __init__(self, directory, now, on_commit=None):
        self.clock = SimulatedClock(now)
        self.journal = Journal(f"sqlite:///{directory}/journal.db", now=now, on_commit=on_commit, durable=False)
        policy = Policy("hill", Catalogue({}, {}), {}, Limits())
        self.engine = Engine(policy, {}, {}, self.journal, self.clock, AgendaRunner(Agenda(self.clock)), owner="a")
        self.engine.cycle()
        found = definitions.load(directory / "site.yaml")
        self.reporter = Reporter(self.engine, lambda: found)
        self.pager = Pager(self.engine, directory / "oncall.yaml", "hill")


@pytest.fixture
def started():
    running = []

    def start(*arguments, **options):
        running.append(Daemon(*arguments, **options))
        return running[-1]

    yield start
    for one in running:
        one.journal.close()


def test_the_mail_refused_first_comes_with_page_and_pdf_under_one_message_id(mail, hook, started, tmp_path):  # noqa: F811
    server, receiver = mail(refusals=1), hook()
    write(tmp_path, mail_address(server), hook_address(receiver))
    daemon = started(tmp_path, START)
    silent = PagingRules("hill", "Europe/Rome", RULES, {})
    opened = int(START) * SECOND
    happened(daemon.journal, [IncidentEvent(opened, What.BAD, "ce1", text="no route")], silent, opened)
    answered = opened + 300 * SECOND
    happened(daemon.journal, [IncidentEvent(answered, What.RESOLVED, incident=1, by="bruno")], silent, answered)
    assert daemon.reporter.round() == 0, "it is new: nothing of the past is published"
    declare(daemon.journal, "a", START, [Declared("voms", freshness=30 * 86400 * SECOND)])
    for status in (Status.OK, Status.CRITICAL, Status.OK):
        push(daemon.journal, "a", daemon.clock.now(), daemon.clock.monotonic(), Push("voms", status))
        daemon.clock.sleep(3600)
    daemon.clock.sleep(MONDAY - daemon.clock.now() - 1)
    assert daemon.reporter.round() == 0
    daemon.clock.sleep(1)
    assert [daemon.reporter.round() for _ in range(2)] == [1, 0]
    assert [daemon.pager.round() for _ in range(2)] == [1, 0], "the webhook took it, the mail server did not"
    daemon.clock.sleep(outbox.wait(1) / SECOND)
    assert daemon.pager.round() == 1
    [received] = server.handler.mails
    assert received["Message-ID"] == "<report-weekly-2027-01-18.anna.0@hill>"
    text, *files = [part for part in received.walk() if not part.is_multipart()]
    written = text.get_payload(decode=True).decode()
    assert "2027-01-11T00:00:00+01:00 to 2027-01-18T00:00:00+01:00 (Europe/Rome), profile excuse" in written
    assert received["Subject"] == "[hill] availability 2027-01-11 to 2027-01-18: 1 of 1 missed"
    [figures] = [line for line in written.splitlines() if line.startswith("voms")]
    # Of 63 h up to midnight 1 h was bad; the first hour is the monitor's own gap: it had looked at nothing but the start.
    assert figures.split() == ["voms", "98.39", "%", "36.90", "%", "1", "h", "1", "h", "FAIL"], (
        "61/62, and 62 of 168 h observed"
    )
    assert "Incidents: 1 (1 met, 0 breached" in written
    contents = {part.get_filename(): part.get_payload(decode=True) for part in files}
    assert list(contents) == ["weekly-2027-01-18.html", "weekly-2027-01-18.pdf"]
    assert contents["weekly-2027-01-18.pdf"].startswith(b"%PDF-")
    page = contents["weekly-2027-01-18.html"].decode()
    assert page.startswith("<!DOCTYPE html>")
    assert '<section id="responses">' in page
    for name, content in contents.items():
        assert (tmp_path / "state/reports" / name).read_bytes() == content, "the archive holds what was sent"
    [(key, posted)] = receiver.got
    assert key == "report-weekly-2027-01-18.anna.1@hill"
    assert written.split() == posted["message"].split()
    assert posted.get("attachments", []) == []
    events = [event.note for event in daemon.journal.events(correlation="report-weekly-2027-01-18")]
    assert [(note.kind, note.cause) for note in events].count(("report", "published")) == 1
    assert TOKEN not in written + page


def test_killed_between_posting_and_sending_it_is_sent_once_after_the_restart(mail, started, tmp_path):  # noqa: F811
    server = mail()
    write(tmp_path, mail_address(server), formats="html")
    script = f"""
import os, pathlib, signal
from tests.real.test_mailed_reports import MONDAY, START, Daemon
posted = iter([None, lambda: os.kill(os.getpid(), signal.SIGKILL)])
daemon = Daemon(pathlib.Path({str(tmp_path)!r}), START, on_commit=lambda what: what == "report" and (next(posted) or bool)())
daemon.reporter.round()
daemon.clock.sleep(MONDAY - START)
daemon.reporter.round()
daemon.pager.round()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    died = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert server.handler.mails == []
    daemon = started(tmp_path, MONDAY + 60)
    assert [letter.attempts for letter in outbox.letters(daemon.journal)] == [0]
    for _ in range(2):
        daemon.reporter.round()
        daemon.pager.round()
    [received] = server.handler.mails
    assert received["Message-ID"] == "<report-weekly-2027-01-18.anna.0@hill>"
    assert [part.get_filename() for part in received.walk() if part.get_filename()] == ["weekly-2027-01-18.html"]


def test_killed_before_posting_it_is_made_again_and_after_a_long_absence_the_latest_alone_goes_out(
    mail,  # noqa: F811
    started,
    tmp_path,
):
    server = mail()
    write(tmp_path, mail_address(server), formats="html")
    first = started(tmp_path, START)
    first.reporter.round()
    first.journal.release_lease("a", START)
    (tmp_path / "state/reports").mkdir(parents=True)
    (tmp_path / "state/reports/weekly-2027-02-08.html").write_text("half a page of a daemon that was killed")
    late = started(tmp_path, MONDAY + 23 * 86400)
    assert late.reporter.round() == 1
    assert last_published(late.journal, "weekly") == round((MONDAY + 21 * 86400) * SECOND)
    [note] = [event.note for event in late.journal.events(kind="report", limit=1)]
    assert (note.detail["skipped"], note.detail["scheduled"]) == (3, "2027-02-08T06:00:00Z")
    (tmp_path / "state/reports/weekly-2027-02-08.html").unlink()
    assert late.pager.round() == 1, "whose file is gone is sent with its figures all the same"
    [received] = server.handler.mails
    assert "Not attached, the file is gone: weekly-2027-02-08.html" in received.get_payload(decode=True).decode()


def test_only_the_daemon_that_acts_publishes_and_what_hinders_a_report_is_told_once(started, tmp_path, capsys):
    write(tmp_path, "json://nowhere", formats="html")
    daemon = started(tmp_path, START)
    daemon.reporter.round()
    daemon.clock.sleep(MONDAY - START)
    daemon.engine.lease.leading = False
    assert daemon.reporter.round() == 0
    daemon.engine.lease.leading = True
    (tmp_path / "oncall.yaml").write_text("people: nobody\n")
    assert [daemon.reporter.round() for _ in range(2)] == [0, 0]
    told = capsys.readouterr().out
    assert told.count("it is tried again") == 1
    assert "oncall.yaml:1" in told
    assert outbox.letters(daemon.journal) == []
    (tmp_path / "oncall.yaml").write_text(ON_CALL)
    assert daemon.reporter.round() == 1
