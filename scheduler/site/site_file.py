"""The site file by itself: read, checked, its ranges of hosts expanded, and which hosts are one machine by their URIs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from environments.checking import checked
from environments.hostnames import MAXIMUM_HOSTS, expand_hosts
from environments.nodes import YamlNode
from environments.problems import ConfigurationError, KeyPath, Problem
from environments.reader import read
from environments.soundness import written_of
from scheduler.site.settings import FoundHostSettings, HostSettings, Site

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
class SiteFile:
    """The site file, checked by itself."""

    path: Path
    site: Site
    node: YamlNode
    hosts: Mapping[str, HostEntry]
    kept: Path | None = None
    """Where a running daemon keeps the files beside the site file, if these are read there because they are wrong now."""

    @property
    def services(self) -> Path:
        """Where the services file stands, if there is one."""
        return self.kept / "services.yaml" if self.kept else self.path.parent / self.site.services

    @property
    def objectives(self) -> Path:
        """Where objectives in OpenSLO stand, if there are any."""
        return (self.kept or self.path.parent) / "objectives"

    @property
    def directory(self) -> Path:
        """Where the daemon keeps things."""
        return self.path.parent / self.site.daemon.directory

    @property
    def socket(self) -> Path:
        """Where the daemon listens for commands on this machine: whoever may read the directory may ask."""
        return self.directory / "daemon.sock"

    @property
    def oncall(self) -> Path:
        """Where the on-call file stands, if there is one."""
        return self.path.parent / self.site.oncall


def read_site(path: Path, problems: list[Problem], *, onward: bool = False) -> tuple[SiteFile | None, YamlNode | None]:
    """Read and check the site file by itself; the node also when only its content is wrong.

    With `onward` the file also where it can be understood in spite of what is wrong, so that more can be checked.
    """
    try:
        node = read(path)
    except ConfigurationError as error:
        problems += error.problems
        return None, None
    before = len(problems)
    site = checked(Site, node, problems, onward=True)
    if site is None:
        return None, node
    hosts = expanded(site, node, problems)
    if not (site.hosts or site.discover):
        problems.append(node.problem(("hosts",), "there are no hosts", "at least one, or `discover`"))
    problems += _twice_named(site, hosts, node)
    problems += one_machine_twice(hosts, node)
    problems += _reports_twice(site, node)
    problems += _limits(site, node)
    return (SiteFile(path, site, node, hosts) if onward or len(problems) == before else None), node


def expanded(site: Site, node: YamlNode, problems: list[Problem]) -> dict[str, HostEntry]:
    """Return the hosts of a site file one by one, its ranges expanded."""
    hosts: dict[str, HostEntry] = {}
    lower: dict[str, str] = {}
    for index, settings in enumerate(site.hosts):
        names = expand_hosts(settings.name)
        if len(hosts) + len(names) > MAXIMUM_HOSTS:
            message, expected = "there are too many hosts", f"at most {MAXIMUM_HOSTS} in all"
            problems.append(node.problem(("hosts", index, "name"), message, expected))
            break
        if len(names) > 1 and "{host}" not in settings.uri:
            message = f"{len(names)} hosts would share one connection"
            problems.append(node.problem(("hosts", index, "uri"), message, "{host} where the host's name goes"))
        for name in names:
            first = lower.setdefault(name.lower(), name)
            if first in hosts:
                line = node.walk(("hosts", hosts[first].index))[0].mark.line
                also = "" if first == name else f" as {first} (names of hosts have no case)"
                message = f"host {name} is named twice: first in line {line}{also}"
                problems.append(node.problem(("hosts", index, "name"), message, "each host once"))
                break
            hosts[name] = HostEntry(name, settings.uri.replace("{host}", name), settings, index, settings.labels)
    return hosts


def _twice_named(site: Site, hosts: Mapping[str, HostEntry], node: YamlNode) -> Iterator[Problem]:
    """Find batch systems that share a name with another or with a host: `status`, log and metrics tell sources by name."""
    found: set[str] = set()
    for index, discovery in enumerate(site.discover):
        if discovery.name in found:
            yield node.problem(("discover", index, "name"), f"{discovery.name!r} is named twice", "each discovery once")
        found.add(discovery.name)
    seen: set[str] = set()
    for index, settings in enumerate(site.batch_systems):
        if settings.name in seen:
            yield node.problem(("batch_systems", index, "name"), f"{settings.name!r} is named twice", "each batch system once")
        if settings.name in hosts:
            message = f"{settings.name!r} is the name of a host too"
            yield node.problem(("batch_systems", index, "name"), message, "a name of its own")
        seen.add(settings.name)


def _reports_twice(site: Site, node: YamlNode) -> Iterator[Problem]:
    """Find reports that share a name: by it the journal knows what was published."""
    names = [one.name for one in site.reports]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield node.problem(("reports", index, "name"), f"{name!r} is named twice", "each report once")


def _limits(site: Site, node: YamlNode) -> Iterator[Problem]:
    limits = site.limits
    if limits.breaker_maximum_seconds < limits.breaker_seconds:
        least, most = limits.breaker_seconds, limits.breaker_maximum_seconds
        right = ("breaker_maximum_seconds", f"at least {least}"), ("breaker_seconds", f"at most {most}")
        key, expected = written_of(limits, *right)
        message = f"breaker_maximum_seconds ({most} s) is less than breaker_seconds ({least} s)"
        yield node.problem(("limits", key), message, expected)
    if limits.stale_seconds < limits.poll_seconds:
        poll, stale = limits.poll_seconds, limits.stale_seconds
        key, expected = written_of(limits, ("stale_seconds", f"at least {poll}"), ("poll_seconds", f"at most {stale}"))
        message = f"stale_seconds ({stale} s) is less than poll_seconds ({poll} s): every reading would be stale"
        yield node.problem(("limits", key), message, expected)
    for name, vo in site.vos.items():
        ceiling = vo.share.ceiling_cpus
        if ceiling is not None and vo.share.guarantee_cpus > ceiling:
            path = ("vos", name, "share", "guarantee_cpus")
            yield node.problem(path, f"{vo.share.guarantee_cpus} is more than ceiling_cpus ({ceiling})", f"at most {ceiling}")


# --- which hosts are one machine, as far as their URIs tell -----------------------------------------------------------


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
