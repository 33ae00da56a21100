"""Windows by name: cut in a zone, never beyond now, also where the clocks change at midnight."""

import re

import pytest
from pydantic_core import PydanticCustomError

from scheduler.availability.history import SECOND
from scheduler.availability.instants import read_instant, write_instant
from scheduler.availability.timelines.windows import NAMES, between, midnight, named, zone_data

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
