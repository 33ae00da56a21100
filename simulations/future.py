"""What becomes of a real farm: a simulation that starts from a snapshot, with its hosts, workers, jobs and policy.

How long jobs run is not known; running ones end when their walltime says so, else after `run_seconds`, as waiting ones do.
Several batch systems are simulated as one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from environments.domain_identity import WorkerIdentity
from scheduler.model.hosts import HostReading
from scheduler.model.queues import QueueReading
from simulations.farm import SimulatedFarm
from simulations.jobs import Request
from simulations.plant import SimulatedDomain
from simulations.scenario import EnvironmentLines, HostLines, Scenario
from simulations.world import POOL

if TYPE_CHECKING:
    from pathlib import Path

    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.model.queues import Node, RunningJob
    from scheduler.model.snapshot import Snapshot


def farm_from(snapshot: Snapshot, directory: Path, run_seconds: float) -> SimulatedFarm:
    """Make a farm that looks like the snapshot; its workers are adopted by a daemon with an empty journal."""
    observation, policy = snapshot.observation, snapshot.policy
    read = {name: reading for name, reading in observation.hosts.items() if isinstance(reading, HostReading)}
    known = {name: host for name, host in policy.hosts.items() if name in read}
    farm = SimulatedFarm(_scenario(policy, read), directory, policy=replace(policy, hosts=known))
    for name, reading in read.items():
        _populate(farm, name, reading)
    for queue in observation.queues.values():
        if isinstance(queue, QueueReading):
            _fill(farm, queue, observation, run_seconds)
    return farm


def _scenario(policy: Policy, read: dict[str, HostReading]) -> Scenario:
    hosts = {}
    for name in policy.hosts:
        if name in read:
            reading = read[name]
            hosts[name] = HostLines(
                cpus=reading.cpus,
                memory_mib=reading.memory_mib,
                virtualizations=tuple(reading.virtualizations),
                networks=tuple(sorted(reading.networks)),
            )
    environments = {
        name: EnvironmentLines.model_validate(one.model_dump()) for name, one in policy.catalogue.environments.items()
    }
    vos = {name: vo.share for name, vo in policy.catalogue.vos.items()}
    return Scenario(lasts=1, hosts=hosts, vos=vos, environments=environments, limits=policy.limits)


def _populate(farm: SimulatedFarm, name: str, reading: HostReading) -> None:
    host = farm.plant.hosts[name]
    host.machine = replace(host.machine, pools=reading.pools)
    for domain in reading.domains:
        identity = replace(domain.identity, batch_system=POOL) if isinstance(domain.identity, WorkerIdentity) else None
        environment = farm.policy.catalogue.environments.get(identity.environment) if identity else None
        host.domains[domain.name] = SimulatedDomain(
            name=domain.name,
            uuid=domain.uuid,
            memory_mib=domain.memory_mib,
            cpus=domain.cpus,
            identity=identity,
            environment=environment,
            state=domain.state,
        )
        if identity is None:
            host.strangers.add(domain.name)


def _fill(farm: SimulatedFarm, queue: QueueReading, observation: Observation, run_seconds: float) -> None:
    hosts = {worker.name: worker.host for worker in observation.workers}
    for node in queue.nodes:
        host = farm.plant.hosts.get(hosts.get(node.worker, ""))
        domain = host.domains.get(node.worker) if host is not None else None
        if host is None or domain is None or domain.environment is None:
            continue
        domain.registered = farm.queue.register(node.worker, domain.environment, farm.queue.token(node.worker), host.name)
        _occupy(farm, node, domain.environment.name, observation.now, run_seconds)
    for row in queue.clusters:
        if row.idle:
            asked = row.requirements
            request = Request(row.vo, asked.wanted, asked.cpus, asked.memory_mib, asked.walltime_seconds, (), row.problem)
            farm.queue.submit(request, row.idle, run_seconds)


def _occupy(farm: SimulatedFarm, node: Node, environment: str, now: float, run_seconds: float) -> None:
    """Let the jobs of a worker go on running where they run."""
    real = farm.queue.nodes[node.worker]
    if node.registered_at is not None:
        real.registered_monotonic -= max(0.0, now - node.registered_at)
    real.draining = node.draining
    for running in node.jobs:
        (job,) = farm.queue.submit(_request(running, environment), 1, _left(running, now, run_seconds), running.user)
        farm.queue.put(job, node.worker)


def _request(running: RunningJob, environment: str) -> Request:
    return Request(running.vo, environment, running.cpus, running.memory_mib)


def _left(running: RunningJob, now: float, run_seconds: float) -> float:
    return max(1.0, running.ends_by - now) if running.ends_by is not None else run_seconds
