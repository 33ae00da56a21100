"""One hypervisor host behind libvirt, as the loop sees it."""

from __future__ import annotations

from os.path import normpath, realpath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connectors.libvirt import leftovers
from connectors.libvirt import worker as workers
from connectors.libvirt.checking import guest_lives, obstacles
from connectors.libvirt.line import HostConnection, Talk
from connectors.libvirt.options import LibvirtOptions
from connectors.libvirt.reading import Identities, machine_of, offered_virtualizations, read_domain, read_host
from connectors.libvirt.watching import Watcher
from environments.domain import Driver
from environments.environment import DiskMode, Virtualization
from environments.roots import outside
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from environments.environment import Environment
    from scheduler.model.hosts import Domain, HostReading, Stored
    from scheduler.model.ports import DomainEvent, WorkerOrder


def connect(name: str, uri: str, options: Mapping[str, object], *, site: str, deadline_seconds: float) -> LibvirtHost:
    """Describe the connection to a host; it is opened when first needed."""
    return LibvirtHost(name, uri, LibvirtOptions.model_validate(options), site=site, deadline_seconds=deadline_seconds)


def is_here(uri: str) -> bool:
    """Whether a URI names no other machine."""
    return urlsplit(uri).hostname in {None, "localhost", "127.0.0.1", "::1"}


class LibvirtHost:
    """Holds the line to one host; implements `scheduler.model.ports.Hypervisor`."""

    def __init__(self, name: str, uri: str, options: LibvirtOptions, *, site: str, deadline_seconds: float) -> None:
        self.name = name
        self._site = site
        self._resolve = realpath if is_here(uri) else normpath
        self._options = options
        self._deadline_seconds = deadline_seconds
        self._line = HostConnection(name, uri, deadline_seconds=deadline_seconds, keepalive_seconds=options.keepalive_seconds)
        self._identities: Identities = {}
        self._offered: tuple[object, frozenset[Virtualization]] = (None, frozenset())
        self._machine = ""
        self._watcher: Watcher | None = None

    def read(self) -> HostReading:
        """Read capacity and all domains, strangers included."""

        def operation(talk: Talk) -> HostReading:
            offered = self._offers(talk)
            return read_host(talk, self._identities, self._options.reserve_mib, offered, self._machine)

        return self._line.run("read the host", operation)

    def domain(self, machine: str) -> Domain | None:
        """Look at one domain afresh."""

        def operation(talk: Talk) -> Domain | None:
            handle = workers.find(talk, machine)
            return None if handle is None else read_domain(talk, handle, {})

        return self._line.run(f"look at domain {machine}", operation)

    def boot(self, order: WorkerOrder) -> None:
        """Make the worker's disks and start its domain."""

        def operation(talk: Talk) -> None:
            if refused := self._outside(order.environment):
                raise SourceError(self.name, f"boot {order.worker}", "; ".join(refused))
            offered = self._offers(talk)
            if order.environment.virtualization not in offered:
                kinds = ", ".join(sorted(offered)) or "nothing"
                answer = f"the host offers {kinds}, not {order.environment.virtualization}"
                raise SourceError(self.name, f"boot {order.worker}", answer)
            workers.boot(talk, order, self._options)

        copies = order.environment.disk.mode in {DiskMode.COPY, DiskMode.LVM}
        seconds = max(self._deadline_seconds, self._options.storage_seconds) if copies else self._deadline_seconds
        self._line.run(f"boot {order.worker}", operation, seconds)

    def power_off(self, machine: str, uuid: str) -> None:
        """Destroy the domain if it is ours."""
        graceful = self._options.graceful_seconds

        def operation(talk: Talk) -> None:
            workers.power_off(talk, machine, uuid, self._site, graceful)

        self._line.run(f"power off {machine}", operation, self._deadline_seconds + graceful)

    def clean_up(self, worker: str, uuid: str) -> None:
        """Remove the volumes and directories made for a worker whose domain is gone."""
        self._line.run(f"clean up after {worker}", lambda talk: workers.clean_up(talk, worker, uuid, self._options))

    def stored(self) -> Sequence[Stored]:
        """Return the workers of this site for which anything lies on the host's storage."""
        return self._line.run("look at its storage", lambda talk: leftovers.stored(talk, self._site, self._options))

    def check(self, environment: Environment) -> Sequence[str]:
        """Return what on this host stands against booting this environment."""

        def operation(talk: Talk) -> Sequence[str]:
            return self._outside(environment) or tuple(obstacles(talk, environment, self._options, self._offers(talk)))

        seconds = self._options.storage_seconds if environment.image.sha256 else 0.0  # the whole image is read then
        return self._line.run(f"check environment {environment.name}", operation, max(self._deadline_seconds, seconds))

    def watch(self, tell: Callable[[DomainEvent], None]) -> None:
        """Call `tell` from another thread whenever a domain changes or the connection breaks."""
        self._watcher = Watcher(self._line, tell, self._options.retry_seconds)

    def close(self) -> None:
        """Give the connection back; domains go on running."""
        if self._watcher is not None:
            self._watcher.close()
        self._line.close()

    def _outside(self, environment: Environment) -> tuple[str, ...]:
        """Say which of its paths lead where no images may lie; links can be followed only on the machine that this runs on."""
        found = outside(environment, self._options.image_roots, self._resolve)
        return tuple(f"image.{key}: {message}" for key, message, _ in found)

    def _offers(self, talk: Talk) -> frozenset[Virtualization]:
        """Return what the host may be used for; asked, and KVM tried, once until the host is lost."""
        if self._offered[0] is not talk.life:
            with talk.asking("read its capabilities"):
                capabilities = talk.connection.getCapabilities()
            offered = offered_virtualizations(capabilities, talk.driver)
            self._machine = machine_of(capabilities, talk.driver)
            if self._options.virtualizations:
                offered &= frozenset(self._options.virtualizations)
            if Virtualization.KVM in offered and not self._kvm(talk):
                offered -= {Virtualization.KVM}
            self._offered = talk.life, offered
        return self._offered[1]

    def _kvm(self, talk: Talk) -> bool:
        """Whether KVM may be offered; libvirt's test driver runs nothing, so there is nothing to try."""
        if self._options.kvm != "try" or talk.driver is Driver.TEST:
            return self._options.kvm != "off"
        return guest_lives(talk)
