"""Static ranges: `10.0.2.16-10.0.2.40/24` is the addresses that workers of an environment are given one by one."""

from __future__ import annotations

import ipaddress

MAXIMUM_ADDRESSES = 65536
EXAMPLE = "10.0.2.16-10.0.2.40/24"


def expand(text: str) -> tuple[str, ...]:
    """Return the addresses of a range with their prefix length, in order; a ValueError says what is wrong with it."""
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
    return tuple(f"{first + offset}/{network.prefixlen}" for offset in range(count))


def outside(gateway: str, addresses: tuple[str, ...]) -> str:
    """Say why a gateway does not suit a range; "" when it does."""
    address = _address(gateway)
    network = ipaddress.ip_interface(addresses[0]).network
    if address not in network:
        return f"{address} is not in the network {network} of the addresses"
    if any(ipaddress.ip_interface(one).ip == address for one in (addresses[0], addresses[-1])) or (
        int(ipaddress.ip_interface(addresses[0]).ip) <= int(address) <= int(ipaddress.ip_interface(addresses[-1]).ip)
    ):
        return f"{address} lies within the addresses given to workers"
    return ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not an IP address: write, for example, {EXAMPLE}") from None
