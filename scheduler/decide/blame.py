"""Blame: whose fault failed boots are (image, host, network, batch system), and what to do about it. Pure.

Words of the sources tell most of it; what they leave open is told by what happened elsewhere: an image that boots on other
hosts is sound, and a batch system with which no image registers is the one to look at.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from scheduler.model.clock import clock_time

if TYPE_CHECKING:
    from collections.abc import Collection

    from scheduler.model.workers import BootOutcome

_CAPACITY_WORDS = (
    "no space", "not enough", "cannot allocate", "out of memory", "insufficient", "quota", "no free", "exhausted",
    "unreachable", "connection refused", "did not answer", "deadline", "host lost", "stock-out",
)  # fmt: skip
"""A cause with one of these words says something of the host at that moment, nothing of the image."""
_SILENT_HOST = ("no answer within", "not asked", "connect to ", "did not come to its turn")
_NETWORK = re.compile(r"\b(network|bridge|vlan|interface|tap device|mac address|mtu|vif)s?\b")
_MISSING = (
    "no such file", "no such volume", "not exist", "cannot access storage", "not found", "is missing",
    "image.path: there is no",
)  # fmt: skip
_UNREGISTERED = "did not register with"
SHOWN = 300
"""So much of a source's own words stands in a sentence."""


class Culprit(StrEnum):
    """Who is to blame for boots that fail."""

    IMAGE = "image"
    HOST = "host"
    NETWORK = "network"
    BATCH_SYSTEM = "batch system"
    UNCLEAR = "unclear"
    """The worker ran and did not register: its image, its network or the batch system."""


def is_enrolment(boot: BootOutcome) -> bool:
    """Whether a boot ended before it reached a host because the batch system did not enrol the worker.

    No host is to blame, and the image is not either; but its breaker spares the batch system further attempts for a while.
    """
    return not boot.registered and f"enrol {boot.worker}" in boot.cause


def is_capacity(cause: str) -> bool:
    """Whether a boot failed for want of room or because its host did not answer: no fault of the image."""
    lowered = cause.lower()
    return any(word in lowered for word in _CAPACITY_WORDS)


def ran_unregistered(boot: BootOutcome) -> bool:
    """Whether the worker ran, and its batch system never saw it."""
    return not boot.registered and _UNREGISTERED in boot.cause


def culprit_of(boot: BootOutcome, *, hosts: Collection[str], alone: bool, unheard: bool, sound: bool) -> Culprit:
    """Say who is to blame for a failed boot.

    `hosts`: where the image has failed in a row; `alone`: no other host can take it; `unheard`: of several images none has
    registered with the batch system since; `sound`: the image has registered on another host.
    """
    lowered = boot.cause.lower()
    of_host, everywhere = Culprit.HOST, alone or len(hosts) > 1
    rules = (
        (is_enrolment(boot), Culprit.BATCH_SYSTEM),
        (is_capacity(lowered) or any(words in lowered for words in _SILENT_HOST), of_host),
        (bool(_NETWORK.search(lowered)), Culprit.NETWORK),
        (ran_unregistered(boot) and unheard, Culprit.BATCH_SYSTEM),
        (ran_unregistered(boot) and not sound, Culprit.UNCLEAR),
        (any(words in lowered for words in _MISSING) and not everywhere, of_host),
        (sound, of_host),
    )
    return next((culprit for holds, culprit in rules if holds), Culprit.IMAGE)


def advice(culprit: Culprit, boot: BootOutcome) -> str:
    """Say what to do about boots that fail like this one."""
    name, host = boot.environment, boot.host
    missing = any(words in boot.cause.lower() for words in _MISSING)
    if culprit is Culprit.BATCH_SYSTEM and is_enrolment(boot):
        return "see why the batch system does not enrol new workers (`ambienti check --live`)"
    if missing and culprit is Culprit.IMAGE:
        return f"put the image where `image` of {name} says, or correct it there (`ambienti check --live`)"
    if missing and culprit is Culprit.HOST:
        return f"see why host {host} does not find the image of {name} (is the share mounted there?)"
    return {
        Culprit.BATCH_SYSTEM: "look at the batch system: workers of several environments boot, and none of them registers",
        Culprit.NETWORK: f"compare `network` of {name} with the networks of host {host} (`ambienti check --live`)",
        Culprit.UNCLEAR: f"read the console of {boot.worker} on host {host}: "
        "its start daemon must run and reach the batch system",
        Culprit.IMAGE: f"repair the image of {name}, or give it a new version",
        Culprit.HOST: f"look at host {host}",
    }[culprit]


def told(boot: BootOutcome, now: float, zone: str) -> str:
    """Tell of one failed boot: where and when, and why in the words of its source."""
    cause = boot.cause if len(boot.cause) <= SHOWN else f"{boot.cause[:SHOWN]}..."
    return f"{boot.worker} on host {boot.host} at {clock_time(boot.at, now, zone)}: {cause or 'nobody said why'}"
