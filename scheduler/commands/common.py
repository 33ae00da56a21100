"""What all commands share: the site file, exit codes, and how things are printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from environments.names import can_be_read, nearest
from environments.problems import ConfigurationError, Problem, screen
from environments.text import printable, printable_json
from scheduler.show.terminal import MOST_IN_A_LINE, Console

PLACES = (Path("site.yaml"), Path("/etc/ambienti/site.yaml"))
WIDTH_OF_A_FILE = 160


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    PROBLEM = 1
    """The question was answered, and the answer is bad news: problems found, no such job."""
    WRONG = 2
    """Wrong use or wrong configuration."""
    UNANSWERED = 3
    """A batch system, a host or the journal did not answer."""


def optional(*names: str, metavar: str | None = None, envvar: str | None = None, help: str) -> Any:  # noqa: A002 - as typer has it
    """Describe an option whose help tells what holds without it."""
    return typer.Option(*names, metavar=metavar, envvar=envvar, show_default=False, help=help)


SiteOption = Annotated[
    Path | None,
    optional("--site", "-s", envvar="AMBIENTI_SITE", help="The site file. [default: ./site.yaml, /etc/ambienti/site.yaml]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
SnapshotOption = Annotated[
    str | None, optional("--snapshot", metavar="FILE", help="Look at a snapshot (`-`: standard input), not at the farm.")
]
LiveOption = Annotated[bool, typer.Option("--live", help="Look at the farm ourselves, even if the daemon answers.")]


def find_site(given: Path | None) -> Path:
    """Return the site file that is meant."""
    if given is not None:
        return given
    for place in PLACES:
        if can_be_read(place):
            return place
    message = f"there is no site file: neither {' nor '.join(map(str, PLACES))}"
    expected = "--site FILE, or its path in AMBIENTI_SITE (docs: Connect a pool)"
    raise ConfigurationError([Problem("ambienti", 0, 0, "", message, expected)])


def console(*, error: bool = False) -> Console:
    """Return a console: colours and the terminal's width only where there is a terminal."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_OF_A_FILE
    return Console(stream, width)


def say(text: str, *, error: bool = False, style: str = "") -> None:
    """Print plain text; brackets in it mean nothing."""
    console(error=error).print(Text(text), style=style, soft_wrap=True)


def print_json(data: Any) -> None:
    """Print data as JSON."""
    write(printable_json(json.dumps(data, indent=2, sort_keys=False, default=str, ensure_ascii=False)) + "\n")


def write(text: str) -> None:
    """Write a text that a program will read (JSON, YAML, a configuration): its lines stay, no control character passes."""
    sys.stdout.write("\n".join(printable(line, MOST_IN_A_LINE) for line in text.split("\n")))


def show_problems(problems: tuple[Problem, ...], *, error: bool = True) -> None:
    """Print what is wrong in a configuration, on one screen."""
    out = console(error=error)
    for line in screen(problems):
        indented = line.startswith("  ")
        out.print(Text(line), style="dim" if indented else "", soft_wrap=True)
    files = len({problem.file for problem in problems} - {"", "ambienti"})
    if not files:
        return  # what is wrong stands on the command line
    count = f"{plural(len(problems), 'problem')} in {plural(files, 'file')}."
    out.print(Text(count), style="bold red", soft_wrap=True)


def problem_data(problems: tuple[Problem, ...]) -> list[dict[str, object]]:
    """Return problems as plain data."""
    keys = ("file", "line", "column", "key", "message", "expected", "nearest")
    return [{key: getattr(problem, key) for key in keys} for problem in problems]


def fail(message: str, code: Exit) -> typer.Exit:
    """Say why there is no answer, and make the exit to raise."""
    say(message, error=True, style="red")
    return typer.Exit(int(code))


def leave(silent: tuple[str, ...], *, quietly: bool = False) -> None:
    """End, after all was shown, with the code that tells that some source did not answer."""
    if silent:
        if not quietly:
            named = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
            say(f"no answer from {named}: nothing is concluded from that", error=True, style="yellow")
        raise typer.Exit(int(Exit.UNANSWERED))


def examples(*lines: str) -> str:
    """Return the examples of a command for the end of its help."""
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])


def tell_watched(owner: str) -> None:
    """Say why a command that needs the lease takes its time: who holds it may be dead, which only time tells."""
    say(f"{owner} has not given the lease back: it is watched whether it still renews it", error=True, style="dim")


def meant(name: str, known: Iterable[str], otherwise: str) -> str:
    """Say which of the known names was meant by one that nobody bears, or else what to do."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else otherwise


def plural(count: int, word: str, many: str = "") -> str:
    """Write a count: `1 host`, `3 hosts`, `2 entries`."""
    return f"{count} {word if count == 1 else many or word + 's'}"
