"""The configuration that the pool itself needs: defaults and checks at submission, and who may be a worker. Pure text.

Transforms are read in the old syntax of ClassAds, where a backslash stands for itself; submit requirements in the new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.announcement import AD_NAME, AD_TYPE, PREFIX, allowed, attributes, known, nearest, shown
from connectors.htcondor.defaulting import transforms
from connectors.htcondor.expressions import WANTED, requirement_quoted, vo_expression
from connectors.htcondor.options import HTCondorOptions
from connectors.htcondor.worker import worker_config, worker_identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from environments.environment import Environment

_DEFAULT_LEASE_SECONDS = 2400
"""HTCondor's own JobLeaseDuration."""


_HEADING = """\
# Written by `ambienti hooks htcondor`. Environments that come and go are learned. Write it again when a VO, its default or the
# options of this batch system change, then condor_reconfig.
"""


def hooks(options: Mapping[str, object], environments: Sequence[Environment], vos: Sequence[str]) -> str:
    """Return the configuration for the pool's schedds and its central manager."""
    checked = HTCondorOptions.model_validate(dict(options))
    ordered = sorted(environments, key=lambda one: one.name)
    parts = [
        _HEADING,
        _central_manager(checked),
        _transforms(checked, ordered, sorted(vos)),
        _requirements(checked, ordered, sorted(vos)),
        _learning(checked),
        _workers(checked, ordered),
    ]
    return "\n".join(part for part in parts if part)


def _central_manager(options: HTCondorOptions) -> str:
    pattern = worker_identity("*", "$(TRUST_DOMAIN)")
    return f"""\
# --- on the central manager: workers may advertise themselves, Ambienti may invalidate the ads of those that are gone and drain
# them. AMBIENTI is the identity of its token; it also needs ADMINISTRATOR at the collector to be given the right to drain.
AMBIENTI = ambienti@$(TRUST_DOMAIN)
ALLOW_ADVERTISE_STARTD = $(ALLOW_ADVERTISE_STARTD:$(ALLOW_DAEMON)), $(AMBIENTI), {pattern}
ALLOW_ADVERTISE_MASTER = $(ALLOW_ADVERTISE_MASTER:$(ALLOW_DAEMON)), $(AMBIENTI), {pattern}
ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR), $(AMBIENTI)
# ... and announce the environments, from which the schedds learn them.
COLLECTOR.ALLOW_DAEMON = $(ALLOW_DAEMON), $(AMBIENTI)
# Key {options.signing_key!r} in SEC_PASSWORD_DIRECTORY signs the workers' tokens: only the collector and Ambienti have it.
"""


def _transforms(options: HTCondorOptions, environments: Sequence[Environment], vos: Sequence[str]) -> str:
    """Return what is done to jobs at submission: the default of their VO, and the requirement that goes with it."""
    names, text = transforms(options, environments, vos)
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
    vo, given = vo_expression(options.vo, quote=requirement_quoted), attributes(environments, vos)
    listed_for_it = f'" Environments for your jobs: ", {shown(given, vo)}'
    return f"""\
# --- on the schedds: what is refused, with a sentence for the one who submits
SUBMIT_REQUIREMENT_AmbientiText = {WANTED} =?= undefined || isString({WANTED})
SUBMIT_REQUIREMENT_AmbientiText_REASON = "{WANTED} must be the name of an environment in quotes: +{WANTED} = \\"name\\"."
SUBMIT_REQUIREMENT_AmbientiKnown = {WANTED} =?= undefined || !isString({WANTED}) || {known(given)}
SUBMIT_REQUIREMENT_AmbientiKnown_REASON = strcat("No environment is called '", {WANTED}, "'.", {nearest(given)}, \
{listed_for_it}, ".")
SUBMIT_REQUIREMENT_AmbientiAllowed = {WANTED} =?= undefined || !isString({WANTED}) || !{known(given)} || {allowed(given, vo)}
SUBMIT_REQUIREMENT_AmbientiAllowed_REASON = strcat("Environment '", {WANTED}, "' is not for jobs of VO '", {vo}, "'.", \
{listed_for_it}, ". Your VO is told by your accounting group.")
SUBMIT_REQUIREMENT_NAMES = $(SUBMIT_REQUIREMENT_NAMES) AmbientiText AmbientiKnown AmbientiAllowed
"""


def _learning(options: HTCondorOptions) -> str:
    """Return how a schedd learns of environments that come and go after this was written."""
    wanted = ",".join(attributes((), ()))
    constraint = f'Name=?="{AD_NAME}"&&AuthenticatedIdentity=?="$(AMBIENTI)"'
    job = "SCHEDD_CRON_AmbientiLearn"
    return f"""\
# --- on the schedds: environments that come later are learned from the collector, where the daemon announces them. A schedd
# begins with this when it is started: after the first installation `condor_restart -daemon schedd` (running jobs go on).
SCHEDD_CRON_JOBLIST = $(SCHEDD_CRON_JOBLIST) AmbientiLearn
{job}_EXECUTABLE = $(BIN)/condor_status
{job}_ARGS = -pool $(COLLECTOR_HOST) -subsystem {AD_TYPE} -long -attributes {wanted} -constraint {constraint}
{job}_PREFIX = {PREFIX}
{job}_MODE = Periodic
{job}_PERIOD = {options.learn_seconds}s
{job}_KILL = True
AmbientiLearns = true
SCHEDD_ATTRS = $(SCHEDD_ATTRS) AmbientiLearns
"""


def _workers(options: HTCondorOptions, environments: Sequence[Environment]) -> str:
    """Return, as a comment, what each worker is told at boot."""
    if not environments:
        return ""
    first = environments[0]
    text = worker_config("WORKER", first, options, requested_at=0, trust_domain=options.trust_domain or "TRUST.DOMAIN")
    lines = "".join(f"#   {line}\n" for line in text.splitlines())
    return f"# --- on the workers: nothing to do; each is told this at its boot (here for {first.name}).\n{lines}"
