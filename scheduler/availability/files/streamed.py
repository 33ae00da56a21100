"""The history file as a bundle holds it, canonical JSON: written and read event by event, whatever their number.

Rules:
1. The bytes are those of the plain data with sorted keys and no white space.
2. What cannot be read so, for whatever reason, is read as any history file is: that one says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from json.encoder import encode_basestring as quoted
from typing import Any, BinaryIO

import numpy as np

from scheduler.availability.files import plain
from scheduler.availability.files.reading import history_of_text
from scheduler.availability.history import History, Result, Status
from scheduler.availability.timelines.axis import ABSENT, Whole
from scheduler.availability.timelines.columns import Columns
from scheduler.availability.timelines.prepared import Prepared, prepare
from scheduler.availability.timelines.timeline import CAUSE_CODES
from scheduler.model.instants import SECOND, Duration, Instant, write_instant

BLOCK = 1 << 22
"""So many bytes are read at a time."""
TOGETHER = 20_000
"""So many events are written at a time."""
_DAY = 86_400
_BEGIN = b'"events":['
_BETWEEN = b'},{"at":"'
# A quote within a text has a backslash before it, so none of these can stand in one.
_END = re.compile(rb'(\}?)\],"[a-z_]+":')


def canonical_text(data: object) -> str:
    """Write plain data as JSON in one way only."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


# --- writing ----------------------------------------------------------------------------------------------------------


def write(history: History, events: Iterable[Result], together: int = TOGETHER) -> Iterator[bytes]:
    """Yield the text of a history with these events."""
    head, tail = canonical_text(plain.history(replace(history, results=()))).split('"events":[]')
    yield f'{head}"events":['.encode()
    texts: list[str] = []
    first = True
    for one in events:
        texts.append(_event(one))
        if len(texts) >= together:
            yield _joined(texts, first=first)
            texts, first = [], False
    yield _joined(texts, first=first)
    yield f"]{tail}\n".encode()


def _joined(texts: list[str], *, first: bool) -> bytes:
    return (("" if first or not texts else ",") + ",".join(texts)).encode()


def _event(one: Result) -> str:
    """Return what `plain.event` and JSON make of a result, several times sooner."""
    text = f'{{"at":"{_instant(one.at)}"'
    if one.boot:
        text += f',"boot":{quoted(one.boot)}'
    if one.cause:
        text += f',"cause":{quoted(one.cause)}'
    if one.confirmed is not None:
        text += f',"confirmed":"{_instant(one.confirmed)}"'
    if one.id:
        text += f',"id":{quoted(one.id)}'
    if one.monotonic is not None:
        text += f',"monotonic":"{_length(one.monotonic)}"'
    text += f',"object":{quoted(one.object)}'
    if one.received is not None:
        text += f',"received":"{_instant(one.received)}"'
    if one.sequence is not None:
        text += f',"sequence":{one.sequence}'
    text += f',"status":"{one.status.name}"'
    return f'{text},"text":{quoted(one.text)}}}' if one.text else f"{text}}}"


_days: dict[int, str] = {}


def _instant(instant: Instant) -> str:
    seconds, micro = divmod(instant, SECOND)
    day, second = divmod(seconds, _DAY)
    written = _days.get(day)
    if written is None:
        if len(_days) > 20_000:
            _days.clear()
        written = _days[day] = write_instant(day * _DAY * SECOND)[:11]
    clock = f"{written}{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{clock}.{micro:06}Z" if micro else f"{clock}Z"


def _length(length: Duration) -> str:
    whole, rest = divmod(abs(length), SECOND)
    sign = "-" if length < 0 else ""
    return f"{sign}{whole}.{rest:06}".rstrip("0") if rest else f"{sign}{whole}"


# --- reading ----------------------------------------------------------------------------------------------------------


class _OtherwiseError(Exception):
    """It is not written as we write it."""


def read(source: BinaryIO, file: str, block: int = BLOCK) -> Prepared:
    """Read a history and make it ready; `source` is at its beginning, and may be read twice.

    It is what a journal knew at an instant: a correction that was accepted then may have come into its place later.
    """
    start = source.tell()
    try:
        history, results = _read(source, file, block)
    except (_OtherwiseError, ValueError, KeyError, TypeError, OverflowError):
        source.seek(start)
        return prepare(history_of_text(source.read(), file, whole=False))
    return prepare(history, results)


def _read(source: BinaryIO, file: str, block: int) -> tuple[History, Columns]:
    head, rest = _until(source, block, _BEGIN)
    columns = _Columns()
    while True:
        ended = _END.search(rest) if rest[:1] == b"]" or b'],"' in rest else None
        if ended is not None:
            columns.add(rest[: ended.start() + len(ended[1])])
            tail = rest[ended.end(1) :]
            break
        cut = rest.rfind(_BETWEEN)
        if cut > 0:
            columns.add(rest[: cut + 1])
            rest = rest[cut + 2 :]
        more = source.read(block)
        if not more:
            raise _OtherwiseError
        rest += more
    whole = head + _BEGIN + tail + source.read()
    data = json.loads(whole)
    if data["events"] != [] or any("start" not in span for one in data["objects"] for span in one.get("exists", ())):
        raise _OtherwiseError
    history = history_of_text(whole, file, whole=False)
    return history, columns.made({one.name: place for place, one in enumerate(history.objects)})


def _until(source: BinaryIO, block: int, mark: bytes) -> tuple[bytes, bytes]:
    content = b""
    while mark not in content:
        more = source.read(block)
        if not more:
            raise _OtherwiseError
        content += more
    before, _, after = content.partition(mark)
    return before, after


class _Columns:
    """Events as columns that grow block by block."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.boots: dict[str, int] = {}
        self.blocks: dict[str, list[Any]] = {}
        self.ids: dict[str, int] = {}
        self.alike: set[int] = set()

    def add(self, content: bytes) -> None:
        """Add a block of events, parted by commas."""
        events: list[dict[str, Any]] = json.loads(b"[" + content + b"]")
        if not events:
            return
        keys = set().union(*events)
        if not keys <= _KEYS:
            raise _OtherwiseError
        events = self._once(events, keys)
        block = {
            "at": _instants([one["at"] for one in events]),
            "object": _numbered([one["object"] for one in events], self.names),
            "status": np.array([_STATUSES[one["status"]] for one in events], np.int8),
            "cause": np.array([CAUSE_CODES[one.get("cause", "")] for one in events], np.int8),
            "boot": _numbered([one.get("boot", "") for one in events], self.boots),
        }
        for name, read_one in _OPTIONAL.items():
            block[name] = _optional([one.get(name) for one in events], read_one)
        for name, column in block.items():
            self.blocks.setdefault(name, []).append(column)

    def _once(self, events: list[dict[str, Any]], keys: set[str]) -> list[dict[str, Any]]:
        """Drop what is there twice by its id; what is alike in all else is left to the reader that compares all.

        So is what contradicts itself: that one says in which lines.
        """
        if "id" in keys:
            kept = []
            for one in events:
                number = one.get("id")
                if number is None or number not in self.ids:
                    kept.append(one)
                if number is not None:
                    code = hash(tuple((key, value) for key, value in one.items() if key not in {"received", "text"}))
                    if self.ids.setdefault(_text(number), code) != code:
                        raise _OtherwiseError
            events = kept
        for one in events if keys.isdisjoint({"sequence"}) or None in [one.get("sequence") for one in events] else ():
            if "sequence" not in one and "id" not in one:
                code = hash(tuple((key, value) for key, value in one.items() if key != "received"))
                if code in self.alike:
                    raise _OtherwiseError
                self.alike.add(code)
        return events

    def made(self, places: dict[str, int]) -> Columns:
        """Return the columns; objects by their places."""
        whole = {name: np.concatenate(blocks) for name, blocks in self.blocks.items()}
        if not whole:
            return Columns(np.array([], np.int32), np.array([], np.int64), np.array([], np.int8))
        numbers = whole["sequence"][whole["sequence"] != ABSENT]
        if (np.diff(np.sort(numbers)) == 0).any():
            raise _OtherwiseError
        if _contradict(whole):
            raise _OtherwiseError
        of_places = np.array([places[name] for name in self.names], np.int32)
        whole["object"] = of_places[whole["object"]]
        values: dict[str, Any] = {
            name: None if name in _OPTIONAL and (column == ABSENT).all() else column for name, column in whole.items()
        }
        return Columns(**values, boots=tuple(self.boots))


def _contradict(whole: dict[str, Any]) -> bool:
    """Whether two results of one object at one instant, both without a number, say different things."""
    loose = np.flatnonzero(whole["sequence"] == ABSENT)
    order = loose[np.lexsort((whole["at"][loose], whole["object"][loose]))]
    one, other = order[:-1], order[1:]
    together = (whole["object"][one] == whole["object"][other]) & (whole["at"][one] == whole["at"][other])
    one, other = one[together], other[together]
    return any((whole[name][one] != whole[name][other]).any() for name in _DECIDING)


_DECIDING = ("status", "cause", "confirmed", "monotonic", "boot")
"""What decides figures, of results of one object at one instant."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _OtherwiseError
    return value


_LENGTHS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?(,[0-9]{1,12}(\.[0-9]{1,6})?)*")
_STATUSES = {status.name: int(status) for status in Status}
_KEYS = {"at", "boot", "cause", "confirmed", "id", "monotonic", "object", "received", "sequence", "status", "text"}


def _numbered(values: list[str], known: dict[str, int]) -> Any:
    """Return each value by its number; a new one gets the next."""
    for value in dict.fromkeys(values):
        if not isinstance(value, str):
            raise _OtherwiseError
        known.setdefault(value, len(known))
    return np.array([known[value] for value in values], np.int32)


def _optional(values: list[Any], read_one: Callable[[list[Any]], Whole]) -> Whole:
    given = [value for value in values if value is not None]
    made = np.full(len(values), ABSENT, np.int64)
    if given:
        made[[value is not None for value in values]] = read_one(given)
    return made


def _instants(written: list[Any]) -> Whole:
    """Read instants of UTC, whole seconds or microseconds."""
    if not set(map(len, written)) <= {len("2026-03-01T00:00:00Z"), len("2026-03-01T00:00:00.000001Z")}:
        raise _OtherwiseError
    text = "".join(written)
    if text.count("Z") != len(written) or text.count("T") != len(written) or not text.isascii():
        raise _OtherwiseError
    return np.array([one[:-1] for one in written], "datetime64[us]").astype(np.int64)


def _lengths(written: list[Any]) -> Whole:
    """Read lengths of time in seconds."""
    if not _LENGTHS.fullmatch(",".join(written)):
        raise _OtherwiseError
    digits = [f"{one}000000" if "." not in one else f"{one}000000"[: one.index(".") + 7].replace(".", "") for one in written]
    return np.array([int(one) for one in digits], np.int64)


def _whole_numbers(written: list[Any]) -> Whole:
    if set(map(type, written)) != {int} or max(map(abs, written)) > 2**62:
        raise _OtherwiseError
    return np.array(written, np.int64)


_OPTIONAL: dict[str, Callable[[list[Any]], Whole]] = {"confirmed": _instants, "monotonic": _lengths, "sequence": _whole_numbers}
