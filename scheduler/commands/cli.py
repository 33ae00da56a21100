"""The command line `ambienti`: one typer application; what may go wrong is said in a sentence, never as a traceback."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from contextvars import copy_context
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from environments.problems import ConfigurationError
from environments.text import printable, unprintable
from scheduler.commands import completion
from scheduler.commands.common import Exit, examples, fail, say, show_problems
from scheduler.model.ports import SourceError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_LEAST_SIZE, _MOST_SIZE = 10, 10_000
"""Of a terminal, in characters; some programs say 0."""
FURTHER_COMMANDS = "ambienti.commands"
EPILOG = "Exit codes: 0 ok, 1 a problem was found, 2 wrong use or configuration, 3 a source did not answer."

COMMANDS: dict[str, tuple[str, ...]] = {
    "loop.run": ("ambienti run", "ambienti run --view"),
    "loop.once": ("ambienti once", "ambienti once --json"),
    "loop.plan": ("ambienti plan", "ambienti plan --live --json", "ambienti plan --snapshot farm.json"),
    "questions.why": (
        "ambienti why 1234",
        "ambienti why 1234.0 --details",
        "ambienti why",
        "ambienti why 1234.0 --snapshot farm.json --json",
    ),
    "questions.why_worker": ("ambienti why-worker atlas-el9-17",),
    "events.events": ("ambienti events", "ambienti events pool --kind status --since 2d", "ambienti events --follow --json"),
    "usage.usage": ("ambienti usage", "ambienti usage --since 30d --json"),
    "configuration.check": ("ambienti check", "ambienti check --site /etc/ambienti/site.yaml --live"),
    "configuration.schema": (
        "ambienti schema site > ambienti-site.schema.json",
        "ambienti schema vo > ambienti-vo.schema.json",
    ),
    "configuration.hooks": ("ambienti hooks htcondor > /etc/condor/config.d/60-ambienti.conf && condor_reconfig",),
    "loop.snapshot": ("ambienti snapshot farm.json", "ambienti snapshot - | gzip > farm.json.gz"),
    "completion.completion": (
        "ambienti completion bash > /etc/bash_completion.d/ambienti",
        "ambienti completion zsh --install",
    ),
}
"""The commands (file and function) and their examples, in the order of the help."""
GROUPS: dict[str, str] = {
    "env": "configuration.environments",
    "host": "hosts.hosts",
    "token": "reporting.tokens",
    "downtime": "downtime_import.downtimes",
    "exclusion": "exclusions.exclusions",
    "correction": "exclusions.corrections",
    "objective": "objectives.objectives",
    "incident": "incidents.incidents",
    "oncall": "oncall.oncall",
    "report": "report_algebra.report",
    "journal": "journal.journals",
}
"""Commands that have commands: file and application."""
STATUS = ("ambienti status", "ambienti status --all", "ambienti status --json | jq .vos")
TRYING = ("ambienti env try atlas-el9", "ambienti env try atlas-el9 --keep --json")
REPORTING = (
    "ambienti status report voms --status CRITICAL --text 'no answer on port 8443'",
    'ambienti status report voms --nagios-exit-code $SERVICESTATEID$ --text "$SERVICEOUTPUT$"',
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ambienti {metadata.version('ambienti')}")
        raise typer.Exit


def build(wanted: str | None = None) -> typer.Typer:
    """Put the application together; if one command is wanted it alone is loaded."""
    app = typer.Typer(
        name="ambienti",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        add_completion=False,
        epilog=EPILOG,
    )

    @app.callback()
    def ambienti(
        version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
    ) -> None:
        """Give every job of a shared farm the environment it needs: read the queues, boot and retire worker VMs."""

    own = {"status"} | {name_of(place) for place in COMMANDS} | set(GROUPS)
    alone = wanted if wanted in own else None
    for place, lines in COMMANDS.items():
        if alone in {None, name_of(place)}:
            app.command(epilog=examples(*lines))(_load(place))
    for name, place in GROUPS.items():
        if alone in {None, name}:
            group = _load(place)
            if name == "env":
                group.command("try", epilog=examples(*TRYING))(_load("trying.try_environment"))
            app.add_typer(group, name=name)
    if alone in {None, "status"}:
        status = typer.Typer(invoke_without_command=True)
        status.callback(epilog=examples(*STATUS))(_load("questions.status"))
        status.command("report", epilog=examples(*REPORTING))(_load("reporting.report"))
        app.add_typer(status, name="status")
    if wanted not in own:
        for entry in sorted(metadata.entry_points(group=FURTHER_COMMANDS), key=lambda e: e.name):
            _add_further(app, entry)
    return app


def name_of(place: str) -> str:
    """Return the name of a command: that of its function, with hyphens."""
    return place.partition(".")[2].replace("_", "-")


def _load(place: str) -> Any:
    """Load one command; of the others not even their files are read, for most of a short command's time goes into that."""
    module, _, name = place.partition(".")
    return getattr(importlib.import_module(f"scheduler.commands.{module}"), name)


def _add_further(app: typer.Typer, entry: metadata.EntryPoint) -> None:
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        said = f"cannot be loaded: {error}"

        @app.command(entry.name, help=f"({said})")
        def missing() -> None:
            raise fail(f"ambienti {entry.name} {said}", Exit.WRONG)

        return
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=entry.name)
    else:
        app.command(entry.name)(loaded)


def _refuse_unprintable(words: Sequence[str]) -> None:
    """Refuse control characters and their kind wherever they stand: what is typed here is kept and shown to others."""
    for number, word in enumerate(words, start=1):
        if found := unprintable(word, lines=True):
            say(f"word {number} of the command, {printable(word, 60)!r}: {found}", error=True, style="red")
            sys.exit(Exit.WRONG)


def _mend_surroundings() -> None:
    """Make good what whoever started this may have left: closed streams, and a terminal of a size in which nothing is seen."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # no journal shall be opened in its place
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")
        if size and not (size.isascii() and size.isdigit() and _LEAST_SIZE <= int(size[:9]) <= _MOST_SIZE):
            del os.environ[name]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    _mend_surroundings()
    completion.prepare()
    given = sys.argv[1:] if arguments is None else list(arguments)
    _refuse_unprintable(given)
    wanted = next((word for word in given if not word.startswith("-")), None)
    try:
        try:
            copy_context().run(build(wanted), args=given, prog_name="ambienti")
        finally:
            sys.stdout.flush()
    except ConfigurationError as error:
        show_problems(error.problems)
        sys.exit(Exit.WRONG)
    except SourceError as error:
        say(f"no answer: {error}", error=True, style="red")
        sys.exit(Exit.UNANSWERED)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        say(f"what is printed cannot be written: {error.strerror}", error=True, style="red")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left of it is not tried again at the end
        sys.exit(Exit.UNANSWERED)
    except Exception as error:
        from scheduler.journal.opening import JournalError  # late: SQLAlchemy takes its time to load

        if not isinstance(error, JournalError):
            raise
        say(str(error), error=True, style="red")
        sys.exit(Exit.UNANSWERED)


if __name__ == "__main__":
    main()
