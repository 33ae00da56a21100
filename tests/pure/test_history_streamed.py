"""A history written and read event by event: the bytes and the figures are those of reading it whole."""

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_availability_appending import lines
from test_availability_bundle import histories as documented

from environments.problems import ConfigurationError
from scheduler.availability.files import plain, streamed
from scheduler.availability.files.reading import history_of_text
from scheduler.availability.history import History, Monitored, Result, Status
from scheduler.availability.reports.bundle import canonical
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND


def written(history, together=streamed.TOGETHER):
    return b"".join(streamed.write(replace(history, results=()), history.results, together))


@given(documented, st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_bytes_are_those_of_the_plain_data(history, together):
    assert written(history, together) == canonical(plain.history(history))


def results_of(columns):
    names = ("object", "at", "status", "cause", "confirmed", "sequence", "monotonic")
    given = {name: getattr(columns, name) for name in names}
    boots = [] if columns.boot is None else [columns.boots[code] for code in columns.boot]
    return {name: [] if column is None else column.tolist() for name, column in given.items()}, boots


@given(documented, st.integers(1, 200))
@settings(max_examples=25, deadline=None)
def test_the_results_are_those_of_reading_it_whole(history, block):
    content = written(history)
    found = streamed.read(io.BytesIO(content), "history.json", block)
    whole = prepare(history_of_text(content, "history.json", whole=False))
    assert found.history == whole.history
    assert results_of(found.results) == results_of(whole.results)


AWKWARD = '},{"at":"],"gaps":[{"x'


def test_texts_that_look_like_the_end_of_an_event_are_texts():
    results = [
        Result(number * SECOND, "a", Status.OK, number, text=text, id=f"{AWKWARD}{number}" if number % 2 else "")
        for number, text in enumerate([AWKWARD, "}],", "}", '"', "\\", "},{", "ü€", "]"])
    ]
    history = History(now=100 * SECOND, objects=(Monitored("a"), Monitored(AWKWARD)), results=tuple(results))
    content = written(history)
    assert history_of_text(content, "x") == history
    for block in (1, 7, 1000):
        assert len(streamed.read(io.BytesIO(content), "x", block).results.at) == 8


@pytest.mark.parametrize("old", ['"at":"1970-01-01T00:00:00Z"', '"object":"a"', '"status":"OK"'])
def test_what_is_wrong_with_an_event_is_told_as_of_any_history(old):
    history = History(now=100 * SECOND, objects=(Monitored("a"),), results=(Result(0, "a", Status.OK),))
    content = written(history).replace(old.encode(), old.replace(':"', ':"x', 1).encode(), 1)
    with pytest.raises(ConfigurationError) as whole:
        history_of_text(content, "history.json")
    with pytest.raises(ConfigurationError) as found:
        streamed.read(io.BytesIO(content), "history.json")
    assert str(found.value) == str(whole.value)
    assert "events[0]" in str(found.value)


@pytest.mark.parametrize("key", ["sequence", "monotonic"])
def test_a_number_without_measure_is_refused_as_in_any_history(key):
    result = Result(0, "a", Status.OK, **{key: 7 if key == "sequence" else 7 * SECOND})
    content = written(History(now=100 * SECOND, objects=(Monitored("a"),), results=(result,)))
    large = content.replace(f'"{key}":7'.encode(), f'"{key}":{10**20}'.encode()).replace(b'"7"', f'"{10**20}"'.encode())
    assert large != content
    with pytest.raises(ConfigurationError, match=rf"events\[0\].{key}"):
        streamed.read(io.BytesIO(large), "history.json")


def test_a_history_that_others_wrote_is_read_all_the_same():
    history = History(
        now=100 * SECOND,
        objects=(Monitored("a"),),
        results=tuple(
            Result(number * SECOND, "a", Status(number % 3), number, monotonic=number, boot="b") for number in range(9)
        ),
        monotonic_now=200,
        boot="b",
    )
    plainly = json.dumps(plain.history(history), indent=1).encode()
    found = streamed.read(io.BytesIO(plainly), "history.json")
    assert lines(found) == lines(prepare(history))


def test_what_is_there_twice_counts_once():
    once_more = Result(5, "a", Status.CRITICAL, id="one", received=77, text="again")
    twice = (Result(0, "a", Status.OK), Result(5, "a", Status.CRITICAL, id="one"), once_more)
    history = History(now=100, objects=(Monitored("a"),), results=(*twice, *twice))
    found = streamed.read(io.BytesIO(written(history)), "history.json")
    assert lines(found) == lines(prepare(history))
    assert len(found.results.at) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Result(5, "a", Status.CRITICAL, id="one"), Result(9, "a", Status.CRITICAL, id="one")),
        (Result(5, "a", Status.CRITICAL, id="one"), Result(5, "a", Status.OK, id="one")),
        (Result(5, "a", Status.CRITICAL, id="one"), Result(5, "a", Status.OK, id="other")),
        (Result(5, "a", Status.CRITICAL), Result(5, "a", Status.OK)),
        (Result(5, "a", Status.CRITICAL, cause="boot"), Result(5, "a", Status.CRITICAL, cause="fencing")),
        (Result(5, "a", Status.OK, confirmed=6), Result(5, "a", Status.OK, confirmed=8)),
    ],
)
def test_lines_that_contradict_each_other_are_refused_however_they_are_read(one, other):
    history = History(now=100, objects=(Monitored("a"),), results=(Result(0, "a", Status.OK), one, other))
    for order in (history, replace(history, results=history.results[::-1])):
        with pytest.raises(ConfigurationError, match=r"contradict each other|are not the same"):
            streamed.read(io.BytesIO(written(order)), "history.json")


def test_where_every_stamped_event_is_later_than_now_the_others_stand_as_without_stamps():
    """a: OK from 0 on; what is stamped lies beyond now and is left out."""
    results = (Result(0, "a", Status.OK), Result(5, "a", Status.CRITICAL), Result(99, "a", Status.OK, monotonic=7, boot="b"))
    history = History(now=50, objects=(Monitored("a"),), results=results)
    assert lines(prepare(history)) == lines(prepare(replace(history, results=results[:2])))
