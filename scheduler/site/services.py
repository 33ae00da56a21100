"""`services.yaml`: further objects that others report on, groups of all objects, and objectives.

It has the format of the history file of `ambienti report --history`, without what only happens: no events, no downtimes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environments.checking import checked
from environments.names import can_be_read
from environments.problems import ConfigurationError, Problem
from environments.reader import read
from scheduler.availability.files import crosscheck
from scheduler.availability.files.reading import algebras, context, exact, made, shaped
from scheduler.availability.files.written import WrittenHistory
from scheduler.availability.history import Algebra, Group, History, Monitored, Objective
from scheduler.availability.promises import openslo
from scheduler.availability.promises.standing import stand
from scheduler.availability.timelines.prepared import Prepared, prepare
from scheduler.journal import incidents as kept
from scheduler.journal.following import Followed
from scheduler.journal.histories import load_columns, load_history
from scheduler.journal.records import Declared
from scheduler.model.instants import Instant, in_seconds, micro
from scheduler.observe.provisioning import name_of
from scheduler.observe.statuses import DAEMON, workers_of
from scheduler.oncall.alarms import beginning, told
from scheduler.oncall.standing import Structure

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from scheduler.availability.promises.burn_rate import Alert
    from scheduler.journal.journal import Journal
    from scheduler.journal.reading import JournalReader
    from scheduler.model.instants import Instant
    from scheduler.oncall.incident import IncidentEvent
    from scheduler.site.definitions import Definitions


DEFINES = ("objects", "groups", "objectives", "algebras", "algebra")


@dataclass(frozen=True, slots=True)
class Services:
    """What is reported on beside what Ambienti looks at itself."""

    pushed: tuple[Monitored, ...] = ()
    groups: tuple[Group, ...] = ()
    objectives: tuple[Objective, ...] = ()
    own: tuple[str, ...] = field(default=())
    """Names of the objects that Ambienti looks at itself."""
    algebras: tuple[Algebra, ...] = ()
    """The site's own truth tables."""

    @property
    def declared(self) -> tuple[Declared, ...]:
        """The objects that others report on, as the journal takes them."""
        return tuple(Declared(one.name, one.kind.value, one.freshness) for one in self.pushed)

    @property
    def members(self) -> dict[str, frozenset[str]]:
        """The objects of each group, those of groups in it included."""
        inner = {group.name: {member.name for member in group.members} for group in self.groups}
        return {name: frozenset(_leaves(name, inner)) for name in inner}

    @property
    def reported(self) -> list[str]:
        """Names that a token may be for: what others report on, and the groups that hold some of it."""
        pushed = [one.name for one in self.pushed]
        return [*pushed, *(name for name, inner in self.members.items() if inner & set(pushed))]

    @property
    def names(self) -> list[str]:
        """All names that a downtime may be for."""
        return [*(one.name for one in self.pushed), *(one.name for one in self.groups), *self.own]


def _leaves(name: str, inner: Mapping[str, set[str]]) -> Iterator[str]:
    if name not in inner:
        yield name
    for one in inner.get(name, ()):
        yield from _leaves(one, inner)


def load(definitions: Definitions) -> Services:
    """Read the services file; a ConfigurationError holds all that is wrong with it. There need not be one."""
    own = own_objects(definitions)
    path = definitions.file.services
    if not can_be_read(path) and "services" not in definitions.file.node.items:
        return Services(own=own)
    problems: list[Problem] = []
    whole = _understood(shaped(read(path)), own, definitions.site.timezone, problems)
    if whole is None or problems:
        raise ConfigurationError(problems)
    pushed = tuple(one for one in whole.objects if one.name not in own)
    return Services(pushed, whole.groups, whole.objectives, own, whole.algebras)


def own_objects(definitions: Definitions) -> tuple[str, ...]:
    """Name what Ambienti looks at itself: batch systems, hosts, workers and shares of each environment, itself."""
    policy = definitions.policy
    queues = (one.name for one in definitions.site.batch_systems)
    environments = policy.catalogue.environments
    shares = (name_of(vo, name) for name, environment in environments.items() for vo in environment.vos)
    return (*queues, *policy.hosts, *map(workers_of, environments), *shares, DAEMON)


def objects_of_vo(definitions: Definitions, vo: str) -> tuple[str, ...]:
    """Name what a VO is served by: its share and the workers of each environment it may use, groups of nothing else."""
    environments = definitions.policy.catalogue.environments
    usable = [name for name, environment in environments.items() if vo in environment.vos]
    found = [*(name_of(vo, name) for name in usable), *map(workers_of, usable)]
    for group in load(definitions).groups:
        if {member.name for member in group.members} <= set(found):
            found.append(group.name)
    return tuple(found)


def _understood(node: YamlNode, own: Iterable[str], zone: str, problems: list[Problem]) -> History | None:
    for key in node.items:
        if key not in {*DEFINES, "zone", "timezone"}:
            expected = f"one of: {', '.join(DEFINES)}"
            problems.append(node.problem((key,), "this does not belong here: what happens is in the journal", expected))
    if problems:
        return None
    data: dict[str, Any] = {"now": "0", "zone": zone, **(exact(node) or {})}
    listed = list(data.get("objects", ()))
    named = {one.get("name") for one in listed if isinstance(one, dict)}
    for index, one in enumerate(listed):
        if isinstance(one, dict) and one.get("name") in set(own):
            problems.append(
                node.problem(("objects", index, "name"), f"Ambienti looks at {one['name']!r} itself", "another name")
            )
    data["objects"] = [*listed, *({"name": name} for name in own if name not in named)]
    tables = algebras(node, data, problems)
    if problems:
        return None
    written = checked(WrittenHistory, node, problems, data=data, context=context(data["zone"], tables), onward=True)
    if written is None:
        return None
    problems += crosscheck.problems(written, node)
    return None if problems else made(written, tables)


def structure(definitions: Definitions, now: Instant) -> Structure:
    """Return what belongs together, as paging sees it: groups, and what alerts on error budgets are about."""
    services = load(definitions)
    promised = load_promises(definitions, services.names, now).promises
    return Structure(services.groups, {beginning(one.objective.name): one.objective.object for one in promised})


def live_history(definitions: Definitions, journal: JournalReader, now: float, *, with_results: bool = True) -> History:
    """Return the farm's history up to now: the journal's, with groups and objectives of the site's files.

    A year of many objects is read faster with `load_columns` beside a history without results.
    """
    services = load(definitions)
    history = load_history(journal, now, definitions.site.timezone, with_results=with_results)
    known = {one.name for one in history.objects}
    named = {member.name for group in services.groups for member in group.members}
    promised = load_promises(definitions, services.names, history.now).promises
    objectives = (*services.objectives, *(promise.objective for promise in promised))
    named |= {objective.object for objective in objectives}
    unheard = [Monitored(name) for name in services.own if name in named - known]
    further = [one for one in services.pushed if one.name not in known]
    objects = (*history.objects, *further, *unheard)
    return replace(history, objects=objects, groups=services.groups, objectives=objectives, algebras=services.algebras)


def follower(definitions: Callable[[], Definitions], journal: JournalReader) -> Callable[[float], Prepared]:
    """Return what gives the same again and again, of an instant: of the journal only what is new is read each time."""
    followed = Followed(journal, lambda now: live_prepared(definitions(), journal, now))

    def prepared(now: float) -> Prepared:
        found = load(definitions())
        promised = load_promises(definitions(), found.names, micro(now)).promises
        # The periods of an objective are read as far as now: they are new each time.
        objectives = (*found.objectives, *(promise.objective for promise in promised))
        ready = followed.at(now, (found, frozenset(one.object for one in objectives)))
        return replace(ready, history=replace(ready.history, objectives=objectives))

    return prepared


def live_prepared(definitions: Definitions, journal: JournalReader, now: float) -> Prepared:
    """Return the same made ready for measuring, read as columns."""
    history = live_history(definitions, journal, now, with_results=False)
    return prepare(history, load_columns(journal, history))


def alarms(
    definitions: Definitions, journal: Journal, now: Instant, prepared: Callable[[float], Prepared] | None = None
) -> tuple[IncidentEvent, ...]:
    """Return what burn-rate alerts have to tell the book now; nothing is measured where no objective has alerts.

    `prepared` gives the history up to an instant where somebody follows it; else it is read.
    """
    with journal.read("incidents") as connection:
        book = kept.open_book(connection)
    known = load(definitions)
    alerting = [one for one in load_promises(definitions, known.names, now).promises if one.alerts]
    if not alerting:
        return tuple(told(book, (), now))
    at = in_seconds(now)
    ready = live_prepared(definitions, journal, at) if prepared is None else prepared(at)
    return tuple(told(book, [stand(ready, one.objective, one.alerts) for one in alerting], now))


# --- the site's objectives in OpenSLO ---------------------------------------------------------------------------------


def objective_files(definitions: Definitions) -> list[Path]:
    """Return the OpenSLO files of the directory `objectives` beside the site file, by name; there need be none.

    Periods in YAML stand in a directory of their own below it.
    """
    directory = definitions.file.objectives
    return sorted(path for pattern in ("*.yaml", "*.yml") for path in directory.glob(pattern))


def alerts_of(definitions: Definitions, names: Collection[str], now: Instant) -> dict[str, tuple[Alert, ...]]:
    """Return the burn-rate alerts of each objective that has any."""
    return {one.objective.name: one.alerts for one in load_promises(definitions, names, now).promises if one.alerts}


def load_promises(definitions: Definitions, names: Collection[str], now: Instant) -> openslo.Promises:
    """Read them all together; a ConfigurationError holds all that is wrong. `names`: of all objects and groups."""
    return openslo.read_files(objective_files(definitions), now, definitions.site.timezone, names)
