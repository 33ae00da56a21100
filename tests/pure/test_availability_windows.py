"""Windows by name: cut in a zone, never beyond now, also where the clocks change at midnight."""

import re
import zoneinfo

import pytest
from pydantic_core import PydanticCustomError

from scheduler.availability.timelines.windows import NAMES, between, days_later, midnight, named, period_end, zone_data
from scheduler.model.instants import SECOND, as_time, read_instant, write_instant

HOUR = 3600 * SECOND


def cut(name, now, zone):
    window = named(name, read_instant(now, zone), zone)
    return write_instant(window.start, zone), write_instant(window.end, zone)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", "2026-05-13T00:00:00+02:00", "2026-05-13T12:00:00+02:00"),
        ("yesterday", "2026-05-12T00:00:00+02:00", "2026-05-13T00:00:00+02:00"),
        ("past-day", "2026-05-12T00:00:00+02:00", "2026-05-13T00:00:00+02:00"),
        ("this-week", "2026-05-11T00:00:00+02:00", "2026-05-13T12:00:00+02:00"),
        ("past-week", "2026-05-04T00:00:00+02:00", "2026-05-11T00:00:00+02:00"),
        ("month", "2026-05-01T00:00:00+02:00", "2026-05-13T12:00:00+02:00"),
        ("past-month", "2026-04-01T00:00:00+02:00", "2026-05-01T00:00:00+02:00"),
        ("quarter", "2026-04-01T00:00:00+02:00", "2026-05-13T12:00:00+02:00"),
        ("past-quarter", "2026-01-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"),
        ("year", "2026-01-01T00:00:00+01:00", "2026-05-13T12:00:00+02:00"),
        ("past-year", "2025-01-01T00:00:00+01:00", "2026-01-01T00:00:00+01:00"),
        ("7d", "2026-05-06T12:00:00+02:00", "2026-05-13T12:00:00+02:00"),
        ("90d", "2026-02-12T12:00:00+01:00", "2026-05-13T12:00:00+02:00"),
    ],
)
def test_each_window_is_cut_in_the_zone(name, start, end):
    assert cut(name, "2026-05-13 12:00", "Europe/Rome") == (start, end)


@pytest.mark.parametrize("name", NAMES)
def test_no_window_reaches_beyond_now(name):
    for now in ("2026-01-01 00:00", "2028-02-29 23:59:59.999999", "2026-03-29 04:00"):
        window = named(name, read_instant(now, "Europe/Rome"), "Europe/Rome")
        assert window.start <= window.end <= read_instant(now, "Europe/Rome")


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("Asia/Beirut", "2024-03-31", "2024-03-31T01:00:00+03:00"),
        ("America/Havana", "2025-11-02", "2025-11-02T00:00:00-04:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00"),
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T00:00:00-03:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-31T00:00:00+14:00"),
        ("America/Toronto", "1919-03-31", "1919-03-31T00:30:00-04:00"),
    ],
)
def test_a_day_begins_with_its_first_instant_also_where_midnight_is_skipped(zone, day, first):
    from datetime import date

    begin = midnight(date.fromisoformat(day), zone)
    assert write_instant(begin, zone) == first
    assert write_instant(begin - SECOND, zone)[:10] < day


def test_a_trailing_window_begins_at_the_same_local_time():
    now = read_instant("2026-04-02 12:00", "Europe/Rome")
    assert named("7d", now, "Europe/Rome").start == now - 167 * HOUR
    assert named("7d", now, "UTC").start == now - 168 * HOUR


@pytest.mark.parametrize(
    ("name", "now", "zone", "end"),
    [
        # Troll's clocks change by two hours: its days have 22 or 26 hours.
        ("today", "2026-10-25T00:30:00+02:00", "Antarctica/Troll", "2026-10-26T00:00:00+00:00"),
        ("today", "2026-10-25T23:30:00+00:00", "Antarctica/Troll", "2026-10-26T00:00:00+00:00"),
        ("today", "2026-03-29T12:00:00+02:00", "Antarctica/Troll", "2026-03-30T00:00:00+02:00"),
        ("this-day", "2011-12-29T12:00:00-10:00", "Pacific/Apia", "2011-12-31T00:00:00+14:00"),
        ("this-week", "2026-10-25T12:00:00+01:00", "Europe/Rome", "2026-10-26T00:00:00+01:00"),
        ("week", "2026-12-28T00:00:00+01:00", "Europe/Rome", "2027-01-04T00:00:00+01:00"),
        ("month", "2026-12-31T12:00:00+01:00", "Europe/Rome", "2027-01-01T00:00:00+01:00"),
        ("this-month", "2028-02-29T12:00:00+01:00", "Europe/Rome", "2028-03-01T00:00:00+01:00"),
        ("quarter", "2026-11-30T12:00:00+01:00", "Europe/Rome", "2027-01-01T00:00:00+01:00"),
        ("year", "2028-01-01T00:00:00+01:00", "Europe/Rome", "2029-01-01T00:00:00+01:00"),
        ("past-week", "2026-12-28T00:00:00+01:00", "Europe/Rome", None),
        ("30d", "2026-12-28T00:00:00+01:00", "Europe/Rome", None),
    ],
)
def test_a_period_of_the_calendar_ends_where_the_calendar_says(name, now, zone, end):
    found = period_end(name, read_instant(now, zone), zone)
    assert (found if found is None else write_instant(found, zone)) == end


def test_of_every_zone_and_day_what_is_still_to_come_of_it_is_not_negative():
    """For each zone the days around every change of its clocks in a year; none may be over before it ends."""
    for zone in sorted(zoneinfo.available_timezones()):
        noons = [read_instant("2026-01-01T12:00:00Z", zone) + day * 24 * HOUR for day in range(400)]
        offsets = [as_time(noon, zone).utcoffset() for noon in noons]
        for before, after, noon in zip(offsets, offsets[1:], noons, strict=False):
            if before != after:
                for now in range(noon - 36 * HOUR, noon + 36 * HOUR, 7 * HOUR):
                    whole = named("today", now, zone)
                    end = period_end("today", now, zone)
                    assert whole.start <= now < end, (zone, write_instant(now, zone))
                    assert as_time(end, zone).date() > as_time(now, zone).date()
                    assert named("yesterday", end, zone).start == whole.start


def test_yesterday_is_a_day_that_was():
    """Apia had no 30 December 2011."""
    now = read_instant("2011-12-31T12:00:00+14:00", "Pacific/Apia")
    window = named("yesterday", now, "Pacific/Apia")
    ends = [write_instant(at, "Pacific/Apia") for at in (window.start, window.end)]
    assert ends == ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"]


def test_days_later_are_days_of_the_calendar():
    noon = read_instant("2026-10-24 12:00", "Europe/Rome")
    assert days_later(noon, 1, "Europe/Rome") - noon == 25 * HOUR
    assert (
        write_instant(days_later(read_instant("2026-03-28 02:30", "Europe/Rome"), 1, "Europe/Rome")) == "2026-03-29T01:30:00Z"
    )


def test_a_window_between_instants_ends_now_at_the_latest():
    assert between(5, 20, 10).end == 10
    assert (between(15, 20, 10).start, between(15, 20, 10).end) == (10, 10)


def test_a_misspelt_window_is_refused_with_the_nearest_name():
    with pytest.raises(PydanticCustomError, match="this-wek") as refused:
        named("this-wek", 0, "UTC")
    assert refused.value.context["nearest"] == "this-week"
    for wrong in ("0d", "past-fortnight", "-7d", ""):
        with pytest.raises(PydanticCustomError):
            named(wrong, 0, "UTC")


def test_the_version_of_the_zone_data_is_known():
    assert re.fullmatch(r"\d{4}[a-z]+|of the system", zone_data())
