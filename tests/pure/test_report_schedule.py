"""When reports are published: once on each of their days, whatever the clocks do, and the latest alone after an absence."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.problems import ConfigurationError
from scheduler.availability.reports.schedule import Due, Every, Schedule, due
from scheduler.model.instants import SECOND, as_time, read_instant
from scheduler.publish import reports
from scheduler.site import definitions
from tests.pure.test_settings import SITE, Files

ROME = "Europe/Rome"
HOUR = 3600 * SECOND
DAY = 24 * HOUR
WEEKLY = Schedule(Every.MONDAY, 7 * 3600)


def at(text, zone=ROME):
    return read_instant(text, zone)


@pytest.mark.parametrize(
    ("schedule", "last", "now", "expected"),
    [
        (WEEKLY, "2026-03-02 07:00", "2026-03-09 06:59:59", None),
        (WEEKLY, "2026-03-02 07:00", "2026-03-09 07:00", ("2026-03-09 07:00", 0)),
        (WEEKLY, "2026-03-09 07:00", "2026-03-09 07:00", None),
        (WEEKLY, "2026-03-09 07:00", "2026-03-02 07:00", None),
        # Absent for five weeks, one of them with a change of the clocks: the last Monday's alone.
        (WEEKLY, "2026-03-09 07:00", "2026-04-14 12:00", ("2026-04-13 07:00", 4)),
        (Schedule(Every.MONTH, 0), "2026-01-15 00:00", "2026-03-01 00:00", ("2026-03-01 00:00", 1)),
        (Schedule(Every.DAY, 86399), "2026-03-01 00:00", "2026-03-01 23:59:59", ("2026-03-01 23:59:59", 0)),
        # 02:30 does not exist on 29 March: moved on by the gap.
        (Schedule(Every.DAY, 9000), "2026-03-28 03:00", "2026-03-29 03:29:59", None),
        (Schedule(Every.DAY, 9000), "2026-03-28 03:00", "2026-03-29 03:30", ("2026-03-29 03:30", 0)),
        # 02:30 comes twice on 25 October: published at the first, not again at the second.
        (Schedule(Every.DAY, 9000), "2026-10-24 03:00", "2026-10-25T02:30:00+01:00", ("2026-10-25T02:30:00+02:00", 0)),
        (Schedule(Every.DAY, 9000), "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", None),
    ],
)
def test_the_latest_publication_that_was_not_made_is_due(schedule, last, now, expected):
    found = due(schedule, at(last), at(now), ROME)
    assert found == (expected and Due(at(expected[0]), expected[1]))


def test_a_day_that_a_zone_left_out_is_published_on_the_day_after():
    zone = "Pacific/Apia"  # had no 30 December 2011
    found = due(Schedule(Every.DAY, 7 * 3600), at("2011-12-29 07:00", zone), at("2011-12-31 08:00", zone), zone)
    assert found is not None
    assert found.at == at("2011-12-31 07:00", zone)


@given(
    zone=st.sampled_from([ROME, "America/Chicago", "Australia/Lord_Howe", "UTC"]),
    schedule=st.builds(Schedule, st.sampled_from(list(Every)), st.integers(0, 86399)),
    begin=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - any instant will do
    steps=st.lists(st.integers(-3 * DAY, 9 * DAY), max_size=30),
)
def test_however_the_clock_is_looked_at_each_day_is_published_once_and_only_its_own_days(zone, schedule, begin, steps):
    last = now = int((begin - datetime(1970, 1, 1)) / timedelta(microseconds=1))  # noqa: DTZ001
    made = []
    for step in steps:
        now += step
        found = due(schedule, last, now, zone)
        if found is not None:
            assert last < found.at <= now
            made.append(found.at)
            last = found.at
    days = [as_time(one, zone).date() for one in made]
    assert days == sorted(set(days))
    for day in days:
        assert schedule.every is Every.DAY or (
            day.day == 1 if schedule.every is Every.MONTH else f"{day:%a}".lower() == schedule.every
        )


# --- what is wrong with them ------------------------------------------------------------------------------------------

PEOPLE = "people: {anna: {addresses: [{environment: A}]}, bruno: {addresses: []}}\nescalation: {levels: [{notify: anna}]}\n"


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path)
    made.write("oncall.yaml", PEOPLE)
    return made


def refused(files, written, *, on_call=True):
    files.write("site.yaml", f"{SITE}reports:\n  - {{{written}}}\n")
    if not on_call:
        (files.directory / "oncall.yaml").unlink()
    with pytest.raises(ConfigurationError) as found:
        reports.check(definitions.load(files.directory / "site.yaml"))
    return str(found.value)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("name: weekly, to: [ana]", ["site.yaml:11:25", "reports[0].to[0]", "no person 'ana' in oncall.yaml", "anna"]),
        ("name: weekly, to: [bruno]", ["reports[0].to[0]", "bruno has no address"]),
        ("name: weekly, to: []", ["reports[0].to", "at least 1"]),
        ("name: weekly, to: [anna], every: tuseday", ["reports[0].every", "'tuseday'", "tuesday"]),
        ("name: weekly, to: [anna], every: 3", ["reports[0].every", "mon, tue"]),
        ("name: weekly, to: [anna], every: [mon]", ["reports[0].every", "mon, tue"]),
        ("name: weekly, to: [anna], every: {mon: tue}", ["reports[0].every", "mon, tue"]),
        ('name: weekly, to: [anna], at: "25:00"', ["reports[0].at", "24:00"]),
        ('name: weekly, to: [anna], at: "24:00"', ["reports[0].at", "less than 86400"]),
        ("name: weekly, to: [anna], window: past-weak", ["reports[0].window", "past-week"]),
        ("name: weekly, to: [anna], profile: excuses", ["reports[0].profile", "excuse"]),
        ("name: weekly, to: [anna], formats: [htm]", ["reports[0].formats[0]", "html"]),
        ("name: weekly, too: [anna]", ["reports[0].too", "to"]),
        ("name: weekly, to: [anna]}\n  - {name: weekly, to: [anna]", ["reports[1].name", "named twice"]),
    ],
)
def test_what_is_wrong_with_a_report_is_told_with_its_place_and_what_was_meant(files, written, expected):
    told = refused(files, written)
    assert [part for part in expected if part not in told] == [], told


def test_reports_without_an_on_call_file_reach_nobody(files):
    assert "nobody can be reached" in refused(files, "name: weekly, to: [anna]", on_call=False)


def test_the_window_follows_from_the_day_unless_it_is_named(files):
    files.write(
        "site.yaml",
        f"""{SITE}reports:
  - {{name: weekly, to: [anna], every: Monday}}
  - {{name: daily, to: [anna], every: day, at: 06:30}}
  - {{name: monthly, to: [anna], every: month, window: 90d, formats: [pdf]}}
""",
    )
    found = definitions.load(files.directory / "site.yaml")
    reports.check(found)
    told = [(one.covers, one.schedule) for one in found.site.reports]
    assert told == [
        ("past-week", Schedule(Every.MONDAY, 25200)),
        ("yesterday", Schedule(Every.DAY, 23400)),
        ("90d", Schedule(Every.MONTH, 25200)),
    ]
