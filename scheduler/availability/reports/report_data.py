"""A report on a history as data: one row for each object and group, window and profile; objectives; and what it rests on.

Its shape, the documented output of `ambienti report --json`, stands in `report_shape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from scheduler.availability import figures
from scheduler.availability.history import (
    EVERYTHING,
    Correction,
    Downtime,
    Exclusion,
    History,
    Measure,
    ObjectiveVerdict,
    ObjectKind,
    Span,
    Window,
)
from scheduler.availability.measuring import accounting
from scheduler.availability.measuring.accounting import Capacity, capacity
from scheduler.availability.measuring.profiles import DURATIONS
from scheduler.availability.reports.report_shape import (
    CorrectionShown,
    DowntimeShown,
    ExclusionShown,
    GapShown,
    JumpShown,
    Kind,
    ObjectiveShown,
    Report,
    ReportRow,
    WindowShown,
)
from scheduler.availability.timelines import algebra, windows
from scheduler.availability.timelines.prepared import Prepared, prepare
from scheduler.model import instants

if TYPE_CHECKING:
    from scheduler.model.instants import Duration, Instant

    Said = dict[str, tuple[ObjectiveVerdict, Duration]]

FORMAT = "ambienti-report-1"
COLUMNS = {"this-week": "This week", "past-week": "Past week", "month": "Month", "quarter": "Quarter", "year": "Year"}
"""The windows of the table, and their titles."""


def make(
    source: History | Prepared, asked: Sequence[Window], profiles: Sequence[str], objects: Sequence[str] = (), zone: str = ""
) -> Report:
    """Report on a history: the windows asked for, under some profiles; of some objects and groups, or of all."""
    prepared = prepare(source) if isinstance(source, History) else source
    history = prepared.history
    zone = zone or history.zone
    names = [name for name in _names(history) if not objects or name in objects]
    return Report.model_construct(
        format=FORMAT,
        now=instants.write_instant(history.now, zone),
        zone=zone,
        zone_data=windows.zone_data(),
        profiles=tuple(profiles),
        algebras=_algebras(history),
        windows=tuple(_window(one, zone) for one in asked),
        downtimes=tuple(_downtime(one, zone) for one in history.downtimes if _touches(one, objects)),
        exclusions=tuple(_exclusion(one, zone) for one in history.exclusions if _touches(one, objects)),
        corrections=tuple(_correction(one, zone) for one in history.corrections if not objects or one.object in objects),
        clock_jumps=tuple(
            JumpShown(before=instants.write_instant(one.before, zone), after=instants.write_instant(one.after, zone))
            for one in prepared.axis.jumps
        ),
        gaps=tuple(_gap(one, zone) for one in history.gaps),
        rows=tuple(_rows(prepared, asked, profiles, names, zone)),
        objectives=tuple(_objectives(prepared, names)),
    )


def named(history: History, name: str, zone: str = "") -> Window:
    """Return a window of a history by name."""
    return windows.named(name, history.now, zone or history.zone)


def table_windows(history: History, zone: str = "") -> list[Window]:
    """Return the windows of the table."""
    return [named(history, name, zone) for name in COLUMNS]


def data(report: Report) -> dict[str, Any]:
    """Return a report as plain data; times are integers, or decimals where they are not whole."""
    return report.model_dump(warnings=False, exclude={"rows"}) | {"rows": [dict(vars(row)) for row in report.rows]}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a report."""
    return Report.model_json_schema(mode="serialization")


def _algebras(history: History) -> tuple[str, ...]:
    own = {group.own for group in history.groups if group.own is not None}
    shipped = {algebra.load(group.algebra).name for group in history.groups if group.own is None}
    told = {f"{one.name} (own, SHA-256 {algebra.digest(one)})" for one in own}
    return tuple(sorted(shipped | told)) or ("kleene-1",)


def _names(history: History) -> dict[str, Kind]:
    """Return the kinds of all objects and groups."""
    kinds: dict[str, Kind] = {one.name: "host" if one.kind is ObjectKind.HOST else "service" for one in history.objects}
    return kinds | dict.fromkeys((one.name for one in history.groups), "group")


def _rows(
    prepared: Prepared, asked: Sequence[Window], profiles: Sequence[str], names: Iterable[str], zone: str
) -> Iterator[ReportRow]:
    kinds = _names(prepared.history)
    tables = {(window, profile): accounting.tabulate(prepared, window, profile) for window in asked for profile in profiles}
    said = {window: _verdicts(prepared, window) for window in asked}
    for name in names:
        for (window, _), table in tables.items():
            row = _row(table.of(name), kinds[name], window, zone, said[window].get(name, {}))
            weighted = capacity(prepared, name, window, table.profile)
            yield row if weighted is None else row.model_copy(update=_capacity(weighted))


def _verdicts(prepared: Prepared, window: Window) -> dict[str, Said]:
    """Hold every objective against a window, over the periods in which it applies; verdicts by object and objective."""
    tables: dict[tuple[str, tuple[Span, ...] | None], accounting.MeasureTable] = {}
    said: dict[str, Said] = {}
    for one in prepared.history.objectives:
        key = (one.profile, one.applies)
        if key not in tables:
            tables[key] = accounting.tabulate(prepared, window, *key)
        found = tables[key].of(one.object)
        said.setdefault(one.object, {})[one.name] = (accounting.verdict(found, one.target), found.undecided)
    return said


def _row(measure: Measure, kind: Kind, window: Window, zone: str, said: Said) -> ReportRow:
    times: dict[str, Any] = {name: instants.seconds(getattr(measure, name)) for name in DURATIONS}
    return ReportRow.model_construct(
        object=measure.object,
        kind=kind,
        window=window.name,
        start=_instant(window.start, zone),
        end=_instant(window.end, zone),
        profile=measure.profile,
        **times,
        observed_share=figures.fraction(_share(measure.observed, window)),
        figure=figures.fraction(measure.figure),
        figure_decimal=figures.decimal(measure.figure),
        figure_shown=figures.percent(measure.figure),
        availability=figures.fraction(measure.availability),
        availability_decimal=figures.decimal(measure.availability),
        reliability=figures.fraction(measure.reliability),
        reliability_decimal=figures.decimal(measure.reliability),
        lost={cause: instants.seconds(length) for cause, length in sorted(measure.lost.items())},
        verdict=worst(str(verdict) for verdict, _ in said.values()),
        verdicts={name: str(verdict) for name, (verdict, _) in said.items()},
        undecided=instants.seconds(
            max((long for verdict, long in said.values() if verdict is ObjectiveVerdict.UNDECIDED), default=0)
        ),
    )


def _capacity(weighted: Capacity) -> dict[str, str | None]:
    return {
        "capacity": figures.fraction(weighted.figure),
        "capacity_decimal": figures.decimal(weighted.figure),
        "capacity_availability": figures.fraction(weighted.availability),
        "capacity_reliability": figures.fraction(weighted.reliability),
    }


def _share(length: Duration, window: Window) -> Fraction | None:
    """Return a length as a share of a window: at most the whole, also where a clock that was set back lived it twice."""
    whole = window.end - window.start
    return min(Fraction(length, whole), Fraction(1)) if whole > 0 else None


# All rows are of a few windows.
_instant = lru_cache(maxsize=256)(instants.write_instant)


def worst(said: Iterable[str]) -> str | None:
    """Return the worst of some verdicts: FAIL, UNDECIDED, PASS, not applicable."""
    order = (ObjectiveVerdict.FAIL, ObjectiveVerdict.UNDECIDED, ObjectiveVerdict.PASS, ObjectiveVerdict.NOT_APPLICABLE)
    found = set(said)
    return next((str(one) for one in order if one in found), None)


def _objectives(prepared: Prepared, names: Sequence[str]) -> Iterator[ObjectiveShown]:
    for one in prepared.history.objectives:
        if one.object not in names:
            continue
        own = one.zone or prepared.history.zone
        found, verdict = accounting.judge(prepared, one)
        yield ObjectiveShown.model_construct(
            name=one.name,
            object=one.object,
            target=f"{one.target.numerator}/{one.target.denominator}",
            profile=one.profile,
            zone=own,
            window=_window(windows.named(one.window, prepared.history.now, own), own),
            verdict=verdict,
            figure=figures.fraction(found.figure),
            figure_if_unknown_bad=figures.fraction(found.lowest),
            figure_if_unknown_up=figures.fraction(found.highest),
            unknown=instants.seconds(found.undecided),
        )


def _window(window: Window, zone: str) -> WindowShown:
    start, end = (instants.write_instant(one, zone) for one in (window.start, window.end))
    return WindowShown(name=window.name, start=start, end=end, seconds=instants.seconds(window.end - window.start))


def _downtime(one: Downtime, zone: str) -> DowntimeShown:
    said = tuple(
        {
            "declared": instants.write_instant(revision.declared_at, zone),
            "start": instants.write_instant(revision.start, zone),
            "end": instants.write_instant(revision.end, zone),
            "by": revision.by,
        }
        for revision in one.revisions
    )
    again = one.recurrence
    rule = "" if again is None else f"{again.rule} from {again.start} {again.zone} for {instants.write_duration(again.length)}"
    if again is not None and one.declared_at is not None:
        said = ({"declared": instants.write_instant(one.declared_at, zone), "by": one.by},)
        rule += "" if again.ended is None else f", called off {instants.write_instant(again.ended, zone)}"
    return DowntimeShown(id=one.id, objects=one.objects, declarations=said, recurring=rule, reason=one.reason)


def _gap(one: Span, zone: str) -> GapShown:
    return GapShown(start=instants.write_instant(one.start, zone), end=_when(one.end, zone))


def _touches(one: Downtime | Exclusion, objects: Sequence[str]) -> bool:
    return not objects or not {EVERYTHING, *objects}.isdisjoint(one.objects)


def _correction(one: Correction, zone: str) -> CorrectionShown:
    written = {"at": instants.write_instant(one.at, zone), "received": instants.write_instant(one.received, zone)}
    return CorrectionShown(**asdict(one) | written | {"status": one.status.name, "accepted_at": _when(one.accepted_at, zone)})


def _exclusion(one: Exclusion, zone: str) -> ExclusionShown:
    span = {"start": instants.write_instant(one.start, zone), "end": instants.write_instant(one.end, zone)}
    return ExclusionShown(**asdict(one) | span | {"accepted_at": _when(one.accepted_at, zone)})


def _when(instant: Instant | None, zone: str) -> str | None:
    return None if instant is None else instants.write_instant(instant, zone)
