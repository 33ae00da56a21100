"""Times of day as files write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from environments.checking import named_error


def _of_day(value: object) -> object:
    """Read `17:00` as seconds of the day; YAML reads it, unquoted, as 1020 minutes."""
    if isinstance(value, int) and not isinstance(value, bool) and 60 <= value <= 24 * 60:
        return value * 60
    found = re.fullmatch(r"(\d\d?):(\d\d)(?::(\d\d))?", value.strip()) if isinstance(value, str) else None
    if not found or int(found[2]) > 59 or int(found[3] or 0) > 59:
        raise named_error(f"{value!r} is not a time of day", 'hours and minutes in quotes: "17:00"')
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
    if seconds > 24 * 3600:
        raise named_error(f"{value!r} is not a time of day", 'at most "24:00"')
    return seconds


_CLOCK = WithJsonSchema({"type": "string", "pattern": r"^\d\d?:\d\d(:\d\d)?$", "examples": ["09:00"]})
TimeOfDay = Annotated[int, BeforeValidator(_of_day), _CLOCK]
"""Seconds of the day, written `09:00`."""
