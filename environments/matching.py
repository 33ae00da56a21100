"""Which environments a request may run in, and why not in the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from environments.environment import VO, Environment
from environments.names import nearest
from environments.reason import Reason

__all__ = ["Catalogue", "Match", "Requirements", "match", "misfit", "nearest"]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What every job of one request cluster asks for."""

    wanted: str = ""
    """The environment it names (`WantEnvironment`); "" if none."""
    cpus: int = 1
    memory_mib: int = 1
    walltime_seconds: int | None = None
    accepts: frozenset[str] | None = None
    """Environments whose prototype slot the batch system's own requirements language accepts; None: nothing to evaluate."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """For environments not accepted: the clause that refused, in the batch system's words."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The VOs of the farm and all environments, checked."""

    environments: Mapping[str, Environment]
    vos: Mapping[str, VO]

    def usable_by(self, vo: str) -> tuple[Environment, ...]:
        """Return the environments that `vo` may use, the smallest worker first."""
        usable = (e for e in self.environments.values() if vo in e.vos)
        return tuple(sorted(usable, key=lambda e: (e.vcpus, e.memory_mib, e.name)))


@dataclass(frozen=True, slots=True)
class Match:
    """The environments that fit, best first, and for each other candidate the reason why not."""

    environments: tuple[str, ...]
    refused: Mapping[str, Reason]
    problem: Reason | None = None
    """Set when nothing fits: the one reason to show first."""


def match(requirements: Requirements, vo: str, catalogue: Catalogue) -> Match:
    """Match one request cluster of `vo`.

    What the jobs name comes first; else what their requirements accept among the environments of the VO, the VO's default
    before the others and small workers before large ones.
    """
    if vo not in catalogue.vos:
        return Match((), {}, _unknown_vo(vo, catalogue))
    if requirements.wanted:
        return _match_named(requirements, vo, catalogue)
    refused: dict[str, Reason] = {}
    fitting: list[Environment] = []
    for environment in catalogue.usable_by(vo):
        reason = misfit(requirements, environment)
        if reason is None:
            fitting.append(environment)
        else:
            refused[environment.name] = reason
    if fitting:
        fitting.sort(key=lambda e: not e.default)
        return Match(tuple(e.name for e in fitting), refused)
    if not refused:
        sentence = f"VO {vo} has no environment."
        return Match((), {}, Reason("no-environment", sentence, {"vo": vo}, f"Define an environment for VO {vo}."))
    first = next(iter(refused.values()))
    sentence = f"None of the {len(refused)} environments of VO {vo} fits: {first.sentence}"
    return Match((), refused, Reason("no-match", sentence, {"environments": len(refused), **first.numbers}, first.remedy))


def misfit(requirements: Requirements, environment: Environment) -> Reason | None:
    """Say why a request does not fit one worker of an environment, or None when it does."""
    name = environment.name
    if requirements.cpus > environment.vcpus:
        return Reason(
            "larger-than-worker",
            f"asks for {requirements.cpus} cores, a worker of {name} has {environment.vcpus}",
            {"asked_cpus": requirements.cpus, "worker_cpus": environment.vcpus},
            f"ask for at most {environment.vcpus} cores, or let the VO manager enlarge {name}",
        )
    if requirements.memory_mib > environment.slot_memory_mib:
        return Reason(
            "larger-than-worker",
            f"asks for {requirements.memory_mib} MiB, a worker of {name} has {environment.slot_memory_mib} MiB for jobs",
            {"asked_memory_mib": requirements.memory_mib, "worker_memory_mib": environment.slot_memory_mib},
            f"ask for at most {environment.slot_memory_mib} MiB, or let the VO manager enlarge {name}",
        )
    # A life begins with the order to boot, and the boot may take all the time it is given.
    lifetime, boot, walltime = environment.lifetime_seconds, environment.boot_seconds, requirements.walltime_seconds
    if walltime is not None and walltime > lifetime - boot:
        return Reason(
            "longer-than-lifetime",
            f"asks for {walltime} s, a worker of {name} lives {lifetime} s, of which {boot} s are kept for its boot",
            {"asked_seconds": walltime, "lifetime_seconds": lifetime, "boot_seconds": boot},
            f"ask for at most {lifetime - boot} s of walltime, or let the VO manager raise lifetime_seconds of {name}",
        )
    if requirements.accepts is not None and name not in requirements.accepts:
        clause = requirements.refusals.get(name, "")
        return Reason(
            "requirements-refuse",
            f"its requirements do not accept {name}" + (f": {clause}" if clause else ""),
            {"clause": clause} if clause else {},
            "change the job's requirements, or let the environment provide what they ask for",
        )
    return None


def _match_named(requirements: Requirements, vo: str, catalogue: Catalogue) -> Match:
    wanted = requirements.wanted
    environment = catalogue.environments.get(wanted)
    if environment is None:
        near = nearest(wanted, catalogue.environments)
        hint = f" Did you mean {near!r}?" if near else ""
        remedy = f"resubmit with WantEnvironment = {near!r}" if near else "see `ambienti env list` for the names"
        return Match(
            (),
            {},
            Reason("unknown-environment", f"No environment is called {wanted!r}.{hint}", {"wanted": wanted}, remedy),
        )
    if vo not in environment.vos:
        reason = Reason(
            "not-allowed",
            f"Environment {wanted} belongs to VO {environment.vo} and is not shared with {vo}.",
            {"wanted": wanted, "vo": vo},
            f"ask the manager of VO {environment.vo} to add {vo} to shared_with, or use one of: "
            + ", ".join(e.name for e in catalogue.usable_by(vo)),
        )
        return Match((), {wanted: reason}, reason)
    reason_or_none = misfit(requirements, environment)
    if reason_or_none is None:
        return Match((wanted,), {})
    return Match((), {wanted: reason_or_none}, reason_or_none)


def _unknown_vo(vo: str, catalogue: Catalogue) -> Reason:
    if not vo:
        return Reason("no-vo", "No rule of the site maps these jobs to a VO.", {}, "submit with an accounting group of your VO")
    near = nearest(vo, catalogue.vos)
    hint = f" Did you mean {near!r}?" if near else ""
    return Reason(
        "unknown-vo",
        f"The farm serves no VO called {vo!r}.{hint}",
        {"vo": vo},
        "ask the farm's administrators to add the VO",
    )
