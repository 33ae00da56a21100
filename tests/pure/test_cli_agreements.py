"""What people agree on and look up by command: the event log, downtimes with their notice, exclusions, tokens, the services file."""

import json
import re
import stat

import pytest

from scheduler.commands import journaled
from scheduler.commands.cli import main
from scheduler.commands.journaled import login
from scheduler.journal.agreements import Token, hashed, holder
from scheduler.journal.histories import load_history
from scheduler.journal.journal import Journal
from scheduler.journal.records import Declared, Look, Memo, Push, Said
from scheduler.journal.statuses import correct, declare, push
from scheduler.model.instants import SECOND
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import IncidentEvent, Level, Rules, What
from scheduler.oncall.rotation import Roster
from scheduler.publish.paging import PagingRules, happened

SITE = """\
site: perugia
timezone: Europe/Rome
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: "xen[1-2]", uri: "test:///nowhere/{host}.xml"}]
vos: {atlas: }
daemon: {listen: ""}
"""
ATLAS = """\
vo: atlas
environments:
  atlas-el9: {virtualization: lxc, image: {path: /srv/el9}, vcpus: 4, memory_mib: 8 GiB, default: true}
"""
SERVICES = """\
objects:
  - {name: voms, freshness: 5m}
groups:
  core: {operator: and, members: [pool, voms, atlas/atlas-el9]}
"""


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    for name in ("AMBIENTI_SITE", "COLUMNS", "FORCE_COLOR", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "vos/atlas.yaml").write_text(ATLAS)
    (tmp_path / "services.yaml").write_text(SERVICES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ambienti(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return left.value.code or 0, printed.out, printed.err

    return call


def journal(site):
    return Journal(f"sqlite:///{site}/ambienti.db", now=100.0)


def test_a_downtime_says_what_of_it_is_scheduled(ambienti):
    code, out, err = ambienti("downtime", "add", "xen1", "--start", "+30h", "--duration", "2h", "--why", "fan")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"d1 is declared for xen1 from \S+T[0-9:]+\S* until \S+ \(2 h\)\. Scheduled as a whole\.\n", out)
    _, out, _ = ambienti(
        "downtime", "add", "core", "pool", "--start", "+22h", "--duration", "6h", "--why", "fan", "--by", "ann"
    )
    assert out.startswith("d2 is declared for core, pool from ")
    assert ". Scheduled from " in out
    assert out.endswith("; the first 2 h are unscheduled.\n")
    _, out, _ = ambienti("downtime", "add", "*", "--duration", "6h", "--why", "power")
    assert "Unscheduled: it had no 24 h of notice." in out
    code, out, _ = ambienti("downtime", "list", "--json")
    listed = json.loads(out)
    assert (code, [one["id"] for one in listed], listed[1]["revisions"][0]["by"]) == (
        0,
        ["d1", "d2", "d3"],
        f"ann (login {ME})",
    )
    assert [len(one["scheduled"]) for one in listed] == [1, 1, 0]


def test_a_downtime_is_extended_shortened_and_ended_by_further_revisions(ambienti):
    ambienti("downtime", "add", "xen1", "--start", "+30h", "--duration", "2h", "--why", "fan")
    _, out, _ = ambienti("downtime", "extend", "d1", "--end", "+40h")
    assert re.fullmatch(r"d1 is extended, now until \S+T[0-9:]{8}\+0\d:00\. Scheduled as a whole\.\n", out)
    assert not re.search(r":\d\d\.\d", ambienti("downtime", "list")[1]), "microseconds stand in the data alone"
    assert ambienti("downtime", "extend", "d1", "--end", "+31h")[1].startswith("d1 is shortened, now until ")
    assert ambienti("downtime", "end", "d1")[1] == "d1 is ended. It was taken back before it began.\n"
    (one,) = json.loads(ambienti("downtime", "list", "--json")[1])
    assert len(one["revisions"]) == 4
    assert ambienti("downtime", "end", "d7")[::2] == (1, "there is no downtime d7; there are d1\n")


def test_a_recurring_downtime_has_a_rule_and_is_stopped(ambienti):
    words = ("downtime", "add", "voms", "--start", "2026-03-03 09:00", "--duration", "2h", "--why", "cleaning", "--every")
    code, _, err = ambienti(*words, "FREQ=NEVER")
    assert (code, "is no rule of RFC 5545" in err) == (2, True)
    assert ambienti(*words, "FREQ=WEEKLY;BYDAY=TU")[0] == 0
    assert ambienti("downtime", "extend", "d1", "--end", "+1h")[0] == 1
    assert ambienti("downtime", "end", "d1")[1] == "d1 is called off: nothing of it holds any more.\n"
    (one,) = json.loads(ambienti("downtime", "list", "--json")[1])
    assert (one["recurring"]["start"], one["recurring"]["zone"]) == ("2026-03-03T09:00:00", "Europe/Rome")
    assert (one["recurring"]["until"], one["recurring"]["ended"] is not None) == (None, True)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("downtime", "add", "xen3", "--duration", "2h", "--why", "x"), 1, "did you mean xen"),
        (("downtime", "add", "xen1", "--why", "x"), 2, "give either --end or --duration"),
        (("downtime", "add", "xen1", "--start", "+2h", "--end", "+1h", "--why", "x"), 2, "would end before it begins: from 20"),
        (("downtime", "add", "xen1", "--duration", "2 parsec", "--why", "x"), 2, "is not a duration"),
        (("downtime", "add", "xen1", "--duration", "9999999999d", "--why", "x"), 2, "longer than ten thousand years"),
        (
            ("downtime", "add", "xen1", "--start", "9999-12-31", "--duration", "10d", "--why", "x"),
            2,
            "within the years 1000 to 9999",
        ),
        (
            ("downtime", "add", "xen1", "--start", "+3000000d", "--duration", "1h", "--why", "x"),
            2,
            "within the years 1000 to 9999",
        ),
        (("token", "add", "nagios", "--for", "voms", "--back", "9999999999d"), 2, "longer than ten thousand years"),
        (("downtime", "add", "xen1", "--start", "2026-03-29 02:30", "--duration", "1h", "--why", "x"), 2, "does not exist in"),
        (("exclusion", "add", "xen1", "--start", "now", "--duration", "2h", "--cause", "power", "--why", " "), 2, "a reason"),
        (("exclusion", "accept", "x9"), 1, "there is no exclusion x9; there are none"),
        (("token", "revoke", "nagios"), 1, "no token in force is called nagios"),
        (("status", "report", "voms"), 2, "give either --status or --nagios-exit-code"),
        (("status", "report", "voms", "--status", "OK"), 2, "listens nowhere"),
        (("status", "report", "voms", "--status", "OKAY"), 2, "--status: 'OKAY' is not a status; did you mean OK?"),
        (("status", "report", "voms", "--status", "x"), 2, "--status: 'x' is not a status; expected OK, WARNING"),
        (("status", "report", "voms", "--status", "OK", "--url", "farm:9620"), 2, "expected one like https://farm.example"),
        (
            ("status", "report", "voms", "--status", "OK", "--url", "file:///etc/hosts"),
            2,
            "expected one like https://farm.example",
        ),
    ],
)
def test_what_cannot_be_agreed_on_is_said_in_a_sentence(ambienti, words, code, says):
    found, _, err = ambienti(*words)
    assert (found, says in err) == (code, True), err


EXCLUSION = (
    "exclusion",
    "add",
    "pool",
    "--start",
    "2026-03-10 08:00",
    "--duration",
    "2h",
    "--cause",
    "building",
    "--why",
    "power",
)
ME = login()


def test_an_exclusion_counts_once_somebody_else_accepted_it(ambienti):
    assert ambienti("token", "add", "bob")[0] == 0
    assert ambienti(*EXCLUSION, "--by", "ann")[1].startswith("x1 is proposed for pool; it counts once somebody else says")
    code, _, err = ambienti("exclusion", "accept", "x1", "--by", "ann")
    assert (code, f"ann (login {ME}) proposed x1, and ann would agree with himself: somebody else must" in err) == (1, True), (
        err
    )
    assert json.loads(ambienti("exclusion", "list", "--json")[1])[0]["accepted_by"] == ""
    assert ambienti("exclusion", "accept", "x1", "--token-file", "bob.token", "--by", "the board")[0] == 0
    (one,) = json.loads(ambienti("exclusion", "list", "--json")[1])
    assert (one["author"], one["accepted_by"]) == (f"ann (login {ME})", "the board (token bob)")
    assert one["start"] == "2026-03-10T08:00:00+01:00"
    assert ambienti("exclusion", "accept", "x1", "--by", "eve")[2] == "x1 was accepted by the board (token bob) already\n"


@pytest.mark.parametrize("name", ["ann", "Ann ", "a\u0430nn"[:1] + "nn", "the computing board", "\u0430nn"])
def test_one_login_cannot_be_two_people_whatever_it_calls_itself(ambienti, name):
    assert ambienti(*EXCLUSION, "--by", "ann")[0] == 0
    code, _, err = ambienti("exclusion", "accept", "x1", "--by", name)
    assert (code, "somebody else must accept it" in err) == (1, True), err


def test_one_person_with_a_login_and_a_token_is_one(ambienti):
    ambienti("token", "add", "ann")
    ambienti("token", "add", "bob")
    assert ambienti(*EXCLUSION, "--token-file", "ann.token", "--by", "the experts")[0] == 0
    for words in (
        ("--token-file", "ann.token", "--by", "the board"),
        ("--by", "ann"),
        ("--token-file", "bob.token", "--by", "\u0410nn"),
    ):
        assert ambienti("exclusion", "accept", "x1", *words)[0] == 1, words
    assert ambienti("exclusion", "accept", "x1", "--token-file", "bob.token")[0] == 0


@pytest.mark.parametrize("name", ["bob (login bob)", "an\u200bna", " ", "bob\n"])
def test_a_name_cannot_sign_for_a_login(ambienti, name):
    assert ambienti(*EXCLUSION, "--by", name)[0] == 2


def test_who_accepts_his_own_exclusion_must_insist_by_name_and_stands_in_the_log(ambienti):
    ambienti(*EXCLUSION, "--by", "ann")
    assert ambienti("exclusion", "accept", "x1", "--force")[0] == 2
    assert ambienti("exclusion", "accept", "x1", "--by", "the board", "--force")[0] == 0
    line = json.loads(ambienti("events", "x1", "--json")[1].splitlines()[-1])
    told = line["detail"]
    assert (line["cause"], told["by"], told["login"], told["own_exclusion_by_force"]) == (
        "accepted",
        f"the board (login {ME})",
        ME,
        True,
    )


def test_a_token_is_written_for_its_holder_alone_and_kept_as_a_hash(ambienti, site):
    assert ambienti("token", "add", "nagios", "--for", "vo*", "--for", "core", "--back", "2h", "--by", "ann")[0] == 0
    file = site / "nagios.token"
    token = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with_journal = journal(site)
    assert holder(with_journal, token) == Token("nagios", ("vo*", "core"), 7200 * SECOND)
    assert holder(with_journal, "sesame") is None
    assert token not in (site / "ambienti.db").read_bytes().decode("latin-1")
    assert len(hashed(token)) == 64
    for name in ("nagios", "Nagi\u043es"):
        code, _, err = ambienti("token", "add", name, "--for", "*", "--file", "other.token")
        assert (code, "already" in err, (site / "other.token").exists()) == (1, True, False)
    assert ambienti("token", "add", "icinga", "--file", str(file))[0] == 2, "nothing is overwritten"
    assert "did you mean voms?" in ambienti("token", "add", "icinga", "--for", "vosm")[2]
    code, _, err = ambienti("token", "add", "icinga", "--for", "pool")
    assert (code, err) == (
        1,
        "Ambienti looks at pool itself, nobody else reports on it; others report on voms, core (services file)\n",
    )
    assert not (site / "icinga.token").exists()
    assert "nothing that others report on is called 'xen*' yet" in ambienti("token", "add", "ici", "--for", "xen*")[2]
    assert ambienti("token", "revoke", "ici")[1] == "The token of ici is worth nothing any more.\n"
    assert ambienti("token", "revoke", "nagios")[0] == 0
    assert holder(with_journal, token) is None
    (listed,) = (one for one in json.loads(ambienti("token", "list", "--json")[1]) if one["name"] == "nagios")
    assert (listed["name"], listed["made_by"], bool(listed["revoked_at"])) == ("nagios", f"ann (login {ME})", True)
    assert (listed["objects"], listed["back_seconds"], listed["reads"]) == (["vo*", "core"], 7200, False)
    with_journal.close()


def test_a_correction_counts_once_somebody_else_accepted_it(ambienti, site):
    """voms is told OK at 110 and CRITICAL at 200; the report that it was WARNING at 150 waits."""
    ambienti("token", "add", "nagios", "--for", "voms", "--by", "ann")
    ambienti("token", "add", "bob")
    book = journal(site)
    book.hold_lease("a", 101.0, 1e12)
    declare(book, "a", 101.0, [Declared("voms")])
    for at, status in ((110, 0), (200, 2)):
        push(book, "a", at, at, Push("voms", status, by="nagios"))
    assert push(book, "a", 300, 300, Push("voms", 1, at=150, text="[/x] slow", by="nagios")) == "held as c1"
    assert push(book, "a", 301, 301, Push("voms", 0, at=160, by="nagios")) == "held as c2"
    before = load_history(book, 400.0).results
    out = ambienti("correction", "list")[1]
    assert "voms" in out
    assert "[/x] slow" in out
    for words in (("--by", "nagios"), ("--by", "the board"), ("--token-file", "nagios.token", "--by", "carl")):
        code, _, err = ambienti("correction", "accept", "c1", *words)
        assert (code, "somebody else must accept c1" in err) == (1, True), err
    assert (correct(book, "a", 350.0), load_history(book, 400.0).results) == (0, before)
    assert "is accepted by bob" in ambienti("correction", "accept", "c1", "--token-file", "bob.token")[1]
    assert ambienti("correction", "refuse", "c2")[0] == 0
    assert ambienti("correction", "accept", "c2", "--token-file", "bob.token")[0] == 1
    assert "there is no correction c9" in ambienti("correction", "accept", "c9")[2]
    assert (correct(book, "a", 360.0), correct(book, "a", 361.0)) == (1, 0)
    found = load_history(book, 400.0)
    assert [(one.at // SECOND, one.status.name) for one in found.results] == [(110, "OK"), (150, "WARNING"), (200, "CRITICAL")]
    (told,) = found.corrections
    assert (told.id, told.by, told.accepted_by) == ("c1", "nagios", "bob")
    line = json.loads(ambienti("events", "voms", "--json")[1].splitlines()[-1])
    assert (line["detail"]["correction"], line["detail"]["accepted_by"], line["correlation"]) == ("c1", "bob", "c1")
    assert [json.loads(one)["cause"] for one in ambienti("events", "--kind", "correction", "--json")[1].splitlines()] == [
        *("proposed", "proposed", "accepted", "refused"),
    ]
    assert "Correction c1: voms was WARNING at " in ambienti("report")[1]
    assert json.loads(ambienti("report", "--json")[1])["corrections"][0]["accepted_by"] == "bob"
    assert ambienti("report", "--html", site / "page.html")[0] == 0
    assert "Corrections of the past" in (site / "page.html").read_text()
    assert ambienti("report", "bundle", site / "b.tar")[0] == 0
    code, out, _ = ambienti("report", "verify", site / "b.tar")
    assert code == 0, out
    book.close()


def test_the_event_log_is_looked_up_by_object_kind_and_story(ambienti, site):
    ambienti("downtime", "add", "xen1", "--start", "+30h", "--duration", "2h", "--why", "fan")
    with_journal = journal(site)
    with_journal.hold_lease("a", 101.0, 60)
    look = Look(102.0, 7.0, (Said("pool", 2, text="refused"), Said("xen1", 0, "host")), began="start")
    with_journal.remember("a", 102.0, Memo(look=look))
    with_journal.close()
    lines = [json.loads(line) for line in ambienti("events", "--json")[1].splitlines()]
    assert [one["sequence"] for one in lines] == sorted(one["sequence"] for one in lines)
    assert [(one["object"], one["detail"]["status"]) for one in lines if one["kind"] == "status"] == [
        ("pool", "CRITICAL"),
        ("xen1", "OK"),
    ]
    (one,) = [json.loads(line) for line in ambienti("events", "pool", "--json")[1].splitlines()]
    assert (one["at"], one["boot"], one["detail"]["text"]) == ("1970-01-01T01:01:42+01:00", 1, "refused")
    assert re.search(r"d1 .* start=\d{4}-\d\d-\d\dT", " ".join(ambienti("events", "--kind", "downtime")[1].split()))
    assert ambienti("events", "--since", "1h", "--kind", "status")[1] == "nothing\n"
    assert ambienti("events", "--correlation", "intent-7")[1] == "nothing; no line of the log has the correlation 'intent-7'\n"
    missed = ambienti("events", "pol", "--kind", "statsu")[1].replace("\n", " ")
    assert "the subject 'pol', did you mean 'pool'?" in missed
    assert "the kind 'statsu', did you mean 'status'?" in missed


def test_the_report_of_the_site_shows_its_own_objects_and_groups(ambienti, site):
    with_journal = journal(site)
    with_journal.hold_lease("a", 101.0, 60)
    with_journal.remember("a", 102.0, Memo(look=Look(102.0, 7.0, (Said("pool", 0),), began="start")))
    with_journal.close()
    code, out, _ = ambienti("report", "--json")
    assert code == 0
    assert {"pool", "voms", "core", "atlas/atlas-el9"} <= {row["object"] for row in json.loads(out)["rows"]}
    assert ambienti("report", "--object", "kore")[0] == 2
    span = ("--from", "1970-01-01T00:02:00Z", "--to", "1970-01-01T00:03:00Z")
    code, out, _ = ambienti("report", "explain", "--object", "pool", *span, "--profiles", "excuse,icinga", "--json")
    assert code == 0
    assert [(one["status"], one["length"], one["other"]) for one in json.loads(out)["stretches"]] == [("MISSING", 60, "bad")]
    assert "did you mean core?" in ambienti("report", "explain", "--object", "kore", "--window", "7d")[2]


def test_a_wrong_services_file_is_told_at_its_line_with_the_rest_of_the_configuration(ambienti, site):
    (site / "services.yaml").write_text(SERVICES.replace("voms, atlas", "vosm, atlas"))
    code, out, _ = ambienti("check")
    assert (code, "services.yaml:4:" in out, "did you mean voms?" in out) == (2, True, True), out
    (site / "services.yaml").write_text("objects: [pool]\nevents: []\n")
    code, out, _ = ambienti("check")
    assert (code, "this does not belong here" in out) == (2, True), out
    (site / "services.yaml").write_text("objects: [pool]\n")
    assert "Ambienti looks at 'pool' itself" in ambienti("check")[1]
    (site / "services.yaml").unlink()
    (site / "site.yaml").write_text(SITE + "services: other.yaml\n")
    assert "other.yaml" in ambienti("check")[1]


def test_the_page_of_a_live_site_tells_what_became_of_its_incidents(ambienti, site):
    book = Journal(f"sqlite:///{site}/ambienti.db", now=100.0)
    now = journaled.now()
    rules = Rules(ResponseTimes("Europe/Rome"), Roster({}), (Level("anna", 600 * SECOND),), 1, 900 * SECOND)
    happened(
        book, [IncidentEvent(now - 2 * SECOND, What.BAD, "voms")], PagingRules("perugia", "UTC", rules, {}), now - 2 * SECOND
    )
    book.close()
    code, _, problem = ambienti("report", "--window", "7d", "--html", site / "report.html")
    assert (code, problem) == (0, "")
    section = (site / "report.html").read_text().partition('<section id="responses">')[2].partition("</section>")[0]
    assert "1 incident opened" in section
    assert "1 pending" in section
    assert ">object:voms<" in section


def test_the_page_of_a_site_names_the_rule_of_a_recurring_downtime(ambienti, site):
    ambienti(
        "downtime", "add", "voms", "--start", "2026-03-03 09:00", "--duration", "2h", "--every", "FREQ=DAILY", "--why", "tape"
    )
    code, _, problem = ambienti("report", "--window", "7d", "--html", site / "report.html")
    assert (code, problem) == (0, "")
    assert "FREQ=DAILY" in (site / "report.html").read_text()


# --- one VO's view ----------------------------------------------------------------------------------------------------


def test_a_vo_gets_a_report_of_what_serves_it_and_of_nothing_else(ambienti, site):
    (site / "site.yaml").write_text(SITE.replace("{atlas: }", "{atlas: , cms: , theory: }"))
    (site / "vos/cms.yaml").write_text(ATLAS.replace("atlas", "cms"))
    (site / "vos/theory.yaml").write_text("vo: theory\n")
    groups = "  mine: {operator: and, members: [atlas/atlas-el9, workers/atlas-el9]}\n  all: {operator: and, members: [cms/cms-el9, pool]}\n"
    (site / "services.yaml").write_text(SERVICES + groups)
    ambienti("downtime", "add", "cms/cms-el9", "--start", "+48h", "--duration", "1h", "--why", "theirs", "--by", "eve")
    told = json.loads(ambienti("report", "--vo", "atlas", "--json")[1])
    assert {row["object"] for row in told["rows"]} == {"atlas/atlas-el9", "workers/atlas-el9", "mine"}
    assert told["downtimes"] == []
    assert ambienti("report", "--vo", "atlas", "--html", "atlas.html")[0] == 0
    page = (site / "atlas.html").read_text()
    assert "Availability of perugia for atlas" in page
    assert "cms-el9" not in page
    code, _, err = ambienti("report", "--vo", "alice")
    assert (code, err.strip()) == (2, "the site has no VO 'alice'; there are atlas, cms, theory")
    code, _, err = ambienti("report", "--vo", "theory")
    assert (code, err.strip()) == (1, "theory may use no environment: nothing serves it yet")
