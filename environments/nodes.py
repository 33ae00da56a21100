"""Values of a YAML file that know where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from environments.problems import KeyPath, Mark, Problem, Step, dotted, problem_at

Plain = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class YamlNode:
    """A value of a YAML file and where it stands; mappings and lists hold nodes."""

    value: Mapping[str, YamlNode] | tuple[YamlNode, ...] | Plain
    mark: Mark
    key_mark: Mark | None = None
    """Where its key stands; None in a list and at the top of a file."""
    raw: str = ""
    """A scalar as it was written."""

    @property
    def items(self) -> Mapping[str, YamlNode]:
        """The members of a mapping; of anything else: none."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def elements(self) -> tuple[YamlNode, ...]:
        """The elements of a list; of anything else: none."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def key_place(self) -> Mark:
        """Where its key stands, else where it stands itself."""
        return self.key_mark or self.mark

    def plain(self) -> object:
        """Return the bare data."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def walk(self, path: Iterable[Step]) -> tuple[YamlNode, KeyPath, KeyPath]:
        """Follow `path` as far as it exists; return the node reached, the part followed and the part that is left."""
        node, steps = self, tuple(path)
        for count, step in enumerate(steps):
            below = node.items.get(str(step)) if isinstance(node.value, Mapping) else None
            if isinstance(node.value, tuple) and isinstance(step, int) and step < len(node.value):
                below = node.value[step]
            if below is None:
                return node, steps[:count], steps[count:]
            node = below
        return node, steps, ()

    def problem(self, path: KeyPath, message: str, expected: str = "", nearest: str = "", *, key: bool = False) -> Problem:
        """Make a problem of the value at `path` (or of its key), as near to it as the file goes."""
        node, followed, left = self.walk(path)
        mark = node.key_place if key or left else node.mark
        return problem_at(mark, dotted(path if left else followed), message, expected, nearest)


def merged(base: YamlNode, top: YamlNode) -> YamlNode:
    """Lay `top` over `base`: mappings key by key, anything else as a whole; a null takes an inherited value back."""
    if not (isinstance(base.value, Mapping) and isinstance(top.value, Mapping)):
        return top
    together = dict(base.value)
    for key, node in top.value.items():
        if key in base.value and node.value is None:
            together.pop(key)
        else:
            together[key] = merged(base.value[key], node) if key in base.value else node
    return YamlNode(together, top.mark, top.key_mark)


def without(node: YamlNode, *keys: str) -> YamlNode:
    """Return a mapping without some keys."""
    return replace(node, value={key: value for key, value in node.items.items() if key not in keys})
