"""Where people are reached: addresses are secrets, looked up when a notice is sent and kept nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from environments.names import can_be_read, nearest, nearest_file
from environments.problems import ConfigurationError, Problem
from environments.reader import read, read_content
from scheduler.availability.timelines.windows import days_later
from scheduler.oncall import reading as oncall
from scheduler.oncall.reading import OnCallFile, watching_of
from scheduler.oncall.rotation import Roster, schedule
from scheduler.oncall.standing import Structure
from scheduler.publish.paging import PagingRules
from scheduler.site import compose
from scheduler.site.live_check import Finding

if TYPE_CHECKING:
    from scheduler.model.instants import Instant
    from scheduler.model.ports import Notifier
    from scheduler.oncall.reading import OnCallFile
    from scheduler.oncall.written import Address, OnCall
    from scheduler.site.definitions import Definitions


NOTIFIERS = "ambienti.notifiers"
DEADLINE_SECONDS = 10.0


def paging_rules(found: OnCallFile, site: str, until: Instant, structure: Structure | None = None) -> PagingRules:
    """Return the rules of a site's on-call file, with holidays up to an instant; `structure`: of its services."""
    settings = found.settings
    return PagingRules(
        site=site,
        zone=settings.zone,
        rules=found.rules_until(until),
        addresses=places(found),
        watching=watching_of(settings),
        structure=structure or Structure(),
    )


def places(found: OnCallFile) -> dict[str, tuple[str, ...]]:
    """Return, for each person, where each address is found: `file:...` or `environment:...`."""
    return {name: tuple(map(place_of, person.addresses)) for name, person in found.settings.people.items()}


def place_of(address: Address) -> str:
    """Name the place of an address, as the journal keeps it."""
    return f"file:{address.file}" if address.file else f"environment:{address.environment}"


def opener(found: OnCallFile) -> Callable[[str, str], Notifier]:
    """Return what opens the address of a person; it raises ValueError, without the address, when that cannot be had."""
    known = places(found)

    def open_one(person: str, place: str) -> Notifier:
        try:
            connect = compose.load_entry(NOTIFIERS, "apprise")
        except ImportError as error:
            raise ValueError(f"nothing can be sent: {error}; install ambienti[notify]") from error
        if place not in known.get(person, ()):
            raise ValueError(f"{person} has no address {place} any more")
        notifier: Notifier = connect(f"{person} ({place})", address_at(found, place), deadline_seconds=DEADLINE_SECONDS)
        return notifier

    return open_one


def address_at(found: OnCallFile, place: str) -> str:
    """Look an address up; raise ValueError when it is not there."""
    kind, _, name = place.partition(":")
    if kind == "environment":
        address = os.environ.get(name, "").strip()
        if not address:
            raise ValueError(f"the environment variable {name} is not set")
        return address
    path = found.path.parent / name
    try:
        lines = read_content(path).decode().split("\n", 1)
    except ConfigurationError as error:
        problem = error.problems[0]
        hint = f"; did you mean {problem.nearest}?" if problem.nearest else ""
        raise ValueError(f"the file {path}: {problem.message}{hint}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is no text") from None
    if not lines[0].strip():
        raise ValueError(f"the first line of {path} is empty")
    return lines[0].strip()


_WILD = frozenset("*?[")
LOOKED_AHEAD_DAYS = 3660
"""Whose turn comes later than that, never has one."""


# --- the on-call file as `ambienti check` sees it: does it name what there is, and who cannot be reached --------------


def check_oncall(definitions: Definitions, names: Sequence[str]) -> tuple[Finding, ...]:
    """Return what hinders paging; a wrong on-call file is a ConfigurationError. There need be none.

    `names`: of all objects and groups.
    """
    path = definitions.file.oncall
    if not can_be_read(path):
        if "oncall" in definitions.file.node.items:
            said = f"there is no file {path}: nobody is paged"
            problem = definitions.file.node.problem(("oncall",), said, "an on-call file", nearest_file(path))
            raise ConfigurationError([problem])
        return ()
    found = oncall.load(path)
    if problems := tuple(_unknown(found, names)):
        raise ConfigurationError(problems)
    return (*_idle(found, names), *without_turn(found), *_unreached(found))


def _unknown(found: OnCallFile, names: Sequence[str]) -> Iterator[Problem]:
    node = read(found.path)
    for place, name in enumerate(found.settings.objects):
        if not _WILD & {*name} and name not in names:
            near = nearest(name, names)
            known = "" if near else f"one of: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
            yield node.problem(("objects", place), f"no object and no group is called {name!r}", known, near)


def _idle(found: OnCallFile, names: Sequence[str]) -> Iterator[Finding]:
    for pattern in found.settings.objects:
        if not any(fnmatchcase(name, pattern) for name in names):
            yield Finding(found.path.name, f"`objects`: {pattern!r} fits no object and no group", fatal=False)


def without_turn(found: OnCallFile) -> Iterator[Finding]:
    """Find people of a rotation whose turn never comes: the layers above take it over each time."""
    for name, layers in found.rules.roster.rotations.items():
        begun = max(layer.handover(0) for layer in layers)
        first = min(layer.handover(0) for layer in layers)
        days = min(LOOKED_AHEAD_DAYS, 366 + max(len(layer.people) * layer.shift_days for layer in layers))
        turns = schedule(Roster({name: layers}), name, first, days_later(begun, days, found.settings.zone))
        having = {turn.person for turn in turns}
        never = [person for layer in layers for person in dict.fromkeys(layer.people) if person not in having]
        if never:
            said = f"rotation {name!r}: {', '.join(dict.fromkeys(never))} never {'gets' if len(never) == 1 else 'get'} a turn"
            why = f"in {days} days; somebody else's hours cover each of them (`during` beside `shift_days`)"
            yield Finding(found.path.name, f"{said} {why}", fatal=False)


def _unreached(found: OnCallFile) -> Iterator[Finding]:
    people, open_one = found.settings.people, opener(found)
    for name in dict.fromkeys(_pageable(found.settings)):
        if not people[name].addresses:
            yield Finding(found.path.name, f"{name} may be paged and has no address: such a page reaches nobody", fatal=False)
        # What stands in environment variables is the daemon's to know; files are read here as whoever asks may read them.
        for place in (place_of(address) for address in people[name].addresses if address.file):
            try:
                open_one(name, place)
            except ValueError as error:
                yield Finding(found.path.name, f"{name} may be paged, and {error}", fatal=False)


def _pageable(settings: OnCall) -> Iterator[str]:
    """Yield everybody whom some page may be for."""
    targets = [level.notify for level in settings.escalation.levels]
    for target in targets:
        if target not in settings.rotations:
            yield target
            continue
        for layer in settings.rotations[target].layers:
            yield from layer.people
        yield from (one.person for one in settings.overrides if one.rotation == target)
        yield from (person for one in settings.swaps if one.rotation == target for person in one.people)
