"""Reference documentation, made of the code: `make reference` writes the pages into `docs/reference/`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from environments.codes import CODES, About
from environments.environment import DiskMode, NetworkKind, Virtualization
from scheduler.availability.files.written import WrittenHistory
from scheduler.commands.cli import EPILOG, build
from scheduler.daemon.metrics import METRICS
from scheduler.journal.kinds import KINDS
from scheduler.model import host_states
from scheduler.model.lifecycle import MEANING, TRANSITIONS
from scheduler.model.workers import WorkerState
from scheduler.oncall import states as incident_states
from scheduler.show.sources_view import SOURCE_STATES
from scheduler.site.schemas import (
    Schema,
    oncall_schema,
    oncall_simulation_schema,
    oncall_story_schema,
    report_schema,
    site_schema,
    vo_schema,
)
from scheduler.site.settings import BATCH_SYSTEMS, DISCOVERIES, HYPERVISORS

State = TypeVar("State", bound="StrEnum")
_HISTORY = """\
Everything an availability report is computed from, in YAML or JSON: `ambienti report --history FILE` needs no daemon and no
database. For your editor: `ambienti schema history`, `ambienti schema report`. How to use it:
[Report from a history](../howto/report-from-a-history.md)."""
_SPELLINGS = """\
Accepted as well: one mapping where a list of one is meant; a name where a mapping with a name is meant; `objects`, `groups`
and `objectives` as a mapping by name; `from` and `to` for `start` and `end`; `object` for `objects`. Unknown keys, unknown
names and local times that a change of the clocks makes unclear are refused, all at once and with their lines."""
SAMPLE_HISTORY = """\
now: 2026-03-10T12:00:00Z          # nothing after it counts
zone: Europe/Rome                  # weeks and months are cut here; times without an offset are its local time
objects:
  - {name: ce01, freshness: 10m, exists: {from: 2026-01-01}}
  - {name: ce02, freshness: 10m}
  - {name: xen01, kind: host}
events:                            # in any order
  - {at: 2026-03-02T08:00:00Z, object: ce01, status: OK}
  - {at: 2026-03-02 10:31:07.25, object: ce01, status: CRITICAL, cause: boot, text: connection refused}
  - {at: 1772445600.5, object: ce02, status: 0, sequence: 4711, monotonic: 86400.5, boot: 6f1c}
groups:
  - {name: ces, operator: or, members: [ce01, {name: ce02, from: 2026-02-01, to: 2026-12-31}]}
downtimes:
  - {id: disks, objects: [ce01], start: 2026-03-03 08:00, end: 2026-03-03 12:00, declared: 2026-03-01 09:00, by: anna}
  - id: network
    objects: [ces]
    revisions:
      - {declared: 2026-03-01 09:00, start: 2026-03-04 08:00, end: 2026-03-04 10:00}
      - {declared: 2026-03-04 09:30, start: 2026-03-04 08:00, end: 2026-03-04 11:00}   # extended late: one hour unscheduled
  - {objects: ["*"], declared: 2026-01-01, recurring: {rule: FREQ=WEEKLY;BYDAY=TU, start: 2026-01-06 07:00, length: 30m}}
exclusions:
  - {object: ce01, start: 2026-03-05, end: 2026-03-06, cause: building, author: mario, reason: power cut, accepted_by: board}
gaps:
  - {from: 2026-03-07 01:00, to: 2026-03-07 01:20}
objectives:
  - {name: weekly, object: ces, target: 99.9%, window: past-week, applies: [{from: 2026-03-01, to: 2026-06-30}]}
"""
_ENUMS = {one.__name__: one for one in (Virtualization, DiskMode, NetworkKind)}


# --- configuration ----------------------------------------------------------------------------------------------------


def configuration() -> str:
    """Return the page on the site file, the files of the VOs and the options of the connectors."""
    parts = [
        "# Configuration",
        "Made from the program. Unknown keys are refused; amounts may carry a unit (`20 min`, `4 GiB`). For your editor:",
        "`ambienti schema site`, `ambienti schema vo`.",
        *_sections(site_schema(), "The site file"),
        *_sections(vo_schema(), "The file of a VO"),
    ]
    for group, title in ((BATCH_SYSTEMS, "Batch system"), (HYPERVISORS, "Hypervisor"), (DISCOVERIES, "Discovery")):
        for kind, model in _options(group):
            parts += _sections(model.model_json_schema(), f"{title}: options of `{kind}`")
    return "\n\n".join(parts) + "\n"


def _options(group: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Return the options model of each connector that can be loaded here."""
    for entry in sorted(metadata.entry_points(group=group), key=lambda e: e.name):
        try:
            connector = entry.load()
        except (ImportError, AttributeError):
            continue
        for model in vars(sys.modules[connector.__module__]).values():
            if isinstance(model, type) and issubclass(model, BaseModel) and model.__name__.endswith("Options"):
                yield entry.name, model


def _sections(schema: Schema, title: str) -> list[str]:
    """Return one section for a model and one for each model within it."""
    parts = [f"## {title}"]
    if schema.get("description") and "properties" in schema:
        parts.append(str(schema["description"]))
    parts.append(_fields(schema))
    for name, inner in schema.get("$defs", {}).items():
        if "properties" in inner:
            parts += [f"### {title}: {_words(name)}", str(inner.get("description", "")), _fields(inner)]
    return [part for part in parts if part]


def _fields(schema: Schema) -> str:
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, field in schema.get("properties", {}).items():
        required = key in schema.get("required", ())
        default = "required" if required else _default(field)
        meaning = str(field.get("description", "")).replace("\n", " ").replace("|", "\\|")
        lines.append(f"| `{key}` | {_kind(field)} | {default} | {meaning} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _default(field: Schema) -> str:
    value = field.get("default")
    if value in (None, "", [], {}) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`"


def _kind(field: Schema) -> str:
    """Say in words what a value may be."""
    if "examples" in field:
        return f"{field.get('x-is', 'amount')} like `{field['examples'][0]}`"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in field:
            return " or ".join(dict.fromkeys(_kind(one) for one in field[key] if one.get("type") != "null"))
    if "$ref" in field:
        return _words(field["$ref"].rpartition("/")[2])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    return _plain_kind(field)


def _plain_kind(field: Schema) -> str:
    kind = field.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if kind == "object":
        inner = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), None)
        return f"mapping of {_kind(inner)}" if isinstance(inner, dict) and inner else "mapping"
    return {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}.get(kind, str(kind))


def _words(name: str) -> str:
    """Turn the name of a model into words: `BatchSystemSettings` is a batch system."""
    stem = name.removesuffix("Settings").removesuffix("Shown").removeprefix("Written") if name != "Settings" else name
    if stem in _ENUMS:
        return ", ".join(f"`{one.value}`" for one in _ENUMS[stem])
    spaced = "".join(f" {c.lower()}" if c.isupper() and not stem[max(0, i - 1)].isupper() else c for i, c in enumerate(stem))
    return spaced.strip() if not stem.isupper() else stem


# --- command line -----------------------------------------------------------------------------------------------------


def command_line() -> str:
    """Return the page on the commands."""
    import typer

    root: Any = typer.main.get_command(build())
    parts = [
        "# Command line",
        EPILOG,
        "Colours are off when the output is no terminal, or with `NO_COLOR`.",
        *_commands(root, "ambienti"),
    ]
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        words = f"{path} {name}"
        yield f"## `{words}`" if path == "ambienti" else f"### `{words}`"
        yield (command.help or "").strip()
        if hasattr(command, "commands"):
            yield from _commands(command, words)
            continue
        rows = [
            f"| `{_spelt(one)}` | {(getattr(one, 'help', '') or '').replace('|', chr(92) + '|')} |" for one in command.params
        ]
        if rows:
            yield "\n".join(["| argument or option | meaning |", "|---|---|", *rows])
        if command.epilog:
            lines = [line.strip() for line in command.epilog.split("\n\n")[1:]]
            yield "\n".join(["```sh", *lines, "```"])


def _spelt(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return ", ".join(parameter.opts)


# --- availability -----------------------------------------------------------------------------------------------------


def availability() -> str:
    """Return the page on the history file and on what `ambienti report --json` prints."""
    parts = [
        "# History file and report",
        _HISTORY,
        f"```yaml\n{SAMPLE_HISTORY}```",
        _SPELLINGS,
        *_sections(WrittenHistory.model_json_schema(), "The history file"),
        *_sections(report_schema(), "What `report --json` prints"),
    ]
    return "\n\n".join(parts) + "\n"


# --- metrics, codes, lives --------------------------------------------------------------------------------------------


def metrics() -> str:
    """Return the page on the metrics."""
    lines = ["# Metrics", "", "At `/metrics` of the daemon's address, for Prometheus.", ""]
    lines += ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for one in METRICS:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.meaning} |")
    return "\n".join(lines) + "\n"


def codes() -> str:
    """Return the page on the codes of reasons, the states of sources, and the lines of the event log."""
    lines = ["# Reason codes", "", "Every reason has a code that does not change: in `why`, `plan` and `status` with `--json`,"]
    lines += ["in the log, in `ambienti events` and in the journal. [Read `why`](../howto/read-why.md) tells how to use them."]
    for about in About:
        lines += [
            "",
            f"## {about.value}",
            "",
            "| code | meaning | who can change it | what would change it |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{name}` | {code.meaning} | {code.who.value} | {code.to_do} |"
            for name, code in sorted(CODES.items())
            if code.about is about
        ]
    lines += ["", "## States of sources in `status`", "", "| state | meaning |", "|---|---|"]
    lines += [f"| {state} | {meaning} |" for state, meaning in SOURCE_STATES.items()]
    lines += ["", "## Lines of the event log", "", "| kind | what happened | causes |", "|---|---|---|"]
    for name, kind in KINDS.items():
        told = "<br>".join(f"`{cause}`: {meaning}" for cause, meaning in kind.causes.items()) or kind.free
        lines.append(f"| `{name}` | {kind.meaning} | {told} |")
    return "\n".join(lines) + "\n"


def lifecycle() -> str:
    """Return the page on the life of a worker: the diagram, what each state means, and every step."""
    drawn: list[WorkerState] = [state for state in TRANSITIONS if state is not WorkerState.UNSEEN]
    lines = ["# The life of a worker", "", *_diagram(drawn, TRANSITIONS), ""]
    lines += ["A living worker becomes *unseen* while its host does not answer; then it goes back to where it was.", ""]
    lines += _steps(MEANING, TRANSITIONS)
    return "\n".join(lines) + "\n"


def hosts() -> str:
    """Return the page on the life of a host: the diagram, what each state means, and every step."""
    lines = ["# The life of a host", "", *_diagram(list(host_states.TRANSITIONS), host_states.TRANSITIONS), ""]
    lines += ["Fencing and maintenance are described here, and not done yet.", ""]
    lines += _steps(host_states.MEANING, host_states.TRANSITIONS)
    return "\n".join(lines) + "\n"


def incidents() -> str:
    """Return the page on incidents: the diagram, what each state means, every step, and the files of the on-call rules."""
    steps = incident_states.TRANSITIONS
    life = "\n".join(["# Incidents", "", *_diagram(list(steps), steps), "", *_steps(incident_states.MEANING, steps)])
    parts = [
        life,
        "For your editor: `ambienti schema oncall`, `ambienti schema oncall-simulation`, `ambienti schema oncall-story`.",
        *_sections(oncall_schema(), "The on-call file"),
        *_sections(oncall_simulation_schema(), "The file of `oncall simulate`"),
        *_sections(oncall_story_schema(), "The answer of `oncall simulate --json`"),
    ]
    return "\n\n".join(parts) + "\n"


def _diagram(states: list[State], transitions: Mapping[State, Mapping[State, str]]) -> list[str]:
    """Draw the steps between some states, without their reasons: these stand in the table below."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f'    state "{state}" as {state.name}' for state in states]
    lines += [f"    {before.name} --> {after.name}" for before in states for after in transitions[before] if after in states]
    return [*lines, "```"]


def _steps(meanings: Mapping[State, str], transitions: Mapping[State, Mapping[State, str]]) -> list[str]:
    lines = ["| state | meaning | may become |", "|---|---|---|"]
    for state, meaning in meanings.items():
        steps = "<br>".join(f"**{after}**: {why}" for after, why in transitions[state].items()) or "nothing: it is over"
        lines.append(f"| **{state}** | {meaning} | {steps} |")
    return lines


# --- writing ----------------------------------------------------------------------------------------------------------

PAGES: dict[str, Callable[[], str]] = {
    "availability": availability,
    "codes": codes,
    "command-line": command_line,
    "configuration": configuration,
    "hosts": hosts,
    "incidents": incidents,
    "lifecycle": lifecycle,
    "metrics": metrics,
}


def main(directory: str) -> None:
    """Write every page into a directory."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (Path(directory) / f"{name}.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
