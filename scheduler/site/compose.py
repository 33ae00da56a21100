"""The composition root: from checked files to connected systems. Connectors are reached by entry point, never imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from environments.checking import explained
from environments.names import nearest, one_of
from environments.problems import ConfigurationError, KeyPath, Problem
from scheduler.model.ports import BatchSystem, Discovery, Hypervisor
from scheduler.site.discovered import FarmList, reading
from scheduler.site.settings import (
    BATCH_SYSTEMS,
    DISCOVERIES,
    HYPERVISORS,
    BatchSystemSettings,
    DiscoverySettings,
    entry_points,
)
from scheduler.site.site_file import HostEntry

if TYPE_CHECKING:
    from scheduler.journal.journal import Journal
    from scheduler.loop.engine import Engine
    from scheduler.model.clock import Clock
    from scheduler.model.hosts import DiscoveryReading
    from scheduler.site.definitions import Definitions


@dataclass(frozen=True, slots=True)
class Farm:
    """The connected systems of a site. Each is connected lazily: one that is down now stops nobody."""

    batch_systems: Mapping[str, BatchSystem]
    hypervisors: Mapping[str, Hypervisor]
    discoveries: Mapping[str, Discovery] = field(default_factory=dict)

    def close(self) -> None:
        """Give all connections back."""
        self.close_others(None)

    def close_others(self, kept: Farm | None) -> None:
        """Give those connections back that `kept` does not hold too."""
        for ours, theirs in (
            (self.batch_systems, kept.batch_systems if kept else {}),
            (self.hypervisors, kept.hypervisors if kept else {}),
            (self.discoveries, kept.discoveries if kept else {}),
        ):
            for name, connection in ours.items():
                if theirs.get(name) is not connection:
                    connection.close()


class _Connecting:
    """Calls connectors and gathers what they refuse, each at its line of the site file."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.problems: list[Problem] = []
        self._connectors: dict[tuple[str, str], Callable[..., Any]] = {}

    def call(self, group: str, kind: str, path: KeyPath, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        """Call one connector; None when it refused its options or cannot be loaded here."""
        node = self.definitions.file.node
        try:
            connector = self._connectors.get((group, kind)) or load_entry(group, kind)
            self._connectors[group, kind] = connector
        except (ImportError, AttributeError) as error:
            message = f"the connector {kind!r} cannot be loaded: {error}"
            expected = f"its Python packages: pip install 'ambienti[{kind}]'"
            self.problems.append(node.problem((*path, "kind"), message, expected))
            return None
        try:
            return connector(*arguments, **keywords)
        except ValidationError as error:
            options = node.walk((*path, "options"))
            self.problems += explained(error, options[0], model_titled(connector, error.title), (*path, "options"))
            return None


def load_entry(group: str, name: str) -> Callable[..., Any]:
    """Load what an entry point of `group` names; ImportError when its packages are not installed."""
    loaded: Callable[..., Any] = entry_points(group)[name].load()
    return loaded


def model_titled(connector: Callable[..., Any], title: str) -> type[BaseModel] | None:
    """Find the options model of a connector by the title its errors carry: it knows the keys that would be right."""
    package = connector.__module__.rpartition(".")[0] or connector.__module__
    modules = [sys.modules[connector.__module__], *(m for name, m in list(sys.modules.items()) if name.startswith(package))]
    for module in modules:
        found = getattr(module, title, None)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None


def connect(
    definitions: Definitions, known: Farm | None = None, before: Definitions | None = None, *, hosts: bool = True
) -> Farm:
    """Connect all systems of the site; a ConfigurationError says which options are wrong.

    After a change of the site file (`before`: what `known` was made of), what has not changed keeps its connection.
    """
    connecting = _Connecting(definitions)
    site, file = definitions.site, definitions.file
    kept = known if before is not None and _common(before) == _common(definitions) else None
    batch_systems: dict[str, Any] = {}
    for index, settings in enumerate(site.batch_systems):
        keep = kept is not None and before is not None and settings in before.site.batch_systems
        batch_systems[settings.name] = (
            kept.batch_systems[settings.name] if kept and keep else _batch_system(connecting, settings, index)
        )
    hypervisors: dict[str, Any] = {}
    for name, entry in file.hosts.items() if hosts else ():
        keep = kept is not None and before is not None and _connects_alike(entry, before.file.hosts.get(name))
        hypervisors[name] = kept.hypervisors[name] if kept and keep else _hypervisor(connecting, entry)
    for entry in _unproven(definitions) if hosts else ():
        if (hypervisor := _hypervisor(connecting, entry)) is not None:
            hypervisor.close()
    discoveries: dict[str, Any] = {}
    for index, discovery in enumerate(site.discover):
        keep = kept is not None and before is not None and _discovers_alike(discovery, before.site.discover)
        discoveries[discovery.name] = (
            kept.discoveries[discovery.name] if kept and keep else _discovery(connecting, discovery, index)
        )
    farm = Farm(
        {name: one for name, one in batch_systems.items() if one is not None},
        {name: one for name, one in hypervisors.items() if one is not None},
        {name: one for name, one in discoveries.items() if one is not None},
    )
    for index, settings in enumerate(site.batch_systems):
        connecting.problems += _misnamed(farm.batch_systems.get(settings.name), index, definitions)
    if connecting.problems:
        farm.close_others(known)
        raise ConfigurationError(connecting.problems)
    return farm


def _misnamed(batch_system: Any, index: int, definitions: Definitions) -> Iterator[Problem]:
    """Find the VOs and environments that a batch system's options name and no file defines; most connectors name none."""
    named = getattr(batch_system, "named", None)
    for path, kind, name, known in named(definitions.policy.catalogue) if named else ():
        if name not in known:
            near = nearest(name, known)
            place, message = ("batch_systems", index, "options", *path), f"no {kind} is called {name!r}"
            yield definitions.file.node.problem(place, message, "" if near else one_of(known), near)


def _common(definitions: Definitions) -> tuple[object, ...]:
    """Return what every connection is made of."""
    return definitions.site.limits.reading_deadline_seconds, definitions.site.image_roots


def _connects_alike(one: HostEntry, other: HostEntry | None) -> bool:
    """Whether two entries of one host differ in nothing that its connection is made of."""
    if other is None or one.uri != other.uri:
        return False
    keys = ("kind", "options", "reserve_mib", "virtualizations")
    return all(getattr(one.settings, key) == getattr(other.settings, key) for key in keys)


def _unproven(definitions: Definitions) -> Iterator[HostEntry]:
    """Return a host for each discovery that has found none yet: wrong options are told before the first one comes."""
    file = definitions.file
    proven = {entry.discovery for entry in file.hosts.values()}
    for index, one in enumerate(file.site.discover):
        if one.name not in proven:
            yield HostEntry("host", one.hosts.uri.replace("{port}", "1"), one.hosts, index, discovery=one.name)


def _discovers_alike(one: DiscoverySettings, others: Iterable[DiscoverySettings]) -> bool:
    """Whether some entry makes the very same connection."""
    return any((one.name, one.kind, one.options) == (other.name, other.kind, other.options) for other in others)


def _discovery(connecting: _Connecting, settings: DiscoverySettings, index: int) -> Any:
    site, path = connecting.definitions.site, connecting.definitions.file.path
    keywords = {"base": path.parent, "deadline_seconds": float(site.limits.reading_deadline_seconds)}
    place = ("discover", index)
    return connecting.call(DISCOVERIES, settings.kind, place, (settings.name, settings.options), keywords)


def _batch_system(connecting: _Connecting, settings: BatchSystemSettings, index: int) -> Any:
    site = connecting.definitions.site
    directory = connecting.definitions.file.directory / settings.name
    keywords = {"site": site.site, "deadline_seconds": float(site.limits.reading_deadline_seconds), "directory": directory}
    place = ("batch_systems", index)
    return connecting.call(BATCH_SYSTEMS, settings.kind, place, (settings.name, settings.options), keywords)


def _hypervisor(connecting: _Connecting, entry: HostEntry) -> Any:
    site, settings = connecting.definitions.site, entry.settings
    options: dict[str, object] = {
        "reserve_mib": settings.reserve_mib,
        "virtualizations": settings.virtualizations,
        **settings.options,
    }
    if site.image_roots is not None:
        options["image_roots"] = site.image_roots
    keywords = {"site": site.site, "deadline_seconds": float(site.limits.reading_deadline_seconds)}
    return connecting.call(HYPERVISORS, settings.kind, entry.place, (entry.name, entry.uri, options), keywords)


@contextmanager
def connected(definitions: Definitions, *, hosts: bool = True) -> Iterator[Farm]:
    """Connect the farm for a while."""
    farm = connect(definitions, hosts=hosts)
    try:
        yield farm
    finally:
        farm.close()


@contextmanager
def engine(
    definitions: Definitions,
    farm: Farm,
    *,
    owner: str = "look",
    read_only: bool = False,
    act_seconds: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Engine]:
    """Make an engine on the site's journal for a while; `read_only` makes no journal where there is none yet.

    `act_seconds`: how long a cycle waits for the ends of its acts, by default as the daemon does. `tell` is told of a journal
    that was restored.
    """
    from scheduler.journal.journal import Journal
    from scheduler.journal.seen import SeenJournal
    from scheduler.loop.engine import ACT_SECONDS, Engine
    from scheduler.loop.lanes import ThreadRunner
    from scheduler.model.clock import WallClock

    clock = WallClock()
    journal = Journal(_url(definitions, read_only=read_only), now=clock.now(), side_file=_side_file(definitions))
    lease_seconds = definitions.site.daemon.lease_seconds
    made = Engine(
        *(definitions.policy, farm.batch_systems, farm.hypervisors, journal, clock, ThreadRunner(clock)),
        owner=owner,
        lease_seconds=lease_seconds,
        act_seconds=ACT_SECONDS if act_seconds is None else act_seconds,
    )
    made.discoveries = readings(definitions, farm)
    made.seen = None if read_only else SeenJournal(definitions.file.directory / "journal-seen.json", tell)
    try:
        yield made
    finally:
        made.close()
        journal.close()


def readings(definitions: Definitions, farm: Farm) -> dict[str, DiscoveryReading]:
    """Sum up what is known of each discovery of the site."""
    found = {}
    for settings in definitions.site.discover:
        name, entries = settings.name, definitions.file.hosts
        known = definitions.discovered.get(name, FarmList())
        hidden = [
            host
            for host, one in known.hosts.items()
            if one.leaving_since is None and (host not in entries or entries[host].discovery != name)
        ]
        asks = farm.discoveries[name].asks if name in farm.discoveries else settings.kind
        found[name] = reading(name, asks, known, hidden)
    return found


def has_journal(definitions: Definitions) -> bool:
    """Whether the site has a journal, or may have one where this user may not look."""
    url = journal_url(definitions)
    try:
        return not url.startswith("sqlite") or Path(url.partition(":///")[2]).is_file()
    except OSError:  # it may not be looked at, or bears a name that no file can have: whoever opens it says so
        return True


def is_ours(definitions: Definitions) -> bool:
    """Whether the journal is a file that this user may write: what is wrong with it then is no matter of rights."""
    url = journal_url(definitions)
    return url.startswith("sqlite") and os.access(url.partition(":///")[2], os.R_OK | os.W_OK)


def open_journal(definitions: Definitions, now: float, *, read_only: bool = False) -> Journal:
    """Open the site's journal; `read_only` makes none where there is none yet."""
    from scheduler.journal.journal import Journal

    return Journal(_url(definitions, read_only=read_only), now=now)


def _url(definitions: Definitions, *, read_only: bool) -> str:
    return "sqlite://" if read_only and not has_journal(definitions) else journal_url(definitions)


def upgrade_journal(definitions: Definitions, clock: Clock, waits: Callable[[str], None]) -> tuple[str, str]:
    """Bring the site's journal to the form of this Ambienti; return its form before ("" of a new one), and now."""
    from scheduler.journal.upgrading import upgrade

    lease_seconds = definitions.site.daemon.lease_seconds
    return upgrade(journal_url(definitions), clock, lease_seconds, side_file=_side_file(definitions), waits=waits)


def _side_file(definitions: Definitions) -> Path:
    """Return the file of this machine whose lock proves that a daemon here is dead, for a journal in a server."""
    return definitions.file.directory / "lease"


def journal_url(definitions: Definitions) -> str:
    """Return the journal's URL; a relative SQLite path is relative to the site file."""
    url = definitions.site.daemon.journal
    scheme, slashes, path = url.partition(":///")
    if not scheme.startswith("sqlite") or not slashes or path.startswith("/") or path in {"", ":memory:"}:
        return url
    return f"{scheme}:///{(definitions.file.path.parent / Path(path)).absolute()}"
