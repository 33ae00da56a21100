"""The log: structured, for people or as JSON; secrets never reach it."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import structlog

from environments.text import printable

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import TextIO

HIDDEN = "***"
MOST_CHARACTERS = 20_000
"""Of one text of a line."""
_SECRET_KEY = re.compile(r"(?i)(token|secret|passw|credential|private_key|authorization)")
# A text may be long, and come from anybody: each pattern takes in what it has looked at, so that none looks at it twice.
_IN_URL = re.compile(r"://(?P<user>[^\s:/@]*):(?P<rest>[^\s'\"]*)")
_IN_QUERY = re.compile(r"(?i)(?P<before>[?&;](?P<name>[a-z_-]+)=)[^&\s'\"#;]+")
_TELLING = re.compile(r"(?i)passw|token|secret|credential|key|auth|^pwd$|^sig$")
_BEARER = re.compile(r"(?i)(?P<before>\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]{8,}")
_PART = "[A-Za-z0-9_-]"
_TOKEN_TEXT = re.compile(rf"(?<!{_PART})(?={_PART}+\.{_PART}+\.{_PART}){_PART}*eyJ{_PART}{{8,}}\.{_PART}+\.{_PART}+")


def clean(text: str) -> str:
    """Hide what looks like a password in a URL, or like a JSON web token."""
    text = _BEARER.sub(rf"\g<before>{HIDDEN}", _IN_QUERY.sub(_without_value, _IN_URL.sub(_without_password, text)))
    return _TOKEN_TEXT.sub(HIDDEN, text)


def _without_password(found: re.Match[str]) -> str:
    _, at, after = found["rest"].rpartition("@")
    return f"://{found['user']}:{HIDDEN}@{after}" if at else found[0]


def _without_value(found: re.Match[str]) -> str:
    return f"{found['before']}{HIDDEN}" if _TELLING.search(found["name"]) else found[0]


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of telling names, byte strings, and what looks like a secret in any text, however deep it stands."""
    for key, value in event.items():
        if not key.startswith("_"):
            event[key] = _hidden(key, value)
    return event


def _hidden(key: str, value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)) or _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {one: _hidden(str(one), inner) for one, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_hidden("", inner) for inner in value]
    return clean(str(value))


def make_printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let nothing in a line for people move their cursor or begin another line; a traceback keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str) and key == "exception":
            event[key] = "\n".join(printable(line, MOST_CHARACTERS) for line in value.split("\n"))
        elif isinstance(value, str):
            event[key] = printable(value, MOST_CHARACTERS)
        elif isinstance(value, (Mapping, list)):
            event[key] = printable(repr(value), MOST_CHARACTERS)
    return event


def configure(form: Literal["human", "json"] = "human", *, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Set up the log of this process, that of foreign libraries included. Colours only on a terminal."""
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        ending: list[Any] = [
            structlog.processors.format_exc_info,
            hide_secrets,
            structlog.processors.JSONRenderer(sort_keys=False),
        ]
    else:
        plain = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ending = [structlog.processors.format_exc_info, hide_secrets, make_printable, plain]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()], processors=[remove_meta, *ending]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    # The calendar tells every look, and warns of each that a long report swallows; the migrations tell every step.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
