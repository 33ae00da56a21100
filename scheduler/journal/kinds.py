"""The lines of the event log: what happened when a line of a kind was written, and what its cause says. For the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.model.actions import ACTIONS


@dataclass(frozen=True, slots=True)
class LineKind:
    """One kind of line."""

    meaning: str
    causes: Mapping[str, str] = field(default_factory=dict)
    """By cause: what it says."""
    free: str = ""
    """Where the causes stand, when there are more than a line holds."""


_REASON = "the code of the reason"
_OUTCOME = "the code of the reason; `outcome` and `detail` tell how it ended"

KINDS: dict[str, LineKind] = {
    **{
        f"{one.kind.code}-begun": LineKind(f"{one.kind.meaning} was ordered; written before it was done.", free=_REASON)
        for one in ACTIONS
    },
    **{
        f"{one.kind.code}-ended": LineKind("It is over; `cut-off`: a crash of the daemon cut it off.", free=_OUTCOME)
        for one in ACTIONS
    },
    "state": LineKind("A worker entered another state.", free="the state ([the life of a worker](lifecycle.md))"),
    "illegal-step": LineKind("A worker took a step that its life does not have.", free="the state"),
    "illegal-host-step": LineKind(
        "A host took a step that its life does not have.", free="the state ([the life of a host](hosts.md))"
    ),
    "adopted": LineKind("A worker was taken in.", {"found": "its domain carries our identity, the journal did not know it"}),
    "moved": LineKind("A worker is on another host than the journal says.", {"seen-elsewhere": "its domain was seen there"}),
    "twins": LineKind("A worker's name runs more than once.", {"runs-twice": "on the hosts that the line names"}),
    "domain": LineKind("A host told of the end of a worker's domain.", free="what the host said: stopped, crashed, failed"),
    "job": LineKind("A job was put on hold after a run in a worker of ours.", {"held": "the correlation names the worker"}),
    "source": LineKind(
        "A batch system or host.", {"unanswered": "it fell silent; `reason` says why", "answers": "it answers again"}
    ),
    "host-drain": LineKind("A host is drained.", {"by-hand": "by `ambienti host drain`"}),
    "host-undrain": LineKind("A host is no longer drained.", {"by-hand": "by `ambienti host undrain`"}),
    "host-forget": LineKind(
        "A host that is off is given up.",
        {"asked": "by `ambienti host forget`", "done": "its workers are closed", "refused": "it answered after all"},
    ),
    "lease": LineKind("Which daemon acts.", {"taken": "it acts from now on", "released": "it has ended by itself"}),
    "clock": LineKind("The machine's clock.", {"stepped": "somebody set it; open times were moved along"}),
    "journal": LineKind(
        "The journal itself.",
        {
            "forgotten": "rows older than `journal_days` were removed",
            "restored": "it is older than what this machine had seen of it: names of workers go on behind those given since",
            "another": "this machine had seen another one before: what was declared there is not in it, names go on behind",
            "unseen-here": "this machine had not seen it before: names go on behind all that may have been given since",
        },
    ),
    "watch": LineKind(
        "The daemon watches.",
        {
            "start": "it began",
            "gap": "it had not looked for too long: what was between is unknown",
            "clock": "the clock jumped",
            "tells-holds": "a batch system tells of jobs on hold from now on",
            "tells-no-holds": "it no longer tells of them",
        },
        free="",
    ),
    "object": LineKind(
        "An object of the availability report.",
        {"declared": "it exists from now on", "changed": "its definition changed", "retired": "it exists no longer"},
    ),
    "status": LineKind(
        "An object has another status.",
        free="why seconds are lost while it lasts (`boot`, `placement`, ...), where it is known",
    ),
    "downtime": LineKind(
        "A downtime.", {"declared": "it was declared", "ended": "it was ended early"}, free="what was changed of it"
    ),
    "exclusion": LineKind("An exclusion.", {"accepted": "somebody else accepted it"}, free="the cause that was asked for"),
    "correction": LineKind(
        "A report on a time of which something had been told.",
        {"proposed": "it waits until somebody else accepts it"},
        free="how it was decided: accepted, refused",
    ),
    "contradiction": LineKind("A report that was refused.", {"same-id": "its id said something else before; the first stands"}),
    "token": LineKind("A token of a reporter.", {"added": "it is good from now on", "revoked": "it is no longer good"}),
    "incident": LineKind("A decision about an incident.", free="what was decided ([incidents](incidents.md))"),
    "notice": LineKind("A notice to a person.", {"no-address": "nobody could be reached"}, free="sent, failed, expired"),
    "report": LineKind(
        "A report that is made again and again.", {"scheduled": "it is new", "published": "it was made and put in the outbox"}
    ),
    "publication": LineKind(
        "A published figure.", {"published": "its first version", "changed": "a new version, with a note of what changed"}
    ),
}
