"""Whoever writes a file, or a text that is shown, may write it as large and as entangled as he likes: it is refused, and soon.

What these tests are about took minutes, or all memory: the bounds on the processor's time are far from what a slow machine takes.
"""

import time
from contextlib import contextmanager

import pytest

from connectors.discovery import inventory
from environments.catalogue import load_vo
from environments.problems import ConfigurationError, Mark, problem_at
from scheduler.availability.history import Recurrence
from scheduler.availability.timelines.downtimes import occurrences, rule_problem
from scheduler.daemon.log import clean
from scheduler.model.instants import SECOND
from scheduler.model.ports import SourceError
from scheduler.oncall import reading as oncall
from scheduler.site import definitions

WORKER = "{virtualization: lxc, image: {path: /srv/el9}, memory_mib: 8 GiB}"
SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: xen1, uri: "test:///default"}]
vos: {atlas: }
"""


@contextmanager
def soon():
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 60


def messages(path, text):
    path.write_text(text)
    with soon():
        return [problem.sentence for problem in load_vo(path, "atlas").problems]


def chained(count, extending):
    lines = [f"  e{number}: {extending(number)}\n" for number in range(count)]
    return f"vo: atlas\nenvironments:\n{''.join(lines)}"


@pytest.mark.parametrize("step", [1, -1])
def test_a_long_chain_of_definitions_is_followed_whichever_way_it_is_written(tmp_path, step):
    def extending(number):
        base = number - step
        return f"{{extends: e{base}}}" if 0 <= base < 900 else WORKER

    (tmp_path / "atlas.yaml").write_text(chained(900, extending))
    found = load_vo(tmp_path / "atlas.yaml", "atlas")
    assert (len(found.environments), found.problems) == (900, ())


CHAINS = {
    "too many": ((50_000, lambda number: f"{{extends: q{number}}}"), "a VO has more than 1000 definitions"),
    "nothing like it": ((1000, lambda _: "{extends: zzzzzzzz}"), "no definition is called 'zzzzzzzz'; expected one of: e1, e2"),
    "a circle": ((1000, lambda number: f"{{extends: e{(number + 1) % 1000}}}"), "extend each other in a circle"),
    "one that grows": (
        (
            1000,
            lambda number: f"{{extends: e{number - 1}, provides: {{{', '.join(f'a{number}x{k}: 1' for k in range(150))}}}}}",
        ),
        "holds more than 2000 values, with what it extends",
    ),
}


@pytest.mark.parametrize(("made", "says"), CHAINS.values(), ids=CHAINS)
def test_definitions_without_measure_are_refused(tmp_path, made, says):
    found = messages(tmp_path / "atlas.yaml", chained(*made).replace("{extends: e-1, ", WORKER[:-1] + ", "))
    assert says in found[0]
    assert sum(map(len, found)) < 1_000_000


def test_one_merge_of_many_mappings_is_as_quick_as_one_of_them(tmp_path):
    many = ", ".join(f"{{a{number}: 1}}" for number in range(100_000))
    assert messages(tmp_path / "atlas.yaml", f"vo: atlas\nenvironments: {{e: {{provides: {{<<: [{many}]}}}}}}\n")


INCLUDES = {
    "many": (",".join(f"x{number}.yaml" for number in range(20_000)), "there is no file"),
    "a chain": ("0.yaml", "a VO's files include more than 100 files"),
    "a link in a circle": ("circle.yaml", "cannot be read: Too many levels of symbolic links"),
    "no text": ('"a\\0b"', "cannot be printed"),
    "a long name": ("a" * 900, "cannot be read: File name too long"),
}


@pytest.mark.parametrize(("named", "says"), INCLUDES.values(), ids=INCLUDES)
def test_includes_without_measure_are_refused(tmp_path, named, says):
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    for number in range(1500):
        (tmp_path / f"{number}.yaml").write_text(f"include: [{number + 1}.yaml]\n")
    found = messages(tmp_path / "atlas.yaml", f"vo: atlas\ninclude: [{named}]\n")
    assert any(says in one for one in found), found[:3]
    assert len(found) <= 101


def site_of(tmp_path, networks):
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    network = "network: {{kind: bridge, source: br0, addresses: {}}}"
    text = chained(len(networks), lambda number: f"{WORKER[:-1]}, {network.format(networks[number])}}}")
    (tmp_path / "vos/atlas.yaml").write_text(text)
    with soon():
        return definitions.load(tmp_path / "site.yaml")


@pytest.mark.parametrize("network", ["10.{0}.0.0-10.{0}.255.255/16", "fd00:{0}::-fd00:{0}::ffff/64"])
def test_more_static_addresses_than_a_farm_can_have_are_refused(tmp_path, network):
    with pytest.raises(ConfigurationError, match="hold too many addresses together"):
        site_of(tmp_path, [network.format(number) for number in range(250)])


def test_overlaps_of_static_addresses_are_found_wherever_they_lie(tmp_path):
    with pytest.raises(ConfigurationError) as raised:
        site_of(tmp_path, ["10.0.1.0-10.0.1.9/16", "10.0.0.0-10.0.9.0/16", "10.1.0.1/16", "10.0.8.0/16", "fd00::1/64"])
    assert [one.message for one in raised.value.problems] == [
        "10.0.1.0 is also in the range of e0",
        "10.0.8.0 is also in the range of e1",
    ]


def test_overrides_are_compared_without_comparing_each_with_each(tmp_path):
    beginning = "people: {a: {}, b: {}}\nescalation: {levels: [{notify: a}]}\nrotations: {r: {layers: [{people: [a], start: 2024-01-01}]}}\n"
    spans = [f"{{rotation: r, person: b, start: {number * 10}, end: 99999999}}" for number in range(5000)]
    (tmp_path / "oncall.yaml").write_text(f"{beginning}overrides: [{', '.join(spans)}]\n")
    with soon(), pytest.raises(ConfigurationError) as raised:
        oncall.load(tmp_path / "oncall.yaml")
    assert len(raised.value.problems) == len(spans) - 1


def test_more_hosts_than_a_farm_can_have_are_refused(tmp_path):
    many = ", ".join(f'{{name: "h{number}-[1-20000]", uri: "test:///{{host}}"}}' for number in range(2000))
    (tmp_path / "site.yaml").write_text(SITE.replace('{name: xen1, uri: "test:///default"}', many))
    with soon(), pytest.raises(ConfigurationError, match="there are too many hosts; expected at most 20000 in all"):
        definitions.load(tmp_path / "site.yaml")
    (tmp_path / "hosts").write_text("".join(f"h{number}-[1-20000]\n" for number in range(2000)))
    with soon(), pytest.raises(SourceError, match="there are too many hosts"):
        inventory.connect("rack", {"path": "hosts"}, base=tmp_path, deadline_seconds=1).read()


@pytest.mark.parametrize("text", ["1{} !", "{}!", "1{}", "1.{}x", "{}1 GiB{}!"])
@pytest.mark.parametrize("piece", [" ", "1", "a", "1 ", "\u00a0"])
def test_an_amount_without_measure_is_none(tmp_path, text, piece):
    long = text.replace("{}", piece * 1_000_000)
    found = messages(tmp_path / "atlas.yaml", chained(1, lambda _: f"{WORKER[:-1]}, idle_seconds: '{long}'}}"))
    assert sum(map(len, found)) < 400


# --- texts ----------------------------------------------------------------------------------------------------------------

PIECES = [
    "a",
    "a-",
    "?token",
    "?key=",
    "eyJ",
    "eyJ.",
    "eyJ.a.",
    "x.eyJ",
    "eyJaaaaaaaa.",
    "://",
    "://x:",
    "bearer ",
    "?password=",
]


@pytest.mark.parametrize("piece", PIECES)
def test_secrets_are_looked_for_in_a_long_text_once(piece):
    text = piece * (3_000_000 // len(piece))
    with soon():
        clean(text)
        problem_at(Mark("site.yaml", 1, 1, text), "key", "is wrong")


def test_a_line_with_many_problems_is_looked_at_once(tmp_path):
    """Generated files stand in one line, and each of their problems shows it."""
    wrong = ", ".join(f"e{number}: {{vcpuss: 1}}" for number in range(1000))
    assert (
        len(messages(tmp_path / "atlas.yaml", f"{{vo: atlas, description: '{'x' * 10_000_000}', environments: {{{wrong}}}}}"))
        > 1000
    )


# --- rules that try again later ------------------------------------------------------------------------------------------------

RULES = {
    "FREQ=DAILY;INTERVAL=0": "needs at least 1 as its INTERVAL",
    "freq=daily;interval=-00": "needs at least 1 as its INTERVAL",
    "FREQ=WEEKLY;COUNT=0": "needs at least 1 as its COUNT",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30": "never comes",
    "FREQ=DAILY;BYHOUR=1,2;BYMINUTE=1,2,3,4;BYSECOND=1,2,3,4": "comes every hour or more often",
    "FREQ=WEEKLY;BYDAY=SU": "does not come at its start 2026-03-03T09:00:00: it first comes at 2026-03-08T09:00:00",
    "FREQ=DAILY;INTERVAL=02": "",
    "FREQ=MONTHLY;COUNT=1": "",
}


@pytest.mark.parametrize(("rule", "says"), RULES.items())
def test_a_rule_that_would_never_be_over_or_never_come_is_none(rule, says):
    with soon():
        assert rule_problem(rule, "2026-03-03T09:00:00") == says


def test_a_rule_without_a_step_that_a_journal_holds_comes_once():
    again = Recurrence("FREQ=DAILY;INTERVAL=0", "UTC", "1970-01-01T00:00:10", 5 * SECOND)
    assert list(occurrences(again, 100 * SECOND)) == [(10 * SECOND, 15 * SECOND)]
