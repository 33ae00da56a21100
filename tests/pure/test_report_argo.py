"""`ambienti report argo`: what ARGO's web API would answer."""

import json

import pytest
from argo_lines import lines

from scheduler.availability.timelines import windows
from scheduler.commands.cli import main

HISTORY = """\
now: 2026-03-31T12:00Z
zone: Europe/Rome
objects: [ce, se]
events:
  - {at: 2026-03-28T00:00Z, object: ce, status: OK}
  - {at: 2026-03-28T12:00Z, object: ce, status: CRITICAL}
  - {at: 2026-03-29T12:00Z, object: ce, status: OK}
groups:
  - {name: grid, operator: and, members: [site]}
  - {name: site, operator: and, members: [ce]}
downtimes:
  - {id: d, objects: [ce], start: 2026-03-28T12:00Z, end: 2026-03-28T18:00Z, declared: 2026-03-01T00:00Z}
"""


@pytest.fixture
def answer(tmp_path, capsys, monkeypatch):
    (tmp_path / "farm.yaml").write_text(HISTORY)
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*options):
        with pytest.raises(SystemExit) as left:
            main(["report", "argo", "--history", str(tmp_path / "farm.yaml"), *options])
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err

    return call


def test_each_day_has_its_result_and_a_day_before_the_first_result_is_undefined(answer):
    """28 March: 12 h up, 6 h scheduled downtime, 6 h bad: A = 12/24, R = 12/18."""
    code, out, _ = answer("--from", "2026-03-27", "--to", "2026-03-30")
    assert code == 0
    (grid,) = json.loads(out)["results"]
    (site,) = grid["groups"]
    assert [one["date"] for one in site["results"]] == ["2026-03-27", "2026-03-28", "2026-03-29"]
    assert site["results"][0] == {
        "date": "2026-03-27",
        **dict.fromkeys(("availability", "reliability", "unknown", "uptime", "downtime"), "-1"),
    }
    assert site["results"][1] == {
        "date": "2026-03-28", "availability": "50", "reliability": "66.66666666666667", "unknown": "0", "uptime": "0.5", "downtime": "0.25",
    }  # fmt: skip
    assert grid["results"][1] == {"date": "2026-03-28", "availability": "50", "reliability": "66.66666666666667"}


def test_what_the_figures_rest_on_stands_beside_argos_shape(answer):
    found = json.loads(answer("--from", "2026-03-27", "--to", "2026-03-30")[1])
    assert set(found) == {"results", "endpoints", "ambienti"}
    told = found["ambienti"]
    assert (told["profiles"], told["algebras"], told["zone"]) == (["argo"], ["kleene-1"], "UTC")
    assert told["zone_data"] == windows.zone_data()
    assert [one["id"] for one in told["downtimes"]] == ["d"]
    assert list(lines(found)) == list(lines({key: found[key] for key in ("results", "endpoints")}))


def test_months_and_the_names_of_levels(answer):
    code, out, _ = answer("--window", "year", "--granularity", "monthly", "--supergroup-type", "PROJECT", "--service", "ARC-CE")
    assert code == 0
    told = json.loads(out)
    assert told["results"][0]["type"] == "PROJECT"
    assert [one["date"] for one in told["results"][0]["results"]] == ["2026-01", "2026-02", "2026-03"]
    assert told["endpoints"][0]["service"] == "ARC-CE"


def test_days_are_cut_in_the_zone_that_is_asked_for(answer):
    """On 29 March Rome has 23 hours: 10:00 to 22:00 UTC of them up, 12 of 23 hours; 28 March 23:00 UTC begins it."""
    _, out, _ = answer("--from", "2026-03-28T23:00Z", "--to", "2026-03-29T22:00Z", "--zone", "Europe/Rome")
    (only,) = json.loads(out)["endpoints"][0]["results"]
    assert (only["date"], only["uptime"]) == ("2026-03-29", "0.43478260869565")


def test_wrong_use_is_told(answer):
    assert answer("--granularity", "hourly")[0] == 2
