"""The rules by which a job belongs to a VO, in words for the one whose job belongs to none. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connectors.htcondor.expressions import GROUP, vo_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from connectors.htcondor.options import VORule

_PLAIN = re.compile(r"(?:[A-Za-z0-9_@%/ -]|\\.)*")
"""A piece of a pattern that stands for itself."""


def in_words(rules: Iterable[VORule]) -> tuple[str, ...]:
    """Return each rule as one says it."""
    return tuple(_in_words(rule) for rule in rules)


def _in_words(rule: VORule) -> str:
    attribute, pattern = vo_source(rule)
    if not attribute:
        return f"all others are of VO {rule.vo.lower()}"
    what = "an accounting group" if attribute == GROUP else f"an {attribute}" if attribute == "Owner" else f"a {attribute}"
    whose = "the VO that stands in its first parentheses" if rule.vo == r"\1" else f"VO {rule.vo.lower()}"
    return f"{what} like {pattern} is {whose}"


def examples(rules: Iterable[VORule], vo: str) -> Iterator[tuple[str, str]]:
    """Yield attributes and values that may tell a VO by some rule: whether they do is to be tried."""
    for rule in rules:
        attribute, pattern = vo_source(rule)
        if attribute in {"", "Owner"}:
            continue
        if rule.vo == r"\1":
            value = _with_vo(pattern, vo)
        else:
            value = _without_options(pattern) if rule.vo.lower() == vo else ""
        if value:
            yield attribute, value


def line(attribute: str, value: str) -> str:
    """Return the line of a submit file that gives a job this value."""
    return f"accounting_group = {value}" if attribute == GROUP else f'+{attribute} = "{value}"'


def _with_vo(pattern: str, vo: str) -> str:
    """Return a text that a pattern may match, with a VO in its first parentheses; "" when that cannot be told."""
    before, found, after = pattern.partition("(")
    place = _PLAIN.fullmatch(before) and found and _close(after)
    if not place or after.startswith("?") or not re.fullmatch(after[place:], ""):
        return ""
    return _unescaped(before) + vo


def _without_options(pattern: str) -> str:
    """Return the shortest text that a pattern without a choice matches; "" when that cannot be told."""
    plain = _PLAIN.match(pattern)
    before = plain[0] if plain else ""
    rest = pattern[len(before) :]
    if before and re.fullmatch(rest, "") and not rest.startswith(("?", "*", "{")):
        return _unescaped(before)
    return ""


def _close(text: str) -> int:
    """Return the place behind the parenthesis that closes the one before `text`; 0 if there is none."""
    depth, i = 1, 0
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] in "()":
            depth += 1 if text[i] == "(" else -1
            if depth == 0:
                return i + 1
        i += 1
    return 0


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
