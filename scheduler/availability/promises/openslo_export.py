"""Our objectives as OpenSLO v1 documents, which the published schema accepts and our own reader reads back as they were."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from environments.writer import write
from scheduler.availability.promises.openslo_alerts import LENGTHS
from scheduler.availability.promises.openslo_model import PREFIX, SOURCE, VERSION
from scheduler.availability.promises.openslo_window import DURATIONS, PAST, SAME, STARTS, UTC
from scheduler.model.instants import Duration, in_seconds, write_instant

if TYPE_CHECKING:
    from scheduler.availability.history import Objective
    from scheduler.availability.promises.burn_rate import Alert
    from scheduler.availability.promises.openslo import Promise, Promises

DIGITS = 40


class NotExpressibleError(ValueError):
    """OpenSLO cannot say this."""


def text(promises: Promises, zone: str) -> str:
    """Write promises as a YAML file of several documents; `zone` is that of objectives that name none."""
    return write(documents(promises, zone))


def documents(promises: Promises, zone: str) -> Iterator[dict[str, Any]]:
    """Yield the documents: services, alerts, then the objectives."""
    for service in dict.fromkeys(promise.service for promise in promises.promises):
        yield _document("Service", service, promises.services.get(service, ""), {"description": ""})
    alerts = {alert.name: alert for promise in promises.promises for alert in promise.alerts}
    for alert in alerts.values():
        yield _document("AlertCondition", alert.name, "", _condition(alert))
        yield _document("AlertPolicy", alert.name, "", _policy(alert))
    for promise in promises.promises:
        yield _slo(promise, zone)


def _document(kind: str, name: str, title: str, spec: dict[str, Any], notes: dict[str, str] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": _named(name)}
    if title and title != name:
        metadata["displayName"] = title
    if notes:
        metadata["annotations"] = {f"{PREFIX}{key}": value for key, value in notes.items()}
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _named(name: str) -> str:
    """Return a name that OpenSLO's rules accept."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.") or "objective"


def _slo(promise: Promise, zone: str) -> dict[str, Any]:
    objective = promise.objective
    spec: dict[str, Any] = {"description": promise.description} if promise.description else {}
    spec |= {
        "service": _named(promise.service),
        "indicator": _indicator(objective),
        "timeWindow": [_window(objective, zone)],
        "budgetingMethod": "Occurrences",
        "objectives": [{"displayName": promise.title, "target": decimal(objective.target)}],
    }
    if promise.alerts:
        spec["alertPolicies"] = [_named(alert.name) for alert in promise.alerts]
    return _document("SLO", objective.name, promise.title, spec, _notes(promise))


def _notes(promise: Promise) -> dict[str, str]:
    objective = promise.objective
    notes = {"profile": objective.profile, "object": objective.object}
    if _named(objective.name) != objective.name:
        notes["name"] = objective.name
    name = SAME.get(objective.window, objective.window)
    if name in PAST:
        notes["window"] = name
    if name not in DURATIONS and objective.zone:
        notes["zone"] = objective.zone
    if objective.applies is not None:
        notes["applies-during"] = promise.during or _intervals(objective)
    return notes


def _intervals(objective: Objective) -> str:
    spans = objective.applies or ()
    if not spans or any(span.end is None for span in spans):
        raise NotExpressibleError(f"{objective.name}: periods without an end cannot be written; name a file of them")
    return ",".join(f"{write_instant(span.start)}/{write_instant(span.end or 0)}" for span in spans)


def _indicator(objective: Objective) -> dict[str, Any]:
    def side(seconds: str) -> dict[str, Any]:
        spec = {"object": objective.object, "seconds": seconds, "profile": objective.profile}
        return {"metricSource": {"type": SOURCE, "spec": spec}}

    ratio = {"counter": False, "good": side("up"), "total": side("counted")}
    return {"metadata": {"name": f"{_named(objective.name)}-availability"}, "spec": {"ratioMetric": ratio}}


def _window(objective: Objective, zone: str) -> dict[str, Any]:
    duration = DURATIONS.get(SAME.get(objective.window, objective.window))
    if duration is None:
        return {"duration": objective.window, "isRolling": True}
    named = objective.zone or zone
    calendar = {"startTime": STARTS[duration], "timeZone": UTC if named == "UTC" else named}
    return {"duration": duration, "isRolling": False, "calendar": calendar}


def _condition(alert: Alert) -> dict[str, Any]:
    condition = {
        "kind": "burnrate",
        "op": "gt" if alert.strictly else "gte",
        "threshold": decimal(alert.factor),
        "lookbackWindow": _length(alert.long),
        "alertAfter": _length(alert.short),
    }
    return {"severity": alert.severity, "condition": condition}


def _policy(alert: Alert) -> dict[str, Any]:
    flags = {"alertWhenNoData": False, "alertWhenResolved": True, "alertWhenBreaching": True}
    references = {"conditions": [{"conditionRef": _named(alert.name)}], "notificationTargets": [{"targetRef": "on-call"}]}
    return {**flags, **references}


def _length(length: Duration) -> str:
    for unit in ("w", "d", "h", "m"):
        count, rest = divmod(length, LENGTHS[unit])
        if count and not rest:
            return f"{count}{unit}"
    raise NotExpressibleError(f"a window of {in_seconds(length):g} s is no whole number of minutes")


def decimal(value: Fraction) -> Decimal:
    """Return a fraction as the exact decimal that it is."""
    with localcontext() as context:
        context.prec = DIGITS
        found = Decimal(value.numerator) / value.denominator
    if found.as_integer_ratio() != (value.numerator, value.denominator):
        raise NotExpressibleError(f"{value} is no finite decimal; OpenSLO writes targets as such")
    return found
