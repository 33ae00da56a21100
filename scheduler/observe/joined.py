"""All domains and nodes of the farm, joined by the name of their worker. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environments.domain_identity import WorkerIdentity
from scheduler.model.hosts import Domain, DomainState, HostReading
from scheduler.model.queues import Node, QueueReading
from scheduler.model.readings import Unanswered

Queues = Mapping[str, QueueReading | Unanswered]
Hosts = Mapping[str, HostReading | Unanswered]


@dataclass(slots=True)
class JoinedFarm:
    """All domains and nodes, by worker."""

    domains: dict[str, tuple[str, Domain, WorkerIdentity]]
    """Worker -> host, domain, identity; a running one before a stopped one."""
    showing: dict[str, int]
    twins: dict[str, tuple[str, ...]]
    """Running on more than one host; a copy that a live migration makes waits, paused, until the first one stops."""
    services: list[tuple[str, str]]
    strangers: list[tuple[str, str]]
    nodes: dict[tuple[str, str], Node]
    """By batch system and worker."""


def join(queues: Queues, hosts: Hosts, site: str) -> JoinedFarm:
    """Join what the sources show; domains of other sites, and those without identity, are strangers."""
    farm = JoinedFarm({}, {}, {}, [], [], {})
    for host, reading in hosts.items():
        if isinstance(reading, Unanswered):
            continue
        farm.showing[host] = 0
        for domain in reading.domains:
            identity = domain.of_site(site)
            if identity is None:
                farm.strangers.append((host, domain.name))
                continue
            if not isinstance(identity, WorkerIdentity):
                farm.services.append((host, domain.name))
                continue
            farm.showing[host] += 1
            _take(farm, host, domain, identity)
    for name, queue in queues.items():
        if isinstance(queue, QueueReading):
            for node in queue.nodes:
                farm.nodes[name, node.worker] = node
    return farm


def _take(farm: JoinedFarm, host: str, domain: Domain, identity: WorkerIdentity) -> None:
    """Keep a worker's domain: one that runs before its copy by a live migration, both before a stopped one."""
    worker = identity.machine
    known_on, known, _ = farm.domains.get(worker, ("", None, None))
    if known is not None and known.state.alive:
        if not domain.state.alive or _is_copy(domain, known):
            return
        if not _is_copy(known, domain):
            farm.twins[worker] = (*farm.twins.get(worker, (known_on,)), host)
    if known is None or domain.state.alive:
        farm.domains[worker] = (host, domain, identity)


def _is_copy(one: Domain, of: Domain) -> bool:
    """Whether a domain is what a live migration makes of another one; while it hands over, both are paused."""
    return one.uuid == of.uuid and one.state is DomainState.PAUSED
