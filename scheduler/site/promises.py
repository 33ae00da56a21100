"""The site's objectives in OpenSLO: every YAML file of the directory `objectives` beside the site file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.availability.promises import openslo

if TYPE_CHECKING:
    from scheduler.availability.promises.burn_rate import Alert
    from scheduler.model.instants import Instant
    from scheduler.site.definitions import Definitions


def files(definitions: Definitions) -> list[Path]:
    """Return the files, by name; there need be none. Periods in YAML stand in a directory of their own below it."""
    directory = definitions.file.objectives
    return sorted(path for pattern in ("*.yaml", "*.yml") for path in directory.glob(pattern))


def alerts(definitions: Definitions, names: Collection[str], now: Instant) -> dict[str, tuple[Alert, ...]]:
    """Return the burn-rate alerts of each objective that has any."""
    return {one.objective.name: one.alerts for one in load(definitions, names, now).promises if one.alerts}


def load(definitions: Definitions, names: Collection[str], now: Instant) -> openslo.Promises:
    """Read them all together; a ConfigurationError holds all that is wrong. `names`: of all objects and groups."""
    return openslo.read_files(files(definitions), now, definitions.site.timezone, names)
