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


def of_this_place(program: Path, needs: Path) -> Path:
    """Return a program that a file of this path loads; one copied from another checkout loads it from there."""
    if os.fsencode(needs) not in program.read_bytes():
        lab = lab_directory()
        raise RuntimeError(
            f"the lab in {lab} was made elsewhere, and its programs cannot be moved ({program} does not load {needs}): "
            f"`make lab-down` where it runs, then `rm -rf {lab}` and `make lab` make it anew here"
        )
    return program


def interpreted_here(script: Path) -> Path:
    """Return a script whose interpreter is there; a virtual environment that was copied still names that of the other place."""
    first = script.read_bytes().partition(b"\n")[0] if script.is_file() else b""
    interpreter = Path(os.fsdecode(first[2:]).strip().partition(" ")[0]) if first.startswith(b"#!") else None
    if not script.is_file() or (interpreter is not None and not interpreter.exists()):
        environment = script.parent.parent
        because = f"its interpreter {interpreter} is gone" if interpreter else "it is not there"
        raise RuntimeError(
            f"{script} cannot run: {because}. The virtual environment {environment} was made elsewhere or not whole: "
            f"`rm -rf {environment}` and `make lab` make it anew here"
        )
    return script


def traversable_by_others(path: Path) -> bool:
    """Whether a user that owns nothing here may reach `path`."""
    return all(directory.stat().st_mode & 0o001 for directory in (path, *path.parents))
