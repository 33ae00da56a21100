"""What is wrong in a configuration: where it stands, in words its author can act on, as it is shown on one screen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Step = str | int
KeyPath = tuple[Step, ...]
SCREEN_LINES = 22
MOST_SAID = 400
"""Characters of one message."""
_IN_URL = re.compile(r"(?<=://)(?P<name>[^\s:/@'\"]*:)(?P<secret>[^\s@'\"]+)(?P<at>@?)")
"""It takes in the whole of a word, with a password or without: to begin again within it would take for ever in a long line."""
_IN_QUERY = re.compile(r"(?P<name>[?&;]password=)(?P<secret>[^\s&'\"]+)(?P<at>)")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; lines and columns count from 1, line 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0
    source: str = ""
    """The text of the line."""
    width: int = 1
    """How many characters stand there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a configuration, in words its author can act on."""

    file: str
    line: int
    column: int
    key: str
    """Path of the key: `environments.atlas-el9.image.kernel`."""
    message: str
    expected: str = ""
    nearest: str = ""
    """The known key or name most like the one that was written; "" when none is near."""
    source: str = ""
    width: int = 1

    def __str__(self) -> str:
        """Return one line: `file:line:column key: message; expected ...; did you mean ...?`."""
        where = " ".join(filter(None, (self.place, self.key)))
        return f"{where}: {self.sentence}" if where else self.sentence

    @property
    def place(self) -> str:
        """Where it stands: `file:line:column`, or the file as a whole."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def sentence(self) -> str:
        """What is wrong and what would be right, without the place."""
        parts = [self.message]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.nearest:
            parts.append(f"did you mean {self.nearest}?")
        return "; ".join(parts)


class ConfigurationError(Exception):
    """You erred: all problems of all files at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = ordered(problems)
        super().__init__("\n".join(screen(self.problems)))


def ordered(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems by file and line, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column, p.key)))


def screen(problems: tuple[Problem, ...], height: int = SCREEN_LINES) -> list[str]:
    """Render problems as lines that fit one screen: with the source line and a caret while there is room for it."""
    lines: list[str] = []
    roomy = sum(3 if p.source else 1 for p in problems) <= height
    shown = problems if len(problems) <= height else problems[: height - 1]
    for problem in shown:
        lines.append(str(problem))
        if roomy and problem.source:
            lines += excerpt(problem)
    if len(shown) < len(problems):
        lines.append(f"... and {len(problems) - len(shown)} more (check --json lists all)")
    return lines


def excerpt(problem: Problem, width: int = 110) -> list[str]:
    """Return the source line of a problem and the caret under it; a long line is cut around the place."""
    cut = max(0, problem.column - 1 - width // 2) if len(problem.source) > width else 0
    text = "".join(c if c.isprintable() else " " for c in problem.source[cut : cut + width])
    caret = " " * (problem.column - 1 - cut) + "^" * max(1, min(problem.width, width - problem.column + 1 + cut))
    return [f"  {problem.line:5} | {text}", f"        | {caret}"]


def problem_at(mark: Mark, key: str, message: str, expected: str = "", nearest: str = "") -> Problem:
    """Make a problem at a place."""
    told = (_bounded(key), _bounded(message), expected, nearest)
    return Problem(mark.file, mark.line, mark.column, *told, _masked(mark.source), mark.width)


def _bounded(text: str) -> str:
    """Leave the middle of a long text out: what is quoted from a file may be of any length."""
    return text if len(text) <= MOST_SAID else f"{text[: MOST_SAID // 2]}...{text[3 - MOST_SAID // 2 :]}"


@lru_cache(maxsize=4)  # a line may have many problems, and be long
def _masked(source: str) -> str:
    """Return a line of a file with stars for what looks like a password in a URL; as long as before, so that carets fit."""
    return _IN_QUERY.sub(_stars, _IN_URL.sub(lambda found: _stars(found) if found["at"] else found[0], source))


def _stars(found: re.Match[str]) -> str:
    return found["name"] + "*" * len(found["secret"]) + found["at"]


def dotted(path: KeyPath) -> str:
    """Write a key path as people do: `hosts[0].uri`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
