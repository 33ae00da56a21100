"""Text from outside: what of it may come in, and how what is there already is shown.

Whoever writes a VO's file, a job ad, a check's output or a pushed name may write anything into it: control characters that
move a terminal's cursor, marks that turn the order of reading, line breaks that forge a line of a log. Two doors keep that out:
a *checked* text (`OneLine`, `Lines`) is refused when it holds what cannot be printed; a text that must be kept as it is (the
words of an error, an ad, an old journal) goes through `printable` before it is shown, written to a log or counted as a key.
"""

from __future__ import annotations

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
    for place, character in enumerate(text, start=1):
        if not (character.isprintable() or (lines and character in "\n\t")):
            named = unicodedata.name(character, "a control character")
            return f"character {place} cannot be printed: {_escaped(character)} ({named.lower()})"
    return ""


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


OneLine = Annotated[str, AfterValidator(_one_line), Field(max_length=MOST_CHARACTERS)]
"""A text of one line, printable from its first character to its last."""
Lines = Annotated[str, AfterValidator(_lines), Field(max_length=MOST_LINES_CHARACTERS)]
"""A text of several lines, printable but for line breaks and tabs."""
