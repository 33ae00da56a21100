"""All domains and nodes of the farm, joined by the name of their worker. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environments.domain_identity import WorkerIdentity
from scheduler.model.hosts import Domain, HostReading
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
    services: list[tuple[str, str]]
    strangers: list[tuple[str, str]]
    nodes: dict[tuple[str, str], Node]
    """By batch system and worker."""


def join(queues: Queues, hosts: Hosts, site: str) -> JoinedFarm:
    """Join what the sources show; domains of other sites, and those without identity, are strangers."""
    farm = JoinedFarm({}, {}, {}, [], [], {})
    running: dict[str, list[str]] = {}
    domains = farm.domains
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
            worker, alive = identity.machine, domain.state.alive
            if alive or worker not in domains:
                if alive and worker in domains and domains[worker][1].state.alive:
                    running.setdefault(worker, [domains[worker][0]]).append(host)
                domains[worker] = (host, domain, identity)
    farm.twins = {worker: tuple(on) for worker, on in running.items()}
    for name, queue in queues.items():
        if isinstance(queue, QueueReading):
            for node in queue.nodes:
                farm.nodes[name, node.worker] = node
    return farm
