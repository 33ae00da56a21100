"""The site file: batch systems, hypervisor hosts, storage pools, shares, limits, and where the daemon keeps its things."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from environments.environment import Frozen, Name, Seconds, Share
from scheduler.policy import Limits


class BatchSystemSettings(Frozen):
    """One batch system. `options` are those of its connector (see the reference of each)."""

    name: Name
    kind: str = "htcondor"
    """The connector: an entry point of `ambienti.batch_systems` (htcondor, simulated...)."""
    options: dict[str, Any] = {}
    """Checked by the connector itself, with the same messages as this file."""


class HostSettings(Frozen):
    """One hypervisor host, or a pattern of several: `uri` may hold `{host}`."""

    name: str
    """`xen1`, or a range `node[001-300]`: one host each."""
    uri: str
    """libvirt URI: xen+ssh://root@{host}/system, qemu:///system, lxc:///system, test:///default."""
    kind: str = "libvirt"
    """The connector: an entry point of `ambienti.hypervisors`."""
    labels: dict[str, str] = {}
    """What environments can ask for."""
    reserve_mib: Annotated[int, Field(ge=0)] = 0
    """Memory kept for the host itself, in MiB."""
    max_boots: Annotated[int, Field(gt=0)] = 4
    """Simultaneous boots on this host."""
    cpu_overcommit: Annotated[float, Field(gt=0)] = 1.0
    """Virtual per physical cores; memory is never over-committed."""
    virtualizations: tuple[str, ...] = ()
    """What the host may be used for; by default what libvirt says it can."""
    options: dict[str, Any] = {}
    """Further options of the connector."""


class VOSettings(Frozen):
    """One VO in the site file."""

    file: str | None = None
    """Its environments, relative to the site file; by default `vos/NAME.yaml`."""
    share: Share = Share()
    """Weight, guarantee and ceiling."""


class DaemonSettings(Frozen):
    """Where the daemon keeps and shows things."""

    journal: str = "sqlite:///ambienti.db"
    """SQLAlchemy URL; a relative SQLite path is relative to the site file."""
    listen: str = "127.0.0.1:9620"
    """Address of /healthz, /metrics and /snapshot; "" for none."""
    log: Literal["human", "json"] = "human"
    """Form of the log."""
    lease_seconds: Annotated[Seconds, Field(gt=0)] = 60
    """A second daemon takes over when the first has not renewed its lease for this long."""


class Site(Frozen):
    """The site file."""

    site: Name
    """Name of the farm: part of every worker's UUID, so never change it."""
    timezone: str = "UTC"
    """IANA zone in which calendars are cut."""
    batch_systems: tuple[BatchSystemSettings, ...]
    """At least one."""
    hosts: tuple[HostSettings, ...]
    """At least one."""
    vos: dict[Name, VOSettings]
    """The VOs served."""
    limits: Limits = Limits()
    """The knobs of the loop."""
    daemon: DaemonSettings = DaemonSettings()
    """Journal, address, log."""
