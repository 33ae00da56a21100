"""Notices reach a real mail server and a real webhook receiver: refused first, killed in between, and shown once all the same."""

import email
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from connectors.notify import connect
from scheduler.journal import outbox
from scheduler.journal.journal import Journal
from scheduler.model.instants import SECOND
from scheduler.model.ports import Notice, SourceError
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import IncidentEvent, Level, Rules, What
from scheduler.oncall.rotation import Roster
from scheduler.publish.paging import PagingRules, deliver, happened

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
PASSWORD = "hunter2-of-anna"
TOKEN = "t0ps3cr3t-token"
MINUTE = 60 * SECOND
NOW = 1_772_438_400 * SECOND
RULES = Rules(
    ResponseTimes("Europe/Rome"), Roster({}), (Level("anna", 10 * MINUTE), Level("bruno", 10 * MINUTE)), 1, 15 * MINUTE
)
DESK = PagingRules("perugia", "Europe/Rome", RULES, {"anna": ("mail", "hook"), "bruno": ("hook",)})


class Mailbox:
    """A mail server's handler that refuses the first tries."""

    def __init__(self, refusals):
        self.refusals = refusals
        self.refused = 0
        self.mails = []

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if self.refused < self.refusals:
            self.refused += 1
            return "451 4.7.1 Greylisted, try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 taken"


def mail_server(refusals=0):
    def authenticate(server, session, envelope, mechanism, auth_data):
        return AuthResult(success=auth_data.password == PASSWORD.encode())

    options = {"auth_require_tls": False, "authenticator": authenticate}
    return Controller(Mailbox(refusals), hostname="127.0.0.1", port=free_port(), **options)


@pytest.fixture
def mail():
    running = []

    def start(refusals=0):
        controller = mail_server(refusals)
        controller.start()
        running.append(controller)
        return controller

    yield start
    for controller in running:
        controller.stop(no_assert=True)


def free_port():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        return probe.server_address[1]


class Receiver(BaseHTTPRequestHandler):
    """A webhook receiver that answers 500 as often as its server says."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers["Idempotency-Key"], json.loads(body)))
        code = 500 if len(self.server.got) <= self.server.refusals else 200
        self.send_response(code)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    servers = []

    def start(refusals=0):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        server.got, server.refusals = [], refusals
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def mail_address(controller):
    return (
        f"mailto://anna:{PASSWORD}@127.0.0.1:{controller.port}/?from=ambienti@site.example&to=anna@site.example&mode=insecure"
    )


def hook_address(server):
    return f"json://127.0.0.1:{server.server_address[1]}/pages/{TOKEN}"


@pytest.fixture
def journal(tmp_path):
    opened = Journal(f"sqlite:///{tmp_path}/journal.db", now=1.0, durable=False)
    yield opened
    opened.close()


def paged(journal, at=NOW):
    happened(journal, [IncidentEvent(at, What.BAD, "ce1", "san", text="no route")], DESK, at)


def test_a_mail_refused_twice_is_sent_again_with_the_same_message_id(mail, journal):
    server = mail(refusals=2)
    desk_notifier = {"mail": connect("anna", mail_address(server), deadline_seconds=60)}
    happened(journal, [IncidentEvent(NOW, What.BAD, "ce1")], DESK_MAIL, NOW)
    clock = NOW
    taken = []
    for _ in range(3):
        taken.append(deliver(journal, lambda _, place: desk_notifier[place], lambda: clock))  # noqa: B023 - called at once
        assert deliver(journal, lambda _, place: desk_notifier[place], lambda: clock) == 0, "nothing is due before its time"  # noqa: B023
        clock += outbox.wait(len(taken))
    assert taken == [0, 0, 1]
    [letter] = outbox.letters(journal)
    assert (letter.attempts, letter.outcome) == (3, "sent")
    [received] = server.handler.mails
    assert received["Message-ID"] == f"<{letter.key}>" == "<incident-1-page-1.anna.0@perugia>"
    assert received.get_all("Message-ID") == [received["Message-ID"]]
    assert received["To"] == "anna@site.example"
    assert received["Subject"] == "[perugia] incident 1: ce1 bad"
    assert "ambienti incident ack 1" in received.get_payload(decode=True).decode()
    told = [event.note for event in journal.events(subject="anna")]
    assert [note.cause for note in told] == ["failed", "sent"]
    assert "Greylisted" in told[0].detail["error"]


DESK_MAIL = PagingRules("perugia", "Europe/Rome", RULES, {"anna": ("mail",)})


def test_a_webhook_that_answers_500_gets_the_same_idempotency_key_again(hook, journal):
    server = hook(refusals=2)
    notifier = connect("bruno", hook_address(server), deadline_seconds=60)
    happened(
        journal, [IncidentEvent(NOW, What.BAD, "ce1", "san")], PagingRules("perugia", "UTC", RULES, {"anna": ("hook",)}), NOW
    )
    clock = NOW
    for _ in range(3):
        deliver(journal, lambda *_: notifier, lambda: clock)  # noqa: B023
        clock += outbox.LONGEST_WAIT
    keys = [key for key, _ in server.got]
    assert keys == ["incident-1-page-1.anna.0@perugia"] * 3
    assert server.got[0][1] == server.got[2][1]
    assert server.got[0][1]["title"] == "[perugia] incident 1: ce1 bad"
    assert [letter.outcome for letter in outbox.letters(journal)] == ["sent"]


def test_killed_between_sending_and_marking_it_is_sent_again_with_its_key(mail, hook, tmp_path):
    mailbox, receiver = mail(), hook()
    script = f"""
import os, signal
from connectors.notify import connect
from scheduler.journal.journal import Journal
from scheduler.publish.paging import deliver
from tests.real.test_notify import paged, NOW

class Dies:
    def __init__(self, notifier): self.notifier = notifier
    def send(self, notice):
        self.notifier.send(notice)
        os.kill(os.getpid(), signal.SIGKILL)

journal = Journal("sqlite:///{tmp_path}/journal.db", now=1.0)
paged(journal)
addresses = {{"mail": {mail_address(mailbox)!r}, "hook": {hook_address(receiver)!r}}}
letters = iter([0])
deliver(journal, lambda person, place: Dies(connect(person, addresses[place], deadline_seconds=60)), lambda: NOW)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    died = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    first = Counter([key for key, _ in receiver.got]) + Counter(mail["Message-ID"] for mail in mailbox.handler.mails)
    assert first, "it was killed after something had left"
    journal = Journal(f"sqlite:///{tmp_path}/journal.db", now=2.0)
    addresses = {"mail": mail_address(mailbox), "hook": hook_address(receiver)}
    assert all(letter.outcome == "" for letter in outbox.letters(journal)), "nothing was marked"
    later = NOW + outbox.wait(1)
    taken = deliver(journal, lambda person, place: connect(person, addresses[place], deadline_seconds=60), lambda: later)
    assert taken == 2
    assert deliver(journal, lambda *_: pytest.fail("nothing is left"), lambda: later + outbox.GIVE_UP) == 0
    journal.close()
    mails = Counter(mail["Message-ID"] for mail in mailbox.handler.mails)
    hooks = Counter(key for key, _ in receiver.got)
    assert set(mails) == {"<incident-1-page-1.anna.0@perugia>"}
    assert set(hooks) == {"incident-1-page-1.anna.1@perugia"}
    assert sum(mails.values()) + sum(hooks.values()) == sum(first.values()) + 2, "sent again: at least once, known by its key"


def test_the_same_page_is_written_once_however_often_its_cause_is_told(journal):
    paged(journal)
    paged(journal, NOW + SECOND)
    happened(journal, [], DESK, NOW + 2 * SECOND)
    assert [letter.address for letter in outbox.letters(journal)] == ["mail", "hook"]
    happened(journal, [], DESK, NOW + 10 * MINUTE)
    assert [letter.person for letter in outbox.letters(journal)] == ["anna", "anna", "bruno"]
    happened(journal, [IncidentEvent(NOW + 11 * MINUTE, What.ACKNOWLEDGED, cause="san", by="bruno")], DESK, NOW + 11 * MINUTE)
    happened(journal, [], DESK, NOW + 60 * MINUTE)
    assert len(outbox.letters(journal)) == 3


def test_no_secret_is_in_an_error_a_log_or_the_journal(mail, hook, journal, tmp_path, caplog, capfd):
    wrong = mail_address(mail()).replace(PASSWORD, "wrong-" + PASSWORD)
    gone = f"json://127.0.0.1:{free_port()}/pages/{TOKEN}?+X-Auth={TOKEN}"
    refusing = hook_address(hook(refusals=99))
    addresses = {"mail": wrong, "hook": gone, "third": refusing}
    paging_rules = PagingRules("perugia", "UTC", RULES, {"anna": tuple(addresses)})
    with caplog.at_level(logging.DEBUG):
        happened(journal, [IncidentEvent(NOW, What.BAD, "ce1")], paging_rules, NOW)
        deliver(journal, lambda person, place: connect(person, addresses[place], deadline_seconds=1), lambda: NOW)
        for address in addresses.values():
            notifier = connect("anna", address, deadline_seconds=1)
            with pytest.raises(SourceError) as refused:
                notifier.send(Notice("k@site", "subject", "body"))
            for text in (str(refused.value), repr(notifier)):
                assert PASSWORD not in text
                assert TOKEN not in text
            assert refused.value.__cause__ is None
    assert [letter.outcome for letter in outbox.letters(journal)] == ["", "", ""]
    assert all(letter.error for letter in outbox.letters(journal))
    journal.close()
    written = b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))
    out, err = capfd.readouterr()
    for secret in (PASSWORD, TOKEN):
        assert secret.encode() not in written
        assert secret not in caplog.text + out + err


@pytest.mark.parametrize("address", ["", "not a url", f"nonsense://{TOKEN}@host", "mailto://"])
def test_an_address_that_is_none_is_refused_without_being_shown(address):
    with pytest.raises(ValueError, match="the address of anna is no Apprise URL") as refused:
        connect("anna", address, deadline_seconds=1)
    assert TOKEN not in str(refused.value)


def test_a_notice_that_nobody_takes_is_given_up_after_a_day(journal):
    happened(journal, [IncidentEvent(NOW, What.BAD, "ce1")], DESK_MAIL, NOW)
    clock, tries = NOW, 0

    def refuse(*_):
        raise ValueError("there is no file")

    while outbox.letters(journal)[0].ended_at is None:
        deliver(journal, refuse, lambda: clock)  # noqa: B023
        clock, tries = clock + outbox.LONGEST_WAIT, tries + 1
        assert tries < 400
    [letter] = outbox.letters(journal)
    assert (letter.outcome, letter.error) == ("given-up", "there is no file")
    assert letter.ended_at - letter.made_at == outbox.GIVE_UP


SITE = """\
site: perugia
batch_systems: [{name: pool, kind: simulated}]
hosts: [{name: h1, uri: "test:///default"}, {name: h2, uri: "qemu+unix:///system?socket=/nowhere/at/all"}]
vos: {atlas: {}}
limits: {poll_seconds: 2}
daemon: {listen: ""}
"""
VO = "vo: atlas\nenvironments: {atlas-el9: {virtualization: lxc, image: {path: /srv/atlas}}}\n"
ON_CALL = "people: {anna: {addresses: [{file: anna.url}]}}\nescalation: {levels: [{notify: anna}]}\n"


def until(holds, seconds):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_daemon_that_is_killed_after_its_first_try_leaves_the_page_to_the_next_one(hook, tmp_path):
    server = hook(refusals=1)
    (tmp_path / "vos").mkdir()
    for name, text in {
        "site.yaml": SITE,
        "vos/atlas.yaml": VO,
        "oncall.yaml": ON_CALL,
        "anna.url": hook_address(server),
    }.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "scheduler.commands.cli", "run", "--site", str(tmp_path / "site.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (tmp_path / "log").open("w") as log:
        first = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: len(server.got) == 1, 240)
        finally:
            first.kill()
            first.wait(120)
        second = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: len(server.got) == 2, 240)
        finally:
            second.terminate()
            second.wait(120)
    assert {key for key, _ in server.got} == {"incident-1-page-1.anna.0@perugia"}
    assert "h2 bad" in server.got[1][1]["title"]
    assert TOKEN not in (tmp_path / "log").read_text()
