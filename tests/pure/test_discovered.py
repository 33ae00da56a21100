"""Hosts that a source names: who silence, an empty or a partial answer leave where they are, and who leaves in the end."""

import functools

import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from scheduler.model.ports import FoundHost
from scheduler.site.discovered import FarmList, follow, forget, keep, list_path, reading, remembered, unanswered
from scheduler.site.settings import DiscoverySettings

NOW = 1_000_000.0


@functools.cache
def settings(uri="qemu+ssh://{host}/system", **changes):
    given = {"name": "farm", "kind": "file", "options": {"path": "hosts"}, "hosts": {"uri": uri}, **changes}
    return DiscoverySettings.model_validate(given)


def answer(*names):
    return [FoundHost(name) for name in names]


def known(*names):
    return follow(FarmList(), answer(*names), NOW, settings())


def left(one):
    return {name for name, host in one.hosts.items() if host.leaving_since is not None}


def test_a_new_host_joins_with_the_first_answer_that_names_it():
    after = follow(known("a"), answer("a", "b"), NOW + 30, settings())
    assert set(after.hosts) == {"a", "b"}
    assert after.answered_at == NOW + 30
    assert not left(after)


def test_no_answer_leaves_every_host_and_tells_why():
    after = unanswered(known("a", "b"), "timed out")
    assert set(after.hosts) == {"a", "b"}
    assert (after.answered_at, after.problem) == (NOW, "timed out")
    assert follow(after, answer("a", "b"), NOW + 30, settings()).problem == ""


def test_a_host_that_is_written_in_other_capitals_is_the_host_that_was_known():
    one = follow(known("Xen1", "b"), [FoundHost("XEN1", {"rack": "a"}), FoundHost("b")], NOW + 30, settings())
    assert {name: host.found for name, host in one.hosts.items()} == {
        "Xen1": FoundHost("Xen1", {"rack": "a"}),
        "b": FoundHost("b"),
    }
    assert one.hosts["Xen1"].missing_since is None
    assert set(known("c", "C").hosts) == {"c"}, "one answer that names it in two ways names one host"


def test_an_empty_answer_is_no_answer_however_often_it_comes():
    one = known("a", "b")
    for minutes in range(1, 60):
        one = follow(one, [], NOW + 60 * minutes, settings(leave_percent=100))
    assert set(one.hosts) == {"a", "b"}
    assert not left(one)
    assert one.answered_at == NOW
    assert "no host at all" in one.problem


def test_a_host_leaves_only_when_a_second_answer_lacks_it_still():
    one = follow(known("a", "b"), answer("a"), NOW + 30, settings(leave_seconds=120))
    assert not left(one)
    one = follow(one, answer("a"), NOW + 60, settings(leave_seconds=120))
    assert not left(one)
    one = unanswered(one, "timed out")
    one = follow(one, answer("a"), NOW + 150, settings(leave_seconds=120))
    assert left(one) == {"b"}


def test_a_host_that_is_named_again_in_between_begins_anew():
    one = follow(known("a", "b"), answer("a"), NOW + 30, settings(leave_seconds=120))
    one = follow(one, answer("a", "b"), NOW + 60, settings(leave_seconds=120))
    one = follow(one, answer("a"), NOW + 160, settings(leave_seconds=120))
    assert not left(one)


def test_a_leaving_host_that_is_named_again_is_back_at_once():
    one = follow(known("a", "b"), answer("a"), NOW + 30, settings())
    one = follow(one, answer("a"), NOW + 300, settings())
    assert left(one) == {"b"}
    assert left(follow(one, answer("a", "b"), NOW + 330, settings())) == set()


def test_an_answer_that_lacks_too_many_at_once_is_not_believed_however_often_it_comes():
    names = [f"n{number}" for number in range(8)]
    one = known(*names)
    for minutes in range(1, 30):
        one = follow(one, answer(*names[:5]), NOW + 60 * minutes, settings(leave_percent=25))
        assert not left(one)
    assert one.doubt == "the answer lacks 3 of 8 hosts at once, more than leave_percent (25 %): n5, n6, n7; they stay"
    assert left(follow(one, answer(*names[:6]), NOW + 3000, settings())) == set()
    one = follow(one, answer(*names[:5]), NOW + 3000, settings(leave_percent=50))
    assert left(follow(one, answer(*names[:5]), NOW + 3200, settings(leave_percent=50))) == {"n5", "n6", "n7"}


def test_the_last_host_never_leaves_for_nobody():
    one = known("a")
    one = follow(one, answer("b"), NOW + 30, settings())
    one = follow(one, answer("b"), NOW + 300, settings())
    assert left(one) == {"a"}
    assert set(one.hosts) == {"a", "b"}


def test_a_left_host_is_forgotten_once_a_look_taken_since_shows_nothing_of_ours_there():
    one = follow(known("a", "b"), answer("a"), NOW + 30, settings())
    assert set(forget(one, set(), NOW + 999).hosts) == {"a", "b"}
    one = follow(one, answer("a"), NOW + 300, settings())
    assert set(forget(one, {"b"}, NOW + 310).hosts) == {"a", "b"}
    assert set(forget(one, set(), NOW + 290).hosts) == {"a", "b"}, "a boot may have been ordered since that look"
    assert set(forget(one, set(), NOW + 310).hosts) == {"a"}


def test_labels_that_change_are_taken_up():
    one = follow(known("a"), [FoundHost("a", {"rack": "b"})], NOW + 30, settings())
    assert one.hosts["a"].found.labels == {"rack": "b"}


def test_an_answer_of_the_same_hosts_keeps_the_very_same_list():
    one = known("a", "b")
    assert follow(one, answer("b", "a"), NOW + 30, settings()).hosts is one.hosts


def test_an_answer_without_the_ports_that_the_uri_needs_is_not_taken_up():
    wants = settings("qemu+tcp://{host}:{port}/system")
    after = follow(known("a"), [FoundHost("a", port=1), FoundHost("b")], NOW + 30, wants)
    assert set(after.hosts) == {"a"}
    assert after.problem == "the URI holds {port}, but no port is told for b"


def test_what_is_known_is_kept_for_the_next_daemon(tmp_path):
    one = follow(known("a", "b"), [FoundHost("a", {"rack": "1"}, 7)], NOW + 30, settings())
    path = list_path(tmp_path, "farm")
    keep(path, one)
    assert remembered(path) == one
    assert [file.name for file in path.parent.iterdir()] == ["farm.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"hosts": {"a": 1}}'])
def test_a_damaged_memory_is_told_and_is_no_list(tmp_path, content):
    path = list_path(tmp_path, "farm")
    path.parent.mkdir()
    path.write_bytes(content)
    assert remembered(path).hosts == {}
    assert "damaged" in remembered(path).problem


def test_a_list_that_was_never_kept_is_empty_and_was_never_answered(tmp_path):
    assert remembered(list_path(tmp_path, "farm")) == FarmList()


def test_a_summary_tells_of_hosts_whose_name_is_taken_elsewhere():
    told = reading("farm", "file hosts", known("a", "b"), ["b"])
    assert (told.hosts, told.doubt) == (2, "b: this name is taken elsewhere in the site file")


_ANSWERS = st.one_of(st.none(), st.frozensets(st.sampled_from("abcdefgh")))


@tries(deadline=None)
@given(st.lists(_ANSWERS, max_size=12), st.integers(1, 200))
def test_whoever_leaves_was_lacking_in_two_good_answers_far_enough_apart(answers, step):
    one, wants = known(*"abcdefgh"), settings(leave_seconds=100)
    lacking: dict[str, list[float]] = {name: [] for name in "abcdefgh"}
    for number, names in enumerate(answers, 1):
        now = NOW + step * number
        before = left(one)
        one = unanswered(one, "silent") if names is None else follow(one, answer(*names), now, wants)
        if names:
            lacking = {name: [] if name in names else [*times, now] for name, times in lacking.items()}
        for name in left(one) - before:
            assert len(lacking[name]) >= 2
            assert lacking[name][-1] - lacking[name][0] >= 100
    assert set(one.hosts) == set("abcdefgh")
