"""The ARGO-shaped export: the published shape, null as -1, and the way back."""

import json
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from argo_lines import lines
from hypothesis import given
from hypothesis import strategies as st

from scheduler.availability.history import Group, Measure, Member, Operator, Window
from scheduler.availability.reports.argo_export import Kinds, document
from scheduler.model.instants import SECOND

ROME = "Europe/Rome"
MIDNIGHT = int(datetime(2026, 3, 29, tzinfo=ZoneInfo(ROME)).timestamp()) * SECOND
DAY = Window("day", MIDNIGHT, MIDNIGHT + 23 * 3600 * SECOND)
"""The Sunday on which the clocks go forward."""


def measured(name, up, bad, unknown, scheduled):
    total = up + bad + unknown + scheduled
    known = total - unknown
    a = Fraction(up, known) if known else None
    r = Fraction(up, known - scheduled) if known - scheduled else None
    return Measure(name, DAY, "argo", total, up, up, bad, unknown, 0, 0, scheduled, 0, 0, a, a, r)


GROUPS = (
    Group("FermiGrid", Operator.AND, (Member("site"), Member("storage"))),
    Group("site", Operator.OR, (Member("ce1"), Member("ce2"))),
    Group("storage", Operator.AND, (Member("se"),)),
)
MEASURES = {
    "FermiGrid": [measured("FermiGrid", 54, 13, 1, 33)],
    "site": [measured("site", 1, 2, 0, 0)],
    "storage": [measured("storage", 0, 0, 0, 0)],
    "ce1": [measured("ce1", 100, 0, 0, 0)],
    "ce2": [measured("ce2", 0, 0, 7, 0)],
    "se": [measured("se", 0, 1, 0, 3)],
    "lonely": [measured("lonely", 1, 0, 0, 1)],
}


def test_the_document_has_the_shape_of_the_web_api():
    exported = document(GROUPS, MEASURES, ROME)
    assert exported["results"] == [
        {
            "name": "FermiGrid",
            "type": "GROUP",
            "results": [{"date": "2026-03-29", "availability": "54", "reliability": "80.59701492537313"}],
            "groups": [
                {
                    "name": "site",
                    "type": "SITES",
                    "results": [
                        {
                            "date": "2026-03-29",
                            "availability": "33.33333333333333",
                            "reliability": "33.33333333333333",
                            "unknown": "0",
                            "uptime": "0.33333333333333",
                            "downtime": "0",
                        }
                    ],
                },
                {
                    "name": "storage",
                    "type": "SITES",
                    "results": [
                        {"date": "2026-03-29", "availability": "-1", "reliability": "-1", "unknown": "-1", "uptime": "-1", "downtime": "-1"}
                    ],
                },
            ],
        }
    ]  # fmt: skip
    assert [(one["group"], one["name"]) for one in exported["endpoints"]] == [
        ("site", "ce1"),
        ("site", "ce2"),
        ("storage", "se"),
        ("", "lonely"),
    ]
    assert all(
        isinstance(value, str) for one in exported["endpoints"] for result in one["results"] for value in result.values()
    )


def test_undefined_is_minus_one_and_a_reliability_may_be_undefined_alone():
    endpoints = {one["name"]: one["results"][0] for one in document(GROUPS, MEASURES, ROME)["endpoints"]}
    assert (endpoints["ce2"]["availability"], endpoints["ce2"]["unknown"]) == ("-1", "1")
    assert (endpoints["se"]["availability"], endpoints["se"]["reliability"], endpoints["se"]["downtime"]) == ("0", "0", "0.75")


def test_months_and_names_of_levels_are_the_callers():
    exported = document(GROUPS, MEASURES, ROME, "monthly", Kinds("PROJECT", "SERVICEGROUPS", "ARC-CE"))
    (top,) = exported["results"]
    assert (top["type"], top["results"][0]["date"], exported["endpoints"][0]["service"]) == ("PROJECT", "2026-03", "ARC-CE")


lengths = st.integers(0, 10**13)


@given(lengths, lengths, lengths, lengths)
def test_what_was_exported_is_read_back_to_fourteen_decimals(up, bad, unknown, scheduled):
    measure = measured("ce1", up, bad, unknown, scheduled)
    (line,) = lines(json.loads(json.dumps(document((), {"ce1": [measure]}, ROME))))
    tiny = Fraction(1, 10**14)
    for read, figure in ((line.availability, measure.availability), (line.reliability, measure.reliability)):
        assert (read is None) == (figure is None)
        assert figure is None or abs(read - figure) <= tiny
    if measure.total:
        assert abs(line.uptime - Fraction(up, measure.total)) <= tiny
        assert abs(line.downtime - Fraction(scheduled, measure.total)) <= tiny
        assert abs(line.unknown - Fraction(unknown, measure.total)) <= tiny
    else:
        assert line.uptime is line.downtime is line.unknown is None


def test_answers_of_the_web_api_are_read():
    """The example of its documentation (v3 results)."""
    answer = {"results": [{"name": "GROUP_A", "type": "GROUP", "results": [{"date": "2015-06-22", "availability": "68.13896116893515", "reliability": "50.413931144915935"}], "groups": [{"name": "ST01", "type": "SITES", "results": [{"date": "2015-06-22", "availability": "66.7", "reliability": "54.6", "unknown": "0", "uptime": "1", "downtime": "0"}]}]}]}  # fmt: skip
    top, site = lines(answer)
    assert (top.name, top.availability, top.uptime) == ("GROUP_A", Fraction("0.6813896116893515"), None)
    assert (site.reliability, site.uptime) == (Fraction("0.546"), 1)
