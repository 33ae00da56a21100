"""`ambienti report --history`: the table, one window in detail, JSON by its schema, CSV, and what is refused."""

import csv
import io
import json
from fractions import Fraction

import jsonschema
import pytest

from scheduler.availability.timelines import windows
from scheduler.commands.cli import main
from scheduler.site import schemas

HISTORY = """\
now: 2026-03-10T00:00:00Z
zone: Europe/Rome
objects: [ce01, {name: ce02, freshness: 1d}, {name: wn1, kind: host}]
events:
  - {at: 2026-01-01T00:00:00Z, object: ce01, status: OK}
  - {at: 2026-03-03T00:00:00Z, object: ce01, status: CRITICAL, cause: boot}
  - {at: 2026-03-03T00:10:05.5Z, object: ce01, status: OK}
  - {at: 2026-03-08T00:00:00Z, object: ce02, status: OK}
groups:
  ces: {operator: and, members: [ce01]}
downtimes:
  - {id: disks, object: ce01, from: 2026-03-03T00:00:00Z, to: 2026-03-03T00:05:00Z, declared: 2026-03-01T00:00:00Z, by: anna}
exclusions:
  - {object: ce01, from: 2026-03-03T00:05:00Z, to: 2026-03-03T01:00:00Z, cause: building, author: mario, reason: power, accepted_by: board}
  - {object: ces, from: 2026-03-03T00:05:00Z, to: 2026-03-03T01:00:00Z, cause: network, author: mario, reason: router}
objectives:
  - {name: weekly, object: ces, target: 99.9%, window: past-week}
  - {name: monthly, object: ces, target: 99%, window: month}
"""


@pytest.fixture
def ambienti(tmp_path, monkeypatch, capsys):
    (tmp_path / "h.yaml").write_text(HISTORY)
    monkeypatch.chdir(tmp_path)
    for name in ("COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["report", *arguments])
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


def test_the_table_has_a_row_for_each_service_and_group_and_a_column_for_each_window(ambienti):
    code, out, _ = ambienti("--history", "h.yaml")
    assert code == 0
    header = next(line for line in out.splitlines() if "This week" in line)
    assert [word.strip() for word in header.strip("┃").split("┃")] == ["service", "kind", "This week", "Past week", "Month", "Quarter", "Year"]  # fmt: skip
    cells = {line.split("│")[1].strip(): [c.strip() for c in line.split("│")[2:-1]] for line in out.splitlines() if "│" in line}
    assert cells["ces"] == ["group", "100.00 % PASS", "99.90 % FAIL", "99.92 % PASS", "99.99 % PASS", "99.99 % PASS"]
    assert cells["wn1"] == ["host", "-", "-", "-", "-", "-"]
    assert "FAIL: weekly: ces 99.8999 %, promised 99.9 % in past-week (Europe/Rome), profile excuse" in out
    assert "PASS: monthly: ces 99.92 %, promised 99 % in month" in out
    assert "Profile excuse; truth tables kleene-1; zone Europe/Rome (data " in out
    assert "Downtime disks of ce01:" in out
    assert "by anna" in out
    assert "building: power, by mario; accepted by board" in out
    assert "network: router, by mario; not accepted: excuses nothing" in out


def test_json_is_exact_and_follows_its_published_schema(ambienti):
    code, out, _ = ambienti("--history", "h.yaml", "--window", "past-week", "--profile", "all", "--json")
    found = json.loads(out)
    assert code == 0
    jsonschema.validate(found, schemas.report_schema())
    rows = {(row["object"], row["profile"]): row for row in found["rows"]}
    assert len(rows) == 4 * 5
    service = rows["ce01", "excuse"]
    assert (service["total"], service["bad"], service["excused"], service["up"]) == (604800, 605.5, 305.5, 604194.5)
    assert service["figure"] == "1208389/1208989"
    assert Fraction(service["figure"]) == Fraction(6041945, 6048000 - 3055)
    assert service["figure_shown"] == "99.95 %"
    assert service["figure_decimal"].startswith("0.99950371")
    assert service["lost"] == {"boot": 300, "excluded": 305.5}
    group = rows["ces", "excuse"]
    assert (group["figure"], group["verdict"]) == ("172627/172800", "FAIL")
    assert group["verdicts"] == {"weekly": "FAIL", "monthly": "PASS"}
    assert rows["wn1", "excuse"]["figure"] is None
    assert rows["ce01", "argo"]["scheduled_downtime"] == 300
    reliability = Fraction(6048000 - 6055, 6048000 - 3000)
    assert (Fraction(service["availability"]), Fraction(service["reliability"])) == (Fraction(172627, 172800), reliability)
    assert [one["accepted_by"] for one in found["exclusions"]] == ["board", ""]
    assert {one["name"]: one["verdict"] for one in found["objectives"]} == {"weekly": "FAIL", "monthly": "PASS"}


def test_one_window_by_instants_of_one_object_in_another_zone(ambienti):
    arguments = ("--from", "2026-03-03 00:00", "--to", "2026-03-03 00:20", "--zone", "UTC", "--object", "ce01", "--json")
    _, out, _ = ambienti("--history", "h.yaml", *arguments)
    (row,) = json.loads(out)["rows"]
    assert (row["start"], row["end"], row["total"]) == ("2026-03-03T00:00:00Z", "2026-03-03T00:20:00Z", 1200)
    assert (row["bad"], row["excused"]) == (605.5, 305.5)


def test_a_window_in_detail_shows_verdict_and_both_figures_of_argo(ambienti):
    code, out, _ = ambienti("--history", "h.yaml", "-w", "past-week", "-p", "argo,skip")
    assert code == 0
    assert "past-week: 2026-03-02T00:00:00+01:00 to 2026-03-09T00:00:00+01:00" in out
    assert "weekly: FAIL" in out
    assert "argo" in out
    assert "skip" in out


def test_an_undecided_verdict_prints_its_unknown_seconds_in_every_form(ambienti, tmp_path):
    """Unknown for 2 h of a day: under icinga they are problems in the row, and still what the verdict waits for."""
    (tmp_path / "u.yaml").write_text(
        """\
now: 2026-03-03T00:00:00Z
objects: [s]
events:
  - {at: 2026-03-02T00:00:00Z, object: s, status: OK}
  - {at: 2026-03-02T10:00:00Z, object: s, status: UNKNOWN}
  - {at: 2026-03-02T12:00:00Z, object: s, status: OK}
objectives: [{name: o, object: s, target: 99%, window: this-week, profile: icinga}]
"""
    )
    found = json.loads(ambienti("--history", "u.yaml", "--window", "this-week", "--profile", "icinga", "--json")[1])
    (row,) = found["rows"]
    assert (row["unknown"], row["verdict"], row["undecided"], row["figure"]) == (0, "UNDECIDED", 7200, "11/12")
    assert (found["objectives"][0]["unknown"], found["objectives"][0]["figure_if_unknown_up"]) == (7200, "1/1")
    assert "profile icinga, 7200 s unknown" in ambienti("--history", "u.yaml", "--window", "this-week")[1]
    assert "7200 s unknown" in ambienti("--history", "u.yaml")[1]
    (line,) = csv.DictReader(io.StringIO(ambienti("--history", "u.yaml", "--window", "this-week", "--csv")[1]))
    assert (line["verdict"], line["undecided"]) == ("UNDECIDED", "7200")


YOUNG = """\
now: 2026-11-30T12:25:00Z
objects: [s]
events: [{at: 2026-11-30T12:00:00Z, object: s, status: OK}]
objectives: [{name: o, object: s, target: 99%, window: today}]
"""


def test_a_figure_of_25_minutes_says_beside_it_how_much_of_the_year_was_observed(ambienti, tmp_path):
    (tmp_path / "young.yaml").write_text(YOUNG)
    assert "25 min observed (0.01 %)" in ambienti("--history", "young.yaml")[1]
    (row,) = json.loads(ambienti("--history", "young.yaml", "--window", "year", "--json")[1])["rows"]
    assert (row["observed"], row["figure"], row["verdict"]) == (1500, "1/1", "PASS")
    assert Fraction(row["observed_share"]) == Fraction(25 * 60, 333 * 86400 + 12 * 3600 + 25 * 60)
    (line,) = csv.DictReader(io.StringIO(ambienti("--history", "young.yaml", "--window", "year", "--csv")[1]))
    assert line["observed"] == "1500"


@pytest.mark.parametrize("profile", ["excuse", "argo", "icinga", "nagios", "skip"])
def test_what_was_observed_is_the_same_whatever_a_profile_makes_of_it(ambienti, tmp_path, profile):
    (tmp_path / "u.yaml").write_text(
        """\
now: 2026-03-03T00:00:00Z
objects: [s]
events:
  - {at: 2026-03-02T00:00:00Z, object: s, status: WARNING}
  - {at: 2026-03-02T10:00:00Z, object: s, status: UNKNOWN}
  - {at: 2026-03-02T12:00:00Z, object: s, status: CRITICAL}
downtimes: [{object: s, from: 2026-03-02T08:00:00Z, to: 2026-03-02T14:00:00Z, declared: 2026-02-01T00:00:00Z}]
"""
    )
    options = ("--history", "u.yaml", "--window", "this-week", "--profile", profile, "--json")
    (row,) = json.loads(ambienti(*options)[1])["rows"]
    assert (row["observed"], row["observed_share"]) == (22 * 3600, "11/12")


def test_a_window_in_which_nobody_looked_has_no_verdict_and_says_so(ambienti, tmp_path):
    (tmp_path / "young.yaml").write_text(YOUNG)
    code, out, said = ambienti("--history", "young.yaml", "--window", "yesterday")
    assert code == 0
    assert "Nothing was observed in yesterday, 2026-11-29T00:00:00Z to 2026-11-30T00:00:00Z" in said
    (row,) = [line for line in out.splitlines() if "│" in line]
    assert "PASS" not in row
    assert "Objectives, each in its own window:\nPASS: o: s 100.00 %, promised 99 % in today" in out


def test_a_period_in_which_nobody_looked_is_not_published(ambienti, tmp_path):
    (tmp_path / "young.yaml").write_text(YOUNG)
    code, _, said = ambienti("publish", "--history", "young.yaml", "--window", "past-week", "--versions", "v.json")
    assert code == 1
    assert "nothing was observed from 2026-11-23T00:00:00Z to 2026-11-30T00:00:00Z" in said
    assert not (tmp_path / "v.json").exists()


def test_a_bare_number_is_no_begin_and_no_end_of_a_window(ambienti):
    for option in ("--from", "--to"):
        given = {"--from": "2026-03-02", "--to": "2026-03-09"} | {option: "6"}
        code, _, said = ambienti("--history", "h.yaml", *(word for pair in given.items() for word in pair))
        assert (code, f"{option}: '6' is no instant" in said) == (2, True)


def test_csv_has_the_same_rows(ambienti):
    _, out, _ = ambienti("--history", "h.yaml", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 4 * 5
    week = next(row for row in rows if row["object"] == "ce01" and row["window"] == "past-week")
    assert (week["bad"], week["figure"], week["up"]) == ("605.5", "1208389/1208989", "604194.5")
    assert (week["profile"], week["algebras"], week["zone"]) == ("excuse", "kleene-1", "Europe/Rome")
    assert (week["zone_data"], week["now"]) == (windows.zone_data(), "2026-03-10T01:00:00+01:00")
    assert week["downtimes"] == "disks declared by anna"
    assert week["exclusions"].endswith(" accepted by board")
    assert next(row for row in rows if row["object"] == "ces")["exclusions"].endswith(" not accepted")


def test_what_there_is_nothing_to_count_of_is_told_beside_the_undefined_figures(ambienti, tmp_path):
    code, out, err = ambienti("--history", "h.yaml", "--from", "2027-01-01", "--object", "ce01", "--json")
    assert (code, json.loads(out)["rows"][0]["figure"]) == (0, None)
    assert "no future second is counted" in err
    code, out, err = ambienti("--history", "h.yaml", "--from", "2026-03-03", "--to", "2026-03-03", "--json")
    assert (code, json.loads(out)["rows"][0]["figure"]) == (0, None)
    assert "it is empty" in err
    (tmp_path / "none.yaml").write_text("now: 2026-03-10T00:00:00Z\n")
    code, out, err = ambienti("--history", "none.yaml", "--csv")
    assert (code, out.split(",")[0], out.count("\n")) == (0, "object", 1)
    assert "no objects" in err


def test_a_profile_that_is_named_twice_is_reported_once(ambienti):
    _, out, _ = ambienti("--history", "h.yaml", "-w", "past-week", "-p", "argo,argo", "-o", "ce01", "--json")
    assert [row["profile"] for row in json.loads(out)["rows"]] == ["argo"]


def test_a_history_may_come_by_the_standard_input(ambienti, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(HISTORY.encode())))
    _, out, _ = ambienti("--history", "-", "--window", "past-week", "--json")
    assert [row["object"] for row in json.loads(out)["rows"]] == ["ce01", "ce02", "wn1", "ces"]


def test_a_clock_that_was_set_and_a_monitor_that_was_away_are_told(ambienti, tmp_path):
    stamps = "sequence: {}, monotonic: {}, boot: b"
    (tmp_path / "j.yaml").write_text(
        f"""\
now: 2026-03-02T13:00:00Z
objects: [s]
events:
  - {{at: 2026-03-02T10:00:00Z, object: s, status: OK, {stamps.format(1, 0)}}}
  - {{at: 2026-03-02T12:00:00Z, object: s, status: OK, {stamps.format(2, 3600)}}}
gaps: [{{from: 2026-03-02T12:30:00Z}}]
"""
    )
    _, out, _ = ambienti("--history", "j.yaml", "--window", "this-week", "--json")
    found = json.loads(out)
    assert found["clock_jumps"] == [{"before": "2026-03-02T11:00:00Z", "after": "2026-03-02T12:00:00Z"}]
    assert found["gaps"] == [{"start": "2026-03-02T12:30:00Z", "end": None}]
    assert (found["rows"][0]["total"], found["rows"][0]["missing"]) == (7200, 1800)
    _, out, _ = ambienti("--history", "j.yaml")
    assert "clock was set from 2026-03-02T11:00:00Z to 2026-03-02T12:00:00Z" in out
    assert "The monitor was not there: 2026-03-02T12:30:00Z to now." in out


def test_the_schema_of_the_history_accepts_the_file_and_refuses_a_wrong_one(ambienti, tmp_path):
    from environments.reader import parse

    schema = schemas.history_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    data = parse(HISTORY, "h.yaml").plain()
    jsonschema.validate(data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data | {"gap": []}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data | {"downtimes": [{"id": "d"}]}, schema)


def test_explaining_adds_up_to_the_difference(ambienti):
    _, out, _ = ambienti("explain", "--history", "h.yaml", "--object", "ce01", "--window", "past-week", "--json")
    found = json.loads(out)
    figures = [Fraction(one["figure"]) for one in found["profiles"]]
    assert [one["profile"] for one in found["profiles"]] == ["excuse", "argo"]
    assert (
        sum(Fraction(one["points"]) for one in found["stretches"]) == figures[1] - figures[0] == Fraction(found["difference"])
    )
    assert {(one["status"], one["length"]) for one in found["stretches"]} == {("CRITICAL", 305.5)}
    code, out, _ = ambienti("explain", "--history", "h.yaml", "--object", "ce01", "--window", "past-week")
    assert code == 0
    assert "exclusion excuses" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--history", "hh.yaml"), "hh.yaml: there is no such file; did you mean h.yaml?"),
        (("--history", "h.yaml", "--window", "mont"), "no window is called 'mont'"),
        (("--history", "h.yaml", "--window", "month", "--from", "0"), "give either --window or --from and --to"),
        (("--history", "h.yaml", "--to", "2026-03-03"), "give --from beside --to"),
        (("--history", "h.yaml", "--from", "2026-03-04", "--to", "2026-03-03"), "--to is before --from"),
        (("--history", "h.yaml", "--from", "2026-03-29 02:30"), "does not exist in Europe/Rome"),
        (("--history", "h.yaml", "--profile", "excuses"), "no profile is called 'excuses'; did you mean excuse?"),
        (("--history", "h.yaml", "--object", "ce1"), "no object or group called 'ce1'; did you mean ce01?"),
        (("--history", "h.yaml", "--zone", "Europe/Rom"), "no time zone is called 'Europe/Rom'; did you mean Europe/Rome?"),
        (("--history", "h.yaml", "--zone", "Mars"), "no time zone is called 'Mars'; expected an IANA zone"),
        (("argo", "--history", "h.yaml", "--zone", "Mars"), "no time zone is called 'Mars'"),
        (
            ("explain", "--history", "h.yaml", "--object", "ce01", "-w", "month", "--zone", "Mars"),
            "no time zone is called 'Mars'",
        ),
        (("--history", "h.yaml", "--json", "--csv"), "give one of --json, --csv"),
        (("--history", "h.yaml", "--json", "--html", "x.html"), "give one of --json, --html or --pdf"),
        (("bundle", "w.tar", "--history", "h.yaml", "--versions", "v.json"), "there is no file v.json of published versions"),
        (("explain", "--history", "h.yaml", "--object", "ce01", "--profiles", "argo", "-w", "month"), "--profiles takes two"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(ambienti, arguments, said):
    code, out, err = ambienti(*arguments)
    assert code == 2
    assert said in out + err
