"""The JSON Schema of the history file, other accepted spellings included."""

from __future__ import annotations

from typing import Any

from scheduler.availability.files.written import WrittenHistory


def schema() -> dict[str, Any]:
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
