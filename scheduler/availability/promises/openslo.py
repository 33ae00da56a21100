"""Objectives from OpenSLO v1 files, with our extensions in annotations `ambienti.io/...`."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from environments.checking import checked
from environments.names import nearest
from environments.problems import ConfigurationError, KeyPath, Problem
from environments.reader import documents, read_content
from scheduler.availability.files.reading import exact
from scheduler.availability.history import Objective, Span
from scheduler.availability.promises import burn_rate, openslo_window
from scheduler.availability.promises import openslo_model as model
from scheduler.availability.promises.openslo_alerts import OpenSLODocuments, alerts_of
from scheduler.availability.promises.openslo_window import PromiseError, window_name
from scheduler.model import instants

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from scheduler.model.instants import Instant

PROFILES = ("excuse", "argo", "icinga", "nagios", "skip")

Periods = Callable[[str], tuple[Span, ...]]
"""From what `applies-during` names to the periods; raises ConfigurationError."""


@dataclass(frozen=True, slots=True)
class Promise:
    """An objective, what people call it and what alarms it has."""

    objective: Objective
    title: str
    description: str
    service: str
    alerts: tuple[burn_rate.Alert, ...] = ()
    during: str = ""
    """What `applies-during` said."""


@dataclass(frozen=True, slots=True)
class Promises:
    """Everything that some OpenSLO files promise."""

    promises: tuple[Promise, ...]
    services: Mapping[str, str] = field(default_factory=dict)
    """Name -> what people call it."""


def read_files(paths: Iterable[Path], until: Instant, zone: str, names: Collection[str] | None = None) -> Promises:
    """Read OpenSLO files together: one may refer to what another defines.

    Periods are expanded up to `until`; `zone` is that of times in them that name none. `names` are the objects and groups
    that there are; None: whatever is named is taken.
    """
    return read(((read_content(path), str(path), periods_near(path.parent, until, zone)) for path in paths), names)


def read(files: Iterable[tuple[bytes | str, str, Periods]], names: Collection[str] | None = None) -> Promises:
    """Read OpenSLO documents: text, name of the file, and what turns its `applies-during` into periods."""
    found, near = OpenSLODocuments(), {}
    for content, file, finding in files:
        near[file] = finding
        for document in documents(content, file):
            for node in document.elements if isinstance(document.value, tuple) else (document,):
                _sort(node, found)
    promises: dict[str, Promise] = {}
    for slo, node in found.slos:
        for promise in _promises(slo, node, found, near[node.mark.file]):
            if promise.objective.name in promises:
                message = f"two objectives are called {promise.objective.name!r}"
                found.problems.append(node.problem(("metadata", "name"), message, "each name once"))
            promises[promise.objective.name] = promise
            if names is not None and promise.objective.object not in names:
                found.problems.append(_unknown_object(promise.objective.object, node, names))
    if found.problems:
        raise ConfigurationError(found.problems)
    return Promises(
        tuple(promises.values()), {name: one.metadata.displayName or name for name, (one, _) in found.services.items()}
    )


def _unknown_object(name: str, node: YamlNode, names: Collection[str]) -> Problem:
    annotation = ("metadata", "annotations", f"{model.PREFIX}object")
    path = ("spec", "service") if node.walk(annotation)[2] else annotation
    return node.problem(path, f"no object or group is called {name!r}", "a known name", nearest(name, names))


def _sort(node: YamlNode, found: OpenSLODocuments) -> None:
    kind = node.items.get("kind")
    if kind is None or kind.value not in model.KINDS:
        said = "is missing" if kind is None else f"{kind.value!r} is not a kind"
        close = nearest(str(kind.value), model.KINDS) if kind else ""
        found.problems.append(node.problem(("kind",), said, f"one of: {', '.join(model.KINDS)}", close))
        return
    data, problems, before = exact(node), found.problems, len(found.problems)
    if kind.value == "SLO" and (slo := checked(model.Slo, node, problems, data=data)):
        found.slos.append((slo, node))
    elif kind.value == "Service" and (service := checked(model.Service, node, problems, data=data)):
        found.services[service.metadata.name] = service, node
    elif kind.value == "SLI" and (indicator := checked(model.Sli, node, problems, data=data)):
        found.indicators[indicator.metadata.name] = indicator, node
    elif kind.value == "AlertPolicy" and (policy := checked(model.AlertPolicy, node, problems, data=data)):
        found.policies[policy.metadata.name] = policy, node
    elif kind.value == "AlertCondition" and (condition := checked(model.AlertCondition, node, problems, data=data)):
        found.conditions[condition.metadata.name] = condition, node
    named = node.walk(("metadata", "name"))
    if len(problems) > before and not named[2]:
        found.refused.add((str(kind.value), str(named[0].value)))


# --- one SLO ----------------------------------------------------------------------------------------------------------


def _promises(slo: model.Slo, node: YamlNode, found: OpenSLODocuments, finding: Periods) -> Iterable[Promise]:
    problems: list[Problem] = []
    notes = _annotations(slo.metadata, node, problems)
    spec, targets = slo.spec, []
    for index, written in enumerate(spec.objectives):
        try:
            targets.append(_target(written))
        except PromiseError as fault:
            problems.append(node.problem(("spec", "objectives", index, *fault.path), fault.message, fault.expected))
    try:
        window, zone = window_name(spec.timeWindow[0], notes.get("window", ""), notes.get("zone", ""))
    except PromiseError as fault:
        problems.append(node.problem(("spec", "timeWindow", 0, *fault.path), fault.message, fault.expected, fault.nearest))
    if spec.budgetingMethod != "Occurrences":
        message = f"{spec.budgetingMethod}: Ambienti measures every second, not slices"
        problems.append(node.problem(("spec", "budgetingMethod"), message, "Occurrences: each second is one"))
    named = _measured_object(slo, node, found, problems)
    applies = _applies(notes, node, finding, problems)
    alerts = alerts_of(slo, node, found, targets, problems)
    found.problems += problems
    if problems:
        return
    base = notes.get("name", slo.metadata.name)
    for index, target in enumerate(targets, 1):
        name = base if len(targets) == 1 else f"{base}-{index}"
        objective = Objective(
            name, notes.get("object", named or spec.service), target, window, zone, notes.get("profile", "excuse"), applies
        )
        title = spec.objectives[index - 1].displayName or slo.metadata.displayName or name
        yield Promise(objective, title, spec.description, spec.service, alerts, notes.get("applies-during", ""))


def _annotations(metadata: model.Metadata, node: YamlNode, problems: list[Problem]) -> dict[str, str]:
    notes: dict[str, str] = {}
    for key, value in metadata.annotations.items():
        if not key.startswith(model.PREFIX):
            continue
        short, path = key.removeprefix(model.PREFIX), ("metadata", "annotations", key)
        if short not in model.ANNOTATIONS:
            ours = [f"{model.PREFIX}{name}" for name in model.ANNOTATIONS]
            problems.append(
                node.problem(path, "is no extension of ours", f"one of: {', '.join(ours)}", nearest(key, ours), key=True)
            )
        elif short == "profile" and value not in PROFILES:
            known = f"one of: {', '.join(PROFILES)}"
            problems.append(node.problem(path, f"{value!r} is not a profile", known, nearest(value, PROFILES)))
        elif short == "zone" and value not in zoneinfo.available_timezones():
            close = nearest(value, zoneinfo.available_timezones())
            problems.append(node.problem(path, f"no time zone is called {value!r}", "an IANA zone, e.g. Europe/Rome", close))
        else:
            notes[short] = value
    return notes


def _target(written: model.Target) -> Fraction:
    if written.value is not None or written.op is not None:
        raise PromiseError(("op" if written.op else "value",), "a threshold has no meaning for availability", "target alone")
    for key in ("timeSliceTarget", "timeSliceWindow"):
        if getattr(written, key) is not None:
            raise PromiseError((key,), "Ambienti measures every second, not slices", "target alone")
    if (written.target is None) == (written.targetPercent is None):
        raise PromiseError((), "needs one target", "target: 0.999, or targetPercent: 99.9")
    percent = written.targetPercent is not None
    target = Fraction(written.targetPercent or "0") / 100 if percent else Fraction(written.target or "0")
    if target >= 1:
        key, limit = ("targetPercent", "100") if percent else ("target", "1")
        raise PromiseError((key,), "nothing can be promised without fail: there would be no error budget", f"less than {limit}")
    return target


def _measured_object(slo: model.Slo, node: YamlNode, found: OpenSLODocuments, problems: list[Problem]) -> str:
    """Check that the indicator is one that Ambienti measures; return the object that it names, or ""."""
    spec = slo.spec
    path: KeyPath = ("spec", "indicator", "spec")
    if (spec.indicator is None) == (spec.indicatorRef is None):
        problems.append(node.problem(("spec",), "needs one of indicator and indicatorRef"))
        return ""
    if spec.indicatorRef is not None:
        if ("SLI", spec.indicatorRef) in found.refused:
            return ""
        if spec.indicatorRef not in found.indicators:
            close = nearest(spec.indicatorRef, found.indicators)
            problems.append(node.problem(("spec", "indicatorRef"), f"there is no SLI {spec.indicatorRef}", "", close))
            return ""
        indicator, node = found.indicators[spec.indicatorRef]
        measured, path = indicator.spec, ("spec",)
    else:
        assert spec.indicator is not None
        measured = spec.indicator.spec
    ratio = measured.ratioMetric
    if ratio is None or ratio.good is None:
        problems.append(node.problem(path, "is not a ratio of good to total", "ratioMetric with good and total"))
        return ""
    for side, seconds in (("good", "up"), ("total", "counted")):
        problems += _wrong_side(getattr(ratio, side), seconds, node, (*path, "ratioMetric", side, "metricSource", "spec"))
    if ratio.bad is not None:
        message = "is not used: what is not good is bad, as the profile counts it"
        problems.append(node.problem((*path, "ratioMetric", "bad"), message, "good and total alone", key=True))
    source = ratio.good.metricSource
    for side, other in (("good", source), ("total", ratio.total.metricSource)):
        if other.type != model.SOURCE:
            place = (*path, "ratioMetric", side, "metricSource", "type")
            message = f"{other.type or other.metricSourceRef or 'nothing'} is not what Ambienti measures"
            problems.append(node.problem(place, message, f"type: {model.SOURCE}", model.SOURCE))
    return str(source.spec.get("object", "")) if source.type == model.SOURCE else ""


def _wrong_side(metric: model.Metric, seconds: str, node: YamlNode, path: KeyPath) -> Iterator[Problem]:
    """Find what one side of a ratio says of Ambienti's seconds that it does not know."""
    if metric.metricSource.type != model.SOURCE:
        return
    for key, value in metric.metricSource.spec.items():
        if key not in _SIDE:
            close = nearest(key, _SIDE)
            yield node.problem((*path, key), "is not a known key", f"one of: {', '.join(_SIDE)}", close, key=True)
        elif not isinstance(value, str):
            yield node.problem((*path, key), "is no text", "a name")
        elif key == "seconds" and value != seconds:
            yield node.problem((*path, key), f"{value!r} are no seconds of this side", f"seconds: {seconds}", seconds)
        elif key == "profile" and value not in PROFILES:
            yield node.problem(
                (*path, key), f"{value!r} is not a profile", f"one of: {', '.join(PROFILES)}", nearest(value, PROFILES)
            )


_SIDE = ("object", "seconds", "profile")


def _applies(notes: Mapping[str, str], node: YamlNode, finding: Periods, problems: list[Problem]) -> tuple[Span, ...] | None:
    named = notes.get("applies-during", "")
    if not named:
        return None
    try:
        return finding(named)
    except ConfigurationError as error:
        path = ("metadata", "annotations", f"{model.PREFIX}applies-during")
        problems += [
            problem if problem.file else node.problem(path, problem.message, problem.expected, problem.nearest)
            for problem in error.problems
        ]
        return ()


# --- periods ----------------------------------------------------------------------------------------------------------

_INTERVAL = re.compile(r"\s*([^/,]+)/([^/,]+)\s*")


def intervals(written: str, zone: str) -> tuple[Span, ...]:
    """Read `START/END,START/END`; instants as everywhere."""
    spans: list[Span] = []
    for part in written.split(","):
        found = _INTERVAL.fullmatch(part)
        if not found:
            message = f"{part.strip()!r} is not an interval"
            raise ConfigurationError([Problem("", 0, 0, "", message, "START/END, e.g. 2026-03-01T00:00Z/2026-06-01T00:00Z")])
        try:
            start, end = (instants.read_instant(one, zone) for one in found.groups())
        except PydanticCustomError as error:
            expected = str((error.context or {}).get("expected", ""))
            raise ConfigurationError([Problem("", 0, 0, "", error.message(), expected)]) from error
        if end <= start:
            raise ConfigurationError([Problem("", 0, 0, "", f"{part.strip()!r} ends before it begins")])
        spans.append(Span(start, end))
    return tuple(spans)


def periods_near(directory: Path, until: Instant, zone: str) -> Periods:
    """Return what finds periods: intervals, or a file beside the objective's (iCalendar `.ics`, or YAML with start and end)."""

    def find(named: str) -> tuple[Span, ...]:
        if re.search(r"\.(ics|ical|ya?ml)$", named):
            return openslo_window.read(directory / named, until, zone)
        return intervals(named, zone)

    return find
