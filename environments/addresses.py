"""Static ranges: `10.0.2.16-10.0.2.40/24` is the addresses that workers of an environment are given one by one."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

MAXIMUM_ADDRESSES = 65536
MOST_TOGETHER = 4 * MAXIMUM_ADDRESSES
"""Of all environments of a farm."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
EXAMPLE = "10.0.2.16-10.0.2.40/24"


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses from the first to the last, of one network."""

    first: Address
    last: Address
    prefix: int

    def __len__(self) -> int:
        """Return how many there are."""
        return int(self.last) - int(self.first) + 1

    @property
    def begin(self) -> tuple[int, int]:
        """Return where it begins, for sorting: addresses of IPv4 come before those of IPv6."""
        return self.first.version, int(self.first)

    @property
    def end(self) -> tuple[int, int]:
        """Return where it ends."""
        return self.last.version, int(self.last)

    def overlaps(self, other: Range) -> bool:
        """Whether some address lies in both."""
        return self.begin <= other.end and other.begin <= self.end


def read(text: str) -> Range:
    """Read a range; a ValueError says what is wrong with it."""
    ends, slash, prefix = text.strip().partition("/")
    if not slash:
        raise ValueError(f"{text!r} has no prefix length: write, for example, {EXAMPLE}")
    first_text, dash, last_text = ends.partition("-")
    first = _address(first_text)
    last = _address(last_text) if dash else first
    if first.version != last.version:
        raise ValueError(f"{text!r} mixes IPv4 and IPv6")
    try:
        network = ipaddress.ip_network(f"{first}/{prefix.strip()}", strict=False)
    except ValueError:
        longest = first.max_prefixlen
        raise ValueError(f"{prefix!r} is not a prefix length between 0 and {longest}") from None
    if last not in network:
        raise ValueError(f"{last} is not in the network {network} of {first}")
    count = int(last) - int(first) + 1
    if count < 1:
        raise ValueError(f"{text!r} ends before it begins")
    if count > MAXIMUM_ADDRESSES:
        raise ValueError(f"{text!r} holds {count} addresses, more than {MAXIMUM_ADDRESSES}")
    return Range(first, last, network.prefixlen)


def expand(text: str) -> tuple[str, ...]:
    """Return the addresses of a range with their prefix length, in order; a ValueError says what is wrong with it."""
    found = read(text)
    return tuple(f"{found.first + offset}/{found.prefix}" for offset in range(len(found)))


def outside(gateway: str, addresses: Range) -> str:
    """Say why a gateway does not suit a range; "" when it does."""
    address = _address(gateway)
    network = ipaddress.ip_network(f"{addresses.first}/{addresses.prefix}", strict=False)
    if address not in network:
        return f"{address} is not in the network {network} of the addresses"
    if int(addresses.first) <= int(address) <= int(addresses.last):
        return f"{address} lies within the addresses given to workers"
    return ""


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not an IP address: write, for example, {EXAMPLE}") from None
