"""The YAML door: every value knows its place, and nothing but a ConfigurationError ever comes out of it."""

import os
import socket
import threading
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from environments.nodes import merged
from environments.problems import ConfigurationError, dotted, screen
from environments.reader import documents, parse, read, read_content

SAMPLE = """\
site: perugia
hosts:
  - name: xen1
    labels: {rack: "a"}
  - name: xen2
limits:
  poll_seconds: 30
"""


def test_every_value_and_every_key_knows_its_line_and_column():
    node = parse(SAMPLE, "site.yaml")
    assert node.plain() == {
        "site": "perugia",
        "hosts": [{"name": "xen1", "labels": {"rack": "a"}}, {"name": "xen2"}],
        "limits": {"poll_seconds": 30},
    }
    rack = node.walk(("hosts", 0, "labels", "rack"))[0]
    assert (rack.mark.line, rack.mark.column, rack.key_mark.column, rack.mark.source) == (4, 20, 14, '    labels: {rack: "a"}')
    assert (node.items["limits"].key_mark.line, node.items["limits"].mark.line) == (6, 7)


def test_a_path_is_followed_as_far_as_the_file_goes():
    node = parse(SAMPLE, "site.yaml")
    reached, followed, left = node.walk(("hosts", 1, "uri"))
    assert (reached.mark.line, followed, left) == (5, ("hosts", 1), ("uri",))
    assert dotted(("hosts", 1, "uri")) == "hosts[1].uri"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_do(end):
    node = parse(f"a: 1{end}b:{end}  c: 2{end}", "f")
    assert (node.walk(("b", "c"))[0].mark.line, node.walk(("b", "c"))[0].mark.source) == (3, "  c: 2")


def test_a_date_a_version_and_a_broken_number_stay_text():
    node = parse("a: 2024-11-05\nb: '1.10'\nc: ._\nd: 0x_\n", "f")
    assert node.plain() == {"a": "2024-11-05", "b": "1.10", "c": "._", "d": "0x_"}


def test_keys_are_the_text_that_was_written():
    assert parse("on: 1\n2024: 2\nnull: 3\n", "f").plain() == {"on": 1, "2024": 2, "null": 3}


def test_a_merge_key_brings_in_what_is_not_there():
    node = parse("base: &base {a: 1, b: 2}\nother: &other {c: 3}\nnew: {<<: [*base, *other], b: 4}\n", "f")
    assert node.items["new"].plain() == {"a": 1, "b": 4, "c": 3}


def test_laying_over_replaces_values_joins_mappings_and_null_takes_back():
    base = parse("a: {x: 1, y: 2}\nb: [1, 2]\nc: 3\n", "base")
    top = parse("a: {y: 5}\nb: [9]\nc: ~\nd: 7\n", "top")
    together = merged(base, top)
    assert together.plain() == {"a": {"x": 1, "y": 5}, "b": [9], "d": 7}
    assert [together.walk(("a", key))[0].mark.file for key in "xy"] == ["base", "top"]


def test_a_bomb_of_aliases_is_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    with pytest.raises(ConfigurationError, match="grows beyond all measure through aliases"):
        parse(bomb, "f")


@pytest.mark.parametrize("depth", [60, 5000, 60_000])
def test_deep_nesting_is_refused(depth):
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        parse("a: " + "[" * depth + "]" * depth, "f")


def test_an_alias_within_its_own_anchor_is_refused():
    with pytest.raises(ConfigurationError, match=r"f:1:4 a.b: contains itself, through an alias"):
        parse("a: &a\n  b: *a\n", "f")


def test_a_long_line_is_cut_around_the_place():
    with pytest.raises(ConfigurationError) as caught:
        parse("x" * 300 + ": {a: 1, a: 2, " + "b" * 300 + ": 1}\n", "f")
    lines = screen(caught.value.problems)
    caret = lines[2].index("^")
    assert len(lines[1]) < 130
    assert lines[1][caret] == "a"


def test_a_directory_in_place_of_a_file_is_a_problem(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read(tmp_path)


def refuses_or_reads(content):
    problems = ()
    try:
        assert isinstance(parse(content, "file.yaml").plain(), dict)
    except ConfigurationError as error:
        problems = error.problems
    if problems:
        assert 1 <= len(screen(problems)) <= 25
    assert all(problem.line >= 0 and problem.message for problem in problems)


@given(st.text())
@example("\ufeff")
@example("a: \ud800")
@example("a: 2024-13-45")
@example("a: " + "9" * 5000)
@example("a: 1:99:99999999999999999999.9")
@example("? [a]\n: b")
@example("<<: 3")
@example("a: !!int x")
@example("a: !!binary x")
@example("=: =")
@example("%YAML 9.9\n---\na: 1")
@example("a: 1\n--- \nb: 2")
@example("\x85a: 1")
@example("a: *x")
@example("- &a\n- *a")
def test_no_text_gives_anything_but_data_or_a_configuration_error(text):
    refuses_or_reads(text)


@given(st.binary())
def test_no_bytes_give_anything_but_data_or_a_configuration_error(content):
    refuses_or_reads(content)


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "b: ",
                "- ",
                "  ",
                "\n",
                "{",
                "}",
                "[",
                "]",
                ": ",
                "&a ",
                "*a ",
                "!!int ",
                '"',
                "'",
                "|",
                ">",
                "#",
                "?",
                "\t",
                "<<: ",
            ]
        ),
        max_size=40,
    )
)
def test_no_soup_of_yaml_gives_anything_but_data_or_a_configuration_error(words):
    refuses_or_reads("".join(words))


def test_the_documents_of_a_file_are_read_in_their_order_whatever_they_are():
    first, second = documents("# two\n---\na: 1\n---\n- b\n", "two.yaml")
    assert (first.plain(), second.plain(), second.mark.line) == ({"a": 1}, ["b"], 5)
    with pytest.raises(ConfigurationError, match="a list"):
        parse("- b\n", "list.yaml")


def test_a_large_file_is_read_like_a_small_one_and_may_hold_many_values():
    text = "".join(f"k{n}: {{at: 2024-11-05, n: {n}.10, on: yes}}\n" for n in range(3000))
    small = parse(text[: text.index("k9:")], "f")
    large = parse(text, "f")
    assert len(large.items) == 3000
    assert all(large.items[key] == node for key, node in small.items.items())
    with pytest.raises(ConfigurationError, match="f:3001:1: is not YAML: a tab"):
        parse(text + "\tx: 1\n", "f")


# --- what a file may be ------------------------------------------------------------------------------------------------


def refused(path, **options):
    with pytest.raises(ConfigurationError) as raised:
        read_content(path, **options)
    return raised.value.problems[0].message


def test_a_pipe_a_device_and_a_socket_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s.yaml"))
    assert refused(tmp_path / "pipe.yaml") == "cannot be read: it is a pipe, not a plain file"
    assert refused(tmp_path / "zero.yaml") == "cannot be read: it is a device, not a plain file"
    assert refused(tmp_path / "zero.yaml", given=True) == "cannot be read: it is a device, not a plain file"
    assert refused(tmp_path / "s.yaml") == "cannot be read: it is a socket, not a plain file"
    assert refused(tmp_path) == "cannot be read: Is a directory"


def test_a_link_leads_whoever_made_it_to_no_file_of_others(tmp_path):
    secret, own, link = tmp_path / "secret", tmp_path / "own.yaml", tmp_path / "link.yaml"
    secret.write_text("password: x\n")
    own.write_text("zone: UTC\n")
    link.symlink_to("secret")
    os.chown(own, 4711, -1)
    assert read_content(link) == b"password: x\n", "made by root, or by whoever reads it"
    os.chown(link, 4711, -1, follow_symlinks=False)
    (tmp_path / "to-link.yaml").symlink_to("link.yaml")
    for name in ("link.yaml", "to-link.yaml"):
        assert refused(tmp_path / name) == "cannot be read: it is a link to a file of another owner than the link's"
    assert read_content(link, given=True) == b"password: x\n", "whoever names it in a command reads it himself"
    link.unlink()
    link.symlink_to(own)
    os.chown(link, 4711, -1, follow_symlinks=False)
    assert read_content(tmp_path / "to-link.yaml") == b"zone: UTC\n"
    (tmp_path / "round.yaml").symlink_to("round.yaml")
    assert refused(tmp_path / "round.yaml").startswith("cannot be read: ")


def test_a_pipe_that_somebody_names_in_a_command_is_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"zone: UTC\n"))
    writer.start()
    assert read_content(tmp_path / "pipe", given=True) == b"zone: UTC\n"
    writer.join()


def test_a_file_that_is_too_large_is_not_read_into_memory(tmp_path):
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(2**40)
    assert refused(tmp_path / "large.yaml") == "is too large"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"a: [{'1,' * 600_000}1]\n", "holds too many values"),
        ("a: " + "[" * 100_000 + "]" * 100_000, "is nested too deeply"),
        ("a: " + "{a: " * 30_000 + "1" + "}" * 30_000, "is nested too deeply"),
        (
            "\n".join([f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else '1'}]" for n in range(30)]),
            "grows beyond all measure",
        ),
        ("a: &a [*a]\n", "contains itself"),
    ],
)
def test_what_would_take_all_memory_is_refused_soon(text, says):
    begun = time.process_time()
    with pytest.raises(ConfigurationError) as raised:
        parse(text, "f.yaml")
    assert says in raised.value.problems[0].message
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("number", ["9" * 4000, "9" * 10_000, "0x" + "f" * 10_000, "1" + ":59" * 50_000, "1" * 200 + ".0"])
def test_a_number_without_measure_is_a_text(number):
    assert parse(f"a: {number}\n", "f.yaml").plain() == {"a": number}
