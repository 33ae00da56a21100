"""Hosts named by DNS: the targets of a service record (SRV)."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Annotated

from dns import exception, resolver
from dns.nameserver import Do53Nameserver
from dns.rdtypes.IN.SRV import SRV
from pydantic import AfterValidator

from environments.checking import named_error
from environments.environment import Frozen
from environments.hostnames import each_once
from environments.text import OneLine
from scheduler.model.ports import FoundHost, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = 53
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def _record(text: str) -> str:
    labels = text.rstrip(".").split(".")
    if len(labels) < 3 or not labels[0].startswith("_") or labels[1] not in {"_tcp", "_udp"}:
        raise named_error(f"{text!r} is not the name of a service record", "_service._tcp.domain: _libvirt._tcp.example.org")
    if any(not 0 < len(label) <= 63 for label in labels) or len(text) > 253:
        raise named_error(f"{text!r} cannot be a name of the DNS", "labels of 1 to 63 characters, 253 in all")
    return text.rstrip(".")


def _server(text: str) -> str:
    name_server(text)
    return text


def name_server(text: str) -> tuple[str, int]:
    """Return address and port of `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353`."""
    bracketed = re.fullmatch(r"\[([^]]+)\](?::(\d+))?", text)
    plain = re.fullmatch(r"([0-9.]+)(?::(\d+))?", text)
    found = bracketed or plain
    address, port = (found[1], int(found[2] or PORT)) if found else (text, PORT)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        port = 0
    if not 0 < port <= 65535:
        raise named_error(f"{text!r} is not the address of a name server", "an IP address, with a port if not 53: 192.0.2.1")
    return address, port


class DNSOptions(Frozen):
    """Service records of the DNS."""

    record: Annotated[OneLine, AfterValidator(_record)]
    """Name of the SRV records, one for each host: `_libvirt._tcp.farm.example.org`. Priority and weight mean nothing here."""
    servers: Annotated[tuple[Annotated[OneLine, AfterValidator(_server)], ...], AfterValidator(each_once)] = ()
    """Addresses of name servers, `192.0.2.1` or `192.0.2.1:5353`; by default those of /etc/resolv.conf."""


class ServiceRecords:
    """The targets of one service record, asked afresh each time."""

    def __init__(self, name: str, options: DNSOptions, deadline_seconds: float) -> None:
        """Prepare."""
        self.name = name
        self.asks = f"SRV {options.record}"
        self._options = options
        self._deadline_seconds = deadline_seconds

    def read(self) -> tuple[FoundHost, ...]:
        """Return the targets. That the name does not exist, or has no targets, is no answer: a farm does not end by DNS."""
        try:
            answer = self._resolver().resolve(f"{self._options.record}.", "SRV", search=False)
        except resolver.NXDOMAIN as error:
            raise SourceError(self.name, self.asks, "the DNS knows no such name") from error
        except resolver.NoAnswer as error:
            raise SourceError(self.name, self.asks, "the name has no service records") from error
        except (exception.DNSException, OSError) as error:
            raise SourceError(self.name, self.asks, _said(error)) from error
        records = [record for record in answer if isinstance(record, SRV)]
        targets = {record.target.to_text(omit_final_dot=True).lower(): record.port for record in records}
        if wrong := [target for target in targets if not _HOST.fullmatch(target)]:
            raise SourceError(self.name, self.asks, f"{wrong[0]!r} is no host name")
        return tuple(FoundHost(target, port=port) for target, port in sorted(targets.items()))

    def close(self) -> None:
        """Nothing is held open."""

    def _resolver(self) -> resolver.Resolver:
        """Make a resolver; without servers of our own it reads /etc/resolv.conf, as it stands now."""
        asker = resolver.Resolver(configure=not self._options.servers)
        if self._options.servers:
            asker.nameservers = [Do53Nameserver(*name_server(server)) for server in self._options.servers]
        asker.lifetime = self._deadline_seconds
        asker.timeout = max(0.5, min(2.0, self._deadline_seconds / 3))
        return asker


def connect(name: str, options: Mapping[str, object], *, base: object, deadline_seconds: float) -> ServiceRecords:  # noqa: ARG001 - no paths here
    """Make the discovery; raises pydantic's ValidationError when `options` are wrong."""
    return ServiceRecords(name, DNSOptions.model_validate(options), deadline_seconds)


def _said(error: Exception) -> str:
    words = " ".join(str(error).split())
    return words or type(error).__name__
