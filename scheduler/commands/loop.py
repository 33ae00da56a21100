"""Going round: `run`, `once`, `plan`; and `snapshot`."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scheduler.commands import journaled
from scheduler.commands.common import (
    Exit,
    JsonOption,
    LiveOption,
    SiteOption,
    SnapshotOption,
    console,
    fail,
    find_site,
    leave,
    print_json,
    say,
    tell_watched,
)
from scheduler.commands.source import looked, silent_sources, tell_standing
from scheduler.model.clock import WallClock
from scheduler.model.instants import micro, shown_instant
from scheduler.model.snapshot import dump, plan_data

if TYPE_CHECKING:
    from environments.problems import Problem
    from scheduler.site.definitions import Definitions
    from scheduler.site.in_force import Running

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="Where to; `-` is standard output.")]


def run(
    site: SiteOption = None,
    view: Annotated[bool, typer.Option("--view", help="Draw the farm on the terminal; the log goes to ambienti.log.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every cycle.")] = False,
) -> None:
    """Run the daemon: go round until SIGTERM; SIGHUP reads the files again at once."""
    from scheduler.daemon import log
    from scheduler.daemon.daemon import Daemon, owner_name
    from scheduler.daemon.paged import Paged
    from scheduler.daemon.pager import Pager
    from scheduler.daemon.reporter import Reporter
    from scheduler.publish import reports
    from scheduler.show.live_view import watching
    from scheduler.site import compose, definitions, discovering, in_force, services
    from scheduler.site.kept_files import KeptFiles
    from scheduler.site.reload import Reload

    os.umask(0o077)  # whatever the daemon writes names users and tells of the inside: it is for nobody else
    found = definitions.load(find_site(site))
    # What is wrong in these files is told before anything starts.
    services.load_promises(found, services.load(found).names, journaled.now())
    reports.check(found)
    with ExitStack() as stack:
        stream = stack.enter_context(_private(found.file.path.parent / "ambienti.log", "a")) if view else sys.stderr
        log.configure(found.site.daemon.log, verbose=verbose, stream=stream)
        with ExitStack() as until_held:
            farm = compose.connect(found)
            until_held.callback(farm.close)
            _log_upgrade(*compose.upgrade_journal(found, WallClock(), _log_waiting))
            engine = stack.enter_context(compose.engine(found, farm, owner=owner_name(), tell=_log_journal))
            kept = in_force.Keeper(found, in_force.Running(os.getpid(), engine.clock.now()), _log_unkept)
            stack.callback(kept.close)
            asked = discovering.begin(found, tell=_log_discovery)
            files = KeptFiles()

            def keep_files(looked: Definitions) -> None:
                kept.files(lambda: files(looked, journaled.now()))

            keep_files(found)  # they were right a moment ago
            reload = Reload(found, farm, engine, _log_problems, asked, keep=kept, keep_files=keep_files)
            until_held.pop_all()
        if kept.other is not None:
            _log_other(found.file.path, kept.other)
        stack.callback(reload.close)
        if view:
            stack.enter_context(watching(engine, console()))
        prepared = services.follower(lambda: reload.definitions, engine.journal)
        pager = Pager(
            engine,
            found.file.oncall,
            found.site.site,
            alarms=lambda now: services.alarms(reload.definitions, engine.journal, now, prepared),
            structure=lambda now: services.structure(reload.definitions, now),
        )
        daemon = Daemon(
            engine,
            refresh=reload,
            listen=found.site.daemon.listen,
            local=found.file.socket,
            names=found.site.daemon.names,
            pager=pager.round,
            reporter=Reporter(engine, lambda: reload.definitions).round,
            availability=lambda: prepared(engine.clock.now()),
            refused=lambda: (*reload.refused, *pager.refused),
        )
        daemon.metrics.registry.register(Paged(engine.journal, engine.clock.now))
        code = daemon.run()
    raise typer.Exit(code)


def _private(path: Path, mode: str) -> Any:
    """Open a file for writing that, if it is new, only its owner may read: it names users."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def plan(
    site: SiteOption = None, snapshot: SnapshotOption = None, live: LiveOption = False, as_json: JsonOption = False
) -> None:
    """Show every action that would be taken now, with its reason and numbers. Nothing is done.

    While the daemon runs, this is its last decision; it has already ordered these actions. --live looks at the farm now.
    """
    from scheduler.show import view

    with looked(site, snapshot, live=live) as found:
        if as_json:
            told = {"source": found.origin, "ordered": found.ordered, "silent": list(found.silent)}
            told["daemon"] = asdict(found.standing)
            print_json({**told, **plan_data(found.plan)})
        else:
            say(f"Seen by {found.origin}{'; ordered already' if found.ordered and found.plan.actions else ''}.", style="dim")
            tell_standing(found)
            console().print(view.plan_lines(found.plan, found.observation), soft_wrap=True)
        leave(found.silent, quietly=as_json)


def snapshot(file: FileArgument, site: SiteOption = None, live: LiveOption = False) -> None:
    """Write what the farm looks like, with the policy and the plan, to a file one can mail; no secrets are in it."""
    with looked(site, None, live=live) as found:
        content = dump(found.observation, found.policy, found.plan, found.standing)
        if file == "-":
            sys.stdout.buffer.write(content + b"\n")
        else:
            try:
                with _private(Path(file), "wb") as out:
                    out.write(content)
            except OSError as error:
                raise fail(f"{file}: {error.strerror}", Exit.WRONG) from error
            say(f"{file}: {len(content)} bytes, seen by {found.origin}.")
        leave(found.silent, quietly=file == "-")


def once(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """Go round once: observe, decide, act, remember. For a first try, or from a timer of your own instead of the daemon."""
    from scheduler.show import view
    from scheduler.site import compose, definitions, discovering, in_force

    loaded = definitions.load(find_site(site))
    if (other := in_force.running(loaded.file.directory)) is not None:  # its lease may be in another journal by now
        raise fail(
            f"the same site file is served by another daemon on this machine (pid {other.pid}): nothing was done", Exit.PROBLEM
        )
    with (
        discovering.connected(loaded, keeps=True, tell=_say_discovery) as (found, farm, asked),
        compose.engine(
            found,
            farm,
            owner=f"once@{socket.gethostname()}:{os.getpid()}",
            act_seconds=2 * found.policy.limits.reading_deadline_seconds,
            tell=lambda told: say(told, error=True, style="yellow"),
        ) as engine,
    ):
        if not engine.lease.wait(tell_watched):
            raise fail(f"{engine.lease.holder().sentence}: nothing was done", Exit.PROBLEM)
        cycle = engine.cycle()
        asked.forget(cycle.observation)
    if as_json:
        print_json({**plan_data(cycle.plan), "results": [_result(one) for one in cycle.results]})
    else:
        for result in cycle.results:
            line = view.action_line(result.action).append(
                f"  {result.outcome}", style="green" if result.outcome == "done" else "red"
            )
            console().print(line.append(f" {result.detail}" if result.detail else ""), soft_wrap=True)
        say(f"{len(cycle.results)} actions in {cycle.seconds:.2f} s." if cycle.results else "nothing to do")
    leave(silent_sources(cycle.observation), quietly=as_json)
    if any(str(result.outcome) in {"failed", "late"} for result in cycle.results):
        raise typer.Exit(int(Exit.PROBLEM))


def _log() -> Any:
    import structlog

    return structlog.get_logger("ambienti")


def _log_upgrade(before: str, after: str) -> None:
    if before != after:
        _log().info("journal upgraded" if before else "journal made", before=before, form=after)


def _log_journal(told: str) -> None:
    _log().warning("journal", told=told)


def _log_waiting(holder: str) -> None:
    _log().info("journal: waits for the end of a lease", holder=holder)


def _log_problems(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        _log().error("refused", place=problem.place, key=problem.key, problem=problem.sentence)


def _log_unkept(problem: str) -> None:
    consequence = "while the files are wrong, commands cannot tell what is in force"
    _log().warning("state directory", problem=problem, consequence=consequence)


def _log_other(path: Path, other: Running) -> None:
    _log().warning(
        "the same site file is served by another daemon on this machine: this one does nothing while that one lives",
        site_file=str(path),
        pid=other.pid,
        since=shown_instant(micro(other.since)),
    )


def _log_discovery(name: str, problem: str) -> None:
    _log().error("discovery", source=name, problem=problem)


def _say_discovery(name: str, problem: str) -> None:
    say(f"discovery {name}: {problem}", error=True, style="red")


def _result(result: Any) -> dict[str, Any]:
    return {"worker": result.action.machine, "outcome": str(result.outcome), "detail": result.detail, "seconds": result.seconds}
