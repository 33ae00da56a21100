"""The file of `ambienti oncall simulate`: what happened, under which on-call rules; checked key by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from environments.checking import checked
from environments.environment import Frozen
from environments.names import can_be_read, nearest, nearest_file
from environments.nodes import YamlNode, without
from environments.problems import ConfigurationError, KeyPath, Problem, problem_at
from environments.reader import read
from environments.text import OneLine
from scheduler.availability.files.written import Names, Said, Text
from scheduler.model.instants import Instant
from scheduler.oncall import reading as oncall
from scheduler.oncall.incident import IncidentEvent, Quiet, Rules, What
from scheduler.oncall.story import Story, story
from scheduler.oncall.watch import Watching
from scheduler.oncall.written import Happening, Moment, OnCall


class SimulatedDowntime(Frozen):
    """An agreed downtime: nobody is paged in it, and whoever is still bad at its end opens an incident then."""

    objects: Names
    """Of which objects; `*` is all of them."""
    start: Moment
    """When it begins."""
    end: Moment
    """The first instant after it."""
    declared: Moment | None = None
    """When it was declared: it keeps nobody quiet before. Left out: in time."""
    id: Said = ""
    """For people."""


class WrittenHappening(Frozen):
    """One thing that happened. At one instant they keep the order of the file."""

    at: Moment
    """When."""
    event: Happening
    """bad, recovered, acknowledged, resolved."""
    object: Said = ""
    """Of which object; `bad` needs it. An answer may name an object of the incident."""
    cause: Said = ""
    """The cause: one cause is one incident, whatever objects it takes. Left out: the object itself is the cause."""
    incident: Annotated[int, Field(ge=0)] = 0
    """Of an answer: the incident's number."""
    by: Said = ""
    """Of an answer: which person."""
    text: Text = ""
    """What the check or the person said."""


class Happenings(Frozen):
    """What happened."""

    now: Moment
    """The instant the story is told for: nothing after it is known."""
    downtimes: tuple[SimulatedDowntime, ...] = ()
    """Agreed downtimes."""
    events: tuple[WrittenHappening, ...] = ()
    """What happened, in any order."""


class Simulation(Happenings):
    """The file of `ambienti oncall simulate`."""

    oncall: OnCall | OneLine
    """The on-call rules, as in `oncall.yaml`; or the path of such a file, relative to this one."""


@dataclass(frozen=True, slots=True)
class SimulationFile:
    """A checked simulation: what to follow, by which rules, until when."""

    now: Instant
    changes: tuple[IncidentEvent, ...]
    rules: Rules
    watching: Watching
    zone: str

    def story(self) -> Story:
        """Tell what came of it."""
        return story(self.changes, self.rules, self.watching, self.now)


def load(path: Path) -> SimulationFile:
    """Read a simulation; whatever is wrong with it, or with the on-call file it names, is a ConfigurationError."""
    return understood(read(path), path)


def understood(node: YamlNode, path: Path) -> SimulationFile:
    """Check a simulation that was read from `path`."""
    problems: list[Problem] = []
    people = _on_call(node, path, problems)
    zone = people.settings.zone if people else "UTC"
    told = checked(Happenings, without(node, "oncall"), problems, context={"zone": zone}, onward=True)
    if told is not None and people is not None:
        problems += _events(told, people.settings, node)
    if told is None or people is None or problems:
        raise ConfigurationError(problems)
    quiet = tuple(Quiet(frozenset(one.objects), one.start, one.end, one.declared, one.id) for one in told.downtimes)
    rules = replace(people.rules_until(told.now + 1), quiet=quiet)
    return SimulationFile(told.now, tuple(map(_change, told.events)), rules, oncall.watching_of(people.settings), zone)


def _on_call(node: YamlNode, path: Path, problems: list[Problem]) -> oncall.OnCallFile | None:
    given = node.items.get("oncall")
    if given is None:
        problems.append(problem_at(node.mark, "oncall", "is missing", "the on-call rules, or the path of an on-call file"))
        return None
    if isinstance(given.value, str):
        file = path.parent / given.value
        if not can_be_read(file):
            problems.append(problem_at(given.mark, "oncall", f"there is no file {file}", "an on-call file", nearest_file(file)))
            return None
        try:
            return oncall.load(file)
        except ConfigurationError as error:
            problems += error.problems
            return None
    return oncall.understood(given, path, problems, ("oncall",))


def _events(told: Happenings, settings: OnCall, node: YamlNode) -> Iterator[Problem]:
    for index, one in enumerate(told.downtimes):
        if one.end <= one.start:
            yield node.problem(("downtimes", index, "end"), "is not after the start", "a later instant")
    for index, event in enumerate(told.events):
        path: KeyPath = ("events", index)
        if event.at > told.now:
            yield node.problem((*path, "at"), "lies after `now`", "an instant that has passed")
        if event.event is Happening.BAD and not event.object:
            yield node.problem(path, "nothing is bad", "`object`")
        if not (event.object or event.cause or event.incident):
            yield node.problem(path, "it is not said of what", "`object`, `cause` or, for an answer, `incident`")
        if event.incident and event.event in {Happening.BAD, Happening.RECOVERED}:
            yield node.problem((*path, "incident"), "a status is of an object or of a cause", "`object` or `cause`")
        answer = event.event in {Happening.ACKNOWLEDGED, Happening.RESOLVED}
        if answer and event.by not in settings.people:
            near = nearest(event.by, settings.people)
            message = f"there is no person {event.by!r}" if event.by else "nobody is said to have answered"
            yield node.problem((*path, "by"), message, "" if near else f"one of: {', '.join(settings.people)}", near)


def _change(event: WrittenHappening) -> IncidentEvent:
    return IncidentEvent(event.at, What(event.event.value), event.object, event.cause, event.incident, event.by, event.text)
