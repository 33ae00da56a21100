"""Every size and every time that a file may hold is read with its unit, whoever reads the file."""

import importlib
import pkgutil

import pytest
from pydantic import ValidationError

from environments.environment import Disk, Frozen

EXAMPLES = {"_seconds": "5 min", "_mib": "4 GiB", "_gib": "1 TiB"}


def amounts():
    for package in ("environments", "scheduler", "connectors", "simulations"):
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if ".migrations" not in found.name:
                importlib.import_module(found.name)
    models = [Frozen]
    for model in models:
        models += [one for one in model.__subclasses__() if one not in models]
    return {
        f"{model.__name__}.{name}": (model, name, example)
        for model in models
        if not model.__module__.startswith(("scheduler.show.", "scheduler.oncall.rows"))  # answers, which nobody writes
        for name in model.model_fields
        for ending, example in EXAMPLES.items()
        if name.endswith(ending)
    }


AMOUNTS = amounts()


def test_the_walk_finds_the_options_of_connectors_and_the_limits_of_the_site():
    assert {"LibvirtOptions.storage_seconds", "HTCondorOptions.lease_seconds", "Limits.poll_seconds", "Disk.size_gib"} <= {
        *AMOUNTS
    }


@pytest.mark.parametrize("field", sorted(AMOUNTS))
def test_a_size_or_a_time_is_read_with_its_unit(field):
    model, name, written = AMOUNTS[field]
    assert refusals(model, name, written) == []
    assert refusals(model, name, "5 furlongs") != []


def refusals(model, name, written):
    try:
        model.model_validate({name: written})
    except ValidationError as error:
        return [one["msg"] for one in error.errors() if one["loc"][:1] == (name,)]
    return []


@pytest.mark.parametrize(("written", "gib"), [(20, 20), ("20", 20), ("20 GiB", 20), ("2 TiB", 2048)])
def test_a_disk_has_a_unit_too(written, gib):
    assert Disk(size_gib=written).size_gib == gib


@pytest.mark.parametrize("written", [0, "0 GiB", "20 minutes", "-1", "9 TiB and a bit", "1e9 TiB"])
def test_what_is_no_size_of_a_disk_is_refused(written):
    with pytest.raises(ValidationError):
        Disk(size_gib=written)
