"""From a high-availability strategy to the group that measures it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction

from scheduler.availability.history import Group, Member, Operator


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
    inner, operator = instances_of(name) if address else name, operator_of(strategy, len(instances))
    needed = need if operator is Operator.CAPACITY else Fraction(1)
    behind = Group(inner, operator, tuple(instances), need=needed, strategy=str(strategy), algebra=algebra)
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
