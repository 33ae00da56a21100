"""What holds for every decision, whatever the farm looks like."""

import math
import os
import random
from collections import Counter
from dataclasses import fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from environments.environment import Virtualization
from scheduler.decide.plan import decide, still_holds
from scheduler.model.actions import CancelDrain, CleanUp, Drain, Plan, PowerOff
from scheduler.model.hosts import Host, HostReading
from scheduler.model.observation import Observation
from scheduler.model.queues import Lingering, QueueReading
from scheduler.model.readings import Unanswered
from scheduler.model.workers import Worker, WorkerState
from tests.pure.builders import (
    NOW,
    a_cluster,
    a_domain,
    a_host,
    a_policy,
    a_vo,
    a_worker,
    an_environment,
    an_observation,
    an_outcome,
    boots,
    cancels,
    drains,
    node_of,
    silent,
)

EXAMPLES = int(os.environ.get("AMBIENTI_EXAMPLES", "150"))
SERVED = {"free-slot", "boot-ordered", "booting", "drain-cancelled", "in-doubt"}
REFUSED = {"unknown-environment", "not-allowed", "no-match", "larger-than-worker"}
VOS = ("atlas", "cms")
NAMES = ("el9", "c9", "both")
HOSTS = ("h1", "h2", "h3")


def environments(chance):
    for name, vo in zip(NAMES, ("atlas", "cms", "atlas"), strict=True):
        yield an_environment(
            name,
            vo,
            vcpus=chance.choice((1, 2, 4)),
            memory_mib=chance.choice((1024, 2048, 4096)),
            maximum_workers=chance.choice((None, None, None, 3)),
            minimum_workers=chance.choice((0, 0, 0, 1)),
            spare_workers=chance.choice((0, 0, 1)),
            version=chance.choice("112"),
            shared_with=("cms",) if name == "both" else (),
            virtualization=chance.choice((*[Virtualization.QEMU] * 9, Virtualization.LXC)),
        )


def a_random_policy(chance):
    vos = [
        a_vo(
            name,
            weight=chance.choice((1.0, 2.0)),
            guarantee_cpus=chance.choice((0, 0, 4, 12)),
            ceiling_cpus=chance.choice((None, None, None, 12)),
        )
        for name in VOS
    ]
    hosts = [Host(name, max_boots=chance.choice((1, 4, 100, 100)), draining=chance.random() < 0.05) for name in HOSTS]
    limits = {
        "boots_per_cycle": chance.choice((2, 200, 200)),
        "boots_in_flight": chance.choice((3, 400, 400)),
        "drains_per_cycle": chance.choice((1, 50, 50)),
    }
    addresses = {"el9": tuple(f"10.0.0.{n}/24" for n in range(1, 4))} if chance.random() < 0.2 else None
    return a_policy(*environments(chance), vos=vos, hosts=hosts, limits=limits, addresses=addresses)


def some_workers(chance, policy, readings):
    often = [WorkerState.IDLE] * 3 + [WorkerState.BUSY] * 6
    for serial in range(1, chance.randrange(12)):
        environment = policy.catalogue.environments[chance.choice(NAMES)]
        state, host = chance.choice([*WorkerState, *often]), chance.choice(HOSTS)
        if isinstance(readings[host], Unanswered):
            state = WorkerState.UNSEEN
        elif state is WorkerState.UNSEEN:
            state = WorkerState.BUSY
        changes = {
            "environment": environment.name if chance.random() < 0.95 else "removed",
            "version": chance.choice("112"),
            "vo": chance.choice(environment.vos),
            "host": host,
            "cpus": environment.vcpus,
            "memory_mib": environment.memory_mib,
            "quick_failures": 9 if chance.random() < 0.05 else 0,
            "since": NOW - chance.choice((5, 500, 5000)),
        }
        if state is WorkerState.IDLE:
            changes |= {"free_cpus": environment.vcpus, "free_memory_mib": environment.slot_memory_mib}
            changes["idle_since"] = NOW - chance.choice((5, 500))
        if state is WorkerState.BUSY:
            changes |= {"free_cpus": chance.randrange(environment.vcpus), "free_memory_mib": chance.randrange(900)}
            changes["busy_until"] = NOW + chance.randrange(5000)
        if state in (WorkerState.DRAINING, WorkerState.DRAINED):
            changes["drain_cause"] = chance.choice(("idle", "reclaim", "lifetime", "surplus", "by-hand"))
        if state not in (WorkerState.REQUESTED, WorkerState.BOOTING, WorkerState.FAILED):
            changes["registered_at"] = NOW - chance.choice((10, 5000, 5000, 5000, 180_000))
            changes["requested_at"] = changes["registered_at"] - 60
        yield a_worker(f"{environment.name}-{serial}", state, **changes)


def some_clusters(chance):
    for n in range(chance.randrange(6)):
        vo = chance.choice(VOS)
        own = {"atlas": ("", "", "", "el9", "both"), "cms": ("", "", "", "c9", "both")}[vo]
        yield a_cluster(
            f"pool:{n}",
            chance.randrange(13),
            vo,
            cpus=chance.choice((1, 1, 1, 2, 4)),
            memory_mib=chance.choice((100, 100, 900, 1800)),
            wanted=chance.choice(own) if chance.random() < 0.95 else "nowhere",
            walltime_seconds=chance.choice((None, 3600, 100_000)),
            running=chance.randrange(3),
        )


def a_random_farm(seed):
    chance = random.Random(seed)
    policy = a_random_policy(chance)
    readings = {}
    for name in HOSTS:
        strangers = [a_domain(f"stranger-{n}", chance.choice((500, 3000))) for n in range(chance.randrange(3))]
        up = a_host(name, *strangers, cpus=chance.randint(1, 20), memory_mib=chance.randint(4000, 40000))
        readings[name] = chance.choice((*[up] * 12, silent(name), replace(up, at=NOW - 500), replace(up, complete=False)))
    workers = list(some_workers(chance, policy, readings))
    clusters = list(some_clusters(chance))
    outcomes = [
        an_outcome(chance.choice(HOSTS), registered=chance.random() < 0.6, ago=1000 - n, environment=chance.choice(NAMES))
        for n in range(chance.choice((0, 0, 3, 6)))
    ]
    proven = [(name, version) for name in NAMES for version in "12" if chance.random() < 0.9]
    observation = an_observation(
        *clusters, workers=workers, hosts=list(readings.values()), proven=proven, boots=tuple(outcomes)
    )
    kind = chance.choice((*["full"] * 12, "silent", "partial", "suspect", "stale"))
    return replace(observation, queues={"pool": told(observation.queues["pool"], kind)}), policy


def farms():
    """Random farms; a failing seed is printed and builds the same farm again."""
    return st.integers(0, 2**32).map(a_random_farm)


def told(reading, kind):
    changed = {
        "silent": silent(),
        "partial": replace(reading, complete=False),
        "suspect": replace(reading, clusters=(), suspect=True),
        "stale": replace(reading, at=NOW - 500),
    }
    return changed.get(kind, reading)


def held_memory(observation, host, boots_there=()):
    reading = observation.hosts[host]
    seen = {domain.name for domain in reading.domains}
    coming = [w for w in observation.workers if w.host == host and w.name not in seen and w.state not in ENDED]
    return sum(d.memory_mib for d in reading.domains) + sum(w.memory_mib for w in coming) + sum(boots_there)


ENDED = (WorkerState.FAILED, WorkerState.GONE)


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms())
def test_no_boot_over_commits_memory_or_goes_where_nothing_is_known(farm):
    observation, policy = farm
    environments = policy.catalogue.environments
    on_host = {}
    for boot in boots(decide(observation, policy)):
        on_host.setdefault(boot.host, []).append(environments[boot.environment])
    for host, booted in on_host.items():
        reading = observation.hosts[host]
        assert isinstance(reading, HostReading)
        assert reading.complete
        assert NOW - reading.at <= policy.limits.stale_seconds
        assert not policy.hosts[host].draining
        assert held_memory(observation, host, [e.memory_mib for e in booted]) <= reading.memory_mib
        assert all(e.virtualization in reading.virtualizations for e in booted)
        flying = sum(
            1 for w in observation.workers if w.host == host and w.state in (WorkerState.REQUESTED, WorkerState.BOOTING)
        )
        assert flying + len(booted) <= policy.hosts[host].max_boots


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms())
def test_nothing_is_ended_or_drained_on_the_word_of_a_source_that_cannot_be_believed(farm):
    observation, policy = farm
    plan = decide(observation, policy)
    workers = {worker.name: worker for worker in observation.workers}
    queue = observation.queues["pool"]
    believed = isinstance(queue, QueueReading) and queue.complete and not queue.suspect and NOW - queue.at <= 180
    for action in plan.actions:
        if not isinstance(action, (Drain, PowerOff)):
            continue
        worker = workers[action.machine]
        reading = observation.hosts[worker.host]
        assert isinstance(reading, HostReading)
        assert reading.complete
        assert NOW - reading.at <= 180
        assert believed
    if isinstance(queue, Unanswered):
        assert not boots(plan)


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms())
def test_running_work_is_never_ended_and_no_worker_gets_two_orders(farm):
    observation, policy = farm
    plan = decide(observation, policy)
    states = {worker.name: worker.state for worker in observation.workers}
    for action in plan.actions:
        if isinstance(action, PowerOff):
            assert states[action.machine] in (WorkerState.DRAINED, WorkerState.SILENT, WorkerState.FAILED)
        if isinstance(action, CleanUp):
            assert states[action.machine] in ENDED
        if isinstance(action, Drain) and states[action.machine] is WorkerState.BUSY:
            assert action.cause in ("lifetime", "host-drain", "unwanted", "black-hole", "reclaim")
        if isinstance(action, CancelDrain):
            assert states[action.machine] in (WorkerState.DRAINING, WorkerState.DRAINED)
    assert max(Counter(action.machine for action in plan.actions).values(), default=0) <= 1


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms())
def test_limits_hold_whatever_is_asked_for(farm):
    observation, policy = farm
    plan = decide(observation, policy)
    ordered, limits = boots(plan), policy.limits
    flying = sum(1 for worker in observation.workers if worker.state in (WorkerState.REQUESTED, WorkerState.BOOTING))
    assert len(ordered) <= limits.boots_per_cycle
    assert not ordered or len(ordered) + flying <= limits.boots_in_flight
    assert len(drains(plan)) <= limits.drains_per_cycle
    addresses = [boot.address for boot in ordered if boot.address] + [w.address for w in observation.workers if w.address]
    assert len(addresses) == len(set(addresses))
    serials = [boot.serial for boot in ordered]
    assert serials == list(range(observation.next_serial, observation.next_serial + len(ordered)))
    assert len({boot.machine for boot in ordered} | {w.name for w in observation.workers}) == len(ordered) + len(
        observation.workers
    )
    alive = [worker for worker in observation.workers if worker.state not in ENDED]
    for name, environment in policy.catalogue.environments.items():
        more = sum(1 for boot in ordered if boot.environment == name)
        if more and environment.maximum_workers is not None:
            assert more + sum(1 for worker in alive if worker.environment == name) <= environment.maximum_workers
    for vo in VOS:
        ceiling = policy.catalogue.vos[vo].share.ceiling_cpus
        more = sum(policy.catalogue.environments[boot.environment].vcpus for boot in ordered if boot.vo == vo)
        if more and ceiling is not None:
            assert more + sum(worker.cpus for worker in alive if worker.vo == vo) <= ceiling


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms())
def test_boots_for_demand_never_outnumber_the_waiting_jobs(farm):
    observation, policy = farm
    plan = decide(observation, policy)
    queue = observation.queues["pool"]
    waiting = sum(cluster.idle for cluster in queue.clusters) if isinstance(queue, QueueReading) else 0
    assert sum(1 for boot in boots(plan) if boot.reason.code == "demand") <= waiting
    busy = isinstance(queue, QueueReading) and any(c.idle or c.running for c in queue.clusters)
    if not busy:
        assert all(boot.reason.code in ("minimum", "canary") for boot in boots(plan))


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms(), st.randoms(use_true_random=False))
def test_the_same_farm_gives_the_same_plan_in_whatever_order_it_is_told(farm, chance):
    observation, policy = farm
    plan = decide(observation, policy)
    assert decide(observation, policy) == plan
    assert decide(shuffled(observation, chance), replace(policy, hosts=turned(policy.hosts, chance))).actions == plan.actions


def turned(mapping, chance):
    entries = list(mapping.items())
    chance.shuffle(entries)
    return dict(entries)


def shuffled(observation, chance: random.Random) -> Observation:
    workers = list(observation.workers)
    chance.shuffle(workers)
    queues = {}
    for name, reading in observation.queues.items():
        if isinstance(reading, QueueReading):
            clusters = list(reading.clusters)
            chance.shuffle(clusters)
            reading = replace(reading, clusters=tuple(clusters))
        queues[name] = reading
    return replace(observation, workers=tuple(workers), queues=queues, hosts=turned(observation.hosts, chance))


def obeyed(observation, plan, environments):
    """The farm just after the plan was carried out: boots in flight, drains begun, nothing else changed."""
    draining = drains(plan)
    cancelled = cancels(plan)
    workers = []
    for worker in observation.workers:
        if worker.name in draining:
            empty = worker.state is WorkerState.IDLE
            state = WorkerState.DRAINED if empty else WorkerState.DRAINING
            worker = replace(worker, state=state, drain_cause=draining[worker.name])
        if worker.name in cancelled:
            idle = {} if worker.jobs or worker.claimed else {"state": WorkerState.IDLE, "idle_since": NOW}
            full = environments[worker.environment]
            room = {"free_cpus": full.vcpus, "free_memory_mib": full.slot_memory_mib} if idle else {}
            worker = replace(worker, **{"state": WorkerState.BUSY, "drain_cause": "", **idle, **room})
        workers.append(worker)
    for boot in boots(plan):
        shape = environments[boot.environment]
        workers.append(
            a_worker(
                boot.machine,
                WorkerState.REQUESTED,
                serial=boot.serial,
                environment=boot.environment,
                version=boot.version,
                vo=boot.vo,
                host=boot.host,
                cpus=shape.vcpus,
                memory_mib=shape.memory_mib,
                address=boot.address,
                requested_at=NOW,
            )
        )
    queue = observation.queues["pool"]
    if isinstance(queue, QueueReading):
        known = {node.worker for node in queue.nodes}
        queue = replace(queue, nodes=tuple(node_of(worker) for worker in workers if worker.name in known))
    last = max([worker.serial for worker in workers], default=0)
    return replace(observation, workers=tuple(workers), queues={"pool": queue}, next_serial=last + 1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms())
def test_what_was_just_ordered_is_counted_and_neither_ordered_again_nor_taken_back(farm):
    observation, policy = farm
    plan = decide(observation, policy)
    after = decide(obeyed(observation, plan, policy.catalogue.environments), policy)
    told = {reason.code for verdict in plan.clusters.values() for reason in verdict.reasons}
    forced = {"lifetime", "host-drain", "unwanted", "black-hole", "drift"} & set(drains(plan).values())
    if told <= SERVED | REFUSED and not forced:
        assert [boot for boot in boots(after) if boot.reason.code == "demand"] == []
    assert not set(cancels(after)) & {name for name, cause in drains(plan).items() if cause in ("idle", "drift")}


def a_farm_of_many_clocks(seed):
    """A random farm in which much is about to happen: lifetimes, idle times, silences, breakers, slots that linger."""
    observation, policy = a_random_farm(seed)
    chance = random.Random(seed)
    limits = policy.limits

    def soon(seconds):
        """An instant from which so many seconds pass within the next minutes, or have just passed."""
        return NOW - seconds + chance.choice((0, 0.5, 30, 60, 100, 400, -0.5, -200))

    def lingering():
        until = chance.choice((None, soon(limits.linger_seconds), soon(limits.linger_seconds)))
        return Lingering(f"slot{chance.randrange(9)}", "Preempting", NOW - 900, until, "7.0")

    def timed(worker):
        environment = policy.catalogue.environments.get(worker.environment)
        lifetime, idle = (environment.lifetime_seconds, environment.idle_seconds) if environment else (172_800, 300)
        ages = (lifetime, lifetime, lifetime - 3600, lifetime - 100_000, 2 * lifetime, 500)
        changes = {"requested_at": soon(chance.choice(ages)), "since": soon(chance.choice((900, 3600, 300)))}
        if worker.registered_at is not None:
            changes["registered_at"] = max(changes["requested_at"], soon(chance.choice((limits.minimum_life_seconds, 5000))))
        if worker.idle_since is not None:
            changes["idle_since"] = soon(idle)
        if worker.state in (WorkerState.BUSY, WorkerState.DRAINING) and chance.random() < 0.3:
            changes |= {"lingering": tuple(lingering() for _ in range(chance.randint(1, 2))), "jobs": ()}
        batch_system = "removed" if chance.random() < 0.1 else worker.batch_system
        return replace(worker, batch_system=batch_system, **changes)

    workers = tuple(timed(worker) for worker in observation.workers)
    ages = (limits.breaker_seconds, 2 * limits.breaker_seconds, limits.history_seconds, 1000)
    outcomes = sorted((replace(one, at=soon(chance.choice(ages))) for one in observation.boots), key=lambda one: one.at)
    readings = {
        name: replace(reading, at=soon(limits.stale_seconds))
        if isinstance(reading, HostReading) and chance.random() < 0.3
        else reading
        for name, reading in observation.hosts.items()
    }
    queue = observation.queues["pool"]
    if isinstance(queue, QueueReading) and chance.random() < 0.2:
        queue = replace(queue, at=soon(limits.stale_seconds))
    adopting = NOW + chance.choice((-1, 0, 50)) if chance.random() < 0.1 else None
    told = {"workers": workers, "boots": tuple(outcomes), "hosts": readings, "queues": {"pool": queue}}
    return replace(observation, adopting_until=adopting, **told), policy


def codes_of(plan):
    """What was decided, without the ages in its sentences."""
    actions = [replace(one, reason=one.reason.code) for one in plan.actions]
    verdicts = [
        {key: [reason.code for reason in verdict.reasons] for key, verdict in getattr(plan, kind).items()}
        for kind in ("clusters", "workers", "vos", "environments", "hosts")
    ]
    return actions, verdicts


def just_before(instant):
    return math.nextafter(instant, -math.inf)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**32).map(a_farm_of_many_clocks), st.floats(0, 1))
def test_a_decision_that_time_alone_could_change_is_never_called_quiet(farm, part):
    observation, policy = farm
    at = NOW
    for _ in range(6):
        plan = decide(replace(observation, now=at), policy)
        assert plan.quiet_until is None or plan.quiet_until > at
        end = at + 3600 if plan.quiet_until is None else plan.quiet_until
        for later in (at + part * (end - at), just_before(end)):
            assert later == end or codes_of(decide(replace(observation, now=later), policy)) == codes_of(plan), (at, later, end)
        at = end


def with_other_words(observation):
    """The same farm, with everything else in those fields that are said to decide nothing; ages and counts stay."""
    workers = tuple(replace(w, serial=w.serial + 5000, jobs=w.jobs[:1], seen_at=NOW) for w in observation.workers)
    queues = {
        name: replace(
            reading,
            exact=not reading.exact,
            clusters=tuple(replace(one, running=3 * one.running, held=7, oldest_idle_at=NOW - 77) for one in reading.clusters),
            nodes=tuple(replace(node, free_cpus=0) for node in reading.nodes),
            warnings=reading.warnings and ("other words",),
            advice=("do this",),
        )
        if isinstance(reading, QueueReading)
        else reading
        for name, reading in observation.queues.items()
    }
    hosts = {
        name: replace(reading, machine="m", driver="d") if isinstance(reading, HostReading) else reading
        for name, reading in observation.hosts.items()
    }
    return replace(observation, workers=workers, queues=queues, hosts=hosts, strangers=(("h1", "x"),))


@settings(max_examples=EXAMPLES, deadline=None)
@given(farms())
def test_what_is_said_to_decide_nothing_decides_nothing(farm):
    observation, policy = farm
    plan, other = decide(observation, policy), decide(with_other_words(observation), policy)
    assert codes_of(plan) == codes_of(other)


def test_each_field_that_decides_ends_the_quiet():
    worker = a_worker("el9-1", state=WorkerState.IDLE)
    before = an_observation(workers=[worker])
    plan = Plan(NOW, ())
    assert still_holds(plan, before, before)
    changed = {"name": "x", "state": WorkerState.BUSY, "claimed": not worker.claimed, "lingering": (1,), "jobs": (1,)}
    for one in fields(Worker):
        if one.metadata.get("decides", one.name):
            was = getattr(worker, one.name)
            value = changed.get(one.name, f"{was}x" if isinstance(was, str) else (was or 0) + 1)
            after = replace(before, workers=(replace(worker, **{one.name: value}),))
            assert not still_holds(plan, before, after), one.name
