"""What to change in a submit file so that a job is served: one sentence, tried on the catalogue before it is said. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from environments.codes import CODES, Who
from environments.matching import misfit, nearest
from environments.requirements import Amounts, Requirements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from environments.environment import Environment
    from environments.matching import Catalogue
    from environments.reason import Reason
    from scheduler.model.queues import RequestCluster

NOTHING = "Nothing has to change in the submit file"
_NAMES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class _Change:
    """A job made to fit one environment, and what that takes."""

    environment: str
    lines: tuple[str, ...]
    loss: float
    """The largest part of what was asked that is given up."""


def in_submit_file(reason: Reason, cluster: RequestCluster | None, catalogue: Catalogue) -> str:
    """Say in one sentence what to change in the submit file, or that nothing there helps."""
    asked = cluster.requirements if cluster is not None else Requirements()
    usable = catalogue.usable_by(cluster.vo) if cluster is not None else ()
    if reason.code in {"unknown-environment", "not-allowed"}:
        return _name_another(asked.wanted, usable)
    if reason.code in {"no-match", "larger-than-worker", "longer-than-lifetime", "requirements-refuse"}:
        return _fit(asked, usable)
    code = CODES.get(reason.code)
    if code is None or code.who is Who.NOBODY:
        return f"{NOTHING}: wait."
    remedy = reason.remedy or code.to_do
    if code.who is Who.USER:
        return sentence(remedy)
    return sentence(f"{NOTHING}; {code.who.value} can help: {remedy}")


def plainly(reason: Reason) -> str:
    """Say in one plain sentence what a reason says: numbers only where the user can do something about them."""
    code = CODES.get(reason.code)
    return sentence(reason.sentence if code is None or code.own_words else code.meaning)


def sentence(text: str) -> str:
    """Write words as a sentence: it begins with a capital letter and ends with a full stop."""
    words = text.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "?", "!")) else ".")


def _name_another(wanted: str, usable: Sequence[Environment]) -> str:
    if not usable:
        return "No line in the submit file helps: your VO has no environment on this farm."
    names = [environment.name for environment in usable]
    near = nearest(wanted, names)
    if near:
        return f'Write `+WantEnvironment = "{near}"`, or leave that line out.'
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"Leave `+WantEnvironment` out, or name one that your VO may use: {', '.join(names[:_NAMES_SHOWN])}{more}."


def _fit(asked: Requirements, usable: Sequence[Environment]) -> str:
    """Find the smallest change with which the job fits some environment of its VO."""
    changes = [change for environment in usable if (change := _change(asked, environment)) is not None]
    if not changes:
        clauses = dict.fromkeys(asked.refusals.get(one.name, "") for one in usable)
        told = "; ".join(f"`{clause}`" for clause in clauses if clause)
        what = f", which no environment of your VO meets: {told}" if told else ": no environment of your VO meets them"
        line = "require_gpus" if clauses and all(clause.startswith("require_gpus") for clause in clauses) else "requirements"
        return f"Change `{line}`{what}."
    best = min(changes, key=lambda change: (change.loss, len(change.lines), change.environment))
    return f"Write {' and '.join(best.lines)}: that fits {best.environment}."


def _change(asked: Requirements, environment: Environment) -> _Change | None:
    """Return what makes a job fit an environment, or None where its own requirements stand against it."""
    amounts, name = asked.of(environment.name), environment.name
    longest = environment.lifetime_seconds - environment.boot_seconds
    walltime = None if amounts.walltime_seconds is None else min(amounts.walltime_seconds, longest)
    fitting = Amounts(
        min(amounts.cpus, environment.vcpus),
        min(amounts.memory_mib, environment.slot_memory_mib),
        min(amounts.disk_mib, environment.slot_disk_mib),
        min(amounts.gpus, environment.slot_gpus),
        walltime,
    )
    smaller = replace(asked, by_environment={name: fitting})
    if fitting != amounts and _about_amounts(asked.refusals.get(name, "")):
        # Its requirements were judged with the amounts that are too large: with others they may accept.
        smaller = replace(smaller, accepts=None)
    if misfit(smaller, environment) is not None:
        return None
    lines, losses = _lines(amounts, fitting)
    if asked.wanted and asked.wanted != name:
        lines.append(f'`+WantEnvironment = "{name}"`')
    return _Change(name, tuple(lines), max(losses, default=0.0)) if lines else None


def _about_amounts(clause: str) -> bool:
    return not clause or "request" in clause.lower()


def _lines(amounts: Amounts, fitting: Amounts) -> tuple[list[str], list[float]]:
    lines, losses = [], []
    for had, has, line in (
        (amounts.cpus, fitting.cpus, f"`request_cpus = {fitting.cpus}`"),
        (amounts.memory_mib, fitting.memory_mib, f"`request_memory = {fitting.memory_mib} MB`"),
        (amounts.disk_mib, fitting.disk_mib, f"`request_disk = {fitting.disk_mib} MB`"),
        (amounts.gpus, fitting.gpus, f"`request_gpus = {fitting.gpus}`" if fitting.gpus else "no `request_gpus`"),
        (amounts.walltime_seconds or 0, fitting.walltime_seconds or 0, f"`allowed_job_duration = {fitting.walltime_seconds}`"),
    ):
        if has < had:
            lines.append(f"{line} or less" if has and "no " not in line else line)
            losses.append(1 - has / had)
    return lines, losses
