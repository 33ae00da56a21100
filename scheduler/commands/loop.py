"""Going round: `run`, `once`, `plan`; and `snapshot`."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.commands.common import Exit, JsonOption, SiteOption, SnapshotOption, console, fail, find_site, print_json, say
from scheduler.commands.source import looked, silent_sources

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="Where to; `-` is standard output.")]


def plan(site: SiteOption = None, snapshot: SnapshotOption = None, as_json: JsonOption = False) -> None:
    """Show every action that would be taken now, with its reason and numbers. Nothing is done."""
    from scheduler import view
    from scheduler.snapshot import plan_data

    with looked(site, snapshot) as found:
        if as_json:
            print_json({"source": found.origin, "silent": list(found.silent), **plan_data(found.plan)})
        else:
            say(f"Seen by {found.origin}.", style="dim")
            console().print(view.plan_lines(found.plan), soft_wrap=True)
        _leave(found.silent, quietly=as_json)


def snapshot(file: FileArgument, site: SiteOption = None) -> None:
    """Write what the farm looks like, with the policy and the plan, to a file one can mail; no secrets are in it."""
    from scheduler.snapshot import dump

    with looked(site, None) as found:
        content = dump(found.observation, found.policy, found.plan)
        if file == "-":
            sys.stdout.buffer.write(content + b"\n")
        else:
            try:
                Path(file).write_bytes(content)
            except OSError as error:
                raise fail(f"{file}: {error.strerror}", Exit.WRONG) from error
            say(f"{file}: {len(content)} bytes, seen by {found.origin}.")
        _leave(found.silent, quietly=file == "-")


def once(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """Go round once: observe, decide, act, remember. For a first try, or from a timer of your own instead of the daemon."""
    from scheduler import compose, definitions, view
    from scheduler.snapshot import plan_data

    found = definitions.load(find_site(site))
    with (
        compose.connected(found) as farm,
        compose.engine(found, farm, owner=f"once@{socket.gethostname()}:{os.getpid()}") as engine,
    ):
        cycle = engine.cycle()
    if not cycle.leading:
        raise fail("another daemon holds the lease of the journal: nothing was done", Exit.PROBLEM)
    if as_json:
        print_json({**plan_data(cycle.plan), "results": [_result(one) for one in cycle.results]})
    else:
        for result in cycle.results:
            line = view.action_line(result.action).append(
                f"  {result.outcome}", style="green" if result.outcome == "done" else "red"
            )
            console().print(line.append(f" {result.detail}" if result.detail else ""), soft_wrap=True)
        say(f"{len(cycle.results)} actions in {cycle.seconds:.2f} s." if cycle.results else "nothing to do")
    _leave(silent_sources(cycle.observation), quietly=as_json)
    if any(str(result.outcome) in {"failed", "late"} for result in cycle.results):
        raise typer.Exit(int(Exit.PROBLEM))


def _result(result: Any) -> dict[str, Any]:
    return {"worker": result.action.worker, "outcome": str(result.outcome), "detail": result.detail, "seconds": result.seconds}


def _leave(silent: tuple[str, ...], *, quietly: bool = False) -> None:
    """End with the code that tells that some source did not answer."""
    if silent:
        if not quietly:
            named = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
            say(f"no answer from {named}: nothing is concluded from that", error=True, style="yellow")
        raise typer.Exit(int(Exit.UNANSWERED))
