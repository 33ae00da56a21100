"""The farm as a file one can mail: observation, policy and plan as versioned JSON, and back."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from scheduler.model.actions import ACTIONS, Action, Plan, Verdict
from scheduler.model.observation import Observation
from scheduler.model.policy import Policy

FORMAT = "ambienti-snapshot"
VERSION = 2


@dataclass(frozen=True, slots=True)
class DaemonStanding:
    """How the daemon fares beside what it saw: files that it refuses, and what its last round failed of."""

    refused: tuple[str, ...] = ()
    """What is wrong in the files as they are now, a line each; the last good ones are in force."""
    problem: str = ""
    """What its rounds fail of; "" while they end well."""
    failing_since: float | None = None


FARES_WELL = DaemonStanding()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one decision was given, and what it decided, if it did."""

    observation: Observation
    policy: Policy
    plan: Plan | None = None
    standing: DaemonStanding = FARES_WELL


class SnapshotError(Exception):
    """A file that is no snapshot, or not of this version."""


_OBSERVATION = TypeAdapter(Observation)
_POLICY = TypeAdapter(Policy)
_ACTIONS: dict[str, TypeAdapter[Action]] = {one.__name__: TypeAdapter(one) for one in ACTIONS}
_STANDING = TypeAdapter(DaemonStanding)
_VERDICTS = TypeAdapter(Mapping[str, Verdict])
_PARTS = ("clusters", "workers", "vos", "environments", "hosts")


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data: every action with its kind."""
    actions = [
        {"action": type(action).__name__, **_ACTIONS[type(action).__name__].dump_python(action, mode="json")}
        for action in plan.actions
    ]
    verdicts = {part: _VERDICTS.dump_python(getattr(plan, part), mode="json") for part in _PARTS}
    return {"at": plan.at, "quiet_until": plan.quiet_until, "actions": actions, **verdicts}


def dump(observation: Observation, policy: Policy, plan: Plan | None = None, standing: DaemonStanding = FARES_WELL) -> bytes:
    """Write a snapshot."""
    data = {
        "format": FORMAT,
        "version": VERSION,
        "observation": _OBSERVATION.dump_python(observation, mode="json"),
        "policy": _POLICY.dump_python(policy, mode="json"),
        "plan": plan_data(plan) if plan else None,
        "standing": _STANDING.dump_python(standing, mode="json"),
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()


def load(content: bytes) -> Snapshot:
    """Read a snapshot; a SnapshotError says in one sentence what is wrong with it."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"this is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SnapshotError("this is no snapshot of Ambienti (`ambienti snapshot FILE` writes one)")
    if data.get("version") != VERSION:
        raise SnapshotError(f"this snapshot has version {data.get('version')}, this program reads version {VERSION}")
    try:
        observation = _OBSERVATION.validate_python(data["observation"])
        policy = _POLICY.validate_python(data["policy"])
        plan = _plan(data["plan"]) if data.get("plan") else None
        standing = _STANDING.validate_python(data.get("standing") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise SnapshotError(f"the snapshot is damaged at {place}: {first['msg']} ({error.error_count()} in all)") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(f"the snapshot is damaged: {error} is missing or of the wrong kind") from error
    try:
        zoneinfo.ZoneInfo(policy.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SnapshotError(f"the snapshot is damaged at policy.zone: {policy.zone!r} is no time zone here") from error
    return Snapshot(observation, policy, plan, standing)


def _plan(data: Mapping[str, Any]) -> Plan:
    actions: list[Action] = []
    for one in data["actions"]:
        order = dict(one)
        actions.append(_ACTIONS[order.pop("action")].validate_python(order))
    verdicts = {part: _VERDICTS.validate_python(data[part]) for part in _PARTS}
    return Plan(data["at"], tuple(actions), quiet_until=data["quiet_until"], **verdicts)
