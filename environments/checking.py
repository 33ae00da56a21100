"""From data to checked objects: every refusal of pydantic becomes a Problem at its line, in words, with the nearest key."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from environments.environment import ATTRIBUTE_PATTERN, NAME_PATTERN, ONE_LINE_PATTERN, POOL_PATTERN, VO_PATTERN
from environments.names import nearest
from environments.problems import KeyPath, Problem, Step, dotted, problem_at

if TYPE_CHECKING:
    from environments.nodes import YamlNode

Model = TypeVar("Model", bound=BaseModel)

_KINDS = {
    "int": "a whole number",
    "int_parsing_size": "a smaller number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "dict": "a mapping (`key: value` lines)",
    "mapping": "a mapping (`key: value` lines)",
    "model": "a mapping (`key: value` lines)",
    "model_attributes": "a mapping (`key: value` lines)",
    "list": "a list (`- item` lines)",
    "tuple": "a list (`- item` lines)",
    "set": "a list (`- item` lines)",
    "frozen_set": "a list (`- item` lines)",
    "none": "nothing (null)",
    "path": "a path",
    "url": "a URL",
    "date": "a date (2024-11-05)",
    "datetime": "a date and time (2024-11-05T14:00:00Z)",
    "time": "a time of day (14:00)",
}
_BOUNDS = {
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}
_PATTERNS = {
    VO_PATTERN: "the name of a VO: letters, digits, dots, hyphens and underscores, at most 64, a letter or digit at either end",
    POOL_PATTERN: "the name of a storage pool as libvirt tells it (`virsh pool-list`), without a slash",
    NAME_PATTERN: "a name: lower-case letters, digits and hyphens, at most 40, no hyphen at either end",
    r"^[0-9a-f]{64}$": "a SHA-256 checksum: 64 digits 0-9 a-f",
    ATTRIBUTE_PATTERN: "the name of an attribute: letters, digits and underscores, no digit at its beginning",
    ONE_LINE_PATTERN: "text in one line",
}


NAMED = "named"


def named_error(message: str, expected: str = "", nearest: str = "") -> PydanticCustomError:
    """Make the error a validator raises when it knows what was expected, and what was perhaps meant."""
    context = {"message": message, "expected": expected, "nearest": nearest}
    return PydanticCustomError(NAMED, "{message}", context)


def checked(
    model: type[Model],
    node: YamlNode,
    problems: list[Problem],
    path: KeyPath = (),
    *,
    data: object = None,
    context: object = None,
    onward: bool = False,
) -> Model | None:
    """Check `node` against `model`; what is wrong is added to `problems` under the key path `path`, and the answer is None.

    `data` is checked instead of the node's plain data where that was prepared; `context` is for the model's validators.
    With `onward` keys that are not known are all that is wrong: the model as it is meant, so that more can be checked. It is
    for who looks at `problems` afterwards.
    """
    given = node.plain() if data is None else data
    try:
        return model.model_validate(given, context=context)
    except ValidationError as error:
        problems += explained(error, node, model, path)
        if not onward:
            return None
        meant = _as_meant(given, error, model)
    with suppress(ValidationError):
        return model.model_validate(meant, context=context)
    return None


def _as_meant(given: object, error: ValidationError, model: type[BaseModel]) -> object:
    """Return data in which keys that are not known have the name that was meant, or are left out where none is near."""
    meant = deepcopy(given)
    for detail in error.errors(include_url=False, include_input=False):
        if detail["type"] != "extra_forbidden":
            continue
        *above, key = detail["loc"]
        place: Any = meant
        for step in above:  # what cannot be followed names a member of a union
            with suppress(KeyError, IndexError, TypeError):
                place = place[step]
        if isinstance(place, dict) and key in place:
            owner = _model_at(model, above)
            near = nearest(str(key), owner.model_fields) if owner else ""
            value = place.pop(key)
            if near:
                place.setdefault(near, value)
    return meant


def explained(error: ValidationError, node: YamlNode, model: type[BaseModel] | None, path: KeyPath = ()) -> list[Problem]:
    """Turn all errors of one validation of `node` into problems; `model` tells which keys would have been right."""
    found: dict[tuple[KeyPath, bool], Problem] = {}
    misspelt: set[KeyPath] = set()
    missing: list[tuple[KeyPath, Problem]] = []
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_within(other["loc"], detail["loc"]) for other in details):
            continue  # elements that are wrong are not counted
        place, followed, left = node.walk(detail["loc"])
        if detail["type"] == "missing":
            key = left[-1:] or followed[-1:]
            missing.append(((*followed, *key), _missing(place, followed, key, model, path)))
            continue
        if detail["type"] == "extra_forbidden":
            problem, meant = _unknown_key(place, followed, model, path)
            misspelt.add(meant)
        else:
            problem = _refused(place, followed, detail, model, path)
        on_key = left[-1:] == ("[key]",)
        if on_key:
            mark = place.key_place
            problem = problem_at(mark, problem.key, f"{followed[-1]!r} is not accepted as a key", problem.expected)
        earlier = found.get((followed, on_key))
        found[followed, on_key] = problem if earlier is None else _either(earlier, problem)
    needless = {meant for meant in misspelt if meant}
    return [*found.values(), *(problem for key, problem in missing if key not in needless)]


def _within(inner: KeyPath, outer: KeyPath) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _missing(place: YamlNode, followed: KeyPath, key: KeyPath, model: type[BaseModel] | None, path: KeyPath) -> Problem:
    described = _description(model, (*followed, *key)) if model else ""
    return problem_at(place.key_place, dotted((*path, *followed, *key)), "is missing", described)


def _unknown_key(place: YamlNode, followed: KeyPath, model: type[BaseModel] | None, path: KeyPath) -> tuple[Problem, KeyPath]:
    """Say which key was meant: one of the same level, else the same name deeper down."""
    key, above = str(followed[-1]), followed[:-1]
    owner = _model_at(model, above) if model else None
    known = list(owner.model_fields) if owner else []
    near = nearest(key, known)
    meant = (*above, near) if near else ()
    if not near and owner is not None:
        near = next((dotted(inner) for inner in _deeper(owner) if inner[-1] == key), "")
    expected = "" if near or not known else f"one of: {', '.join(known)}"
    return problem_at(place.key_place, dotted((*path, *followed)), "is not a known key", expected, near), meant


def _refused(
    place: YamlNode, followed: KeyPath, detail: Mapping[str, Any], model: type[BaseModel] | None, path: KeyPath
) -> Problem:
    kind, context = str(detail["type"]), detail.get("ctx", {})
    shown = place.raw if len(place.raw) <= 60 else f"{place.raw[:57]}..."
    got = _got(place, shown)
    key = dotted((*path, *followed))
    if kind in {"enum", "literal_error"}:
        known = _choices(model, followed) or [str(context.get("expected", ""))]
        return problem_at(place.mark, key, got, f"one of: {', '.join(known)}", nearest(place.raw, known))
    if kind == NAMED:
        return problem_at(place.mark, key, str(detail["msg"]), str(context["expected"]), str(context["nearest"]))
    if kind == "value_error":
        return problem_at(place.mark, key, str(context.get("error", detail["msg"])))
    return problem_at(place.mark, key, got, _expected(kind, context, str(detail["msg"]), place, shown))


def _expected(kind: str, context: Mapping[str, Any], said: str, place: YamlNode, shown: str) -> str:
    if kind == "string_type" and isinstance(place.value, (bool, int, float)):
        return f'text in quotes: "{shown}"'
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return _PATTERNS.get(pattern, f"text like {pattern}")
    if kind == "too_long" and isinstance(place.value, str):
        kind = "string_too_long"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format_map(context)
    stem = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    return _KINDS.get(stem, said[:1].lower() + said[1:])


def _got(place: YamlNode, shown: str) -> str:
    if isinstance(place.value, Mapping):
        return "is a mapping"
    if isinstance(place.value, tuple):
        return f"is a list of {len(place.value)}"
    return "has no value" if place.value is None else f"{shown!r} is not accepted"


def _either(first: Problem, second: Problem) -> Problem:
    """Join the refusals of the members of a union into one."""
    if not second.expected or second.expected in first.expected:
        return first
    joined = f"{first.expected} or {second.expected}" if first.expected else second.expected
    return Problem(
        first.file, first.line, first.column, first.key, first.message, joined, first.nearest, first.source, first.width
    )


# --- what the model knows ---------------------------------------------------------------------------------------------


def _below(annotation: Any, step: Step) -> Any:
    """Return the annotation of one member of an annotated value, or None."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _below(arguments[0], step)
    if origin in (Union, types.UnionType):
        return next((found for found in (_below(member, step) for member in arguments) if found is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(step))
        return field.annotation if field else None
    if origin in (dict, Mapping) and len(arguments) == 2:
        return arguments[1]
    if origin in (list, tuple, set, frozenset) and arguments:
        return arguments[0]
    return None


def _annotation_at(model: type[BaseModel] | None, path: Iterable[Step]) -> Any:
    annotation: Any = model
    for step in path:
        annotation = _below(annotation, step)
        if annotation is None:
            return None
    return annotation


def _bare(annotation: Any) -> Iterator[Any]:
    """Return the plain types an annotation stands for."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _bare(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _bare(member)
    else:
        yield annotation


def _model_at(model: type[BaseModel], path: Iterable[Step]) -> type[BaseModel] | None:
    for bare in _bare(_annotation_at(model, path)):
        if isinstance(bare, type) and issubclass(bare, BaseModel):
            return bare
    return None


def _choices(model: type[BaseModel] | None, path: KeyPath) -> list[str]:
    choices: list[str] = []
    for bare in _bare(_annotation_at(model, path)):
        if get_origin(bare) is Literal:
            choices += [str(value) for value in get_args(bare)]
        elif isinstance(bare, type) and issubclass(bare, Enum):
            choices += [str(member.value) for member in bare]
    return choices


def _description(model: type[BaseModel], path: KeyPath) -> str:
    owner = _model_at(model, path[:-1])
    field = owner.model_fields.get(str(path[-1])) if owner and path else None
    return (field.description or "").rstrip(".") if field else ""


def _deeper(model: type[BaseModel], above: KeyPath = ()) -> Iterator[KeyPath]:
    """All keys of the mappings within a model, one or more levels down."""
    for name, field in model.model_fields.items():
        for bare in _bare(field.annotation):
            if isinstance(bare, type) and issubclass(bare, BaseModel) and len(above) < 4:
                yield from ((*above, name, inner) for inner in bare.model_fields)
                yield from _deeper(bare, (*above, name))
