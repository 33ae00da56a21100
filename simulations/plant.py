"""Hypervisor hosts that exist only in memory: domains, memory that is really limited, volumes, images and networks that break.

A started domain takes its time and then registers with its batch system, unless its image, its host or its network is broken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from environments.domain_identity import WorkerIdentity
from environments.environment import DiskMode, Environment, NetworkKind, Virtualization
from scheduler.model.failures import FailureCause
from scheduler.model.hosts import Domain, DomainState, HostReading, PoolSpace, Stored
from scheduler.model.ports import DomainEvent, EventKind, SourceError
from simulations.host_faults import HostFaults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from random import Random

    from scheduler.model.ports import WorkerOrder
    from simulations.clock import Agenda
    from simulations.queue import SimulatedQueue


@dataclass(frozen=True, slots=True)
class Machine:
    """What one host is."""

    name: str
    cpus: int = 8
    memory_mib: int = 16384
    virtualizations: frozenset[Virtualization] = frozenset(Virtualization)
    networks: frozenset[str] = frozenset({"default"})
    pools: tuple[PoolSpace, ...] = ()
    machine: str = ""
    driver: str = ""
    """What of which machine it is, where several hosts are one."""
    boot_seconds: float = 30.0
    """From the call to the registered worker, give or take a tenth."""


@dataclass(slots=True)
class SimulatedDomain:
    """A domain as it really is."""

    name: str
    uuid: str
    memory_mib: int
    cpus: int
    identity: WorkerIdentity | None = None
    environment: Environment | None = None
    state: DomainState = DomainState.RUNNING
    volume: tuple[str, str] | None = None
    """(pool, volume) that it writes to."""
    started_monotonic: float = 0.0
    registered: bool = False


@dataclass(frozen=True, slots=True)
class SimulatedVolume:
    """For whom a volume was made; all empty: it is not ours."""

    site: str = ""
    worker: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class HostCall:
    """Something the scheduler did to a host, with what was true at that instant: what the invariants judge."""

    at: float
    kind: str
    """boot, power-off, clean-up."""
    host: str
    worker: str
    started: bool = False
    """A boot that really started a domain."""
    stopped: bool = False
    """A power-off that really stopped one."""
    short_of_memory_mib: int = 0
    """How much memory the host lacked for a boot."""
    journaled: bool = True
    running_jobs: int = 0
    seen_by_batch_system: bool = False
    uuid: str = ""
    removed_under: str = ""
    """Volumes that were removed while a domain of any host wrote to them."""
    removed_foreign: str = ""
    """Volumes that were removed and are not ours."""


class Plant:
    """All hosts, what they share, and the batch systems that their workers join."""

    def __init__(self, agenda: Agenda, chance: Random, queues: Mapping[str, SimulatedQueue], site: str = "") -> None:
        self.agenda = agenda
        self.chance = chance
        self.queues = queues
        self.hosts: dict[str, SimulatedHost] = {}
        self.volumes: dict[tuple[str, str], SimulatedVolume] = {}
        """By pool and name; storage is shared by all hosts."""
        self.broken_images: dict[tuple[str, str], str] = {}
        """(environment, version) -> `hangs` or `crashes`."""
        self.proven: set[tuple[str, str]] = set()
        """(environment, version) of which a worker has registered."""
        self.missing_images: set[str] = set()
        """Paths, kernels and volumes that are not there."""
        self.checksums: dict[str, str] = {}
        """Of images that are others than their definitions say: path or volume -> SHA-256."""
        self.site, self._answers_after = site, 0.0
        self.calls: list[HostCall] = []
        self.is_journaled: Callable[[str], bool] = lambda _worker: True
        self.tell: Callable[[str, str], None] = lambda _kind, _text: None
        for queue in queues.values():
            queue.on_exit = self.worker_exits

    def add(self, machine: Machine, deadline_seconds: float = 20.0) -> SimulatedHost:
        """Put up one more host."""
        host = SimulatedHost(self, machine, deadline_seconds)
        self.hosts[machine.name] = host
        return host

    def where(self, worker: str) -> SimulatedHost | None:
        """Return the host that really runs a worker."""
        on = [host for host in self.hosts.values() if worker in host.domains]
        return next((host for host in on if host.domains[worker].state is DomainState.RUNNING), on[0] if on else None)

    def worker_exits(self, worker: str) -> None:
        """Let the domain of a drained worker end by itself."""
        host = self.where(worker)
        if host is not None:
            host.stop(worker, EventKind.STOPPED, "shut down from inside")

    def answer_after(self, seconds: float) -> None:
        """Let the answer to the call that is being made take so long."""
        self._answers_after = seconds

    def slow_by(self) -> float:
        """Return how long the answer to the call just made takes; it is told once."""
        seconds, self._answers_after = self._answers_after, 0.0
        return seconds

    def arrive(self, host: SimulatedHost, domain: SimulatedDomain, token: bytes) -> None:
        """Let a booted worker register, if nothing is in its way."""
        identity, environment = domain.identity, domain.environment
        if host.domains.get(domain.name) is not domain or identity is None or environment is None:
            return
        broken = self.broken_images.get((identity.environment, identity.version))
        if broken == "crashes":
            host.stop(domain.name, EventKind.CRASHED, "kernel panic: no root file system")
        elif not broken and not host.faults.black_hole:
            queue = self.queues[identity.batch_system]
            domain.registered = queue.register(identity.machine, environment, token, host.name)
            self.proven.add((identity.environment, identity.version))


class SimulatedHost:
    """One host; implements `scheduler.model.ports.Hypervisor`."""

    def __init__(self, plant: Plant, machine: Machine, deadline_seconds: float) -> None:
        self.name = machine.name
        self.machine = machine
        self.faults = HostFaults()
        self.domains: dict[str, SimulatedDomain] = {}
        self.strangers: set[str] = set()
        """Domains that are not ours and should be here."""
        self._plant = plant
        self._deadline_seconds = deadline_seconds
        self._watchers: list[Callable[[DomainEvent], None]] = []

    # --- what happens to it -------------------------------------------------------------------------------------------

    @property
    def used_memory_mib(self) -> int:
        """Memory of all domains, strangers included."""
        return sum(domain.memory_mib for domain in self.domains.values())

    def stop(self, name: str, what: EventKind, detail: str = "") -> None:
        """End a domain, whatever the cause; its worker goes without a word."""
        domain = self.domains.pop(name, None)
        if domain is None or domain.state is DomainState.PAUSED:  # the copy of a worker that runs elsewhere
            return
        for other in self._plant.hosts.values():
            if name in other.domains and other.domains[name].state is DomainState.PAUSED:  # a copy, worth nothing without it
                del other.domains[name]
        if domain.identity is not None and domain.identity.batch_system in self._plant.queues:
            self._plant.queues[domain.identity.batch_system].die(domain.identity.machine)
        self._plant.tell(what, name)
        self.notify(name, what, detail)

    def receive(self, source: SimulatedHost, name: str) -> Callable[[], None]:
        """Begin a live migration to this host: a copy waits here, paused; return what hands over to it."""
        self.domains[name] = replace(source.domains[name], state=DomainState.PAUSED)

        def hand_over() -> None:
            if name in self.domains:  # else it failed: the worker runs on where it was, or has ended
                del source.domains[name]
                self.domains[name].state = DomainState.RUNNING
                source.notify(name, EventKind.MIGRATED, "it migrated")
                self.notify(name, EventKind.STARTED)

        return hand_over

    def add_stranger(self, name: str, memory_mib: int, cpus: int = 1) -> None:
        """Start a domain that is not ours."""
        self.domains[name] = SimulatedDomain(name, f"stranger-{self.name}-{name}", memory_mib, cpus)
        self.strangers.add(name)

    def remove_stranger(self, name: str) -> None:
        """Let its owner stop it."""
        self.strangers.discard(name)
        self.domains.pop(name, None)

    def die(self) -> None:
        """Cut the power."""
        self.faults.dead = True
        self.strangers.clear()
        for name in list(self.domains):
            self.stop(name, EventKind.STOPPED, "power lost")
        self.notify("", EventKind.HOST_LOST, "power lost")

    def power_on(self) -> None:
        """Start it again, empty."""
        self.faults.dead = False
        self.notify("", EventKind.HOST_BACK)

    def fall_silent(self) -> None:
        """Stop its libvirt daemon; the domains run on."""
        self.notify("", EventKind.HOST_LOST, "connection reset")
        self.faults.silent = True

    def answer_again(self) -> None:
        """Start its libvirt daemon."""
        self.faults.silent = False
        self.notify("", EventKind.HOST_BACK)

    def notify(self, domain: str, what: EventKind, detail: str = "") -> None:
        """Tell whoever watches of an event, as libvirt does."""
        if self.faults.mute or self.faults.silent or (self.faults.dead and domain):
            return
        for tell in self._watchers:
            tell(DomainEvent(self.name, domain, what, self._plant.agenda.now(), detail))

    # --- what the scheduler asks --------------------------------------------------------------------------------------

    def read(self) -> HostReading:
        """Read capacity and all domains."""
        self._answer("capacity and domains")
        domains = tuple(_seen(domain) for domain in self.domains.values())
        return HostReading(
            host=self.name,
            at=self._plant.agenda.now(),
            cpus=self.machine.cpus,
            memory_mib=self.machine.memory_mib,
            virtualizations=self.machine.virtualizations,
            domains=domains[::2] if self.faults.partial else domains,
            networks=self.machine.networks,
            pools=self.machine.pools,
            complete=not self.faults.partial,
            machine=self.machine.machine,
            driver=self.machine.driver,
        )

    def domain(self, machine: str) -> Domain | None:
        """Look at one domain afresh."""
        self._answer(f"domain {machine}")
        found = self.domains.get(machine)
        return _seen(found) if found is not None else None

    def boot(self, order: WorkerOrder) -> None:
        """Make the worker's volume and start its domain."""
        asked, started = f"boot {order.worker}", False
        needs = order.environment.memory_mib if order.worker not in self.domains else 0
        lacks = max(0, self.used_memory_mib + needs - self.machine.memory_mib)
        try:
            self._answer(asked, done=True)
            running = self.domains.get(order.worker)
            if running is None:
                self._start(order, asked)
                started = True
            elif running.uuid != order.uuid:
                raise SourceError(self.name, asked, f"a domain of this name exists with UUID {running.uuid}")
            self._answer(asked)
            self._plant.answer_after(self.faults.boots_seconds)
            if self.faults.boots_slow:
                raise SourceError(self.name, asked, f"no answer within {self._deadline_seconds:g} s", FailureCause.NO_ANSWER)
        finally:
            call = self._call("boot", order.worker, started=started, uuid=order.uuid)
            self._plant.calls.append(replace(call, short_of_memory_mib=lacks))

    def _start(self, order: WorkerOrder, asked: str) -> None:
        environment, plant = order.environment, self._plant
        obstacles = [*self._against(environment)]
        left = self.machine.memory_mib - self.used_memory_mib
        if environment.memory_mib > left:
            obstacles.append((f"cannot allocate {environment.memory_mib} MiB: {left} MiB are free", FailureCause.STOCK_OUT))
        if self.faults.boots_fail:
            obstacles.append((self.faults.boots_fail, self.faults.boots_fail_of))
        if obstacles:
            raise SourceError(self.name, asked, "; ".join(words for words, _ in obstacles), obstacles[0][1])
        volume = None
        if environment.disk.mode is not DiskMode.NONE:
            volume = (environment.disk.pool or "default", f"{order.worker}-{order.uuid[:8]}.disk")
            plant.volumes[volume] = SimulatedVolume(order.identity.site, order.worker, order.uuid)
        domain = SimulatedDomain(
            name=order.worker,
            uuid=order.uuid,
            memory_mib=environment.memory_mib,
            cpus=environment.vcpus,
            identity=order.identity,
            environment=environment,
            volume=volume,
            started_monotonic=plant.agenda.monotonic(),
        )
        self.domains[order.worker] = domain
        token = order.enrolment.files.get("token", b"")
        takes = self.machine.boot_seconds * plant.chance.uniform(0.9, 1.1)
        plant.agenda.after(takes, lambda: plant.arrive(self, domain, token))
        self.notify(order.worker, EventKind.STARTED)

    def power_off(self, machine: str, uuid: str) -> None:
        """Destroy the domain if it is ours."""
        found = self.domains.get(machine)
        stopped = found is not None and found.uuid == uuid and not (self.faults.silent or self.faults.dead)
        self._plant.calls.append(self._call("power-off", machine, stopped=stopped, uuid=uuid))
        self._answer(f"power off {machine}", done=stopped)
        if stopped:
            self.stop(machine, EventKind.STOPPED, "destroyed")
        self._answer(f"power off {machine}")

    def clean_up(self, worker: str, uuid: str) -> None:
        """Remove the volume made for a worker whose domain is gone."""
        plant, made = self._plant, self._call("clean-up", worker, uuid=uuid)
        runs = worker in self.domains and self.domains[worker].uuid == uuid
        answers = not (self.faults.silent or self.faults.dead)
        gone = [key for key, volume in plant.volumes.items() if (volume.worker, volume.uuid) == (worker, uuid)]
        if gone and answers and not runs:
            written = {domain.volume for host in plant.hosts.values() for domain in host.domains.values()}
            under = ", ".join(key[1] for key in gone if key in written)
            foreign = ", ".join(key[1] for key in gone if plant.volumes[key].site != plant.site)
            made = replace(made, removed_under=under, removed_foreign=foreign)
        plant.calls.append(made)
        self._answer(f"clean up {worker}")
        if runs:
            raise SourceError(self.name, f"clean up {worker}", "its domain still runs")
        for key in gone:
            del plant.volumes[key]

    def stored(self) -> Sequence[Stored]:
        """Say for whom volumes lie there; storage is shared by all hosts."""
        self._answer("its storage")
        ours = (volume for volume in self._plant.volumes.values() if volume.site and volume.site == self._plant.site)
        return tuple(sorted({Stored(volume.worker, volume.uuid) for volume in ours}, key=lambda one: one.worker))

    def check(self, environment: Environment) -> Sequence[str]:
        """Say what on this host stands against booting an environment."""
        self._answer(f"check {environment.name}", done=True)
        return [words for words, _ in self._against(environment)]

    def _against(self, environment: Environment) -> Iterator[tuple[str, FailureCause]]:
        """Say what stands against booting an environment, and what each is about."""
        image, missing = environment.image, self._plant.missing_images
        parts = [part for part in (image.path, image.volume, image.kernel, image.initrd) if part in missing]
        for part in parts:
            yield f"there is no {part}", FailureCause.IMAGE
        there = self._plant.checksums.get(image.path or image.volume or "", image.sha256)
        if image.sha256 and image.sha256 != there and not parts:
            yield f"image.sha256: the image on the host has {there}", FailureCause.UNKNOWN
        if environment.virtualization not in self.machine.virtualizations:
            yield f"{environment.virtualization.value} is not supported", FailureCause.UNKNOWN
        network = environment.network
        if network.kind in {NetworkKind.BRIDGE, NetworkKind.LIBVIRT} and network.source not in self.machine.networks:
            yield f"there is no network {network.source}", FailureCause.NETWORK
        if environment.memory_mib > self.machine.memory_mib:
            yield f"{environment.memory_mib} MiB do not fit {self.machine.memory_mib} MiB", FailureCause.UNKNOWN
        pool = environment.disk.pool
        if environment.disk.mode is not DiskMode.NONE and pool and pool not in {p.name for p in self.machine.pools}:
            yield f"there is no storage pool {pool}", FailureCause.STORAGE

    def watch(self, tell: Callable[[DomainEvent], None]) -> None:
        """Call `tell` whenever a domain changes."""
        self._watchers.append(tell)

    def close(self) -> None:
        """Domains go on running; nobody is told any more."""
        self._watchers.clear()

    def _answer(self, asked: str, *, done: bool = False) -> None:
        """Bring the plant up to now, and fail when the host would not answer; `done`: slowness alone is no matter."""
        self._plant.agenda.catch_up()
        if self.faults.dead:
            raise SourceError(self.name, asked, "no route to host", FailureCause.UNREACHABLE)
        if self.faults.silent:
            raise SourceError(self.name, asked, "connection refused", FailureCause.UNREACHABLE)
        if self.faults.slow_seconds > self._deadline_seconds and not done:
            raise SourceError(self.name, asked, f"no answer within {self._deadline_seconds:g} s", FailureCause.NO_ANSWER)

    def _call(self, kind: str, worker: str, *, started: bool = False, stopped: bool = False, uuid: str = "") -> HostCall:
        plant = self._plant
        nodes = [node for queue in plant.queues.values() if (node := queue.nodes.get(worker)) is not None]
        seen = [node for node in nodes if node.connected and node.alive]
        return HostCall(
            at=plant.agenda.monotonic(),
            kind=kind,
            host=self.name,
            worker=worker,
            started=started,
            stopped=stopped,
            journaled=plant.is_journaled(worker),
            running_jobs=sum(len(node.jobs) for node in nodes if node.alive),
            seen_by_batch_system=bool(seen),
            uuid=uuid,
        )


def _seen(domain: SimulatedDomain) -> Domain:
    return Domain(domain.name, domain.uuid, domain.state, domain.cpus, domain.memory_mib, domain.identity)
