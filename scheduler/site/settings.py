"""The site file: batch systems, hypervisor hosts, storage pools, shares, limits, and where the daemon keeps its things."""

from __future__ import annotations

import ipaddress
import re
import string
import sys
import zoneinfo
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from environments.checking import named_error
from environments.environment import Frozen, Name, Reserve, Seconds, Share, Virtualization, VOName
from environments.hostnames import checked_address, checked_hosts, checked_machine, checked_port, checked_url, each_once
from environments.names import nearest
from environments.text import OneLine
from scheduler.model.policy import Limits
from scheduler.site.report_written import ReportSettings

BATCH_SYSTEMS = "ambienti.batch_systems"
HYPERVISORS = "ambienti.hypervisors"
DISCOVERIES = "ambienti.discoveries"


_DRIVERS = ("xen", "qemu", "lxc", "test")
_BY_SSH = ("ssh", "libssh", "libssh2", "ext")
"""Transports for which a host may be an alias of one's own."""
_TRANSPORTS = ("ssh", "tls", "tcp", "unix", "libssh", "libssh2", "ext")


def known_kinds(group: str) -> tuple[str, ...]:
    """Return the connectors installed for an entry-point group."""
    return tuple(sorted(entry_points(group)))


def entry_points(group: str) -> Mapping[str, metadata.EntryPoint]:
    """Return the entry points of a group by name; the packages are searched once, not for each of ten thousand hosts."""
    return _searched(group, tuple(sys.path))


@cache
def _searched(group: str, _path: tuple[str, ...]) -> Mapping[str, metadata.EntryPoint]:
    return {one.name: one for one in metadata.entry_points(group=group)}


def _known_kind(group: str, what: str) -> AfterValidator:
    def check(kind: str) -> str:
        known = known_kinds(group)
        if kind not in known:
            message = f"no connector for {what} is called {kind!r}"
            raise named_error(message, f"one of: {', '.join(known)}", nearest(kind, known))
        return kind

    return AfterValidator(check)


def _uri(uri: str) -> str:
    return _checked_uri(uri, ("host",))


def _checked_uri(uri: str, known: tuple[str, ...]) -> str:
    expected = " or ".join(f"{{{name}}}" for name in known) + " where the host's name goes"
    try:
        parsed = [one[1:] for one in string.Formatter().parse(uri) if one[1] is not None]
    except ValueError as error:
        raise named_error(f"a brace is left alone ({error})", expected) from error
    fields = [f"{name}{f'!{kind}' if kind else ''}{f':{spec}' if spec else ''}" for name, spec, kind in parsed]
    wrong = next((field for field in fields if field not in known), None)
    if wrong is not None:
        raise named_error(f"{{{wrong}}} stands for nothing", expected, f"{{{nearest(wrong, known) or known[0]}}}")
    if "://" not in uri:
        raise named_error(f"{uri!r} is not a URI", "for example xen+ssh://root@{host}/system or qemu:///system")
    driver, _, transport = uri.partition("://")[0].partition("+")
    for word, what, words in ((driver, "driver", _DRIVERS), (transport, "transport", _TRANSPORTS)):
        if word and word not in words and (near := nearest(word, words)):
            raise named_error(f"{word!r} is no {what} of libvirt", f"one of: {', '.join(words)}", near)
    whom = uri.partition("://")[2].replace("{host}", "host").replace("{port}", "1")
    user, _, machine = re.split(r"[/?#]", whom, maxsplit=1)[0].rpartition("@")
    if ":" in user:  # it would stand in every screen and in the journal
        raise named_error(
            "a password stands in it", "the user alone: libvirt takes passwords from its auth.conf on this machine"
        )
    if machine:
        checked_address(machine, "for example xen+ssh://root@{host}:22/system", alias=transport in _BY_SSH)
    return uri


def _uri_of_found(uri: str) -> str:
    if "{host}" not in _checked_uri(uri, ("host", "port")):
        raise named_error("all hosts found would share one connection", "{host} where the host's name goes")
    return uri


def _root(path: str) -> str:
    if not path.startswith("/") or ".." in path.split("/"):
        raise named_error(f"{path!r} is not a directory of the hosts", "a path from / on, without `..`: /srv/images", "")
    return path


def _zone(name: str) -> str:
    zones = zoneinfo.available_timezones()
    if name not in zones:
        raise named_error(f"no time zone is called {name!r}", "an IANA zone, e.g. Europe/Rome", nearest(name, zones))
    return name


def split_address(text: str) -> tuple[str, int] | None:
    """Return host and port of `127.0.0.1:9620`, `[::1]:9620` or `localhost:9620`; None for "" (nothing listens)."""
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    example = "host:port, e.g. 127.0.0.1:9620"
    if not colon or not port or not host:
        raise named_error(f"{text!r} is not an address", example)
    bare = host.strip("[]")
    if ":" in bare:
        try:
            ipaddress.IPv6Address(bare)
        except ValueError:
            raise named_error(f"{host!r} is not an IPv6 address", "[::1]:9620") from None
    return checked_machine(bare, example), checked_port(port, least=0)


def _hostname(name: str) -> str:
    if ":" in name:
        raise named_error(f"{name!r} is not the name of a machine", _BARE_NAME)
    return checked_machine(name, _BARE_NAME)


_BARE_NAME = "a name without a port, e.g. farm.example"
Hostname = Annotated[str, AfterValidator(_hostname)]


def _listen(text: str) -> str:
    if (found := split_address(text)) is not None:
        checked_port(found[1])  # at port 0 any free one would be taken: nobody would know where to ask
    return text


def _url(url: str) -> str:
    found = checked_url(url) if url else ""
    if found.startswith("http://") and not re.match(r"http://(127\.[0-9.]+|\[::1\]|localhost)(:|/|$)", found):
        raise named_error("a token is not sent over the network in the clear", "an https address, of a proxy before the daemon")
    return found


def _journal(url: str) -> str:
    if not re.match(r"^(sqlite|postgresql)(\+\w+)?:", url):
        scheme = url.partition(":")[0]
        near = nearest(scheme, ["sqlite", "postgresql"])
        raise named_error(f"{scheme!r} holds no journal", "sqlite:///ambienti.db or postgresql+psycopg://user@host/name", near)
    rest = url.partition("://")[2]
    machine = re.split(r"[/?]", rest.partition("@")[2] if "@" in rest else rest, maxsplit=1)[0]
    if url.startswith("postgresql") and machine:
        try:
            checked_address(machine, "")
        except ValueError:  # its words would quote what may be part of a password
            expected = "postgresql+psycopg://user@host:5432/name; in a password %40 for @, %2F for /"
            raise named_error("the host or the port of the URL cannot be one", expected) from None
    return url


def _nothing_is_default(value: object) -> object:
    return {} if value is None else value


class BatchSystemSettings(Frozen):
    """One batch system. `options` are those of its connector (see the reference of each)."""

    name: Name
    """Yours to choose; part of what `status` and the metrics show."""
    kind: Annotated[str, _known_kind(BATCH_SYSTEMS, "batch systems")] = "htcondor"
    """The connector: an entry point of `ambienti.batch_systems` (htcondor, simulated...)."""
    options: dict[OneLine, Any] = {}
    """Checked by the connector itself, with the same messages as this file."""


class _Hosts(Frozen):
    """What an entry of `hosts` and the hosts that a discovery finds have in common."""

    kind: Annotated[str, _known_kind(HYPERVISORS, "hypervisors")] = "libvirt"
    """The connector: an entry point of `ambienti.hypervisors`."""
    labels: dict[OneLine, OneLine] = {}
    """What environments can ask for."""
    reserve_mib: Reserve = 0
    """Memory kept for the host itself, in MiB (or `4 GiB`)."""
    max_boots: Annotated[int, Field(gt=0)] = 4
    """Simultaneous boots on this host."""
    cpu_overcommit: Annotated[float, Field(gt=0)] = 1.0
    """Virtual per physical cores; memory is never over-committed."""
    machine_percent: Annotated[int, Field(gt=0, le=100)] = 100
    """Its share of its machine's cores, and of the memory beyond `reserve_mib`; 100 but for two drivers of one machine."""
    virtualizations: tuple[Virtualization, ...] = ()
    """What the host may be used for; by default what libvirt says it can."""
    options: dict[OneLine, Any] = {}
    """Further options of the connector."""


class _NamedHosts(Frozen):
    name: Annotated[str, AfterValidator(checked_hosts)]
    """`xen1`, or a range `node[001-300]`: one host each."""
    uri: Annotated[OneLine, AfterValidator(_uri)]
    """libvirt URI: xen+ssh://root@{host}/system, qemu:///system, lxc:///system, test:///default."""


class HostSettings(_Hosts, _NamedHosts):
    """One hypervisor host, or a pattern of several: `uri` may hold `{host}`."""


class _LocatedHosts(Frozen):
    uri: Annotated[OneLine, AfterValidator(_uri_of_found)]
    """libvirt URI with `{host}`, and `{port}` where the source tells ports: xen+ssh://root@{host}/system."""


class FoundHostSettings(_Hosts, _LocatedHosts):
    """The hosts that a discovery finds. Labels that the source gives a host come before these."""


class DiscoverySettings(Frozen):
    """A source that names hosts. `options` are those of its connector (see the reference of each)."""

    name: Name
    """Yours to choose; part of what `status` and the metrics show."""
    kind: Annotated[str, _known_kind(DISCOVERIES, "discoveries")]
    """The connector: an entry point of `ambienti.discoveries` (dns, file...)."""
    options: dict[OneLine, Any] = {}
    """Checked by the connector itself, with the same messages as this file."""
    hosts: FoundHostSettings
    """What is the same for all hosts it finds."""
    every_seconds: Annotated[Seconds, Field(gt=0)] = 30
    """How often it is asked."""
    leave_seconds: Annotated[Seconds, Field(gt=0)] = 120
    """A host that an answer lacks is emptied if an answer so long after lacks it still."""
    leave_percent: Annotated[int, Field(gt=0, le=100)] = 25
    """An answer that lacks a larger share of the known hosts (and more than one) is not believed: nobody leaves."""


class VOSettings(Frozen):
    """One VO in the site file."""

    file: OneLine | None = None
    """Its environments, relative to the site file; by default `vos/NAME.yaml`."""
    share: Share = Share()
    """Weight, guarantee and ceiling."""


class DaemonSettings(Frozen):
    """Where the daemon keeps and shows things."""

    journal: Annotated[OneLine, AfterValidator(_journal)] = "sqlite:///ambienti.db"
    """SQLAlchemy URL; a relative SQLite path is relative to the site file."""
    directory: OneLine = "state"
    """What connectors keep (tokens, caches), relative to the site file."""
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9620"
    """Address of /healthz, /metrics, /snapshot and /status; "" for none. Commands on the machine need none."""
    names: Annotated[tuple[Hostname, ...], AfterValidator(each_once)] = ()
    """By which further names this address is asked (of a proxy, an alias): a request for another name is refused."""
    url: Annotated[OneLine, AfterValidator(_url)] = ""
    """https address of a proxy before the daemon: there commands on other machines ask it. `AMBIENTI_URL` comes first."""
    log: Literal["human", "json"] = "human"
    """Form of the log."""
    lease_seconds: Annotated[Seconds, Field(gt=0)] = 60
    """A second daemon takes over when it has seen no renewal of the lease for this long, by its own clock."""


class Site(Frozen):
    """The site file."""

    site: Name
    """Name of the farm: part of every worker's UUID, so never change it."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """IANA zone in which calendars are cut."""
    batch_systems: Annotated[tuple[BatchSystemSettings, ...], Field(min_length=1)]
    """At least one."""
    hosts: tuple[HostSettings, ...] = ()
    """At least one, unless they are discovered."""
    discover: tuple[DiscoverySettings, ...] = ()
    """Sources that name further hosts."""
    image_roots: tuple[Annotated[OneLine, AfterValidator(_root)], ...] | None = None
    """Directories of the hosts below which images, kernels and ramdisks given by path must lie; by default anywhere but in what
    belongs to a host itself (`/etc`, `/root`, `/home`, `/dev`, `/proc`, `/run`, `/sys`, `/var/log` and the like)."""
    vos: Annotated[dict[VOName, Annotated[VOSettings, BeforeValidator(_nothing_is_default)]], Field(min_length=1)]
    """The VOs served."""
    services: OneLine = "services.yaml"
    """Further objects, groups and objectives for the availability report, relative to the site file; it may be missing."""
    oncall: OneLine = "oncall.yaml"
    """Who is paged, relative to the site file; without that file nobody is."""
    reports: tuple[ReportSettings, ...] = ()
    """Reports that are made and mailed again and again."""
    limits: Limits = Limits()
    """The knobs of the loop."""
    daemon: DaemonSettings = DaemonSettings()
    """Journal, address, log."""
