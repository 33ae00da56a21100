"""The definitions a command goes by: the files, or, while these are wrong, what the running daemon goes by."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from environments.problems import ConfigurationError
from scheduler.commands.common import find_site, plural, say

if TYPE_CHECKING:
    from pathlib import Path

    from scheduler.site.definitions import Definitions

_TOLD = ContextVar("problems_told", default=False)
"""Each command runs in a context of its own."""


def load(site: Path | None) -> Definitions:
    """Read the files of a site; while some are wrong and a daemon runs, return what that one goes by, with a word about it."""
    from scheduler.site import definitions, in_force

    where = find_site(site)
    try:
        return definitions.load(where)
    except ConfigurationError as error:
        known = in_force.recall(where)
        if known is None:
            raise
        tell_problems(error)
        return known


def tell_problems(error: ConfigurationError) -> None:
    """Say above an answer, once, that the files are wrong, so that it goes by what the daemon goes by."""
    if problems_told():
        return
    _TOLD.set(True)
    wrong = plural(len(error.problems), "problem")
    say(f"{wrong} in the files (`ambienti check`): below is what the daemon goes by meanwhile", error=True, style="yellow")
    say(f"  {error.problems[0]}", error=True, style="yellow")


def problems_told() -> bool:
    """Whether this command has said already that the files are wrong."""
    return _TOLD.get()
