"""Discoveries, asked in turn while the daemon runs; what they answer is kept, so that a restart knows its farm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scheduler.loop.lanes import ThreadRunner
from scheduler.loop.runner import Answered, Call, Runner
from scheduler.model.clock import Clock, WallClock
from scheduler.site import compose, discovered
from scheduler.site.definitions import Definitions, rehosted

if TYPE_CHECKING:
    from scheduler.model.observation import Observation
    from scheduler.model.ports import Discovery
    from scheduler.site.compose import Farm
    from scheduler.site.discovered import FarmList
    from scheduler.site.settings import DiscoverySettings

PATIENCE_SECONDS = 1.0
"""For all but the first question about hosts of which nothing is known: a late answer counts the next time."""
KEPT_SECONDS = 300.0
"""A list of which only the time of the answer is new is kept so often."""


def quietly(name: str, problem: str) -> None:
    """Tell nobody."""


EARLY = 0.9
"""Cycles do not come to the millisecond: a question due at the next one should not miss it."""


class Discovering:
    """Holds what is known of each discovery, and asks those whose time has come."""

    def __init__(
        self,
        lists: Mapping[str, FarmList],
        directory: Path | None,
        *,
        clock: Clock | None = None,
        runner: Runner | None = None,
        tell: Callable[[str, str], None] = quietly,
    ) -> None:
        """Begin with what is kept; without a directory nothing is written. `tell` is given what cannot be kept."""
        self.lists = dict(lists)
        self._clock = clock or WallClock()
        self._runner = runner or ThreadRunner(self._clock, threads=8)
        self._directory = directory
        self._tell = tell
        self._due: dict[str, float] = {}
        self._kept: dict[str, FarmList] = dict(lists)

    def look(
        self,
        discoveries: Mapping[str, Discovery],
        settings: Sequence[DiscoverySettings],
        seconds: float,
        *,
        all_now: bool = False,
    ) -> Mapping[str, FarmList]:
        """Ask those whose time has come (or all), and return what is known of each."""
        self.lists = {one.name: self.lists.get(one.name, discovered.FarmList()) for one in settings}
        at = self._clock.monotonic()
        asked = [one for one in settings if one.name in discoveries and (all_now or self._due.get(one.name, at) <= at)]
        calls = [self._call(discoveries[one.name], patient=all_now) for one in asked]
        for one, end in zip(asked, self._runner.run(calls, seconds) if calls else (), strict=True):
            known = self.lists[one.name]
            if isinstance(end, Answered) and isinstance(end.value, (tuple, list)):
                self.lists[one.name] = discovered.follow(known, end.value, self._clock.now(), one)
            else:
                said = "answered with no hosts" if isinstance(end, Answered) else f"{end.error.asked}: {end.error.answer}"
                self.lists[one.name] = discovered.unanswered(known, said)
            self._due[one.name] = at + EARLY * one.every_seconds
            self._keep(one.name)
        return self.lists

    def forget(self, observation: Observation) -> None:
        """Forget the hosts that have left and on which the observation shows nothing of ours."""
        in_use = {worker.host for worker in observation.workers}
        for name, known in self.lists.items():
            self.lists[name] = discovered.forget(known, in_use, observation.now)
            self._keep(name)

    def close(self) -> None:
        """Ask nothing any more."""
        self._runner.close()

    def _call(self, discovery: Discovery, *, patient: bool) -> Call:
        hurried = not patient and (discovery.name in self._due or self.lists[discovery.name].hosts)
        read: Callable[[], Any] = discovery.read
        return Call(f"discovery {discovery.name}", discovery.asks, read, PATIENCE_SECONDS if hurried else None)

    def _keep(self, name: str) -> None:
        """Write a list when it tells something new."""
        known, before = self.lists[name], self._kept.get(name)
        if self._directory is None or known.answered_at is None:
            return
        same = before is not None and before.hosts == known.hosts
        if same and before and abs(known.answered_at - (before.answered_at or 0.0)) < KEPT_SECONDS:
            return
        try:
            discovered.keep(discovered.list_path(self._directory, name), known)
        except OSError as error:
            self._tell(name, f"what is known cannot be kept: {error.strerror}: {error.filename}")
        else:
            self._kept[name] = known


def begin(definitions: Definitions, *, keeps: bool = True, tell: Callable[[str, str], None] = quietly) -> Discovering:
    """Begin with what definitions were loaded with."""
    return Discovering(definitions.discovered, definitions.file.directory if keeps else None, tell=tell)


@contextmanager
def connected(
    definitions: Definitions, *, keeps: bool = False, tell: Callable[[str, str], None] = quietly
) -> Iterator[tuple[Definitions, Farm, Discovering]]:
    """Connect the farm for a while, after asking every discovery once: for commands that look by themselves."""
    discovering = begin(definitions, keeps=keeps, tell=tell)
    farm = compose.connect(definitions)
    try:
        site = definitions.site
        lists = discovering.look(farm.discoveries, site.discover, site.limits.reading_deadline_seconds, all_now=True)
        found = rehosted(definitions, lists)
        if found.file is not definitions.file:
            new = compose.connect(found, farm, definitions)
            farm.close_others(new)
            farm = new
        yield found, farm, discovering
    finally:
        discovering.close()
        farm.close()
