"""iCalendar: periods of data taking across DST changes, exceptions, cancelled events, and what is refused."""

from datetime import UTC, datetime

import pytest

from environments.problems import ConfigurationError
from scheduler.availability.files import calendars
from scheduler.availability.history import SECOND, Span

HOUR = 3600 * SECOND
UNTIL = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * SECOND


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND


def calendar(*lines, head=()):
    event = ("BEGIN:VEVENT", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT") if lines else ()
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", *head, *event, "END:VCALENDAR", ""))


def spans(*lines, until=UNTIL, zone="UTC", head=()):
    return [(one.start, one.end) for one in calendars.read(calendar(*lines, head=head), "run.ics", until, zone)]


def test_a_weekly_run_keeps_its_exact_length_and_its_local_start_across_a_dst_change():
    """Europe/Rome springs forward on 29 March 2026: Saturdays at 22:00 are 21:00 UTC, then 20:00 UTC; eight hours each."""
    found = spans(
        "UID:1",
        "DTSTART;TZID=Europe/Rome:20260321T220000",
        "DTEND;TZID=Europe/Rome:20260322T060000",
        "RRULE:FREQ=WEEKLY;COUNT=3",
    )
    starts = [at(2026, 3, 21, 21), at(2026, 3, 28, 21), at(2026, 4, 4, 20)]
    assert found == [(start, start + 8 * HOUR) for start in starts]


def test_days_are_cut_at_local_midnight_and_last_23_hours_when_the_clock_springs():
    assert spans("UID:1", "DTSTART;VALUE=DATE:20260329", zone="Europe/Rome") == [(at(2026, 3, 28, 23), at(2026, 3, 29, 22))]
    head = ("X-WR-TIMEZONE:America/Chicago",)
    assert spans("UID:1", "DTSTART;VALUE=DATE:20260101", "DTEND;VALUE=DATE:20260103", head=head) == [
        (at(2026, 1, 1, 6), at(2026, 1, 3, 6))
    ]


def test_a_start_that_the_clock_skips_is_moved_on_by_the_gap():
    found = spans("UID:1", "DTSTART;TZID=Europe/Rome:20260328T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=2")
    assert found == [(at(2026, 3, 28, 1, 30), at(2026, 3, 28, 2, 30)), (at(2026, 3, 29, 1, 30), at(2026, 3, 29, 2, 30))]


def test_excepted_moved_and_cancelled_occurrences_are_respected():
    series = (
        "UID:1",
        "DTSTART:20260105T080000Z",
        "DTEND:20260105T100000Z",
        "RRULE:FREQ=DAILY;COUNT=3",
        "EXDATE:20260106T080000Z",
    )
    moved = (
        "END:VEVENT", "BEGIN:VEVENT", "DTSTAMP:20260101T000000Z", "UID:1", "RECURRENCE-ID:20260107T080000Z",
        "DTSTART:20260107T120000Z", "DTEND:20260107T130000Z",
    )  # fmt: skip
    gone = (
        "END:VEVENT",
        "BEGIN:VEVENT",
        "DTSTAMP:20260101T000000Z",
        "UID:2",
        "STATUS:CANCELLED",
        "DTSTART:20260105T080000Z",
        "DURATION:PT5H",
    )
    assert spans(*series, *moved, *gone) == [
        (at(2026, 1, 5, 8), at(2026, 1, 5, 10)),
        (at(2026, 1, 7, 12), at(2026, 1, 7, 13)),
    ]


def test_an_endless_series_ends_where_the_question_ends():
    daily = ("UID:1", "DTSTART:20260101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY")
    assert len(spans(*daily, until=at(2026, 1, 11))) == 10
    assert spans(*daily, until=at(2026, 1, 1)) == []


def test_what_an_event_concerns_and_who_wrote_it_when_is_read():
    lines = (
        "UID:7",
        "SUMMARY:beam",
        "CREATED:20251201T120000Z",
        "CATEGORIES:cms,atlas",
        "LOCATION:ce1",
        "ORGANIZER:mailto:ops@example.org",
    )
    (one,) = calendars.read(calendar(*lines, "DTSTART:20260105T080000Z", "DURATION:PT1H"), "run.ics", UNTIL)
    assert one.names == ("cms", "atlas", "ce1")
    assert (one.created, one.by, one.summary) == (at(2025, 12, 1, 12), "ops@example.org", "beam")


def test_periods_that_touch_or_overlap_are_united():
    read = calendars.read(
        calendar("UID:1", "DTSTART:20260101T000000Z", "DURATION:PT25H", "RRULE:FREQ=DAILY;COUNT=3"), "run.ics", UNTIL
    )
    assert calendars.periods(read) == (Span(at(2026, 1, 1), at(2026, 1, 4, 1)),)


def test_an_event_without_length_or_with_a_negative_one_is_no_period():
    assert spans("UID:1", "DTSTART:20260101T000000Z", "DURATION:-PT1H") == []
    assert spans("UID:1", "DTSTART:20260101T000000Z", "DTEND:20251231T000000Z") == []
    assert spans("UID:1", "DTSTART:20260101T000000Z") == []


def test_an_empty_calendar_has_no_period():
    assert spans() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hello", "not an iCalendar file"),
        (calendar("UID:1", "SUMMARY:run"), "has no start"),
        (calendar("UID:1", "DTSTART:20260101T000000Z", "RRULE:FREQ=SECONDLY"), "every hour or more often"),
        (calendar("UID:1", "DTSTART:20260132T000000Z"), "its DTSTART cannot be understood"),
        (
            calendar("UID:1", "DTSTART:20260101T000000Z", "DTEND:20260102T000000Z", "DTEND:20260103T000000Z"),
            "its DTEND stands there twice",
        ),
        (calendar("UID:1", "DTSTART:20260101T000000Z", "CREATED:once"), "its CREATED cannot be understood"),
        (
            calendar("UID:1", "DTSTART;VALUE=DATE:20260101", "DTEND:20260102T000000Z"),
            "a date at one end and a time at the other",
        ),
        (calendar("UID:1", "DTSTART:20260101T000000Z", "RRULE:FREQ=FORTNIGHTLY"), "its RRULE cannot be understood"),
        (calendar("UID:1", "DTSTART:20260101T000000Z", "RRULE:INTERVAL=2"), "a recurrence that cannot be understood"),
        (
            calendar("UID:1", "DTSTART:00010101T000000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY"),
            "a recurrence that cannot be understood",
        ),
        (calendar("UID:1", "DTSTART;TZID=Mars/Base:20260101T000000", "DURATION:PT1H"), "Mars/Base"),
    ],
)
def test_what_is_no_usable_calendar_is_refused_with_its_file(content, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        calendars.read(content, "run.ics", UNTIL)
    assert caught.value.problems[0].file == "run.ics"
