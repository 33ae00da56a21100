"""The command line as people use it: what it prints, where, and with which exit code."""

import fcntl
import io
import json
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from builders import a_cluster, a_host, a_policy, a_vo, a_worker, an_environment, an_observation, silent

from environments.problems import Problem
from environments.reason import Reason
from scheduler.commands.cli import COMMANDS, main, name_of
from scheduler.commands.journaled import login
from scheduler.daemon.listening import Web
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.web import Shown
from scheduler.decide.plan import decide
from scheduler.journal.hosts import drain, drained_hosts
from scheduler.journal.journal import Journal
from scheduler.journal.opening import SideFile
from scheduler.journal.records import Entry, Intent, Memo, Outcome
from scheduler.journal.upgrading import newest_form
from scheduler.loop.engine import Cycle
from scheduler.model.actions import Boot
from scheduler.model.clock import WallClock, clock_time
from scheduler.model.hosts import worker_uuid
from scheduler.model.snapshot import dump, load
from scheduler.model.workers import WorkerState
from scheduler.site import definitions, in_force
from scheduler.site.in_force import directory_of
from tests.lab.old_journal import to_form

SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: "xen[1-3]", uri: "test:///nowhere/{host}.xml", labels: {rack: a}}]
vos: {atlas: , cms: }
daemon: {listen: ""}
"""
ATLAS = """\
vo: atlas
environments:
  atlas-el9: {virtualization: lxc, image: {path: /srv/el9}, vcpus: 4, memory_mib: 8 GiB, default: true, shared_with: [cms]}
  atlas-el8: {extends: atlas-el9, image: {path: /srv/el8}, shared_with: ~}
"""


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ("AMBIENTI_SITE", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "vos/atlas.yaml").write_text(ATLAS)
    (tmp_path / "vos/cms.yaml").write_text("vo: cms\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "site.yaml"


@pytest.fixture
def farm(tmp_path):
    """A snapshot: one VO with waiting jobs, three workers, one silent host, one host with room."""
    policy = a_policy(an_environment(), vos=(a_vo(ceiling_cpus=100),), hosts=("h1", "h2"))
    observation = an_observation(
        a_cluster(idle=20, running=2, held=1),
        workers=(a_worker(), a_worker("el9-2", WorkerState.BUSY), a_worker("el9-3", WorkerState.BOOTING)),
        hosts=[a_host("h1"), silent("h2")],
    )
    path = tmp_path / "farm.json"
    path.write_bytes(dump(observation, policy))
    return path


@pytest.fixture
def ambienti(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert "\x1b" not in printed.out + printed.err
        return left.value.code or 0, printed.out, printed.err

    return call


# --- status and plan --------------------------------------------------------------------------------------------------


def test_status_shows_vos_environments_hosts_workers_and_sources(ambienti, farm):
    code, out, err = ambienti("status", "--snapshot", farm)
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (3, "no answer from h2: nothing is concluded from that\n")
    assert ["h2", "host", "60", "s", "ago", "silent", "connection", "refused"] in lines
    assert any(line[:4] == ["atlas", "20", "2", "1"] for line in lines)
    assert any(line[:7] == ["el9", "atlas", "1", "0", "1", "1", "1"] for line in lines)
    assert any(line[:1] == ["el9-2"] and "busy" in line for line in lines)


def test_status_as_json_has_every_row(ambienti, farm):
    code, out, err = ambienti("status", "--snapshot", farm, "--json")
    data = json.loads(out)
    assert (code, err) == (3, "")
    assert data["vos"][0]["idle"] == 20
    assert data["vos"][0]["cpus"] == 6
    assert [row["worker"] for row in data["workers"]] == ["el9-1", "el9-2", "el9-3"]
    assert {row["source"]: row["state"] for row in data["sources"]} == {"pool": "ok", "h1": "ok", "h2": "silent"}
    assert data["hosts"][0]["used_memory_mib"] == 3 * 4096


def test_plan_shows_each_action_with_its_reason_and_tells_who_is_silent(ambienti, farm):
    code, out, err = ambienti("plan", "--snapshot", farm)
    assert code == 3
    assert "boot         el9-4 on h1" in out
    assert "no answer from h2" in err


def test_plan_as_json_has_the_kind_the_reason_and_its_numbers(ambienti, farm):
    _, out, _ = ambienti("plan", "--snapshot", farm, "--json")
    first = json.loads(out)["actions"][0]
    assert (first["action"], first["machine"], first["host"]) == ("Boot", "el9-4", "h1")
    assert first["reason"]["code"]
    assert first["reason"]["sentence"]


def test_a_snapshot_comes_through_standard_input(ambienti, farm, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(farm.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    code, out, _ = ambienti("status", "--snapshot", "-")
    assert code == 3
    assert "seen by snapshot -" in out


def test_what_is_no_snapshot_is_wrong_use(ambienti, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    assert ambienti("status", "--snapshot", tmp_path / "x.json")[0] == 2
    code, _, err = ambienti("plan", "--snapshot", tmp_path / "y.json")
    assert code == 2
    assert "there is no such file" in err


def test_tables_are_not_cut_where_there_is_no_terminal(ambienti, tmp_path):
    name = "a-very-long-name-of-an-environment-x"
    path = tmp_path / "long.json"
    path.write_bytes(dump(an_observation(a_cluster(idle=1, wanted=name)), a_policy(an_environment(name))))
    code, out, _ = ambienti("status", "--snapshot", path)
    assert code == 0, "everything answers"
    assert name in out
    assert "…" not in out


def test_a_farm_that_does_not_answer_is_a_table_and_no_traceback(ambienti, site):
    code, out, err = ambienti("status")
    assert (code, "no answer from pool, xen1, xen2, xen3" in err) == (3, True)
    assert "perugia, seen by a look of our own." in out
    assert [line.split()[0] for line in out.splitlines() if " silent " in line] == ["pool", "xen1", "xen2", "xen3"]
    assert not (site.parent / "ambienti.db").exists()


@pytest.mark.parametrize(("farm_there", "seen_by"), [("perugia", "the daemon at"), ("hill", "a look of our own")])
def test_the_daemon_of_this_farm_is_asked_and_no_other(ambienti, site, farm_there, seen_by):
    policy = replace(a_policy(an_environment()), site=farm_there)
    observation = an_observation(a_cluster(idle=7), hosts=[a_host("h1")])
    shown = Shown(30, lambda: 0.0, Cycle(observation, decide(observation, policy), (), 0.1), policy)
    local = site.parent / "state/daemon.sock"
    web = Web("", shown, Metrics(), local=local)
    try:
        _, out, _ = ambienti("status")
    finally:
        web.close()
    assert f"seen by {seen_by}" in out
    if farm_there == "hill":
        assert "serves another farm, hill" in out


def test_what_waits_ends_with_three_while_a_batch_system_is_silent(ambienti, tmp_path):
    path = tmp_path / "silent.json"
    path.write_bytes(dump(an_observation(queues=[silent("pool")]), a_policy(an_environment())))
    code, out, err = ambienti("why", "--snapshot", path)
    assert (code, err) == (3, "no answer from pool: nothing is concluded from that\n")
    assert "whether jobs wait is not known" in out
    assert "no job" not in out
    assert ambienti("why", "--snapshot", path, "--json")[0] == 3


@pytest.mark.parametrize(("farm_there", "ends"), [("perugia", 0), ("hill", 2)])
def test_a_misspelt_key_does_not_hide_what_the_daemon_goes_by(ambienti, site, farm_there, ends):
    policy = replace(a_policy(an_environment()), site=farm_there)
    observation = an_observation(a_cluster(idle=7), hosts=[a_host("h1")])
    cycle = Cycle(observation, decide(observation, policy), (), 0.1)
    web = Web("", Shown(30, lambda: 0.0, cycle, policy), Metrics(), local=site.parent / "state/daemon.sock")
    try:
        (site.parent / "vos/atlas.yaml").write_text(ATLAS.replace("vcpus", "vcpu"))
        code, out, err = ambienti("status")
    finally:
        web.close()
    assert code == ends
    if farm_there == "perugia":
        assert "seen by the daemon at" in out
        assert "1 problem in the files (`ambienti check`): below is what the daemon goes by meanwhile" in err
    else:
        assert "did you mean vcpus?" in err


@pytest.fixture
def daemon(site):
    """A daemon that went by the site's files when they were right, serves what it saw, and lives."""
    found = definitions.load(site)
    keeper = in_force.Keeper(found, in_force.Running(os.getpid(), 1_700_000_000.0), pytest.fail)
    yield keeper
    keeper.close()


WRONG_SITES = [
    SITE.replace("hosts:", "hots:"),
    SITE.replace("uri:", "url:"),
    SITE + "  - no YAML: [\n",
    SITE.replace("test:///nowhere/{host}.xml", "test:///nowhere/{hst}.xml"),
    SITE.replace("daemon: {listen", "daemon: {lissten"),
    "",
    "\xff\x00",
]


@pytest.mark.parametrize("wrong", WRONG_SITES)
def test_a_wrong_site_file_blinds_nobody_while_a_daemon_goes_by_the_last_good_one(ambienti, site, daemon, wrong):
    right = ambienti("env", "list")[:2]
    site.write_text(wrong)
    code, out, err = ambienti("env", "list")
    assert (code, out) == right
    assert "in the files (`ambienti check`): below is what the daemon goes by meanwhile" in err
    assert ambienti("check")[0] == 2


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        *((("status",), 3), (("env", "show", "atlas-el9"), 0), (("host", "list"), 0), (("events",), 0), (("usage",), 0)),
        *((("downtime", "list"), 0), (("token", "list"), 0), (("incident", "list"), 0), (("hooks", "htcondor"), 0)),
        *((("report", "--vo", "atlas"), 0), (("env", "try", "atlas-el99"), 1)),
    ],
)
def test_a_wrong_site_file_blinds_no_command_while_a_daemon_goes_by_the_last_good_one(
    ambienti, site, daemon, command, expected
):
    site.write_text(SITE.replace("hosts:", "hots:"))
    code, _, err = ambienti(*command)
    assert code == expected
    assert err.count("below is what the daemon goes by meanwhile") == 1


@pytest.mark.parametrize(
    "command",
    [
        "host list",
        "usage",
        "events",
        "incident list",
        "downtime list",
        "exclusion list",
        "correction list",
        "token list",
        "report",
        "objective status",
    ],
)
def test_whoever_only_reads_makes_no_journal_and_is_told_that_nothing_is_known(ambienti, site, command):
    _, _, err = ambienti(*command.split(), "--json")
    assert err.count(f"there is no journal {site.parent}/ambienti.db yet") == 1, err
    assert not (site.parent / "ambienti.db").exists()


def test_following_the_log_waits_for_what_the_daemon_will_write(ambienti, site, monkeypatch):
    def write_one(_, seconds):
        with closing(Journal(f"sqlite:///{site.parent}/ambienti.db", now=100.0)) as journal:
            if drained_hosts(journal):
                raise KeyboardInterrupt
            drain(journal, "xen2", "burns", 100.0, "anna")

    monkeypatch.setattr(WallClock, "sleep", write_one)
    code, out, err = ambienti("events", "--follow")
    assert "xen2" in out, (code, err)


def test_an_administrator_can_act_while_the_site_file_is_wrong(ambienti, site, daemon):
    site.write_text(SITE.replace("hosts:", "hots:"))
    assert ambienti("host", "drain", "xen2")[0] == 0
    code, out, _ = ambienti("downtime", "add", "xen2", "--why", "new memory", "--duration", "2h")
    assert (code, "is declared for xen2" in out) == (0, True)


def test_what_a_daemon_that_is_dead_went_by_is_not_in_force(ambienti, site, daemon):
    daemon.close()
    site.write_text(SITE.replace("hosts:", "hots:"))
    code, _, err = ambienti("status")
    assert (code, "did you mean hosts?" in err) == (2, True)


def test_status_and_plan_say_what_the_daemon_refuses_and_fails_of(ambienti, site):
    policy = replace(a_policy(an_environment()), site="perugia")
    observation = an_observation(hosts=[a_host("h1")])
    cycle = Cycle(observation, decide(observation, policy), (), 0.1)
    wrong = Problem("site.yaml", 3, 1, "hots", "is not a known key", nearest="hosts")
    shown = Shown(30, lambda: 0.0, cycle, policy, problem="journal: disk full", failing_since=1.0, refused=lambda: (wrong,))
    (site.parent / "state").mkdir()
    web = Web("", shown, Metrics(), local=definitions.load(site).file.socket)
    try:
        for command in ("status", "plan", "why"):
            out = ambienti(command)[1]
            assert "and does nothing meanwhile: journal: disk full" in out
            assert "site.yaml:3:1 hots: is not a known key; did you mean hosts?" in out
        told = json.loads(ambienti("status", "--json")[1])["daemon"]
    finally:
        web.close()
    assert (told["problem"], told["failing_since"], len(told["refused"])) == ("journal: disk full", 1.0, 1)


def test_a_snapshot_is_taken_and_read_again(ambienti, site):
    code, out, err = ambienti("snapshot", "farm.json")
    assert (code, "no answer from pool" in err) == (3, True)
    assert "farm.json: " in out
    assert json.loads(ambienti("status", "--snapshot", "farm.json", "--json")[1])["site"] == "perugia"


def test_a_sound_configuration_is_told_in_one_line(ambienti, site):
    assert ambienti("check") == (0, "site.yaml: 2 VOs, 2 environments, 3 hosts: all is well.\n", "")
    assert json.loads(ambienti("check", "--json")[1]) == {"ok": True, "problems": [], "findings": []}


def test_the_files_beside_the_site_file_are_checked_together_and_what_comes_later_is_said(ambienti, site):
    (site.parent / "services.yaml").write_text("groups:\n  core: {operator: andd, members: [pool]}\n")
    (site.parent / "oncall.yaml").write_text("zone: Europe/Rome\npeple: {anna: {}}\n")
    code, out, _ = ambienti("check")
    assert code == 2
    assert "services.yaml:2:" in out
    assert "oncall.yaml:2:1 peple" in out
    assert out.endswith("More may follow: what depends on these is checked once they are right.\n")


def test_a_live_check_of_a_farm_that_is_down_tells_who_does_not_answer(ambienti, site):
    code, out, _ = ambienti("check", "--live")
    assert code == 3
    assert "site.yaml:3:33 hosts[0].uri: xen1: " in out
    assert "batch system pool: " in out


def test_once_on_a_farm_that_does_not_answer_does_nothing_and_says_so(ambienti, site):
    code, out, err = ambienti("once")
    assert (code, out) == (3, "nothing to do\n")
    assert "no answer from pool, xen1, xen2, xen3: nothing is concluded from that" in err
    assert json.loads((site.parent / "state/journal-seen.json").read_text())["next_serial"] == 1, "an older copy would be known"


def test_hooks_print_what_the_batch_system_needs(ambienti, site):
    code, out, _ = ambienti("hooks", "htcondor")
    assert code == 0
    for word in ("JOB_TRANSFORM_NAMES", "SUBMIT_REQUIREMENT_NAMES", "atlas-el8", "atlas-el9"):
        assert word in out
    assert ambienti("hooks", "pool")[1] == out
    code, _, err = ambienti("hooks", "htcondr")
    assert (code, "did you mean htcondor?" in err) == (2, True)


# --- why --------------------------------------------------------------------------------------------------------------


def test_why_explains_a_job_of_a_snapshot_on_one_screen(ambienti, tmp_path):
    cluster = a_cluster(idle=7, cpus=64, example_job="12.0")
    path = tmp_path / "farm.json"
    path.write_bytes(dump(an_observation(cluster), a_policy()))
    code, out, _ = ambienti("why", "12.0", "--snapshot", path)
    assert code == 0
    assert out.splitlines()[:2] == [
        "The only environment of VO atlas does not fit: asks for 64 cores, a worker of el9 has 2.",
        "Write `request_cpus = 2` or less: that fits el9.",
    ]
    assert len(out.splitlines()) <= 4
    _, out, _ = ambienti("why", "12", "--snapshot", path, "--details")
    assert "would change it" in out
    assert "no-match: job 12.0 waits" in out
    assert len(out.splitlines()) <= 25
    data = json.loads(ambienti("why", "12.0", "--snapshot", path, "--json")[1])
    assert data["missing"]["asked_cpus"] == 64


def test_why_without_a_job_lists_all_that_waits(ambienti, farm):
    _, out, _ = ambienti("why", "--snapshot", farm)
    assert "atlas" in out
    assert json.loads(ambienti("why", "--snapshot", farm, "--json")[1])["clusters"][0]["idle"] == 20


def test_why_of_a_job_that_is_not_there_tells_what_is(ambienti, farm, tmp_path):
    code, _, err = ambienti("why", "99.0", "--snapshot", farm)
    assert (code, "does not hold job 99.0" in err) == (1, True)


@pytest.mark.parametrize("name", ["abc", "12.x", "12.0@", "#12.0", "\u0661.0", "-1", "9" * 30])
def test_what_is_no_name_of_a_job_is_told_how_jobs_are_called(ambienti, site, name):
    code, out, err = ambienti("why", "--", name)
    assert (code, out) == (1, "")
    assert f"no batch system knows a job {name!r} (asked: pool): HTCondor calls a job 123.4" in err
    assert "all jobs of a submission 123 (`ambienti why 123.4`)" in err


def test_a_global_job_id_names_its_job_and_its_schedd(ambienti, site):
    code, _, err = ambienti("why", "schedd.example.org#99.0#1700000000")
    assert (code, "Of job schedd.example.org#99.0#1700000000 nothing can be told until it answers" in err) == (3, True)


def test_why_of_a_job_while_its_batch_system_is_silent_says_so(ambienti, site):
    code, _, err = ambienti("why", "99.0")
    assert code == 3
    assert "Batch system pool has not answered yet; running jobs go on, waiting jobs keep their place." in err
    assert "Of job 99.0 nothing can be told until it answers" in err


def test_why_worker_explains_a_worker_and_knows_its_neighbours(ambienti, farm):
    code, out, _ = ambienti("why-worker", "el9-2", "--snapshot", farm)
    assert (code, out.count("worker el9-2 is busy") + out.count("Worker el9-2 is busy")) == (0, 1), "it is said once"
    assert "\nbusy\n" in out
    code, _, err = ambienti("why-worker", "el9-22", "--snapshot", farm)
    assert (code, "did you mean el9-2?" in err) == (1, True)


def test_why_worker_of_one_that_is_over_tells_from_the_journal_when_and_why(ambienti, site):
    journal = a_worker_on(site, "xen1")
    journal.end(1010.0, 1, Outcome.FAILED, changes={"boot_error": "xen1: boot atlas-el9-1: there is no such file /srv/el9"})
    over = {"state": "gone", "since": 1030.0, "closed_at": 1030.0, "ended_by": "power-off"}
    journal.remember("daemon", 1030.0, Memo({"atlas-el9-1": over}))
    journal.close()
    code, out, _ = ambienti("why-worker", "atlas-el9-1")
    assert code == 0
    assert "it did not come up: xen1: boot atlas-el9-1: there is no such file /srv/el9" in out
    assert "1970-01-01 00:17:10 UTC" in out
    assert "it was booted for this: 1 job waits" in out
    code, _, err = ambienti("why-worker", "atlas-el9-11")
    assert (code, "did you mean atlas-el9-1?" in err) == (1, True)


# --- environments -----------------------------------------------------------------------------------------------------


def test_environments_are_listed_with_owner_and_size(ambienti, site):
    (site.parent / "vos/atlas.yaml").write_text(ATLAS.replace("default: true", "default: true, provides: {HasCVMFS: true}"))
    _, out, _ = ambienti("env", "list")
    assert "atlas-el9" in out
    assert "8192 MiB" in out
    assert "HasCVMFS=true" in out
    _, out, _ = ambienti("env", "list", "--vo", "cms", "--json")
    assert [one["name"] for one in json.loads(out)] == ["atlas-el9"]


def test_an_environment_is_shown_with_the_line_of_each_value(ambienti, site):
    code, out, _ = ambienti("env", "show", "atlas-el8")
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]] for line in out.splitlines() if "│" in line
    }
    assert code == 0
    assert rows["image.path"] == ["/srv/el8", "vos/atlas.yaml:4"]
    assert rows["vcpus"] == ["4", "vos/atlas.yaml:3"]
    assert rows["idle_seconds"] == ["300", "default"]


def test_an_unknown_environment_vo_or_host_is_answered_with_the_nearest_name(ambienti, site):
    code, _, err = ambienti("env", "show", "atlas-el7")
    assert (code, "did you mean atlas-el" in err) == (1, True)
    code, _, err = ambienti("env", "list", "--vo", "cmz")
    assert (code, "did you mean cms?" in err) == (2, True)
    code, _, err = ambienti("host", "drain", "xem1")
    assert (code, "did you mean xen1?" in err) == (1, True)


# --- hosts ------------------------------------------------------------------------------------------------------------


def test_a_host_is_drained_listed_and_taken_back(ambienti, site):
    site.write_text(f"{SITE}timezone: Europe/Rome\n")
    assert ambienti("host", "drain", "xen2", "--why", "replace fan")[0] == 0
    _, out, _ = ambienti("host", "list", "--json")
    rows = {row["host"]: row for row in json.loads(out)}
    assert rows["xen2"]["why"] == "replace fan"
    assert rows["xen2"]["drained_since"] > 1_700_000_000
    assert rows["xen1"]["drained_since"] is None
    listed = ambienti("host", "list")[1]
    assert "replace fan" in listed
    since = clock_time(rows["xen2"]["drained_since"], 0, "Europe/Rome")
    assert since in listed, "by the clocks of the site"
    assert ambienti("host", "undrain", "xen2")[0] == 0
    code, _, err = ambienti("host", "undrain", "xen2")
    assert (code, "xen2 was not drained" in err) == (1, True)


def test_names_of_hosts_have_no_case(ambienti, site):
    code, out, _ = ambienti("host", "drain", "XEN2")
    assert (code, out.startswith("xen2 is drained")) == (0, True)
    assert ambienti("host", "undrain", "Xen2")[0] == 0
    code, out, _ = ambienti("downtime", "add", "XEN1", "--why", "x", "--duration", "2h")
    assert (code, "declared for xen1" in out) == (0, True)
    twice = SITE.replace("hosts: [", 'hosts: [{name: XEN1, uri: "test:///b.xml"}, ')
    site.write_text(twice)
    assert "as XEN1 (names of hosts have no case)" in ambienti("check")[1]


def test_a_downtime_repeats_its_span_and_a_bare_number_is_no_length_and_no_instant(ambienti, site):
    begin = ("downtime", "add", "xen1", "--why", "x", "--start", "2030-03-10 08:00")
    _, out, _ = ambienti(*begin, "--duration", "6h")
    assert "from 2030-03-10T08:00:00Z until 2030-03-10T14:00:00Z (6 h)" in out.replace("+00:00", "Z")
    for wrong, says in ((("--duration", "6"), "'6' has no unit"), (("--end", "6"), "'6' is no instant")):
        code, _, err = ambienti(*begin, *wrong)
        assert (code, says in err) == (2, True)


@pytest.mark.parametrize(("written", "mib"), [("4 GiB", 4096), ("512", 512), ("0", 0)])
def test_the_reserve_of_a_host_has_a_unit(site, written, mib):
    site.write_text(SITE.replace("labels:", f"reserve_mib: {written}, labels:"))
    assert definitions.load(site).file.hosts["xen1"].settings.reserve_mib == mib


def test_who_is_on_call_is_found_beside_the_site_file(ambienti, site, monkeypatch, tmp_path_factory):
    (site.parent / "oncall.yaml").write_text("people: {}\n")
    monkeypatch.setenv("AMBIENTI_SITE", str(site))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    _, _, err = ambienti("oncall", "who")
    assert str(site.parent / "oncall.yaml") in err


def a_worker_on(site, host):
    """Let the journal know a worker on a host, as a daemon would."""
    journal = Journal(f"sqlite:///{site.parent / 'ambienti.db'}", now=1000.0)
    journal.hold_lease("daemon", 1000.0, 60)
    boot = Boot("atlas-el9-1", 1, "atlas-el9", "1", "atlas", "pool", host, Reason("demand", "1 job waits"))
    uuid = worker_uuid("perugia", "atlas-el9-1", 1)
    where = {"batch_system": "pool", "host": host, "cpus": 4, "memory_mib": 8192, "state": WorkerState.REQUESTED}
    times = {"since": 1000.0, "requested_at": 1000.0}
    entry = Entry("atlas-el9-1", 1, uuid, "atlas-el9", "1", "atlas", **where, **times)
    journal.begin("daemon", 1000.0, [Intent(boot, entry)])
    return journal


def test_once_names_the_daemon_that_holds_the_lease(ambienti, site):
    journal = Journal(f"sqlite:///{site.parent / 'ambienti.db'}", now=time.time())
    assert journal.hold_lease("farm1:4711", time.time(), 600)
    code, _, err = ambienti("once")
    journal.close()
    assert code == 1
    assert err == "another daemon, farm1:4711, holds the lease of the journal: nothing was done\n"


def test_no_command_but_journal_upgrade_changes_a_journal_of_an_older_version(ambienti, site):
    to_form(f"sqlite:///{site.parent / 'ambienti.db'}", "0010").dispose()
    for words in (["events"], ["once"], ["drain", "xen1"], ["downtime", "add", "pool", "--why", "x", "--duration", "1h"]):
        code, _, err = ambienti(*(["host"] if words[0] == "drain" else []), *words)
        assert code == 3, words
        assert "written by an older Ambienti (its form is 0010" in err
        assert "run `ambienti journal upgrade`" in err
    assert ambienti("journal", "upgrade")[:2] == (0, f"The journal was brought from form 0010 to {newest_form()}.\n")
    assert ambienti("journal", "upgrade")[:2] == (0, f"The journal has form {newest_form()} already.\n")
    assert ambienti("events")[0] == 0


def test_once_does_nothing_beside_a_living_daemon_though_the_journal_is_another_one(ambienti, site):
    directory = directory_of(site)
    directory.mkdir(exist_ok=True)
    with (directory / "daemon.lock").open("w") as lock:
        lock.write('{"pid": 4711, "since": 0}')
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = ambienti("once")
    assert (code, (site.parent / "ambienti.db").exists()) == (1, False)
    assert err == "the same site file is served by another daemon on this machine (pid 4711): nothing was done\n"


def test_a_journal_that_a_daemon_works_with_is_not_upgraded(ambienti, site):
    url = f"sqlite:///{site.parent / 'ambienti.db'}"
    engine = to_form(url, "0010")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE lease SET owner = 'farm1:4711', locked = 1")
    engine.dispose()
    holder = SideFile(f"{site.parent / 'ambienti.db'}.lease")
    assert holder.take()
    code, _, err = ambienti("journal", "upgrade")
    assert code == 1
    assert "another daemon, farm1:4711, holds the lease of journal" in err
    holder.let_go()  # as the kernel does when it is killed
    assert ambienti("journal", "upgrade")[0] == 0


def test_a_host_is_forgotten_only_on_somebody_s_word(ambienti, site):
    journal = a_worker_on(site, "xen9")  # of which the site file tells nothing any more
    code, out, err = ambienti("host", "forget", "xen9")
    assert code == 1
    assert "atlas-el9-1" in out
    assert "nothing is given up without your word" in err
    assert "--i-confirm-it-is-off" in err
    assert journal.ledger().host_words == ()
    words = ("--i-confirm-it-is-off", "--why", "scrapped", "--by", "anna", "--json")
    code, out, _ = ambienti("host", "forget", "xen9", *words)
    assert code == 0
    assert json.loads(out) == {
        "host": "xen9",
        "by": f"anna (login {login()})",
        "why": "scrapped",
        "workers": [{"worker": "atlas-el9-1", "state": "requested", "vo": "atlas", "environment": "atlas-el9"}],
    }
    (word,) = journal.ledger().host_words
    assert (word.host, word.by, word.why) == ("xen9", f"anna (login {login()})", "scrapped")
    assert "is taken as off on the word of anna" in ambienti("host", "forget", "xen9", *words[:-1])[1]
    journal.close()


class Terminal(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("typed", "code"), [("xen9\n", 0), ("y\n", 1), ("\n", 1)])
def test_the_word_is_given_by_typing_the_host_s_name(ambienti, site, monkeypatch, typed, code):
    journal = a_worker_on(site, "xen9")
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    found, out, err = ambienti("host", "forget", "xen9")
    assert found == code
    assert "type its name" in out + err
    assert [word.host for word in journal.ledger().host_words] == ([] if code else ["xen9"])
    assert ("its workers may still run" in err) == bool(code)
    journal.close()


def test_a_host_that_answers_is_not_forgotten_and_one_that_nobody_knows_neither(ambienti, site):
    site.write_text(SITE.replace("test:///nowhere/{host}.xml", "test:///default").replace("xen[1-3]", "xen1"))
    code, _, err = ambienti("host", "forget", "xen1", "--i-confirm-it-is-off")
    assert code == 1
    assert "xen1 answers and runs 0 workers: it is not off" in err
    code, _, err = ambienti("host", "forget", "xem1", "--i-confirm-it-is-off")
    assert (code, "did you mean xen1?" in err) == (1, True)


def test_a_configured_host_that_does_not_answer_may_be_forgotten(ambienti, site):
    a_worker_on(site, "xen2").close()
    code, out, _ = ambienti("host", "forget", "xen2", "--i-confirm-it-is-off")
    assert code == 0
    assert "unless it answers" in out


def test_a_journal_that_cannot_be_opened_is_no_traceback(ambienti, site):
    (site.parent / "ambienti.db").write_bytes(b"this is no database, " * 100)
    code, _, err = ambienti("host", "list")
    assert code == 3
    assert "journal" in err
    assert "the journal is damaged. Stop the daemon" in err


# --- all commands -----------------------------------------------------------------------------------------------------


def test_help_of_every_command_has_an_example(ambienti):
    for command in COMMANDS:
        code, out, _ = ambienti(name_of(command), "--help")
        assert code == 0
        assert "Examples:" in out
    for words in (
        ("env", "list"),
        ("env", "show"),
        ("host", "drain"),
        ("host", "undrain"),
        ("host", "forget"),
        ("host", "list"),
    ):
        assert "Examples:" in ambienti(*words, "--help")[1]


def test_why_loads_neither_the_journal_s_database_nor_the_report_s_arithmetic():
    code = "import sys; from scheduler.commands.cli import build; build('why'); print(sorted({'numpy', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_status_and_why_load_nothing_that_only_others_need(site, farm):
    late = {"numpy", "sqlalchemy", "scheduler.availability.history", "xml.etree.ElementTree", "apscheduler"}
    for words in (["status", "--snapshot", str(farm)], ["why", "--snapshot", str(farm)]):
        code = f"""import sys; from pathlib import Path; from scheduler.commands.cli import build; from scheduler.site import definitions
definitions.load(Path({str(site)!r})); build({words[0]!r})({words!r}, standalone_mode=False)
print("late:", sorted({late!r} & set(sys.modules)))"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240)
        assert done.stdout.splitlines()[-1:] == ["late: []"], done.stdout[-500:] + done.stderr


def test_a_mistyped_command_or_option_is_wrong_use(ambienti):
    assert ambienti("statsu")[0] == 2
    assert ambienti("status", "--jsno")[0] == 2


def test_the_site_file_may_come_from_the_environment(ambienti, site, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setenv("AMBIENTI_SITE", str(site))
    assert ambienti("env", "list")[0] == 0


@pytest.mark.parametrize("of", ["site", "vo"])
def test_the_schema_describes_every_key(ambienti, of):
    code, out, _ = ambienti("schema", of)
    schema = json.loads(out)
    assert code == 0
    for model in (schema, *schema["$defs"].values()):
        for key, field in model.get("properties", {}).items():
            assert field.get("description"), key
    if of == "vo":
        assert "extends" in schema["$defs"]["Definition"]["properties"]
        assert "virtualization" not in schema["$defs"]["Definition"].get("required", [])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_and_installed(ambienti, shell, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    code, out, _ = ambienti("completion", shell)
    assert code == 0
    assert "_AMBIENTI_COMPLETE" in out
    assert ambienti("completion", shell, "--install")[0] == 0
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written.read_text().strip() == out.strip()


def test_without_a_known_shell_completion_asks_for_one(ambienti, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    code, _, err = ambienti("completion")
    assert (code, "bash, zsh or fish" in err) == (2, True)


def test_the_installed_program_answers_completes_and_keeps_quiet_about_colours(site):
    program = Path(sys.executable).with_name("ambienti")
    environment = {**os.environ, "COMP_WORDS": "ambienti st", "COMP_CWORD": "1", "_AMBIENTI_COMPLETE": "complete_bash"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["status"]
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.startswith("ambienti ")) == (0, True)
    done = subprocess.run([program, "env", "list"], capture_output=True, text=True, check=False, timeout=60, cwd=site.parent)
    assert (done.returncode, "\x1b" in done.stdout) == (0, False)


def test_a_snapshot_of_a_snapshot_is_the_same(farm):
    read = load(farm.read_bytes())
    assert dump(read.observation, read.policy) == farm.read_bytes()
