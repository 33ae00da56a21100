"""Options of the HTCondor connector, as they stand under `options` in the site file."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from environments.environment import Frozen, Scalar, Seconds
from environments.hostnames import checked_address, checked_machine, each_once
from environments.text import Lines, OneLine


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    return text


def _collectors(text: str) -> str:
    """Check each address; `<192.0.2.1:9618?sock=collector>` is how HTCondor itself writes one."""
    for one in each_once(tuple(part.strip() for part in text.split(","))):
        bare = one.removeprefix("<").removesuffix(">").partition("?")[0]
        checked_address(bare, "host:port, e.g. cm.example.org:9618; several with commas between them")
    return text


def _domain(text: str) -> str:
    return checked_machine(text, "a domain, e.g. workers.example.org") if text else text


Pattern = Annotated[OneLine, AfterValidator(_regular_expression)]
Attribute = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the name of a ClassAd attribute")]


class VORule(Frozen):
    """One way to tell the VO of a job; the first rule that fits decides."""

    group: Pattern | None = None
    r"""Regular expression for the whole accounting group, e.g. `group_([a-z]+)(\..*)?`."""
    owner: Pattern | None = None
    """Regular expression for the whole owner."""
    attribute: Attribute | None = None
    """Another attribute of the job that holds a text, e.g. `x509UserProxyVOName`."""
    matches: Pattern = "(.+)"
    """Regular expression for the whole value of `attribute`."""
    vo: OneLine = r"\1"
    r"""The VO; `\1` is what the first parentheses hold. Alone, without a pattern, it stands for all jobs."""

    @model_validator(mode="after")
    def _one_source(self) -> VORule:
        sources = [name for name in ("group", "owner", "attribute") if getattr(self, name) is not None]
        if len(sources) > 1:
            raise ValueError(f"{' and '.join(sources)} cannot stand in one rule: write one rule for each")
        if not sources and "\\" in self.vo:
            raise ValueError("a rule without group, owner or attribute needs a vo without a reference to a pattern")
        return self


class HTCondorOptions(Frozen):
    """An HTCondor pool."""

    collector: Annotated[OneLine, AfterValidator(_collectors)]
    """Address of the collector: `cm.example.org:9618` (several, separated by commas)."""
    schedds: Annotated[tuple[OneLine, ...], AfterValidator(each_once)] = ()
    """Names of the schedds to read; by default all that the collector knows. Those missing make a reading incomplete."""
    config: OneLine | None = None
    """HTCondor configuration of our own (CONDOR_CONFIG): where the tokens and signing keys are. By default the host's."""
    vo: Annotated[tuple[VORule, ...], Field(min_length=1)] = (VORule(group=r"group_([A-Za-z0-9-]+)(\..*)?"),)
    """How the VO of a job is told, in order."""
    walltime: dict[Attribute, Annotated[Seconds, Field(gt=0)]] = {"AllowedJobDuration": 1, "MaxRuntime": 1}
    """Attributes that may hold the walltime a job asks for, and the seconds of their unit; the first that is set counts."""
    slot_attributes: dict[Attribute, Scalar] = {}
    """Further attributes that every worker's slots have, for judging requirements: e.g. `HasCVMFS: true`."""
    worker_domain: Annotated[OneLine, AfterValidator(_domain)] = ""
    """Domain of the workers' names in the pool; by default the pool's trust domain."""
    trust_domain: OneLine = ""
    """By default TRUST_DOMAIN of the configuration."""
    signing_key: OneLine = "POOL"
    """Name of the key (a file in SEC_PASSWORD_DIRECTORY) that signs the workers' tokens; the collector must have it too."""
    token_grace_seconds: Seconds = 86400
    """A worker's token is good for its lifetime and this long after."""
    token_create: OneLine = "condor_token_create"  # noqa: S105  the program's name, no secret
    """The program that makes tokens."""
    drain: OneLine = "condor_drain"
    """The program that drains workers: it obtains from the collector the right to command them."""
    retirement_seconds: Seconds = 604800
    """How long a drained worker lets its jobs run (MAXJOBRETIREMENTTIME)."""
    vacate_seconds: Seconds = 120
    """So long a job that was removed, put on hold or whose output cannot be taken may take to end (MachineMaxVacateTime;
    HTCondor's own default is 600); then it is killed. A job that says `job_max_vacate_time` is given what it asks for."""
    lease_seconds: Seconds = 1200
    """A job whose worker died starts again when its lease ends, not before. The hooks give this lease to jobs that have
    HTCondor's default of 2400 s; those that ask for one of their own keep it. 0: left alone."""
    learn_seconds: Annotated[Seconds, Field(gt=0)] = 60
    """A schedd looks so often for environments that have come or gone since the hooks were written."""
    callback: Literal["auto", "always", "never"] = "auto"
    """Whether workers are reached through the collector (CCB); `auto`: where their network is private (user, libvirt)."""
    worker_config: Lines = ""
    """Further lines of the workers' configuration."""
    exact_seconds: Seconds = 300
    """Counts are read exactly at least this often, even when the cheap summary says that nothing changed."""
    history_seconds: Seconds = 60
    """A schedd's history is read at most this often: for jobs shorter than a poll, and for black holes."""
    settle_seconds: Seconds = 300
    """For so long after the collector's start, what it does not know means nothing: workers report every few minutes."""
    quick_seconds: Seconds = 20
    """A job that failed in less than this failed at once: several one after the other mark a black hole."""
