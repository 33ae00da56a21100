"""`ambienti report algebra`: truth tables are shown, and an operations profile of ARGO is recognised."""

import json

import pytest
from test_availability_algebra import SOUND, profile

from scheduler.commands.cli import main


@pytest.fixture
def ambienti(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["report", "algebra", *arguments])
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err

    return call


def test_the_tables_are_listed_with_their_sources(ambienti):
    code, out, _ = ambienti("--json")
    assert code == 0
    listed = {one["name"]: one for one in json.loads(out)}
    assert set(listed) == {"argo-0", "argo-1", "argo-2", "kleene-1"}
    assert "left to right" in listed["argo-0"]["fold"]
    assert "ARGOeu" in listed["argo-2"]["source"]
    assert "does not matter" in ambienti()[1]


def test_one_table_is_printed(ambienti):
    code, out, _ = ambienti("kleene", "--json")
    assert code == 0
    assert json.loads(out)["or"]["UNKNOWN"]["CRITICAL"] == "UNKNOWN"
    assert "kleene-1: or" in ambienti("kleene-1")[1]
    assert ambienti("klene")[0] == 2


def test_an_operations_profile_is_recognised_or_its_differences_are_told(ambienti, tmp_path):
    todays = [(a, b, x) for a, b, x in _strongest("OK", "WARNING", "CRITICAL", "UNKNOWN", "DOWNTIME", "MISSING")]
    (tmp_path / "ops.json").write_text(json.dumps({"data": [profile(AND=SOUND, OR=todays)]}))
    assert ambienti("ops.json") == (0, "ops.json: ours is argo-2; write `algebra: argo-2`.\n", "")
    other = [(a, b, "DOWNTIME" if {a, b} == {"WARNING", "DOWNTIME"} else x) for a, b, x in todays]
    (tmp_path / "ops.json").write_text(json.dumps({**profile(AND=SOUND, OR=other), "fold": "as listed"}))
    code, out, _ = ambienti("ops.json")
    assert code == 1
    assert out.splitlines()[1:] == ["  WARNING or DOWNTIME: DOWNTIME in the file, WARNING in argo-2"]
    assert json.loads(ambienti("ops.json", "--json")[1])["nearest"] == "argo-2"
    assert ambienti("absent.json")[0] == 2


def _strongest(*order):
    import itertools

    states = ("OK", "WARNING", "UNKNOWN", "MISSING", "CRITICAL", "DOWNTIME")
    return [(a, b, min(a, b, key=order.index)) for a, b in itertools.combinations_with_replacement(states, 2)]
