"""Observation: readings, journal and what was seen last, merged into one value. Pure.

Rules:
1. No answer is never read as "empty".
2. Workers are joined by name: journal entry, domain that carries our identity, node of the batch system.
3. Two running domains of one name are shouted about and neither is touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scheduler.journal.records import ADOPTION_GAP, Entry, Memo, Note
from scheduler.model.host_states import HostStanding, HostWord, said_of, standing
from scheduler.model.host_states import allowed as steps_of_hosts
from scheduler.model.hosts import DiscoveryReading, DomainState, HostReading, Stored
from scheduler.model.lifecycle import SERVING
from scheduler.model.observation import Observation
from scheduler.model.policy import Policy
from scheduler.model.queues import QueueReading
from scheduler.model.readings import Unanswered, is_pending, is_silent
from scheduler.observe.believe import Shape, believe_queue, first_shape, vanished_hosts, with_last_answer
from scheduler.observe.counting import counted, tells_all
from scheduler.observe.derive import BOOT_SECONDS, WorkerFacts, entry_of, state_of, worker_of
from scheduler.observe.forgotten import give_up
from scheduler.observe.joined import Hosts, JoinedFarm, Queues, join
from scheduler.observe.left import StorageFound, left_behind
from scheduler.observe.machines import WHOLE, count_machines_once
from scheduler.observe.memory import Memory, Settled
from scheduler.observe.remember import Additions, IllegalStep

if TYPE_CHECKING:
    from scheduler.journal.records import Ledger, Source
    from scheduler.model.workers import BootOutcome, Worker

Sources = Mapping[str, QueueReading | HostReading | Unanswered]


@dataclass(frozen=True, slots=True)
class Readings:
    """What the sources answered in one round."""

    now: float
    monotonic: float
    queues: Queues
    hosts: Hosts
    performing: frozenset[int] = frozenset()
    """Numbers of the intents that this daemon is performing; other open ones were cut off."""
    explained: frozenset[str] = frozenset()
    """Workers whose domain was powered off by us or is known by an event to have ended."""
    discoveries: Mapping[str, DiscoveryReading] = field(default_factory=dict)
    """What is known of the sources that name hosts."""
    acted_on: frozenset[str] = frozenset()
    """Workers with an act under way when the sources were asked: what was read of them is from before or after it."""
    being_booted: frozenset[str] = frozenset()
    """Those of them whose act was a boot."""
    departed: frozenset[str] = frozenset()
    """Workers that have just migrated, as the hosts that they left told."""
    stored: Mapping[str, tuple[Stored, ...]] = field(default_factory=dict)
    """What hosts told of their storage since the last look; asked for now and then only."""
    closed: Mapping[str, Entry] = field(default_factory=dict)
    """Entries of workers in `stored`, closed ones included."""


@dataclass(frozen=True, slots=True)
class Merged:
    """An observation, and what it adds to memory and journal."""

    observation: Observation
    memory: Memory
    memo: Memo
    illegal: tuple[IllegalStep, ...] = ()
    twins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Worker -> hosts, for names that run more than once."""
    given_up: tuple[Entry, ...] = ()
    """Workers that are given up with their host just now."""


@dataclass(slots=True)
class _Round:
    """What is the same for all workers of one observation."""

    readings: Readings
    memory: Memory
    policy: Policy
    farm: JoinedFarm
    answering_hosts: frozenset[str]
    answering_queues: frozenset[str]
    pending_hosts: frozenset[str]
    hides: bool = False
    """Some host does not answer: a worker may run there."""
    performing: dict[str, float] = field(default_factory=dict)
    """Worker -> when its boot began that is under way."""
    cut_off: dict[str, float] = field(default_factory=dict)
    """Worker -> when the boot had begun that a crash cut off."""


def merge(readings: Readings, ledger: Ledger, memory: Memory, policy: Policy) -> Merged:
    """Make one observation."""
    queues, shapes = _believe(readings, ledger, memory, policy)
    hosts: dict[str, HostReading | Unanswered] = {
        name: with_last_answer(reading, memory.hosts_at) if isinstance(reading, Unanswered) else reading
        for name, reading in count_machines_once(readings.hosts, _share(policy)).items()
    }
    farm = join(queues, hosts, policy.site)
    explained = readings.explained | readings.acted_on
    missing = vanished_hosts(hosts, farm.showing, ledger.entries.values(), explained)
    vanished = {host: memory.vanished.get(host, readings.monotonic) for host in missing}
    confirm = policy.limits.confirm_empty_seconds
    doubted = {host for host, since in vanished.items() if readings.monotonic - since < confirm}
    pending = frozenset(name for name, reading in hosts.items() if is_pending(reading))
    believed = _believed(hosts, doubted)
    round_ = _Round(readings, memory, policy, farm, believed, _believed(queues, set()), pending, hides=hosts.keys() > believed)
    for intent in ledger.intents:
        if intent.kind == "boot":
            boots = round_.performing if intent.id in readings.performing else round_.cut_off
            boots[intent.machine] = intent.begun_at
    news = Additions()
    busy = readings.acted_on | round_.performing.keys()
    given_up = give_up(ledger, hosts, farm.domains.keys(), busy, news, now=readings.now)
    entries, unjournaled = _entries(round_, ledger, given_up)
    workers, settled = _workers(round_, ledger, entries, unjournaled, news)
    ended = {name: reading.ended for name, reading in queues.items() if isinstance(reading, QueueReading)}
    sightings = news.tell_sightings(workers, memory.sightings, farm.nodes, readings.now, memory.queues_at, ended=ended)
    sources: Sources = {**queues, **hosts}
    silent = frozenset(name for name, one in sources.items() if is_silent(one))
    news.tell_sources(sources, silent, memory.silent)
    news.settle(ledger.intents, readings.performing, workers)
    news.tell_twins(farm.twins, memory.twins)
    unheard = _unheard(round_, ledger, hosts, {entries[name].host for name in unjournaled}, news)
    never_heard = bool(unheard)
    host_states = _standings(hosts, ledger.host_words, round_, news)
    left, left_since = left_behind(_shelves(readings, entries), farm, hosts, memory.left_since)
    observation = Observation(
        now=readings.now,
        queues=queues,
        hosts=hosts,
        workers=tuple(workers.values()),
        boots=_with_news(ledger.boots, news.outcomes),
        proven=ledger.proven | {(one.environment, one.version) for one in news.outcomes if one.registered},
        host_words=ledger.host_words,
        host_states=host_states,
        next_serial=_next_serial(ledger, entries, unjournaled, never_heard=never_heard),
        services=tuple(farm.services),
        strangers=tuple(farm.strangers),
        unjournaled=unjournaled,
        unheard=tuple(name for kind, name in unheard if kind == "host"),
        untold=tuple(name for kind, name in unheard if kind == "discovery"),
        left=left,
        discoveries=readings.discoveries,
        last_jobs={name: memory.jobs[name] for name in queues.keys() & memory.jobs.keys() if not tells_all(queues[name])},
        adopting_until=_adopting_until(readings, ledger, policy) if never_heard else None,
    )
    kept = Memory(
        workers=workers,
        queues_at=_answered_at(queues, memory.queues_at, readings.now),
        hosts_at=_answered_at(hosts, memory.hosts_at, readings.now),
        jobs={**memory.jobs, **{name: counted(one) for name, one in queues.items() if tells_all(one)}},
        shapes=shapes,
        vanished=vanished,
        sightings=sightings,
        settled=settled,
        twins=frozenset(farm.twins),
        silent=silent,
        left_since=left_since,
        host_states=host_states,
    )
    forgotten = tuple(ledger.entries[name] for name in given_up)
    return Merged(observation, kept, news.memo(), tuple(news.illegal), farm.twins, forgotten)


def _standings(
    hosts: Mapping[str, HostReading | Unanswered], words: tuple[HostWord, ...], round_: _Round, news: Additions
) -> dict[str, HostStanding]:
    """Say how each host stands; a step that its life does not hold is told."""
    found, of_host = {}, defaultdict(list)
    for word in words:
        of_host[word.host].append(word)
    for name, reading in hosts.items():
        before = round_.memory.host_states.get(name)
        said = said_of(name, of_host.get(name, ()), round_.policy.hosts.get(name))
        now = found[name] = standing(reading, said, before, round_.readings.now)
        if before is not None and not steps_of_hosts(before.state, now.state):
            news.illegal.append((name, before.state, now.state))
            news.notes.append(Note("illegal-host-step", name, now.state.value, detail={"from": before.state.value}))
    return found


def _shelves(readings: Readings, entries: Mapping[str, Entry]) -> StorageFound:
    needed = entries.keys() | readings.acted_on
    return StorageFound(readings.now, readings.monotonic, readings.stored, readings.closed, needed)


def _share(policy: Policy) -> Callable[[str], int]:
    """Return which share of its machine a host has."""
    return lambda name: policy.hosts[name].machine_percent if name in policy.hosts else WHOLE


def _with_news(boots: tuple[BootOutcome, ...], ended: list[BootOutcome]) -> tuple[BootOutcome, ...]:
    """Add the boots that ended just now: a breaker that waited for the next look would let one more through."""
    told = {outcome.worker for outcome in ended}
    return (*(boot for boot in boots if boot.worker not in told), *ended) if ended else boots


def _workers(
    round_: _Round, ledger: Ledger, entries: Mapping[str, Entry], unjournaled: frozenset[str], news: Additions
) -> tuple[dict[str, Worker], dict[str, Settled]]:
    """Derive all workers; one that serves, and of which nothing has changed, is the very same value as before."""
    workers: dict[str, Worker] = {}
    settled: dict[str, Settled] = {}
    for name, entry in entries.items():
        basis = _basis(round_, entry)
        if basis is not None and round_.memory.settled.get(name) == basis:
            workers[name], settled[name] = round_.memory.workers[name], basis
            continue
        facts = _facts(round_, entry)
        worker = worker_of(facts, state_of(facts))
        workers[name] = worker
        if name not in unjournaled:
            news.tell(facts, worker, ledger)
        if basis is not None and worker.state is entry.state and worker.state in SERVING:
            settled[name] = basis
    return workers, settled


def _basis(round_: _Round, entry: Entry) -> Settled | None:
    """Return what a serving worker is derived from; None where time, doubt or a drain has a say."""
    seen = round_.farm.domains.get(entry.name)
    node = round_.farm.nodes.get((entry.batch_system, entry.name))
    if seen is None or node is None or entry.drain_cause or entry.cancelled_at or entry.name in round_.farm.twins:
        return None
    host, domain, _ = seen
    if entry.registered_at is None or entry.batch_system not in round_.answering_queues or host not in round_.answering_hosts:
        return None
    return entry, host, domain.state, node


def _believe(
    readings: Readings, ledger: Ledger, memory: Memory, policy: Policy
) -> tuple[dict[str, QueueReading | Unanswered], dict[str, Shape]]:
    queues: dict[str, QueueReading | Unanswered] = {}
    shapes = dict(memory.shapes)
    registered = {entry.batch_system for entry in ledger.entries.values() if entry.registered_at is not None}
    confirm = policy.limits.confirm_empty_seconds
    for name, reading in readings.queues.items():
        if isinstance(reading, Unanswered):
            queues[name] = with_last_answer(reading, memory.queues_at)
            continue
        shape = shapes.get(name) or first_shape(ledger.entries.values(), name)
        queues[name], shapes[name] = believe_queue(reading, shape, name in registered, readings.monotonic, confirm)
    return queues, shapes


def _believed(sources: Sources, doubted: set[str]) -> frozenset[str]:
    """Return the sources whose reading is complete and not doubted: what they do not show is not there."""
    whole = (name for name, reading in sources.items() if not isinstance(reading, Unanswered) and reading.complete)
    suspect = {name for name, reading in sources.items() if isinstance(reading, QueueReading) and reading.suspect}
    return frozenset(whole) - doubted - suspect


def _entries(round_: _Round, ledger: Ledger, given_up: AbstractSet[str]) -> tuple[dict[str, Entry], frozenset[str]]:
    """Return all workers there may be: those of the journal, and those that only their domain tells of."""
    entries = {name: entry for name, entry in ledger.entries.items() if name not in given_up} if given_up else ledger.entries
    entries = dict(entries)
    now = round_.readings.now
    for worker, (host, domain, identity) in round_.farm.domains.items():
        # One that was ended while the hosts were asked stands in an answer that is older: it is not adopted.
        if worker not in entries and worker not in round_.readings.acted_on:
            entries[worker] = entry_of(domain, identity, host, now, _boot_seconds(round_, identity.environment))
    return entries, frozenset(entries.keys() - ledger.entries.keys())


def _facts(round_: _Round, entry: Entry) -> WorkerFacts:
    readings, name = round_.readings, entry.name
    host, domain, _ = round_.farm.domains.get(name, (entry.host, None, None))
    paused_elsewhere = domain is not None and domain.state is DomainState.PAUSED and host != entry.host
    if paused_elsewhere and entry.host not in round_.answering_hosts:
        host, domain = entry.host, None  # a copy under way, perhaps: whether it runs where it was, that host alone can tell
    return WorkerFacts(
        now=readings.now,
        entry=entry,
        host=host,
        domain=domain,
        host_answers=host in round_.answering_hosts,
        host_pending=host in round_.pending_hosts,
        node=round_.farm.nodes.get((entry.batch_system, name)),
        batch_answers=entry.batch_system in round_.answering_queues,
        before=round_.memory.workers.get(name),
        boot_seconds=_boot_seconds(round_, entry.environment),
        grace_seconds=round_.policy.limits.reading_deadline_seconds,
        performing=name in round_.performing or name in readings.being_booted,
        cut_off_at=round_.cut_off.get(name),
        twins=name in round_.farm.twins,
        hides=round_.hides and name not in readings.explained,
        departed=name in readings.departed,
        shown_at=round_.memory.hosts_at.get(host),
    )


def _boot_seconds(round_: _Round, environment: str) -> float:
    found = round_.policy.catalogue.environments.get(environment)
    return found.boot_seconds if found else BOOT_SECONDS


def _next_serial(ledger: Ledger, entries: Mapping[str, Entry], unjournaled: frozenset[str], *, never_heard: bool) -> int:
    """Return the next number of a worker; a journal that has given none yet leaves room for those on hosts never heard."""
    if unjournaled:
        return max(ledger.next_serial, max(entries[name].serial for name in unjournaled) + ADOPTION_GAP)
    return 1 + ADOPTION_GAP if ledger.next_serial == 1 and never_heard else ledger.next_serial


def _adopting_until(readings: Readings, ledger: Ledger, policy: Policy) -> float | None:
    until = min(ledger.made_at, readings.now) + policy.limits.adoption_seconds
    return until if readings.now < until else None


def _unheard(round_: _Round, ledger: Ledger, hosts: Iterable[str], adopting: set[str], news: Additions) -> list[Source]:
    """Return who has workers, perhaps, that the journal does not know; tell of whom it knows all from now on.

    A journal that begins, or was restored, may have missed workers of any host named then, or by a discovery that had not
    answered then. One that is named later has had no worker. `adopting`: hosts that show workers that the journal does not
    know; it does once they are adopted.
    """
    discoveries = {("discovery", name): found.answered_at is not None for name, found in round_.readings.discoveries.items()}
    answering = {("host", name) for name in round_.answering_hosts.union(news.words)}
    answering.update(one for one, told in discoveries.items() if told)
    begins = not ledger.heard or not all(ledger.heard.get(one, True) for one in discoveries)
    known = {one: ledger.heard.get(one, not begins) for one in (*(("host", name) for name in hosts), *discoveries)}
    heard = {one: was or (one in answering and one[1] not in adopting) for one, was in known.items()}
    news.heard = {one: now for one, now in heard.items() if ledger.heard.get(one) is not now}
    return sorted(one for one, was in known.items() if not was and one not in answering)


def _answered_at(sources: Sources, before: Mapping[str, float], now: float) -> dict[str, float]:
    return dict(before) | {name: now for name, reading in sources.items() if not isinstance(reading, Unanswered)}
