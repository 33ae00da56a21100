"""What an import changes: from what a source says now and what the journal knows of it, the steps to take. Pure.

Rules:
1. A downtime is known by its number at the source, which signs its revisions; nothing that was declared is ever overwritten.
2. What the source takes back - an object, the severity, a part of the span, the whole entry - is taken back from the instant at
   which it changed, as far as the source says that and else from now on. What was in force before that instant stays.
3. An entry that is not there any more was deleted, where the file is the list from which it came. What cannot be understood
   takes nothing back, and neither does a list that is suddenly empty.
4. Where only some objects of a downtime are taken back, it is parted: it goes on for the others under a new id, with all that
   was declared of it, so that they keep their notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler.availability.files.imported import Imported, short
from scheduler.availability.history import Downtime, Revision
from scheduler.model.instants import Instant


@dataclass(frozen=True, slots=True)
class Known:
    """A downtime of the journal that came from elsewhere."""

    downtime: Downtime
    list: str
    """From which list it came; "": not known."""
    taken_at: Instant
    """When it was written down here."""

    @property
    def source(self) -> str:
        """Its number at the source; behind a space objects, where it is a part of that."""
        return self.downtime.revisions[0].by

    @property
    def last(self) -> Revision:
        """What holds of it."""
        return max(self.downtime.revisions, key=lambda one: one.declared_at)


@dataclass(frozen=True, slots=True)
class ImportStep:
    """One thing that is done, or found to be so already."""

    what: str
    """declared, goes on, revised, called off, known already; parted: it goes on as several."""
    source: str
    objects: tuple[str, ...]
    """Whom it concerns."""
    revisions: tuple[Revision, ...]
    """All that was declared, the new one last."""
    id: str = ""
    """Of the downtime; "": a new one."""
    reason: str = ""
    partly: bool = False
    """It was of further objects too."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """All steps, and what is to be told beside them."""

    steps: tuple[ImportStep, ...]
    elsewhere: tuple[Known, ...] = ()
    """In force, of other lists, and not in this file: they stay."""
    doubted: tuple[Known, ...] = ()
    """In force and not in this list any more, which is not believed: they stay."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How an import is meant."""

    now: Instant
    list: str
    """What the list is called that the file holds."""
    whole: bool = False
    """The file is all there is of its kind, whatever it was called before and even if it is empty."""
    part: bool = False
    """The file is only a part: what is not in it is not deleted."""
    ahead: Instant = 0
    """How far ahead of now the comings of a calendar's event are read."""


Wanted = dict[str, tuple[Revision, str]]
"""Object -> when the source says it is down, and why."""


@dataclass(slots=True)
class _NumberRows:
    """What the journal has of one number."""

    rows: list[Known] = field(default_factory=list)
    latest: dict[str, Known] = field(default_factory=dict)
    """Object -> the newest row about it: the older ones are history."""

    def add(self, row: Known) -> None:
        self.rows.append(row)
        self.latest.update(dict.fromkeys(row.downtime.objects, row))

    def prefer(self, wanted: Wanted) -> None:
        """Of several rows about an object let that one stand for it that says already what the source says."""
        for row in self.rows:
            for name in row.downtime.objects:
                if name in wanted and _span(wanted[name][0]) == _span(row.last) != _span(self.latest[name].last):
                    self.latest[name] = row


def taken_over(read: Imported, known: Iterable[Known], asked: Asked) -> TakenOver:
    """Return what to do so that the journal says what the source says."""
    wanted: dict[str, Wanted] = {}
    for one in read.downtimes:
        of = wanted.setdefault(read.numbers[one.id], {})
        of.update(dict.fromkeys(one.objects, (one.revisions[-1], one.reason)))
    ours: dict[str, _NumberRows] = {}
    absent: list[Known] = []
    seen: dict[str, Instant] = {}
    for row in sorted(known, key=lambda one: one.taken_at):
        if not row.source.startswith(f"{read.kind}-"):
            continue
        seen[read.coming(row.source)[0]] = row.taken_at
        number = _number(row.source, {*read.told, *wanted}, read)
        if number:
            ours.setdefault(number, _NumberRows()).add(row)
        elif _in_force(row.last, asked.now):
            absent.append(row)
    steps: list[ImportStep] = []
    for number in dict.fromkeys((*wanted, *ours)):
        announced = number in ours or read.again.get(number) in ours
        looked = None if announced else seen.get(read.coming(number)[0] or "-", 0)
        steps += _of_number(number, wanted.get(number, {}), ours.get(number, _NumberRows()), (read, asked, looked))
    gone, elsewhere, doubted = _deleted(absent, read, asked)
    return TakenOver((*steps, *(_called_off(row, asked.now) for row in gone)), elsewhere, doubted)


def _number(source: str, told: set[str], read: Imported) -> str:
    """Return the number that a row is of, among those the file speaks of; of a calendar's event also a coming that it lacks."""
    if read.kind == "ical":
        return read.coming(source)[1]
    ends = [len(source), *(place for place in range(len(source) - 1, 0, -1) if source[place] == " ")]
    return next((source[:end] for end in ends if source[:end] in told), "")


def _span(revision: Revision) -> tuple[Instant, Instant]:
    return revision.start, revision.end


def _in_force(last: Revision, at: Instant) -> bool:
    return last.start < last.end and last.end > at


# --- one number -------------------------------------------------------------------------------------------------------


def _of_number(
    number: str, wanted: Wanted, rows: _NumberRows, how: tuple[Imported, Asked, Instant | None]
) -> Iterator[ImportStep]:
    read, asked, looked = how
    doubtful = read.doubtful(number)
    rows.prefer(wanted)
    for row in rows.rows:
        current = [name for name in row.downtime.objects if rows.latest[name] is row]
        yield from _of_row(number, row, current, wanted, (read, asked, doubtful))
    new: dict[tuple[Revision, str], list[str]] = {}
    for name, target in wanted.items():
        if name not in rows.latest:
            new.setdefault(target, []).append(name)
    for place, ((revision, reason), names) in enumerate(new.items()):
        alone = not rows.rows and place == 0
        source = number if alone else f"{number} {short('/'.join(names))}"
        declared = _declared_at(revision, looked, asked)
        yield ImportStep("declared", source, tuple(names), (replace(revision, by=source, declared_at=declared),), reason=reason)


def _declared_at(revision: Revision, looked: Instant | None, asked: Asked) -> Instant:
    """Return when something new was declared; `looked`: when we last knew of its event in a calendar, None: of itself.

    Of a downtime that was announced already nobody was told before now that others would be down too, or at other times; nor of
    a coming that an event is said to have had when we knew it without, unless that was beyond what is read ahead.
    """
    if looked is None or (revision.declared_at <= looked and revision.start < looked + asked.ahead):
        return asked.now
    return min(revision.declared_at, asked.now)


def _of_row(
    number: str, row: Known, current: Sequence[str], wanted: Wanted, how: tuple[Imported, Asked, bool]
) -> list[ImportStep]:
    """Return what becomes of one downtime: of those of its objects about which nothing newer is known."""
    read, asked, doubtful = how
    span, going_on = _span(row.last), _in_force(row.last, asked.now)
    targets: dict[tuple[Instant, Instant] | None, list[str]] = {}
    for name in current:
        # Of what is over nothing can be taken back, and nothing is where something was not understood.
        gone = None if going_on and not doubtful else span
        targets.setdefault((wanted[name][0].start, wanted[name][0].end) if name in wanted else gone, []).append(name)
    if not any(name in wanted for name in current) and set(targets) == {span}:
        return []
    if not current:  # other rows stand for all of its objects: what of it was in force stays
        return [_called_off(row, _changed_at(row, number, read, asked.now))] if going_on and not doubtful else []
    if set(targets) == {span}:
        return [ImportStep("known already", row.source, row.downtime.objects, row.downtime.revisions, row.downtime.id)]
    at = _changed_at(row, number, read, asked.now)
    if set(targets) == {None}:
        return [_called_off(row, at)]
    if len(targets) == 1 and len(current) == len(row.downtime.objects):
        ((start, end),) = (one for one in targets if one is not None)
        made = (*row.downtime.revisions, Revision(asked.now, start, end, row.source))
        return [ImportStep("revised", row.source, row.downtime.objects, made, row.downtime.id)]
    return list(_parted(number, row, targets, (asked.now, at)))


def _parted(
    number: str, row: Known, targets: Mapping[tuple[Instant, Instant] | None, Sequence[str]], when: tuple[Instant, Instant]
) -> Iterator[ImportStep]:
    """Let a downtime go on as several, each with all that was declared of it; of itself nothing is left then.

    So each object stands in one downtime that is in force, and what is said of it later changes nothing of the others.
    """
    (now, at), last = when, row.last
    told: tuple[str, ...] = ()
    for target, names in targets.items():
        source = f"{number} {short('/'.join(names))}"
        what, declared, span = "revised", now, target
        if target is None:
            told = tuple(names)
            if at <= last.start:
                continue
            what, declared, span = "called off", at, (last.start, min(last.end, at))
        earlier = tuple(replace(one, by=source) for one in row.downtime.revisions)
        assert span is not None
        if span == (last.start, last.end):
            yield ImportStep("goes on", source, tuple(names), earlier, reason=row.downtime.reason)
            continue
        revised = Revision(max(declared, last.declared_at), *span, source)
        yield ImportStep(
            what, source, tuple(names), (*earlier, revised), reason=row.downtime.reason, partly=what == "called off"
        )
    if last.start == last.end:
        return
    before_it_began = bool(told) and at <= last.start
    emptied = Revision(max(now, last.declared_at), last.start, last.start, row.source)
    yield ImportStep(
        "called off" if before_it_began else "parted",
        row.source,
        told if before_it_began else row.downtime.objects,
        (*row.downtime.revisions, emptied),
        row.downtime.id,
        partly=before_it_began,
    )


def _changed_at(row: Known, number: str, read: Imported, now: Instant) -> Instant:
    """Return when the source took something back: when it says that it changed, if that was since we last knew; else now."""
    said = read.changed.get(read.coming(number)[0], now)
    return said if max(row.taken_at, row.last.declared_at) < said <= now else now


def _called_off(row: Known, at: Instant) -> ImportStep:
    last = row.last
    revision = Revision(max(at, last.declared_at), last.start, min(last.end, max(last.start, at)), row.source)
    return ImportStep("called off", row.source, row.downtime.objects, (*row.downtime.revisions, revision), row.downtime.id)


# --- what is not there any more ---------------------------------------------------------------------------------------


def _deleted(
    absent: Iterable[Known], read: Imported, asked: Asked
) -> tuple[tuple[Known, ...], tuple[Known, ...], tuple[Known, ...]]:
    """Part what the file does not speak of into what was deleted, what is of another list, and what is not believed."""
    if asked.part:
        return (), (), ()
    absent = tuple(absent)
    here = tuple(row for row in absent if asked.whole or row.list == asked.list)
    elsewhere = tuple(row for row in absent if row not in here)
    unsure = "" in read.unread or (not read.told and not asked.whole)
    return ((), elsewhere, here) if unsure else (here, elsewhere, ())
