"""Who somebody is by name: what looks like one name to a reader is one name, however it is written.

`anna `, `Anna`, an `anna` with a Cyrillic letter in it and one with a mark of no width in it are one person, so none of them
can agree with another. Letters of ASCII are told from each other as they are: `anna1` is not `annal`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Drawn as nothing, beside all of the categories below and the selectors of variations."""
_UNSEEN_CATEGORIES = frozenset({"Cf", "Cc", "Cn", "Co", "Cs"})


TOKEN = "token "  # noqa: S105 - a word
"""Before the name of a token, where that stands for a login; no login has a blank in it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who says something: the name that he gives, and by which login or token he came."""

    name: str
    login: str = ""
    """"": not known, in what an older version wrote."""

    def __str__(self) -> str:
        """Return it as it is shown wherever the name stands."""
        if not self.login or same(self.name, self.login.removeprefix(TOKEN)):
            return self.name
        return f"{self.name} ({'' if self.login.startswith(TOKEN) else 'login '}{self.login})"


def objection(one: Signature, other: Signature) -> str:
    """Say why two signatures may be one person's; "" when they are those of two."""
    if same(one.name, other.name):
        return f"{other.name} is {one.name}" if one.name != other.name else f"{other.name} would agree with himself"
    mine, theirs = one.login.removeprefix(TOKEN), other.login.removeprefix(TOKEN)
    if same(mine, theirs):
        return f"{one.name} and {other.name} came by the same login or token, {mine}"
    if same(one.name, theirs):
        return f"{other.name} was typed by {theirs}"
    if same(mine, other.name):
        return f"{one.name} was typed by {mine}"
    return ""


def same(name: str, other: str) -> bool:
    """Whether two names are one person's; no name is nobody's."""
    one, two = _seen(name), _seen(other)
    return bool(one) and len(one) == len(two) and all(map(_alike, one, two))


def listed(name: str, names: frozenset[str] | tuple[str, ...]) -> bool:
    """Whether a name is one of several."""
    return any(same(name, one) for one in names)


def _seen(name: str) -> str:
    """Return what is seen of a name: folded, with one space where there is any."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(one for one in folded if not _is_unseen(one)).split())


def _is_unseen(one: str) -> bool:
    code = ord(one)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    return not one.isspace() and (selector or one in _UNSEEN or unicodedata.category(one) in _UNSEEN_CATEGORIES)


def _alike(one: str, two: str) -> bool:
    if one == two or (one.isascii() and two.isascii()):
        return one == two
    return two in _drawn_like(one) or one in _drawn_like(two)


@cache
def _drawn_like(one: str) -> frozenset[str]:
    """Return what a character is taken for, as a small letter or as a capital, by Unicode's table of confusables."""
    from confusable_homoglyphs import confusables  # a megabyte of tables, which few names need

    written = {one, one.upper(), one.casefold()}
    found = [entry["c"] for form in written for entry in confusables.confusables_data.get(form, ())]
    return frozenset(form for each in found for form in (each, each.casefold()))
