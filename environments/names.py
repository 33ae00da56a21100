"""Names as people mistype them."""

from __future__ import annotations

import difflib
import heapq
from itertools import islice, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

LONGEST = 80
"""Longer names are compared by their beginning: the comparison is quadratic."""
MOST_COMPARED = 50
"""Of more names only those that share most pairs of letters are compared: thousands may be unknown, of thousands."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like `name`, or "" when none is near."""
    written, names = name[:LONGEST], list(known)
    if len(names) > MOST_COMPARED:
        pairs = set(pairwise(written))
        names = heapq.nlargest(MOST_COMPARED, names, key=lambda one: len(pairs.intersection(pairwise(one[:LONGEST]))))
    found = difflib.get_close_matches(written, names, n=1, cutoff=0.6)
    return found[0] if found else ""


def some(known: Collection[str], most: int = 20) -> str:
    """Return names as a sentence lists them: all, or the first and how many more there are."""
    named = ", ".join(islice(known, most))
    return named if len(known) <= most else f"{named} and {len(known) - most} more"


def one_of(known: Collection[str]) -> str:
    """Say what may stand in a place."""
    return f"one of: {some(known)}"


def as_known(name: str, known: Iterable[str]) -> str:
    """Return a name as it is known: names of hosts have no case. What is not known stays as it is, and so does what is."""
    names = list(known)
    if name in names:
        return name
    alike = {one for one in names if one.lower() == name.lower()}
    return alike.pop() if len(alike) == 1 else name


def can_be_read(path: Path) -> bool:
    """Whether there is something of which reading says what is wrong with it: a file, a directory, a pipe..."""
    try:
        path.stat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError) or path.is_symlink()
    return True


def is_plain_file(path: Path) -> bool:
    """Whether a plain file stands there that may be looked at; a path that no file can have leads to none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def nearest_file(path: Path) -> str:
    """Return the file beside `path` whose name is most like it (endings do not count), or "" when none is near."""
    try:
        present = {entry.stem: entry.name for entry in path.parent.iterdir() if entry.is_file()}
    except (OSError, ValueError):
        return ""
    return present.get(nearest(path.stem, present), "")
