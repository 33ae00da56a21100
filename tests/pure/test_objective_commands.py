"""`ambienti objective`: promises are checked, shown, and written as OpenSLO."""

import json
import re
import time
from pathlib import Path

import pytest

from environments.reader import documents
from scheduler.availability.history import Status
from scheduler.commands.cli import main
from scheduler.journal.records import Declared, Push
from scheduler.journal.statuses import declare
from scheduler.journal.statuses import push as report_status
from scheduler.site import compose, definitions

PAIR = Path(__file__).parent / "openslo/fermigrid.yaml"
HISTORY = """\
now: 2026-06-01T00:00Z
zone: Europe/Rome
objects: [ce]
objectives:
  - {name: Compute Element, object: ce, target: 99.5%, window: month, profile: argo}
"""


@pytest.fixture
def ambienti(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return left.value.code or 0, printed.out, printed.err

    return call


def test_check_says_what_is_promised(ambienti):
    code, out, _ = ambienti("objective", "check", PAIR)
    assert code == 0
    first, second, last = out.splitlines()[1:]
    assert (
        first.split()
        == "fermigrid-data-taking FermiGrid 99.9 % past-week America/Chicago excuse 2 periods page at 14.4x over 1 h".split()
    )
    assert second.split() == "fermigrid-overall FermiGrid 99 % 90d America/Chicago argo always".split()
    assert last == "2 objectives, no problem."


def test_check_prints_exact_targets_as_json(ambienti):
    code, out, _ = ambienti("objective", "check", PAIR, "--json")
    assert code == 0
    data, overall = json.loads(out)
    assert (data["target"], data["applies"][0]) == ("999/1000", ["2026-03-01T00:00:00Z", "2026-06-01T00:00:00Z"])
    assert data["alerts"] == [
        {"name": "fast-burn", "severity": "page", "factor": "72/5", "long_seconds": 3600, "short_seconds": 300}
    ]
    assert overall["applies"] is None


def test_check_of_a_wrong_file_names_line_and_key(ambienti, tmp_path):
    wrong = tmp_path / "slo.yaml"
    wrong.write_text(PAIR.read_text().replace("threshold: 14.4", "threshold: 0.9"))
    code, _, err = ambienti("objective", "check", wrong)
    assert code == 2
    assert "slo.yaml:75:57 spec.conditions[0].spec.condition.threshold: a factor of 0.9 fires while the promise" in err


def test_check_finds_objects_that_a_history_or_the_site_does_not_have(ambienti, tmp_path):
    (tmp_path / "farm.yaml").write_text("now: 2026-03-02T12:00:00Z\nobjects: [FermiGird]\n")
    code, _, err = ambienti("objective", "check", PAIR, "--history", tmp_path / "farm.yaml")
    assert (code, "no object or group is called 'FermiGrid'; expected a known name; did you mean FermiGird?" in err) == (
        2,
        True,
    )


def test_check_and_status_name_the_zone_of_the_history(ambienti, tmp_path):
    (tmp_path / "farm.yaml").write_text(HISTORY.replace("[ce]", "[ce, FermiGrid]"))
    (tmp_path / "slo.yaml").write_text(PAIR.read_text().replace(", ambienti.io/zone: America/Chicago", ""))
    arguments = ("objective", "check", tmp_path / "slo.yaml", "--json")
    history = ("--history", tmp_path / "farm.yaml")
    for more, zone in ((history, "Europe/Rome"), ((*history, "--zone", "Asia/Tokyo"), "Asia/Tokyo")):
        assert [one["zone"] for one in json.loads(ambienti(*arguments, *more)[1])] == ["America/Chicago", zone]


def test_export_writes_the_objectives_of_a_history_as_openslo(ambienti, tmp_path):
    (tmp_path / "farm.yaml").write_text(HISTORY)
    code, out, _ = ambienti("objective", "export", "--history", tmp_path / "farm.yaml")
    assert code == 0
    slo = documents(out, "out.yaml")[-1].plain()
    assert slo["metadata"]["annotations"]["ambienti.io/name"] == "Compute Element"
    assert slo["spec"]["objectives"] == [{"displayName": "Compute Element", "target": 0.995}]
    (tmp_path / "slo.yaml").write_text(out)
    assert "Compute Element" in ambienti("objective", "check", tmp_path / "slo.yaml")[1]


def test_export_says_what_openslo_cannot_say(ambienti, tmp_path):
    (tmp_path / "farm.yaml").write_text(HISTORY.replace("99.5%", "2/3"))
    code, out, err = ambienti("objective", "export", "--history", tmp_path / "farm.yaml")
    assert (code, out) == (1, "")
    assert "2/3 is no finite decimal" in err


# --- where promises stand ---------------------------------------------------------------------------------------------

FARM = """\
now: 2026-03-25T12:00Z
zone: Europe/Rome
objects: [FermiGrid]
events:
  - {at: 2026-01-01T00:00Z, object: FermiGrid, status: OK}
  - {at: 2026-03-17T10:00Z, object: FermiGrid, status: CRITICAL}
  - {at: 2026-03-17T10:01:34Z, object: FermiGrid, status: OK}
  - {at: 2026-03-24T10:00Z, object: FermiGrid, status: UNKNOWN}
  - {at: 2026-03-24T10:01:34Z, object: FermiGrid, status: OK}
  - {at: 2026-03-25T11:58:34Z, object: FermiGrid, status: CRITICAL}
objectives:
  - {name: week, object: FermiGrid, target: 99.9%, window: this-week}
"""


def test_status_says_what_is_left_and_what_it_still_affords(ambienti, tmp_path):
    """Past week: 604.8 s - 94 s = 510.8 s, five failovers of 94 s. The outage of the last 86 s: 86/3600 x 1000 = 23.9 > 14.4."""
    (tmp_path / "farm.yaml").write_text(FARM)
    code, out, _ = ambienti("objective", "status", PAIR, "--history", tmp_path / "farm.yaml", "--json")
    assert code == 0
    week, data, overall = json.loads(out)
    assert (data["verdict"], data["budget_seconds"]["left"], data["failovers"]) == ("PASS", "2554/5", 5)
    assert [(one["alert"], one["state"]) for one in data["alerts"]] == [("fast-burn", "firing")]
    assert data["alerts"][0]["long"] == ["215/9", "215/9"]
    assert week["budget_seconds"]["left_at_least"] == "2106/5"
    assert (week["window"]["ahead_seconds"], week["unknown_seconds"]) == (381600, 94)
    assert overall["profile"] == "argo"


def test_status_is_a_table_for_people(ambienti, tmp_path):
    (tmp_path / "farm.yaml").write_text(FARM)
    code, out, _ = ambienti("objective", "status", PAIR, "--history", tmp_path / "farm.yaml")
    assert code == 0
    lines = out.splitlines()
    assert "8 min 35 s (7 min 1 s to 8 min 35 s)" in lines[1]
    assert "fast-burn firing" in lines[2]
    (tmp_path / "farm.yaml").write_text(
        FARM.replace(
            "10:01:34Z, object: FermiGrid, status: OK}\n  - {at: 2026-03-25T11:58",
            "12:00Z, object: FermiGrid, status: OK}\n  - {at: 2026-03-25T11:58",
        )
    )
    shown = ambienti("objective", "status", "--history", tmp_path / "farm.yaml")[1].splitlines()
    assert "UNDECIDED (2 h unknown)" in shown[1]
    assert "week: 1 outage in 90 days, recovered after 1 min 34 s on average, 1 min 34 s at most." in lines


def test_where_nothing_applies_no_budget_is_left(ambienti, tmp_path):
    """A month of which nothing was measured: the rest of it would allow 4 h, but nothing is promised of it yet."""
    farm = (
        FARM.replace("objects: [FermiGrid]", "objects: [FermiGrid, new]")
        + "  - {name: n, object: new, target: 99%, window: month}\n"
    )
    (tmp_path / "farm.yaml").write_text(farm)
    *_, new = json.loads(ambienti("objective", "status", "--history", tmp_path / "farm.yaml", "--json")[1])
    assert new["verdict"] == "not applicable"
    assert [new["budget_seconds"][key] for key in ("left", "left_at_least", "left_at_most")] == [None] * 3
    assert (new["failovers"], new["failovers_at_least"]) == (None, None)
    row = ambienti("objective", "status", "--history", tmp_path / "farm.yaml")[1].splitlines()[2]
    assert row.split("not applicable")[1].split() == ["-", "-"]


def test_a_promise_on_something_that_the_history_does_not_have_is_an_error(ambienti, tmp_path):
    (tmp_path / "farm.yaml").write_text(FARM.replace("FermiGrid", "FermiGird"))
    code, _, err = ambienti("objective", "status", PAIR, "--history", tmp_path / "farm.yaml")
    assert code == 2
    assert "no object or group is called 'FermiGrid'; expected a known name; did you mean FermiGird?" in err


SITE = """\
site: perugia
batch_systems: [{name: pool, kind: simulated}]
hosts: [{name: xen1, uri: "test:///default"}]
vos: {atlas: }
daemon: {listen: ""}
"""


def test_status_of_the_site_reads_its_journal_and_its_directory_of_objectives(ambienti, tmp_path, monkeypatch):
    for name in ("vos", "objectives"):
        (tmp_path / name).mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "vos/atlas.yaml").write_text("vo: atlas\n")
    (tmp_path / "services.yaml").write_text(
        "objects: [voms]\ngroups: [{name: FermiGrid, operator: and, members: [voms, pool]}]\n"
        "objectives: [{name: pool-month, object: pool, target: 99%, window: month}]\n"
    )
    (tmp_path / "objectives/fermigrid.yaml").write_text(PAIR.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMBIENTI_SITE", raising=False)
    code, out, err = ambienti("objective", "status", "--json")
    assert code == 0, err
    assert [(one["objective"], one["object"], one["verdict"]) for one in json.loads(out)] == [
        ("pool-month", "pool", "not applicable"),
        ("fermigrid-data-taking", "FermiGrid", "not applicable"),
        ("fermigrid-overall", "FermiGrid", "not applicable"),
    ]
    wrong = PAIR.read_text().replace("io/object: FermiGrid", "io/object: FermiGird")
    (tmp_path / "objectives/fermigrid.yaml").write_text(wrong)
    code, _, err = ambienti("objective", "status")
    assert code == 2
    assert "objectives/fermigrid.yaml:16:" in err
    assert "did you mean FermiGrid?" in err
    code, out, _ = ambienti("check")
    assert code == 2
    assert "objectives/fermigrid.yaml:16:" in out, "check reads the objectives too"


def push(site, name, status):
    """Let a watcher report a status, as the daemon takes it: OK since two days, then `status` since sixteen minutes."""
    found = definitions.load(site / "site.yaml")
    now = time.time()
    journal = compose.open_journal(found, now)
    began = now - 2 * 86400
    assert journal.hold_lease("test", began, 60)
    declare(journal, "test", began, [Declared(name)])
    for at, one in ((began, Status.OK), (now - 960, status)):
        assert journal.hold_lease("test", at, 60)
        report_status(journal, "test", at, at, Push(name, one))
    journal.release_lease("test", now)
    journal.close()


def test_a_promise_that_burns_opens_one_incident_and_ends_it(ambienti, tmp_path, monkeypatch):
    """FermiGrid is pushed CRITICAL by its watchers: sixteen minutes of an hour burn a budget of 0.1 % far too fast."""
    for name in ("vos", "objectives"):
        (tmp_path / name).mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "vos/atlas.yaml").write_text("vo: atlas\n")
    (tmp_path / "services.yaml").write_text("objects: [FermiGrid]\n")
    pair = PAIR.read_text().replace("    ambienti.io/window: past-week\n", "")
    (tmp_path / "objectives/fermigrid.yaml").write_text(re.sub(r"    ambienti.io/applies-during.*\n", "", pair))
    (tmp_path / "oncall.yaml").write_text(
        "zone: UTC\npeople: {anna: {addresses: []}}\nescalation: {levels: [{notify: anna}]}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMBIENTI_SITE", raising=False)
    assert ambienti("objective", "page")[1].splitlines() == ["0 changes of burn-rate alerts."]
    push(tmp_path, "FermiGrid", Status.CRITICAL)
    code, out, err = ambienti("objective", "page")
    assert code == 0, err
    assert out.splitlines()[-1] == "1 change of burn-rate alerts."
    assert ambienti("objective", "page")[1].splitlines() == ["0 changes of burn-rate alerts."]
    (one,) = json.loads(ambienti("incident", "list", "--json")[1])
    assert one["cause"] == "objective:fermigrid-data-taking"
    (tmp_path / "objectives/fermigrid.yaml").unlink()
    assert ambienti("objective", "page")[1].splitlines()[-1] == "1 change of burn-rate alerts."
    assert json.loads(ambienti("incident", "list", "--json")[1]) == []
