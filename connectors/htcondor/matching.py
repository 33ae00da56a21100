"""Requirements judged as real ClassAds against the slot that each environment's worker would have. Used by companions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from connectors.htcondor.bindings import classad2
from connectors.htcondor.expressions import OFFERED, clauses
from connectors.htcondor.messages import Prototype, Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE = ("RequestCpus", "RequestMemory", "RequestDisk", "WantEnvironment")
VOLATILE = frozenset(
    {
        "diskusage", "imagesize", "memoryusage", "residentsetsize", "proportionalsetsizekb", "executablesize", "jobstatus",
        "procid", "clusterid", "globaljobid", "qdate", "jobstartdate", "remotehost", "lastremotehost", "numjobstarts",
        "enteredcurrentstatus", "jobruncount", "numshadowstarts", "servertime", "currenttime", "requirements",
    }
)  # fmt: skip
"""Attributes that differ from job to job: they would make a row of every job."""
STAND_INS = {"DiskUsage": 1, "ImageSize": 1, "ExecutableSize": 1}
"""What `RequestDisk = DiskUsage` and the like are judged with."""
_LONGEST_CLAUSE = 300
_MAXIMUM_VERDICTS = 200_000


class MalformedError(Exception):
    """An ad that does not say what it must."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one job asks for."""

    key: str
    vo: str
    wanted: str
    cpus: int
    memory_mib: int
    walltime_seconds: int | None
    requirements: str
    ad: classad2.ClassAd


@dataclass(slots=True)
class Judge:
    """Judges requests; verdicts are kept as long as neither side changes."""

    setting: Setting
    _prototypes: tuple[Prototype, ...] = ()
    _slots: dict[str, tuple[Prototype, classad2.ClassAd]] = field(default_factory=dict)
    _verdicts: dict[tuple[str, Prototype], str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._vo = classad2.ExprTree(self.setting.vo_expression)
        self._walltime = classad2.ExprTree(self.setting.walltime_expression)

    _vo: classad2.ExprTree = field(init=False)
    _walltime: classad2.ExprTree = field(init=False)

    def know(self, prototypes: Sequence[Prototype]) -> None:
        """Take over the environments of now."""
        if tuple(prototypes) != self._prototypes:
            self._prototypes = tuple(prototypes)
            self._slots = {one.name: (one, _slot(one)) for one in prototypes}
            kept = set(prototypes)
            self._verdicts = {key: verdict for key, verdict in self._verdicts.items() if key[1] in kept}

    def vo(self, ad: classad2.ClassAd) -> str:
        """Return the VO of a job or of a slot that holds one; "" where no rule fits."""
        value = self._vo.eval(scope=ad)
        return value if isinstance(value, str) else ""

    def walltime(self, ad: classad2.ClassAd) -> int | None:
        """Return the walltime asked for in seconds."""
        value = self._walltime.eval(scope=ad)
        return int(value) if is_number(value) and value > 0 else None

    def ask(self, ad: classad2.ClassAd) -> Ask:
        """Say what a job asks for; MalformedError when its ad is wrong."""
        wanted = _evaluated(ad, "WantEnvironment", "")
        if not isinstance(wanted, str):
            raise MalformedError(f"WantEnvironment is {_text(ad, 'WantEnvironment')}, not the name of an environment")
        cpus = _amount(ad, "RequestCpus", 1)
        memory_mib = _amount(ad, "RequestMemory", 1)
        requirements = _text(ad, "Requirements") or "true"
        vo, walltime = self.vo(ad), self.walltime(ad)
        told = [vo, *(f"{name}={_text(ad, name)}" for name in (*BASE, *self.setting.walltime_attributes))]
        told += [f"{name}={_text(ad, name)}" for name in referenced(ad)]
        key = hashlib.sha256("\n".join([*told, requirements]).encode()).hexdigest()[:10]
        return Ask(key, vo, wanted, cpus, memory_mib, walltime, requirements, ad)

    def verdicts(self, ask: Ask) -> tuple[frozenset[str], dict[str, str]]:
        """Return the environments whose slots the requirements accept, and for others of the VO the clause that refuses."""
        accepted, refused = [], {}
        job: classad2.ClassAd | None = None
        for prototype, slot in self._slots.values():
            if ask.wanted not in {"", prototype.name} or (not ask.wanted and ask.vo not in prototype.vos):
                continue
            key = (ask.key, prototype)
            if key not in self._verdicts:
                if len(self._verdicts) >= _MAXIMUM_VERDICTS:
                    self._verdicts.clear()
                job = job or _with_stand_ins(ask.ad)
                self._verdicts[key] = refusal(job, ask.requirements, slot)
            verdict = self._verdicts[key]
            if verdict is None:
                accepted.append(prototype.name)
            else:
                refused[prototype.name] = verdict
        return frozenset(accepted), refused


def referenced(ad: classad2.ClassAd) -> tuple[str, ...]:
    """Return the job's own attributes that its requirements look at, volatile ones left out."""
    if "Requirements" not in ad:
        return ()
    tree = ad.lookup("Requirements")
    names = {*ad.internalRefs(tree), *ad.externalRefs(tree)}
    own = (name.removeprefix("MY.") for name in names if not name.lower().startswith("target"))
    return tuple(sorted({name for name in own if "." not in name and name.lower() not in VOLATILE}))


def refusal(job: classad2.ClassAd, requirements: str, slot: classad2.ClassAd) -> str | None:
    """Return the first clause of the requirements that this slot does not satisfy; None when it satisfies all."""
    if "Requirements" not in job or _holds(job.lookup("Requirements"), job, slot):
        return None
    for clause in clauses(requirements):
        if not _holds(classad2.ExprTree(clause), job, slot):
            return clause[:_LONGEST_CLAUSE]
    return requirements[:_LONGEST_CLAUSE]


def _with_stand_ins(ad: classad2.ClassAd) -> classad2.ClassAd:
    job = classad2.ClassAd(str(ad))
    for name, value in STAND_INS.items():
        if name not in job:
            job[name] = value
    return job


def _holds(tree: classad2.ExprTree, job: classad2.ClassAd, slot: classad2.ClassAd) -> bool:
    """Whether an expression is true the way HTCondor sees it: a number other than zero is, undefined and errors are not."""
    value = tree.eval(scope=job, target=slot)
    return value is True or (is_number(value) and value != 0)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number: booleans are not, and the bindings' own Undefined and Error are integers to Python."""
    return isinstance(value, int | float) and not isinstance(value, bool | classad2.Value)


def text_of(ad: classad2.ClassAd, name: str) -> str:
    """Return an attribute that is text; "" when it is missing or anything else."""
    value = ad.get(name)
    return value if isinstance(value, str) else ""


def _slot(prototype: Prototype) -> classad2.ClassAd:
    slot = classad2.ClassAd()
    for name, value in prototype.attributes:
        slot[name] = value
    slot[OFFERED] = prototype.name
    return slot


def _evaluated(ad: classad2.ClassAd, name: str, default: object) -> object:
    if name not in ad:
        return default
    value = ad.eval(name)
    return default if value == classad2.Value.Undefined else value


def _amount(ad: classad2.ClassAd, name: str, default: int) -> int:
    value = _evaluated(ad, name, default)
    if not is_number(value) or value < 0:
        raise MalformedError(f"{name} is {_text(ad, name)}, not an amount")
    return max(1, round(value))


def _text(ad: classad2.ClassAd, name: str) -> str:
    return str(ad.lookup(name)) if name in ad else ""
