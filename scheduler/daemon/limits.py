"""How much one address, or the holder of one token, may ask for. Pure but for its own counts; from several threads."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

NETWORK_BITS = 64
"""Whoever has one address of IPv6 has as a rule all of its network."""


@dataclass(slots=True)
class Allowance:
    """So much at once, and so much a second in the long run, for each of many names."""

    per_second: float
    burst: float
    most_names: int = 4096
    """Of the names asked for longest ago nothing is remembered."""
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    """Name -> what is left of it, at which monotonic instant."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str, now: float, cost: float = 1.0) -> bool:
        """Take so much of a name's allowance, if there is as much; what it costs beyond that is owed."""
        with self._lock:
            left, at = self._left.pop(name, (self.burst, now))
            left = min(self.burst, left + max(0.0, now - at) * self.per_second)
            granted = left >= 1
            self._left[name] = (max(left - cost, -self.burst) if granted else left, now)
            if len(self._left) > self.most_names:
                self._left.popitem(last=False)
            return granted


def counted_as(address: str) -> str:
    """Return under which name an address is counted: an IPv4 address by itself, one of IPv6 with its network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return address if found.is_loopback else str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))
