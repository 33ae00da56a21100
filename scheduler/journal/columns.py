"""Columns for texts from outside: what a database cannot keep is written by its number, what is too long is cut.

PostgreSQL keeps no NUL and no half of a surrogate pair, measures its texts, and knows no infinite number in JSON; a row that
holds one would be refused with all that are written beside it. So both databases are given, and asked for, the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, String, Text, TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

MOST_CHARACTERS = 200_000
"""Of a text without a length of its own."""
_UNKEPT = re.compile("[\0\ud800-\udfff]")


def keepable(text: str, most: int) -> str:
    r"""Return a text that both databases keep as it is: NUL and halves of surrogate pairs as `\x00`, too much as `...`."""
    if not text.isascii() or "\0" in text:
        text = _UNKEPT.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return text if len(text) <= most else text[: most - 3] + "..."


class BoundedText(TypeDecorator[str]):
    """A text of a certain length."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """Make a text keepable."""
        return keepable(value, self.length) if isinstance(value, str) else value


class Words(TypeDecorator[str]):
    """A text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """Make a text keepable."""
        return keepable(value, MOST_CHARACTERS) if isinstance(value, str) else value


class Data(TypeDecorator[Any]):
    """A value of JSON."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> Any:
        """Make all texts and numbers in it keepable."""
        return _kept(value)


def _kept(value: Any) -> Any:
    if isinstance(value, str):
        return keepable(value, MOST_CHARACTERS)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {_kept(key): _kept(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_kept(one) for one in value]
    return value
