"""Which schedds a pool should have: one whose ad has vanished from the collector is missed, not forgotten."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from environments.names import nearest, one_of
from environments.whole import written_whole
from scheduler.model.ports import SourceError, WrongNameError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from connectors.htcondor.messages import Located

_REMEMBER_SECONDS = 86400
_SAVE_SECONDS = 3600


class KnownSchedds:
    """The schedds seen within the last day, kept in a file: a restart must not make a missing one look like an empty queue."""

    def __init__(self, source: str, file: Path, configured: Sequence[str]) -> None:
        self._source = source
        self._file = file
        self._configured = tuple(configured)
        self._seen: dict[str, float] | None = None
        self._saved: dict[str, float] = {}

    def sort(self, located: Sequence[Located], at: float) -> tuple[list[Located], list[str]]:
        """Return the schedds to read, and the names of those that should be there and are not."""
        if self._configured:
            present = [schedd for schedd in located if schedd.name in self._configured]
            return present, [name for name in self._configured if all(name != schedd.name for schedd in present)]
        seen = self._load()
        for schedd in located:
            seen[schedd.name] = at
        self._seen = {name: when for name, when in seen.items() if at - when < _REMEMBER_SECONDS}
        self._save(at)
        names = {schedd.name for schedd in located}
        return list(located), sorted(name for name in self._seen if name not in names)

    def sort_named(self, located: Sequence[Located], at: float, name: str, asked: str) -> tuple[list[Located], list[str]]:
        """Return the same of the schedd that a job's name tells; all for ""."""
        present, missing = self.sort(located, at)
        known = [*(schedd.name for schedd in present), *missing]
        if name and name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else one_of(known) if known else "the collector knows none"
            raise WrongNameError(self._source, asked, f"no schedd is called {name!r}; {hint}")
        return [one for one in present if name in {"", one.name}], [one for one in missing if name in {"", one}]

    def knows(self, name: str) -> bool:
        """Whether a schedd was seen within the last day, or is one that should be there."""
        return name in (self._configured or self._load())

    def _load(self) -> dict[str, float]:
        if self._seen is None:
            try:
                content = json.loads(self._file.read_text())
                self._seen = {str(name): float(when) for name, when in content.items()}
            except FileNotFoundError:
                self._seen = {}
            except (OSError, ValueError, AttributeError, TypeError) as error:
                raise SourceError(self._source, f"read {self._file}", str(error)) from error
            self._saved = dict(self._seen)
        return self._seen

    def _save(self, at: float) -> None:
        assert self._seen is not None
        fresh = all(at - self._saved.get(name, 0.0) < _SAVE_SECONDS for name in self._seen)
        if fresh and self._saved.keys() == self._seen.keys():
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self._file) as file:
                file.write(json.dumps(self._seen).encode())
        except OSError as error:
            raise SourceError(self._source, f"write {self._file}", str(error)) from error
        self._saved = dict(self._seen)
