"""Downtimes of GOCDB, OSG topology and iCalendar, in the forms in which these are published."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.problems import ConfigurationError
from scheduler.availability.files import imports
from scheduler.availability.files.imported import Naming
from scheduler.availability.history import Downtime, Revision
from scheduler.model.instants import SECOND

HERE = Path(__file__).parent / "downtimes"
GOCDB = (HERE / "gocdb.xml").read_bytes()
OSG = (HERE / "EXAMPLE_downtime.yaml").read_bytes()
HOSTS = Naming(frozenset({"ce1.example.org", "se.example.org"}))


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND


UNTIL = at(2027, 1, 1)


def problems(function, *arguments):
    """Return what is wrong with a file, whether something else of it was read or not."""
    try:
        return function(*arguments).problems
    except ConfigurationError as error:
        return error.problems


# --- GOCDB ------------------------------------------------------------------------------------------------------------


def test_entries_of_one_gocdb_downtime_are_one_downtime_of_all_its_hosts():
    read = imports.gocdb(GOCDB, "gocdb.xml", HOSTS)
    revision = Revision(1795000000 * SECOND, 1795200000 * SECOND, 1795243200 * SECOND, "GOCDB")
    assert read.downtimes == (
        Downtime(
            "gocdb-100784G0",
            ("ce1.example.org", "se.example.org"),
            (revision,),
            reason="Cooling & power of the machine room",
        ),
    )
    assert read.skipped == ("GOCDB downtime 100785G0: severity WARNING is no outage",)


def test_nested_services_are_read_too():
    (one,) = imports.gocdb((HERE / "gocdb-nested.xml").read_bytes(), "nested.xml", HOSTS).downtimes
    assert one.objects == ("ce1.example.org", "se.example.org")
    assert one.revisions[0].end == 1795203600 * SECOND


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"ARC-CE@ce1.example.org", "ce1.example.org", "se"}, ("ARC-CE@ce1.example.org", "se")),
        ({"ce1", "XRootD@se.example.org"}, ("ce1", "XRootD@se.example.org")),
    ],
)
def test_the_most_exact_name_wins(known, expected):
    assert imports.gocdb(GOCDB, "gocdb.xml", Naming(frozenset(known))).downtimes[0].objects == expected


def test_aliases_say_what_is_called_otherwise_here():
    naming = Naming(frozenset({"gatekeeper", "se.example.org"}), {"ce1.example.org": "gatekeeper"})
    assert imports.gocdb(GOCDB, "gocdb.xml", naming).downtimes[0].objects == ("gatekeeper", "se.example.org")


def test_an_unknown_host_is_an_error_with_its_line_and_the_nearest_name():
    (problem,) = problems(imports.gocdb, GOCDB, "gocdb.xml", Naming(frozenset({"ce2.example.org", "se.example.org"})))
    assert (problem.line, problem.nearest) == (3, "ce2.example.org")
    assert "ARC-CE@ce1.example.org" in problem.message or "ce1" in problem.message


def test_of_a_whole_grid_only_what_is_ours_is_taken():
    read = imports.gocdb(GOCDB, "gocdb.xml", Naming(frozenset({"se.example.org"}), others=True))
    assert read.downtimes[0].objects == ("se.example.org",)
    assert "GOCDB downtime 100784G0: ARC-CE@ce1.example.org, ce1.example.org is not ours" in read.skipped


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        (b"<START_DATE>1795200000<", b"<START_DATE>tomorrow<", "START_DATE is 'tomorrow'"),
        (b"<INSERT_DATE>1795000000</INSERT_DATE>", b"", "INSERT_DATE is missing"),
        (b"<END_DATE>1795243200<", b"<END_DATE>1795100000<", "ends before it begins"),
        (b"</results>", b"", "is not XML"),
        (b"<results>", b'<!DOCTYPE results [<!ENTITY a "aaaa">]><results>', "declares entities"),
    ],
)
def test_wrong_gocdb_files_are_refused(written, instead, said):
    found = problems(imports.gocdb, GOCDB.replace(written, instead), "gocdb.xml", HOSTS)
    assert said in str(found[0])
    assert found[0].file == "gocdb.xml"


def test_an_entity_bomb_does_not_go_off():
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY l0 "boom">{levels}]><r>&l11;</r>'.encode()
    assert "declares entities" in str(problems(imports.gocdb, bomb, "bomb.xml", HOSTS)[0])
    outside = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>'
    assert "declares entities" in str(problems(imports.gocdb, outside, "x.xml", HOSTS)[0])


@pytest.mark.parametrize("encoding", ["utf-7", "idna", "rot13", "hex", "no-such", "punycode", "undefined"])
def test_an_encoding_that_is_none_of_xml_is_told_as_that(encoding):
    content = f'<?xml version="1.0" encoding="{encoding}"?><results/>'.encode()
    assert "is not XML" in str(problems(imports.gocdb, content, "x.xml", HOSTS)[0])


def test_host_names_have_no_case():
    content = GOCDB.replace(b">ce1.example.org<", b">CE1.Example.Org<")
    assert imports.gocdb(content, "gocdb.xml", HOSTS).downtimes[0].objects == ("ce1.example.org", "se.example.org")
    naming = Naming(frozenset({"gate", "SE.EXAMPLE.ORG"}), {"ce1.EXAMPLE.org": "gate"})
    assert imports.gocdb(GOCDB, "gocdb.xml", naming).downtimes[0].objects == ("gate", "SE.EXAMPLE.ORG")
    two = Naming(frozenset({"Ce1.example.org", "cE1.example.org", "se.example.org"}), others=True)
    assert imports.gocdb(GOCDB, "gocdb.xml", two).downtimes[0].objects == ("se.example.org",), "nobody can tell which is meant"


# --- OSG topology -----------------------------------------------------------------------------------------------------

RESOURCES = Naming(frozenset({"EXAMPLE-CE1", "EXAMPLE-SE"}))


def test_an_osg_downtime_file_is_read_with_its_offsets():
    read = imports.osg(OSG, "EXAMPLE_downtime.yaml", RESOURCES)
    move, power = read.downtimes
    assert move == Downtime(
        "osg-1759230101",
        ("EXAMPLE-CE1",),
        (Revision(at(2026, 11, 18, 20, 16), at(2026, 11, 21, 14), at(2026, 11, 21, 23, 30), "OSG topology"),),
        reason="Move to another rack",
    )
    assert power.revisions[0].declared_at == power.revisions[0].start == at(2026, 11, 23, 1), "nobody can show notice"
    assert read.skipped == ("OSG downtime 1759230102: severity Intermittent Outage is no outage",)


def test_a_service_of_a_resource_may_be_an_object_of_its_own():
    naming = Naming(frozenset({"CE@EXAMPLE-CE1", "EXAMPLE-SE"}))
    assert imports.osg(OSG, "d.yaml", naming).downtimes[0].objects == ("CE@EXAMPLE-CE1",)


@pytest.mark.parametrize(
    ("written", "instead", "line", "said"),
    [
        (b"EXAMPLE-CE1", b"EXAMPLE-CE7", 8, "did you mean EXAMPLE-CE1?"),
        (b"StartTime: Nov 21, 2026 08:00 -0600", b"StartTime: 2026-11-21 08:00", 5, "Nov 21, 2026 14:00 +0000"),
        (b"Nov 21, 2026 08:00 -0600", b"Nov 31, 2026 08:00 -0600", 5, "day"),
        (b"Nov 21, 2026 08:00 -0600", b"Nuv 21, 2026 08:00 -0600", 5, "written otherwise"),
        (b"EndTime: Nov 21", b"EndTime: Nov 20", 6, "ends before it begins"),
        (b"  EndTime: Nov 21, 2026 17:30 -0600\n", b"", 1, "EndTime is missing"),
    ],
)
def test_wrong_osg_entries_are_told_with_line_and_key(written, instead, line, said):
    (problem,) = problems(imports.osg, OSG.replace(written, instead), "d.yaml", RESOURCES)
    assert problem.line == line, str(problem)
    assert said in str(problem)


def test_something_else_than_a_list_is_refused():
    (problem,) = problems(imports.osg, b"Class: SCHEDULED\n", "d.yaml", RESOURCES)
    assert "not a list" in problem.message


# --- iCalendar --------------------------------------------------------------------------------------------------------

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:x
BEGIN:VEVENT
UID:17
DTSTAMP:20261101T000000Z
CREATED:20261102T000000Z
SUMMARY:Kernel updates
CATEGORIES:ce1
DTSTART;TZID=Europe/Rome:20261103T090000
DTEND;TZID=Europe/Rome:20261103T110000
RRULE:FREQ=WEEKLY;COUNT=2
END:VEVENT
END:VCALENDAR
"""
CE1 = Naming(frozenset({"ce1", "se"}))


def test_each_coming_of_an_event_is_a_downtime():
    first, second = imports.ical(EVENT.encode(), "d.ics", CE1, UNTIL).downtimes
    assert first == Downtime(
        f"ical-17-{at(2026, 11, 3, 8) // SECOND}",
        ("ce1",),
        (Revision(at(2026, 11, 2), at(2026, 11, 3, 8), at(2026, 11, 3, 10)),),
        reason="Kernel updates",
    )
    assert second.revisions[0].start == at(2026, 11, 10, 8)


def test_an_event_that_was_changed_counts_as_declared_when_it_was_changed():
    changed = EVENT.replace("SUMMARY", "LAST-MODIFIED:20261102T230000Z\nSUMMARY").encode()
    assert imports.ical(changed, "d.ics", CE1, UNTIL).downtimes[0].revisions[0].declared_at == at(2026, 11, 2, 23)


def test_an_event_that_names_nothing_needs_an_object():
    bare = EVENT.replace("CATEGORIES:ce1\n", "").encode()
    assert "does not say what it concerns" in str(problems(imports.ical, bare, "d.ics", CE1, UNTIL)[0])


def test_an_event_about_something_unknown_names_the_nearest_or_is_skipped():
    other = EVENT.replace("CATEGORIES:ce1", "CATEGORIES:ce11").encode()
    assert problems(imports.ical, other, "d.ics", CE1, UNTIL)[0].nearest == "ce1"
    read = imports.ical(other, "d.ics", replace(CE1, others=True), UNTIL)
    assert read.downtimes == ()
    assert read.skipped == ("event 'Kernel updates': ce11 is not ours",)


# --- any of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "naming", "count"),
    [(GOCDB, HOSTS, 1), (b"\xef\xbb\xbf" + GOCDB, HOSTS, 1), (OSG, RESOURCES, 2), (EVENT.encode(), CE1, 2)],
)
def test_the_kind_of_a_file_is_seen_from_its_beginning(content, naming, count):
    assert len(imports.read(content, "file", naming, UNTIL).downtimes) == count


@given(
    st.sampled_from([(GOCDB, HOSTS), (OSG, RESOURCES), (EVENT.encode(), CE1)]),
    st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=6)), min_size=1, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_file_holds_is_read_or_refused_in_words(given_file, edits):
    content, naming = given_file
    for place, typed in edits:
        at_place = place % len(content)
        content = content[:at_place] + typed + content[at_place + 1 :]
    with contextlib.suppress(ConfigurationError):
        imports.read(content, "file", naming, UNTIL)
