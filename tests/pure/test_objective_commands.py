"""`ambienti objective`: promises are checked, shown, and written as OpenSLO."""

import json
from pathlib import Path

import pytest

from environments.reader import documents
from scheduler.cli import main

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
