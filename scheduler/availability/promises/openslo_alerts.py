"""Burn-rate alerts of an OpenSLO objective: from its policies to their conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from environments.names import nearest
from environments.nodes import YamlNode
from environments.problems import KeyPath, Problem
from scheduler.availability.promises import burn_rate
from scheduler.availability.promises import openslo_model as model
from scheduler.model.instants import SECOND, write_duration

LENGTHS = {"m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND, "w": 604800 * SECOND}
LONGEST = LENGTHS | {"M": 31 * LENGTHS["d"], "Q": 92 * LENGTHS["d"], "Y": 366 * LENGTHS["d"]}
"""A window of the calendar is as long as this at most."""


@dataclass(slots=True)
class OpenSLODocuments:
    """The documents of all files, by kind and name."""

    slos: list[tuple[model.Slo, YamlNode]] = field(default_factory=list)
    services: dict[str, tuple[model.Service, YamlNode]] = field(default_factory=dict)
    indicators: dict[str, tuple[model.Sli, YamlNode]] = field(default_factory=dict)
    policies: dict[str, tuple[model.AlertPolicy, YamlNode]] = field(default_factory=dict)
    conditions: dict[str, tuple[model.AlertCondition, YamlNode]] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)
    """Kind and name of documents that were read and are wrong: they are there, and not missing as well."""
    problems: list[Problem] = field(default_factory=list)


def alerts_of(
    slo: model.Slo, node: YamlNode, found: OpenSLODocuments, targets: Iterable[Fraction], problems: list[Problem]
) -> tuple[burn_rate.Alert, ...]:
    """Return the alerts of an objective; what cannot be is added to `problems`, at its line."""
    alerts: list[burn_rate.Alert] = []
    for index, written in enumerate(slo.spec.alertPolicies):
        place: KeyPath = ("spec", "alertPolicies", index)
        policy = _policy(written, (node, place), found, problems)
        if policy is None:
            continue
        spec, below, start = policy
        problems += _not_honoured(spec, below, start)
        for number, condition in enumerate(spec.conditions):
            path = (*start, "conditions", number)
            alert = _alert(condition, below, path, found, problems)
            if alert is None:
                continue
            alerts.append(alert[0])
            problems += _too_long(alert, slo)
            wrong = {fault for target in targets for fault in burn_rate.faults(alert[0], target)}
            problems += [alert[1].problem((*alert[2], "threshold"), message, right) for message, right in sorted(wrong)]
    return tuple(alerts)


def _policy(
    written: str | model.InlinePolicy, where: tuple[YamlNode, KeyPath], found: OpenSLODocuments, problems: list[Problem]
) -> tuple[model.PolicySpec, YamlNode, KeyPath] | None:
    """Return a policy, and where its specification stands."""
    node, place = where
    name = written if isinstance(written, str) else written.alertPolicyRef
    if not isinstance(written, str):
        if (name is None) != (written.spec is not None and written.metadata is not None):
            message = "is neither the name of an AlertPolicy nor one that stands here"
            problems.append(node.problem(place, message, "a name; or alertPolicyRef; or kind, metadata and spec"))
            return None
        if written.spec is not None:
            return written.spec, node, (*place, "spec")
    if name in found.policies:
        policy, below = found.policies[name]
        return policy.spec, below, ("spec",)
    if name is not None and ("AlertPolicy", name) not in found.refused:
        problems.append(node.problem(place, f"there is no AlertPolicy {name}", "", nearest(name, found.policies)))
    return None


def _alert(
    condition: model.InlineCondition, node: YamlNode, path: KeyPath, found: OpenSLODocuments, problems: list[Problem]
) -> tuple[burn_rate.Alert, YamlNode, KeyPath] | None:
    inline = condition.metadata is not None and condition.spec is not None
    if (condition.conditionRef is not None) == inline:
        problems.append(node.problem(path, "needs either conditionRef, or kind, metadata and spec"))
        return None
    if condition.conditionRef is not None:
        if condition.conditionRef not in found.conditions:
            if ("AlertCondition", condition.conditionRef) in found.refused:
                return None
            close = nearest(condition.conditionRef, found.conditions)
            message = f"there is no AlertCondition {condition.conditionRef}"
            problems.append(node.problem((*path, "conditionRef"), message, "", close))
            return None
        document, node = found.conditions[condition.conditionRef]
        metadata, spec, path = document.metadata, document.spec, ()
    else:
        assert condition.metadata is not None
        assert condition.spec is not None
        metadata, spec = condition.metadata, condition.spec
    place, written = (*path, "spec", "condition"), spec.condition
    if spec.severity.casefold() != burn_rate.PAGES and nearest(spec.severity.casefold(), [burn_rate.PAGES]):
        message = f"{spec.severity!r} would call nobody: only page opens an incident"
        problems.append(
            node.problem((*path, "spec", "severity"), message, "page, or a word that is not like it: ticket", burn_rate.PAGES)
        )
    for key in ("lookbackWindow", "alertAfter"):
        if getattr(written, key)[-1] not in LENGTHS:
            problems.append(
                node.problem((*place, key), "months, quarters and years have no fixed length", "minutes, hours, days, weeks")
            )
            return None
    long, short = _length(written.lookbackWindow), _length(written.alertAfter)
    factor = Fraction(written.threshold)
    return burn_rate.Alert(metadata.name, factor, long, short, spec.severity, written.op == "gt"), node, place


def _not_honoured(spec: model.PolicySpec, node: YamlNode, start: KeyPath) -> Iterator[Problem]:
    """Find what a policy says of when it alerts that is not how Ambienti alerts; left out is as it is."""
    if "alertWhenBreaching" in spec.model_fields_set and not spec.alertWhenBreaching:
        message = "alerts fire when their condition is breached, and at no other time"
        yield node.problem((*start, "alertWhenBreaching"), message, "true; or no alertPolicies, where nobody is to be told")
    if spec.alertWhenNoData:
        message = "time without data leaves an alert undecided, and calls nobody"
        yield node.problem((*start, "alertWhenNoData"), message, "false; an object with `freshness` becomes MISSING")


def _too_long(found: tuple[burn_rate.Alert, YamlNode, KeyPath], slo: model.Slo) -> Iterator[Problem]:
    """Find a long window that looks back further than the objective's own window: what it sees is no part of that budget."""
    alert, node, place = found
    window = slo.spec.timeWindow[0].duration
    if alert.long > int(window[:-1]) * LONGEST[window[-1]]:
        message = f"looks back {write_duration(alert.long)}, further than the window of {slo.metadata.name} ({window})"
        yield node.problem((*place, "lookbackWindow"), message, f"at most {window}")


def _length(written: str) -> int:
    return int(written[:-1]) * LENGTHS[written[-1]]
