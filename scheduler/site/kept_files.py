"""The files beside the site file - services, objectives, on call - as they were when they were last right.

The running daemon keeps them in its state directory; while they are wrong, a command answers by these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from environments.names import can_be_read
from environments.problems import ConfigurationError
from environments.reader import read, read_content
from environments.whole import written_whole
from scheduler.oncall import reading as oncall
from scheduler.site import services
from scheduler.site.definitions import Definitions, Stamp, stamp_of
from scheduler.site.in_force import running

if TYPE_CHECKING:
    from scheduler.model.instants import Instant
    from scheduler.oncall.reading import OnCallFile

SERVICES, ONCALL, OBJECTIVES = "services.yaml", "oncall.yaml", "objectives"


@dataclass(slots=True)
class KeptFiles:
    """Keeps what is right, when it has changed; called beside the cycle, for it reads files."""

    _stamps: dict[Path, Stamp] = field(default_factory=dict)
    _done: dict[str, object] = field(default_factory=dict)

    def __call__(self, definitions: Definitions, now: Instant) -> None:
        """Look at the files, and keep those that are right. An OSError says that nothing can be kept: it is tried again."""
        file = definitions.file
        reported = (self._stamps_of((*_objectives(definitions), file.services)), services.own_objects(definitions))
        if self._done.get(SERVICES) != reported:
            if _right(lambda: services.load_promises(definitions, services.load(definitions).names, now)):
                named = {str(path.relative_to(file.objectives.parent)): path for path in _objectives(definitions)}
                _write(_directory(definitions), {**named, SERVICES: file.services}, (SERVICES, f"{OBJECTIVES}/"))
            self._done[SERVICES] = reported
        paged = self._stamps_of((file.oncall,))
        if self._done.get(ONCALL) != paged:
            if _right(lambda: can_be_read(file.oncall) and oncall.load(file.oncall)):
                _write(_directory(definitions), {ONCALL: file.oncall}, (ONCALL,))
            self._done[ONCALL] = paged

    def _stamps_of(self, paths: tuple[Path, ...]) -> dict[Path, Stamp]:
        """Return what tells this state of some files from another."""
        stamps = {path: stamp_of(path, self._stamps.get(path)) for path in paths}
        self._stamps |= stamps
        return stamps


def _right(load: Callable[[], object]) -> bool:
    """Whether files are right; what is wrong in them is told by whoever goes by them."""
    try:
        load()
    except ConfigurationError:
        return False
    return True


def kept(definitions: Definitions) -> Definitions | None:
    """Return definitions whose files beside the site file are those that a running daemon keeps; None without one."""
    directory = _directory(definitions)
    if running(definitions.file.directory) is None or not directory.is_dir():
        return None
    return replace(definitions, file=replace(definitions.file, kept=directory))


def kept_oncall(directory: Path, path: Path) -> OnCallFile | None:
    """Return the on-call file as the daemon of a state directory keeps it; what it names stands beside `path`."""
    copy = directory / "kept" / ONCALL
    if running(directory) is None or not copy.is_file():
        return None
    try:
        return oncall.understood(read(copy), path, [])
    except ConfigurationError:
        return None


def _objectives(definitions: Definitions) -> tuple[Path, ...]:
    found = (path for pattern in ("*.yaml", "*.yml") for path in definitions.file.objectives.rglob(pattern))
    return tuple(sorted(path for path in found if can_be_read(path)))


def _directory(definitions: Definitions) -> Path:
    return definitions.file.directory / "kept"


def _write(directory: Path, files: Mapping[str, Path], begins: tuple[str, ...]) -> None:
    """Write copies, as secret as the site file; what is no longer there (of those whose names begin so) is removed."""
    contents = {name: read_content(path) for name, path in files.items() if can_be_read(path)}
    for name, content in contents.items():
        place = directory / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_whole(place, 0o600) as file:
            file.write(content)
    for place in [path for path in directory.rglob("*") if path.is_file()]:
        name = str(place.relative_to(directory))
        if name.startswith(begins) and name not in contents:
            place.unlink(missing_ok=True)
