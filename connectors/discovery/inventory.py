"""Hosts named by an inventory file that the site's own tools write: YAML, or one host a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from environments.checking import checked
from environments.environment import Frozen
from environments.hostnames import MAXIMUM_HOSTS, checked_hosts, expand_hosts
from environments.problems import ConfigurationError, Mark, Problem, problem_at
from environments.reader import parse, read_content
from environments.text import OneLine
from scheduler.model.ports import FoundHost, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

YAML = (".yaml", ".yml")
Hosts = Annotated[str, AfterValidator(checked_hosts)]
Port = Annotated[int, Field(gt=0, le=65535)]


class FileOptions(Frozen):
    """An inventory file."""

    path: OneLine
    """Relative to the site file. `*.yaml`: a mapping with `hosts`; anything else: one host a line, `xen01 rack=a`."""


class InventoryHost(Frozen):
    """One host of an inventory, or a range of them."""

    name: Hosts
    """`xen1`, or a range `node[001-300]`."""
    labels: dict[OneLine, OneLine] = {}
    """What environments can ask for."""
    port: Port | None = None
    """What `{port}` stands for in the URI."""


def _bare_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class InventoryFile(Frozen):
    """A YAML inventory."""

    hosts: tuple[Annotated[InventoryHost, BeforeValidator(_bare_name)], ...]
    """Names, or mappings with `name`, `labels` and `port`."""


class Inventory:
    """An inventory file, read afresh each time."""

    def __init__(self, name: str, path: Path) -> None:
        """Prepare."""
        self.name = name
        self.asks = f"file {path}"
        self._path = path

    def read(self) -> tuple[FoundHost, ...]:
        """Return the hosts; a file with anything wrong in it (it may be half written) is no answer, and says where."""
        try:
            content = read_content(self._path)
        except ConfigurationError as error:
            (problem,) = error.problems
            hint = f"; did you mean {problem.nearest}?" if problem.nearest else ""
            raise SourceError(self.name, self.asks, f"{problem.message}{hint}") from error
        problems: list[Problem] = []
        try:
            in_yaml = self._path.suffix in YAML
            read = _of_yaml(content, str(self._path), problems) if in_yaml else _of_lines(content, self._path, problems)
            hosts = tuple(_each_once(read, problems))
        except ConfigurationError as error:
            hosts, problems = (), list(error.problems)
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise SourceError(self.name, self.asks, f"{problems[0]}{more}")
        return hosts

    def close(self) -> None:
        """Nothing is held open."""


def connect(name: str, options: Mapping[str, object], *, base: Path, deadline_seconds: float) -> Inventory:  # noqa: ARG001 - a file answers
    """Make the discovery; raises pydantic's ValidationError when `options` are wrong."""
    return Inventory(name, base / FileOptions.model_validate(options).path)


def _each_once(read: Iterable[tuple[InventoryHost, Mark]], problems: list[Problem]) -> Iterator[FoundHost]:
    """Expand ranges. A host may stand there twice if both times the same is said of it, and its name is written alike."""
    seen: dict[str, tuple[FoundHost, int]] = {}
    for host, mark in read:
        names = expand_hosts(host.name)
        if len(seen) + len(names) > MAXIMUM_HOSTS:
            problems.append(problem_at(mark, "", "there are too many hosts", f"at most {MAXIMUM_HOSTS} in all"))
            return
        for name in names:
            found = FoundHost(name, host.labels, host.port)
            first, line = seen.setdefault(name.lower(), (found, mark.line))
            if first is found:
                yield found
            elif first != found:
                also = "with another label or port" if first.name == name else f"as {first.name} (names of hosts have no case)"
                problems.append(problem_at(mark, "", f"{name} is named twice: first in line {line}, {also}", "each host once"))
                break


def _of_yaml(content: bytes, file: str, problems: list[Problem]) -> Iterator[tuple[InventoryHost, Mark]]:
    node = parse(content, file)
    found = checked(InventoryFile, node, problems)
    for index, host in enumerate(found.hosts if found else ()):
        yield host, node.walk(("hosts", index))[0].mark


def _of_lines(content: bytes, path: Path, problems: list[Problem]) -> Iterator[tuple[InventoryHost, Mark]]:
    """Read `xen01 rack=a port=16509`; what follows a # is a comment."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(Problem(str(path), content[: error.start].count(b"\n") + 1, 1, "", "is not UTF-8"))
        return
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        labels = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        port = labels.pop("port", None)
        wrong = next((word for word in words[1:] if "=" not in word), None)
        if wrong is None:
            try:
                host = InventoryHost(name=words[0], labels=labels, port=None if port is None else int(port))
                yield host, Mark(str(path), number, line.index(words[0]) + 1, line, len(words[0]))
                continue
            except ValueError:
                wrong = words[0] if port is None or port.isdigit() else f"port={port}"
        mark = Mark(str(path), number, line.index(wrong) + 1, line, len(wrong))
        problems.append(
            problem_at(mark, "", f"{wrong!r} is not accepted", "a host or a range, then label=value: xen[01-10] rack=a")
        )
