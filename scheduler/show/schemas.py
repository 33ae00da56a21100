"""JSON Schemas of the configuration files, for editors."""

from __future__ import annotations

from typing import Any

from environments.catalogue import Definition, VOFile
from environments.environment import Environment
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
