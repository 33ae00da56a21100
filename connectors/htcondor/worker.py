"""The configuration of a worker's start daemon, delivered at boot, and the slot that requirements are judged by. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.expressions import (
    DEFAULTED,
    OFFERED,
    RETIRES_AT,
    WANTED,
    WORKER,
    config_quoted,
    listed,
    vo_attributes,
    vo_expression,
    walltime_expression,
)
from connectors.htcondor.messages import Prototype
from environments.environment import DiskMode, NetworkKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.htcondor.options import HTCondorOptions
    from environments.environment import Environment, Scalar

DEFAULT_VERSION = "$CondorVersion: 23.0.0 2023-09-29 $"
"""What a worker is taken to run as long as no daemon of its pool has told its own."""
_PRIVATE = frozenset({NetworkKind.USER, NetworkKind.LIBVIRT})
_KIB_PER_GIB = 1024 * 1024


def prototype_of(environment: Environment, options: HTCondorOptions, version: str) -> Prototype:
    """Return an environment's worker as its slot would look, with `version` of HTCondor."""
    if environment.disk.mode is DiskMode.NONE:
        disk_kib = environment.memory_mib * 512  # half of the memory
    else:
        disk_kib = environment.disk.size_gib * _KIB_PER_GIB
    cpus, memory_mib = environment.vcpus, environment.slot_memory_mib
    attributes: dict[str, Scalar] = {
        "MyType": "Machine", "Arch": "X86_64", "OpSys": "LINUX", "State": "Unclaimed", "Activity": "Idle", "Start": True,
        "SlotType": "Partitionable", "PartitionableSlot": True, "SlotID": 1, "Cpus": cpus, "TotalCpus": cpus,
        "TotalSlotCpus": cpus, "DetectedCpus": cpus, "Memory": memory_mib, "TotalMemory": memory_mib,
        "TotalSlotMemory": memory_mib, "DetectedMemory": environment.memory_mib, "Disk": disk_kib, "TotalSlotDisk": disk_kib,
        "TotalDisk": disk_kib, "CondorVersion": version, "HasFileTransfer": True, "HasReconnect": True, "HasJobDeferral": True,
        "HasJICLocalConfig": True, "HasJICLocalStdin": True, "HasPerFileEncryption": True, "HasTDP": True, "HasMPI": True,
        "HasTransferInputRemaps": True, "HasSelfCheckpointTransfers": True, "HasIOProxy": True, "HasVM": False,
        "FileSystemDomain": "worker", "UidDomain": "worker", "Machine": "worker", WORKER: "prototype", "LoadAvg": 0.0,
    }  # fmt: skip
    attributes |= {**options.slot_attributes, **environment.provides}
    return Prototype(environment.name, environment.vos, tuple(attributes.items()))


def start_expression(environment: Environment, options: HTCondorOptions) -> str:
    """Return when a worker takes a job: of its environment, of a VO that may use it, and done within the lifetime left."""
    vo = vo_expression(options.vo, "TARGET.", config_quoted)
    walltime = walltime_expression(options.walltime, "TARGET.", "0")
    return " && ".join(
        (
            # A job that has outgrown the default that it was given goes wherever its requirements let it.
            f"(TARGET.{WANTED} =?= undefined || TARGET.{DEFAULTED} =?= false || TARGET.{WANTED} =?= MY.{OFFERED})",
            f"stringListMember({vo}, {listed(environment.vos)})",
            f"(time() + {walltime} < MY.{RETIRES_AT})",
        )
    )


def worker_config(
    worker: str,
    environment: Environment,
    options: HTCondorOptions,
    *,
    requested_at: float,
    trust_domain: str,
) -> str:
    """Return the lines of HTCondor's configuration that make a machine this worker; no secret is among them."""
    domain = options.worker_domain or trust_domain
    machine = machine_name(worker, domain)
    advertised: dict[str, Scalar] = {
        **options.slot_attributes,
        # GPUs are told by the worker's own discovery: which are there, and how many are free.
        **{name: value for name, value in environment.provides.items() if name.lower() != "gpus"},
        OFFERED: environment.name,
        WORKER: worker,
        "AmbientiVersion": environment.version,
        RETIRES_AT: round(requested_at) + environment.lifetime_seconds,
    }
    told = dict.fromkeys((*vo_attributes(options.vo), *options.walltime, "AcctGroup", WANTED, "JobMaxVacateTime"))
    lines = {
        # Names of HTCondor's configuration know no capitals, and of two lines of one name the last holds: these come first.
        **{name: literal(value) for name, value in advertised.items()},
        "COLLECTOR_HOST": options.collector,
        "TRUST_DOMAIN": trust_domain,
        "DEFAULT_DOMAIN_NAME": domain,
        "UID_DOMAIN": machine,
        "FILESYSTEM_DOMAIN": machine,
        "NETWORK_HOSTNAME": machine,
        "HOST_ALIAS": machine,
        "DAEMON_LIST": "STARTD",
        "USE_SHARED_PORT": "False",
        "NUM_CPUS": environment.vcpus,
        "MEMORY": environment.slot_memory_mib,
        "NUM_SLOTS": 1,
        "NUM_SLOTS_TYPE_1": 1,
        "SLOT_TYPE_1": "100%",
        "SLOT_TYPE_1_PARTITIONABLE": "True",
        "STARTD_ATTRS": f"$(STARTD_ATTRS) {' '.join(advertised)}",
        "STARTD_JOB_ATTRS": f"$(STARTD_JOB_ATTRS) {' '.join(told)}",
        "START": start_expression(environment, options),
        "SUSPEND": "False",
        "WANT_SUSPEND": "False",
        "PREEMPT": "False",
        "KILL": "False",
        "RANK": 0,
        # A job takes what it asks for: rounded up, fewer fit than are counted on.
        "MODIFY_REQUEST_EXPR_REQUESTCPUS": "RequestCpus",
        "MODIFY_REQUEST_EXPR_REQUESTMEMORY": "RequestMemory",
        "MODIFY_REQUEST_EXPR_REQUESTDISK": "RequestDisk",
        # Without it a graceful drain preempts at once.
        "MAXJOBRETIREMENTTIME": options.retirement_seconds,
        "MACHINEMAXVACATETIME": options.vacate_seconds,
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_DEFAULT_INTEGRITY": "REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS, IDTOKENS",
        "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION": "True",
        # Whoever is an administrator at the collector is given the right to drain this worker; no key lies here for it.
        "SEC_ENABLE_REMOTE_ADMINISTRATION": "True",
        # A worker that shares an address with the pool would believe that the pool's daemons are its own family.
        "SEC_USE_FAMILY_SESSION": "False",
        "ALLOW_READ": "*",
        "ALLOW_WRITE": "*",
        "ALLOW_DAEMON": f"condor@{trust_domain}",
        "ALLOW_ADMINISTRATOR": f"condor@{trust_domain}",
    }
    if options.callback == "always" or (options.callback == "auto" and environment.network.kind in _PRIVATE):
        lines |= {"CCB_ADDRESS": "$(COLLECTOR_HOST)", "PRIVATE_NETWORK_NAME": machine}
    text = "".join(f"{name} = {value}\n" for name, value in lines.items())
    return text + (options.worker_config.rstrip() + "\n" if options.worker_config else "")


def machine_name(worker: str, domain: str) -> str:
    """Return the name of a worker's machine in the pool."""
    return f"{worker}.{domain}" if domain else worker


def worker_identity(worker: str, trust_domain: str) -> str:
    """Return the identity that a worker's token speaks for."""
    return f"{worker}.worker@{trust_domain}"


def literal(value: Scalar) -> str:
    """Return a value as it stands in HTCondor's configuration."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return config_quoted(value) if isinstance(value, str) else repr(value)


def parameters_of(worker: str, environment: Environment, options: HTCondorOptions, address: str | None) -> Mapping[str, str]:
    """Return what the worker's image must know to find its network; nothing of it is secret."""
    network = environment.network
    told = {
        "worker": worker,
        "environment": environment.name,
        "pool": options.collector.partition(",")[0].strip(),
        "network": network.kind.value,
        "address": address or "",
        "gateway": network.gateway or "",
    }
    return {name: value for name, value in told.items() if value}
