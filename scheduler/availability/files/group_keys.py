"""Keys of a group that its operator does not use: passed over, another rule would be measured than the one written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scheduler.availability.files.strategies import Strategy, operator_of
from scheduler.availability.history import Operator

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from environments.problems import KeyPath, Problem
    from scheduler.availability.files.written import WrittenGroup

_OF_WEIGHTS = f"operator: {Operator.CAPACITY}, or strategy: {Strategy.SEGMENTED_POOLS}"


def unused(group: WrittenGroup, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    """Yield the keys of a group that say nothing beside its operator or strategy, and what contradicts it."""
    operator = _meant(group)
    if operator is None:
        return
    named = f"operator {group.operator}" if group.operator is not None else f"strategy {group.strategy}"
    given = group.model_fields_set
    # Ambienti itself writes both `k` and `need` of each group: the one that is not used is 1, and says nothing else.
    as_we_write = {"k", "need"} <= given
    if group.operator is not Operator.AT_LEAST and "k" in given and not (as_we_write and group.k == 1):
        yield node.problem((*path, "k"), f"is not used by {named}", f"operator: {Operator.AT_LEAST}; or no k", key=True)
    if operator is not Operator.CAPACITY:
        if "need" in given and not (as_we_write and group.need == 1):
            yield node.problem((*path, "need"), f"is not used by {named}", f"{_OF_WEIGHTS}; or no need", key=True)
        for number, member in enumerate(group.members):
            if member.weight != 1:  # all alike they weigh nothing more than without
                place = (*path, "members", number, "weight")
                yield node.problem(place, f"is not used by {named}", f"{_OF_WEIGHTS}; or no weight", key=True)
    yield from _never(group, node, path)
    yield from _contradicts(group, node, path)


def _meant(group: WrittenGroup) -> Operator | None:
    if group.operator is not None or not group.strategy:
        return group.operator
    return operator_of(Strategy(group.strategy), len(group.members))


def _names(group: WrittenGroup) -> int:
    """Count the members; one that comes back is one."""
    return len({member.name for member in group.members})


def _never(group: WrittenGroup, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    count = _names(group)
    if group.operator is Operator.AT_LEAST and group.k > max(count, 1):
        there = f"there {'is' if count == 1 else 'are'} {count or 'none'}"
        yield node.problem((*path, "k"), f"{group.k} members can never be up: {there}", f"at most {max(count, 1)}")


def _contradicts(group: WrittenGroup, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    """Find an operator beside a strategy that means another one. Of a single member all of them say the same."""
    count = _names(group)
    if group.operator is None or not group.strategy or count < 2:
        return
    wanted = operator_of(Strategy(group.strategy), count)
    same = {wanted} | ({Operator.AT_LEAST} if wanted is Operator.CAPACITY else set())
    if wanted is Operator.OR:
        same |= {Operator.AT_LEAST} if group.k == 1 else set()
        same |= {Operator.QUORUM} if group.strategy == Strategy.REPLICATED_DATABASE else set()
    if group.operator not in same:
        message = f"{group.strategy} means operator {wanted}, and the operator here is {group.operator}"
        yield node.problem((*path, "strategy"), message, "one of them")
