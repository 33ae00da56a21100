"""What a plan may order. Each action is a value that can be repeated without harm, with the reason for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, get_args

from environments.reason import Reason


@dataclass(frozen=True, slots=True)
class ActionKind:
    """What is said of all actions of one kind."""

    code: str
    """The word of the journal, the log and the metrics."""
    meaning: str
    """What it is, for the reference."""
    order: str
    """What is ordered, in a line; `one` is the action."""

    @property
    def verb(self) -> str:
        """What a table of actions says."""
        return self.code.replace("-", " ")


@dataclass(frozen=True, slots=True)
class Boot:
    """Start one worker on a host. Its name is new and never used again; its UUID derives from it."""

    kind: ClassVar = ActionKind("boot", "The boot of a worker", "boot {one.machine} on {one.host} for {one.vo}")
    machine: str
    serial: int
    environment: str
    version: str
    vo: str
    batch_system: str
    host: str
    reason: Reason
    address: str | None = None


WHILE_IDLE = frozenset({"idle", "surplus", "drift", "tried"})
"""Causes of a drain that hold only as long as the worker has no work."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Let a worker finish its jobs and take no new ones."""

    kind: ClassVar = ActionKind("drain", "The drain of a worker", "drain {one.machine}")
    machine: str
    cause: str
    """Why: idle, lifetime, drift, reclaim, host-drain, black-hole, stuck, unwanted, surplus."""
    reason: Reason


@dataclass(frozen=True, slots=True)
class CancelDrain:
    """Demand returned: let a draining worker take jobs again."""

    kind: ClassVar = ActionKind("cancel-drain", "The end of a worker's drain", "cancel the drain of {one.machine}")
    machine: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class PowerOff:
    """Stop a worker's domain: only after a last look that its batch system neither has a job in it nor could start one."""

    kind: ClassVar = ActionKind("power-off", "The power-off of a worker", "power off {one.machine} on {one.host}")
    machine: str
    host: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class CleanUp:
    """A worker whose domain is gone: remove its volumes, invalidate its ads, close its entry in the journal."""

    kind: ClassVar = ActionKind("clean-up", "The removal of what a worker left", "clean up {one.machine} on {one.host}")
    machine: str
    host: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Sweep:
    """Storage of ours that no worker needs any more, nor any journal entry tells of: remove it."""

    kind: ClassVar = ActionKind(
        "sweep", "The removal of storage that no worker needs any more", "sweep what is left of {one.machine} on {one.host}"
    )
    machine: str
    uuid: str
    host: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Adopt:
    """A domain with our identity that the journal does not know: take it into the journal as it is."""

    kind: ClassVar = ActionKind("adopt", "The adoption of a worker", "adopt {one.machine} on {one.host}")
    machine: str
    host: str
    reason: Reason


Action = Boot | Drain | CancelDrain | PowerOff | CleanUp | Sweep | Adopt
ACTIONS: tuple[type[Action], ...] = get_args(Action)
"""Every kind of action there is."""


def host_of(action: Action) -> str:
    """Return the host that an action is for; "" where it is asked of the batch system alone."""
    return getattr(action, "host", "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one subject in a decision: a request cluster, a worker, a VO, an environment or a host."""

    subject: str
    reasons: tuple[Reason, ...]
    """The decisive one first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered actions of one decision, and the reasons for what was and was not done."""

    at: float
    actions: tuple[Action, ...]
    clusters: Mapping[str, Verdict] = field(default_factory=dict)
    """By request cluster key: why its jobs wait, or what serves them."""
    workers: Mapping[str, Verdict] = field(default_factory=dict)
    """By worker name, for those that something was decided about or that are kept against a rule."""
    vos: Mapping[str, Verdict] = field(default_factory=dict)
    environments: Mapping[str, Verdict] = field(default_factory=dict)
    """Breakers, canaries, ceilings."""
    hosts: Mapping[str, Verdict] = field(default_factory=dict)
    quiet_until: float | None = None
    """The earliest instant at which time alone could change this decision; None if only new readings can."""

    @property
    def destructive(self) -> bool:
        """Whether it ends or drains anything: such a plan needs exact readings."""
        return any(isinstance(action, (Drain, PowerOff)) for action in self.actions)
