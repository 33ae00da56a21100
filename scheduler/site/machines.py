"""The hosts of a site, and which of them are one machine, as far as their URIs tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from scheduler.site.settings import FoundHostSettings, HostSettings

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from environments.problems import KeyPath, Problem

WHOLE = 100
_PORTS = {"ssh": 22, "libssh": 22, "libssh2": 22, "tcp": 16509, "tls": 16514}
"""By transport, where no other is named."""
_HERE = {"", "localhost", "127.0.0.1", "::1", "localhost.localdomain"}


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One host, after ranges are expanded."""

    name: str
    uri: str
    settings: HostSettings | FoundHostSettings
    index: int
    """Which entry of the site file's `hosts`, or of its `discover`, it comes from."""
    labels: Mapping[str, str] = field(default_factory=dict)
    discovery: str = ""
    """Which discovery names it; "" for one of the site file itself."""
    left: bool = False
    """The discovery names it no longer: it is being emptied."""

    @property
    def place(self) -> KeyPath:
        """Where the site file describes it."""
        return ("discover", self.index, "hosts") if self.discovery else ("hosts", self.index)


@dataclass(frozen=True, slots=True)
class _Way:
    """What a URI leads to."""

    machine: tuple[str, str]
    """The host's name (with the port where one is named: a forwarded one leads elsewhere), and the socket."""
    driver: str
    path: str


def one_machine_twice(hosts: Mapping[str, HostEntry], node: YamlNode) -> Iterator[Problem]:
    """Find hosts that are one hypervisor, and drivers of one machine whose shares are more than the whole machine."""
    by_machine: dict[tuple[str, str], list[tuple[HostEntry, _Way]]] = {}
    seen: set[tuple[int, str]] = set()
    for entry in hosts.values():
        way = _way(entry.uri)
        if way is not None and (entry.index, entry.uri) not in seen:  # a range behind one connection is told elsewhere
            seen.add((entry.index, entry.uri))
            by_machine.setdefault(way.machine, []).append((entry, way))
    for found in by_machine.values():
        told: set[int] = set()
        for number, (entry, way) in enumerate(found[1:], start=1):
            first = next((one for one, other in found[:number] if (other.driver, other.path) == (way.driver, way.path)), None)
            if first is not None and entry.index not in told:
                told.add(entry.index)
                message = f"{entry.name} is the same hypervisor as {first.name} ({first.uri}): all of it would count twice"
                yield node.problem((*entry.place, "uri"), message, "each hypervisor once")
        if not told:
            yield from _shares([entry for entry, _ in found], node)


def _shares(entries: Sequence[HostEntry], node: YamlNode) -> Iterator[Problem]:
    percent = sum(entry.settings.machine_percent for entry in entries)
    if len(entries) > 1 and percent > WHOLE:
        names = " and ".join(entry.name for entry in entries)
        message = f"{names} are one machine, and have {percent} % of its cores and memory together"
        key = (*entries[-1].place, "machine_percent")
        yield node.problem(key, message, f"a machine_percent for each, at most {WHOLE} together")


def _way(uri: str) -> _Way | None:
    """Read a URI; None for libvirt's test driver, where each connection is a host of its own but for `test:///default`."""
    try:
        parts = urlsplit(uri)
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
        socket = parse_qs(parts.query).get("socket", [""])[0]
    except ValueError:
        return None
    driver, _, transport = parts.scheme.partition("+")
    if driver == "test" and not transport and parts.path.rstrip("/") != "/default":
        return None
    host = "" if host in _HERE and port is None else host
    port = None if port == _PORTS.get(transport or "tls") else port
    return _Way((f"{host}:{port}" if port else host, socket), driver, parts.path.rstrip("/"))
