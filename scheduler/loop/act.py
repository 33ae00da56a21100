"""Acting: journal the intents, set them going, tell what became of them.

Rules:
1. The intents of a plan are committed before its first side effect, in one transaction that holds the lease.
2. Nobody waits long: an act that has not ended goes on by itself, and its end is told with those of a later plan.
3. One act at a time on each worker.
4. The ends that come while they are waited for are written in one commit: nothing of this cycle depends on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.domain_identity import WorkerIdentity
from scheduler.journal.records import Entry, Intent, Outcome
from scheduler.loop.errands import Act, Tools, errand_of, write_ends
from scheduler.loop.under_way import ActionResult
from scheduler.model.actions import Action, Adopt, Boot, CleanUp, PowerOff, Sweep
from scheduler.model.hosts import HostReading, worker_uuid
from scheduler.model.workers import WorkerState
from scheduler.observe.derive import BOOT_SECONDS, entry_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy


def perform(
    actions: Sequence[Action], observation: Observation, policy: Policy, tools: Tools, seconds: float
) -> list[ActionResult]:
    """Perform actions, waiting at most so long: one result each, in their order, then those of earlier ones that ended since.

    Raises JournalError when an intent cannot be written (nothing is done then) or an end cannot (the act is done; the next
    observation finds it).
    """
    steps = _begin(actions, observation, policy, tools)
    acts = [step for step in steps if isinstance(step, Act)]
    if acts:
        tools.under_way.gather()
        try:
            tools.runner.start(map(errand_of, acts), seconds)
        finally:
            write_ends(tools, tools.under_way.take_gathered())
    ended = tools.under_way.take_ended()
    results = [step if isinstance(step, ActionResult) else ended.pop(step.number, _goes_on(step)) for step in steps]
    return [*results, *ended.values()]


def _begin(actions: Sequence[Action], observation: Observation, policy: Policy, tools: Tools) -> list[Act | ActionResult]:
    """Commit the intents of all actions that can be performed; each becomes an act, or is refused with why."""
    now = tools.clock.now()
    known = tools.journal.ledger().entries if actions else {}
    busy = tools.under_way.busy()
    prepared = [(one, _possible(_prepare(one, observation, policy, now), tools, known, busy)) for one in actions]
    intents = [intent for _, intent in prepared if isinstance(intent, Intent)]
    numbered = iter(tools.journal.begin(tools.lease.owner, now, intents) if intents else [])
    steps: list[Act | ActionResult] = []
    for action, intent in prepared:
        number = next(numbered) if isinstance(intent, Intent) else intent
        if isinstance(intent, Intent) and isinstance(number, int):
            steps.append(Act(number, action, intent.entry or known.get(action.machine), tools, policy))
        else:
            steps.append(ActionResult(action, Outcome.REFUSED, str(number)))
    return steps


def _goes_on(step: Act) -> ActionResult:
    return ActionResult(step.action, Outcome.UNDER_WAY, "goes on by itself")


def _prepare(action: Action, observation: Observation, policy: Policy, now: float) -> Intent | str:
    """Return the intent of an action with the entry it opens, or why that cannot be made."""
    if isinstance(action, Boot):
        if action.environment not in policy.catalogue.environments:
            return f"environment {action.environment} is no longer defined"
        return Intent(action, _ordered(action, policy, now))
    if isinstance(action, Adopt):
        entry = _adopted(action, observation, policy, now)
        return Intent(action, entry) if entry else "its domain is no longer seen"
    return Intent(action)


def _possible(intent: Intent | str, tools: Tools, known: Mapping[str, Entry], busy: Mapping[str, Action]) -> Intent | str:
    """Return the intent, or why it cannot be performed from here, or not now."""
    if isinstance(intent, str):
        return intent
    action = intent.action
    if action.machine in busy:
        return f"a {busy[action.machine].kind.code} of it is still under way"
    if intent.entry is None and (action.machine in known) == isinstance(action, Sweep):
        swept = "its worker stands in the journal again"
        return swept if isinstance(action, Sweep) else "the journal does not know this worker, or has closed it"
    if isinstance(action, (Boot, PowerOff, CleanUp, Sweep)) and action.host not in tools.hypervisors:
        return f"host {action.host} is not configured"
    if isinstance(action, Boot) and action.batch_system not in tools.batch_systems:
        return f"batch system {action.batch_system} is not configured"
    return intent


def _ordered(action: Boot, policy: Policy, now: float) -> Entry:
    environment = policy.catalogue.environments[action.environment]
    return Entry(
        name=action.machine,
        serial=action.serial,
        uuid=worker_uuid(policy.site, action.machine, action.serial),
        environment=action.environment,
        version=action.version,
        vo=action.vo,
        batch_system=action.batch_system,
        host=action.host,
        cpus=environment.vcpus,
        memory_mib=environment.memory_mib,
        state=WorkerState.REQUESTED,
        since=now,
        requested_at=now,
        address=action.address,
    )


def _adopted(action: Adopt, observation: Observation, policy: Policy, now: float) -> Entry | None:
    reading = observation.hosts.get(action.host)
    for domain in reading.domains if isinstance(reading, HostReading) else ():
        identity = domain.of_site(policy.site)
        if isinstance(identity, WorkerIdentity) and identity.machine == action.machine:
            environment = policy.catalogue.environments.get(identity.environment)
            return entry_of(domain, identity, action.host, now, environment.boot_seconds if environment else BOOT_SECONDS)
    return None
