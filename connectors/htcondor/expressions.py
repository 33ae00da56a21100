"""ClassAd expressions as pure text: the VO of a job, the walltime it asks for, the clauses of its requirements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from environments.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from connectors.htcondor.options import VORule

_MACRO = re.compile(r"(?<=\$)(?=\$|\(|\[|[A-Za-z0-9_]+\()")
"""Within what HTCondor's configuration would expand, after the dollar sign."""
WANTED = "WantEnvironment"
"""What a job says to ask for an environment by name."""
OFFERED = "AmbientiEnvironment"
"""What a worker says to tell its environment."""
WORKER = "AmbientiWorker"
RETIRES_AT = "AmbientiRetiresAt"
DEFAULTED = "AmbientiDefault"
"""What the submit hook says of the default that it has named: true while the job fits in it, false when it has outgrown it."""
GROUP, GROUP_AND_USER = "AcctGroup", "AccountingGroup"


def quoted(text: str) -> str:
    """Return a ClassAd string literal, in the new syntax."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def config_quoted(text: str) -> str:
    """Return an expression for a text in HTCondor's configuration, in the old syntax: a backslash stands for itself.

    It is a string literal as long as nothing in the text means something to the configuration.
    """
    return _joined([_old_quoted(part) for part in _apart(text)])


def requirement_quoted(text: str) -> str:
    """Return an expression for a text in a setting of HTCondor's configuration that is read in the new syntax."""
    return _joined([quoted(part) for part in _apart(text)])


def _apart(text: str) -> list[str]:
    """Take apart what the configuration would expand (`$(X)`, `$ENV(X)`, `$$(X)`): no way to write it stays as it is."""
    return _MACRO.split(_one_line(text))


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"strcat({', '.join(parts)})"


def _old_quoted(text: str) -> str:
    escaped = text.replace('"', '\\"')
    # Before the closing quote a backslash would be its escape.
    return f'substr("{escaped}_", 0, -1)' if escaped.endswith("\\") else f'"{escaped}"'


def _one_line(text: str) -> str:
    """Refuse what no line of a configuration can hold; what comes from files has been checked before."""
    if not text.isprintable():
        raise ValueError(f"cannot stand in HTCondor's configuration: {printable(text)}")
    return text


def listed(names: Iterable[str]) -> str:
    """Return a string that lists names, for stringListMember."""
    return quoted(",".join(names))


def vo_expression(rules: Iterable[VORule], scope: str = "", quote: Callable[[str], str] = quoted) -> str:
    """Return the expression for a job's VO ("" where no rule fits); `scope` is `TARGET.` where the job is the other ad."""
    expression = '""'
    for rule in reversed(list(rules)):
        attribute, pattern = vo_source(rule)
        if not attribute:
            expression = quote(rule.vo.lower())
            continue
        if rule.group is not None:
            value, regex, options = _group(scope, quote), quote(_group_pattern(pattern)), f", {quote('i')}"
        else:
            value, regex, options = f"{scope}{attribute}", quote(f"^(?:{pattern})$"), ""
        told = f"toLower(regexps({regex}, {value}, {quote(rule.vo)}{options}))"
        expression = f"ifThenElse(isString({value}) && regexp({regex}, {value}{options}), {told}, {expression})"
    return expression


def _group(scope: str, quote: Callable[[str], str]) -> str:
    """Return the expression for a job's accounting group, with a dot and its user behind it, or only the dot.

    The negotiator goes by AccountingGroup, in which the user stands behind the group; AcctGroup says where that begins, if it
    was set with it.
    """
    group, whole, dot = f"{scope}{GROUP}", f"{scope}{GROUP_AND_USER}", quote(".")
    begins = f"substr(strcat({whole}, {dot}), 0, size({group}) + 1) == strcat({group}, {dot})"
    return f"ifThenElse(isString({group}) && (!isString({whole}) || {begins}), strcat({group}, {dot}), {whole})"


def _group_pattern(pattern: str) -> str:
    """Return a pattern for a group with its user behind it; else, as a whole, for one without a user."""
    return rf"(?|^(?:{pattern})\.[^.@]*(?:@.*)?$|^(?:{pattern})(?:@.*)?$)"


def vo_source(rule: VORule) -> tuple[str, str]:
    """Return the attribute that a rule looks at ("" if none) and its pattern."""
    if rule.group is not None:
        return GROUP, rule.group
    if rule.owner is not None:
        return "Owner", rule.owner
    return rule.attribute or "", rule.matches


def vo_attributes(rules: Iterable[VORule]) -> tuple[str, ...]:
    """Return the attributes that the rules look at, each once."""
    names = [name for rule in rules if (name := vo_source(rule)[0])]
    return tuple(dict.fromkeys(one for name in names for one in ((GROUP_AND_USER, GROUP) if name == GROUP else (name,))))


def walltime_expression(attributes: Mapping[str, int], scope: str = "", otherwise: str = "undefined") -> str:
    """Return the expression for the walltime in seconds that a job asks for."""
    expression = otherwise
    for name, unit in reversed(list(attributes.items())):
        value = f"{scope}{name}"
        expression = f"ifThenElse(isInteger({value}) || isReal({value}), {value} * {unit}, {expression})"
    return expression


def clauses(expression: str) -> tuple[str, ...]:
    """Split an expression at its top-level `&&`, outer parentheses taken off; a text that cannot be split is one clause."""
    text = _bare(expression.strip())
    parts, depth, start, i = [], 0, 0, 0
    while i < len(text):
        character = text[i]
        if character in "\"'":
            i = _end_of_literal(text, i)
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and text.startswith("&&", i):
            parts.append(text[start:i])
            start = i + 2
            i += 1
        elif depth == 0 and (text.startswith("||", i) or character == "?") and not text.startswith("?:", i):
            return (text,)  # `a && b || c` is no conjunction
        i += 1
    parts.append(text[start:])
    if len(parts) == 1:
        return (text,)
    return tuple(clause for part in parts for clause in clauses(part))


def _bare(text: str) -> str:
    """Take off parentheses around the whole of a text."""
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    depth, i = 0, 0
    while i < len(text):
        if text[i] in "\"'":
            i = _end_of_literal(text, i)
        elif text[i] == "(":
            depth += 1
        elif text[i] == ")":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    return -1


def _end_of_literal(text: str, start: int) -> int:
    """Return the index of the quote that ends the literal which begins at `start`."""
    i = start + 1
    while i < len(text) and text[i] != text[start]:
        i += 2 if text[i] == "\\" else 1
    return min(i, len(text) - 1)
