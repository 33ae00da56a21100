"""What is known of the hosts that a discovery names, and how an answer changes it. Pure, but for the file it is kept in.

Rules:
1. No answer, an empty one, and one that lacks too many hosts at once remove nobody: the last known hosts stay in force.
2. A host leaves only when two good answers, `leave_seconds` apart, lack it. It is then emptied as if drained.
3. It is forgotten when an observation made since shows nothing of ours on it. Named again before that, it is back at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from environments.whole import written_whole
from scheduler.model.hosts import DiscoveryReading
from scheduler.model.ports import FoundHost

if TYPE_CHECKING:
    from scheduler.site.settings import DiscoverySettings

NAMED = 3
"""How many hosts a sentence names."""


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host that a discovery names, or has named."""

    found: FoundHost
    missing_since: float | None = None
    """Since when good answers lack it."""
    leaving_since: float | None = None
    """Since when it is emptied."""


@dataclass(frozen=True, slots=True)
class FarmList:
    """What is known of one discovery."""

    hosts: Mapping[str, KnownHost] = field(default_factory=dict)
    answered_at: float | None = None
    problem: str = ""
    doubt: str = ""


def follow(known: FarmList, answer: Sequence[FoundHost], now: float, settings: DiscoverySettings) -> FarmList:
    """Take up a good answer."""
    # Names of hosts have no case: one that is written otherwise than before is the same host, under the name it had.
    as_before = {name.lower(): name for name in known.hosts}
    named: dict[str, FoundHost] = {}
    for found in answer:
        name = as_before.setdefault(found.name.lower(), found.name)
        named[name] = found if found.name == name else replace(found, name=name)
    if not named:
        return unanswered(known, "the answer names no host at all")
    if "{port}" in settings.hosts.uri and (portless := [name for name, found in named.items() if found.port is None]):
        return unanswered(known, f"the URI holds {{port}}, but no port is told for {_some(portless)}")
    lost = [name for name, host in known.hosts.items() if name not in named and host.leaving_since is None]
    present = sum(host.leaving_since is None for host in known.hosts.values())
    doubt = ""
    if len(lost) > max(1, present * settings.leave_percent // 100):
        share = f"{len(lost)} of {present} hosts at once, more than leave_percent ({settings.leave_percent} %)"
        doubt = f"the answer lacks {share}: {_some(lost)}; they stay"
    hosts = {}
    for name, host in known.hosts.items():
        if name in named:
            hosts[name] = KnownHost(named[name])
        elif host.leaving_since is not None:
            hosts[name] = host
        elif doubt:
            hosts[name] = replace(host, missing_since=None)
        else:
            hosts[name] = _missing(host, now, settings)
    hosts |= {name: KnownHost(found) for name, found in named.items() if name not in hosts}
    return FarmList(known.hosts if hosts == known.hosts else hosts, now, doubt=doubt)


def _missing(host: KnownHost, now: float, settings: DiscoverySettings) -> KnownHost:
    since = now if host.missing_since is None else min(host.missing_since, now)  # the clock may have been set back
    confirmed = host.missing_since is not None and now - since >= settings.leave_seconds
    return replace(host, missing_since=since, leaving_since=now if confirmed else None)


def unanswered(known: FarmList, problem: str) -> FarmList:
    """Take note that there was no good answer: what was known stays in force."""
    return replace(known, problem=problem)


def forget(known: FarmList, in_use: Collection[str], observed_at: float) -> FarmList:
    """Forget the hosts that were being emptied when `observed_at` was seen and had nothing of ours on them."""
    gone = {
        name
        for name, host in known.hosts.items()
        if host.leaving_since is not None and host.leaving_since < observed_at and name not in in_use
    }
    return replace(known, hosts={name: host for name, host in known.hosts.items() if name not in gone}) if gone else known


def reading(name: str, asks: str, known: FarmList, elsewhere: Collection[str] = ()) -> DiscoveryReading:
    """Sum up, for whoever looks; `elsewhere` are hosts that something else of this name hides."""
    leaving = tuple(sorted(name for name, host in known.hosts.items() if host.leaving_since is not None))
    hidden = f"{_some(sorted(elsewhere))}: this name is taken elsewhere in the site file" if elsewhere else ""
    doubt = "; ".join(filter(None, (known.doubt, hidden)))
    return DiscoveryReading(name, asks, known.answered_at, len(known.hosts), leaving, known.problem, doubt)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


# --- kept across restarts ---------------------------------------------------------------------------------------------

_LIST = TypeAdapter(FarmList)


def list_path(directory: Path, name: str) -> Path:
    """Return where the list of a discovery is kept."""
    return directory / "discovered" / f"{name}.json"


def remembered(path: Path) -> FarmList:
    """Return what is kept; what cannot be read is told, and is no list."""
    try:
        known = _LIST.validate_json(path.read_bytes())
    except FileNotFoundError:
        return FarmList()
    except OSError as error:
        return FarmList(problem=f"{path}: what was known last cannot be read: {error.strerror}")
    except ValidationError:
        return FarmList(problem=f"{path}: what was known last is damaged")
    return known


def keep(path: Path, known: FarmList) -> None:
    """Keep a list: the old one or the new one is there whatever happens. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(json.dumps(_LIST.dump_python(known, mode="json")).encode())
