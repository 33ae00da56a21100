"""Every free text that comes in through a checked model is printable: all models are walked, also those of tomorrow."""

import importlib
import pkgutil
import types
import typing
from enum import Enum

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import connectors
import environments
import scheduler
import simulations
from environments.text import unprintable

HOSTILE = ["a\0b", "a\x1bb", "a\x9bb", "a\u202eb", "a\u2028b", "a\u200bb", "\ud800"]
OUTPUT = {"scheduler.oncall.rows", "scheduler.availability.reports.report_shape", "scheduler.commands.reference"}
"""Modules whose models are what we write ourselves."""


def modules():
    for package in (environments, scheduler, connectors, simulations):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations" not in found.name and not found.name.endswith("__main__"):
                yield found.name


def models():
    for name in modules():
        module = importlib.import_module(name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == name and name not in OUTPUT:
                yield value


def texts(annotation, metadata=()):
    """All places of an annotation that hold a text, each with what checks it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from texts(arguments[0], (*metadata, *arguments[1:]))
    elif origin in (typing.Union, types.UnionType):
        for one in arguments:
            yield from texts(one, metadata)
    elif origin is typing.Literal or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return
    elif arguments:
        for one in arguments:
            yield from texts(one)
    elif annotation is str:
        yield typing.Annotated[(str, *metadata)] if metadata else str


def fields():
    for model in dict.fromkeys(models()):
        for name, field in model.model_fields.items():
            for text in texts(field.annotation, field.metadata):
                yield pytest.param(text, id=f"{model.__module__}.{model.__name__}.{name}")


@pytest.mark.parametrize("text", list(fields()))
def test_a_free_text_of_a_checked_model_is_printable(text):
    adapter = TypeAdapter(text)
    for hostile in HOSTILE:
        try:
            taken = adapter.validate_python(hostile)
        except ValidationError:
            continue
        assert not unprintable(taken, lines=True), "refused, or made printable"


def test_the_walk_finds_the_models_that_files_are_checked_against():
    names = {model.__name__ for model in models()}
    assert {"Environment", "VOFile", "Site", "OnCall", "WrittenHistory", "Reported", "HTCondorOptions", "Slo"} <= names
