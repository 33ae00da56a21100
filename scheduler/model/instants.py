"""Instants and durations as people write them, read exactly: whole microseconds, never by way of a floating-point number."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from environments.checking import named_error

Instant = int
"""Microseconds since the epoch, UTC."""
Duration = int
"""Microseconds."""
SECOND: Duration = 1_000_000
EXAMPLE_INSTANT = "2026-03-10T12:00:00Z"
EXAMPLE_DURATION = "10m"
_EXPECTED_INSTANT = f"ISO 8601 ({EXAMPLE_INSTANT}, 2026-03-10 13:00 in the zone) or seconds since 1970"
_EXPECTED_DURATION = "seconds, or an amount like 10m, 1h30m, PT10M"
_LONGEST_TEXT = 100
"""Of a number, an instant or a length of time, in characters."""
_LONGEST = 10_000 * 366 * 86400 * SECOND
_FIRST, _LAST = datetime(1000, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,2})?")
_WRITTEN = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<clock>\d\d:\d\d(?::\d\d)?)(?:[.,](?P<part>\d+))?)?"
    r"\s*(?P<offset>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.IGNORECASE,
)
_UNITS = {
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * SECOND),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600 * SECOND),
    **dict.fromkeys(("d", "day", "days"), 86400 * SECOND),
    **dict.fromkeys(("w", "week", "weeks"), 604800 * SECOND),
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]+)\s*,?")
_ISO = re.compile(r"P(?=.)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.IGNORECASE)


# --- the two units ----------------------------------------------------------------------------------------------------


def micro(seconds: float | Decimal) -> int:
    """Return seconds, as clocks tell them or as they are written, as whole microseconds: an instant or a duration."""
    whole, part = divmod(seconds, 1)  # a float times a million has fewer digits for the part of a second than the float itself
    return int(whole) * SECOND + round(part * SECOND)


def in_seconds(microseconds: int | Fraction) -> float:
    """Return an instant or a duration in seconds, as clocks tell them; from 1716 to 2223 `micro` of it is the same again."""
    return float(microseconds / SECOND)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_instant(text: str, zone: str) -> Instant:
    """Read an instant; a local time without offset is taken in `zone`, and refused where a DST change makes it unclear."""
    written = _shortly(text, "an instant", _EXPECTED_INSTANT)
    if _NUMBER.fullmatch(written):
        return within(_whole(Decimal(written) * SECOND, text), text)
    found = _WRITTEN.fullmatch(written)
    if not found:
        raise named_error(f"{text!r} is not an instant", _EXPECTED_INSTANT)
    part = found["part"] or ""
    micro = _whole(Decimal(f"0.{part or 0}") * SECOND, text)
    try:
        local = datetime.fromisoformat(f"{found['date']}T{found['clock'] or '00:00'}")
    except ValueError as error:
        raise named_error(f"{text!r} is not an instant: {error}", _EXPECTED_INSTANT) from error
    offset = found["offset"]
    aware = local.replace(tzinfo=_offset(offset, text)) if offset else in_zone(local, zone, text)
    return within((aware - _EPOCH) // timedelta(microseconds=1) + micro, text)


def in_zone(local: datetime, zone: str, text: str) -> datetime:
    """Give a local time its zone; one that comes twice or never is refused: only its author knows what was meant."""
    first = local.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    second = first.replace(fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    early, late = (one.strftime("%z") for one in (first, second))
    if first.astimezone(UTC) < second.astimezone(UTC):
        message = f"{text!r} comes twice in {zone} (the clocks go back)"
        raise named_error(message, f"its offset: {_with(local, early)} for the first, {_with(local, late)} for the second")
    message = f"{text!r} does not exist in {zone} (the clocks go forward)"
    raise named_error(message, f"a time with its offset: {_with(local, early)} or {_with(local, late)}")


def read_duration(text: str) -> Duration:
    """Read a duration: seconds, `10m`, `1h30m`, `1 d 12 h`, or ISO 8601 (`PT10M`; a day of it is 24 hours)."""
    written = _shortly(text, "a duration", _EXPECTED_DURATION)
    if _NUMBER.fullmatch(written):
        micro = _whole(Decimal(written) * SECOND, text)
        if micro < 0:
            raise named_error(f"{text!r} is negative", _EXPECTED_DURATION)
        return _bounded(micro, text)
    iso = _ISO.fullmatch(written)
    if iso:
        scales = (604800, 86400, 3600, 60, 1)
        counted = sum((Decimal(n or 0) * scale for n, scale in zip(iso.groups(), scales, strict=True)), Decimal(0))
        return _bounded(_whole(counted * SECOND, text), text)
    total, at = Decimal(0), 0
    while at < len(written):
        part = _PART.match(written.lower(), at)
        if not part or part[2] not in _UNITS:
            raise named_error(f"{text!r} is not a duration", _EXPECTED_DURATION)
        total += Decimal(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not written:
        raise named_error("the duration is empty", _EXPECTED_DURATION)
    return _bounded(_whole(total, text), text)


def _shortly(text: str, what: str, expected: str) -> str:
    """Return what was written, if it can be meant: digits without end cost without measure, and say nothing."""
    written = text.strip()
    if len(written) > _LONGEST_TEXT:
        raise named_error(f"a text of {len(written)} characters is not {what}", expected)
    return written


def _bounded(micro: int, text: str) -> Duration:
    if micro > _LONGEST:
        raise named_error(f"{text!r} is longer than ten thousand years", _EXPECTED_DURATION)
    return micro


def read_ratio(text: str) -> Fraction:
    """Read `99.9%`, `0.999` or `999/1000` exactly."""
    expected = "a ratio like 99.9%, 0.999 or 999/1000"
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(?:(%)|/\s*([1-9]\d*))?", _shortly(text, "a ratio", expected))
    if not found:
        raise named_error(f"{text!r} is not a ratio", expected)
    return Fraction(found[1]) / (100 if found[2] else int(found[3] or 1))


def _whole(micro: Decimal, text: str) -> int:
    if micro != micro.to_integral_value():
        raise named_error(f"{text!r} is finer than a microsecond", "at most six decimals")
    return int(micro)


def within(instant: Instant, text: str) -> Instant:
    """Return an instant that was written somehow; refuse one that no calendar has."""
    if not as_micro(_FIRST) <= instant <= as_micro(_LAST):
        raise named_error(f"{text!r} is not within the years 1000 to 9999", _EXPECTED_INSTANT)
    return instant


def _offset(written: str, text: str) -> timezone:
    if written.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    digits = written[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        raise named_error(f"{text!r} has no such offset from UTC", "an offset like +01:00")
    length = timedelta(hours=hours, minutes=minutes)
    return timezone(-length if written[0] == "-" else length)


def _with(local: datetime, offset: str) -> str:
    return f"{local.isoformat()}{offset[:3]}:{offset[3:]}"


# --- writing ----------------------------------------------------------------------------------------------------------


def as_micro(moment: datetime) -> Instant:
    """Return the instant of a time with zone."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def as_time(instant: Instant, zone: str = "UTC") -> datetime:
    """Return an instant as local time of a zone; what lies beyond what a calendar has as its last day, or its first."""
    instant = max(_EARLIEST_WRITTEN, min(instant, _LATEST_WRITTEN))
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(zoneinfo.ZoneInfo(zone))


_EARLIEST_WRITTEN, _LATEST_WRITTEN = as_micro(datetime(1, 1, 2, tzinfo=UTC)), as_micro(_LAST - timedelta(days=1))
"""No zone is further from UTC."""
CALENDAR_BEGINS, CALENDAR_ENDS = as_micro(datetime(1, 1, 4, tzinfo=UTC)), as_micro(datetime(9999, 12, 29, tzinfo=UTC))
"""A window that would run past the calendar is cut here: in every zone there is a whole day more."""


def write_instant(instant: Instant, zone: str = "UTC") -> str:
    """Write an instant in ISO 8601 with its offset, to the microsecond where it is not a whole second."""
    written = as_time(instant, zone).isoformat()
    return written.removesuffix("+00:00") + "Z" if zone == "UTC" else written


def shown_instant(instant: Instant, zone: str = "UTC") -> str:
    """Write an instant for people, to the second: what is below it stands in the data (`--json`)."""
    return write_instant(instant - instant % SECOND, zone)


def to_the_second(written: str) -> str:
    """Write for people what `write_instant` has written."""
    return re.sub(r"(?<=T\d\d:\d\d:\d\d)\.\d+", "", written)


def seconds(duration: Duration) -> int | Decimal:
    """Return a duration in seconds: whole, or an exact decimal."""
    whole, rest = divmod(duration, SECOND)
    return whole if not rest else (Decimal(duration) / SECOND).normalize()


def write_seconds(length: int | Decimal) -> str:
    """Write the time that a verdict hangs on, in seconds, to the microsecond: `7204.5 s`."""
    return f"{length:f} s" if isinstance(length, Decimal) else f"{length} s"


def write_duration(duration: Duration) -> str:
    """Write a duration for people: `3 d 4 h`, `2 h 5 min`, `12.5 s`. It is rounded, but never to nothing."""
    tenths = (duration * 10 + SECOND // 2) // SECOND
    if tenths < 600:
        return f"{tenths / 10:g} s" if tenths or not duration else f"{seconds(duration):f} s"
    rest = (duration + SECOND // 2) // SECOND
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def instant_of(local: datetime, zone: str) -> Instant:
    """Return the instant of a wall-clock time: one that a DST change skips is moved on by the gap, of two it is the first."""
    return as_micro(local.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=0))


# --- times of day ------------------------------------------------------------------------------------------------------


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
