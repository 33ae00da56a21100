"""OpenSLO: what is read, what is refused and where, and that both sides fit the published schema.

The schema is OpenSLO's own and not part of this project: AMBIENTI_OPENSLO_SCHEMA names the directory `schemas/v1/parts` of a copy
of its repository. Without it, everything but the comparison with that schema is tested.
"""

import contextlib
import functools
import json
import os
import re
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from environments.problems import ConfigurationError
from environments.reader import documents
from scheduler.availability.history import Objective, Span
from scheduler.availability.promises import burn_rate, openslo, openslo_export
from scheduler.availability.promises.openslo import Promise, Promises
from scheduler.model.instants import SECOND

HERE = Path(__file__).parent / "openslo"
PAIR = (HERE / "fermigrid.yaml").read_text()
HOUR = 3600 * SECOND
SCHEMA = os.environ.get("AMBIENTI_OPENSLO_SCHEMA", "")
PARTS = {
    "SLO": "slo-spec",
    "Service": "service-spec",
    "SLI": "sli-spec",
    "AlertPolicy": "alertpolicy-spec",
    "AlertCondition": "alertcondition-spec",
}


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND


UNTIL = at(2026, 12, 31)


def read(text, directory=HERE):
    return openslo.read([(text, "slo.yaml", openslo.periods_near(directory, UNTIL, "UTC"))])


@functools.cache
def validators():
    parts = [json.loads(file.read_text()) for file in Path(SCHEMA).glob("*.schema.json")]
    registry = Registry().with_resources((part["$id"], Resource.from_contents(part)) for part in parts)
    by_id = {part["$id"].rpartition("/")[2].removesuffix(".schema.json"): part for part in parts}
    return {name: Draft7Validator(part, registry=registry) for name, part in by_id.items()}


def complaints(document):
    """What the published schema says against one document, where it is at hand."""
    if not SCHEMA:
        return []
    kinds = ("general", PARTS[document["kind"]])
    return [error.message for kind in kinds for error in validators()[kind].iter_errors(document)]


INLINE = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: ce-month}
spec:
  service: ce
  indicator:
    metadata: {name: availability}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: ambienti, spec: {seconds: up}}}
        total: {metricSource: {type: ambienti, spec: {seconds: counted}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: quick}
      spec:
        alertWhenBreaching: true
        conditions:
          - kind: AlertCondition
            metadata: {name: fast}
            spec: {severity: page, condition: {kind: burnrate, op: gte, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}}
        notificationTargets: [{targetRef: devs}]
"""


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_fermigrid_pair_is_expressible_as_it_is():
    data, overall = read(PAIR).promises
    assert data.objective == Objective(
        "fermigrid-data-taking",
        "FermiGrid",
        Fraction(999, 1000),
        "past-week",
        "America/Chicago",
        "excuse",
        (Span(at(2026, 3, 1), at(2026, 6, 1)), Span(at(2026, 9, 1), at(2026, 12, 1))),
    )
    assert data.alerts == (burn_rate.Alert("fast-burn", Fraction(144, 10), HOUR, 300 * SECOND, "page"),)
    assert overall.objective == Objective("fermigrid-overall", "FermiGrid", Fraction(99, 100), "90d", "America/Chicago", "argo")
    assert read(PAIR).services == {"fermigrid": "FermiGrid services"}


def test_a_target_is_read_exactly_and_never_as_a_floating_point_number():
    (first, *_) = read(PAIR.replace("target: 0.999", "target: 0.9990000000000000000001")).promises
    assert first.objective.target == Fraction("0.9990000000000000000001")


@pytest.mark.parametrize(
    ("duration", "start", "window"),
    [
        ("1d", "2026-02-03 00:00:00", "today"),
        ("1w", "2026-02-02 00:00:00", "this-week"),
        ("1M", "2026-02-01 00:00:00", "month"),
        ("1Q", "2026-04-01 00:00:00", "quarter"),
        ("1Y", "2026-01-01 00:00:00", "year"),
    ],
)
def test_windows_of_the_calendar_have_their_own_names(duration, start, window):
    text = PAIR.replace("    ambienti.io/window: past-week\n", "")
    text = text.replace("duration: 1w", f"duration: {duration}").replace("2026-01-05 00:00:00", start)
    assert read(text).promises[0].objective.window == window


def test_periods_come_from_a_calendar_or_a_yaml_file_beside_the_objective(tmp_path):
    run = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    run += "DTSTART:20260301T000000Z\r\nDTEND:20260302T000000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    (tmp_path / "run.ics").write_text(run)
    (tmp_path / "run.yaml").write_text("zone: Europe/Rome\nperiods:\n  - {start: 2026-03-01 01:00, to: 2026-03-02 01:00}\n")
    for named in ("run.ics", "run.yaml"):
        text = re.sub(r"(applies-during: ).*", rf"\1{named}", PAIR)
        (tmp_path / "slo.yaml").write_text(text)
        (first, _) = openslo.read_files([tmp_path / "slo.yaml"], UNTIL, "UTC").promises
        assert first.objective.applies == (Span(at(2026, 3, 1), at(2026, 3, 2)),)
        assert first.during == named


def test_files_may_refer_to_each_other(tmp_path):
    parts = PAIR.split("---\n")
    for index, part in enumerate(parts):
        (tmp_path / f"{index}.yaml").write_text(part)
    together = openslo.read_files(sorted(tmp_path.iterdir()), UNTIL, "UTC")
    assert together.promises == read(PAIR).promises


@pytest.mark.parametrize(
    ("written", "instead", "key", "said"),
    [
        ("target: 0.999", "target: 1.0", "spec.objectives[0].target", "nothing can be promised without fail; expected less than 1"),
        ("target: 0.999", "target: 99.9", "spec.objectives[0].target", "expected less than 1"),
        ("target: 0.999", "targt: 0.999", "spec.objectives[0].targt", "did you mean target"),
        ("{targetPercent: 99}", "{}", "spec.objectives[0]", "needs one target"),
        ("target: 0.999", "target: 0.999\n      op: gte", "spec.objectives[0].op", "no meaning for availability"),
        ("kind: Service", "kind: Servce", "kind", "did you mean Service"),
        ("openslo/v1\nkind: SLO", "openslo/v2\nkind: SLO", "apiVersion", "openslo/v1"),
        ("ambienti.io/object", "ambienti.io/objekt", "metadata.annotations.ambienti.io/objekt", "did you mean ambienti.io/object"),
        ("io/profile: argo", "io/profile: agro", "metadata.annotations.ambienti.io/profile", "did you mean argo"),
        ("Occurrences", "Timeslices", "spec.budgetingMethod", "not slices"),
        ("America/Chicago\n  budget", "America/Chicgo\n  budget", "spec.timeWindow[0].calendar.timeZone", "did you mean America/Chicago"),
        ("2026-01-05 00", "2026-01-06 00", "spec.timeWindow[0].calendar.startTime", "a Monday, 00:00"),
        ("2026-01-05 00:00", "2026-01-05 12:00", "spec.timeWindow[0].calendar.startTime", "a Monday, 00:00"),
        ("duration: 1w", "duration: 4w", "spec.timeWindow[0].duration", "no window of the calendar"),
        ("90d, isRolling: true", "3M, isRolling: true", "spec.timeWindow[0].duration", "no fixed length"),
        ("window: past-week", "window: past-month", "spec.timeWindow[0].duration", "one of: this-week, past-week"),
        ("90d, isRolling: true", "12h, isRolling: true", "spec.timeWindow[0].duration", "no number of days"),
        ("90d, isRolling: true", "1w", "spec.timeWindow[0]", "where it begins"),
        ("indicatorRef: availability", "indicatorRef: availabilty", "spec.indicatorRef", "did you mean availability"),
        ("type: ambienti, spec: {object", "type: Prometheus, spec: {object", "spec.indicator.spec.ratioMetric.good.metricSource.type", "not what"),
        ("alertPolicies: [fast]", "alertPolicies: [fsat]", "spec.alertPolicies[0]", "did you mean fast"),
        ("target: 0.999", "target: 1e-3", "spec.objectives[0].target", "a number like 0.999"),
        ("target: 0.999", "target: -0.1", "spec.objectives[0].target", "a number like 0.999"),
        ("target: 0.999", "target: .nan", "spec.objectives[0].target", "a number like 0.999"),
        ("duration: 1w", "duration: week", "spec.timeWindow[0].duration", "a length like 30d"),
        ("2026-01-05 00:00:00", "2026-01-05", "spec.timeWindow[0].calendar.startTime", "like 2026-01-05 00:00:00"),
        ("name: fermigrid-overall", "name: Overall", "metadata.name", "lower-case letters"),
        ("threshold: 14.4", "threshold: 0.5", "spec.conditions[0].spec.condition.threshold", "fires while the promise is being kept"),
        ("threshold: 14.4", "threshold: 1001", "spec.conditions[0].spec.condition.threshold", "can never fire"),
        ("alertAfter: 5m", "alertAfter: 2h", "spec.conditions[0].spec.condition.threshold", "not shorter than the long one"),
        ("severity: page", "severity: pge", "spec.conditions[0].spec.severity", "'pge' would call nobody; did you mean page?"),
        ("severity: page", "severity: Pager", "spec.conditions[0].spec.severity", "did you mean page?"),
        ("alertWhenBreaching: true", "alertWhenBreaching: false", "spec.alertWhenBreaching", "when their condition is breached"),
        ("alertWhenNoData: false", "alertWhenNoData: true", "spec.alertWhenNoData", "leaves an alert undecided"),
        ("target: 0.999", "target: 0.999\n      timeSliceTarget: 0.95", "spec.objectives[0].timeSliceTarget", "not slices"),
        ("target: 0.999", "target: 0.999\n      timeSliceWindow: 1m", "spec.objectives[0].timeSliceWindow", "not slices"),
        ("lookbackWindow: 1h", "lookbackWindow: 8d", "spec.conditions[0].spec.condition.lookbackWindow", "looks back 8 d, further than the window of fermigrid-data-taking (1w); expected at most 1w"),
        ("lookbackWindow: 1h", "lookbackWindow: 1M", "spec.conditions[0].spec.condition.lookbackWindow", "no fixed length"),
        ("2026-03-01T00:00Z/2026-06-01T00:00Z,", "2026-06-01T00:00Z/2026-03-01T00:00Z,", "metadata.annotations.ambienti.io/applies-during", "ends before it begins"),
        ("2026-03-01T00:00Z/2026-06-01T00:00Z,", "spring,", "metadata.annotations.ambienti.io/applies-during", "not an interval"),
        ("2026-03-01T00:00Z/2026-06-01T00:00Z,", "2026-03-32/2026-06-01,", "metadata.annotations.ambienti.io/applies-during", "not an instant"),
        ("name: fermigrid-overall", "name: fermigrid-data-taking", "metadata.name", "two objectives are called 'fermigrid-data-taking'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line_and_what_would_be_right(written, instead, key, said):
    assert written in PAIR
    with pytest.raises(ConfigurationError) as caught:
        read(PAIR.replace(written, instead, 1))
    told = [problem for problem in caught.value.problems if problem.key == key and said.split("; ")[0] in str(problem)]
    assert told, [str(problem) for problem in caught.value.problems]
    assert all(part in str(told[0]) for part in said.split("; "))
    assert told[0].line > 1


def test_a_policy_may_stand_in_its_objective():
    (promise,) = read(INLINE).promises
    assert promise.alerts == (burn_rate.Alert("fast", Fraction(72, 5), HOUR, HOUR // 12, "page"),)


@pytest.mark.parametrize(
    ("written", "instead", "key", "said"),
    [
        ("threshold: 14.4", "threshold: 0.9", "alertPolicies[0].spec.conditions[0].spec.condition.threshold", "fires while"),
        ("      spec:\n        alertWhen", "      spek:\n        alertWhen", "alertPolicies[0]", "spec"),
        ("{seconds: up}", "{seconds: upp}", "good.metricSource.spec.seconds", "'upp' are no seconds of this side"),
        ("{seconds: counted}", "{seconds: up}", "total.metricSource.spec.seconds", "expected seconds: counted"),
        (
            "total: {metricSource: {type: ambienti",
            "total: {metricSource: {type: Prometheus",
            "total.metricSource.type",
            "is not what Ambienti",
        ),
        (
            "        total:",
            "        bad: {metricSource: {type: ambienti, spec: {}}}\n        total:",
            "ratioMetric.bad",
            "is not used",
        ),
        ("{seconds: up}", "{secons: up}", "good.metricSource.spec.secons", "did you mean seconds?"),
        ("{seconds: up}", "{seconds: up, profile: argos}", "good.metricSource.spec.profile", "did you mean argo?"),
    ],
)
def test_what_is_wrong_in_a_policy_that_stands_there_or_in_a_side_of_the_ratio_is_told(written, instead, key, said):
    assert written in INLINE
    with pytest.raises(ConfigurationError) as refused:
        read(INLINE.replace(written, instead))
    found = [str(one) for one in refused.value.problems]
    assert any(key in one and said in one for one in found), found


@pytest.mark.parametrize("lookback", ["1w", "7d"])
def test_what_alerts_as_ambienti_does_may_be_said_or_left_out(lookback):
    text = PAIR.replace("  alertWhenNoData: false\n  alertWhenResolved: true\n  alertWhenBreaching: true\n", "")
    text = text.replace("lookbackWindow: 1h", f"lookbackWindow: {lookback}").replace("severity: page", "severity: Page")
    ((alert,), _) = (one.alerts for one in read(text).promises)
    assert (alert.long, alert.severity) == (168 * HOUR, "Page")


def test_what_was_read_and_refused_is_not_missing_as_well():
    wrong = PAIR.replace("lookbackWindow: 1h", "lookbackWindow: an hour")
    assert wrong != PAIR
    with pytest.raises(ConfigurationError) as refused:
        read(wrong)
    assert "there is no Alert" not in str(refused.value)
    assert len(refused.value.problems) == 1


def test_a_promise_on_what_nobody_knows_names_the_nearest_at_its_line():
    finding = openslo.periods_near(HERE, UNTIL, "UTC")
    with pytest.raises(ConfigurationError) as caught:
        openslo.read([(PAIR, "slo.yaml", finding)], {"FermiGird"})
    assert [(one.line, one.key, one.nearest) for one in caught.value.problems] == [
        (16, "metadata.annotations.ambienti.io/object", "FermiGird"),
        (40, "metadata.annotations.ambienti.io/object", "FermiGird"),
    ]
    bare = PAIR.replace("    ambienti.io/object: FermiGrid\n", "")
    with pytest.raises(ConfigurationError, match=r"spec.service: no object or group is called 'fermigrid'"):
        openslo.read([(bare, "slo.yaml", finding)], {"FermiGrid"})


def test_a_missing_file_of_periods_is_named_with_the_nearest(tmp_path):
    (tmp_path / "run2026.ics").write_text("")
    text = re.sub(r"(applies-during: ).*", r"\1run2062.ics", PAIR)
    with pytest.raises(ConfigurationError, match=r"run2062.ics: there is no such file; did you mean run2026.ics"):
        read(text, tmp_path)


def test_the_example_of_the_documentation_is_read():
    page = (HERE.parents[2] / "docs/howto/promise-and-measure.md").read_text()
    (example,) = (one for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "openslo/v1" in one)
    data, overall = read(example).promises
    assert (data.objective.window, data.objective.zone, len(data.objective.applies)) == ("past-week", "America/Chicago", 2)
    assert data.alerts[0].factor == Fraction("14.4")
    assert (overall.objective.object, overall.objective.window) == ("FermiGrid", "90d")


@given(
    st.lists(
        st.tuples(st.integers(0, len(PAIR)), st.text(st.sampled_from("[]{}:,-#&*!|>'\"%@ \n\tab0.é~"), max_size=4)),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_somebody_types_is_read_or_refused_in_words(edits):
    text = PAIR
    for place, typed in edits:
        text = text[:place] + typed + text[place + 1 :]
    with contextlib.suppress(ConfigurationError):
        read(text)


# --- the published schema ---------------------------------------------------------------------------------------------


if SCHEMA:

    def test_the_published_schema_refuses_what_it_should():
        (bare,) = documents("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec: {service: y}\n", "slo.yaml")
        assert any("budgetingMethod" in message for message in complaints(bare.plain()))

    def test_the_published_schema_accepts_what_we_read():
        for node in documents(PAIR.replace("targetPercent: 99}", "target: 0.99}"), "slo.yaml"):
            assert complaints(node.plain()) == []


def exported(promises, zone="Europe/Rome"):
    text = openslo_export.text(promises, zone)
    for node in documents(text, "out.yaml"):
        assert complaints(node.plain()) == []
    return text


def test_what_was_read_is_exported_and_read_back_as_it_was():
    first = read(PAIR)
    again = read(exported(first))
    assert [promise.objective for promise in again.promises] == [promise.objective for promise in first.promises]
    assert [promise.alerts for promise in again.promises] == [promise.alerts for promise in first.promises]
    assert again.services == first.services
    assert exported(again) == exported(first)


names = st.text(st.sampled_from("abzXY_09 é/"), min_size=1, max_size=12).filter(lambda name: name.strip() == name)
targets = st.integers(1, 9_999_999).map(lambda n: Fraction(n, 10_000_000))
spans = st.lists(st.integers(0, 2_000_000_000), min_size=2, max_size=6, unique=True).map(
    lambda ends: tuple(Span(a * SECOND, b * SECOND) for a, b in zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False))
)
objectives = st.builds(
    Objective,
    names,
    names,
    targets,
    st.sampled_from(
        [
            "today",
            "this-week",
            "past-week",
            "month",
            "past-month",
            "quarter",
            "past-year",
            "yesterday",
            "7d",
            "30d",
            "365d",
            "14d",
        ]
    ),
    st.sampled_from(["UTC", "Europe/Rome", "America/Argentina/Buenos_Aires"]),
    st.sampled_from(["excuse", "argo", "icinga", "nagios", "skip"]),
    st.none() | spans,
)


@given(objectives)
@settings(max_examples=60, deadline=None)
def test_any_objective_survives_the_round_trip(objective):
    promises = Promises((Promise(objective, objective.name, "", "service"),), {})
    (again,) = read(exported(promises)).promises
    assert again.objective == objective


@pytest.mark.parametrize(("written", "read_back"), [("week", "this-week"), ("this-month", "month"), ("past-day", "yesterday")])
def test_a_window_of_two_names_is_exported_as_what_it_is(written, read_back):
    (again,) = read(exported(Promises((Promise(Objective("a", "a", Fraction(1, 2), written), "a", "", "a"),), {}))).promises
    assert again.objective.window == read_back


def test_what_openslo_cannot_say_is_refused():
    for objective in (
        Objective("a", "a", Fraction(2, 3), "month"),
        Objective("a", "a", Fraction(1, 2), "month", applies=(Span(0),)),
    ):
        with pytest.raises(openslo_export.NotExpressibleError):
            exported(Promises((Promise(objective, "a", "", "a"),), {}))
