"""Jobs judged as real ClassAds against the slot that each environment's worker would have. Used by companions.

Jobs are one row when all that the decision uses is equal: the VO, the environment that was named and by whom, the amounts and
the verdict in each environment. Their texts do not matter, and nothing that the decision uses is left out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.htcondor.asking import (
    AMOUNTS,
    Ask,
    MalformedError,
    amounts_of,
    ask_of,
    depends_on_slot,
    is_number,
    named,
    seconds_of,
    text,
    value_of,
)
from connectors.htcondor.bindings import classad2
from connectors.htcondor.expressions import OFFERED, WANTED, clauses
from connectors.htcondor.messages import Prototype, Setting
from connectors.htcondor.rules import examples, in_words, line
from environments.requirements import Amounts, Chooser, Requirements, Unmapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_LONGEST_CLAUSE = 300
_OF_GPUS = "gpus_"
"""Begins the name of an attribute that tells what all GPUs of a worker are: GPUs_Capability, GPUs_GlobalMemoryMb."""
_GPUS_THERE = "AvailableGPUs"
_MOST_GPUS = 1024
_SUCH_A_GPU = classad2.ExprTree(f"countMatches(MY.RequireGPUs, TARGET.{_GPUS_THERE}) > 0")
_FLOAT = re.compile(r"\d+\.\d+E[+-]\d+")
_MOST_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What a job asks for, as the decision uses it."""

    key: str
    """The same for jobs for which all of this is the same."""
    vo: str
    requirements: Requirements
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SlotVerdict:
    """What one job gets of one environment's worker: amounts, unless they have no value there; "" when it is accepted."""

    amounts: Amounts | None
    refusal: str


@dataclass(slots=True)
class Judge:
    """Judges jobs; what was judged is kept as long as neither side changes."""

    setting: Setting
    _prototypes: tuple[Prototype, ...] = ()
    _slots: dict[str, tuple[Prototype, classad2.ClassAd]] = field(default_factory=dict)
    _vos: frozenset[str] = frozenset()
    _lines: dict[str, str] | None = None
    """By VO: what says it in a submit file; None until somebody needs it."""
    _verdicts: dict[tuple[str, Prototype], SlotVerdict] = field(default_factory=dict)
    _judged: dict[str, Judged] = field(default_factory=dict)

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
            self._vos = frozenset(vo for one in prototypes for vo in one.vos)
            self._judged, self._lines = {}, None
            kept = set(prototypes)
            self._verdicts = {key: verdict for key, verdict in self._verdicts.items() if key[1] in kept}

    @property
    def prototypes(self) -> tuple[Prototype, ...]:
        """The environments by which is judged now."""
        return self._prototypes

    def vo(self, ad: classad2.ClassAd) -> str:
        """Return the VO of a job or of a slot that holds one; "" where no rule fits."""
        value = value_of(self._vo, ad)
        return value if isinstance(value, str) else ""

    def walltime(self, ad: classad2.ClassAd) -> int | None:
        """Return the walltime asked for in seconds."""
        return seconds_of(ad, self._walltime)

    def ask(self, ad: classad2.ClassAd) -> Ask:
        """Read what a job asks for."""
        vo = self.vo(ad)
        looked_at = None if vo in self._vos else {name: text(ad, name) for name in self.setting.vo_attributes}
        return ask_of(ad, vo, looked_at, self.setting.walltime_attributes)

    def judge(self, ask: Ask) -> Judged:
        """Say what a job asks for and what it would get in each environment of its VO."""
        if ask.moving:
            return self._judge(ask)
        judged = self._judged.get(ask.identity)
        if judged is None:
            if len(self._judged) >= _MOST_REMEMBERED:
                self._judged.clear()
            judged = self._judged[ask.identity] = self._judge(ask)
        return judged

    def _judge(self, ask: Ask) -> Judged:
        try:
            requirements = self._requirements(ask)
        except MalformedError as error:
            key = "bad-" + _digest(ask.vo, str(error), sorted((ask.looked_at or {}).items()))[:8]
            return Judged(key, ask.vo, Requirements(unmapped=self._unmapped(ask)), str(error))
        return Judged(_key(ask.vo, requirements), ask.vo, requirements)

    def _requirements(self, ask: Ask) -> Requirements:
        wanted, by_hook = named(ask.ad)
        varying = depends_on_slot(ask.ad, (*AMOUNTS, *self.setting.walltime_attributes))
        # An amount that has no value without a slot is none: then it is one of the slots that gives it.
        alone = None if varying else amounts_of(ask.ad, self._walltime)
        verdicts = {
            name: self._verdict(ask, prototype, slot, wanted, alone)
            for name, (prototype, slot) in self._slots.items()
            if ask.vo in prototype.vos or name == wanted
        }
        amounts = alone or self._shown(ask, verdicts)
        refusals = {name: verdict.refusal for name, verdict in verdicts.items() if verdict.refusal}
        return Requirements(
            wanted=wanted,
            cpus=amounts.cpus,
            memory_mib=amounts.memory_mib,
            walltime_seconds=amounts.walltime_seconds,
            accepts=frozenset(verdicts.keys() - refusals.keys()),
            refusals=refusals,
            disk_mib=amounts.disk_mib,
            gpus=amounts.gpus,
            by_environment={
                name: verdict.amounts
                for name, verdict in verdicts.items()
                if verdict.amounts is not None and verdict.amounts != amounts
            },
            chosen_by=(Chooser.HOOK if by_hook else Chooser.JOB) if wanted else None,
            unmapped=self._unmapped(ask),
        )

    def _shown(self, ask: Ask, verdicts: Mapping[str, SlotVerdict]) -> Amounts:
        """Return the amounts of one worker for a job that asks something else of each: one that accepts it, if any does."""
        told = [(bool(verdict.refusal), name) for name, verdict in verdicts.items() if verdict.amounts is not None]
        if told and (found := verdicts[min(told)[1]].amounts):
            return found
        slots = () if verdicts else (slot for _, slot in self._slots.values())
        return _first_amounts(ask.ad, self._walltime, slots)

    def _verdict(
        self, ask: Ask, prototype: Prototype, slot: classad2.ClassAd, wanted: str, amounts: Amounts | None
    ) -> SlotVerdict:
        key = (ask.identity, prototype)
        if ask.moving or key not in self._verdicts:
            if len(self._verdicts) >= _MOST_REMEMBERED:
                self._verdicts.clear()
            self._verdicts[key] = self._look(ask.ad, slot, prototype.name, wanted, amounts)
        return self._verdicts[key]

    def _look(
        self, ad: classad2.ClassAd, slot: classad2.ClassAd, name: str, wanted: str, amounts: Amounts | None
    ) -> SlotVerdict:
        job = _naming(ad, name) if wanted not in {"", name} else ad
        if amounts is None:
            try:
                amounts = amounts_of(job, self._walltime, slot)
            except MalformedError as error:
                return SlotVerdict(None, f"{error} in a worker of {name}")
        return SlotVerdict(amounts, refusal(job, slot))

    def _unmapped(self, ask: Ask) -> Unmapped | None:
        if ask.looked_at is None:
            return None
        if self._lines is None:
            told = ((vo, self._line(vo)) for vo in sorted(self._vos))
            self._lines = {vo: words for vo, words in told if words}
        return Unmapped(ask.looked_at, in_words(self.setting.vo_rules), self._lines)

    def _line(self, vo: str) -> str:
        """Return the line of a submit file that says a VO, tried by the rules themselves; "" when there is none."""
        for attribute, value in examples(self.setting.vo_rules, vo):
            ad = classad2.ClassAd()
            ad[attribute] = value
            if self.vo(ad) == vo:
                return line(attribute, value)
        return ""


def refusal(job: classad2.ClassAd, slot: classad2.ClassAd) -> str:
    """Return the first clause of a job's requirements that this slot does not satisfy; "" when it satisfies all."""
    requirements = text(job, "Requirements")
    if not requirements or _holds(job.lookup("Requirements"), job, slot):
        return ""
    for clause in clauses(requirements):
        if not _holds(classad2.ExprTree(clause), job, slot):
            return _of_gpus(clause, job, slot) or clause[:_LONGEST_CLAUSE]
    return requirements[:_LONGEST_CLAUSE]


def _of_gpus(clause: str, job: classad2.ClassAd, slot: classad2.ClassAd) -> str:
    """Say of a clause that condor_submit made of `require_gpus` what GPUs are asked for, and what is told of them.

    "" of another clause, and where it is only their number that does not suffice.
    """
    asked = text(job, "RequireGPUs")
    if not asked or "requiregpus" not in clause.lower() or _holds(_SUCH_A_GPU, job, slot):
        return ""
    told = next(iter(slot.get(_GPUS_THERE) or ()), None)
    known = ", ".join(f"{name} = {_plain(str(told.lookup(name)))}" for name in sorted(told)) if told else "nothing of its GPUs"
    return f"require_gpus asks for {_plain(asked)}, the environment tells {known}"[:_LONGEST_CLAUSE]


def _plain(words: str) -> str:
    """Write the numbers of an expression as people do, not as ClassAds are unparsed."""
    return _FLOAT.sub(lambda found: f"{float(found[0]):.12g}", words)


def _first_amounts(ad: classad2.ClassAd, walltime: classad2.ExprTree, slots: Iterable[classad2.ClassAd]) -> Amounts:
    """Return the amounts that a job asks for of no slot, else of the first that gives them a value; MalformedError if none."""
    try:
        return amounts_of(ad, walltime)
    except MalformedError as error:
        first = error
    for slot in slots:
        try:
            return amounts_of(ad, walltime, slot)
        except MalformedError:
            continue
    raise first


def _naming(ad: classad2.ClassAd, environment: str) -> classad2.ClassAd:
    """Return the job as if it had named this environment."""
    job = classad2.ClassAd(str(ad))
    job[WANTED] = environment
    return job


def _holds(tree: classad2.ExprTree, job: classad2.ClassAd, slot: classad2.ClassAd) -> bool:
    """Whether an expression is true the way HTCondor sees it: a number other than zero is, undefined and errors are not."""
    value = value_of(tree, job, slot)
    return value is True or (is_number(value) and value != 0)


def _slot(prototype: Prototype) -> classad2.ClassAd:
    slot = classad2.ClassAd()
    for name, value in prototype.attributes:
        slot[name] = value
    slot[OFFERED] = prototype.name
    gpu = {name[len(_OF_GPUS) :]: value for name, value in prototype.attributes if name.lower().startswith(_OF_GPUS)}
    count = slot.get("GPUs")
    if gpu and isinstance(count, int):
        slot[_GPUS_THERE] = [gpu] * min(count, _MOST_GPUS)  # as a startd tells of GPUs that are all alike
    return slot


def _key(vo: str, asked: Requirements) -> str:
    looked_at = sorted(asked.unmapped.looked_at.items()) if asked.unmapped else None
    return _digest(
        vo,
        asked.wanted,
        asked.chosen_by and asked.chosen_by.value,
        asked.amounts,
        sorted(asked.by_environment.items()),
        sorted(asked.accepts or ()),
        sorted(asked.refusals.items()),
        looked_at,
    )[:10]


def _digest(*told: object) -> str:
    return hashlib.sha256(repr(told).encode(errors="backslashreplace")).hexdigest()
