"""Changed files, taken up while the daemon runs: what is right comes into force, what is wrong is told once and left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from environments.reader import ConfigurationError
from scheduler.site import compose
from scheduler.site.definitions import assemble, refresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from environments.reader import Problem
    from scheduler.engine import Engine
    from scheduler.policy import Policy
    from scheduler.site.compose import Farm
    from scheduler.site.definitions import Definitions

FIXED = ("journal", "directory", "listen", "log", "lease_seconds")
"""Settings of the daemon that need a restart."""


class Reload:
    """Holds the definitions in force and the connections made of them; called before each cycle."""

    def __init__(
        self, definitions: Definitions, farm: Farm, engine: Engine, tell: Callable[[tuple[Problem, ...]], None]
    ) -> None:
        """Begin with what was loaded at the start; `tell` is given what is wrong, once per change."""
        self.definitions = definitions
        self.farm = farm
        self._engine = engine
        self._tell = tell
        self._looked = definitions

    def __call__(self, forced: bool) -> Policy | None:
        """Look at the files; return the new policy if something changed for good, else None."""
        looked = refresh(self._looked)
        if looked is self._looked:
            if forced and looked.problems:
                self._tell(looked.problems)
            return None
        self._looked = looked
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
        if problems:
            self._tell(tuple(problems))
        self.definitions = accepted
        return accepted.policy if accepted.policy != before.policy else None

    def close(self) -> None:
        """Give all connections back."""
        self.farm.close()

    def _reconnect(self, looked: Definitions) -> None:
        """Connect what is new or changed, and let go of what is gone."""
        old, new = self.farm, compose.connect(looked, self.farm, self.definitions)
        self._engine.connect(new.batch_systems, new.hypervisors)
        self.farm = new
        for name, batch_system in old.batch_systems.items():
            if new.batch_systems.get(name) is not batch_system:
                batch_system.close()
        for name, hypervisor in old.hypervisors.items():
            if new.hypervisors.get(name) is not hypervisor:
                hypervisor.close()

    def _with_known_site(self, looked: Definitions) -> Definitions:
        """Keep the site as it is in force, with the files of the VOs as far as they agree with it."""
        known = self.definitions
        vos = {vo: looked.vos.get(vo, one) for vo, one in known.vos.items()}
        policy, between = assemble(known.file, vos)
        return known if between else replace(known, policy=policy, vos=vos)


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
