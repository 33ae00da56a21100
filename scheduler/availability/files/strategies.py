"""From a high-availability strategy to the group that measures it, and keys of a group that its rule does not use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from scheduler.availability.history import Group, Member, Operator

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from environments.problems import KeyPath, Problem
    from scheduler.availability.files.written import WrittenGroup


class Strategy(StrEnum):
    """How a service survives the loss of one of its instances."""

    INDEPENDENT = "independent"
    """Instances that know nothing of each other; a client uses any of them."""
    NATIVE = "native"
    """The product fails over by itself (a second collector of HTCondor)."""
    ACTIVE_STANDBY = "active/standby"
    """One works, another waits to take the address over."""
    ACTIVE_ACTIVE = "active/active"
    """All work behind a virtual address."""
    REPLICATED_DATABASE = "replicated database"
    """Replicas of one set of data; three and more need a majority, of two one is enough."""
    SEGMENTED_POOLS = "segmented pools"
    """Capacity in parts that fail apart; a promised part of it must be there."""


def groups_of(
    strategy: Strategy,
    name: str,
    instances: Sequence[Member],
    address: str = "",
    *,
    need: Fraction = Fraction(1),
    algebra: str = "kleene",
) -> tuple[Group, ...]:
    """Return the group that measures a service, first, and a group of its instances beside it where it has an address.

    A service behind an address is measured at the address: what its clients see, seconds of a takeover included.
    """
    inner = instances_of(name) if address else name
    behind = Group(inner, *_rule(strategy, tuple(instances), need), strategy=str(strategy), algebra=algebra)
    if not address:
        return (behind,)
    front = Group(name, Operator.AND, (Member(address),), strategy=str(strategy), algebra=algebra)
    return front, behind


def instances_of(name: str) -> str:
    """Name the group of the instances behind a service's address."""
    return f"{name} instances"


def operator_of(strategy: Strategy, instances: int) -> Operator:
    """Return by which operator a strategy's instances carry the service."""
    if strategy is Strategy.SEGMENTED_POOLS:
        return Operator.CAPACITY
    return Operator.QUORUM if strategy is Strategy.REPLICATED_DATABASE and instances > 2 else Operator.OR


def _rule(
    strategy: Strategy, members: tuple[Member, ...], need: Fraction
) -> tuple[Operator, tuple[Member, ...], int, Fraction]:
    operator = operator_of(strategy, len(members))
    return operator, members, 1, need if operator is Operator.CAPACITY else Fraction(1)


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
