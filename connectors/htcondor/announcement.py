"""What the schedds are told of the environments: attributes of an ad in the collector, which each schedd fetches for itself.

The hooks' conditions go by these attributes (they stand in the schedd's own ad, as `MY.Ambienti...`), and by what the hooks
were written with as long as nothing was heard. Pure text: every value is a ClassAd expression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.expressions import WANTED, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from environments.environment import Environment

AD_TYPE = "AmbientiEnvironments"
AD_NAME = "ambienti.environments"
PREFIX = "Ambienti"
"""What a schedd puts before the names of the attributes."""
LIFETIME_SECONDS = 86400
_NEAR = 500
"""Thousandths of likeness from which a name is suggested."""
_MOST_NAMES = 10000
_NAMES_SHOWN = 12


def attributes(environments: Sequence[Environment], vos: Sequence[str]) -> dict[str, str]:
    """Return what the conditions at submission need to know, by name."""
    names = sorted(environment.name for environment in environments)[: _MOST_NAMES - 1]
    usable = {vo: sorted(one.name for one in environments if vo in one.vos) for vo in sorted(vos)}
    hints = ", ".join(quoted(f" Did you mean '{name}'?") for name in names)
    return {
        "Environments": listed(names),
        "Allowed": listed(f"{vo}/{name}" for vo, its in usable.items() for name in its),
        "Shown": quoted("|" + "".join(f"{vo}:{_enumerated(its)}|" for vo, its in usable.items())),
        "Known": "{" + ", ".join(_known(name, place) for place, name in enumerate(names, 1)) + "}",
        "Hints": "{" + ", ".join(['""', *([hints] if hints else [])]) + "}",
    }


def announcement(environments: Sequence[Environment], vos: Sequence[str]) -> str:
    """Return the ad that tells the schedds of the environments."""
    told = {"MyType": quoted(AD_TYPE), "Name": quoted(AD_NAME), "ClassAdLifetime": str(LIFETIME_SECONDS)}
    return "[" + "; ".join(f"{name} = {value}" for name, value in {**told, **attributes(environments, vos)}.items()) + "]"


def known(given: Mapping[str, str]) -> str:
    """Return the condition that what a job wants is an environment; `given`: what the hooks are written with."""
    return f"stringListMember({WANTED}, {_learned('Environments', given)})"


def allowed(given: Mapping[str, str], vo: str) -> str:
    """Return the condition that jobs of a VO (an expression) may use what they want."""
    return f'stringListMember(strcat({vo}, "/", {WANTED}), {_learned("Allowed", given)})'


def shown(given: Mapping[str, str], vo: str) -> str:
    """Return the expression for the environments that jobs of a VO (an expression) may use, as people read it."""
    # Whatever is no letter of a name stands for any one: a VO is a text from outside, and no pattern.
    pattern = f'strcat("[|]", replaceAll("[^A-Za-z0-9_-]", {vo}, "."), ":([^|]*)[|]")'
    listed_ = _learned("Shown", given)
    return f'ifThenElse(regexp({pattern}, {listed_}), regexps({pattern}, {listed_}, "\\\\1"), "none")'


def nearest(given: Mapping[str, str]) -> str:
    """Return the expression for ` Did you mean 'x'?`, or "" when no name is like what the job wants.

    Likeness, in thousandths: how much of the wanted name is made of pairs of letters, and of letters, of a known one. An ad
    within an expression cannot see the job everywhere, so the best likeness and its place in the list are one number.
    """
    wanted, size = f"toLower({WANTED})", f"size({WANTED})"
    found = [f'({size} - size(replaceAll({part}, {wanted}, "")))' for part in ("pairs", "letters")]
    score = f"1000 * ({' + '.join(found)}) / ({size} + length)"
    ranked = f"ifThenElse({score} < {_NEAR}, 0, ({score}) * {_MOST_NAMES} + place)"
    names, hints = (_learned(name, given, "isList") for name in ("Known", "Hints"))
    found_one = f"{hints}[max(evalInEachContext({ranked}, {names})) % {_MOST_NAMES}]"
    return f'ifThenElse(isString({found_one}), {found_one}, "")'


def _learned(name: str, given: Mapping[str, str], is_right: str = "isString") -> str:
    """Return the expression for what the schedd has learned, or for what the hooks were written with."""
    attribute = f"MY.{PREFIX}{name}"
    return f"ifThenElse({is_right}({attribute}), {attribute}, {given[name]})"


def _known(name: str, place: int) -> str:
    """Return a name as an ad: regular expressions for the pairs of its letters and for the letters themselves."""
    pairs = "|".join(dict.fromkeys(name[i : i + 2] for i in range(len(name) - 1))) or name
    letters = "".join(sorted(set(name) - {"-"}))
    return f'[pairs = "{pairs}"; letters = "[{letters}-]"; length = {len(name)}; place = {place}]'


def _enumerated(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
