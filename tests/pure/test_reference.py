"""The reference pages are made of the code, and a page that lags behind it is told."""

import re
from pathlib import Path

import pytest

from scheduler.availability.files.reading import history_of_text
from scheduler.availability.files.written import WrittenHistory
from scheduler.availability.reports.report_shape import ReportRow
from scheduler.commands import reference
from scheduler.commands.cli import COMMANDS, GROUPS, name_of
from scheduler.daemon.metrics import METRICS
from scheduler.model.lifecycle import TRANSITIONS
from scheduler.model.workers import WorkerState
from scheduler.oncall import states
from scheduler.oncall.written import OnCall
from scheduler.site.settings import Site

PAGES = Path(__file__).parents[2] / "docs/reference"


@pytest.mark.parametrize("name", reference.PAGES)
def test_each_page_in_the_repository_is_what_the_code_makes(name):
    assert (PAGES / f"{name}.md").read_text() == reference.PAGES[name](), "the page is stale: run `make reference`"


def test_no_page_in_the_repository_is_left_over():
    assert {path.stem for path in PAGES.glob("*.md")} == set(reference.PAGES)


def test_the_configuration_page_holds_every_key():
    page = reference.configuration()
    for key in (*Site.model_fields, "extends", "idle_seconds", "guarantee_cpus", "black_hole_failures"):
        assert f"| `{key}` |" in page
    assert "amount like `20 min`" in page
    assert "options of `libvirt`" in page


def test_the_command_page_holds_every_command():
    page = reference.command_line()
    for name in (*map(name_of, COMMANDS), *GROUPS):
        assert f"## `ambienti {name.replace('_', '-')}`" in page
    assert "### `ambienti host drain`" in page


def test_the_metrics_page_holds_every_metric():
    page = reference.metrics()
    for metric in METRICS:
        assert f"| `{metric.name}` |" in page


def test_the_lifecycle_page_draws_every_step_but_those_of_a_silent_host():
    page = reference.lifecycle()
    drawn = {(a.name, b.name) for a, steps in TRANSITIONS.items() for b in steps if WorkerState.UNSEEN not in (a, b)}
    assert set(arrows(page)) == drawn
    assert all(f"| **{state}** |" in page for state in WorkerState)


def test_the_page_on_incidents_draws_every_step_and_holds_every_key():
    page = reference.incidents()
    assert set(arrows(page)) == {(a.name, b.name) for a, steps in states.TRANSITIONS.items() for b in steps}
    assert all(f"| **{state}** |" in page for state in states.State)
    for key in (*OnCall.model_fields, "handover", "shift_days", "declared", "median_seconds"):
        assert f"| `{key}` |" in page


def arrows(page):
    return re.findall(r"^    (\w+) --> (\w+)$", page, re.MULTILINE)


def test_the_page_on_histories_holds_every_key_and_its_sample_is_right():
    page = reference.availability()
    for key in (*WrittenHistory.model_fields, *ReportRow.model_fields, "revisions", "accepted_by", "freshness"):
        assert f"| `{key}` |" in page
    assert len(history_of_text(reference.SAMPLE_HISTORY, "sample.yaml").downtimes) == 3
