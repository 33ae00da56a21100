"""Who may ask the door for how much and report on what; how a client finds it, to whom it shows a token, and who that is."""

import json

import pytest

from environments.identity import Signature, objection
from environments.matching import Catalogue
from scheduler.commands.daemon import TokenError, ask, read_token, url_of
from scheduler.commands.journaled import UNSET, uid_of
from scheduler.daemon.limits import Allowance, counted_as
from scheduler.daemon.receiver import Refusal, ReportReceiver
from scheduler.daemon.web import is_called
from scheduler.journal.agreements import Token, add_token
from scheduler.journal.journal import Journal, JournalError
from scheduler.journal.records import Declared
from scheduler.loop.engine import Engine
from scheduler.model.instants import SECOND
from scheduler.model.policy import Policy
from scheduler.site.settings import DaemonSettings
from simulations.clock import Agenda, SimulatedClock
from simulations.lanes import AgendaRunner


def test_an_allowance_is_used_up_at_once_and_comes_back_with_time():
    allowance = Allowance(2.0, 10.0)
    assert [allowance.take("a", 0.0) for _ in range(11)] == [True] * 10 + [False]
    assert allowance.take("b", 0.0)
    assert not allowance.take("a", 0.4)
    assert [allowance.take("a", 1.0) for _ in range(3)] == [True, True, False]
    assert sum(allowance.take("a", 1e6) for _ in range(20)) == 10


def test_of_many_names_only_the_last_are_remembered():
    allowance = Allowance(1.0, 1.0, most_names=3)
    for number in range(100):
        assert allowance.take(str(number), 0.0)
    assert [allowance.take(name, 0.0) for name in ("99", "98", "97", "0")] == [False, False, False, True]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_is_counted_with_its_network(address, name):
    assert counted_as(address) == name


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1:1", True), ("[::1]", True), ("LOCALHOST:80", True), ("farm", True), ("farm.:80", True), ("evil", False), (":", False)],
)  # fmt: skip
def test_a_host_is_ours_by_address_or_name(host, ours):
    assert is_called(host, frozenset({"farm"})) is ours


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:9620", "http://127.0.0.1:9620"),
        ("0.0.0.0:9620", "http://127.0.0.1:9620"),
        ("[::]:9620", "http://[::1]:9620"),
        ("farm:9620", "http://farm:9620"),
    ],
)
def test_who_listens_everywhere_is_asked_on_this_machine(listen, url):
    assert url_of(DaemonSettings(listen=listen)) == url


def test_the_address_of_the_site_s_own_proxy_comes_before_where_the_daemon_listens():
    assert url_of(DaemonSettings(url="https://farm.example/ambienti/")) == "https://farm.example/ambienti"
    assert url_of(DaemonSettings(listen="")) == ""


@pytest.mark.parametrize("url", ["http://192.0.2.1:9620", "http://0.0.0.0:9620"])
def test_a_token_is_not_sent_over_the_network_in_the_clear(url):
    with pytest.raises(TokenError, match="in the clear: give an https address"):
        ask(url, "/status", seconds=1, token="sesame", method="POST", content=b"{}")


def test_a_token_in_a_file_that_others_may_read_is_refused(tmp_path):
    file = tmp_path / "token"
    file.write_text("sesame\n")
    file.chmod(0o640)
    with pytest.raises(TokenError, match="may be read by others: chmod 600"):
        read_token(file)
    file.chmod(0o600)
    assert read_token(file) == "sesame"
    file.write_text("two words\r\nHost: evil")
    with pytest.raises(TokenError, match="is no token"):
        read_token(file)


# --- what a token is for ----------------------------------------------------------------------------------------------

NOW = 1_000_000.0


@pytest.fixture
def door():
    clock = SimulatedClock(NOW)
    journal = Journal("sqlite://", now=NOW, durable=False)
    engine = Engine(Policy("hill", Catalogue({}, {}), {}), {}, {}, journal, clock, AgendaRunner(Agenda(clock)), owner="a")
    engine.declared = tuple(Declared(name) for name in ("ce01", "ce02", "voms", "tape"))
    engine.groups = {"storage": frozenset({"tape", "disk"})}
    engine.cycle()
    tokens = (Token("nagios", ("ce*", "storage")), Token("late", ("*",), 30 * 86400 * SECOND), Token("anna", reads=True))
    for one in tokens:
        add_token(journal, one, f"secret of {one.name}", Signature("root"), round(NOW * SECOND))
    yield ReportReceiver(engine)
    journal.close()


def reported(door, name, status="OK", by="nagios", **more):
    content = json.dumps({"object": name, "status": status, **more}).encode()
    code, told = door.receive("192.0.2.7", f"secret of {by}", content)
    return code, told.get("problem", told.get("told"))


@pytest.mark.parametrize(
    ("name", "by", "code", "says"),
    [
        ("ce01", "nagios", 200, "kept"),
        ("tape", "nagios", 200, "kept"),
        ("voms", "nagios", 403, "nagios may not report on 'voms': the token is for ce*, storage"),
        ("ce01 ", "nagios", 200, "kept"),
        ("ce09", "nagios", 404, "did you mean ce0"),
        ("voms", "late", 200, "kept"),
        ("voms", "anna", 403, "the token is for no object"),
    ],
)
def test_a_token_is_for_the_objects_that_it_names_and_for_those_of_its_groups(door, name, by, code, says):
    found, said = reported(door, name, by=by)
    assert (found, says in said) == (code, True), said


def test_nobody_reports_further_back_than_his_token_allows(door):
    assert reported(door, "ce01", at=NOW - 899) == (200, "kept")
    code, said = reported(door, "ce02", at=NOW - 901)
    assert (code, "lies further back than the 15 min that nagios may report" in said) == (403, True), said
    assert reported(door, "ce02", at=0)[0] == 403
    assert reported(door, "ce02", at=NOW - 86400, by="late") == (200, "kept")
    assert reported(door, "ce02", at=NOW + 61)[0] == 400
    assert reported(door, "ce02", at=float("nan"))[0] == 400


def test_true_is_neither_a_status_nor_an_instant(door):
    for words in ({"status": True}, {"at": True}):
        code, said = reported(door, "ce01", **words)
        assert (code, "true" in said or "number" in said) == (400, True), said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"null", "a report is a JSON object with object and status"),
        (b"[]", "a report is a JSON object with object and status"),
        (b"{", "a report is a JSON object with object and status"),
        (b'{"object": "ce01"}', "status: Field required"),
        (b'{"object": "ce01", "status": "MAYBE"}', "status: 'MAYBE' is not a status; expected OK, WARNING, CRITICAL"),
        (b'{"object": "ce01", "status": "OK", "at": "2020-01-01"}', "expected seconds since 1970, a number"),
        (b'{"object": "ce01", "status": "OK", "at": -1}', "at: -1 lies before 1970"),
        (b'{"object": "ce01", "status": "OK", "cause": "foo"}', "cause: 'foo' is not a cause of lost time; expected"),
    ],
)
def test_a_wrong_report_is_told_what_is_expected(door, content, says):
    code, told = door.receive("192.0.2.7", "secret of nagios", content)
    assert (code, says in told["problem"]) == (400, True), told


def test_what_was_told_already_is_only_corrected(door):
    assert reported(door, "ce01", "CRITICAL") == (200, "kept")
    code, said = reported(door, "ce01", "OK", at=NOW - 60)
    assert (code, said) == (202, "something was told of that time already: held as c1, until somebody else accepts it")


def test_an_id_that_says_otherwise_is_told_and_the_first_stands(door):
    assert reported(door, "ce01", "CRITICAL", id="n-1") == (200, "kept")
    assert reported(door, "ce01", "CRITICAL", id="n-1") == (200, "duplicate")
    assert reported(door, "ce01", "OK", id="n-1") == (409, "contradicts what id n-1 said first, CRITICAL: the first stands")


def test_a_text_that_moves_a_cursor_costs_no_result(door):
    assert reported(door, "ce01", "CRITICAL", text="no\x1b[2J route\r\n\x00to it") == (200, "kept")
    line = door.engine.journal.events(subject="ce01", kind="status")[-1]
    assert line.note.detail["text"] == "no\\x1b[2J route\n\\x00to it"
    assert reported(door, "ce01", id="\x1b")[0] == 400


def test_nobody_waits_again_for_a_journal_that_did_not_answer(door):
    class Silent:
        asked = 0

        def read(self, what):
            self.asked += 1
            raise JournalError("journal sqlite:////secret/place: cannot read: it is locked")

    kept, door.engine.journal = door.engine.journal, Silent()
    answers = [reported(door, "ce01") for _ in range(5)]
    assert set(answers) == {(503, "the journal does not answer just now: try again later")}
    assert door.engine.journal.asked == 1
    door.engine.journal = kept
    door.engine.clock.sleep(6)
    assert reported(door, "ce01") == (200, "kept")


def test_reports_are_no_key_for_reading(door):
    assert isinstance(door.reader("", "secret of nagios"), Refusal)
    assert door.reader("", "secret of anna") == Token("anna", reads=True)
    assert door.reader("", "").answer[0] == 401


def test_wrong_tokens_of_an_address_are_looked_at_ever_more_seldom(door):
    codes = [door.receive("192.0.2.9", f"wrong {number}", b"{}")[0] for number in range(300)]
    assert (codes[0], codes[-1], 190 < codes.count(401) < 210) == (401, 429, True)
    assert reported(door, "ce01") == (200, "kept"), "from elsewhere it goes on"


# --- who somebody is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "kept", "sudo", "uid"),
    [
        (1000, "1000\n", "", 1000),
        (0, "1000", "1001", 1000),
        (0, str(UNSET), "1001", 1001),
        (1000, str(UNSET), "1001", 1000),
        (0, "", "", 0),
        (0, "0", "1001", 0),
        (0, "nobody", "x", 0),
    ],
)
def test_a_login_is_what_the_system_keeps_and_no_variable_of_a_user(real, kept, sudo, uid):
    assert uid_of(real, kept, sudo) == uid


@pytest.mark.parametrize(
    ("one", "other", "agrees"),
    [
        (Signature("ann", "ann"), Signature("bob", "bob"), True),
        (Signature("ann", "root"), Signature("bob", "root"), False),
        (Signature("ann", "root"), Signature("the board", "token ann"), False),
        (Signature("ann", "root"), Signature("the board", "token bob"), True),
        (Signature("the board", "ann"), Signature("ann", "bob"), False),
        (Signature("ann"), Signature("bob", "root"), True),
        (Signature("ann"), Signature("\u0430nn", "root"), False),
    ],
)
def test_four_eyes_are_those_of_two_names_and_two_logins(one, other, agrees):
    assert (objection(one, other) == "") is agrees
    assert (objection(other, one) == "") is agrees
