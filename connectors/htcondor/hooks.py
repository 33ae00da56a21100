"""The configuration that the pool itself needs: defaults and checks at submission, and who may be a worker. Pure text.

Transforms are read in the old syntax of ClassAds, where a backslash stands for itself; submit requirements in the new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.expressions import OFFERED, WANTED, config_quoted, listed, quoted, vo_expression
from connectors.htcondor.options import HTCondorOptions
from connectors.htcondor.worker import worker_config, worker_identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from environments.environment import Environment

_NEAR = 500
"""Thousandths of likeness from which a name is suggested."""
_MOST_NAMES = 10000
_NAMES_SHOWN = 12
_DEFAULT_LEASE_SECONDS = 2400
"""HTCondor's own JobLeaseDuration."""


def hooks(options: Mapping[str, object], environments: Sequence[Environment], vos: Sequence[str]) -> str:
    """Return the configuration for the pool's schedds and its central manager."""
    checked = HTCondorOptions.model_validate(dict(options))
    ordered = sorted(environments, key=lambda one: one.name)
    parts = [
        "# Written by `ambienti hooks htcondor`; write it anew whenever environments come or go, then condor_reconfig.\n",
        _central_manager(checked),
        _transforms(checked, ordered, sorted(vos)),
        _requirements(checked, ordered, sorted(vos)),
        _workers(checked, ordered),
    ]
    return "\n".join(part for part in parts if part)


def nearest_expression(names: Sequence[str]) -> str:
    """Return the expression for ` Did you mean 'x'?`, or "" when no name is like what the job wants.

    Likeness, in thousandths: how much of the wanted name is made of pairs of letters, and of letters, of a known one. In the
    schedd an ad within an expression cannot see the job, so the best likeness and its place in the list are one number.
    """
    wanted = f"toLower({WANTED})"
    size = f"size({WANTED})"
    found = [f'({size} - size(replaceAll({part}, {wanted}, "")))' for part in ("pairs", "letters")]
    score = f"1000 * ({' + '.join(found)}) / ({size} + length)"
    ranked = f"ifThenElse({score} < {_NEAR}, 0, ({score}) * {_MOST_NAMES} + place)"
    known = ", ".join(_known(name, place) for place, name in enumerate(names[: _MOST_NAMES - 1], 1))
    hints = ", ".join(quoted(f" Did you mean '{name}'?") for name in names[: _MOST_NAMES - 1])
    if not names:
        return '""'
    return f'{{"", {hints}}}[max(evalInEachContext({ranked}, {{{known}}})) % {_MOST_NAMES}]'


def _known(name: str, place: int) -> str:
    """Return a name as an ad: regular expressions for the pairs of its letters and for the letters themselves."""
    pairs = "|".join(dict.fromkeys(name[i : i + 2] for i in range(len(name) - 1))) or name
    letters = "".join(sorted(set(name) - {"-"}))
    return f'[pairs = "{pairs}"; letters = "[{letters}-]"; length = {len(name)}; place = {place}]'


def _central_manager(options: HTCondorOptions) -> str:
    pattern = worker_identity("*", "$(TRUST_DOMAIN)")
    return f"""\
# --- on the central manager: workers may advertise themselves, Ambienti may invalidate the ads of those that are gone and drain
# them. AMBIENTI is the identity of its token; it also needs ADMINISTRATOR at the collector to be given the right to drain.
AMBIENTI = ambienti@$(TRUST_DOMAIN)
ALLOW_ADVERTISE_STARTD = $(ALLOW_ADVERTISE_STARTD:$(ALLOW_DAEMON)), $(AMBIENTI), {pattern}
ALLOW_ADVERTISE_MASTER = $(ALLOW_ADVERTISE_MASTER:$(ALLOW_DAEMON)), $(AMBIENTI), {pattern}
ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR), $(AMBIENTI)
# Key {options.signing_key!r} in SEC_PASSWORD_DIRECTORY signs the workers' tokens: only the collector and Ambienti have it.
"""


def _transforms(options: HTCondorOptions, environments: Sequence[Environment], vos: Sequence[str]) -> str:
    """Return what is done to jobs at submission: the default of their VO, and the requirement that goes with it."""
    vo = vo_expression(options.vo, quote=config_quoted)
    text = ["# --- on the schedds: a job that names no environment is given its VO's default"]
    names = []
    for environment in environments:
        if environment.default and environment.vo in vos:
            name = f"AmbientiDefault{_word(environment.vo)}"
            names.append(name)
            text.append(f"JOB_TRANSFORM_{name} @=end")
            text.append(f"   REQUIREMENTS {WANTED} =?= undefined && ({vo}) == {config_quoted(environment.vo)}")
            text.append(f"   SET {WANTED} {config_quoted(environment.name)}")
            text.append("@end")
    names.append("AmbientiRequire")
    text += [
        "# ... and a job that has one runs nowhere else.",
        "JOB_TRANSFORM_AmbientiRequire @=end",
        f"   REQUIREMENTS isString({WANTED})",
        f"   SET Requirements (TARGET.{OFFERED} =?= MY.{WANTED}) && ($(MY.Requirements:true))",
        "@end",
    ]
    if options.lease_seconds:
        names.append("AmbientiLease")
        text += [
            "# A job whose worker died starts again when its lease ends; a lease that its user asked for is left alone.",
            "JOB_TRANSFORM_AmbientiLease @=end",
            f"   REQUIREMENTS JobLeaseDuration =?= {_DEFAULT_LEASE_SECONDS}",
            f"   SET JobLeaseDuration {options.lease_seconds}",
            "@end",
        ]
    text += [
        f"JOB_TRANSFORM_NAMES = $(JOB_TRANSFORM_NAMES) {' '.join(names)}",
    ]
    return "\n".join(text) + "\n"


def _requirements(options: HTCondorOptions, environments: Sequence[Environment], vos: Sequence[str]) -> str:
    """Return what is refused at submission, and in which words."""
    vo = vo_expression(options.vo, quote=quoted)
    names = [environment.name for environment in environments]
    usable = {one: [environment.name for environment in environments if one in environment.vos] for one in vos}
    allowed, shown = '""', '"none"'
    for one in reversed(vos):
        is_vo = f"({vo}) == {quoted(one)}"
        allowed = f"ifThenElse({is_vo}, {listed(usable[one])}, {allowed})"
        shown = f"ifThenElse({is_vo}, {quoted(_enumerated(usable[one]))}, {shown})"
    known = f"stringListMember({WANTED}, {listed(names)})"
    return f"""\
# --- on the schedds: what is refused, with a sentence for the one who submits
SUBMIT_REQUIREMENT_AmbientiText = {WANTED} =?= undefined || isString({WANTED})
SUBMIT_REQUIREMENT_AmbientiText_REASON = "{WANTED} must be the name of an environment in quotes: +{WANTED} = \\"name\\"."
SUBMIT_REQUIREMENT_AmbientiKnown = {WANTED} =?= undefined || !isString({WANTED}) || {known}
SUBMIT_REQUIREMENT_AmbientiKnown_REASON = strcat("No environment is called '", {WANTED}, "'.", \
{nearest_expression(names)}, " Environments for your jobs: ", {shown}, ".")
SUBMIT_REQUIREMENT_AmbientiAllowed = {WANTED} =?= undefined || !isString({WANTED}) || !{known} || \
stringListMember({WANTED}, {allowed})
SUBMIT_REQUIREMENT_AmbientiAllowed_REASON = strcat("Environment '", {WANTED}, "' is not for jobs of VO '", {vo}, "'. \
Environments for your jobs: ", {shown}, ". Your VO is told by your accounting group.")
SUBMIT_REQUIREMENT_NAMES = $(SUBMIT_REQUIREMENT_NAMES) AmbientiText AmbientiKnown AmbientiAllowed
"""


def _workers(options: HTCondorOptions, environments: Sequence[Environment]) -> str:
    """Return, as a comment, what each worker is told at boot."""
    if not environments:
        return ""
    first = environments[0]
    text = worker_config("WORKER", first, options, requested_at=0, trust_domain=options.trust_domain or "TRUST.DOMAIN")
    lines = "".join(f"#   {line}\n" for line in text.splitlines())
    return f"# --- on the workers: nothing to do; each is told this at its boot (here for {first.name}).\n{lines}"


def _enumerated(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _word(name: str) -> str:
    """Return a name as part of a configuration variable's name."""
    return "".join(part.capitalize() for part in name.split("-"))
