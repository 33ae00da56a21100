"""Where the lab keeps everything: one directory, `$AMBIENTI_LAB` or `.lab` in the checkout."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def lab_directory() -> Path:
    """Return the lab's directory (absolute); it is made when missing."""
    directory = Path(os.environ.get("AMBIENTI_LAB") or CHECKOUT / ".lab").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def lab_path(*parts: str) -> Path:
    """Return a directory inside the lab; it is made when missing."""
    path = lab_directory().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lab's lock `name`: two sessions that install or build the same thing wait for each other."""
    with (lab_directory() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def traversable_by_others(path: Path) -> bool:
    """Whether a user that owns nothing here may reach `path`."""
    return all(directory.stat().st_mode & 0o001 for directory in (path, *path.parents))
