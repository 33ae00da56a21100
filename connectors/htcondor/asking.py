"""What one job asks for, read from its ad: only what the decision may use, and all of that. Used by companions.

A job's ad in the queue's groups holds what the schedd itself tells jobs apart by: every attribute that one of those asked for
looks at, in however many steps. Here it is cut down to these, so that equal asks are judged once.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from connectors.htcondor.bindings import classad2
from connectors.htcondor.expressions import DEFAULTED, WANTED
from environments.requirements import Amounts

if TYPE_CHECKING:
    from collections.abc import Iterable

AMOUNTS = ("RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs")
BASE = (*AMOUNTS, WANTED, DEFAULTED)
_KIB_PER_MIB = 1024
_MOST = 10**15
"""No amount and no walltime is larger; real ones are far smaller, in KiB too."""
_MOVING = re.compile(r"\b(?:time|random|currenttime|servertime|formattime|daytime|relativetime)\b", re.IGNORECASE)
"""What changes while the ad stands still."""


class MalformedError(Exception):
    """An ad that does not say what it must."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one job asks for, in its own words."""

    identity: str
    """The same for jobs whose ads say the same in all that is looked at."""
    vo: str
    looked_at: Mapping[str, str] | None
    """What was looked at to tell the VO, where that is not one that has environments."""
    ad: classad2.ClassAd
    moving: bool
    """Whether the answer may be another one at the next look, though the ad is the same."""


def ask_of(ad: classad2.ClassAd, vo: str, looked_at: Mapping[str, str] | None, walltime_attributes: Iterable[str]) -> Ask:
    """Cut a job's ad down to what is looked at."""
    small = classad2.ClassAd()
    texts = []
    for name in sorted(_looked_at(ad, (*BASE, *walltime_attributes, "Requirements")), key=str.lower):
        tree = ad.lookup(name)
        small[name] = tree
        texts.append(f"{name.lower()}={tree}")
    whole = "\n".join([vo, *(f"{name}={value}" for name, value in sorted((looked_at or {}).items())), *texts])
    return Ask(
        hashlib.sha256(whole.encode(errors="backslashreplace")).hexdigest(),
        vo,
        looked_at,
        small,
        any(_MOVING.search(text) for text in texts),
    )


def _looked_at(ad: classad2.ClassAd, names: Iterable[str]) -> set[str]:
    """Return those of the attributes that the ad has, and its own that they look at, in however many steps."""
    found: dict[str, str] = {}
    left = [name for name in names if name in ad]
    while left:
        name = left.pop()
        if name.lower() in found:
            continue
        found[name.lower()] = name
        tree = ad.lookup(name)
        if isinstance(tree, classad2.ExprTree):
            left += [own for other in _references(ad, tree) if (own := _own(other)) and own in ad and own.lower() not in found]
    return set(found.values())


def _references(ad: classad2.ClassAd, tree: classad2.ExprTree) -> Iterable[str]:
    """Return the ad's own attributes that an expression looks at; all, where it comes back to itself: nobody can tell then."""
    try:
        return list(ad.internalRefs(tree))
    except ValueError:
        return list(ad.keys())


def _own(name: str) -> str:
    """Return the job's own attribute of a reference."""
    scope, dot, rest = name.partition(".")
    return "" if scope.lower() == "target" else rest.partition(".")[0] if dot and scope.lower() == "my" else scope


def depends_on_slot(ad: classad2.ClassAd, names: Iterable[str]) -> bool:
    """Whether some of these attributes look at something that the job itself does not have."""
    for name in names:
        tree = ad.lookup(name) if name in ad else None
        try:
            if isinstance(tree, classad2.ExprTree) and ad.externalRefs(tree):
                return True
        except ValueError:  # it comes back to itself
            return True
    return False


def named(ad: classad2.ClassAd) -> tuple[str, bool]:
    """Return the environment that was named for a job ("" if none), and whether the submit hook named it.

    A default that the job has outgrown is none: the hook's own requirement lets it go then.
    """
    value = evaluated(ad, WANTED)
    if is_undefined(value):
        return "", False
    if not isinstance(value, str):
        raise MalformedError(f"{WANTED} is {_in_one_line(ad, WANTED)}, not the name of an environment")
    if evaluated(ad, DEFAULTED) is False:
        return "", False
    if not value:  # no worker takes it for unsaid
        raise MalformedError(f"{WANTED} is empty, not the name of an environment")
    return value, DEFAULTED in ad


def amounts_of(ad: classad2.ClassAd, walltime: classad2.ExprTree, slot: classad2.ClassAd | None = None) -> Amounts:
    """Return the amounts that a job asks for of a slot; MalformedError when one has no value there.

    HTCondor starts no job that does not say how many cores, how much memory and disk it takes: its submission always says so.
    """
    cpus, memory_mib, disk_kib, gpus = (_amount(ad, name, slot) for name in AMOUNTS)
    return Amounts(max(1, cpus), max(1, memory_mib), -(-disk_kib // _KIB_PER_MIB), gpus, seconds_of(ad, walltime, slot))


def seconds_of(ad: classad2.ClassAd, walltime: classad2.ExprTree, slot: classad2.ClassAd | None = None) -> int | None:
    """Return the walltime asked for in seconds, None if none."""
    value = value_of(walltime, ad, slot)
    return min(math.ceil(value), _MOST) if is_number(value) and 0 < value < math.inf else None


def _amount(ad: classad2.ClassAd, name: str, slot: classad2.ClassAd | None) -> int:
    if name not in ad:
        if name == "RequestGPUs":
            return 0
        raise MalformedError(f"{name} is not set, and HTCondor starts no job without it")
    value = evaluated(ad, name, slot)
    if is_amount(value):
        return math.ceil(value)
    if name == "RequestGPUs" and is_undefined(value):
        return 0
    raise MalformedError(f"{name} is {_in_one_line(ad, name)}, not an amount")


def evaluated(ad: classad2.ClassAd, name: str, slot: classad2.ClassAd | None = None) -> object:
    """Return the value of an attribute; what is missing is undefined."""
    if name not in ad:
        return classad2.Value.Undefined
    return value_of(ad.lookup(name), ad, slot)


def value_of(tree: object, ad: classad2.ClassAd, slot: classad2.ClassAd | None = None) -> object:
    """Return the value of an expression in an ad; what HTCondor gives up (nested too deeply) is an error, as it is for it."""
    if not isinstance(tree, classad2.ExprTree):
        return tree
    try:
        return tree.eval(scope=ad, target=slot) if slot is not None else tree.eval(scope=ad)
    except classad2.ClassAdException:
        return classad2.Value.Error


def is_undefined(value: object) -> bool:
    """Whether a value is the bindings' own Undefined."""
    return isinstance(value, classad2.Value) and value == classad2.Value.Undefined


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number: booleans are not, and the bindings' own Undefined and Error are integers to Python."""
    return isinstance(value, int | float) and not isinstance(value, bool | classad2.Value)


def is_amount(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that an amount, or an instant, can be."""
    return is_number(value) and 0 <= value <= _MOST


def text_of(ad: classad2.ClassAd, name: str) -> str:
    """Return an attribute that is text; "" when it is missing or anything else."""
    value = ad.get(name)
    return value if isinstance(value, str) else ""


def _in_one_line(ad: classad2.ClassAd, name: str) -> str:
    return " ".join(text(ad, name).split())


def text(ad: classad2.ClassAd, name: str) -> str:
    """Return an attribute in its own words; "" when it is missing."""
    return str(ad.lookup(name)) if name in ad else ""
