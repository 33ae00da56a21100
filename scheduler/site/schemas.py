"""JSON Schemas of the files that people write, for editors, and of the report's JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from environments.catalogue import Definition, VOFile
from environments.environment import Environment
from scheduler.availability.files.written import WrittenHistory
from scheduler.oncall.rows import StoryView
from scheduler.oncall.simulation import Simulation
from scheduler.oncall.written import OnCall
from scheduler.site.settings import Site

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def site_schema() -> Schema:
    """Return the JSON Schema of the site file."""
    return {"$schema": _DRAFT, **Site.model_json_schema(), "title": "Ambienti: the site file"}


def vo_schema() -> Schema:
    """Return the JSON Schema of a VO's file: environments by name, or a list of environments with names."""
    schema = VOFile.model_json_schema()
    definition = schema["$defs"][Definition.__name__]
    for key in ("name", "vo", "virtualization"):
        definition["properties"][key].pop("default", None)
    definition["description"] = Environment.__doc__
    by_name = schema["properties"]["environments"]
    listed = {"type": "array", "items": {"allOf": [{"$ref": f"#/$defs/{Definition.__name__}"}], "required": ["name"]}}
    schema["properties"]["environments"] = {
        "description": by_name.pop("description"),
        "anyOf": [{key: value for key, value in by_name.items() if key not in {"default", "title"}}, listed],
    }
    return {"$schema": _DRAFT, **schema, "title": "Ambienti: the environments of a VO"}


def oncall_schema() -> Schema:
    """Return the JSON Schema of the on-call file."""
    return {"$schema": _DRAFT, **OnCall.model_json_schema(), "title": "Ambienti: the on-call file"}


def oncall_simulation_schema() -> Schema:
    """Return the JSON Schema of the file of `oncall simulate`."""
    return {"$schema": _DRAFT, **Simulation.model_json_schema(), "title": "Ambienti: a story for `oncall simulate`"}


def oncall_story_schema() -> Schema:
    """Return the JSON Schema of what `oncall simulate --json` prints."""
    schema = StoryView.model_json_schema(mode="serialization")
    return {"$schema": _DRAFT, **schema, "title": "Ambienti: the answer of `oncall simulate --json`"}


def history_schema() -> Schema:
    """Return the JSON Schema of a history file."""
    return {"$schema": _DRAFT, **_history(), "title": "Ambienti: a history for the availability report"}


def services_schema() -> Schema:
    """Return the JSON Schema of the file of services and groups: a history without what happens."""
    from scheduler.site.services import DEFINES

    schema = _history()
    properties = {key: value for key, value in schema["properties"].items() if key in {*DEFINES, "zone"}}
    named = {"title": "Ambienti: services, groups and objectives", "properties": properties, "required": []}
    return {"$schema": _DRAFT, **schema, **named}


def report_schema() -> Schema:
    """Return the JSON Schema of what `ambienti report --json` prints."""
    from scheduler.availability.reports import report_data

    return {"$schema": _DRAFT, **report_data.schema(), "title": "Ambienti: an availability report"}


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "site": site_schema,
    "vo": vo_schema,
    "services": services_schema,
    "history": history_schema,
    "report": report_schema,
    "oncall": oncall_schema,
    "oncall-simulation": oncall_simulation_schema,
    "oncall-story": oncall_story_schema,
}
"""By the name of the file's kind, as `ambienti schema` takes it."""


def _history() -> Schema:
    """Return the JSON Schema of the format, other accepted spellings included."""
    made = WrittenHistory.model_json_schema()
    for name, inner in made["$defs"].items():
        if name != "WrittenRecurrence" and {"start", "end"} <= set(inner.get("properties", {})):
            for key, other in _SPELT.items():
                _either(inner, key, other, inner["properties"][key])
        if "objects" in inner.get("properties", {}):
            one = {"type": "string", "description": "One object or group."}
            _either(inner, "objects", "object", one)
            inner["properties"]["objects"] = _also(inner["properties"]["objects"], {"type": "string"})
    for owner, key, shapes in (
        (made, "objects", ({"type": "array", "items": _string_or("WrittenObject")}, _BY_NAME)),
        (made, "groups", (_BY_NAME,)),
        (made, "objectives", (_BY_NAME,)),
        (made, "gaps", ({"$ref": "#/$defs/WrittenSpan"},)),
        (made["$defs"]["WrittenGroup"], "members", ({"type": "array", "items": _string_or("WrittenMember")}, _BY_NAME)),
        (made["$defs"]["WrittenObject"], "exists", ({"$ref": "#/$defs/Existence"},)),
        (made["$defs"]["WrittenObjective"], "applies", ({"$ref": "#/$defs/WrittenSpan"},)),
    ):
        owner["properties"][key] = _also(owner["properties"][key], *shapes)
    return made


_SPELT = {"start": "from", "end": "to"}
_BY_NAME = {"type": "object", "additionalProperties": {"type": ["object", "null"]}}


def _string_or(name: str) -> dict[str, Any]:
    return {"anyOf": [{"type": "string"}, {"$ref": f"#/$defs/{name}"}]}


def _also(field: dict[str, Any], *shapes: dict[str, Any]) -> dict[str, Any]:
    """Let a field have another shape as well."""
    told: dict[str, Any] = {key: value for key, value in field.items() if key in {"description", "title", "default"}}
    own = {key: value for key, value in field.items() if key not in told}
    return {**told, "anyOf": [*(own.get("anyOf") or [own]), *shapes]}


def _either(model: dict[str, Any], key: str, other: str, field: dict[str, Any]) -> None:
    """Let a key be spelt in another way; where it is required, one of the two is."""
    model["properties"][other] = field
    if key in model.get("required", ()):
        model["required"] = [one for one in model["required"] if one != key]
        model.setdefault("allOf", []).append({"anyOf": [{"required": [key]}, {"required": [other]}]})
