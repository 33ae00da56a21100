"""`ambienti downtime import`: what others declared is taken over once, revised when it changed, and signed by its source."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.commands.cli import main

HERE = Path(__file__).parent / "downtimes"
SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: xen1, uri: "test:///nowhere"}]
vos: {atlas: }
daemon: {listen: ""}
"""


@pytest.fixture
def ambienti(tmp_path, monkeypatch, capsys):
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "vos/atlas.yaml").write_text("vo: atlas\n")
    (tmp_path / "services.yaml").write_text("objects: [ce1.example.org, se.example.org]\n")
    monkeypatch.chdir(tmp_path)
    for name in ("AMBIENTI_SITE", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return left.value.code or 0, printed.out, printed.err

    return call


def listed(ambienti):
    return json.loads(ambienti("downtime", "list", "--json")[1])


def test_a_gocdb_file_is_taken_over_with_the_notice_its_declaration_gave(ambienti):
    code, out, _ = ambienti("downtime", "import", HERE / "gocdb.xml")
    assert code == 0, out
    assert out.splitlines()[0] == "d1 (gocdb-100784G0) is declared. Scheduled as a whole."
    assert out.splitlines()[-1] == "1 downtime: 1 declared; 1 skipped."
    (one,) = listed(ambienti)
    assert one["objects"] == ["ce1.example.org", "se.example.org"]
    assert one["revisions"][0]["by"] == "gocdb-100784G0"
    assert one["revisions"][0]["declared"].startswith("2026-11-18T11:06:40")


def test_importing_again_adds_nothing_and_a_change_becomes_a_revision_declared_now(ambienti, tmp_path):
    ambienti("downtime", "import", HERE / "gocdb.xml")
    assert "1 known already" in ambienti("downtime", "import", HERE / "gocdb.xml")[1]
    assert len(listed(ambienti)) == 1
    later = tmp_path / "later.xml"
    later.write_text((HERE / "gocdb.xml").read_text().replace("1795243200", "1795250400"))
    assert "d1 (gocdb-100784G0) is revised." in ambienti("downtime", "import", later)[1]
    (one,) = listed(ambienti)
    assert len(one["revisions"]) == 2
    assert one["revisions"][1]["declared"] > one["revisions"][0]["declared"]
    assert one["revisions"][1]["end"] > one["revisions"][0]["end"]


def test_an_alias_says_what_is_called_otherwise_here(ambienti):
    arguments = ("--alias", "EXAMPLE-CE1=ce1.example.org", "--alias", "EXAMPLE-SE=se.example.org", "--json")
    code, out, _ = ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml", *arguments)
    assert code == 0
    answer = json.loads(out)
    assert [one["what"] for one in answer["downtimes"]] == ["declared", "declared"]
    assert answer["skipped"] == ["OSG downtime 1759230102: severity Intermittent Outage is no outage"]
    assert ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml", "--alias", "nonsense")[0] == 2


def test_a_name_that_is_not_ours_is_an_error_or_skipped(ambienti):
    code, _, err = ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml")
    assert code == 1
    assert "EXAMPLE_downtime.yaml:8:" in err
    assert listed(ambienti) == []
    code, out, _ = ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml", "--others")
    assert (code, out.splitlines()[-1]) == (0, "0 downtimes; 3 skipped.")


def test_what_is_added_to_a_downtime_later_was_declared_then(ambienti, tmp_path):
    whole = (HERE / "gocdb.xml").read_text()
    second = whole.index("<DOWNTIME ID", whole.index("<DOWNTIME ID") + 1)
    alone = tmp_path / "alone.xml"
    alone.write_text(whole[:second] + whole[whole.index("<DOWNTIME ID", second + 1) :])
    ambienti("downtime", "import", alone)
    out = ambienti("downtime", "import", HERE / "gocdb.xml")[1].splitlines()
    assert out[-1] == "2 downtimes: 1 declared, 1 known already; 1 skipped."
    assert "2 known already" in ambienti("downtime", "import", HERE / "gocdb.xml")[1]
    first, added = listed(ambienti)
    assert (first["objects"], added["objects"]) == (["ce1.example.org"], ["se.example.org"])
    assert added["revisions"][0]["declared"] > first["revisions"][0]["declared"]
    later = tmp_path / "later.xml"
    later.write_text(whole.replace("1795243200", "1795250400"))
    assert "2 revised" in ambienti("downtime", "import", later)[1]
    assert len({one["revisions"][-1]["end"] for one in listed(ambienti)}) == 1


CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//y//EN
BEGIN:VEVENT
UID:fans-1
DTSTAMP:20260301T000000Z
DTSTART:{0}T060000Z
DTEND:{0}T080000Z
SUMMARY:new fans
CATEGORIES:se.example.org
{1}END:VEVENT
END:VCALENDAR
"""


def test_an_event_that_was_moved_or_cancelled_is_called_off_where_it_stood(ambienti, tmp_path):
    calendar = tmp_path / "plan.ics"
    calendar.write_text(CALENDAR.format("20990310", ""))
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "0 downtimes; 0 skipped."
    day, later = (f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d}" for days in (40, 41))
    calendar.write_text(CALENDAR.format(day, ""))
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "1 downtime: 1 declared; 0 skipped."
    calendar.write_text(CALENDAR.format(later, ""))
    out = ambienti("downtime", "import", calendar)[1].splitlines()
    assert out[-1] == "2 downtimes: 1 declared, 1 called off; 0 skipped."
    assert out[1].endswith("is called off. It was taken back before it began.")
    first, second = listed(ambienti)
    assert (first["scheduled"], len(second["scheduled"])) == ([], 1)
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "1 downtime: 1 known already; 0 skipped."
    calendar.write_text(CALENDAR.format(later, "STATUS:CANCELLED\n"))
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "1 downtime: 1 called off; 0 skipped."
    calendar.write_text(CALENDAR.format(day, "").replace("fans-1", "fans"))
    assert "1 declared; 0 skipped." in ambienti("downtime", "import", calendar)[1]


# --- what the source takes back ---------------------------------------------------------------------------------------

HOUR = 3600


def gocdb(*entries):
    """Write GOCDB's answer: (key, host, severity, start, end), seconds from now; all were declared three days ago."""
    at = int(datetime.now(UTC).timestamp())
    return (
        "<results>"
        + "".join(
            f"""<DOWNTIME ID="1" PRIMARY_KEY="{key}" CLASSIFICATION="SCHEDULED"><HOSTNAME>{host}</HOSTNAME>
        <SERVICE_TYPE>CE</SERVICE_TYPE><SEVERITY>{severity}</SEVERITY><DESCRIPTION>power</DESCRIPTION>
        <INSERT_DATE>{at - 72 * HOUR}</INSERT_DATE><START_DATE>{START + start}</START_DATE><END_DATE>{START + end}</END_DATE>
        </DOWNTIME>"""
            for key, host, severity, start, end in entries
        )
        + "</results>"
    )


START = int(datetime.now(UTC).timestamp())
CE, SE = "CE1.Example.ORG", "se.example.org"


def in_force(ambienti, at=0):
    """Return, by object, until when (seconds from the start) downtimes hold that hold at or after an instant."""
    spans = {}
    for one in listed(ambienti):
        last = max(one["revisions"], key=lambda said: said["declared"])
        start, end = (round(datetime.fromisoformat(last[key]).timestamp()) - START for key in ("start", "end"))
        if start < end and end > at:
            for name in one["objects"]:
                assert name not in spans, "an object stands in one downtime that is in force"
                spans[name] = (start, end)
    return spans


def imported(ambienti, tmp_path, content, *arguments, name="gocdb.xml"):
    (tmp_path / name).write_text(content)
    return ambienti("downtime", "import", tmp_path / name, *arguments)


def test_an_object_that_the_source_removed_is_taken_back_and_the_others_keep_their_notice(ambienti, tmp_path):
    both = [("90001", host, "OUTAGE", 30 * HOUR, 40 * HOUR) for host in (CE, SE)]
    imported(ambienti, tmp_path, gocdb(*both))
    code, out, _ = imported(ambienti, tmp_path, gocdb(both[0]), name="another-name.xml")
    assert code == 0
    assert out.splitlines() == [
        "d2 (gocdb-90001 ce1.example.org) goes on for ce1.example.org. Scheduled as a whole.",
        "d1 (gocdb-90001) is called off for se.example.org. It was taken back before it began.",
        "2 downtimes: 1 goes on, 1 called off; 0 skipped.",
    ]
    assert in_force(ambienti) == {"ce1.example.org": (30 * HOUR, 40 * HOUR)}
    assert "1 known already; 0 skipped" in imported(ambienti, tmp_path, gocdb(both[0]))[1]
    assert "2 downtimes: 1 revised, 1 known already" in imported(ambienti, tmp_path, gocdb(*both))[1]
    assert in_force(ambienti) == dict.fromkeys(("ce1.example.org", "se.example.org"), (30 * HOUR, 40 * HOUR))


def test_a_severity_that_was_lowered_takes_the_downtime_back(ambienti, tmp_path):
    imported(ambienti, tmp_path, gocdb(*(("90001", host, "OUTAGE", 30 * HOUR, 40 * HOUR) for host in (CE, SE))))
    lowered = gocdb(*(("90001", host, "WARNING", 30 * HOUR, 40 * HOUR) for host in (CE, SE)))
    code, out, _ = imported(ambienti, tmp_path, lowered, name="another-name.xml")
    assert (code, out.splitlines()[0]) == (0, "d1 (gocdb-90001) is called off. It was taken back before it began.")
    assert in_force(ambienti) == {}


def test_what_is_going_on_is_taken_back_from_now_on_and_stays_as_it_was_before(ambienti, tmp_path):
    imported(ambienti, tmp_path, gocdb(*(("1", host, "OUTAGE", -2 * HOUR, 2 * HOUR) for host in (CE, SE))))
    before = int(datetime.now(UTC).timestamp()) - START
    out = imported(
        ambienti, tmp_path, gocdb(("1", CE, "OUTAGE", -2 * HOUR, 2 * HOUR), ("1", SE, "WARNING", -2 * HOUR, 2 * HOUR))
    )[1]
    assert "2 downtimes" not in out
    assert "1 goes on, 1 parted, 1 called off" in out
    spans = in_force(ambienti, at=-HOUR)
    assert spans["ce1.example.org"] == (-2 * HOUR, 2 * HOUR)
    assert spans["se.example.org"][0] == -2 * HOUR
    assert before <= spans["se.example.org"][1] <= datetime.now(UTC).timestamp() - START + 1, "until now"


def test_a_span_that_was_cut_for_one_object_is_cut_for_that_one(ambienti, tmp_path):
    imported(ambienti, tmp_path, gocdb(*(("1", host, "OUTAGE", -3 * HOUR, 2 * HOUR) for host in (CE, SE))))
    imported(ambienti, tmp_path, gocdb(("1", CE, "OUTAGE", -3 * HOUR, -HOUR), ("1", SE, "OUTAGE", -3 * HOUR, 2 * HOUR)))
    assert in_force(ambienti, at=-2 * HOUR) == {"ce1.example.org": (-3 * HOUR, -HOUR), "se.example.org": (-3 * HOUR, 2 * HOUR)}


def test_an_entry_deleted_from_the_list_it_came_from_is_called_off_and_of_other_lists_none(ambienti, tmp_path):
    one, other = (("1", CE, "OUTAGE", 30 * HOUR, 40 * HOUR), ("2", SE, "OUTAGE", 30 * HOUR, 40 * HOUR))
    imported(ambienti, tmp_path, gocdb(one, other))
    code, out, _ = imported(ambienti, tmp_path, gocdb(other), name="another-name.xml")
    assert code == 0
    assert "not in this file, taken over from another one, and still in force: d1 (gocdb-1)" in out
    assert "1 called off" not in out
    assert "1 called off" not in imported(ambienti, tmp_path, gocdb(), "--part")[1]
    code, out, _ = imported(ambienti, tmp_path, gocdb())
    assert code == 1, "a list that is suddenly empty is not believed"
    assert "not called off, because the file is empty" in out
    assert set(in_force(ambienti)) == {"ce1.example.org", "se.example.org"}
    assert "1 called off" in imported(ambienti, tmp_path, gocdb(("3", CE, "WARNING", HOUR, 2 * HOUR)))[1]
    assert set(in_force(ambienti)) == {"se.example.org"}
    assert "1 called off" in imported(ambienti, tmp_path, gocdb(), "--whole")[1]
    assert in_force(ambienti) == {}


def test_a_list_has_a_name_where_its_file_has_not_always_the_same(ambienti, tmp_path):
    one, other = (("1", CE, "OUTAGE", 30 * HOUR, 40 * HOUR), ("2", SE, "OUTAGE", 30 * HOUR, 40 * HOUR))
    imported(ambienti, tmp_path, gocdb(one, other), "--list", "gocdb", name="monday.xml")
    assert "1 called off" in imported(ambienti, tmp_path, gocdb(other), "--list", "gocdb", name="tuesday.xml")[1]


OSG = """\
- {{ID: {0}, Severity: Outage, ResourceName: {1}, CreatedTime: "Nov 01, 2026 00:00 +0000",
   StartTime: "{2:%b %d, %Y %H:%M} +0000", EndTime: "{3:%b %d, %Y %H:%M} +0000", Services: [CE]}}
"""


def test_what_is_deleted_from_an_osg_file_or_a_calendar_is_called_off_too(ambienti, tmp_path):
    start, end = (datetime.now(UTC) + timedelta(hours=hours) for hours in (30, 40))
    both = OSG.format(1, SE, start, end) + OSG.format(2, "ce1.example.org", start, end)
    imported(ambienti, tmp_path, both, name="d.yaml")
    assert "1 called off" in imported(ambienti, tmp_path, OSG.format(2, "CE1.example.org", start, end), name="d.yaml")[1]
    assert set(in_force(ambienti)) == {"ce1.example.org"}
    lowered = OSG.format(2, "ce1.example.org", start, end).replace("Outage", "Intermittent Outage")
    assert "1 called off" in imported(ambienti, tmp_path, lowered, name="d.yaml")[1]
    day = f"{datetime.now(UTC) + timedelta(days=40):%Y%m%d}"
    imported(ambienti, tmp_path, CALENDAR.format(day, ""), name="plan.ics")
    other = CALENDAR.format(day, "").replace("fans-1", "fans-2").replace("T06", "T05")
    out = imported(ambienti, tmp_path, other, name="plan.ics")[1]
    assert "1 declared, 1 called off" in out


def test_a_calendar_says_from_when_on_it_was_taken_back(ambienti, tmp_path):
    at = datetime.now(UTC).replace(microsecond=0)
    event = CALENDAR.format("{0}", "{1}").replace("T060000Z", "").replace("{0}T080000Z", "{2}")
    begin, end = (f"{at + timedelta(hours=hours):%Y%m%dT%H%M%SZ}" for hours in (-2, 2))
    imported(ambienti, tmp_path, event.format(begin, "", end), name="plan.ics")
    out = imported(ambienti, tmp_path, event.format(begin, "STATUS:CANCELLED\n", end), name="plan.ics")[1]
    assert "1 called off" in out
    (one,) = listed(ambienti)
    assert abs(datetime.fromisoformat(one["revisions"][-1]["end"]) - at) < timedelta(minutes=10)


def test_one_bad_entry_stops_no_good_one_and_is_told_with_exit_1(ambienti, tmp_path):
    one = ("1", CE, "OUTAGE", 30 * HOUR, 40 * HOUR)
    bad = gocdb(("7", "far.example.com", "OUTAGE", 1, 2)).replace("START_DATE>", "BEGIN_DATE>")
    content = gocdb(one).replace("</results>", bad.removeprefix("<results>"))
    code, out, err = imported(ambienti, tmp_path, content, "--others")
    assert code == 1
    assert "1 declared; 0 skipped; 1 entry not understood." in out
    assert "START_DATE is missing" in err
    assert set(in_force(ambienti)) == {"ce1.example.org"}
    twice = bad.replace("END_DATE>", "STOP_DATE>")  # one entry, two problems
    _, out, err = imported(ambienti, tmp_path, gocdb(one).replace("</results>", twice.removeprefix("<results>")), "--others")
    assert "1 entry not understood." in out
    assert "START_DATE is missing" in err
    assert "END_DATE is missing" in err
    # What cannot be understood takes nothing back.
    broken = gocdb(one).replace("START_DATE>", "BEGIN_DATE>").replace("</results>", "") + gocdb(
        ("9", SE, "WARNING", 1, 2)
    ).removeprefix("<results>")
    assert imported(ambienti, tmp_path, broken)[0] == 1
    assert set(in_force(ambienti)) == {"ce1.example.org"}


def test_a_foreign_event_in_a_zone_that_nobody_knows_stops_none_of_ours(ambienti, tmp_path):
    day = f"{datetime.now(UTC) + timedelta(days=40):%Y%m%d}"
    lunch = f"""BEGIN:VEVENT
UID:o2
DTSTAMP:20260101T000000Z
SUMMARY:team lunch
CATEGORIES:canteen
DTSTART;TZID=(no TZ description):{day}T120000
DTEND;TZID=(no TZ description):{day}T130000
END:VEVENT
"""
    content = CALENDAR.format(day, "").replace("END:VCALENDAR", lunch + "END:VCALENDAR")
    code, out, err = imported(ambienti, tmp_path, content, "--others", name="plan.ics")
    assert (code, "1 declared" in out) == (1, True)
    assert "'team lunch' is in a time zone that nobody knows" in err


def test_a_key_that_stands_in_an_osg_entry_twice_is_read_as_osg_reads_it_and_told(ambienti, tmp_path):
    content = (
        (HERE / "EXAMPLE_downtime.yaml")
        .read_text()
        .replace(
            "  EndTime: Nov 21, 2026 17:30 -0600", "  EndTime: Nov 21, 2026 09:30 -0600\n  EndTime: Nov 21, 2026 17:30 -0600"
        )
    )
    arguments = ("--alias", "EXAMPLE-CE1=ce1.example.org", "--alias", "EXAMPLE-SE=se.example.org")
    code, out, _ = imported(ambienti, tmp_path, content, *arguments, name="d.yaml")
    assert code == 0
    assert "EndTime: stands here twice: first in line 6; the last one holds" in out
    assert listed(ambienti)[0]["revisions"][0]["end"] == "2026-11-21T23:30:00Z"


def test_an_alias_for_nothing_of_ours_is_refused(ambienti):
    code, _, err = ambienti("downtime", "import", HERE / "gocdb.xml", "--alias", "x=ce1.example.or")
    assert (code, "did you mean ce1.example.org?" in err) == (1, True)


def test_a_number_of_any_length_and_kind_is_known_again(ambienti, tmp_path):
    day = f"{datetime.now(UTC) + timedelta(days=40):%Y%m%d}"
    content = CALENDAR.format(day, "").replace("fans-1", "fans-" + "x" * 250 + "\x1b")
    assert "1 declared" in imported(ambienti, tmp_path, content, name="plan.ics")[1]
    assert "1 known already" in imported(ambienti, tmp_path, content, name="plan.ics")[1]


def spans_of(ambienti):
    """Return by downtime what is in force of it and what of that is scheduled, in whole hours from now."""
    begun = datetime.now(UTC)

    def hours(text):
        return round((datetime.fromisoformat(text) - begun).total_seconds() / 3600)

    return {
        one["id"]: (
            (hours(one["revisions"][-1]["start"]), hours(one["revisions"][-1]["end"])),
            [(hours(part["start"]), hours(part["end"])) for part in one["scheduled"]],
        )
        for one in listed(ambienti)
    }


LONG, LATER = ("1", CE, "OUTAGE", -6 * HOUR, 4 * HOUR), ("1", CE, "OUTAGE", 30 * HOUR, 31 * HOUR)
SHORT, LONGER = ("1", CE, "OUTAGE", -6 * HOUR, 2 * HOUR), ("1", CE, "OUTAGE", -6 * HOUR, 10 * HOUR)


def test_of_two_times_of_one_object_that_is_taken_back_which_is_not_there_any_more_and_only_from_now_on(ambienti, tmp_path):
    imported(ambienti, tmp_path, gocdb(LONG, LATER))
    assert "1 called off, 1 known already" in imported(ambienti, tmp_path, gocdb(LATER))[1]
    assert spans_of(ambienti) == {"d1": ((-6, 0), [(-6, 0)]), "d2": ((30, 31), [(30, 31)])}


def test_of_two_times_of_one_object_the_one_that_stays_keeps_its_notice(ambienti, tmp_path):
    imported(ambienti, tmp_path, gocdb(LONG, SHORT))
    assert "1 called off, 1 known already" in imported(ambienti, tmp_path, gocdb(LONG))[1]
    assert spans_of(ambienti) == {"d1": ((-6, 4), [(-6, 4)]), "d2": ((-6, 0), [(-6, 0)])}


def test_the_second_time_of_an_object_is_not_made_longer_with_the_notice_of_the_first(ambienti, tmp_path):
    imported(ambienti, tmp_path, gocdb(LONG, SHORT))
    imported(ambienti, tmp_path, gocdb(LONG, LONGER))
    found = spans_of(ambienti)
    assert found["d1"] == ((-6, 4), [(-6, 4)])
    assert found["d3"] == ((-6, 10), [])


def test_a_clock_that_is_ahead_at_the_source_hides_no_later_change(ambienti, tmp_path):
    ahead = gocdb(("1", CE, "OUTAGE", 30 * HOUR, 40 * HOUR))
    text = re.sub(r"<INSERT_DATE>\d+", f"<INSERT_DATE>{int(datetime.now(UTC).timestamp()) + 600}", ahead)
    imported(ambienti, tmp_path, text)
    cut = re.sub(r"<END_DATE>\d+", f"<END_DATE>{int(datetime.now(UTC).timestamp()) + 33 * HOUR}", text)
    assert "d1 (gocdb-1) is revised. Scheduled as a whole." in imported(ambienti, tmp_path, cut)[1]
    assert "1 known already" in imported(ambienti, tmp_path, cut)[1]
    assert spans_of(ambienti)["d1"][0] == (30, 33)


def test_what_ends_as_it_begins_is_no_downtime_and_what_goes_on_as_several_was_not_taken_back(ambienti, tmp_path):
    code, out, _ = imported(ambienti, tmp_path, gocdb(("1", CE, "OUTAGE", HOUR, HOUR)))
    assert (code, out.splitlines()) == (0, ["GOCDB downtime 1: ends as it begins", "0 downtimes; 1 skipped."])
    imported(ambienti, tmp_path, gocdb(("2", CE, "OUTAGE", -HOUR, HOUR), ("2", SE, "OUTAGE", -HOUR, HOUR)))
    out = imported(ambienti, tmp_path, gocdb(("2", CE, "OUTAGE", -HOUR, HOUR)))[1]
    assert "d1 (gocdb-2) is parted. It goes on as several." in out.splitlines()


def event(start, end, *lines, changed=-72):
    """Write a calendar of one event, its hours counted from now."""

    def at(hours):
        return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y%m%dT%H0000Z")

    said = (f"DTSTART:{at(start)}", f"DTEND:{at(end)}", f"CREATED:{at(-72)}", f"LAST-MODIFIED:{at(changed)}", *lines)
    whole = (
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:x",
        "BEGIN:VEVENT",
        "UID:u",
        f"CATEGORIES:{SE}",
        f"DTSTAMP:{at(-72)}",
        *said,
    )
    return "\r\n".join((*whole, "END:VEVENT", "END:VCALENDAR", ""))


def test_an_event_that_was_moved_has_the_notice_of_its_change_and_without_one_that_of_the_import(ambienti, tmp_path):
    """The source says that it was so three days ago, and said otherwise at the last import."""
    imported(ambienti, tmp_path, event(40, 41), name="a.ics")
    out = imported(ambienti, tmp_path, event(5, 6), name="a.ics")[1]
    assert "is declared. Unscheduled: it had no 24 h of notice." in out
    assert "1 declared, 1 called off" in out


def test_further_comings_of_a_known_event_are_scheduled_where_they_lie_more_than_a_day_ahead(ambienti, tmp_path):
    imported(ambienti, tmp_path, event(40, 41), name="a.ics")
    out = imported(ambienti, tmp_path, event(40, 41, "RRULE:FREQ=DAILY;COUNT=3"), name="a.ics")[1]
    assert "2 declared, 1 known already" in out
    assert out.count("Scheduled as a whole.") == 3, "more than a day from now"


def test_an_event_that_ends_as_it_begins_or_before_is_told_and_is_no_downtime(ambienti, tmp_path):
    for start, end in ((40, 40), (40, 39)):
        code, out, _ = imported(ambienti, tmp_path, event(start, end), name="a.ics")
        assert (code, out.splitlines()) == (0, ["the event 'u' ends as it begins, or before", "0 downtimes; 1 skipped."])
