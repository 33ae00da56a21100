"""iCalendar: periods of data taking across DST changes, exceptions, cancelled events, and what is refused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from environments.problems import ConfigurationError
from scheduler.availability.files import calendars
from scheduler.availability.history import Span
from scheduler.model.instants import SECOND

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


def test_an_event_at_the_end_of_all_years_is_no_period_yet():
    assert spans("UID:1", "DTSTART:99991231T100000Z", "DURATION:P1D") == []


def test_an_empty_calendar_has_no_period():
    assert spans() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hello", "not an iCalendar file"),
        (calendar("UID:1", "SUMMARY:run"), "has no start"),
        (calendar("UID:1", "DTSTART:20260101T000000Z", "RRULE:FREQ=SECONDLY"), "every hour or more often"),
        (
            calendar(
                "UID:1",
                "DTSTART:20260101T000000Z",
                "DURATION:PT1S",
                "RRULE:FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=1,2;BYSECOND=1,2,3,4",
            ),
            "every hour or more often",
        ),
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
        (
            calendar("UID:1", "DTSTART:20260101T000000Z", "RRULE:INTERVAL=2"),
            "its RRULE does not say how often it comes: FREQ=DAILY, WEEKLY",
        ),
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


# --- the end of a series, days and hours, zones -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "until", "last"),
    [
        # Thursdays from 3 December at 15:30: a date is the whole of that day, in the zone of the start.
        (";TZID=Europe/Rome:20261203T153000", "20261217", at(2026, 12, 17, 14, 30)),
        (";TZID=America/Chicago:20261203T233000", "20261217", at(2026, 12, 18, 5, 30)),
        (";TZID=Asia/Tokyo:20261203T003000", "20261217", at(2026, 12, 16, 15, 30)),
        (":20261203T153000Z", "20261217", at(2026, 12, 17, 15, 30)),
        (":20261203T153000", "20261217", at(2026, 12, 17, 14, 30)),
        # An instant belongs to the series, whether it is written in UTC or in local time.
        (";TZID=Europe/Rome:20261203T153000", "20261217T143000Z", at(2026, 12, 17, 14, 30)),
        (";TZID=Europe/Rome:20261203T153000", "20261217T142959Z", at(2026, 12, 10, 14, 30)),
        (";TZID=Europe/Rome:20261203T153000", "20261217T153000", at(2026, 12, 17, 14, 30)),
        (";TZID=Europe/Rome:20261203T153000", "20261217T152959", at(2026, 12, 10, 14, 30)),
        (";TZID=America/Chicago:20261203T153000", "20261217T153000", at(2026, 12, 17, 21, 30)),
        (":20261203T153000", "20261217T143000Z", at(2026, 12, 17, 14, 30)),
        (":20261203T153000", "20261217T142959Z", at(2026, 12, 10, 14, 30)),
        # Days: the date on which the last instant lies in the calendar's zone (23:30 UTC of the 16th is the 17th in Rome).
        (";VALUE=DATE:20261203", "20261217", at(2026, 12, 16, 23)),
        (";VALUE=DATE:20261203", "20261216T233000Z", at(2026, 12, 16, 23)),
        (";VALUE=DATE:20261203", "20261216T223000Z", at(2026, 12, 9, 23)),
    ],
)
def test_the_last_instant_of_a_series_belongs_to_it_in_the_zone_and_type_of_its_start(start, until, last):
    found = spans(f"UID:1\r\nDTSTART{start}", "DURATION:P1D", f"RRULE:FREQ=WEEKLY;UNTIL={until}", zone="Europe/Rome")
    assert found[-1][0] == last


@pytest.mark.parametrize(
    ("duration", "hours"),
    [("P1D", 23), ("PT24H", 24), ("P1DT1H", 24), ("P1W", 7 * 24 - 1), ("PT1H30M", 1.5), ("P1DT0H0M0S", 23), ("PT86400S", 24)],
)
def test_days_of_a_duration_are_days_of_the_calendar_and_hours_are_not(duration, hours):
    """Rome springs forward on 29 March 2026 at 02:00: from noon of the 28th to noon of the 29th are 23 hours."""
    ((start, end),) = spans("UID:1", "DTSTART;TZID=Europe/Rome:20260328T120000", f"DURATION:{duration}")
    assert (end - start) / HOUR == hours
    ((start, end),) = spans("UID:1", "DTSTART:20260328T110000Z", f"DURATION:{duration}")
    assert (end - start) / HOUR == hours + duration.startswith("P1"), "in UTC every day has 24 hours"


def test_an_event_of_dates_that_lasts_hours_is_refused():
    with pytest.raises(ConfigurationError, match="whole days are expected"):
        spans("UID:1", "DTSTART;VALUE=DATE:20260328", "DURATION:PT36H")


def test_further_comings_that_are_given_as_periods_have_lengths_of_their_own():
    lines = ("UID:1", "DTSTART:20260105T080000Z", "DURATION:PT1H", "RDATE;VALUE=PERIOD:20260110T080000Z/PT3H")
    assert spans(*lines) == [(at(2026, 1, 5, 8), at(2026, 1, 5, 9)), (at(2026, 1, 10, 8), at(2026, 1, 10, 11))]


def zone_of_its_own(offset, name="Customized Time Zone"):
    return (
        *("BEGIN:VTIMEZONE", f"TZID:{name}", "BEGIN:STANDARD", "DTSTART:16010101T000000"),
        *(f"TZOFFSETFROM:{offset}", f"TZOFFSETTO:{offset}", "END:STANDARD", "END:VTIMEZONE"),
    )


MEETING = ("UID:1", "DTSTART;TZID=Customized Time Zone:20260715T100000", "DURATION:PT1H")


def test_each_calendar_defines_its_own_zones_whatever_was_read_before():
    """10:00 is 08:00 UTC two hours east of Greenwich, 15:00 UTC five hours west of it, in any order and again."""
    east, west = at(2026, 7, 15, 8), at(2026, 7, 15, 15)
    for offset, start in (("+0200", east), ("-0500", west), ("+0200", east), ("-0500", west)):
        assert spans(*MEETING, head=zone_of_its_own(offset)) == [(start, start + HOUR)]
    with pytest.raises(ConfigurationError, match="nobody knows: Customized Time Zone"):
        spans(*MEETING)


def test_calendars_that_are_read_at_the_same_time_do_not_mix_their_zones():
    wanted = {"+0200": at(2026, 7, 15, 8), "-0500": at(2026, 7, 15, 15)}
    offsets = [*wanted] * 40
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda offset: spans(*MEETING, head=zone_of_its_own(offset))[0][0], offsets))
    assert found == [wanted[offset] for offset in offsets]


def test_a_zone_that_one_calendar_defines_twice_and_differently_is_refused():
    head = (*zone_of_its_own("+0200"), *zone_of_its_own("-0500"))
    with pytest.raises(ConfigurationError, match="defines the time zone Customized Time Zone twice"):
        spans(*MEETING, head=head)
    twice = (*zone_of_its_own("+0200"), *zone_of_its_own("+0200"))
    assert len(spans(*MEETING, head=twice)) == 1


def test_events_that_cannot_be_understood_stop_no_other():
    bad = ("END:VEVENT", "BEGIN:VEVENT", "DTSTAMP:20260101T000000Z", "UID:2", "DTSTART:20260105T080000Z", "RRULE:FREQ=NEVER")
    content = calendar("UID:1", "DTSTART:20260105T080000Z", "DURATION:PT1H", *bad)
    found = calendars.events(content, "run.ics", UNTIL)
    assert [one.uid for one in found.occurrences] == ["1"]
    assert [(uid, "RRULE cannot be understood" in str(problem)) for uid, problem in found.wrong] == [("2", True)]
    assert found.uids == {"1", "2"}


ROME = ("UID:1", "DTSTART;TZID=Europe/Rome:20261024T120000", "RRULE:FREQ=DAILY;COUNT=3")


@pytest.mark.parametrize("start", ["DTSTART:20261024T120000", "DTSTART;TZID=Europe/Rome:20261024T120000"])
@pytest.mark.parametrize(
    "excepted",
    [
        "EXDATE:20261025T110000Z",
        "EXDATE:20261025T120000",
        "EXDATE;TZID=America/Chicago:20261025T060000",
        "EXDATE;VALUE=DATE:20261025",
    ],
)
def test_an_exception_in_another_zone_or_type_excepts_and_moves_nothing_else(start, excepted):
    """Noon in Rome is 10:00 UTC on 24 October and 11:00 UTC on the 26th."""
    found = spans("UID:1", start, "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3", excepted, zone="Europe/Rome")
    assert found == [(at(2026, 10, 24, 10), at(2026, 10, 24, 11)), (at(2026, 10, 26, 11), at(2026, 10, 26, 12))]


def test_an_excepted_instant_is_a_day_of_a_series_of_days():
    """22:00 UTC on 24 October is where the 25th begins in Rome."""
    found = spans(
        "UID:1", "DTSTART;VALUE=DATE:20261024", "RRULE:FREQ=DAILY;COUNT=2", "EXDATE:20261024T220000Z", zone="Europe/Rome"
    )
    assert found == [(at(2026, 10, 23, 22), at(2026, 10, 24, 22))]


def test_a_further_coming_in_another_zone_moves_no_time_without_one():
    found = spans("UID:1", "DTSTART:20261020T120000", "DURATION:PT1H", "RDATE:20261029T110000Z", zone="Europe/Rome")
    assert found == [(at(2026, 10, 20, 10), at(2026, 10, 20, 11)), (at(2026, 10, 29, 11), at(2026, 10, 29, 12))]


@pytest.mark.parametrize("further", ["RDATE:20261018T080000Z", "RDATE;VALUE=PERIOD:20261018T080000Z/PT2H"])
def test_a_further_coming_may_be_earlier_than_the_start(further):
    length = HOUR * (2 if "PERIOD" in further else 1)
    first = (at(2026, 10, 18, 8), at(2026, 10, 18, 8) + length)
    event = ("UID:1", "DTSTART:20261020T080000Z", "DURATION:PT1H", further)
    assert spans(*event) == [first, (at(2026, 10, 20, 8), at(2026, 10, 20, 9))]
    assert [one[0] for one in spans(*event, "EXDATE:20261018T080000Z")] == [at(2026, 10, 20, 8)]


def test_days_of_a_further_period_are_days_of_the_calendar():
    """From noon of 24 October to noon of the 25th are 25 hours in Rome."""
    further = "RDATE;TZID=Europe/Rome;VALUE=PERIOD:20261024T120000/P1D,20261101T120000/PT24H"
    found = spans("UID:1", "DTSTART;TZID=Europe/Rome:20261020T120000", "DURATION:PT1H", further)
    assert [(end - start) / HOUR for start, end in found] == [1, 25, 24]


def test_what_is_changed_for_all_that_follow_has_its_length_and_one_moved_onto_another_leaves_it_its_own():
    series = (*ROME, "DURATION:P1D", "END:VEVENT", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z")
    following = (
        "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Rome:20261025T120000",
        "DTSTART;TZID=Europe/Rome:20261025T140000",
    )
    found = spans(*series, *following, "DURATION:PT2H")
    starts = [at(2026, 10, 24, 10), at(2026, 10, 25, 13), at(2026, 10, 26, 13)]
    assert found == [(start, start + hours * HOUR) for start, hours in zip(starts, (25, 2, 2), strict=True)]
    onto = ("RECURRENCE-ID;TZID=Europe/Rome:20261025T120000", "DTSTART;TZID=Europe/Rome:20261026T120000")
    assert [(end - start) / HOUR for start, end in spans(*series, *onto, "DURATION:PT2H")] == [25, 2, 24]


def twice(first, second):
    """Return a series of one UID that stands there twice, each with a length and what is said of its age."""
    return (*ROME, *first, "END:VEVENT", "BEGIN:VEVENT", *ROME, *second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            ("DURATION:PT1H", "SEQUENCE:1", "DTSTAMP:20260101T000000Z"),
            ("DURATION:PT2H", "SEQUENCE:2", "DTSTAMP:20260101T000000Z"),
        ),
        (("DURATION:PT1H", "DTSTAMP:20260101T000000Z"), ("DURATION:PT2H", "DTSTAMP:20260102T000000Z")),
    ],
)
def test_of_two_versions_of_an_event_the_newer_holds_in_any_order(first, second):
    for parts in ((first, second), (second, first)):
        text = calendar(*twice(*parts)).replace("BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\n", "BEGIN:VEVENT\r\n")
        found = calendars.read(text, "run.ics", UNTIL)
        assert [(one.end - one.start) / HOUR for one in found] == [2, 2, 2]


def test_an_event_that_its_newer_version_cancels_does_not_come():
    stamp = "DTSTAMP:20260101T000000Z"
    assert spans(*twice(("DURATION:PT1H",), ("DURATION:PT1H", "SEQUENCE:2", "STATUS:CANCELLED", stamp))) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("EXDATE;TZID=Mars/Base:20261025T120000", "its EXDATE is in a time zone that nobody knows: Mars/Base"),
        ("RDATE;TZID=Mars/Base:20261025T120000", "its RDATE is in a time zone that nobody knows: Mars/Base"),
        ("RDATE;VALUE=DATE:20261025", "comes again on a date"),
        ("EXDATE:once", "its EXDATE cannot be understood"),
        ("EXRULE:FREQ=DAILY;INTERVAL=2", "EXRULE"),
        ("DTEND;TZID=Europe/Rome:20261024T150000", "one of them is expected"),
        ("RRULE:FREQ=DAILY;INTERVAL=0", "at least 1"),
        ("SEQUENCE:first", "its SEQUENCE is no number"),
        (
            "END:VEVENT\r\nBEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\n" + "\r\n".join(ROME),
            "stands there twice, and differently",
        ),
    ],
)
def test_what_would_be_read_otherwise_than_it_is_meant_is_refused(line, said):
    with pytest.raises(ConfigurationError, match=said):
        spans(*ROME, "DURATION:PT1H", line)
