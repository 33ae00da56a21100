"""Results as columns: the compact form in which the journal hands over a million of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scheduler.availability.timelines.axis import ABSENT, Whole
from scheduler.availability.timelines.timeline import CAUSE_CODES

if TYPE_CHECKING:
    from scheduler.availability.history import Result


@dataclass(frozen=True, slots=True)
class Columns:
    """Results, one in each place of all columns; no two are one and the same. A column of None: no result has such a value."""

    object: npt.NDArray[np.int32]
    """Places in the history's `objects`."""
    at: Whole
    status: npt.NDArray[np.int8]
    cause: npt.NDArray[np.int8] | None = None
    """Codes of `timeline.CAUSE_CODES`."""
    confirmed: Whole | None = None
    """The last repetition; where there is none, ABSENT."""
    sequence: Whole | None = None
    monotonic: Whole | None = None
    boot: npt.NDArray[np.int32] | None = None
    """Numbers of the monitor's boots: places in `boots`."""
    boots: tuple[str, ...] = ()


def columns(results: Sequence[Result], places: Mapping[str, int]) -> Columns:
    """Return results as columns; of those that are one and the same, the first."""
    single = list(_single(results))
    unknown = sorted({result.object for result in single} - places.keys())
    if unknown:
        raise ValueError(f"results of objects that the history does not list: {', '.join(unknown[:12])}")
    boots = tuple(dict.fromkeys(result.boot for result in single))
    codes = {boot: code for code, boot in enumerate(boots)}

    def optional(name: str) -> Whole | None:
        values = [getattr(result, name) for result in single]
        return None if all(v is None for v in values) else np.array([ABSENT if v is None else v for v in values], np.int64)

    return Columns(
        np.array([places[result.object] for result in single], np.int32),
        np.array([result.at for result in single], np.int64),
        np.array([result.status for result in single], np.int8),
        np.array([CAUSE_CODES[result.cause] for result in single], np.int8),
        optional("confirmed"),
        optional("sequence"),
        optional("monotonic"),
        np.array([codes[result.boot] for result in single], np.int32),
        boots,
    )


def picked(given: Columns, places: npt.NDArray[np.intp]) -> Columns:
    """Return the results at some places, in that order."""
    made: dict[str, Any] = {}
    for one in fields(Columns):
        column = getattr(given, one.name)
        made[one.name] = column if column is None or one.name == "boots" else column[places]
    return Columns(**made)


def joined(some: Columns, others: Columns) -> Columns:
    """Return the results of both, one after the other."""
    boots = (*some.boots, *(boot for boot in others.boots if boot not in some.boots))
    renumbered = np.array([boots.index(boot) for boot in others.boots], np.int32)
    made: dict[str, Any] = {"boots": boots}
    for one in fields(Columns):
        if one.name == "boots":
            continue
        first, second = getattr(some, one.name), getattr(others, one.name)
        if one.name == "boot" and second is not None and len(renumbered):
            second = renumbered[second]
        if first is None and second is None:
            made[one.name] = None
            continue
        empty = 0 if one.name in {"cause", "boot"} else ABSENT
        like = (second if first is None else first).dtype
        first = np.full(len(some.at), empty, like) if first is None else first
        second = np.full(len(others.at), empty, like) if second is None else second
        made[one.name] = np.concatenate((first, second))
    return Columns(**made)


def _single(results: Sequence[Result]) -> Iterator[Result]:
    ids: set[str] = set()
    alike: set[Result] = set()
    for result in results:
        if result.id and result.id not in ids:
            ids.add(result.id)
            yield result
        elif not result.id and (one := replace(result, received=None)) not in alike:
            alike.add(one)
            yield result
