"""What the site wants: limits of the loop, hosts, VOs and environments, as one value that every decision is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from environments.environment import Frozen, Seconds
from environments.matching import Catalogue
from scheduler.model.hosts import Host

Positive = Annotated[int, Field(gt=0)]


class Limits(Frozen):
    """The knobs of the loop; every field has a default that suits a few hundred hosts."""

    poll_seconds: Annotated[Seconds, Field(gt=0)] = 30
    """Time between two cycles; an event of a hypervisor starts one at once."""
    reading_deadline_seconds: Annotated[Seconds, Field(gt=0)] = 20
    """A source that has not answered by then counts as silent; nobody else waits that long for it."""
    stale_seconds: Seconds = 180
    """A reading older than this supports no drain and no power-off."""
    boots_per_cycle: Positive = 200
    """Boots ordered in one cycle, over the whole farm."""
    boots_in_flight: Positive = 400
    """Workers booting at the same time, over the whole farm."""
    boots_per_pool: Positive = 40
    """Workers booting at the same time from one storage pool or image path (a boot storm starves shared storage)."""
    drains_per_cycle: Positive = 50
    """Drains ordered in one cycle: bounded churn."""
    drain_percent: Annotated[int, Field(gt=0, le=100)] = 20
    """While its jobs wait or run, at most this share of an environment's workers drains by choice at a time (at least one)."""
    minimum_life_seconds: Seconds = 120
    """A registered worker is not retired as idle earlier than this after it registered."""
    silence_seconds: Seconds = 900
    """A registered worker that its batch system no longer sees is powered off after this long."""
    linger_seconds: Seconds = 300
    """A slot whose job was taken back or has ended is let go by its batch system in its own time (HTCondor: `vacate_seconds`
    and half a minute more). So long after that its worker is drained, and powered off when no other job runs in it."""
    reclaim: bool = True
    """Whether lent cores are taken back by drain when their owner needs its guarantee."""
    image_failures: Positive = 3
    """Boots of one image version that fail in a row, on at least two hosts or one if it is alone, before its breaker opens."""
    host_failures: Positive = 3
    """Boots that fail in a row on one host, of any image that works elsewhere, before its breaker opens."""
    breaker_seconds: Annotated[Seconds, Field(gt=0)] = 300
    """How long a breaker stays open before one probe; doubled at each further failure."""
    breaker_maximum_seconds: Seconds = 7200
    """The longest a breaker stays open between two probes."""
    history_seconds: Seconds = 86400
    """How far back boots are judged."""
    black_hole_failures: Positive = 4
    """Jobs failing at once, one after the other, before their worker is drained."""
    confirm_empty_seconds: Seconds = 45
    """An empty answer right after a full one is believed only if it still stands this long after."""
    sweep_seconds: Annotated[Seconds, Field(gt=0)] = 1800
    """Each host is asked so often what of ours lies on its storage; what no worker needs any more is removed."""
    journal_days: Positive = 400
    """What has ended so long ago (events, boots, jobs seen, workers) is removed from the journal, little by little."""
    adoption_seconds: Seconds = 300
    """With a new journal nothing boots until every host has answered once, or this long has passed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """All that a decision is given beside the observation."""

    site: str
    catalogue: Catalogue
    hosts: Mapping[str, Host]
    limits: Limits = field(default_factory=Limits)
    address_pools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Environments with a static range: name -> addresses in order, with prefix length (`10.0.2.16/24`)."""
    zone: str = "UTC"
    """IANA zone in which sentences tell the time."""
