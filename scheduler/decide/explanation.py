"""The answers to `why` as values, and what the journal adds to them: how a worker ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from environments.reason import Number, Reason
from scheduler.model.machines import Placement


@dataclass(frozen=True, slots=True)
class Explanation:
    """One screen: what matched, what did not, what is missing, what it waits for, what would change it."""

    subject: str
    code: str
    """The decisive reason's code."""
    headline: str
    plain: str = ""
    """Why, in one sentence without codes."""
    submit: str = ""
    """What to change in the submit file, in one sentence; "" where that is no question."""
    notes: tuple[str, ...] = ()
    """What else should be known at once: where it ran before, that its environment does not boot."""
    submission: str = ""
    """How many jobs of its submission wait, run, are held and done."""
    matched: tuple[str, ...] = ()
    """Environments that fit, best first."""
    refused: Mapping[str, Reason] = field(default_factory=dict)
    """By environment: why it does not fit."""
    missing: Mapping[str, Number] = field(default_factory=dict)
    """The numbers of the decisive reason."""
    waits_for: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """Evidence: other reasons, the closest hosts, the VO's share, what the worker holds."""
    would_change: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PastRun:
    """A job that was seen in a worker."""

    job: str
    vo: str
    user: str
    first_seen: float
    last_seen: float
    ended: bool = True


@dataclass(frozen=True, slots=True)
class PastWorker:
    """A worker as the journal tells of it: what became of it, and by whom."""

    name: str
    environment: str
    version: str
    host: str
    requested_at: float
    registered_at: float | None
    ended_at: float | None
    """None: it is still open in the journal."""
    booted_for: str
    """The sentence with which its boot was ordered; "" if it was adopted."""
    how: str
    """How it ended: one sentence without its time."""
    by: str
    """Who ended it."""
    code: str
    """Of the reason for its end."""
    runs: tuple[PastRun, ...] = ()
    """The jobs that ran in it, the last ones first."""
    jobs: int = 0
    """How many they are."""
    places: tuple[Placement, ...] = ()
    """Where it was, the first place first."""

    @property
    def died(self) -> bool:
        """Whether it ended although nobody had ordered it."""
        return self.by in {ITSELF, ITS_HOST}


ITSELF = "itself"
ITS_HOST = "its host"


def unlike(remedies: Iterable[str]) -> tuple[str, ...]:
    """Return the remedies that are not empty, each once, in their order."""
    return tuple(dict.fromkeys(remedy for remedy in remedies if remedy))
