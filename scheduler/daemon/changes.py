"""States in the log: one line when something goes wrong, one when it is right again, none for every look in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Changes:
    """Remembers what is wrong, by name; another problem under the same name is a new line."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._wrong: dict[str, str] = {}

    def wrong(self, what: str, problem: str, **further: Any) -> None:
        """Tell that something goes wrong, unless that was told and nothing has changed."""
        if self._wrong.get(what) != problem:
            self._wrong[what] = problem
            self._log.error(what, problem=problem, **further)

    def right(self, what: str) -> None:
        """Tell that it goes well again, if it did not."""
        if (problem := self._wrong.pop(what, None)) is not None:
            self._log.info(f"{what}: all is well again", was=problem)
