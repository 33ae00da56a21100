"""The door to YAML: every value knows its file, line and column, and every error says what to write instead."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import yaml

from environments.garbage import uncollected
from environments.names import is_plain_file, nearest_file
from environments.nodes import Plain, YamlNode
from environments.problems import ConfigurationError, KeyPath, Mark, Problem, dotted, problem_at

if TYPE_CHECKING:
    from pathlib import Path

MAXIMUM_DEPTH = 40
MAXIMUM_NODES = 200_000
MOST_BYTES = 16 * 2**20
"""Of a file of definitions. One of 20,000 hosts has some five."""
MOST_GIVEN_BYTES = 4 * 2**30
"""Of a file that somebody names in a command: a history of years."""
MOST_VALUES = 500_000
"""In a file of definitions: each takes a kilobyte while it is checked."""
MOST_GIVEN_VALUES = 20_000_000
MOST_LINKS = 40
"""One after another; as the kernel has it."""
LONGEST_NUMBER = 100
"""Characters; what is longer is a text, not a number."""


def read(path: Path) -> YamlNode:
    """Read one YAML file whose top is a mapping; whatever is wrong with it is a ConfigurationError."""
    return parse(read_content(path), str(path))


def read_content(path: Path, *, given: bool = False) -> bytes:
    """Return what a file holds; a ConfigurationError says why it cannot be read, and which file was perhaps meant.

    `given`: somebody named it in a command, so it may be large, and a pipe. Whatever the daemon reads is neither: a pipe may be
    waited for without end, a device may never end.
    """
    try:
        with _opened(path, pipes=given) as file:
            most = MOST_GIVEN_BYTES if given else MOST_BYTES
            content = file.read(most + 1)
    except OSError as error:
        near = nearest_file(path) if isinstance(error, FileNotFoundError) else ""
        message = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ConfigurationError([Problem(str(path), 0, 0, "", message, nearest=near)]) from error
    if len(content) > most:
        raise ConfigurationError([Problem(str(path), 0, 0, "", "is too large", f"at most {most // 2**20} MiB")])
    return content


@contextmanager
def _opened(path: Path, *, pipes: bool) -> Iterator[BinaryIO]:
    """Open a plain file; what is none is not even opened, unless it is a pipe that may be."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    wanted = stat.S_ISREG(mode) or (pipes and (stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and path.samefile("/dev/stdin"))))
    if not wanted:
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, not a plain file")
    # It may have been replaced since: then opening it must not wait either.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if pipes else _plain(path)
    with os.fdopen(descriptor, "rb") as file:
        if not pipes and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file")
        yield file


def _plain(path: Path) -> int:
    """Open a file without waiting, through no link that leads its maker to another's file: the daemon may read more."""
    makers = set[int]()
    for _ in range(MOST_LINKS):
        if not path.is_symlink():
            break
        makers.add(path.lstat().st_uid)
        path = path.parent / path.readlink()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if makers - {0, os.geteuid(), os.fstat(descriptor).st_uid}:
        os.close(descriptor)
        raise OSError(errno.EPERM, "it is a link to a file of another owner than the link's")
    return descriptor


_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


@contextmanager
def opened_content(path: Path) -> Iterator[BinaryIO]:
    """Open a file that somebody named in a command, to read it piece by piece: it may be larger than one wants to hold."""
    if not is_plain_file(path):  # a pipe can be read once
        yield BytesIO(read_content(path, given=True))
        return
    with path.open("rb") as file:
        yield file


def parse(content: bytes | str, file: str, *, given: bool = False) -> YamlNode:
    """Turn the text of a YAML file, one mapping, into nodes; `given` as in `read_content`."""
    (node,) = _built(content, file, several=False, most=MOST_GIVEN_VALUES if given else MOST_VALUES)
    if not isinstance(node.value, Mapping):
        kind = "a list" if isinstance(node.value, tuple) else "a single value"
        raise ConfigurationError([problem_at(node.mark, "", f"is {kind}", "a mapping (`key: value` lines)")])
    return node


def documents(
    content: bytes | str, file: str, *, given: bool = False, repeated: list[Problem] | None = None
) -> tuple[YamlNode, ...]:
    """Turn the text of a YAML file into nodes, whatever stands in it: one for each document (`---` parts them).

    With `repeated` a key that stands in a mapping twice is put there and no error: the last one holds, as for most readers.
    """
    return _built(content, file, several=True, most=MOST_GIVEN_VALUES if given else MOST_VALUES, repeated=repeated)


@uncollected()
def _built(
    content: bytes | str, file: str, *, several: bool, most: int, repeated: list[Problem] | None = None
) -> tuple[YamlNode, ...]:
    text = content if isinstance(content, str) else _decoded(content, file)
    lines = _LINE_BREAK.split(text)
    if not text.strip().strip("\ufeff"):
        raise ConfigurationError([Problem(file, 1, 1, "", "the file is empty", "a mapping (`key: value` lines)")])
    try:
        composed = _composed(text, several=several, most=most)
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError([_syntax(error, file, lines)]) from error
    except yaml.reader.ReaderError as error:
        before = _LINE_BREAK.split(text[: error.position])
        mark = _mark(file, lines, len(before) - 1, len(before[-1]))
        code = error.character if isinstance(error.character, int) else ord(error.character[:1])
        message = f"the character U+{code:04X} is not allowed in YAML"
        raise ConfigurationError([problem_at(mark, "", message, "printable text in UTF-8")]) from error
    except _TooManyError as error:
        raise ConfigurationError([Problem(file, 1, 1, "", "holds too many values", f"at most {most}")]) from error
    except RecursionError as error:
        raise ConfigurationError(
            [Problem(file, 1, 1, "", "is nested too deeply", f"at most {MAXIMUM_DEPTH} levels")]
        ) from error
    roots = [root for root in composed if root is not None]
    if not roots:
        raise ConfigurationError([Problem(file, 1, 1, "", "the file holds comments only", "a mapping (`key: value` lines)")])
    builder = _Builder(file, lines, repeated)
    nodes = tuple(builder.build(root, (), 0) for root in roots)
    if builder.problems:
        raise ConfigurationError(builder.problems)
    return nodes


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        message = "looks like UTF-16" if utf16 else f"byte 0x{content[error.start]:02x} is not UTF-8 (Latin-1 text?)"
        problem = Problem(file, line, column, "", message, "UTF-8; convert it with `iconv -f ... -t UTF-8`")
        raise ConfigurationError([problem]) from error


class _Loader(yaml.SafeLoader):
    """Dates stay text: a version written 2024-11-05 is a version."""


class _FastLoader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """The same, by libyaml."""


_Loader.yaml_implicit_resolvers = _FastLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_LARGE = 50_000


class _TooManyError(Exception):
    """A text holds more values than one wants to hold."""


def _composed(text: str, *, several: bool, most: int) -> list[yaml.Node | None]:
    """Compose the nodes of a text; libyaml does the large ones, and what it refuses is read again for a better sentence."""
    if len(text) > _LARGE and yaml.__with_libyaml__:
        with contextlib.suppress(yaml.YAMLError):
            _refuse_size(text, most)
            return _all(text, _FastLoader) if several else [yaml.compose(text, Loader=_FastLoader)]
    return _all(text, _Loader) if several else [yaml.compose(text, Loader=_Loader)]


def _refuse_size(text: str, most: int) -> None:
    """Raise a RecursionError where libyaml, which nests without a limit, would overrun its stack; count the values."""
    depth = count = 0
    for event in yaml.parse(text, Loader=_FastLoader):
        count += isinstance(event, yaml.NodeEvent)
        if count > most:
            raise _TooManyError
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAXIMUM_DEPTH:
            raise RecursionError


def _all(text: str, loader: type[_Loader | _FastLoader]) -> list[yaml.Node | None]:
    return list(yaml.compose_all(text, Loader=loader))


_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What YAML counts as the end of a line."""
_TAG = "tag:yaml.org,2002:"
_SYNTAX = {
    "cannot start any token": "a tab or a reserved character stands here; indent with spaces, put special text in quotes",
    "mapping values are not allowed": "a colon does not fit here: check the indentation, or put text that holds `: ` in quotes",
    "expected <block end>": "the indentation does not fit the lines above",
    "could not find expected ':'": "a key without its colon, or text that lacks its indentation",
    "undefined alias": "this alias (*name) has no anchor (&name) before it",
    "expected the node content": "a value is missing before this character, or text that begins with it needs quotes",
    "a single document": "a second document (---) begins here; one file holds one document",
}
_UNCLOSED = {
    "expected ',' or '}'": "this brace is not closed, or a comma is missing in it",
    "expected ',' or ']'": "this bracket is not closed, or a comma is missing in it",
    "found unexpected end of stream": "this quote is not closed",
}
"""What is shown where it begins, not where YAML gave up."""


def _syntax(error: yaml.MarkedYAMLError, file: str, lines: list[str]) -> Problem:
    unclosed = next((ours for theirs, ours in _UNCLOSED.items() if theirs in str(error.problem)), "")
    place = (error.context_mark if unclosed else error.problem_mark) or error.problem_mark
    mark = _mark(file, lines, place.line, place.column) if place else Mark(file)
    said = f"{error.context or ''} {error.problem or ''}".strip()
    words = unclosed or next((ours for theirs, ours in _SYNTAX.items() if theirs in said), said)
    return problem_at(mark, "", f"is not YAML: {words}")


def _mark(file: str, lines: list[str], line: int, column: int, width: int = 1) -> Mark:
    if line >= len(lines):  # the end of the file: show the last line that says something
        line = max(i for i, text in enumerate([*lines, "."]) if i < len(lines) and (text.strip() or i == 0))
        column = len(lines[line])
    return Mark(file, line + 1, column + 1, lines[line].rstrip("\r"), max(1, width))


class _Builder:
    """Turns composed YAML nodes into ours and gathers what is wrong with them."""

    def __init__(self, file: str, lines: list[str], repeated: list[Problem] | None = None) -> None:
        self.file = file
        self.lines = lines
        self.problems: list[Problem] = []
        self.repeated = repeated
        self.count = 0
        self.above: list[int] = []  # the nodes that are being built, from the top down
        self.most = max(MAXIMUM_NODES, sum(map(len, lines)))  # each value takes a character, unless an alias repeats it

    def mark(self, node: yaml.Node) -> Mark:
        one_line = node.end_mark.line == node.start_mark.line
        width = node.end_mark.column - node.start_mark.column if one_line else 1
        return _mark(self.file, self.lines, node.start_mark.line, node.start_mark.column, width)

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> YamlNode:
        """Build one node and all below it (an alias is followed, a bomb of them is refused)."""
        mark = self.mark(node)
        if id(node) in self.above:
            raise ConfigurationError([*self.problems, problem_at(mark, dotted(path), "contains itself, through an alias")])
        self.count += 1
        if depth > MAXIMUM_DEPTH or self.count > self.most:
            message = "is nested too deeply" if depth > MAXIMUM_DEPTH else "grows beyond all measure through aliases"
            raise ConfigurationError([*self.problems, problem_at(mark, dotted(path), message)])
        if isinstance(node, yaml.ScalarNode):
            return YamlNode(self.scalar(node, path), mark, raw=node.value)
        self.above.append(id(node))
        if isinstance(node, yaml.MappingNode):
            built: Mapping[str, YamlNode] | tuple[YamlNode, ...] = self.mapping(node, path, depth)
        else:
            built = tuple(self.build(n, (*path, i), depth + 1) for i, n in enumerate(node.value))
        self.above.pop()
        return YamlNode(built, mark)

    def mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> Mapping[str, YamlNode]:
        """Build a mapping: keys are text as written, twice the same is refused, `<<` brings in what is not there."""
        built: dict[str, YamlNode] = {}
        inherited: dict[str, YamlNode] = {}
        for key_node, value_node in node.value:
            key_mark = self.mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(problem_at(key_mark, dotted(path), "a key is a list or a mapping", "a name"))
                continue
            key = key_node.value
            if key_node.tag == f"{_TAG}merge":
                for part in self.merge_parts(value_node, path, depth):
                    for name, node_of_part in part.items():
                        inherited.setdefault(name, node_of_part)
                continue
            value = replace(self.build(value_node, (*path, key), depth + 1), key_mark=key_mark)
            if key in built:
                first = built[key].key_place.line
                message = f"stands here twice: first in line {first}"
                problem = problem_at(key_mark, dotted((*path, key)), message, "each key once")
                if self.repeated is None:
                    self.problems.append(problem)
                    continue
                self.repeated.append(problem)
            built[key] = value
        return {**inherited, **built}

    def merge_parts(self, node: yaml.Node, path: KeyPath, depth: int) -> Iterator[Mapping[str, YamlNode]]:
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(part, yaml.MappingNode):
                yield self.build(part, path, depth + 1).items
            else:
                self.problems.append(
                    problem_at(self.mark(part), dotted((*path, "<<")), "cannot be merged", "an alias of a mapping")
                )

    def scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Plain:
        """Read a scalar by YAML's rules; what looks like a number and is none stays text."""
        kind = node.tag.removeprefix(_TAG)
        if kind not in {"str", "int", "float", "bool", "null", "merge", "value"}:
            message = f"the tag {node.tag.replace(_TAG, '!!')} is not used here"
            self.problems.append(problem_at(self.mark(node), dotted(path), message, "a plain value"))
            return None
        if kind in {"str", "merge", "value"}:
            return str(node.value)
        if kind in {"int", "float"} and len(node.value) > LONGEST_NUMBER:
            return str(node.value)
        try:
            value: Plain = yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, KeyError, IndexError, OverflowError):
            return str(node.value)
        return value
