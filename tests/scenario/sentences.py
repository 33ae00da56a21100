"""The one golden file of sentences: of each code the sentence that the first scenario shows, in the order of their names.

By hand, after reading what differs: `python -m tests.scenario.sentences > new && mv new tests/scenario/sentences.expect`.
"""

import sys
import tempfile
from pathlib import Path

import yaml

from simulations.runs import run_scenario
from simulations.scenario import directories, load

EXPECTED = Path(__file__).with_name("sentences.expect")


def expected():
    """Return code -> {scenario: sentence}."""
    return yaml.safe_load(EXPECTED.read_text())


def first_sentences():
    """Run all scenarios and return what must stand in the file."""
    found = {}
    for path in directories():
        with tempfile.TemporaryDirectory() as state:
            for code, sentence in run_scenario(load(path).scenario, Path(state)).sentences.items():
                found.setdefault(code, {path.name: sentence})
    return found


if __name__ == "__main__":
    yaml.safe_dump(first_sentences(), sys.stdout, width=10_000, allow_unicode=True)
