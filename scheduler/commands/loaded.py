"""The definitions a command goes by: the files, or, while these are wrong, what the running daemon goes by."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from environments.problems import ConfigurationError
from scheduler.commands.common import find_site, plural, say

if TYPE_CHECKING:
    from scheduler.oncall.reading import OnCallFile
    from scheduler.site.definitions import Definitions

T = TypeVar("T")

_TOLD = ContextVar("problems_told", default=False)
"""Each command runs in a context of its own."""
_NO_JOURNAL_TOLD = ContextVar("no_journal_told", default=False)


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


def answered(found: Definitions, ask: Callable[[Definitions], T]) -> T:
    """Ask by the files beside the site file; while some are wrong and a daemon runs, by those that it keeps, and say so."""
    from scheduler.site.kept_files import kept

    try:
        return ask(found)
    except ConfigurationError as error:
        known = kept(found)
        if known is None:
            raise
        try:
            answer = ask(known)
        except ConfigurationError:
            raise error from None
        tell_problems(error)
        return answer


def load_oncall(path: Path, directory: Path) -> OnCallFile:
    """Read the on-call file of a site; while it is wrong and a daemon runs, return the one that it keeps, with a word about it.

    `directory`: where the daemon of the site keeps its things.
    """
    from scheduler.oncall import reading as oncall
    from scheduler.site.kept_files import kept_oncall

    try:
        return oncall.load(path)
    except ConfigurationError as error:
        known = kept_oncall(directory, path)
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


def tell_no_journal(where: str) -> None:
    """Say above an answer, once, that the site has no journal yet: that it knows of nothing does not mean that nothing was."""
    if not _NO_JOURNAL_TOLD.get():
        _NO_JOURNAL_TOLD.set(True)
        text = f"there is no journal {where} yet (`daemon.journal`): the daemon makes it, and nothing is known before"
        say(text, error=True, style="yellow")


def problems_told() -> bool:
    """Whether this command has said already that the files are wrong."""
    return _TOLD.get()
