"""Hosts that are one machine: its cores and its memory count once, whatever the ways to it. Pure.

Rules, for hosts whose readings name the same machine, in the order of the site:
1. The first one counts, with its share (`machine_percent`).
2. Another counts beside it when it is another driver (QEMU and LXC of one machine) and the shares are not more than the whole.
3. Any other is the same as the first: nothing is placed on it. Domains of the same driver are those that the first one shows;
   the memory of another driver's is not there for the first one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from scheduler.model.hosts import HostReading
from scheduler.model.readings import Unanswered

Hosts = Mapping[str, HostReading | Unanswered]
WHOLE = 100


@dataclass(slots=True)
class _Machine:
    percent: int = 0
    drivers: dict[str, str] = field(default_factory=dict)
    """Which host is which of its drivers."""


def count_machines_once(hosts: Hosts, percent_of: Callable[[str], int]) -> dict[str, HostReading | Unanswered]:
    """Return the readings with each machine in them once; a host has its share of what there is."""
    machines: dict[str, _Machine] = defaultdict(_Machine)
    counted: dict[str, HostReading | Unanswered] = {}
    for name, reading in hosts.items():
        counted[name] = reading
        if isinstance(reading, Unanswered):
            continue
        percent = percent_of(name)
        machine = machines[reading.machine or f"host {name}"]
        if first := _first(machine, reading.driver, percent):
            same_driver = reading.driver in machine.drivers
            counted[name] = _not_counted(reading, first, with_domains=not same_driver)
            ours = counted[first]
            if isinstance(ours, HostReading) and not same_driver:
                taken = sum(domain.memory_mib for domain in reading.domains)
                counted[first] = replace(ours, memory_mib=max(0, ours.memory_mib - taken))
            continue
        machine.drivers[reading.driver] = name
        machine.percent += percent
        if percent != WHOLE:
            cpus = max(1, reading.cpus * percent // WHOLE)
            counted[name] = replace(reading, cpus=cpus, memory_mib=reading.memory_mib * percent // WHOLE)
    return counted


def _first(machine: _Machine, driver: str, percent: int) -> str:
    """Return the host that counts a machine already, so that this one does not; "" when there is none, or room for both."""
    if driver in machine.drivers:
        return machine.drivers[driver]
    if machine.drivers and machine.percent + percent > WHOLE:
        return next(iter(machine.drivers.values()))
    return ""


def _not_counted(reading: HostReading, first: str, *, with_domains: bool) -> HostReading:
    domains = reading.domains if with_domains else ()
    return replace(reading, same_as=first, domains=domains, cpus=0, memory_mib=0, virtualizations=frozenset())
