"""Small farms for the tests of decisions: every builder has a default for everything, and takes what a test is about."""

from dataclasses import replace

from environments.domain_identity import WorkerIdentity
from environments.environment import VO, Environment, Network, NetworkKind, Share, Virtualization
from environments.matching import Catalogue, Requirements
from scheduler.decide.plan import decide
from scheduler.model.actions import Boot, CancelDrain, CleanUp, Drain, PowerOff
from scheduler.model.host_states import HostState, HostWord
from scheduler.model.hosts import Domain, DomainState, Host, HostReading, PoolSpace
from scheduler.model.observation import Observation
from scheduler.model.policy import Limits, Policy
from scheduler.model.queues import Node, QueueReading, RequestCluster, RunningJob
from scheduler.model.readings import Unanswered
from scheduler.model.workers import BootOutcome, Worker, WorkerState

NOW = 1_000_000.0
DRAINED = HostWord("h1", HostState.DRAINING, NOW - 60, "anna", "new memory")
POOL = "pool"


def an_environment(name="el9", vo="atlas", **changes):
    """2 cores, 4096 MiB (3687 MiB for jobs), user network, idle after 300 s."""
    given = {
        "virtualization": Virtualization.QEMU,
        "vcpus": 2,
        "memory_mib": 4096,
        "network": Network(kind=NetworkKind.USER),
        **changes,
    }
    return Environment(name=name, vo=vo, **given)


def a_vo(name="atlas", **share):
    return VO(name=name, share=Share(**share))


def a_policy(*environments, vos=(), hosts=("h1",), limits=None, addresses=None, **host_changes):
    environments = environments or (an_environment(),)
    names = {vo.name for vo in vos}
    missing = {e.vo for e in environments} - names
    described = {vo.name: vo for vo in vos} | {name: a_vo(name) for name in sorted(missing)}
    named = [host if isinstance(host, Host) else Host(host, **{"max_boots": 100, **host_changes}) for host in hosts]
    return Policy(
        "test",
        Catalogue({e.name: e for e in environments}, described),
        {host.name: host for host in named},
        Limits(**(limits or {})),
        addresses or {},
    )


def a_host(name="h1", *domains, cpus=32, memory_mib=65536, at=NOW, kinds=(Virtualization.QEMU,), **changes):
    return HostReading(name, at, cpus, memory_mib, frozenset(kinds), tuple(domains), **changes)


def a_domain(name="stranger", memory_mib=4096, cpus=2, state=DomainState.RUNNING):
    return Domain(name, f"uuid-{name}", state, cpus, memory_mib)


def a_cluster(key="pool:1", idle=1, vo="atlas", **changes):
    """Single-core jobs of 1000 MiB; what is no field of the cluster is one of its requirements."""
    of_cluster = {
        name: changes.pop(name) for name in ("running", "held", "problem", "batch_system", "example_job") if name in changes
    }
    asked = Requirements(**{"cpus": 1, "memory_mib": 1000, **changes})
    return RequestCluster(key, of_cluster.pop("batch_system", POOL), vo, asked, idle, **of_cluster)


def a_queue(*clusters, at=NOW, source=POOL, **changes):
    return QueueReading(source, at, tuple(clusters), (), **changes)


def silent(source=POOL):
    return Unanswered(source, "connection refused", NOW, NOW - 60)


def a_worker(name="el9-1", state=WorkerState.IDLE, **changes):
    """An el9 worker of atlas on h1; idle ones registered an hour ago and idle for ten seconds."""
    given = {
        "serial": int(name.rsplit("-", 1)[-1]) if name.rsplit("-", 1)[-1].isdigit() else 1,
        "environment": "el9",
        "version": "1",
        "vo": "atlas",
        "batch_system": POOL,
        "host": "h1",
        "cpus": 2,
        "memory_mib": 4096,
        "requested_at": NOW - 3700,
        "since": NOW - 10,
    }
    registered = state not in (WorkerState.REQUESTED, WorkerState.BOOTING, WorkerState.FAILED)
    if registered:
        given["registered_at"] = NOW - 3600
    else:
        given["requested_at"] = NOW - 30
    if state is WorkerState.IDLE:
        given.update(idle_since=NOW - 10, free_cpus=2, free_memory_mib=3687)
    if state is WorkerState.BUSY:
        given.update(jobs=(RunningJob("1.0", vo="atlas"),), claimed=True, busy_until=NOW + 600)
    return Worker(name=name, state=state, **{**given, **changes})


def node_of(worker):
    return Node(
        worker.name, worker.cpus, worker.memory_mib, worker.free_cpus, worker.free_memory_mib, worker.jobs, worker.claimed,
        draining=worker.state in (WorkerState.DRAINING, WorkerState.DRAINED), registered_at=worker.registered_at,
    )  # fmt: skip


def domain_of(worker):
    identity = WorkerIdentity(
        "test",
        worker.name,
        worker.environment,
        worker.version,
        worker.vo,
        worker.batch_system,
        worker.serial,
        worker.requested_at,
    )
    return Domain(worker.name, f"uuid-{worker.name}", DomainState.RUNNING, worker.cpus, worker.memory_mib, identity)


def an_observation(*clusters, workers=(), hosts=None, queues=None, proven=(("el9", "1"),), **changes):
    """Everything answers; hosts show the domains of the workers that have one."""
    if hosts is None:
        hosts = [a_host()]
    readings = {}
    for host in hosts:
        if isinstance(host, HostReading):
            unseen = (WorkerState.REQUESTED, WorkerState.GONE)
            own = tuple(domain_of(w) for w in workers if w.host == host.host and w.state not in unseen)
            fields = {name: getattr(host, name) for name in host.__slots__}
            readings[host.host] = HostReading(**{**fields, "domains": (*host.domains, *own)})
        else:
            readings[host.source] = host
    if queues is None:
        serving = (WorkerState.IDLE, WorkerState.BUSY, WorkerState.DRAINING, WorkerState.DRAINED)
        queues = [replace(a_queue(*clusters), nodes=tuple(node_of(w) for w in workers if w.state in serving))]
    serial = max((w.serial for w in workers), default=0) + 1
    given = {"proven": frozenset(proven), "next_serial": serial, **changes}
    return Observation(NOW, {q.source: q for q in queues}, readings, tuple(workers), **given)


def an_outcome(host="h1", *, ago=100.0, cause="its domain ended", environment="el9", version="1", n=0, **more):
    given = {"registered": False, **more}
    return BootOutcome(f"{environment}-{host}-{ago}-{n}", environment, version, host, NOW - ago, cause=cause, **given)


def a_pool(name="shared", available_gib=1000.0, active=True):
    return PoolSpace(name, available_gib, active)


def plan_for(*clusters, policy=None, **changes):
    return decide(an_observation(*clusters, **changes), policy or a_policy())


def boots(plan):
    return [action for action in plan.actions if isinstance(action, Boot)]


def drains(plan):
    return {action.machine: action.cause for action in plan.actions if isinstance(action, Drain)}


def cancels(plan):
    return [action.machine for action in plan.actions if isinstance(action, CancelDrain)]


def power_offs(plan):
    return [action.machine for action in plan.actions if isinstance(action, PowerOff)]


def clean_ups(plan):
    return [action.machine for action in plan.actions if isinstance(action, CleanUp)]


def codes(verdict):
    return [reason.code for reason in verdict.reasons]
