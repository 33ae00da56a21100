"""Questions about the configuration: `check`, `schema`, `hooks`, `env list`, `env show`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from environments.names import can_be_read
from environments.problems import ConfigurationError, Problem, excerpt
from scheduler.commands import loaded
from scheduler.commands.common import (
    Exit,
    JsonOption,
    SiteOption,
    console,
    examples,
    fail,
    find_site,
    meant,
    optional,
    plural,
    print_json,
    problem_data,
    say,
    show_problems,
    write,
)
from scheduler.show.terminal import Table

if TYPE_CHECKING:
    from environments.environment import Environment
    from environments.nodes import YamlNode
    from scheduler.site.definitions import Definitions
    from scheduler.site.live_check import Finding

FINDINGS_SHOWN = 20
FINDINGS_WITH_SOURCE = 6
environments = typer.Typer(no_args_is_help=True, help="The environments of the farm.")


class SchemaOf(StrEnum):
    """Which kind of file."""

    SITE = "site"
    VO = "vo"
    HISTORY = "history"
    REPORT = "report"
    SERVICES = "services"
    ONCALL = "oncall"
    ONCALL_SIMULATION = "oncall-simulation"
    ONCALL_STORY = "oncall-story"


def check(
    site: SiteOption = None,
    live: Annotated[bool, typer.Option("--live", help="Also ask the batch systems and the hosts.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the site file, the files of all VOs and those beside them: services, objectives, reports, on call.

    Every problem is shown at once; options of connectors, and what depends on a part that is not understood, are checked once
    the rest is right.
    With --live: does every batch system answer, and can at least one host boot each environment (image, network, pool, memory)?
    """
    from scheduler.site import compose, discovering, live_check

    try:
        found = _understood(find_site(site))
        findings = _beside(found)
        if live:
            with discovering.connected(found) as (found, farm, _):
                findings = (*findings, *live_check.check(found, farm))
        else:
            compose.connect(found).close()
    except ConfigurationError as error:
        if as_json:
            print_json({"ok": False, "problems": problem_data(error.problems)})
        else:
            show_problems(error.problems, error=False)
            say("More may follow: what depends on these is checked once they are right.", style="dim")
        raise typer.Exit(int(Exit.WRONG)) from error
    if as_json:
        print_json(
            {
                "ok": not any(one.fatal or one.unanswered for one in findings),
                "problems": [],
                "findings": [asdict(one) for one in findings],
            }
        )
    else:
        _show_findings(found, findings)
    if any(finding.unanswered for finding in findings):
        raise typer.Exit(int(Exit.UNANSWERED))
    if any(finding.fatal for finding in findings):
        raise typer.Exit(int(Exit.PROBLEM))


def _understood(where: Path) -> Definitions:
    """Read the files of the site and its VOs; what depends on wrong ones is checked too, as far as they are understood."""
    from scheduler.oncall import reading as oncall
    from scheduler.site import definitions
    from scheduler.site.site_file import read_site

    problems: list[Problem] = []
    found = definitions.read_onward(where, problems)
    if found is not None and not problems:
        return found
    further: list[Callable[[], Any]] = []
    if found is not None:
        further = [partial(_beside, found)]
    elif (file := read_site(where, [], onward=True)[0]) is not None and can_be_read(file.oncall):
        further = [partial(oncall.load, file.oncall)]
    try:
        _each(*further)
    except ConfigurationError as error:
        problems += error.problems
    raise ConfigurationError(problems)


def _beside(found: Definitions) -> tuple[Finding, ...]:
    """Check the files beside the site file; where there are none, nothing of what reads them is even loaded."""
    beside = [found.file.services, found.file.objectives, found.file.oncall]
    if not any(map(can_be_read, beside)) and not {"services", "oncall", "reports"} & found.file.node.items.keys():
        return ()
    from scheduler.commands import journaled
    from scheduler.oncall import reading as oncall
    from scheduler.publish import addresses, reports
    from scheduler.site import services

    on_call = [partial(oncall.load, found.file.oncall)] if can_be_read(found.file.oncall) else []
    known = _each(partial(services.load, found), partial(reports.check, found), *on_call)[0]
    promised = partial(services.load_promises, found, known.names, journaled.now())
    return tuple(_each(promised, partial(addresses.check_oncall, found, known.names))[1])


def _each(*steps: Callable[[], Any]) -> list[Any]:
    """Return what each step gives; a ConfigurationError holds what is wrong with any of them."""
    results: list[Any] = []
    problems: list[Problem] = []
    for step in steps:
        try:
            results.append(step())
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return results


def _show_findings(found: Definitions, findings: tuple[Finding, ...]) -> None:
    for finding in findings[:FINDINGS_SHOWN]:
        say(str(finding), style="red" if finding.fatal else "yellow")
        if finding.problem and len(findings) <= FINDINGS_WITH_SOURCE:
            say("\n".join(excerpt(finding.problem)), style="dim")
    if len(findings) > FINDINGS_SHOWN:
        say(f"... and {len(findings) - FINDINGS_SHOWN} more (--json lists all)")
    counted = ((found.site.vos, "VO"), (found.policy.catalogue.environments, "environment"), (found.policy.hosts, "host"))
    counts = ", ".join(plural(len(things), word) for things, word in counted)
    verdict = plural(len(findings), "finding") if findings else "all is well"
    say(f"{found.file.path}: {counts}: {verdict}.", style="" if findings else "green")


def schema(of: Annotated[SchemaOf, typer.Argument(help="Which kind of file.")] = SchemaOf.SITE) -> None:
    """Print the JSON Schema of a kind of file, for editors: the site file, a VO's file, the on-call file...

    In the first line of a YAML file: # yaml-language-server: $schema=ambienti-vo.schema.json
    """
    from scheduler.site import schemas

    print_json(schemas.SCHEMAS[of.value]())


def hooks(
    batch_system: Annotated[str, typer.Argument(help="Kind or name of the batch system, e.g. htcondor.")],
    site: SiteOption = None,
) -> None:
    """Print the configuration that a batch system needs: defaults and checks at submission, attributes of workers."""
    from scheduler.site import compose
    from scheduler.site.settings import known_kinds

    found = loaded.load(site)
    chosen = [one for one in found.site.batch_systems if batch_system in (one.name, one.kind)]
    if not chosen:
        known = [name for one in found.site.batch_systems for name in (one.name, one.kind)]
        there = ", ".join(f"{one.name} (kind {one.kind})" for one in found.site.batch_systems)
        hint = meant(batch_system, known, f"it has {there}")
        raise fail(f"the site has no batch system called {batch_system!r}; {hint}", Exit.WRONG)
    if len(chosen) > 1:
        names = ", ".join(one.name for one in chosen)
        raise fail(f"the site has several of kind {batch_system}: say which of {names}", Exit.WRONG)
    if chosen[0].kind not in known_kinds("ambienti.hooks"):
        raise fail(f"batch systems of kind {chosen[0].kind} need no configuration of ours", Exit.WRONG)
    compose.connect(found).close()  # so that wrong options are refused in the site file's words
    make = compose.load_entry("ambienti.hooks", chosen[0].kind)
    catalogue = found.policy.catalogue
    write(make(chosen[0].options, tuple(catalogue.environments.values()), tuple(catalogue.vos)))


@environments.command("list", epilog=examples("ambienti env list", "ambienti env list --vo atlas --json"))
def list_environments(
    site: SiteOption = None,
    vo: Annotated[str | None, optional("--vo", help="Only those this VO may use.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the environments: owner, size, virtualization, who may use them."""
    catalogue = loaded.load(site).policy.catalogue
    if vo is not None and vo not in catalogue.vos:
        hint = meant(vo, catalogue.vos, f"there are {', '.join(catalogue.vos)}")
        raise fail(f"the site has no VO called {vo!r}; {hint}", Exit.WRONG)
    chosen = [one for one in catalogue.environments.values() if vo is None or vo in one.vos]
    if as_json:
        print_json([one.model_dump(mode="json") for one in chosen])
        return
    sizes = ("cores", "memory", "jobs have", "provides")
    table = Table("environment", "VO", "shared with", "version", "virtualization", *sizes, "workers", "")
    for one in sorted(chosen, key=lambda e: (e.vo, e.name)):
        most = "no limit" if one.maximum_workers is None else str(one.maximum_workers)
        table.add_row(
            *(one.name, one.vo, ", ".join(one.shared_with), one.version, str(one.virtualization), str(one.vcpus)),
            *(f"{one.memory_mib} MiB", f"{one.slot_memory_mib} MiB", _provided(one), f"{one.minimum_workers}..{most}"),
            "default" if one.default else "",
        )
    console().print(table)


def _provided(environment: Environment) -> str:
    """Write what workers provide as `requirements` compare it: `HasCVMFS=true OpSysAndVer=AlmaLinux9`."""
    shown = ((key, str(one).lower() if isinstance(one, bool) else one) for key, one in sorted(environment.provides.items()))
    return " ".join(f"{key}={one}" for key, one in shown)


@environments.command("show", epilog=examples("ambienti env show atlas-el9"))
def show_environment(
    name: Annotated[str, typer.Argument(help="Name of the environment.")], site: SiteOption = None, as_json: JsonOption = False
) -> None:
    """Show one environment with all its values, inherited ones included, and the line each was written in."""
    found = loaded.load(site)
    environment = found.policy.catalogue.environments.get(name)
    if environment is None:
        hint = meant(name, found.policy.catalogue.environments, "see `ambienti env list`")
        raise fail(f"no environment is called {name!r}; {hint}", Exit.PROBLEM)
    if as_json:
        print_json(environment.model_dump(mode="json"))
        return
    vo = found.vos.get(environment.vo)
    node = vo.environments[name].node if vo else None
    table = Table("key", "value", "from", title=f"{name} (VO {environment.vo})")
    for path, value in _leaves(environment.model_dump(mode="json", exclude={"name", "vo"})):
        place = "in force" if node is None else _written_at(node, path)
        shown = "-" if value in (None, "", [], {}) else str(value).lower() if isinstance(value, bool) else str(value)
        table.add_row(".".join(path), Text(shown), place, style="dim" if place == "default" else "")
    console().print(table)


def _written_at(node: YamlNode, path: tuple[str, ...]) -> str:
    reached, _, left = node.walk(path)
    mark = reached.key_place
    return "default" if left else f"{mark.file}:{mark.line}"


def _leaves(data: dict[str, object], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    found: list[tuple[tuple[str, ...], object]] = []
    for key, value in data.items():
        if isinstance(value, dict) and value:
            found += _leaves(value, (*above, key))
        else:
            found.append(((*above, key), value))
    return found
