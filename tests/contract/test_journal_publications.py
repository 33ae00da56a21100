"""Published versions survive in the journal, on SQLite and on a real PostgreSQL alike."""

from dataclasses import replace

import pytest

from scheduler.availability.history import Span, Window
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.reports.publication import publish
from scheduler.availability.timelines.prepared import prepare
from scheduler.journal import publications
from scheduler.journal.histories import load_columns, load_history
from scheduler.journal.publications import PublishedMeanwhileError, evidence, keep, last, listed, newest, news, take_over
from scheduler.journal.records import Declared, Push
from scheduler.journal.statuses import declare, push
from scheduler.model.instants import SECOND

DAY = 86400
PERIOD = Window("past-week", 1 * DAY * SECOND, 8 * DAY * SECOND)
NOW = 9 * DAY


@pytest.fixture
def told(journal):
    """A journal in which voms was OK from the first day on, and whose daemon acts for two weeks."""
    declare(journal, "a", 100, [Declared("voms", freshness=30 * DAY * SECOND)])
    push(journal, "a", 200, 200, Push("voms", 0))
    return journal


def prepared(journal, now):
    history = load_history(journal, now, with_results=False)
    return prepare(history, load_columns(journal, history))


def version(journal, now, before=None):
    ready = prepared(journal, now)
    measures = [one for profile in ("excuse", "argo") for one in measure(ready, PERIOD, profile).values()]
    seen = evidence(journal, ready, PERIOD, before)
    return publish(PERIOD, measures, ready.history, now * SECOND, before, evidence=seen)


def kept(journal, made, now=NOW):
    with journal.write("publication") as connection:
        keep(journal, connection, made, "groups", now * SECOND, by="ann")
    return made


def test_a_version_comes_back_as_it_was(told, opened):
    first = kept(told, version(told, NOW))
    reader = opened(NOW)
    assert last(reader, PERIOD) == first
    [one] = listed(reader)
    assert (one.period, one.number, one.note, one.groups) == (PERIOD, 1, "first publication", "groups")
    assert last(reader, replace(PERIOD, end=PERIOD.end + 1)) is None
    [line] = reader.events(kind=publications.KIND)
    assert line.note.subject == "past-week 1970-01-02T00:00:00Z/1970-01-09T00:00:00Z"


def test_a_late_status_is_news_of_its_instant_and_names_itself(told):
    first = kept(told, version(told, NOW))
    whole = news(told, newest(told)[0].checked, PERIOD.end, (NOW + 3600) * SECOND)
    assert whole.since == 200 * SECOND, "of the first publication nothing was looked at"
    with told.write("publications-checked") as connection:
        publications.mark_checked(connection, whole.until)
    [one] = newest(told)
    assert news(told, one.checked, PERIOD.end, (NOW + 3600) * SECOND).since is None
    assert push(told, "a", NOW + 60, NOW + 60, Push("voms", 2, at=2 * DAY, text="no")) == "kept"
    assert news(told, one.checked, PERIOD.end, (NOW + 61) * SECOND).since is None, "it is waited for"
    found = news(told, one.checked, PERIOD.end, (NOW + 3600) * SECOND)
    assert found.since == 2 * DAY * SECOND
    second = version(told, NOW + 3600, first)
    (line,) = (event.id for event in told.events(kind="status") if event.note.detail["text"] == "no")
    said = f"event {line} (voms CRITICAL at 1970-01-03T00:00:00Z, received 1970-01-10T00:01:00Z)"
    assert second.note.startswith(f"late: {said}: ")
    kept(told, second)
    assert [one.number for one in newest(told)] == [2]
    with told.write("publications-checked") as connection:
        publications.mark_checked(connection, found.until, {newest(told)[0].id: "other"})
    assert {one.checked for one in listed(told)} == {found.until}
    assert newest(told)[0].groups == "other"
    assert version(told, NOW + 7200, second) is None


def test_of_two_who_publish_one_period_the_second_is_refused(told, opened):
    first = version(told, NOW)
    kept(told, first)
    with pytest.raises(PublishedMeanwhileError, match="version 1 of past-week"):
        kept(opened(NOW), first)
    with pytest.raises(PublishedMeanwhileError, match="version 1 of past-week"):
        kept(told, replace(first, number=3))
    assert len(listed(told)) == len(told.events(kind=publications.KIND)) == 1


def test_versions_are_taken_over_once(told):
    first = version(told, NOW)
    assert take_over(told, [first], "published.json", NOW * SECOND) == (1, [])
    assert take_over(told, [first], "published.json", NOW * SECOND) == (0, [])
    taken, doubts = take_over(told, [replace(first, note="else")], "published.json", NOW * SECOND)
    assert (taken, len(doubts)) == (0, 1)
    assert publications.versions(told) == [first]


def test_lines_of_publications_are_never_forgotten(told):
    kept(told, version(told, NOW))
    told.forget("a", NOW, NOW + 10 * DAY)
    assert len(told.events(kind=publications.KIND)) == 1


def test_what_ends_after_a_period_is_no_news_about_it(told):
    first = kept(told, version(told, NOW))
    history = load_history(told, NOW, with_results=False)
    ended = replace(history.objects[0], existence=(Span(100 * SECOND, NOW * SECOND),))
    changed = replace(history, objects=(ended,))
    measures = [one for profile in ("excuse", "argo") for one in measure(prepared(told, NOW), PERIOD, profile).values()]
    again = publish(PERIOD, measures, changed, NOW * SECOND, None, evidence=evidence(told, prepared(told, NOW), PERIOD, first))
    assert again.definitions == first.definitions
