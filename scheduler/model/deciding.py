"""What of a value a decision depends on: every field, but for those that say otherwise where they are defined."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ASIDE: Mapping[str, str] = {"decides": ""}
"""The metadata of a field that no decision depends on: it is shown, counted, written down, or compared by itself."""


def only(name: str) -> Mapping[str, str]:
    """Return the metadata of a field of which this property alone decides."""
    return {"decides": name}


def what_decides(kind: type) -> Callable[[object], object]:
    """Return a function that takes from a value of this kind all that decides."""
    return attrgetter(*(name for one in fields(kind) if (name := one.metadata.get("decides", one.name))))
