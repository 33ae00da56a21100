"""The reference pages are made of the code, so they cannot lag behind it."""

from scheduler.availability.files.reading import history_of_text
from scheduler.availability.files.written import WrittenHistory
from scheduler.availability.reports.report_data import ReportRow
from scheduler.commands import reference
from scheduler.commands.cli import COMMANDS, GROUPS, name_of
from scheduler.daemon.metrics import METRICS
from scheduler.model.lifecycle import TRANSITIONS
from scheduler.model.workers import WorkerState
from scheduler.oncall import states
from scheduler.oncall.written import OnCall
from scheduler.show.diagram import INCIDENT_PLACES, PLACES
from scheduler.site.settings import Site


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


def test_the_lifecycle_page_draws_every_step():
    page = reference.lifecycle()
    drawn = [(a, b) for a, steps in TRANSITIONS.items() for b in steps if WorkerState.UNSEEN not in (a, b)]
    for before, after in drawn:
        assert f"<title>{before} to {after}: " in page
    assert set(PLACES) == set(WorkerState) - {WorkerState.UNSEEN}
    assert all(f"| **{state}** |" in page for state in WorkerState)


def test_the_page_on_incidents_draws_every_step_and_holds_every_key():
    page = reference.incidents()
    for before, steps in states.TRANSITIONS.items():
        assert all(f"<title>{before} to {after}: " in page for after in steps)
    assert set(INCIDENT_PLACES) == set(states.State)
    assert all(f"| **{state}** |" in page for state in states.State)
    for key in (*OnCall.model_fields, "handover", "shift_days", "declared", "median_seconds"):
        assert f"| `{key}` |" in page


def test_the_page_on_histories_holds_every_key_and_its_sample_is_right():
    page = reference.availability()
    for key in (*WrittenHistory.model_fields, *ReportRow.model_fields, "revisions", "accepted_by", "freshness"):
        assert f"| `{key}` |" in page
    assert len(history_of_text(reference.SAMPLE_HISTORY, "sample.yaml").downtimes) == 3
