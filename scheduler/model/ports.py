"""What the loop asks of the outside: small protocols in the domain's words, answered by `connectors` or by `simulations`.

Rules for whoever implements one:
- a failure is a `SourceError`, nothing else; no call returns an empty answer instead;
- every act may be repeated: booting a worker that runs, powering off one that is gone, is success;
- every call ends: `deadline_seconds` was given at construction;
- calls on one object come one at a time; different objects are called from different threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from environments.domain_identity import WorkerIdentity
from environments.environment import Environment
from environments.text import printable
from scheduler.model.failures import FailureCause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.model.hosts import Domain, HostReading, Stored
    from scheduler.model.queues import Node, QueueReading


LONGEST_ANSWER = 2000
"""Characters of a source's words that are passed on."""


class SourceError(Exception):
    """They erred: which system, what was asked, what came back (in one printable line, whatever it was)."""

    def __init__(self, source: str, asked: str, answer: str, cause: FailureCause = FailureCause.UNKNOWN) -> None:
        answer = printable(" ".join(answer.split()), LONGEST_ANSWER)
        super().__init__(f"{source}: {asked}: {answer}")
        self.source = source
        self.asked = asked
        self.answer = answer
        self.cause = cause
        """What it is about, where whoever raised it knows."""


class WrongNameError(SourceError):
    """It was asked for something by a name that says nothing, or too little, to it: whoever asked erred, and it answers."""


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """All that is needed to make one worker."""

    worker: str
    uuid: str
    environment: Environment
    identity: WorkerIdentity
    enrolment: Enrolment


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a worker must be told to join its batch system; made by the batch system, delivered by the hypervisor.

    `files` are secrets: they reach the worker on a small read-only disk or directory, never on a command line, in a log or in
    the journal. `parameters` are not secret and may stand on the kernel command line.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job, for `why`: as its batch system tells it."""

    job: str
    batch_system: str
    vo: str
    user: str
    status: str
    """idle, running, held, removed, completed, unknown."""
    cluster_key: str
    """The key of its request cluster, as in `RequestCluster.key`; "" once it has left the queue."""
    wanted: str
    cpus: int
    memory_mib: int
    queued_at: float | None = None
    hold_reason: str = ""
    worker: str = ""
    """Where it runs or ran."""
    starts: int | None = None
    """How often it has begun to run; None where the batch system does not tell."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The jobs that were submitted together (HTCondor: a cluster), for `why`."""

    name: str
    batch_system: str
    idle: int
    running: int
    held: int
    done: int | None
    """Completed or removed; None where the batch system does not tell."""
    first: str
    """The first that waits, else the first on hold, else the first that runs; "" when none is left in the queue."""


class EventKind(StrEnum):
    """What a hypervisor tells of without being asked; the values stand in the journal."""

    STARTED = "started"
    STOPPED = "stopped"
    CRASHED = "crashed"
    FAILED = "failed"
    MIGRATED = "migrated"
    """It left this host and runs on another: no end. The next look at the farm tells where it is."""
    HOST_LOST = "host-lost"
    """The connection itself broke."""
    HOST_BACK = "host-back"

    @property
    def is_end(self) -> bool:
        """Whether the domain runs no more, anywhere."""
        return self in {EventKind.STOPPED, EventKind.CRASHED, EventKind.FAILED}

    @property
    def wakes(self) -> bool:
        """Whether the loop looks at the farm at once: a start is mostly its own, and its worker has yet to register."""
        return self is not EventKind.STARTED


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """A domain of a host changed, or the host itself."""

    host: str
    domain: str
    """"" when it is the host."""
    what: EventKind
    at: float
    """When this machine heard of it, by its wall clock: its status begins then, not at the next look."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FoundHost:
    """A host that a discovery names."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person must be told."""

    key: str
    """The same whenever it is sent again, so that it is shown once; in the form of a Message-ID: `name@site`."""
    subject: str
    body: str
    attachments: tuple[Path, ...] = ()
    """Files that go with it, where the service takes files; the body says by itself what must be known."""


class NotifierConnector(Protocol):
    """An entry point of `ambienti.notifiers`. Raises ValueError, without the address in it, when it cannot read the address."""

    def __call__(self, name: str, address: str, *, deadline_seconds: float) -> Notifier:
        """Connect lazily. The address is a secret."""
        ...


class Notifier(Protocol):
    """One address of one person."""

    name: str

    def send(self, notice: Notice) -> None:
        """Return when the notice was taken; may be repeated with the same key. A failure is a SourceError without secrets."""
        ...


class BatchSystemConnector(Protocol):
    """An entry point of `ambienti.batch_systems`. Raises pydantic's ValidationError when `options` are wrong."""

    def __call__(
        self, name: str, options: Mapping[str, object], *, site: str, deadline_seconds: float, directory: Path
    ) -> BatchSystem:
        """Connect lazily: a system that is down now must not stop the daemon; `directory` is ours to keep things in."""
        ...


class HypervisorConnector(Protocol):
    """An entry point of `ambienti.hypervisors`. Raises pydantic's ValidationError when `options` are wrong."""

    def __call__(self, name: str, uri: str, options: Mapping[str, object], *, site: str, deadline_seconds: float) -> Hypervisor:
        """Connect lazily: a host that is down now must not stop the daemon."""
        ...


class DiscoveryConnector(Protocol):
    """An entry point of `ambienti.discoveries`. Raises pydantic's ValidationError when `options` are wrong."""

    def __call__(self, name: str, options: Mapping[str, object], *, base: Path, deadline_seconds: float) -> Discovery:
        """Prepare; nothing is asked yet. `base` is the site file's directory, for relative paths."""
        ...


class BatchSystem(Protocol):
    """One batch system (an HTCondor pool, a Slurm cluster)."""

    name: str

    def read(self, environments: Sequence[Environment], *, cheap: bool) -> QueueReading:
        """Read request clusters and nodes; `environments` are the prototypes that requirements are evaluated against.

        With `cheap`, counts may be carried over (`exact=False`) when a summary says that nothing changed.
        """
        ...

    def node(self, worker: str) -> Node | None:
        """Look at one worker afresh; None: the batch system answers that it does not know it."""
        ...

    def enrol(self, order: WorkerIdentity, environment: Environment) -> Enrolment:
        """Make what a new worker needs to join: configuration and a short-lived token of its own."""
        ...

    def drain(self, worker: str, why: str, *, idle_only: bool = False) -> str:
        """Let running jobs finish and start no others; one that drains already is drained.

        With `idle_only` the worker itself looks, in the same step, whether it has work: then it is not drained, and what it
        has is returned. "" when it drains. What a reading tells may be older than a claim made since.
        """
        ...

    def cancel_drain(self, worker: str) -> None:
        """Take a drain back."""
        ...

    def forget(self, worker: str) -> str:
        """Invalidate all that the batch system still believes of a worker that is gone; return what came back since, or "".

        The last words of a dying worker may arrive after ours: what came back is invalidated again at a later call.
        """
        ...

    def job(self, job: str, environments: Sequence[Environment]) -> JobRecord | None:
        """Return one job, from the queue or its history; None if the batch system does not know it.

        `environments` are those that the queue is read with: the key of its row depends on them.
        """
        ...

    def submission(self, name: str) -> Submission | None:
        """Return how the jobs submitted under this name stand; None if that is no name of a submission, or not known."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


@runtime_checkable
class Announcing(Protocol):
    """A batch system whose submit hooks learn of environments by themselves."""

    def announce(self, environments: Sequence[Environment], vos: Sequence[str]) -> None:
        """Tell which environments there are; to be repeated, for whoever listens may have been started anew."""
        ...


class Hypervisor(Protocol):
    """One host that runs domains."""

    name: str

    def read(self) -> HostReading:
        """Read capacity and all domains, strangers included."""
        ...

    def domain(self, machine: str) -> Domain | None:
        """Look at one domain afresh; None: the host answers that there is none."""
        ...

    def boot(self, order: WorkerOrder) -> None:
        """Make the worker's disks and start its domain; a domain with the same UUID that runs already is success."""
        ...

    def power_off(self, machine: str, uuid: str) -> None:
        """Destroy the domain if it is ours (same UUID); gone already is success."""
        ...

    def clean_up(self, worker: str, uuid: str) -> None:
        """Remove the volumes and directories made for a worker whose domain is gone."""
        ...

    def stored(self) -> Sequence[Stored]:
        """Return the workers of this site for which anything lies on the host's storage, whether they live or not.

        Ours is what its own name proves to be: that of a worker of this site, with the UUID that it alone has.
        """
        ...

    def check(self, environment: Environment) -> Sequence[str]:
        """Return what on this host stands against booting this environment (no such image, network, pool, too large)."""
        ...

    def watch(self, tell: Callable[[DomainEvent], None]) -> None:
        """Call `tell` from another thread whenever a domain changes or the connection breaks."""
        ...

    def close(self) -> None:
        """Give everything back; domains go on running."""
        ...


class Discovery(Protocol):
    """A source that names hypervisor hosts."""

    name: str
    asks: str
    """What is asked of whom, for people: `SRV _libvirt._tcp.farm.example`."""

    def read(self) -> Sequence[FoundHost]:
        """Return all hosts the source names now; whatever is less than a whole and good answer is a SourceError."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
