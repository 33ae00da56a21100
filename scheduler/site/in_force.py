"""What a running daemon goes by, kept in its state directory: a command finds it there while the files are wrong.

Rules:
1. The daemon writes it when it starts and whenever something else comes into force; it is as secret as the site file.
2. A lock that the kernel takes back from the dead says whether that daemon lives: what a dead one went by is not in force.
3. Where the directory is stands in the site file, so of a wrong one just this value is read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from environments.nodes import YamlNode
from environments.problems import ConfigurationError, Mark
from environments.reader import parse, read_content
from environments.whole import written_whole
from scheduler.model.policy import Policy
from scheduler.site.definitions import Definitions, with_discovered
from scheduler.site.discovered import list_path, remembered
from scheduler.site.settings import DaemonSettings, Site
from scheduler.site.site_file import SiteFile, expanded

FORMAT = 1
_POLICY = TypeAdapter(Policy)


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that lives on this machine, by its own word."""

    pid: int
    since: float


class Keeper:
    """Holds the lock, and writes what is in force when that changes."""

    def __init__(self, definitions: Definitions, running: Running, tell: Callable[[str], None]) -> None:
        """Prepare; `tell` is given what cannot be kept, once. `other` says who else is the daemon of this site file here."""
        self._directory = definitions.file.directory
        self._running = running
        self._tell = tell
        self._lock: int | None = None
        self._kept: tuple[Site, Policy] | None = None
        self._problem = ""
        self._told: set[str] = set()
        self.other: Running | None = None
        self(definitions)

    def __call__(self, definitions: Definitions) -> None:
        """Write what is in force now, unless another daemon of this very site file does so on this machine."""
        try:
            if not self._holds():
                return
            if self._kept is None or self._kept[0] is not definitions.site or self._kept[1] is not definitions.policy:
                self._write(definitions)
                self._kept = definitions.site, definitions.policy
        except OSError as error:
            problem = f"what is in force cannot be kept in {self._directory}: {error.strerror}"
            if problem != self._problem:
                self._tell(problem)
            self._problem = problem
        else:
            self._problem = ""

    def files(self, keep: Callable[[], None]) -> None:
        """Let the files beside the site file be kept as well, unless another daemon does so."""
        if self._lock is None:
            return
        try:
            keep()
        except OSError as error:
            self._tell_once(f"the files beside the site file cannot be kept in {self._directory}: {error.strerror}")

    def _tell_once(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            self._tell(problem)

    def close(self) -> None:
        """Let go: nothing is in force by this daemon any more."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _holds(self) -> bool:
        if self._lock is not None:
            return True
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(_lock_path(self._directory), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = _told(os.read(file, 1000))
            os.close(file)
            self.other = told if _lives(told.pid) else None  # else it is a command that looks who holds the lock
            return False
        os.ftruncate(file, 0)
        os.write(file, json.dumps({"pid": self._running.pid, "since": self._running.since}).encode())
        self._lock, self.other = file, None
        return True

    def _write(self, definitions: Definitions) -> None:
        data = {
            "format": FORMAT,
            "path": str(definitions.file.path.absolute()),
            "site": definitions.site.model_dump(mode="json", exclude_unset=True),
            "policy": _POLICY.dump_python(definitions.policy, mode="json"),
        }
        with written_whole(_path(self._directory), 0o600) as file:
            file.write(json.dumps(data).encode())


def recall(site: Path) -> Definitions | None:
    """Return what a running daemon of a site file goes by; None when there is none, or none that this user may ask."""
    directory = directory_of(site)
    if running(directory) is None:
        return None
    try:
        data = json.loads(_path(directory).read_bytes())
        if data["format"] != FORMAT or data["path"] != str(site.absolute()):
            return None
        settings = Site.model_validate(data["site"])
        policy = _POLICY.validate_python(data["policy"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
    node = _as_node(data["site"], Mark(str(site)))
    file = SiteFile(site, settings, node, expanded(settings, node, []))
    discovered = {one.name: remembered(list_path(directory, one.name)) for one in settings.discover}
    return Definitions(with_discovered(file, discovered), policy, {}, {}, {}, discovered)


def running(directory: Path) -> Running | None:
    """Return the daemon that lives on this machine and keeps its things in a directory."""
    try:
        file = os.open(_lock_path(directory), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _told(os.read(file, 1000))
    else:
        return None
    finally:
        os.close(file)


def directory_of(site: Path) -> Path:
    """Return where the daemon of a site file keeps its things, also when the file is wrong or no YAML."""
    try:
        content = read_content(site)
    except ConfigurationError:
        content = b""
    daemon = _part(content, "daemon")
    directory = daemon.items.get("directory") if daemon else None
    given = directory.value if directory and isinstance(directory.value, str) and "\0" not in directory.value else ""
    return site.parent / (given or DaemonSettings().directory)


def _part(content: bytes, key: str) -> YamlNode | None:
    """Return one member of a YAML mapping; of a file that is no YAML elsewhere its lines are read by themselves."""
    text = content.decode(errors="replace")
    for tried in (text, _lines_of(text, key)):
        try:
            return parse(tried, "").items.get(key)
        except ConfigurationError:
            continue
    return None


def _lines_of(text: str, key: str) -> str:
    """Return the lines of one member: up to the next one that begins without a space."""
    lines = text.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith(f"{key}:")), len(lines))
    below = range(begin + 1, len(lines))
    end = next((number for number in below if lines[number][:1].strip(" \t#")), len(lines))
    return "\n".join(lines[begin:end])


def _as_node(data: Any, mark: Mark) -> YamlNode:
    if isinstance(data, dict):
        return YamlNode({key: _as_node(value, mark) for key, value in data.items()}, mark)
    if isinstance(data, list):
        return YamlNode(tuple(_as_node(value, mark) for value in data), mark)
    return YamlNode(data, mark, raw=str(data))


def _told(content: bytes) -> Running:
    try:
        data = json.loads(content)
        return Running(int(data["pid"]), float(data["since"]))
    except (ValueError, KeyError, TypeError):  # it has the lock, and is about to write this
        return Running(0, 0.0)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _path(directory: Path) -> Path:
    return directory / "in-force.json"


def _lock_path(directory: Path) -> Path:
    return directory / "daemon.lock"
