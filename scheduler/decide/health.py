"""Health of images and hosts: breakers and canaries, derived from how past boots ended.

Nothing is stored: the history of boots is judged afresh in every decision. A failed boot is blamed on its *image* (a version of
an environment) when the image has failed on several hosts in a row, on its *host* otherwise. A breaker opens, stays open for a
while that doubles with each failed probe, then lets exactly one probe through, and closes when a boot registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.model import BootOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from environments.environment import Environment
    from scheduler.model import Observation
    from scheduler.policy import Limits

ImageKey = tuple[str, str]
"""(environment, version)."""

_CAPACITY_WORDS = (
    "no space", "not enough", "cannot allocate", "out of memory", "insufficient", "quota", "no free", "exhausted",
    "unreachable", "connection refused", "did not answer", "deadline", "host lost", "stock-out",
)  # fmt: skip
"""A cause with one of these words says something of the host at that moment, nothing of the image."""


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

    images: dict[ImageKey, Streak] = field(default_factory=dict)
    hosts: dict[str, Streak] = field(default_factory=dict)
    pairs: dict[ImageKey, dict[str, Streak]] = field(default_factory=dict)
    """Failures of one image on one host: the next boot goes elsewhere, which tells who is to blame."""
    proven: set[ImageKey] = field(default_factory=set)

    def open_times(self, now: float) -> list[float]:
        """Return when breakers that are open now let their probe through."""
        of_pairs = (streak for hosts in self.pairs.values() for streak in hosts.values())
        streaks = (*self.images.values(), *self.hosts.values(), *of_pairs)
        return [s.until for s in streaks if s.opened_at is not None and s.until > now]


def judge(observation: Observation, limits: Limits, lonely: Callable[[str], bool]) -> Health:
    """Judge the history of boots.

    `lonely(environment)` tells whether a single host can take the environment at all: then nobody else can bear witness, and
    failures there are the image's.
    """
    health = Health(proven=set(observation.proven))
    health.proven.update((w.environment, w.version) for w in observation.workers if w.registered_at is not None)
    since = observation.now - limits.history_seconds
    boots = [boot for boot in observation.boots if boot.at >= since]
    if all(boot.registered for boot in boots):
        return health
    blamed = _blame_images(boots, health, limits, lonely)
    for boot in boots:
        image = (boot.environment, boot.version)
        if boot.registered:
            health.hosts.pop(boot.host, None)
            health.pairs.get(image, {}).pop(boot.host, None)
            continue
        if is_enrolment(boot):
            continue
        pair = health.pairs.setdefault(image, {}).setdefault(boot.host, Streak())
        pair.fail(boot, opens=lambda _: True, limits=limits)
        if boot.worker not in blamed:
            streak = health.hosts.setdefault(boot.host, Streak())
            streak.fail(boot, opens=lambda s: s.failures >= limits.host_failures, limits=limits)
    return health


def _blame_images(boots: list[BootOutcome], health: Health, limits: Limits, lonely: Callable[[str], bool]) -> set[str]:
    """Fill the images' streaks; return the workers whose failure is the image's and not their host's."""
    members: dict[ImageKey, list[BootOutcome]] = {}
    for boot in boots:
        image = (boot.environment, boot.version)
        if boot.registered:
            health.images.pop(image, None)
            members.pop(image, None)
        elif is_enrolment(boot) or not is_capacity(boot.cause):
            streak = health.images.setdefault(image, Streak())
            alone = is_enrolment(boot) or lonely(boot.environment)

            def opens(streak: Streak, *, alone: bool = alone) -> bool:
                return streak.failures >= limits.image_failures and (alone or len(streak.hosts) > 1)

            streak.fail(boot, opens=opens, limits=limits)
            members.setdefault(image, []).append(boot)
    blamed: set[str] = set()
    for image, failed in members.items():
        if len(health.images[image].hosts) > 1 or lonely(image[0]):
            blamed.update(boot.worker for boot in failed)
    return blamed


def is_enrolment(boot: BootOutcome) -> bool:
    """Whether a boot ended before it reached a host because the batch system did not enrol the worker.

    No host is to blame, and the image is not either; but its breaker spares the batch system further attempts for a while.
    """
    return not boot.registered and f"enrol {boot.worker}" in boot.cause


def is_capacity(cause: str) -> bool:
    """Whether a boot failed for want of room or because its host did not answer: no fault of the image."""
    lowered = cause.lower()
    return any(word in lowered for word in _CAPACITY_WORDS)


def image_gate(health: Health, environment: Environment, in_flight: int, now: float) -> tuple[int | None, Reason | None]:
    """Return how many boots of an environment may start now (None: no limit of this kind), and why not more."""
    image = (environment.name, environment.version)
    name = f"{environment.name} version {environment.version}"
    streak = health.images.get(image)
    if streak is not None and streak.opened_at is not None and streak.last is not None:
        numbers: dict[str, int | float | str] = {"failures": streak.failures, "hosts": len(streak.hosts), "until": streak.until}
        story = f"{streak.failures} boots in a row of {name} failed on {len(streak.hosts)} hosts, the last: {streak.last.cause}"
        remedy = f"repair the image of {environment.name}, or give it a new version"
        if is_enrolment(streak.last):
            remedy = "see why the batch system does not enrol new workers"
        if now < streak.until:
            wait = round(streak.until - now)
            numbers["seconds"] = wait
            return 0, Reason("breaker-open", f"{story}; the next probe boots in {wait} s", numbers, remedy)
        left = max(0, 1 - in_flight)
        return left, Reason("breaker-probing", f"{story}; one probe boots first", {**numbers, "in_flight": in_flight}, remedy)
    if image not in health.proven:
        left = max(0, 1 - in_flight)
        sentence = f"no worker of {name} has registered yet: one canary boots first, {in_flight} under way"
        return left, Reason("canary", sentence, {"in_flight": in_flight}, "wait for the canary to register")
    return None, None


def host_gate(health: Health, host: str, in_flight: int, now: float) -> tuple[int | None, Reason | None]:
    """Return how many boots may start on a host now (None: no limit of this kind), and why not more."""
    streak = health.hosts.get(host)
    if streak is None or streak.opened_at is None or streak.last is None:
        return None, None
    numbers: dict[str, int | float | str] = {"failures": streak.failures, "images": len(streak.images), "until": streak.until}
    story = f"{streak.failures} boots in a row failed on host {host}, the last: {streak.last.cause}"
    remedy = f"look at host {host}: the same images boot elsewhere"
    if now < streak.until:
        wait = round(streak.until - now)
        numbers["seconds"] = wait
        return 0, Reason("host-breaker-open", f"{story}; the next probe boots in {wait} s", numbers, remedy)
    left = max(0, 1 - in_flight)
    return left, Reason("host-breaker-probing", f"{story}; one probe boots first", numbers, remedy)


def hosts_to_avoid(health: Health, image: ImageKey, now: float) -> tuple[set[str], set[str]]:
    """Return the hosts where this image failed lately: (those to avoid if another can take it, those not to use at all)."""
    soft: set[str] = set()
    hard: set[str] = set()
    for host, streak in health.pairs.get(image, {}).items():
        if now < streak.until:
            (soft if streak.failures == 1 else hard).add(host)
    return soft, hard


def failed_there(health: Health, image: ImageKey, host: str, now: float) -> Reason:
    """Say that the only host with room has just failed to boot this image, and when it is tried again."""
    streak = health.pairs[image][host]
    wait = max(0, round(streak.until - now))
    story = f"the last {streak.failures} boots of {image[0]} on {host}, the only host with room, failed"
    numbers: dict[str, int | float | str] = {"failures": streak.failures, "host": host, "seconds": wait}
    return Reason("failed-there", f"{story}; it is tried again in {wait} s", numbers, "look at the host, or add another one")
