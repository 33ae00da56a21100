"""The site's objectives in OpenSLO: every YAML file of the directory `objectives` beside the site file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.availability.promises import openslo

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from scheduler.availability.history import Instant
    from scheduler.site.definitions import Definitions

DIRECTORY = "objectives"


def files(definitions: Definitions) -> list[Path]:
    """Return the files, by name; there need be none. Periods in YAML stand in a directory of their own below it."""
    directory = definitions.file.path.parent / DIRECTORY
    return sorted(path for pattern in ("*.yaml", "*.yml") for path in directory.glob(pattern))


def load(definitions: Definitions, names: Collection[str], now: Instant) -> openslo.Promises:
    """Read them all together; a ConfigurationError holds all that is wrong. `names`: of all objects and groups."""
    return openslo.read_files(files(definitions), now, definitions.site.timezone, names)
