"""Where the calendar ends: what can be read can be reckoned with, and a window that would run past the end is cut."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.availability.timelines import windows
from scheduler.commands.cli import main
from scheduler.model.instants import SECOND, read_instant
from scheduler.oncall.incident import Incident
from scheduler.oncall.response import Cut, report
from scheduler.oncall.states import State

FIRST, LAST = (read_instant(text, "UTC") for text in ("1000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"))
YEAR = 366 * 86400 * SECOND
ZONES = ("UTC", "Pacific/Kiritimati", "America/New_York", "Europe/Rome")
edges = st.integers(FIRST, FIRST + YEAR) | st.integers(LAST - YEAR, LAST)


@settings(max_examples=150, deadline=None)
@given(edges, st.sampled_from(ZONES), st.integers(-99_999, 99_999))
@example(LAST, "Pacific/Kiritimati", 3660)
@example(FIRST, "America/New_York", -99_999)
def test_windows_at_either_end_of_the_calendar_are_cut_and_no_more(now, zone, days):
    for name in (*windows.NAMES, "99999d"):
        window = windows.named(name, now, zone)
        assert window.start <= window.end or now > LAST - 3 * 86400 * SECOND, name
        end = windows.period_end(name, now, zone)
        assert end is None or end >= now
    later = windows.days_later(now, days, zone)
    assert abs(later - now) <= (abs(days) + 3) * 86400 * SECOND


@settings(max_examples=60, deadline=None)
@given(edges, st.sampled_from(ZONES), st.sampled_from(Cut))
@example(LAST, "UTC", Cut.MONTH)
def test_an_incident_of_the_last_month_of_the_calendar_is_in_the_response_report(opened, zone, cut):
    one = Incident(1, "object:a", State.OPEN, opened, ("a",), ("a",), opened_at=opened)
    assert sum(period.incidents for period in report([one], cut, zone, LAST)) == 1


ON_CALL = """\
people: {anna: {}}
rotations: {primary: {layers: [{people: [anna], start: 2026-03-02}]}}
escalation: {levels: [{notify: primary}]}
"""
STORY = """\
now: 9999-12-31T23:59:59.999999Z
oncall: oncall.yaml
events: [{at: 9999-12-31T23:00:00Z, event: bad, object: a}]
"""
HISTORY = """\
now: 9999-12-31T23:00:00Z
zone: America/New_York
objects: [a]
events: [{at: 9999-12-01, object: a, status: OK}]
downtimes: [{object: a, declared: 9999-01-01, recurring: {rule: FREQ=DAILY, start: 9999-12-20 20:00, length: 2h}}]
objectives:
  - {name: m, object: a, target: 99%, window: month}
  - {name: y, object: a, target: 99%, window: year}
"""


@pytest.mark.parametrize(
    "command",
    [
        "oncall schedule --from 9999-12-20 --days 3660 --file oncall.yaml",
        "oncall who --at 9999-12-31T23:59:59Z --file oncall.yaml",
        "oncall simulate story.yaml",
        "report argo --history farm.yaml --window year --granularity monthly",
        "objective status --history farm.yaml",
        "report --history farm.yaml --profile all",
    ],
)
def test_commands_tell_of_the_last_days_of_the_calendar(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    for name, text in (("oncall.yaml", ON_CALL), ("story.yaml", STORY), ("farm.yaml", HISTORY)):
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as left:
        main([*command.split(), *(() if "argo" in command else ("--json",))])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out)


def test_a_schedule_that_has_no_days_left_says_so(tmp_path, capsys):
    (tmp_path / "oncall.yaml").write_text(ON_CALL)
    with pytest.raises(SystemExit) as left:
        main(["oncall", "schedule", "--from", "9999-12-31T12:00:00Z", "--file", str(tmp_path / "oncall.yaml")])
    assert left.value.code == 2
    assert "the calendar has no days left" in capsys.readouterr().err
