"""Observation and plan for people at a terminal: the tables of `status`, the list of `plan`, the answers to `why`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from scheduler.decide.submit import sentence
from scheduler.model.actions import Action, Adopt, Boot, CancelDrain, Drain, Plan, PowerOff, host_of
from scheduler.show import rows
from scheduler.show.job_numbers import UNMAPPED
from scheduler.show.sources_view import host_table, source_table, unheard
from scheduler.show.terminal import Table, cores, duration, jobs, memory, number, plain_table

if TYPE_CHECKING:
    from rich.table import Column

    from environments.reason import Number
    from scheduler.decide.explanation import Explanation
    from scheduler.model.observation import Observation
    from scheduler.model.policy import Policy
    from scheduler.model.queues import RequestCluster
    from scheduler.show.rows import EnvironmentRow, VORow, WorkerRow


LEAST_FOR_REASONS = 36
"""Columns that reasons need to be read beside the rest."""
_GAP = 2
WORKERS_SHOWN = 40
NOT_SEEN = frozenset({"silent", "unseen"})
"""States of workers that say themselves that nothing is heard."""
_TABLES_ALWAYS = 4
_STYLES: dict[type, str] = {Boot: "green", Drain: "yellow", CancelDrain: "cyan", PowerOff: "red", Adopt: "magenta"}
"""What does not matter to who reads a plan is dim."""


# --- status -----------------------------------------------------------------------------------------------------------


def vo_table(vos: Iterable[VORow]) -> Table:
    """Draw what each VO asks and has."""
    numbers = ("waiting", "running", "held", "longest wait", "workers", "cores", "weight", "guarantee", "ceiling")
    table = plain_table("VOs", "VO", *numbers, "why", right=numbers)
    for row in vos:
        weight = "-" if row.weight is None else f"{row.weight:g}"
        last = jobs(row.last) if row.last else ""
        table.add_row(
            row.vo,
            *(number(row.idle, row.known.idle), number(row.running, row.known.running), number(row.held, row.known.held)),
            "?" if row.idle is None else duration(row.oldest_wait_seconds),
            *(number(row.workers, row.known_workers), number(row.cpus, row.known_cpus), weight, str(row.guarantee_cpus)),
            *("-" if row.ceiling_cpus is None else str(row.ceiling_cpus), "; ".join(filter(None, (last, row.says)))),
        )
    return table


def environment_table(environments: Iterable[EnvironmentRow]) -> Table:
    """Draw the workers of each environment by state."""
    numbers = ("wanted", "booting", "idle", "busy", "draining", "other", "limits")
    table = plain_table("Environments", "environment", "VO", "version", *numbers, "why", right=numbers)
    for row in environments:
        most = "" if row.maximum_workers is None else str(row.maximum_workers)
        says = row.says if row.defined else "no file defines it any more: its workers are retired"
        if row.as_last_seen:
            says = "; ".join(filter(None, (f"{row.as_last_seen} of them as last seen: their batch system is silent", says)))
        count = {name: number(getattr(row, name), known) for name, known in row.known_workers.items()}
        other = Text(count["other"], style="red" if row.other else "")
        table.add_row(
            *(row.environment, row.vo, row.version, number(row.wanted, row.known_wanted), count["in_flight"]),
            *(count["idle"], count["busy"]),
            *(count["draining"], other, f"{row.minimum_workers}..{most}", Text(says)),
        )
    return table


def worker_table(workers: Iterable[WorkerRow]) -> Table:
    """Draw the workers one by one."""
    columns = ("worker", "VO", "host", "state", "for", "age", "jobs", "free", "why")
    table = plain_table("Workers", *columns, right=("for", "age"))
    for row in workers:
        jobs = " ".join(row.jobs[:3]) + (f" and {len(row.jobs) - 3} more" if len(row.jobs) > 3 else "")
        free = f"{cores(row.free_cpus)} {memory(row.free_memory_mib)}" if row.free_cpus and row.free_memory_mib else "-"
        free = "?" if row.free_cpus is None else free
        state = row.state if row.known or row.state in NOT_SEEN else f"{row.state}, as last seen"
        table.add_row(
            *(row.worker, row.vo, row.host, state, duration(row.state_seconds), duration(row.age_seconds)),
            *(Text(jobs), free, Text(row.says)),
        )
    return table


def status(
    observation: Observation, policy: Policy, plan: Plan | None = None, *, everything: bool = False, width: int = 160
) -> RenderableType:
    """Draw the farm as it stands, in so many columns of a terminal."""
    workers = rows.worker_rows(observation, plan)
    tables = [
        source_table(rows.source_rows(observation)),
        vo_table(rows.vo_rows(observation, policy, plan)),
        environment_table(rows.environment_rows(observation, policy, plan)),
        host_table(rows.host_rows(observation, policy, plan), everything=everything),
    ]
    if workers and (everything or len(workers) <= WORKERS_SHOWN):
        tables.append(worker_table(workers))
    parts = [fitted(table, width) for table in tables]
    if workers and len(tables) == _TABLES_ALWAYS:
        parts.append(Text(f"{len(workers)} workers (--all lists them)"))
    if observation.strangers:
        named = [f"{domain} on {host}" for host, domain in observation.strangers[:3]]
        more = ["..."] if len(observation.strangers) > len(named) else []
        parts.append(Text(f"Not ours, and left alone: {', '.join([*named, *more])}", style="dim"))
    return Group(*(piece for part in parts for piece in (part, Text())))


# --- plan -------------------------------------------------------------------------------------------------------------


def action_line(action: Action) -> Text:
    """Write one action and its reason in a line."""
    line = Text(f"{action.kind.verb:12}", style=_STYLES.get(type(action), "dim")).append(f" {action.machine}", style="bold")
    host = host_of(action)
    return line.append(f" on {host}" if host else "").append(f"  {action.reason.sentence}", style="dim")


def plan_lines(plan: Plan, observation: Observation | None = None) -> RenderableType:
    """Draw what a plan orders, with the reasons, which sources it knows nothing of, and where boots fail."""
    lines = [action_line(action) for action in plan.actions]
    count = len(lines)
    unknown = [] if observation is None else unheard(observation)
    nothing = "nothing to do as far as is known" if unknown else "nothing to do"
    last = Text(nothing if not count else f"{count} action{'s' * (count != 1)}", style="bold")
    return Group(*(Text(line, style="yellow") for line in unknown), *lines, last, *_failures(plan))


def _failures(plan: Plan) -> list[Text]:
    """Say of each environment and host whose boots fail why, and what to do."""
    lines = []
    for what, verdicts in (("environment", plan.environments), ("host", plan.hosts)):
        for name, verdict in verdicts.items():
            reason = next((one for one in verdict.reasons if "failures" in one.numbers), None)
            if reason is not None:
                line = Text(f"{what} {name}", style="bold red").append(f"  {reason.sentence}", style="")
                lines.append(line.append(f"  ({reason.remedy})" if reason.remedy else "", style="dim"))
    return lines


# --- why ---------------------------------------------------------------------------------------------------------------


def explanation(told: Explanation, *, details: bool = True, clock: Callable[[float], str] = str) -> RenderableType:
    """Draw one answer: plain words first, then the code with its sentence; with `details` all that it was decided by.

    `clock` writes instants as times.
    """
    lines = [Text(told.plain or told.headline, style="bold")]
    lines += [Text(told.submit, style="green")] if told.submit else []
    lines += [Text(one) for one in (told.submission, *told.notes) if one]
    said = told.plain in {"", sentence(told.headline)}
    if details or not said:
        lines.append(Text(f"{told.code}{'' if said else f': {told.headline}'}", style="dim"))
    if not details:
        return Group(*lines)
    if told.matched:
        lines += _block("matched", list(told.matched), "green")
    lines += _block("did not match", [f"{name}: {reason.sentence}" for name, reason in told.refused.items()], "yellow")
    lines += _block("missing", [_number(*one, clock) for one in told.missing.items()], "")
    lines += _block("waits for", list(told.waits_for), "cyan")
    lines += _block("because", list(told.details), "")
    lines += _block("would change it", list(told.would_change), "green")
    return Group(*lines)


def _number(name: str, number: Number, clock: Callable[[float], str]) -> str:
    is_instant = isinstance(number, float) and (name == "until" or name.endswith("_at"))
    return f"{name.replace('_', ' ')}: {clock(float(number)) if is_instant else number}"


def _block(title: str, entries: list[str], style: str, most: int = 6) -> list[Text]:
    shown = (
        entries if len(entries) <= most else [*entries[: most - 1], f"and {len(entries) - most + 1} more (--json lists all)"]
    )
    return [Text(f"  {title if not index else '':16}").append(entry, style=style) for index, entry in enumerate(shown)]


def waiting(clusters: Iterable[RequestCluster], plan: Plan, *, width: int = 160) -> RenderableType:
    """Draw all request clusters that have idle jobs, with what they wait for, the decisive reason first."""
    table = plain_table("Waiting", "example", "VO", "jobs", "asks for", "why", right=("jobs",))
    for cluster in clusters:
        asked, verdict = cluster.requirements, plan.clusters.get(cluster.key)
        wants = f"{cores(asked.cpus)} {memory(asked.memory_mib)}" + (f" {asked.wanted}" if asked.wanted else "")
        says = cluster.problem or "; ".join(reason.sentence for reason in (verdict.reasons if verdict else ()))
        table.add_row(cluster.example_job, cluster.vo or UNMAPPED, str(cluster.idle), wants, Text(says))
    return fitted(table, width)


# --- narrow terminals: names stay whole, and reasons stand below a table instead of in its last column -------------------


def fitted(table: Table, width: int) -> RenderableType:
    """Fit a table whose first column names and whose last one says why into so many columns of a terminal."""
    widths = [_width(column) for column in table.columns]
    beside = width - sum(one + _GAP for one in widths[:-1])
    if beside >= min(LEAST_FOR_REASONS, widths[-1]):
        return table
    names, reasons = table.columns[0], table.columns.pop()
    table.padding = (0, 1, 0, 0)
    names.min_width = widths[0]
    told = [
        Text(f"  {_plain(name)}: ").append(_plain(reason), style="dim")
        for name, reason in zip(names.cells, reasons.cells, strict=True)
        if _plain(reason)
    ]
    return Group(table, *told)


def _width(column: Column) -> int:
    return max(cell_len(_plain(one)) for one in (column.header, *column.cells))


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
