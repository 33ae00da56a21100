"""What passes on the line between the connector and its companions: JSON, checked against its types when it is read.

Texts are made printable as they are written: no control character of a job ad goes further than the companion.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from connectors.htcondor.messages import (
    EndedRun,
    LeftAds,
    Located,
    PoolAnswer,
    Prototype,
    Question,
    QueueAnswer,
    Refused,
    Setting,
)
from environments.text import printable
from scheduler.model.ports import JobRecord, Submission

MOST_CHARACTERS = 1_000_000
"""Of one line of a text."""
ANSWERS: dict[str, TypeAdapter[Any]] = {
    "pool": TypeAdapter(PoolAnswer),
    "schedds": TypeAdapter(PoolAnswer),
    "slots": TypeAdapter(PoolAnswer),
    "forget": TypeAdapter(LeftAds),
    "announce": TypeAdapter(None),
    "configuration": TypeAdapter(dict[str, str]),
    "queue": TypeAdapter(QueueAnswer),
    "runs": TypeAdapter(tuple[EndedRun, ...]),
    "job": TypeAdapter(JobRecord | None),
    "submission": TypeAdapter(Submission | None),
}
ARGUMENTS: dict[str, TypeAdapter[Any]] = {
    "ad": TypeAdapter(str),
    "cheap": TypeAdapter(bool),
    "cluster": TypeAdapter(int),
    "exact_seconds": TypeAdapter(float),
    "machine": TypeAdapter(str),
    "machines": TypeAdapter(tuple[str, ...]),
    "names": TypeAdapter(tuple[str, ...]),
    "process": TypeAdapter(int),
    "prototypes": TypeAdapter(tuple[Prototype, ...]),
    "schedd": TypeAdapter(Located),
    "since": TypeAdapter(float),
    "worker": TypeAdapter(str),
}
_SETTING = TypeAdapter(Setting)


class WireError(Exception):
    """The other side wrote what it was not to write."""


def write(value: object) -> bytes:
    """Write a setting or a question."""
    return json.dumps(_plain(value)).encode()


def write_answer(answer: object) -> bytes:
    """Write an answer, or that there is none."""
    return write({"refused": answer} if isinstance(answer, Refused) else {"answer": answer})


def read_setting(content: bytes) -> Setting:
    """Read what a companion is told first."""
    setting: Setting = _checked(_SETTING, json.loads(content))
    return setting


def read_question(content: bytes) -> Question:
    """Read a question."""
    told = json.loads(content)
    return Question(told["function"], {name: _checked(ARGUMENTS[name], one) for name, one in told["arguments"].items()})


def read_answer(function: str, content: bytes) -> Any:
    """Read the answer to a question. Raises WireError when it is none."""
    try:
        told = json.loads(content)
        if "refused" in told:
            return Refused(str(told["refused"]["asked"]), str(told["refused"]["answer"]))
        return _checked(ANSWERS[function], told["answer"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error


def _checked(adapter: TypeAdapter[Any], value: object) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise WireError(f"{'.'.join(map(str, first['loc']))}: {first['msg']} ({error.error_count()} in all)") from error


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else "\n".join(printable(line, MOST_CHARACTERS) for line in value.split("\n"))
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, BaseModel):
        return _plain(dict(value))
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value]
