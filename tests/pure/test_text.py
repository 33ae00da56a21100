"""Text from outside: refused where it comes in, made harmless where it is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from environments.text import Lines, OneLine, printable, unprintable


@given(st.text())
def test_a_printed_text_is_printable_and_stays_as_it_is_when_printed_again(text):
    shown = printable(text)

    assert shown.isprintable()
    assert printable(shown, most=len(shown)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ü and 日本", "plain, ü and 日本"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines", r"two\x0alines"),
        ("turned \u202eround", r"turned \u202eround"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("nul\0", r"nul\x00"),
        ("tag\U000e0041", r"tag\U000e0041"),
    ],
)
def test_what_cannot_be_printed_is_written_by_its_number(text, shown):
    assert printable(text) == shown


def test_a_long_text_is_cut_and_says_so():
    assert printable("x" * 50, most=10) == "xxxxxxx..."


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "a\nb", "a\u202eb", "a\u2028b", "a\u200bb", "a\x7fb", "a\x85b", "\ud800"])
def test_a_checked_text_of_one_line_refuses_what_cannot_be_printed(text):
    with pytest.raises(ValidationError):
        TypeAdapter(OneLine).validate_python(text)


def test_the_refusal_names_the_character_and_its_place():
    assert unprintable("ab\u202ec") == r"character 3 cannot be printed: \u202e (right-to-left override)"
    assert unprintable("ab\0c") == r"character 3 cannot be printed: \x00 (a control character)"


def test_several_lines_may_hold_line_breaks_and_nothing_worse():
    assert TypeAdapter(Lines).validate_python("one\n\ttwo") == "one\n\ttwo"
    with pytest.raises(ValidationError):
        TypeAdapter(Lines).validate_python("one\x1b")
