"""Health of images and hosts: breakers and canaries, derived from how past boots ended.

Nothing is stored: the history of boots is judged afresh in every decision. A failed boot is blamed on its *image* (a version of
an environment) when the image has failed on several hosts in a row, on its *host* otherwise. A breaker opens, stays open for a
while that doubles with each failed probe, then lets exactly one probe through, and closes when a boot registers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import Number, Reason, counted
from scheduler.decide.blame import Culprit, advice, culprit_of, told
from scheduler.decide.waiting import Waiting
from scheduler.model.clock import clock_time
from scheduler.model.failures import FailureCause
from scheduler.model.workers import BootOutcome

if TYPE_CHECKING:
    from environments.environment import Environment
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Limits

ImageKey = tuple[str, str]
"""(environment, version)."""


@dataclass(slots=True)
class Streak:
    """Boots that failed one after the other, of one image or on one host."""

    failures: int = 0
    hosts: set[str] = field(default_factory=set)
    images: set[ImageKey] = field(default_factory=set)
    last: BootOutcome | None = None
    opened_at: float | None = None
    until: float = 0.0
    probes: int = 0
    """Probes that failed since the breaker opened."""

    def fail(self, outcome: BootOutcome, *, opens: Callable[[Streak], bool], limits: Limits) -> None:
        """Count one failure; open the breaker, or prolong it when this was a probe."""
        self.failures += 1
        self.hosts.add(outcome.host)
        self.images.add((outcome.environment, outcome.version))
        self.last = outcome
        if self.opened_at is None:
            if opens(self):
                self.opened_at = outcome.at
                self.until = outcome.at + limits.breaker_seconds
        elif outcome.at >= self.until:
            self.probes += 1
            self.until = outcome.at + min(limits.breaker_maximum_seconds, limits.breaker_seconds * 2.0**self.probes)


@dataclass(slots=True)
class Health:
    """What the history says of images, hosts and pairs of both."""

    waiting: Waiting
    images: dict[ImageKey, Streak] = field(default_factory=dict)
    hosts: dict[str, Streak] = field(default_factory=dict)
    pairs: dict[ImageKey, dict[str, Streak]] = field(default_factory=dict)
    """Failures of one image on one host: the next boot goes elsewhere, which tells who is to blame."""
    proven: set[ImageKey] = field(default_factory=set)
    failing: dict[ImageKey, Streak] = field(default_factory=dict)
    """All failures of an image since it last registered anywhere, whoever is to blame."""
    registered: dict[ImageKey, set[str]] = field(default_factory=dict)
    """Where an image has registered within the history."""
    unheard: bool = False
    """The newest boots of several images, on several hosts, ran without registering, and none has registered since."""
    lonely: Callable[[str], bool] = field(default=lambda _environment: False)
    """Whether a single host can take an environment at all."""
    zone: str = "UTC"


def judge(
    observation: Observation, limits: Limits, lonely: Callable[[str], bool], waiting: Waiting, zone: str = "UTC"
) -> Health:
    """Judge the history of boots.

    `lonely(environment)` tells whether a single host can take the environment at all: then nobody else can bear witness, and
    failures there are the image's.
    """
    health = Health(waiting, proven=set(observation.proven), lonely=lonely, zone=zone)
    health.proven.update((w.environment, w.version) for w in observation.workers if w.registered_at is not None)
    since = observation.now - limits.history_seconds
    boots = [boot for boot in observation.boots if boot.at >= since]
    failed = [boot.at for boot in boots if not boot.registered]
    if not failed:
        return health
    waiting.past(min(failed) + limits.history_seconds)  # until the first of them is forgotten
    blamed = _blame_images(boots, health, limits, lonely)
    for boot in boots:
        image = (boot.environment, boot.version)
        if boot.registered:
            health.hosts.pop(boot.host, None)
            health.pairs.get(image, {}).pop(boot.host, None)
            health.failing.pop(image, None)
            health.registered.setdefault(image, set()).add(boot.host)
            continue
        health.failing.setdefault(image, Streak()).fail(boot, opens=lambda _: False, limits=limits)
        if boot.failure is FailureCause.BATCH_SYSTEM:
            continue
        pair = health.pairs.setdefault(image, {}).setdefault(boot.host, Streak())
        pair.fail(boot, opens=lambda _: True, limits=limits)
        if boot.worker not in blamed:
            streak = health.hosts.setdefault(boot.host, Streak())
            streak.fail(boot, opens=lambda s: s.failures >= limits.host_failures, limits=limits)
    health.unheard = _unheard(boots)
    return health


def _unheard(boots: list[BootOutcome]) -> bool:
    """Whether the newest boots, of several images, all ran without registering."""
    images: set[ImageKey] = set()
    hosts: set[str] = set()
    for boot in reversed(boots):
        if boot.registered:
            break
        if boot.failure is FailureCause.UNREGISTERED:
            images.add((boot.environment, boot.version))
            hosts.add(boot.host)
    return len(images) > 1 and len(hosts) > 1


def _blame_images(boots: list[BootOutcome], health: Health, limits: Limits, lonely: Callable[[str], bool]) -> set[str]:
    """Fill the images' streaks; return the workers whose failure is the image's and not their host's."""
    members: dict[ImageKey, list[BootOutcome]] = {}
    for boot in boots:
        image = (boot.environment, boot.version)
        if boot.registered:
            health.images.pop(image, None)
            members.pop(image, None)
        elif not boot.failure.spares_image:
            streak = health.images.setdefault(image, Streak())
            alone = boot.failure is FailureCause.BATCH_SYSTEM or lonely(boot.environment)

            def opens(streak: Streak, *, alone: bool = alone) -> bool:
                return streak.failures >= limits.image_failures and (alone or len(streak.hosts) > 1)

            streak.fail(boot, opens=opens, limits=limits)
            members.setdefault(image, []).append(boot)
    blamed: set[str] = set()
    for image, failed in members.items():
        if len(health.images[image].hosts) > 1 or lonely(image[0]):
            blamed.update(boot.worker for boot in failed)
    return blamed


def image_gate(health: Health, environment: Environment, in_flight: int) -> tuple[int | None, Reason | None]:
    """Return how many boots of an environment may start now (None: no limit of this kind), and why not more."""
    image = (environment.name, environment.version)
    name = f"{environment.name} version {environment.version}"
    streak = health.images.get(image)
    if streak is not None and streak.opened_at is not None and streak.last is not None:
        story = f"{counted(streak.failures, 'boot')} in a row of {name} failed on {counted(len(streak.hosts), 'host')}"
        remedy = advice(_culprit(health, streak, streak.last), streak.last)
        return _through(health, streak, ("breaker-open", "breaker-probing"), story, remedy, in_flight=in_flight)
    if image not in health.proven:
        left = max(0, 1 - in_flight)
        sentence = f"no worker of {name} has registered yet: one canary boots first, {in_flight} under way"
        trouble = failing(health, image)
        if trouble is None:
            return left, Reason("canary", sentence, {"in_flight": in_flight}, "wait for the canary to register")
        numbers = {"in_flight": in_flight, **trouble.numbers}
        return left, Reason("canary", f"{sentence}; {trouble.sentence}", numbers, trouble.remedy)
    return None, None


def host_gate(health: Health, host: str, in_flight: int) -> tuple[int | None, Reason | None]:
    """Return how many boots may start on a host now (None: no limit of this kind), and why not more."""
    streak = health.hosts.get(host)
    if streak is None or streak.opened_at is None or streak.last is None:
        return None, None
    story = f"{counted(streak.failures, 'boot')} in a row failed on host {host}"
    elsewhere = any(health.registered.get(image, set()) - {host} for image in streak.images)
    remedy = f"look at host {host}" + (": the same images boot elsewhere" if elsewhere else "")
    return _through(health, streak, ("host-breaker-open", "host-breaker-probing"), story, remedy, in_flight=in_flight)


def _through(
    health: Health, streak: Streak, codes: tuple[str, str], story: str, remedy: str, *, in_flight: int
) -> tuple[int, Reason]:
    """Return how many boots an opened breaker lets through, with its state, since when, and when the next probe comes."""
    assert streak.last is not None
    assert streak.opened_at is not None
    is_open, now, zone = not health.waiting.over(streak.until), health.waiting.now, health.zone
    numbers: dict[str, Number] = {
        "breaker": "open" if is_open else "half-open",
        "opened_at": streak.opened_at,
        "until": streak.until,
        "failures": streak.failures,
        "hosts": len(streak.hosts),
        "images": len(streak.images),
        "failed_probes": streak.probes,
    }
    began = streak.opened_at if is_open else streak.until
    since = f"breaker {numbers['breaker']} since {clock_time(began, now, zone)}"
    last = f"the last, {told(streak.last, now, zone)}"
    if is_open:
        probe = f"the next probe boots at {clock_time(streak.until, now, zone)}"
        return 0, Reason(codes[0], f"{story} ({since}); {probe}; {last}", numbers, remedy)
    numbers["in_flight"] = in_flight
    probe = "one probe is booting" if in_flight else "one probe boots first"
    return max(0, 1 - in_flight), Reason(codes[1], f"{story} ({since}); {probe}; {last}", numbers, remedy)


def failing(health: Health, image: ImageKey) -> Reason | None:
    """Say that boots of an image have failed since it last registered, why, and what to do; None when none has."""
    streak = health.failing.get(image)
    if streak is None or streak.last is None:
        return None
    culprit = _culprit(health, streak, streak.last)
    many = "the last boot" if streak.failures == 1 else f"the last {streak.failures} boots"
    numbers: dict[str, Number] = {"failures": streak.failures, "failed_at": streak.last.at, "blame": culprit.value}
    sentence = f"{many} of {image[0]} failed; {told(streak.last, health.waiting.now, health.zone)}"
    return Reason("boots-fail", sentence, numbers, advice(culprit, streak.last))


def _culprit(health: Health, streak: Streak, boot: BootOutcome) -> Culprit:
    image = (boot.environment, boot.version)
    return culprit_of(
        boot,
        hosts=streak.hosts,
        alone=health.lonely(boot.environment),
        unheard=health.unheard,
        sound=bool(health.registered.get(image, set()) - {boot.host}),
    )


def hosts_to_avoid(health: Health, image: ImageKey) -> tuple[set[str], set[str]]:
    """Return the hosts where this image failed lately: (those to avoid if another can take it, those not to use at all)."""
    soft: set[str] = set()
    hard: set[str] = set()
    for host, streak in health.pairs.get(image, {}).items():
        if not health.waiting.over(streak.until):
            (soft if streak.failures == 1 else hard).add(host)
    return soft, hard


def failed_there(health: Health, image: ImageKey, host: str) -> Reason:
    """Say that the only host with room has just failed to boot this image, and when it is tried again."""
    streak, now = health.pairs[image][host], health.waiting.now
    assert streak.last is not None
    again = clock_time(streak.until, now, health.zone)
    story = f"the last {streak.failures} boots of {image[0]} on {host}, the only host with room, failed"
    numbers: dict[str, Number] = {"failures": streak.failures, "host": host, "until": streak.until}
    sentence = f"{story}; it is tried again at {again}; the last, {told(streak.last, now, health.zone)}"
    return Reason("failed-there", sentence, numbers, advice(_culprit(health, streak, streak.last), streak.last))
