"""Changed files, taken up while the daemon runs: what is right comes into force, what is wrong is told once and left out.

They are read beside the cycle. Whatever a file does - hang, fail in a way that nobody foresaw -, the last good state stays in
force and the loop goes round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from environments.problems import ConfigurationError, Problem, ordered
from scheduler.loop.runner import unexpected
from scheduler.site import compose, services
from scheduler.site.definitions import Definitions, assemble, refresh, rehosted, stamp_of
from scheduler.site.discovering import Discovering, begin
from scheduler.site.services import Services

if TYPE_CHECKING:
    from scheduler.loop.engine import Engine
    from scheduler.model.policy import Policy
    from scheduler.site.compose import Farm
    from scheduler.site.discovered import FarmList


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Late:
    """Still being read."""

    since: float
    """Monotonic time at which that began."""


@dataclass(slots=True)
class _Look(Generic[T]):
    since: float
    done: threading.Event = field(default_factory=threading.Event)
    value: T | None = None
    error: Exception | None = None


class BackgroundReader(Generic[T]):
    """Reads in a thread of its own, one thing at a time; an answer that comes late is handed to whoever asks next."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._look: _Look[T] | None = None

    def ask(self, read: Callable[[], T], seconds: float) -> T | Late:
        """Begin to read, unless something is being read already; return that if it ends in time. Its error is raised."""
        look = self._look
        if look is None:
            look = self._look = _Look(self._monotonic())
            threading.Thread(target=_work, args=(look, read), name="ambienti-files", daemon=True).start()
        if not look.done.wait(seconds):
            return Late(look.since)
        self._look = None
        if look.error is not None:
            raise look.error
        assert look.value is not None
        return look.value


def _work(look: _Look[T], read: Callable[[], T]) -> None:
    try:
        look.value = read()
    except Exception as error:  # noqa: BLE001 - raised in the thread of whoever asked
        look.error = error
    look.done.set()


FILES_SECONDS = 5.0
"""So long a cycle waits for the files to be read; a file system that takes longer keeps nobody waiting."""
FIXED = ("journal", "directory", "listen", "names", "log", "lease_seconds")
"""Settings of the daemon that need a restart."""


class Reload:
    """Holds the definitions in force and the connections made of them; called before each cycle."""

    def __init__(
        self,
        definitions: Definitions,
        farm: Farm,
        engine: Engine,
        tell: Callable[[tuple[Problem, ...]], None],
        discovering: Discovering | None = None,
        *,
        keep: Callable[[Definitions], None] = lambda _: None,
        keep_files: Callable[[Definitions], None] = lambda _: None,
    ) -> None:
        """Begin with what was loaded at the start.

        `tell` is given what is wrong, once per change; `keep` what is in force, at every look; `keep_files`, beside the
        cycle, keeps the files beside the site file that are right.
        """
        self.definitions = definitions
        self.farm = farm
        self._engine = engine
        self._tell = tell
        self._looked = definitions
        self._discovering = discovering or begin(definitions, keeps=False)
        self._services: object = None
        self._reading: BackgroundReader[_Found] = BackgroundReader(engine.clock.monotonic)
        self._keep = keep
        self._keep_files = keep_files
        self._refused: dict[str, tuple[Problem, ...]] = {}

    @property
    def refused(self) -> tuple[Problem, ...]:
        """What is wrong in the files as they stand now: of these the last good ones are in force."""
        return ordered(problem for problems in self._refused.values() for problem in problems)

    def __call__(self, forced: bool) -> Policy | None:
        """Look at the files and ask the discoveries; return the new policy if something changed for good, else None."""
        before, sources = self.definitions.policy, self.definitions.site.discover
        discovered = self._discover()
        self._follow(discovered)
        found = self._read(discovered)
        if found is not None:
            last, self._looked = self._looked, rehosted(found.looked, discovered)
            if self._looked.stamps != last.stamps:
                self._take_up(self._looked)
            elif forced and self._looked.problems:
                self._tell(self._looked.problems)
            self._take_up_services(found)
        if self.definitions.site.discover != sources:  # a source that is new is asked at once
            self._follow(self._discover())
        self._engine.discoveries = compose.readings(self.definitions, self.farm)
        self._keep(self.definitions)
        return self.definitions.policy if self.definitions.policy != before else None

    def close(self) -> None:
        """Give all connections back."""
        self._discovering.close()
        self.farm.close()

    def _read(self, discovered: Mapping[str, FarmList]) -> _Found | None:
        """Look at all files; None, and why is told once, while that does not end or when it fails in an unforeseen way."""
        looked, known = self._looked, self._services
        where = str(self.definitions.file.path)
        try:
            found = self._reading.ask(lambda: self._look(looked, discovered, known), FILES_SECONDS)
        except Exception as error:  # noqa: BLE001 - a fault of ours in reading must not stop the loop
            unexpected(where, "read the files", error)
            self._refuse("reading", (Problem(where, 0, 0, "", f"the files cannot be read: {type(error).__name__}: {error}"),))
            return None
        if isinstance(found, Late):
            if not self._refused.get("reading"):
                message = f"the files have not been read within {FILES_SECONDS:g} s: does their file system hang?"
                self._refuse("reading", (Problem(where, 0, 0, "", message, "what is in force goes on"),))
            return None
        self._refused["reading"] = ()
        return found

    def _look(self, last: Definitions, discovered: Mapping[str, FarmList], known: object) -> _Found:
        found = _look(last, discovered, known)
        self._keep_files(found.looked)
        return found

    def _take_up_services(self, found: _Found) -> None:
        """Take up a changed file of services; a wrong one is told once, and what was declared stays in force."""
        if found.services == self._services:
            return
        self._services, self._refused["services"] = found.services, ()
        if found.problems:
            self._refuse("services", found.problems)
        elif found.named is not None:
            self._engine.declared, self._engine.groups = found.named.declared, found.named.members

    def _discover(self) -> Mapping[str, FarmList]:
        """Ask the discoveries whose time has come; forget who left and is empty by the last look at the farm."""
        site, last = self.definitions.site, self._engine.last
        if last is not None:
            self._discovering.forget(last.observation)
        return self._discovering.look(self.farm.discoveries, site.discover, site.limits.reading_deadline_seconds)

    def _follow(self, discovered: Mapping[str, FarmList]) -> None:
        """Connect hosts that are found, and let go of those that are forgotten."""
        found = rehosted(self.definitions, discovered)
        try:
            if found.file is not self.definitions.file:
                self._reconnect(found)
                self._refused["discovered"] = ()
        except ConfigurationError as error:
            self._refuse("discovered", error.problems)
        else:
            self.definitions = found

    def _take_up(self, looked: Definitions) -> None:
        """Take up changed files as far as they are right."""
        before = self.definitions
        problems = list(looked.problems)
        problems += _unchangeable(before, looked)
        try:
            if looked.site != before.site and not problems:
                self._reconnect(looked)
            accepted = looked if not problems else self._with_known_site(looked)
        except ConfigurationError as error:
            problems += error.problems
            accepted = self._with_known_site(looked)
        except Exception as error:  # noqa: BLE001 - whatever a connector raises: the site stays as it is
            unexpected(str(looked.file.path), "connect what is new", error)
            message = f"what is new cannot be connected: {type(error).__name__}: {error}"
            problems.append(Problem(str(looked.file.path), 0, 0, "", message))
            accepted = self._with_known_site(looked)
        self._refused["files"] = ()
        if problems:
            self._refuse("files", tuple(problems))
        self.definitions = accepted

    def _refuse(self, what: str, problems: tuple[Problem, ...]) -> None:
        self._refused[what] = problems
        self._tell(problems)

    def _reconnect(self, looked: Definitions) -> None:
        """Connect what is new or changed, and let go of what is gone."""
        old, new = self.farm, compose.connect(looked, self.farm, self.definitions)
        self._engine.connect(new.batch_systems, new.hypervisors)
        self.farm = new
        old.close_others(new)

    def _with_known_site(self, looked: Definitions) -> Definitions:
        """Keep the site as it is in force, with the files of the VOs as far as they agree with it."""
        known = self.definitions
        vos = {vo: looked.vos.get(vo, one) for vo, one in known.vos.items()}
        policy, between = assemble(known.file, vos)
        return known if between else replace(known, policy=policy, vos=vos)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look at all files found."""

    looked: Definitions
    services: object
    """Tells one state of the services file, and of the names it may use, from another."""
    named: Services | None = None
    """Of a services file that changed and is right."""
    problems: tuple[Problem, ...] = ()
    """Of one that changed and is wrong."""


def _look(last: Definitions, discovered: Mapping[str, FarmList], known: object) -> _Found:
    """Look at the site file, the files of the VOs and the services; what has not changed since is not read."""
    looked = refresh(last, discovered)
    stamp = (stamp_of(looked.file.services), services.own_objects(looked))
    if stamp == known:
        return _Found(looked, stamp)
    try:
        return _Found(looked, stamp, services.load(looked))
    except ConfigurationError as error:
        return _Found(looked, stamp, problems=error.problems)


def _unchangeable(before: Definitions, after: Definitions) -> list[Problem]:
    """Say which changes of the site file need more than reading it again."""
    problems = []
    if before.site.site != after.site.site:
        message = f"the farm is called {before.site.site!r}: under another name its workers would be strangers"
        problems.append(after.file.node.problem(("site",), message, f"site: {before.site.site}"))
    for key in FIXED:
        if getattr(before.site.daemon, key) != getattr(after.site.daemon, key):
            message = "this change needs a restart of the daemon"
            problems.append(after.file.node.problem(("daemon", key), message))
    return problems
