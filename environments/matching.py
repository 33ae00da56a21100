"""Which environments a request may run in, and why not in the others. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from environments.environment import VO, Environment
from environments.names import nearest
from environments.reason import Reason, counted
from environments.requirements import Amounts, Chooser, Requirements, Unmapped

__all__ = ["Catalogue", "Match", "Requirements", "match", "misfit", "nearest"]

_NAMES_SHOWN = 12
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


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
    chosen_by: Chooser | None = None
    """Who chose the first of `environments`, or the one that does not fit; None where nobody could."""


def who_chose(found: Match, requirements: Requirements) -> str:
    """Say in one sentence who chose the environment; "" where nobody could."""
    named = requirements.wanted or (found.environments[0] if found.environments else "")
    return {
        None: "",
        Chooser.JOB: f"the job itself names environment {named}",
        Chooser.HOOK: f"the submit hook gave the job {named}, the default of its VO, which suited it as it was submitted",
        Chooser.REQUIREMENTS: "its requirements and amounts choose among the environments of its VO",
        Chooser.DEFAULT: f"it asks for nothing that excludes an environment of its VO: {named}, the default, comes first",
        Chooser.SIZE: f"it asks for nothing that excludes an environment of its VO: {named}, the smallest, comes first",
    }[found.chosen_by]


def match(requirements: Requirements, vo: str, catalogue: Catalogue, *, others: bool = True) -> Match:
    """Match one request cluster of `vo`.

    What was named for the jobs comes first; else what their requirements accept among the environments of the VO, the VO's
    default before the others and small workers before large ones. `others`: where one was named, the others of the VO are
    judged as well.
    """
    if vo not in catalogue.vos:
        return Match((), {}, _unknown_vo(vo, requirements.unmapped, catalogue))
    if requirements.wanted:
        return _match_named(requirements, vo, catalogue, others=others)
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
        by = Chooser.REQUIREMENTS if refused else Chooser.DEFAULT if fitting[0].default else Chooser.SIZE
        return Match(tuple(e.name for e in fitting), refused, chosen_by=by)
    if not refused:
        sentence = f"VO {vo} has no environment."
        return Match((), {}, Reason("no-environment", sentence, {"vo": vo}, f"Define an environment for VO {vo}."))
    closest = min(catalogue.usable_by(vo), key=lambda one: _lacks(requirements, one, refused[one.name]))
    return Match((), refused, _nothing_fits(requirements, vo, refused, refused[closest.name]), Chooser.REQUIREMENTS)


def _lacks(requirements: Requirements, environment: Environment, reason: Reason) -> tuple[bool, float]:
    """Say how far a worker is from what is asked: whether it is not a matter of size, and the largest part that it lacks."""
    asked = requirements.of(environment.name)
    pairs = (
        (asked.cpus, environment.vcpus),
        (asked.memory_mib, environment.slot_memory_mib),
        (asked.disk_mib, environment.slot_disk_mib),
        (asked.gpus, environment.slot_gpus),
        (asked.walltime_seconds or 0, environment.lifetime_seconds - environment.boot_seconds),
    )
    return reason.code == "requirements-refuse", max((1 - has / want for want, has in pairs if want > 0), default=0.0)


def _nothing_fits(requirements: Requirements, vo: str, refused: Mapping[str, Reason], first: Reason) -> Reason:
    numbers = {"environments": len(refused), **first.numbers}
    if all("asked_gpus" in reason.numbers for reason in refused.values()):
        enough = "one" if requirements.gpus == 1 else "so many"
        sentence = f"asks for {counted(requirements.gpus, 'GPU')}, no worker of VO {vo} has {enough}"
        remedy = "leave out request_gpus in the submit file, or let the VO manager describe an environment with GPUs"
        return Reason("no-match", sentence, numbers, remedy)
    whole = f"None of the {len(refused)} environments of VO {vo} fits"
    sentence = f"{whole if len(refused) > 1 else f'The only environment of VO {vo} does not fit'}: {first.sentence}"
    return Reason("no-match", sentence, numbers, first.remedy)


def misfit(requirements: Requirements, environment: Environment) -> Reason | None:
    """Say why a request does not fit one worker of an environment, or None when it does."""
    asked, name = requirements.of(environment.name), environment.name
    reason = _too_large(asked, environment)
    if reason is not None:
        return reason
    # A life begins with the order to boot, and the boot may take all the time it is given.
    lifetime, boot, walltime = environment.lifetime_seconds, environment.boot_seconds, asked.walltime_seconds
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


def _too_large(asked: Amounts, environment: Environment) -> Reason | None:
    """Say which amount a worker of an environment does not have."""
    name = environment.name
    if asked.cpus > environment.vcpus:
        return Reason(
            "larger-than-worker",
            f"asks for {asked.cpus} cores, a worker of {name} has {environment.vcpus}",
            {"asked_cpus": asked.cpus, "worker_cpus": environment.vcpus},
            f"ask for at most {counted(environment.vcpus, 'core')}, or let the VO manager enlarge {name}",
        )
    if asked.memory_mib > environment.slot_memory_mib:
        return Reason(
            "larger-than-worker",
            f"asks for {asked.memory_mib} MiB, a worker of {name} has {environment.slot_memory_mib} MiB for jobs",
            {"asked_memory_mib": asked.memory_mib, "worker_memory_mib": environment.slot_memory_mib},
            f"ask for at most {environment.slot_memory_mib} MiB, or let the VO manager enlarge {name}",
        )
    if asked.gpus and asked.gpus > environment.slot_gpus:
        has = environment.slot_gpus or "none"
        return Reason(
            "larger-than-worker",
            f"asks for {counted(asked.gpus, 'GPU')}, a worker of {name} has {has}",
            {"asked_gpus": asked.gpus, "worker_gpus": environment.slot_gpus},
            f"ask for at most {counted(environment.slot_gpus, 'GPU')}, or let the VO manager give {name} what is missing",
        )
    if asked.disk_mib and asked.disk_mib > environment.slot_disk_mib:
        return Reason(
            "larger-than-worker",
            f"asks for {asked.disk_mib} MiB of disk, a worker of {name} has {environment.slot_disk_mib} MiB",
            {"asked_disk_mib": asked.disk_mib, "worker_disk_mib": environment.slot_disk_mib},
            f"ask for at most {environment.slot_disk_mib} MiB of disk, or let the VO manager enlarge the disk of {name}",
        )
    return None


def _match_named(requirements: Requirements, vo: str, catalogue: Catalogue, *, others: bool) -> Match:
    wanted, by = requirements.wanted, requirements.chosen_by or Chooser.JOB
    environment = catalogue.environments.get(wanted)
    if environment is None:
        return Match((), {}, _unknown_environment(wanted, by, catalogue), by)
    if vo not in environment.vos:
        reason = Reason(
            "not-allowed",
            f"Environment {wanted} belongs to VO {environment.vo} and is not shared with {vo}.",
            {"wanted": wanted, "vo": vo},
            f"ask the manager of VO {environment.vo} to add {vo} to shared_with, or use one of: "
            + ", ".join(e.name for e in catalogue.usable_by(vo)),
        )
        return Match((), {wanted: reason}, reason, by)
    reason_or_none = misfit(requirements, environment)
    fitting, refused = _the_others(requirements, vo, catalogue, by) if others else ([], {})
    if reason_or_none is None:
        return Match((wanted,), refused, chosen_by=by)
    problem = reason_or_none
    if fitting:
        problem = replace(problem, remedy=f"{problem.remedy}; or name {fitting[0]}, which fits")
    return Match((), {wanted: problem, **refused}, problem, by)


def _the_others(requirements: Requirements, vo: str, catalogue: Catalogue, by: Chooser) -> tuple[list[str], dict[str, Reason]]:
    """Return the environments of the VO that would fit as well, and for all that were not named why they do not serve."""
    wanted = requirements.wanted
    who = f"the job names {wanted}" if by is Chooser.JOB else f"the submit hook gave the job {wanted}, the default of its VO"
    fitting, reasons = [], {}
    for environment in catalogue.usable_by(vo):
        name = environment.name
        if name == wanted:
            continue
        against = misfit(requirements, environment)
        if against is None:
            fitting.append(name)
            sentence, remedy = f"{who}; {name} would fit as well", f"name {name} to run there"
        else:
            sentence, remedy = f"{who}; besides, {against.sentence}", against.remedy
        reasons[name] = Reason("another-chosen", sentence, {"wanted": wanted}, remedy)
    return fitting, reasons


def _unknown_environment(wanted: str, by: Chooser, catalogue: Catalogue) -> Reason:
    near = nearest(wanted, catalogue.environments)
    hint = f" Did you mean {near!r}?" if near else ""
    remedy = f'resubmit with WantEnvironment = "{near}"' if near else "see `ambienti env list` for the names"
    sentence = f"No environment is called {wanted!r}.{hint}"
    if by is Chooser.HOOK:
        sentence = f"The submit hook gave the job {wanted!r}, and no environment is called so any more."
        remedy = "submit it again, or ask the farm's administrators to write the submit hooks again"
    return Reason("unknown-environment", sentence, {"wanted": wanted}, remedy)


def _unknown_vo(vo: str, unmapped: Unmapped | None, catalogue: Catalogue) -> Reason:
    """Say that the VO is not known: what was looked at, by which rules, which is the nearest, and what to write."""
    seen = unmapped.seen() if unmapped else ""
    numbers = {"vo": vo, **(unmapped.looked_at if unmapped else {})} if vo or unmapped else {}
    near = (nearest(vo, catalogue.vos) if vo else "") or _nearest_seen(unmapped, catalogue)
    hint = f" Did you mean {near!r}?" if near else ""
    if vo:
        sentence = f"The farm serves no VO called {vo!r}" + (f" ({seen})" if seen else "") + f".{hint}"
    else:
        rules = f" The rules are: {'; '.join(unmapped.rules)}." if unmapped and unmapped.rules else ""
        sentence = "No rule of the site maps these jobs to a VO" + (f": {seen}" if seen else "") + f".{rules}{hint}"
    return Reason("unknown-vo" if vo else "no-vo", sentence, numbers, _how_to_say(vo, near, unmapped))


def _how_to_say(vo: str, near: str, unmapped: Unmapped | None) -> str:
    """Return what a user, or else the administrators, can do about jobs of no VO."""
    lines = unmapped.lines if unmapped else {}
    if near in lines:
        return f"write `{lines[near]}` in the submit file"
    if near and unmapped:
        return (
            f"ask the farm's administrators for a rule (`vo` of the batch system's options) by which such jobs are of VO {near}"
        )
    if lines:
        first, *others = (f"`{line}`" for line in list(lines.values())[:_NAMES_SHOWN])
        remedy = f"write {first} in the submit file" + (f", or for another VO {', '.join(others)}" if others else "")
        return f"{remedy}; or ask the farm's administrators to add VO {vo}" if vo else remedy
    return "ask the farm's administrators to add the VO" if vo else "submit with an accounting group of your VO"


def _nearest_seen(unmapped: Unmapped | None, catalogue: Catalogue) -> str:
    """Return the VO most like a word of what was looked at."""
    values = unmapped.looked_at.values() if unmapped else ()
    words = [word.lower() for value in values for part in value.split("_") for word in _WORD.findall(part)]
    each = (one for word in words for one in (word, word.partition(".")[0]))
    return next((near for word in each if (near := nearest(word, catalogue.vos))), "")
