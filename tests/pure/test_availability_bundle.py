"""Publication and bundles: what was published changes only aloud, and anybody can compute it again to the same bytes."""

import io
import json
import tarfile
from dataclasses import replace
from fractions import Fraction

import pytest
from bundles import bundle, unpacked
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.availability.files import plain
from scheduler.availability.files.reading import history_of_text
from scheduler.availability.history import (
    Cause,
    Downtime,
    Exclusion,
    Group,
    History,
    Measure,
    Member,
    Monitored,
    Objective,
    ObjectKind,
    Operator,
    Recurrence,
    Result,
    Revision,
    Span,
    Status,
    Window,
)
from scheduler.availability.reports.bundle import FILES, BundleError, canonical, verify
from scheduler.availability.reports.evidence import marked
from scheduler.availability.reports.publication import ChangedFigure, NotOverError, changes, publish, version_data, version_of
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND

DAY = 86400 * SECOND
WEEK = Window("past-week", 10 * DAY, 17 * DAY)
OUTAGE = Result(11 * DAY, "ce", Status.CRITICAL, id="e1", received=11 * DAY)
BACK = Result(12 * DAY, "ce", Status.OK, id="e2", received=12 * DAY)
HISTORY = History(
    now=18 * DAY,
    objects=(Monitored("ce", existence=(Span(0),)),),
    results=(Result(0, "ce", Status.OK, id="e0", received=0), OUTAGE, BACK),
    groups=(Group("site", Operator.AND, (Member("ce"),)),),
)


def measure(bad_days, name="ce"):
    up = 7 * DAY - bad_days * DAY
    return Measure(
        name, WEEK, "excuse", 7 * DAY, up, up, bad_days * DAY, 0, 0, 0, 0, 0, 0, Fraction(up, 7 * DAY), None, None,
        observed=7 * DAY,
    )  # fmt: skip


FIRST = publish(WEEK, [measure(1)], HISTORY, 17 * DAY, None)


# --- publication ------------------------------------------------------------------------------------------------------


def test_a_period_is_published_once_and_stays_when_nothing_is_new():
    assert (FIRST.number, FIRST.note, FIRST.events) == (1, "first publication", 3)
    assert publish(WEEK, [measure(1)], HISTORY, 20 * DAY, FIRST) is None


def test_a_late_event_makes_a_new_version_that_names_it():
    late = Result(13 * DAY, "ce", Status.CRITICAL, id="e9", received=19 * DAY)
    history = replace(HISTORY, results=(*HISTORY.results, late))
    second = publish(WEEK, [measure(5)], history, 20 * DAY, FIRST)
    assert second.number == 2
    assert second.note == (
        "late: event e9 (ce CRITICAL at 1970-01-14T00:00:00Z, received 1970-01-20T00:00:00Z): 4 numbers changed"
    )
    assert publish(WEEK, [measure(5)], history, 21 * DAY, second) is None
    assert list(changes(FIRST.figures, second.figures)) == [
        ChangedFigure("ce", "excuse", "up", 6 * DAY, 2 * DAY),
        ChangedFigure("ce", "excuse", "ok", 6 * DAY, 2 * DAY),
        ChangedFigure("ce", "excuse", "bad", DAY, 5 * DAY),
        ChangedFigure("ce", "excuse", "figure", Fraction(6, 7), Fraction(2, 7)),
    ]


def test_a_repeated_event_is_told_even_where_no_number_changes():
    history = replace(HISTORY, results=(*HISTORY.results, replace(OUTAGE, received=19 * DAY)))
    second = publish(WEEK, [measure(1)], history, 20 * DAY, FIRST)
    assert second.note.startswith("repeated: event e1 (ce CRITICAL at 1970-01-12T00:00:00Z")
    assert second.note.endswith("no number changed")


def test_a_repeated_event_without_an_id_is_known_by_all_that_it_says():
    bare = replace(OUTAGE, id="")
    history = replace(HISTORY, results=(HISTORY.results[0], bare, BACK))
    first = publish(WEEK, [measure(1)], history, 17 * DAY, None)
    again = replace(history, results=(*history.results, replace(bare, received=19 * DAY)))
    assert publish(WEEK, [measure(1)], again, 20 * DAY, first).note.startswith("repeated: an event (ce CRITICAL")


def test_events_after_the_period_do_not_touch_it():
    later = Result(17 * DAY, "ce", Status.CRITICAL, id="e9", received=19 * DAY)
    assert publish(WEEK, [measure(1)], replace(HISTORY, results=(*HISTORY.results, later)), 20 * DAY, FIRST) is None


def test_a_changed_definition_is_named_when_it_moves_a_figure_and_only_then():
    excluded = replace(HISTORY, exclusions=(Exclusion("x1", ("ce",), 11 * DAY, 12 * DAY, "building", "ann", "power", "bob"),))
    second = publish(WEEK, [measure(0)], excluded, 20 * DAY, FIRST)
    assert second.note.startswith("added: exclusion x1: ")
    assert publish(WEEK, [measure(1)], excluded, 20 * DAY, FIRST) is None
    third = publish(WEEK, [measure(1)], HISTORY, 21 * DAY, second)
    assert third.note.startswith("removed: exclusion x1: ")
    regrouped = replace(HISTORY, groups=(replace(HISTORY.groups[0], operator=Operator.OR),))
    assert publish(WEEK, [measure(2)], regrouped, 20 * DAY, FIRST).note.startswith("changed: group site: ")


def test_figures_that_move_with_no_cause_in_events_or_definitions_are_laid_to_the_program():
    assert "another version of Ambienti" in publish(WEEK, [measure(2)], HISTORY, 20 * DAY, FIRST).note
    lost = replace(HISTORY, results=HISTORY.results[:2])
    assert "3 before, 2 now" in publish(WEEK, [measure(6)], lost, 20 * DAY, FIRST).note


def test_a_long_list_of_late_events_is_counted():
    late = tuple(Result((11 * 24 + i) * 3600 * SECOND, "ce", Status.OK, id=f"l{i}", received=19 * DAY) for i in range(1, 9))
    second = publish(WEEK, [measure(1)], replace(HISTORY, results=(*HISTORY.results, *late)), 20 * DAY, FIRST)
    assert "event l5" in second.note
    assert "event l6" not in second.note
    assert "and 3 more" in second.note


def test_a_period_that_is_not_over_is_not_published():
    with pytest.raises(NotOverError, match="past-week ends at 1970-01-18T00:00:00Z"):
        publish(WEEK, [], HISTORY, 17 * DAY - 1, None)


def test_an_object_that_came_or_went_shows_in_the_changes():
    found = list(changes(FIRST.figures, publish(WEEK, [measure(1, "se")], HISTORY, 20 * DAY, FIRST).figures))
    assert ChangedFigure("ce", "excuse", "up", 6 * DAY, None) in found
    assert ChangedFigure("se", "excuse", "up", None, 6 * DAY) in found


def test_a_version_survives_as_plain_data():
    undefined = replace(measure(0), figure=None)
    version = publish(WEEK, [measure(1), replace(undefined, object="x")], HISTORY, 17 * DAY, None)
    assert version_of(json.loads(canonical(version_data(version)))) == version


# --- the history as data ----------------------------------------------------------------------------------------------

instants = st.integers(0, 10**16)
names = st.sampled_from(["ce", "se", "Ünï", "a b"])
text = st.text("ab: #{}\"'\\é-", max_size=8).map(str.strip)
lines = st.text("ab: #{}\"'\n\\é-", max_size=8).map(str.strip)


def ordered(start, length):
    return start, start + 1 + length


spans = st.builds(
    lambda a, n, is_open: Span(a, None if is_open else a + 1 + n), instants, st.integers(0, 10**12), st.booleans()
)
results = st.builds(
    Result,
    instants,
    names,
    st.sampled_from(list(Status)),
    st.none() | st.integers(0, 99),
    st.none() | st.integers(0, 10**15),
    text,
    text,
    st.none() | instants,
    st.sampled_from(["", *(str(cause) for cause in Cause)]),
    lines,
    st.none() | instants,
)
ratios = st.fractions(0, 1, max_denominator=999)
members = st.builds(
    lambda name, span, weight: Member(name, span.start, span.end, weight), names, spans, ratios.filter(lambda r: r > 0)
)
objectives = st.builds(
    lambda target, window, zone, profile, applies: Objective("o", "ce", target, window, zone, profile, applies),
    ratios,
    st.sampled_from(["past-week", "month", "30d"]),
    st.sampled_from(["", "Europe/Rome"]),
    st.sampled_from(["excuse", "argo"]),
    st.none() | st.lists(spans, max_size=2).map(tuple),
)
revisions = st.lists(
    st.builds(lambda d, a, n, by: Revision(d, a, a + n, by), instants, instants, st.integers(0, 10**12), text),
    min_size=1,
    max_size=3,
    unique_by=lambda revision: revision.declared_at,
)
downtimes = st.builds(
    lambda said, why: Downtime("d", ("ce", "*"), tuple(sorted(said, key=lambda r: r.declared_at)), reason=why), revisions, text
)
recurring = st.builds(
    lambda n, until, ended, said, by: Downtime("r", ("g",), (), Recurrence("FREQ=WEEKLY", "Europe/Rome", "2026-03-03T09:00:00", n, until, ended), said, by=by),
    st.integers(1, 10**12),
    st.none() | instants,
    st.none() | instants,
    instants,
    text,
)  # fmt: skip
histories = st.builds(
    lambda now, found, member, promise, planned, again, gaps, ex, monotonic: History(
        now,
        "Europe/Rome",
        (Monitored("ce", ObjectKind.HOST, tuple(ex), 90 * SECOND + 1), *(Monitored(name) for name in ("se", "Ünï", "a b"))),
        tuple(found),
        (Group("g", Operator.CAPACITY, (member,), 2, Fraction(3, 4), "segmented pools", "argo-1"),),
        (planned, again),
        (Exclusion("x", ("*",), *ordered(now, 5), "building", "ann", "why", "bob", now),),
        gaps=tuple(gaps),
        objectives=(promise,),
        monotonic_now=monotonic,
        boot="boot-1",
    ),
    instants,
    st.lists(results, max_size=6, unique_by=(lambda one: (one.object, one.at), lambda one: one.id or one)),
    members,
    objectives,
    downtimes,
    recurring,
    st.lists(spans, max_size=2),
    st.lists(spans, max_size=2),
    st.none() | instants,
)


@given(histories)
@settings(max_examples=60, deadline=None)
def test_a_history_survives_as_plain_data_in_the_documented_format(history):
    assert history_of_text(canonical(plain.history(history)), "history.json", whole=False) == history


# --- bundles ----------------------------------------------------------------------------------------------------------


def compute(prepared, parameters):
    """A stand-in for the report: anything that depends on history and parameters alone."""
    history = prepared.history
    return {"events": len(prepared.results.at), "window": parameters["window"], "now": history.now, "zone": history.zone}


PARAMETERS = {"window": "past-week", "profiles": ["excuse", "argo"], "algebra": "kleene-1", "zone_data": "2026b"}
BUNDLE = bundle(HISTORY, PARAMETERS, compute, [FIRST])


def test_a_bundle_is_computed_again_to_the_same_bytes():
    assert bundle(HISTORY, dict(reversed(PARAMETERS.items())), compute, [FIRST]) == BUNDLE
    verified = verify(BUNDLE, compute)
    assert verified.identical
    assert verified.differences == ()
    assert verified.parameters == PARAMETERS


def test_a_bundle_is_a_plain_tar_file_that_holds_the_history_in_the_documented_format():
    files = unpacked(BUNDLE)
    assert set(files) == {*FILES, "manifest.json"}
    groups = tuple(replace(group, algebra="kleene-1") for group in HISTORY.groups)
    assert history_of_text(files["history.json"], "history.json") == replace(HISTORY, groups=groups)
    assert [version_of(one) for one in json.loads(files["versions.json"])] == [FIRST]


def test_a_program_that_computes_otherwise_is_found_out_figure_by_figure():
    verified = verify(BUNDLE, lambda history, parameters: compute(history, parameters) | {"events": 4})
    assert not verified.identical
    assert verified.differences == ("report.events: 3 in the bundle, 4 computed",)


def tampered(name, old, new):
    files = unpacked(BUNDLE)
    assert old in files[name]
    files[name] = files[name].replace(old, new)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, content in files.items():
            entry = tarfile.TarInfo(key)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def test_an_event_a_figure_or_a_note_that_was_tampered_with_is_found():
    for name, old, new in (
        ("history.json", b"CRITICAL", b"WARNING"),
        ("report.json", b'"events":3', b'"events":2'),
        ("versions.json", b"first publication", b"never mind"),
    ):
        verified = verify(tampered(name, old, new), compute)
        assert not verified.identical
        assert f"{name} is not what was bundled (SHA-256 differs)" in verified.differences


def test_what_is_no_bundle_is_refused():
    with pytest.raises(BundleError, match="is no bundle"):
        verify(b"hello", compute)
    with pytest.raises(BundleError, match="another format"):
        verify(tampered("manifest.json", b"bundle-1", b"bundle-9"), compute)
    with pytest.raises(BundleError, match="does not say format"):
        verify(tampered("manifest.json", b'"format"', b'"farmat"'), compute)


def test_no_floating_point_number_gets_into_a_bundle():
    with pytest.raises(TypeError, match=r"a\.0 is a floating-point number"):
        canonical({"a": [0.5]})
    assert canonical({"b": [1, None, "é"], "a": True}) == '{"a":true,"b":[1,null,"é"]}\n'.encode()


def test_results_that_were_added_to_a_prepared_history_count_as_if_they_had_been_there():
    *_, latest = HISTORY.results
    whole, before = prepare(HISTORY), prepare(replace(HISTORY, results=HISTORY.results[:-1]))
    assert marked(replace(before, added=(latest,)), WEEK) == marked(whole, WEEK) != marked(before, WEEK)
