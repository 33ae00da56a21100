"""OpenSLO v1 as its author writes it: the kinds that Ambienti reads, with the standard's own names of keys."""
# ruff: noqa: N815

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from environments.checking import named_error
from environments.environment import Frozen
from environments.text import OneLine, in_lines

VERSION = "openslo/v1"
KINDS = ("SLO", "Service", "SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "DataSource")
SOURCE = "ambienti"
"""The type of a metric source that Ambienti measures itself."""
PREFIX = "ambienti.io/"
ANNOTATIONS = {
    "name": "the objective's name, where OpenSLO's rules for names forbid it",
    "object": "the object or group it is on; left out: the service",
    "profile": "the accounting profile",
    "zone": "the zone of a rolling window",
    "window": "yesterday, past-week, past-month, past-quarter or past-year instead of the running one",
    "applies-during": "when it applies: an iCalendar or YAML file, or intervals START/END parted by commas",
}


def _written_like(pattern: str, expected: str) -> BeforeValidator:
    """Accept text of one form only, and say in words which."""

    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern, value.strip()):
            raise named_error(f"{value!r} is not accepted", expected)
        return value

    return BeforeValidator(check)


_NAME = _written_like(r"[a-z0-9][a-z0-9.|/\\-]*", "lower-case letters, digits, dots, slashes and hyphens")
_NUMBER = _written_like(r"[0-9]{1,30}(\.[0-9]{1,30})?", "a number like 0.999")
_DURATION = _written_like(r"[1-9][0-9]{0,5}[mhdwMQY]", "a length like 30d: a whole number of m, h, d, w, M, Q or Y")
Name = Annotated[str, _NAME, Field(max_length=255)]
Text = Annotated[str, in_lines, Field(max_length=1050)]
Number = Annotated[str, _NUMBER]
"""A number as it was written: it is never a floating-point one here."""
Duration = Annotated[str, _DURATION]


class Metadata(Frozen):
    """Names of one thing, and what others may say of it."""

    name: Name
    """Lower-case letters, digits, dots, slashes and hyphens."""
    displayName: OneLine = ""
    """How people call it."""
    labels: dict[OneLine, OneLine | tuple[OneLine, ...]] = {}
    """For whoever sorts by them."""
    annotations: dict[OneLine, OneLine] = {}
    """Ours begin with `ambienti.io/`; all others are left alone."""


class MetricSource(Frozen):
    """Where an indicator comes from."""

    type: OneLine = ""
    """`ambienti`: measured by Ambienti itself."""
    metricSourceRef: OneLine = ""
    """Name of a DataSource."""
    spec: dict[OneLine, Any]
    """For `ambienti`: object, seconds (`up` of what is good, `counted` of the total) and profile."""


class Metric(Frozen):
    """One side of a ratio."""

    metricSource: MetricSource


class RatioMetric(Frozen):
    """Good of total."""

    counter: bool
    """Whether both only grow."""
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric


class IndicatorSpec(Frozen):
    """What is measured."""

    description: Text = ""
    ratioMetric: RatioMetric | None = None
    """Seconds up of seconds counted."""
    thresholdMetric: Metric | None = None
    """Not measured by Ambienti."""


class Indicator(Frozen):
    """An indicator that stands within its SLO."""

    metadata: Metadata
    spec: IndicatorSpec


class Calendar(Frozen):
    """Where a calendar-aligned window begins."""

    startTime: Annotated[str, _written_like(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "a date and time like 2026-01-05 00:00:00")]
    """Local date and time: 2026-01-05 00:00:00."""
    timeZone: OneLine
    """An IANA zone."""


class TimeWindow(Frozen):
    """The window in which a promise is kept or broken."""

    duration: Duration
    """1d, 1w, 1M, 1Q or 1Y of the calendar, or any rolling one in m, h, d, w."""
    isRolling: bool = False
    """Whether it ends now."""
    calendar: Calendar | None = None
    """Of one that is not rolling."""


class Target(Frozen):
    """The promise itself."""

    displayName: OneLine = ""
    op: Literal["lte", "gte", "lt", "gt"] | None = None
    """For thresholds only."""
    value: Number | None = None
    """For thresholds only."""
    target: Number | None = None
    """0.999; kept exactly."""
    targetPercent: Number | None = None
    """99.9; instead of target."""
    timeSliceTarget: Number | None = None
    timeSliceWindow: Duration | Number | None = None


class ServiceSpec(Frozen):
    """A service."""

    description: Text = ""


class Condition(Frozen):
    """When somebody is called."""

    kind: Literal["burnrate"]
    op: Literal["gte", "gt"] = "gte"
    """Whether reaching the threshold is enough."""
    threshold: Number
    """The burn rate; at least 1."""
    lookbackWindow: Duration
    """The long window."""
    alertAfter: Duration
    """The short window, over which the rate must be reached too."""


class ConditionSpec(Frozen):
    """An alert condition."""

    description: Text = ""
    severity: OneLine
    """page, ticket..."""
    condition: Condition


class InlineCondition(Frozen):
    """A condition by name, or one that stands within its policy."""

    conditionRef: Name | None = None
    kind: Literal["AlertCondition"] | None = None
    metadata: Metadata | None = None
    spec: ConditionSpec | None = None


class PolicySpec(Frozen):
    """Conditions, and whom they call."""

    description: Text = ""
    alertWhenNoData: bool = False
    alertWhenResolved: bool = False
    alertWhenBreaching: bool = False
    conditions: Annotated[tuple[InlineCondition, ...], Field(min_length=1)]
    notificationTargets: tuple[dict[OneLine, Any], ...] = ()


class InlinePolicy(Frozen):
    """A policy by name, or one that stands within its SLO."""

    alertPolicyRef: Name | None = None
    apiVersion: Literal["openslo/v1"] | None = None
    kind: Literal["AlertPolicy"] | None = None
    metadata: Metadata | None = None
    spec: PolicySpec | None = None


class SloSpec(Frozen):
    """A promise."""

    description: Text = ""
    service: Name
    """The service, and the object that is measured where no other is named."""
    indicator: Indicator | None = None
    indicatorRef: Name | None = None
    """Name of an SLI."""
    timeWindow: Annotated[tuple[TimeWindow, ...], Field(min_length=1, max_length=1)]
    """One window."""
    budgetingMethod: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    """Occurrences: seconds are counted."""
    objectives: Annotated[tuple[Target, ...], Field(min_length=1)]
    alertPolicies: tuple[Name | InlinePolicy, ...] = ()
    """Names of AlertPolicies, or policies that stand here."""


class Document(Frozen):
    """What all documents have."""

    apiVersion: Literal["openslo/v1"]
    metadata: Metadata


class Slo(Document):
    """A document of kind SLO."""

    kind: Literal["SLO"]
    spec: SloSpec


class Service(Document):
    """A document of kind Service."""

    kind: Literal["Service"]
    spec: ServiceSpec


class Sli(Document):
    """A document of kind SLI."""

    kind: Literal["SLI"]
    spec: IndicatorSpec


class AlertPolicy(Document):
    """A document of kind AlertPolicy."""

    kind: Literal["AlertPolicy"]
    spec: PolicySpec


class AlertCondition(Document):
    """A document of kind AlertCondition."""

    kind: Literal["AlertCondition"]
    spec: ConditionSpec
