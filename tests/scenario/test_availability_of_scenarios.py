"""What the journal of a scenario says of availability is what was done to the farm, to within a look (30 s)."""

from dataclasses import replace

import pytest

from scheduler.availability.measuring.accounting import measure
from scheduler.availability.timelines.windows import between
from scheduler.journal.histories import load_history
from scheduler.journal.reading import JournalReader
from scheduler.model.instants import SECOND
from simulations.runs import run_scenario
from simulations.scenario import directories, load

LOOK = 31
PATHS = {path.name: path for path in directories()}


def measured(name, tmp_path):
    """Return the measures of all objects while a daemon looked, and how long the run was."""
    run = run_scenario(load(PATHS[name]).scenario, tmp_path)
    reader = JournalReader(f"sqlite:///{tmp_path}/journal.db", now=0.0)
    history = load_history(reader, 0.0)
    reader.close()
    last = max(history.results, key=lambda one: one.sequence)
    now = last.confirmed or last.at
    start = min(one.at for one in history.results)
    return measure(replace(history, now=now), between(start, now, now), "excuse"), run.simulated_seconds


@pytest.mark.parametrize(
    ("name", "object_", "bad", "missing"),
    [
        ("host-silent-then-back", "xen1", 480, 0),
        ("host-silent-then-back", "xen2", 0, 0),
        ("silent-queue", "pool", 600, 0),
        ("daemon-restarted", "pool", 0, 300),
        ("two-daemons", "pool", 0, 0),
        ("crash-3-after-boot", "pool", 0, 0),
        ("clock-jump-forward", "pool", 0, 0),
        ("clock-jump-back", "pool", 0, 0),
        ("clock-jump-forward", "ambienti", 0, 0),
    ],
)
def test_what_was_done_to_the_farm_is_what_is_measured(name, object_, bad, missing, tmp_path):
    found, lasted = measured(name, tmp_path)
    one = found[object_]
    assert one.bad / SECOND == pytest.approx(bad, abs=LOOK)
    assert one.missing / SECOND == pytest.approx(missing, abs=LOOK)
    if name != "clock-jump-back":  # there `now` lies before the first looks, and no future second is counted
        assert one.total / SECOND == pytest.approx(lasted, abs=2 * LOOK), "no second is lost or made by a clock that was set"
