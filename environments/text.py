"""Text from outside: what of it may come in, and how what is there already is shown.

Whoever writes a VO's file, a job ad, a check's output or a pushed name may write anything into it: control characters that
move a terminal's cursor, marks that turn the order of reading, line breaks that forge a line of a log. Two doors keep that out:
a *checked* text (`OneLine`, `Lines`) is refused when it holds what cannot be printed; a text that must be kept as it is (the
words of an error, an ad, an old journal) goes through `printable` before it is shown, written to a log or counted as a key.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

MOST_CHARACTERS = 1000
"""A text from outside that is longer is cut when shown."""
MOST_LINES_CHARACTERS = 20_000


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""Return a text that stands on one line and moves no cursor: what cannot be printed as `\x1b`, too much as `...`.

    What is printable stays as it is, so a text that went through already does not change.
    """
    if len(text) > most:
        text = text[: max(0, most - 3)] + "..."
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def unprintable(text: str, *, lines: bool = False) -> str:
    """Say which character of a text cannot be printed, and where; "" when all can. `lines`: line breaks and tabs may be."""
    if text.isprintable():
        return ""
    for place, character in enumerate(text, start=1):
        if not (character.isprintable() or (lines and character in "\n\t")):
            named = unicodedata.name(character, "a control character")
            return f"character {place} cannot be printed: {_escaped(character)} ({named.lower()})"
    return ""


def printable_json(text: str) -> str:
    r"""Return the text of a JSON document in which what cannot be printed is written as JSON writes it: `\u001b`."""
    return "\n".join(line if line.isprintable() else _escaped_json(line) for line in text.split("\n"))


def _escaped_json(line: str) -> str:
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] if ord(one) != 0x7F else "\\u007f" for one in line)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _one_line(text: str) -> str:
    if found := unprintable(text):
        raise ValueError(found)
    return text


def _lines(text: str) -> str:
    if found := unprintable(text, lines=True):
        raise ValueError(found)
    return text


in_one_line = AfterValidator(_one_line)
"""For texts with a length or form of their own: printable from the first character to the last."""
in_lines = AfterValidator(_lines)
"""For texts with a length of their own: printable but for line breaks and tabs."""
OneLine = Annotated[str, in_one_line, Field(max_length=MOST_CHARACTERS)]
"""A text of one line, printable from its first character to its last."""
Lines = Annotated[str, in_lines, Field(max_length=MOST_LINES_CHARACTERS)]
"""A text of several lines, printable but for line breaks and tabs."""


_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NO_FORMULA = re.compile(r"-|[+-]?\d+(\.\d+)?([eE][+-]?\d+)?%?")
"""Numbers, and the dash of a figure that is not defined."""


def csv_cell(value: object) -> object:
    """Return a value as a cell of a table that somebody opens with a spreadsheet: text stays text, numbers stay numbers."""
    if not isinstance(value, str):
        return value
    shown = printable(value, MOST_LINES_CHARACTERS)
    begins_one = value.startswith(_BEGINS_A_FORMULA) or shown.startswith(_BEGINS_A_FORMULA)
    return f"'{shown}" if begins_one and not _NO_FORMULA.fullmatch(shown) else shown
