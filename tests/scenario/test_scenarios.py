"""Every scenario directory: what happens is what its log.expect says, line by line, and nothing forbidden happens on the way."""

import pytest

from environments.problems import ConfigurationError
from simulations.runs import complaint, run_scenario
from simulations.scenario import Scenario, directories, load
from tests.scenario import sentences

PATHS = directories()
SENTENCES = sentences.expected()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_scenario_happens_as_its_log_says(path, tmp_path):
    directory = load(path)
    run = run_scenario(directory.scenario, tmp_path)
    wrong = complaint(directory, run)
    assert not wrong, f"{path.name}: {wrong}"
    for code, sentence in run.sentences.items():
        ((first, _),) = SENTENCES[code].items()
        assert first <= path.name, f"{code} comes here first: see tests/scenario/sentences.py"
        assert f": {sentence} [{code}]" in run.told
    expected = {code: one[path.name] for code, one in SENTENCES.items() if path.name in one}
    assert {code: run.sentences.get(code, "") for code in expected} == expected


def test_each_sentence_of_the_golden_file_comes_from_a_scenario_that_is_there():
    assert len(SENTENCES) > 40
    assert {name for one in SENTENCES.values() for name in one} <= {path.name for path in PATHS}


def test_there_are_at_least_twenty_five_scenarios_with_a_sentence_each():
    assert len(PATHS) >= 25
    assert all(load(path).sentence for path in PATHS)


def test_the_same_scenario_twice_gives_the_same_log(tmp_path):
    scenario = load(next(path for path in PATHS if path.name == "host-dies")).scenario
    logs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        logs.append(run_scenario(scenario, tmp_path / name).log)
    assert logs[0] == logs[1]


def written(directory, text, readme="One sentence.", log=None):
    (directory / "scenario.yaml").write_text(text)
    if readme:
        (directory / "README.md").write_text(readme)
    if log is not None:
        (directory / "log.expect").write_text(log)
    return directory


SMALL = """
lasts: 2 min
hosts:
  xen1: {}
vos:
  atlas: {}
environments:
  atlas-el9: {vo: atlas}
"""


def test_a_scenario_without_expectation_has_failed_and_nothing_is_written(tmp_path):
    directory = load(written(tmp_path, SMALL))
    (tmp_path / "state").mkdir()
    wrong = complaint(directory, run_scenario(directory.scenario, tmp_path / "state"))
    assert "there is no" in wrong
    assert "--show" in wrong
    assert not (tmp_path / "log.expect").exists()


def test_a_wrong_expectation_is_shown_as_the_lines_that_differ(tmp_path):
    directory = load(written(tmp_path, SMALL, log="0:00:00  daemon    daemon-1 sleeps\n"))
    (tmp_path / "state").mkdir()
    wrong = complaint(directory, run_scenario(directory.scenario, tmp_path / "state"))
    assert "-0:00:00  daemon    daemon-1 sleeps" in wrong
    assert "+0:00:00  daemon    daemon-1 acts" in wrong


def test_a_scenario_without_its_sentence_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="a sentence that says"):
        load(written(tmp_path, SMALL, readme=""))


def test_a_misspelt_deed_names_the_line_and_the_nearest_one(tmp_path):
    text = SMALL + "faults:\n  - {at: 5 s, do: queue-silnt}\n"
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, text))
    message = str(caught.value)
    assert "scenario.yaml:10" in message
    assert "queue-silent" in message


def test_a_deed_without_its_victim_is_refused():
    with pytest.raises(ValueError, match="host-dead needs `host`"):
        Scenario.model_validate(
            {
                "lasts": 60,
                "hosts": {"xen1": {}},
                "vos": {"atlas": {}},
                "environments": {"atlas-el9": {"vo": "atlas"}},
                "faults": [{"at": 1, "do": "host-dead"}],
            }
        )
