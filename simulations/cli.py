"""`ambienti simulate`: scenarios, seeds, replays of workload logs, and the future of a snapshot."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from environments.names import is_plain_file, nearest
from environments.reader import read_content
from scheduler.commands.common import Exit, JsonOption, console, fail, print_json
from simulations import scenario as scenarios
from simulations.runs import complaint, run_scenario
from simulations.seeds import SeedResult, run_seed
from simulations.summary import farm_data, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulations.farm import SimulatedFarm


class Column(StrEnum):
    """A column of a workload log."""

    GROUP = "group"
    USER = "user"
    QUEUE = "queue"
    PARTITION = "partition"


simulate = typer.Typer(no_args_is_help=True, help="The same engine against a farm that exists only in memory, and can break.")


@simulate.command()
def scenario(
    names: Annotated[list[str] | None, typer.Argument(help="Names of scenarios, or directories; all by default.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the log instead of comparing it.")] = False,
    codes: Annotated[
        bool, typer.Option("--codes", help="Print it as `log.expect` holds it: only the codes of reasons.")
    ] = False,
    names_only: Annotated[bool, typer.Option("--list", help="List the scenarios and what they show.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run scenarios and compare what happens with their `log.expect`.

    Examples: `ambienti simulate scenario`, `ambienti simulate scenario canary --show`, `ambienti simulate scenario ./my-farm`.
    """
    failed = 0
    told: list[dict[str, object]] = []
    for path in _chosen(names):
        directory = scenarios.load(path)
        sentence = " ".join(directory.sentence.split())
        if names_only:
            told.append({"scenario": directory.name, "shows": sentence})
            if not as_json:
                typer.echo(f"{directory.name}: {sentence}")
            continue
        with tempfile.TemporaryDirectory(prefix="ambienti-") as state:
            run = run_scenario(directory.scenario, Path(state))
        if show or codes:
            log = run.log if codes else run.told
            told.append({"scenario": directory.name, "shows": sentence, "log": log})
            if not as_json:
                typer.echo(log, nl=False)
            continue
        wrong = complaint(directory, run)
        failed += bool(wrong)
        told.append({"scenario": directory.name, "shows": sentence, "ok": not wrong, "differences": wrong})
        if not as_json:
            typer.echo(f"{'failed' if wrong else 'ok':<7} {directory.name}" + (f"\n{wrong}" if wrong else ""))
    if as_json:
        print_json(told)
    raise typer.Exit(int(Exit.PROBLEM if failed else Exit.OK))


def _chosen(names: list[str] | None) -> list[Path]:
    known = {path.name: path for path in scenarios.directories()}
    if not names:
        return list(known.values())
    for name in names:
        if name not in known and not is_plain_file(Path(name) / "scenario.yaml"):
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else "`ambienti simulate scenario --list` names those there are"
            raise fail(f"there is no scenario {name!r}, and no directory of that name with a scenario.yaml; {hint}", Exit.WRONG)
    return [known[name] if name in known else Path(name) for name in names]


@simulate.command()
def seeds(
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many seeds.")] = 100,
    start: Annotated[int, typer.Option("--start", "-s", min=0, help="The first seed.")] = 1,
    log: Annotated[bool, typer.Option("--log", help="Print the log of every seed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run random farms with random faults: nothing forbidden happens, and in the end all is served and at rest.

    Examples: `ambienti simulate seeds --count 500`, `ambienti simulate seeds --start 42 --count 1 --log`.
    """
    results = []
    with Progress(transient=True, disable=as_json) as progress:
        for seed in progress.track(range(start, start + count), description="seeds"):
            with tempfile.TemporaryDirectory(prefix="ambienti-") as state:
                result = run_seed(seed, Path(state))
            results.append(result)
            if log and not as_json:
                progress.console.print(result.log, markup=False, highlight=False, soft_wrap=True, end="")
            if result.violations and not as_json:
                progress.console.print(failure(result), markup=False, highlight=False, soft_wrap=True)
    bad = [result for result in results if result.violations]
    if as_json:
        print_json([{**asdict(result), "log": result.log if log else None, "ok": not result.violations} for result in results])
        raise typer.Exit(int(Exit.PROBLEM if bad else Exit.OK))
    hours = sum(result.simulated_seconds for result in results) / 3600
    typer.echo(
        f"{count} seeds, {hours:.0f} simulated hours, {sum(r.cycles for r in results)} cycles, "
        f"{sum(r.boots for r in results)} boots, {sum(r.jobs_done for r in results)} jobs done, "
        f"{sum(r.kills for r in results)} daemons killed: {len(bad)} failed"
    )
    raise typer.Exit(int(Exit.PROBLEM if bad else Exit.OK))


def failure(result: SeedResult) -> str:
    """Say what failed of a seed, and how to see it again."""
    shown = "\n  ".join(result.violations[:5])
    more = f"\n  ... and {len(result.violations) - 5} more" if len(result.violations) > 5 else ""
    return f"seed {result.seed} failed:\n  {shown}{more}\nreplay: ambienti simulate seeds --start {result.seed} --count 1 --log"


@simulate.command()
def replay(  # noqa: PLR0917 - each is an option of the command line
    log: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A workload log in SWF, packed or not.")],
    vo: Annotated[Column, typer.Option(help="The column that stands for the VO.")] = Column.GROUP,
    jobs: Annotated[int, typer.Option(min=1, help="How many jobs of the log that ran.")] = 1000,
    hosts: Annotated[int, typer.Option(min=1, help="How many hosts the farm has.")] = 20,
    cpus: Annotated[int, typer.Option(min=1, help="Cores of each host.")] = 32,
    as_json: JsonOption = False,
) -> None:
    """Replay a real workload on a simulated farm: who waited how long, how many workers were booted, how long they idled.

    Examples: `ambienti simulate replay LCG-2005-1.swf.gz --jobs 5000`, `ambienti simulate replay log.swf --vo queue --json`.
    """
    from simulations.replay import farm_for, last_arrival, play
    from simulations.workload import WorkloadError

    with tempfile.TemporaryDirectory(prefix="ambienti-") as state:
        try:
            farm, altered = farm_for(log, Path(state), column=vo.value, jobs=jobs, hosts=hosts, cpus=cpus)
        except WorkloadError as error:
            raise fail(str(error), Exit.WRONG) from error
        play(farm, last_arrival(farm))
        title = f"{log.name} on {hosts} hosts of {cpus} cores"
        _print_farm(farm, title, as_json=as_json, more=asdict(altered), said=altered.told(cpus))
        farm.close()


@simulate.command()
def snapshot(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `ambienti snapshot FILE` wrote.")],
    hours: Annotated[float, typer.Option(min=0, help="How far to look into the future.")] = 1.0,
    runs: Annotated[int, typer.Option(min=1, help="How many seconds a job runs whose walltime is not known.")] = 3600,
    log: Annotated[bool, typer.Option("--log", help="Print everything that happens.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate what becomes of a real farm from a snapshot on: its hosts, workers, jobs and policy.

    Examples: `ambienti simulate snapshot farm.json --hours 4`, `ambienti simulate snapshot farm.json --runs 600 --log`.
    """
    from scheduler.model.snapshot import SnapshotError, load
    from simulations.future import farm_from

    with tempfile.TemporaryDirectory(prefix="ambienti-") as state:
        try:
            farm = farm_from(load(read_content(file, given=True)), Path(state), runs)
        except SnapshotError as error:
            raise fail(f"{file}: {error}", Exit.WRONG) from error
        farm.run(hours * 3600)
        if log:
            typer.echo(farm.chronicle.text(sentences=True), nl=False)
        _print_farm(farm, f"{hours:g} h from {file.name} on", as_json=as_json)
        farm.close()


def _print_farm(
    farm: SimulatedFarm, title: str, *, as_json: bool, more: Mapping[str, object] | None = None, said: str = ""
) -> None:
    data = {**farm_data(farm), **(more or {})}
    if as_json:
        print_json(data)
        return
    console().print(table_of(farm.queue.book.served, title))
    typer.echo(
        f"{data['simulated_hours']:.1f} simulated hours, {data['cycles']} cycles, {data['workers_booted']} workers booted, "
        f"{data['workers_powered_off']} powered off, {data['idle_worker_hours']:.1f} idle worker-hours"
    )
    if said:
        typer.echo(said)


def demo(
    seconds: Annotated[int, typer.Option(min=5, help="How long it runs.")] = 60,
    seed: Annotated[int, typer.Option(help="Which jobs.")] = 1,
) -> None:
    """Watch one minute of the real daemon: simulated jobs, libvirt's test driver, boots, a burst, faults, retirement.

    Examples: `ambienti demo`, `ambienti demo --seconds 90 --seed 7`.
    """
    from simulations.demo import run

    raise typer.Exit(run(seconds, seed, console()))
