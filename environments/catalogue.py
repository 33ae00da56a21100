"""From the YAML file of each VO to the catalogue: includes, inheritance, and the names that must agree across files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from environments import addresses
from environments.checking import checked
from environments.environment import VO, Environment, Frozen, Name, Virtualization, VOName
from environments.matching import Catalogue
from environments.names import can_be_read, nearest, nearest_file, one_of, some
from environments.nodes import YamlNode, merged, without
from environments.problems import ConfigurationError, KeyPath, Problem, problem_at
from environments.reader import read
from environments.roots import is_below
from environments.soundness import faults
from environments.text import OneLine, unprintable

MOST_FILES = 100
"""Of one VO, with all that they include."""
MOST_DEFINITIONS = 1000
"""Of one VO. To find the nearest names takes the square of it."""
MOST_VALUES = 2000
"""Of one definition, with what it extends."""
NOT_INHERITED = ("extends", "abstract", "default", "name", "vo")


class Definition(Environment):
    """An environment as it is written: what it extends may supply any of the fields."""

    name: Name = "name"
    """Only in a list of environments; in a mapping the key is the name."""
    vo: VOName = "vo"
    """The VO of the file; need not be repeated."""
    virtualization: Virtualization = Virtualization.XEN_PV
    """xen-pv, xen-pvh, xen-hvm, qemu, kvm or lxc; required, here or in what this extends."""
    extends: Name | None = None
    """Another definition of this file, or of an included one, that this one overrides key by key."""
    abstract: bool = False
    """A template only: others extend it, no worker is booted from it."""


class VOFile(Frozen):
    """The environments of one VO."""

    vo: VOName | None = None
    """The VO that owns these environments; an included file of templates has none."""
    include: tuple[OneLine, ...] = ()
    """Files with more definitions, relative to this file, below the directory of the VO's or of the site file.

    Those of a file that names another VO can be extended only.
    """
    environments: dict[Name, Definition] = {}
    """The definitions by name."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A checked environment and the lines it was made of."""

    environment: Environment
    node: YamlNode
    sound: bool = True
    """Whether its fields fit each other."""


@dataclass(frozen=True, slots=True)
class VODefinitions:
    """All that the file of one VO (and what it includes) says, or what is wrong with it."""

    vo: str
    environments: Mapping[str, Owned] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    """Every file looked at, also those that could not be read: a change of one of them is a change of this VO."""
    problems: tuple[Problem, ...] = ()
    whole: bool = True
    """Whether all that is written there is among `environments`, be it with problems."""


def load_vo(path: Path, vo: str, site: Path | None = None) -> VODefinitions:
    """Read the file of one VO and check all that can be checked without the other VOs.

    What it includes lies below its own directory or that of the `site` file: the daemon can read more than a VO manager may.
    """
    scope = _Scope(vo, tuple(os.path.realpath(one.parent) for one in (path, site) if one is not None))
    scope.gather(path, ())
    resolved = {name: scope.resolve(name) for name in scope.definitions}
    owned: dict[str, Owned] = {}
    told = {(one.file, one.line, one.column) for one in scope.problems}
    found: list[Problem] = []
    whole = True
    for name, definition in scope.definitions.items():
        node = resolved[name]
        if definition.abstract or definition.vo != vo:
            continue
        if node is not None:
            environment = checked(Environment, _named(node, name, vo), found, ("environments", name), onward=True)
            if environment is not None:
                wrong = tuple(faults(environment, node))
                found += wrong
                owned[name] = Owned(environment, node, sound=not wrong)
        whole = whole and name in owned
    found += _defaults(owned)
    scope.problems += [one for one in found if (one.file, one.line, one.column) not in told]
    return VODefinitions(vo, owned, tuple(scope.files), tuple(scope.problems), whole=whole and scope.read)


def join(definitions: Iterable[VODefinitions], vos: Mapping[str, VO]) -> tuple[Catalogue, list[Problem]]:
    """Join the definitions of all VOs; the problems are those between them."""
    together: dict[str, Owned] = {}
    problems: list[Problem] = []
    for one in definitions:
        for name, owned in one.environments.items():
            if name in together:
                problems.append(_twice(name, owned.node, together[name].node, elsewhere=True))
            else:
                together[name] = owned
    for owned in together.values():
        problems += _sharing(owned, vos)
    problems += _overlaps(together.values())
    return Catalogue({name: owned.environment for name, owned in together.items()}, vos), problems


def _sharing(owned: Owned, vos: Mapping[str, VO]) -> Iterator[Problem]:
    for index, vo in enumerate(owned.environment.shared_with):
        if vo not in vos:
            path = ("shared_with", index)
            expected = f"one of the site's VOs: {some(vos)}"
            yield _fault(owned, path, f"no VO is called {vo!r}", expected, nearest(vo, vos))


def _overlaps(environments: Iterable[Owned]) -> Iterator[Problem]:
    """Find static addresses that two environments would give away, and more than a farm can be thought to have."""
    told = [(one, text) for one in environments if one.sound and (text := one.environment.network.addresses)]
    ranges = [(addresses.read(text), place, one) for place, (one, text) in enumerate(told)]
    reaching: tuple[addresses.Range, int, Owned] | None = None
    for each in sorted(ranges, key=lambda one: one[0].begin):
        if reaching is not None and reaching[0].overlaps(each[0]):
            first, second = sorted((reaching, each), key=lambda one: one[1])
            message = f"{each[0].first} is also in the range of {first[2].environment.name}"
            yield _fault(second[2], ("network", "addresses"), message, "a range of its own")
        if reaching is None or each[0].end > reaching[0].end:
            reaching = each
    count = 0
    for one, _, owned in ranges:
        count += len(one)
        if count > addresses.MOST_TOGETHER:
            message = "the ranges of all environments hold too many addresses together"
            yield _fault(owned, ("network", "addresses"), message, f"at most {addresses.MOST_TOGETHER}")
            break


def _fault(owned: Owned, path: KeyPath, message: str, expected: str = "", nearest: str = "") -> Problem:
    problem = owned.node.problem(path, message, expected, nearest)
    return replace(problem, key=f"environments.{owned.environment.name}.{problem.key}")


def _named(node: YamlNode, name: str, vo: str) -> YamlNode:
    mark = node.key_place
    return replace(node, value={**node.items, "name": YamlNode(name, mark), "vo": YamlNode(vo, mark)})


def _defaults(owned: Mapping[str, Owned]) -> Iterator[Problem]:
    first = ""
    for name, one in owned.items():
        if one.environment.default and first:
            message = f"a VO has one default, and {first} is it already"
            yield _fault(one, ("default",), message, "default: true in at most one environment of a VO")
        elif one.environment.default:
            first = name


def _twice(name: str, second: YamlNode, first: YamlNode, *, elsewhere: bool) -> Problem:
    there = first.key_place
    message = f"this name is defined twice: first in {there.file}:{there.line}"
    expected = "names that are unique in the farm" if elsewhere else "each name once in a file and what it includes"
    if (second.key_place.file, second.key_place.line) == (there.file, there.line):
        message = "two VOs include this environment"
        expected = "`abstract: true` here, or `shared_with` in the file of one VO"
    return problem_at(second.key_place, f"environments.{name}", message, expected)


# --- one file and what it includes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Written:
    """One definition as it stands in a file."""

    node: YamlNode
    vo: str
    abstract: bool


class _Scope:
    """The definitions one VO's file can see, while they are gathered."""

    def __init__(self, vo: str, roots: tuple[str, ...]) -> None:
        self.vo = vo
        self.roots = roots
        self.definitions: dict[str, _Written] = {}
        self.files: list[Path] = []
        self.problems: list[Problem] = []
        self.read = True
        """Whether every file could be read."""
        self._resolved: dict[str, YamlNode | None] = {}

    def gather(self, path: Path, trail: tuple[Path, ...]) -> None:
        """Read a file and all that it includes, each once."""
        if path in self.files:
            return
        self.files.append(path)
        try:
            node = _by_name(read(path), self.problems)
        except ConfigurationError as error:
            self.problems += error.problems
            self.read = False
            return
        environments = node.items.get("environments")
        if environments is not None and len(self.definitions) + len(environments.items) > MOST_DEFINITIONS:
            message = f"a VO has more than {MOST_DEFINITIONS} definitions"
            self.problems.append(problem_at(environments.key_place, "environments", message, "fewer of them"))
            self.read = False
            return
        checked(VOFile, _without_nulls(node), self.problems)
        written = node.items.get("vo")
        if not trail and written is None:
            self.problems.append(node.problem(("vo",), "is missing", f"vo: {self.vo}"))
        elif not trail and written is not None and str(written.value).lower() != self.vo:
            message = f"this is the file of VO {self.vo!r} in the site file"
            self.problems.append(problem_at(written.mark, "vo", message, f"vo: {self.vo}"))
        self._add(node, str(written.value).lower() if trail and written is not None else self.vo)
        include = node.items.get("include")
        for index, name in enumerate(include.elements if include else ()):
            if len(self.files) >= MOST_FILES:
                message = f"a VO's files include more than {MOST_FILES} files"
                self.problems.append(problem_at(name.mark, f"include[{index}]", message, "fewer, larger files"))
                return
            if isinstance(name.value, str) and not unprintable(name.value):
                self._include(name, index, path.parent / name.value, (*trail, path))

    def _include(self, name: YamlNode, index: int, path: Path, trail: tuple[Path, ...]) -> None:
        place = name.mark
        cycle = next((i for i, earlier in enumerate(trail) if _same(earlier, path)), None)
        if cycle is not None:
            shown = " -> ".join(p.name for p in (*trail[cycle:], path))
            self.problems.append(problem_at(place, f"include[{index}]", f"the files include each other in a circle: {shown}"))
            return
        if not any(is_below(os.path.realpath(path), root) for root in self.roots):
            expected = "a file below the directory of this VO's file, or of the site file"
            self.problems.append(problem_at(place, f"include[{index}]", f"{path} lies elsewhere: it is not read", expected))
            return
        if not can_be_read(path):
            near = nearest_file(path)
            message = f"there is no file {path}"
            self.problems.append(problem_at(place, f"include[{index}]", message, "a file relative to this one", near))
            self.files.append(path)
            self.read = False
            return
        self.gather(path, trail)

    def _add(self, node: YamlNode, vo: str) -> None:
        environments = node.items.get("environments")
        for name, definition in environments.items.items() if environments else ():
            first = self.definitions.get(name)
            abstract = definition.items.get("abstract")
            if first is not None:
                self.problems.append(_twice(name, definition, first.node, elsewhere=False))
            elif isinstance(definition.value, Mapping):
                self._agrees(name, definition, vo)
                self.definitions[name] = _Written(definition, vo, abstract is not None and abstract.value is True)

    def _agrees(self, name: str, definition: YamlNode, vo: str) -> None:
        """Refuse a definition that repeats its name or its VO and contradicts."""
        for key, right in (("name", name), ("vo", vo)):
            written = definition.items.get(key)
            if written is None or not isinstance(written.value, str):
                continue
            if (written.value.lower() if key == "vo" else written.value) != right:
                message = f"{written.value!r} contradicts {'its key' if key == 'name' else 'its file'}"
                path = f"environments.{name}.{key}"
                self.problems.append(problem_at(written.mark, path, message, f"{key}: {right}, or nothing"))

    def resolve(self, name: str) -> YamlNode | None:
        """Return a definition laid over all that it extends, in however many steps; None when that cannot be done."""
        trail: dict[str, str | None] = {}
        step: str | None = name
        while step is not None and step not in self._resolved:
            trail[step] = None
            trail[step] = base = self._extended(step, trail)
            step = base
        for one, base in reversed(trail.items()):
            if base is not None:
                below, node = self._resolved[base], self.definitions[one].node
                laid = None if below is None else merged(without(below, *NOT_INHERITED), node)
                self._resolved[one] = laid and self._bounded(one, laid)
        return self._resolved[name]

    def _bounded(self, name: str, node: YamlNode) -> YamlNode | None:
        """Return what a definition comes to; None for one that grows beyond all measure, by what it extends."""
        if _values(node) <= MOST_VALUES:
            return without(node, *NOT_INHERITED[:2])
        message = f"holds more than {MOST_VALUES} values, with what it extends"
        self.problems.append(problem_at(self.definitions[name].node.key_place, f"environments.{name}", message))
        return None

    def _extended(self, name: str, trail: Collection[str]) -> str | None:
        """Return what a definition extends; None where it extends nothing, or nothing that could be: then it is resolved."""
        node = self.definitions[name].node
        extends = node.items.get("extends")
        self._resolved[name] = None
        if extends is None or not isinstance(extends.value, str):
            self._resolved[name] = self._bounded(name, node)
            return None
        base, key = extends.value, f"environments.{name}.extends"
        if base in trail:
            steps = list(trail)
            circle = " -> ".join((*steps[steps.index(base) :], base))
            message = f"the definitions extend each other in a circle: {circle}"
            self.problems.append(problem_at(extends.mark, key, message))
        elif base not in self.definitions:
            known = [one for one in self.definitions if one != name]
            near = nearest(base, known)
            expected = one_of(known) if known and not near else ""
            self.problems.append(problem_at(extends.mark, key, f"no definition is called {base!r}", expected, near))
        else:
            return base
        return None


def _values(node: YamlNode) -> int:
    return 1 + sum(map(_values, node.items.values())) + sum(map(_values, node.elements))


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)  # it takes links in a circle, too


def _by_name(node: YamlNode, problems: list[Problem]) -> YamlNode:
    """Turn a list of environments that carry their names into a mapping."""
    environments = node.items.get("environments")
    if environments is None or not isinstance(environments.value, tuple):
        return node
    named: dict[str, YamlNode] = {}
    for index, element in enumerate(environments.value):
        name = element.items.get("name")
        if name is None or not isinstance(name.value, str):
            message = "an environment in a list needs its name"
            problems.append(problem_at(element.mark, f"environments[{index}].name", message, "name: some-name"))
            continue
        definition = replace(element, key_mark=name.mark)
        if name.value in named:
            problems.append(_twice(name.value, definition, named[name.value], elsewhere=False))
        named[name.value] = definition
    return replace(node, value={**node.items, "environments": replace(environments, value=named)})


def _without_nulls(node: YamlNode) -> YamlNode:
    """Leave out what definitions that extend another take back, and an `environments:` with nothing below it."""
    environments = node.items.get("environments")
    if environments is None:
        return node
    if environments.value is None:
        return without(node, "environments")
    kept = {name: _pruned(one) if "extends" in one.items else one for name, one in environments.items.items()}
    if not isinstance(environments.value, Mapping):
        return node
    return replace(node, value={**node.items, "environments": replace(environments, value=kept)})


def _pruned(node: YamlNode) -> YamlNode:
    if not isinstance(node.value, Mapping):
        return node
    return replace(node, value={key: _pruned(one) for key, one in node.value.items() if one.value is not None})
