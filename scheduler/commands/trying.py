"""`env try`: boot one worker of an environment, say what happens to it, take it down.

While a daemon runs it is asked to, through its socket: it alone may act. Else this command is the daemon for so long: it takes
the lease, and does nothing else than what the trial needs. Either way the boot is journaled first, so whoever goes round next
ends what this command leaves behind when it is killed.
"""

from __future__ import annotations

import http
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.commands import daemon, loaded
from scheduler.commands.common import Exit, JsonOption, SiteOption, fail, meant, print_json, say, tell_watched
from scheduler.loop.trial import Trials
from scheduler.model.clock import WallClock, clock_time

if TYPE_CHECKING:
    from scheduler.site.definitions import Definitions

ASK_SECONDS = 1.0
ANSWER_SECONDS = 10.0
ORDER_SECONDS = 120.0
"""So long a worker may not be ordered (no room, a breaker that is open) before the trial is given up."""
Ask = Callable[[bool], dict[str, Any]]
"""Asks how the trial stands; with True it is given up."""
_COLOURS = {"registered": "green", "failed": "red", "blame": "red"}


def try_environment(
    name: Annotated[str, typer.Argument(help="Name of the environment.")],
    site: SiteOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the worker running once it has registered.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Boot one worker of an environment as jobs would have it booted, say what happens, and take it down again.

    The running daemon does it; if none runs, the command takes the daemon's lease. If the worker does not come up, it ends
    with 1 and says whom to blame.
    """
    found = loaded.load(site)
    known = found.policy.catalogue.environments
    if name not in known:
        raise fail(f"no environment is called {name!r}; {meant(name, known, 'see `ambienti env list`')}", Exit.PROBLEM)
    with _asking(found, name, keep=keep) as (ask, by):
        if not as_json:
            say(f"Tried by {by}.", style="dim")
        told = _follow(ask, "" if as_json else found.policy.zone)
    if as_json:
        print_json({"by": by, **told})
    if told["verdict"] != "works":
        raise typer.Exit(int(Exit.PROBLEM))


def _follow(ask: Ask, zone: str) -> dict[str, Any]:
    """Ask until the trial has ended; interrupted, or without an order for too long, give it up and see it end."""
    clock = WallClock()
    patience, give_up, shown, waits = clock.monotonic() + ORDER_SECONDS, False, 0, ""
    while True:
        try:
            told = ask(give_up)
            shown, waits = _show(told, shown, waits, zone) if zone else (0, "")
            if told["ended"]:
                return told
            give_up |= not told["worker"] and clock.monotonic() > patience
            clock.sleep(ASK_SECONDS)
        except KeyboardInterrupt:
            if give_up:
                raise
            say("interrupted: its worker is taken down", error=True)
            give_up = True


def _show(told: dict[str, Any], shown: int, waits: str, zone: str) -> tuple[int, str]:
    """Show what is new; return how much has been shown, and what was said of an order that does not come."""
    for step in told["steps"][shown:]:
        at = clock_time(step["at"], step["at"], zone)
        say(f"  {at}  {step['sentence']}", style=_COLOURS.get(step["what"], ""))
    if told["ended"] and told["verdict"] == "not-booted":
        say(f"  no worker was ordered: {told['waits'] or 'it was given up before'}", style="red")
    elif told["waits"] not in {"", waits}:
        say(f"  not ordered yet: {told['waits']}", style="yellow")
    return len(told["steps"]), told["waits"]


@contextmanager
def _asking(found: Definitions, name: str, *, keep: bool) -> Iterator[tuple[Ask, str]]:
    """Yield what asks how the trial stands, and who goes round for it."""
    where, key = found.file.socket, secrets.token_hex(8)

    def by_daemon(give_up: bool) -> dict[str, Any]:
        content = json.dumps({"key": key, "environment": name, "keep": keep, "give_up": give_up}).encode()
        answer = daemon.ask(where, "/try", seconds=ANSWER_SECONDS, content=content, method="POST")
        if answer.code != http.HTTPStatus.OK:
            raise fail(f"the daemon does not try it: {answer.problem or answer.code}", Exit.PROBLEM)
        told: dict[str, Any] = json.loads(answer.content)
        return told

    try:
        by_daemon(False)
    except daemon.NoAnswerError as error:
        with _by_ourselves(found, key, name, keep=keep, silence=str(error)) as ask:
            yield ask, "this command: no daemon runs"
        return
    try:
        yield by_daemon, f"the daemon at {where}"
    except daemon.NoAnswerError as error:
        sentence = f"the daemon no longer answers ({error or 'it has ended'}): when it runs again it takes the worker down"
        raise fail(sentence, Exit.UNANSWERED) from error


@contextmanager
def _by_ourselves(found: Definitions, key: str, name: str, *, keep: bool, silence: str) -> Iterator[Ask]:
    """Be the daemon for as long as the trial takes, and for nothing else."""
    from scheduler.site import compose, discovering

    owner = f"try@{socket.gethostname()}:{os.getpid()}"
    with discovering.connected(found) as (loaded, farm, _), compose.engine(loaded, farm, owner=owner) as engine:
        if not engine.lease.wait(tell_watched):
            hint = f": {silence}" if silence else ""
            sentence = f"a daemon holds the lease and does not answer at its socket ({found.file.socket}{hint})"
            raise fail(f"{sentence}: try it on the machine where that one runs", Exit.UNANSWERED)
        engine.trials = Trials(alone=True)

        def ask(give_up: bool) -> dict[str, Any]:
            words = key, name, engine.clock.now(), engine.clock.monotonic()
            if (told := engine.trials.ask(*words, keep=keep, give_up=give_up))["ended"]:
                return told
            if not engine.cycle().leading:
                raise fail(f"{engine.lease.holder().sentence} now: it takes the worker down", Exit.UNANSWERED)
            return engine.trials.ask(*words)

        yield ask
