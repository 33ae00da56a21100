"""Blame: whose fault failed boots are (image, host, network, batch system), and what to do about it. Pure.

The cause that a connector tells says most of it; what that leaves open is told by what happened elsewhere: an image that boots
on other hosts is sound, and a batch system with which no image registers is the one to look at.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from scheduler.model.clock import clock_time
from scheduler.model.failures import FailureCause

if TYPE_CHECKING:
    from collections.abc import Collection

    from scheduler.model.workers import BootOutcome

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


def culprit_of(boot: BootOutcome, *, hosts: Collection[str], alone: bool, unheard: bool, sound: bool) -> Culprit:
    """Say who is to blame for a failed boot.

    `hosts`: where the image has failed in a row; `alone`: no other host can take it; `unheard`: of several images none has
    registered with the batch system since; `sound`: the image has registered on another host.
    """
    cause, everywhere = boot.failure, alone or len(hosts) > 1
    rules = (
        (cause is FailureCause.BATCH_SYSTEM, Culprit.BATCH_SYSTEM),
        (cause.spares_image or cause is FailureCause.NO_ANSWER, Culprit.HOST),
        (cause is FailureCause.NETWORK, Culprit.NETWORK),
        (cause is FailureCause.UNREGISTERED and unheard, Culprit.BATCH_SYSTEM),
        (cause is FailureCause.UNREGISTERED and not sound, Culprit.UNCLEAR),
        (cause in {FailureCause.IMAGE, FailureCause.STORAGE} and not everywhere, Culprit.HOST),
        (sound, Culprit.HOST),
    )
    return next((culprit for holds, culprit in rules if holds), Culprit.IMAGE)


def advice(culprit: Culprit, boot: BootOutcome) -> str:
    """Say what to do about boots that fail like this one."""
    name, host = boot.environment, boot.host
    missing = boot.failure is FailureCause.IMAGE
    if boot.failure is FailureCause.BATCH_SYSTEM:
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
