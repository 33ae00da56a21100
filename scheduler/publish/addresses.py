"""Where people are reached: addresses are secrets, looked up when a notice is sent and kept nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from environments.problems import ConfigurationError
from environments.reader import read_content
from scheduler.oncall.reading import OnCallFile, watching_of
from scheduler.oncall.standing import Structure
from scheduler.publish.paging import PagingRules
from scheduler.site import compose

if TYPE_CHECKING:
    from scheduler.model.instants import Instant
    from scheduler.model.ports import Notifier
    from scheduler.oncall.written import Address

NOTIFIERS = "ambienti.notifiers"
DEADLINE_SECONDS = 10.0


def paging_rules(found: OnCallFile, site: str, until: Instant, structure: Structure | None = None) -> PagingRules:
    """Return the rules of a site's on-call file, with holidays up to an instant; `structure`: of its services."""
    settings = found.settings
    return PagingRules(
        site=site,
        zone=settings.zone,
        rules=found.rules_until(until),
        addresses=places(found),
        watching=watching_of(settings),
        structure=structure or Structure(),
    )


def places(found: OnCallFile) -> dict[str, tuple[str, ...]]:
    """Return, for each person, where each address is found: `file:...` or `environment:...`."""
    return {name: tuple(map(place_of, person.addresses)) for name, person in found.settings.people.items()}


def place_of(address: Address) -> str:
    """Name the place of an address, as the journal keeps it."""
    return f"file:{address.file}" if address.file else f"environment:{address.environment}"


def opener(found: OnCallFile) -> Callable[[str, str], Notifier]:
    """Return what opens the address of a person; it raises ValueError, without the address, when that cannot be had."""
    known = places(found)

    def open_one(person: str, place: str) -> Notifier:
        try:
            connect = compose.load_entry(NOTIFIERS, "apprise")
        except ImportError as error:
            raise ValueError(f"nothing can be sent: {error}; install ambienti[notify]") from error
        if place not in known.get(person, ()):
            raise ValueError(f"{person} has no address {place} any more")
        notifier: Notifier = connect(f"{person} ({place})", address_at(found, place), deadline_seconds=DEADLINE_SECONDS)
        return notifier

    return open_one


def address_at(found: OnCallFile, place: str) -> str:
    """Look an address up; raise ValueError when it is not there."""
    kind, _, name = place.partition(":")
    if kind == "environment":
        address = os.environ.get(name, "").strip()
        if not address:
            raise ValueError(f"the environment variable {name} is not set")
        return address
    path = found.path.parent / name
    try:
        lines = read_content(path).decode().split("\n", 1)
    except ConfigurationError as error:
        problem = error.problems[0]
        hint = f"; did you mean {problem.nearest}?" if problem.nearest else ""
        raise ValueError(f"the file {path}: {problem.message}{hint}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is no text") from None
    if not lines[0].strip():
        raise ValueError(f"the first line of {path} is empty")
    return lines[0].strip()
