"""The life of a worker, as a table. The diagram in the documentation is drawn from it.

Rule 1: whatever decides which state may follow which stands in this file, as data.
Rule 2: states are *derived* at each observation (`observe.py`); a step that the table does not hold is reported, not hidden.
"""

from __future__ import annotations

from scheduler.model.workers import WorkerState as S

MEANING: dict[S, str] = {
    S.REQUESTED: "its boot stands in the journal, no domain has been seen yet",
    S.BOOTING: "its domain runs, the batch system does not know it yet",
    S.IDLE: "registered with the batch system, nothing claimed",
    S.BUSY: "registered, at least one slot claimed or job running",
    S.DRAINING: "takes no new jobs, running ones finish",
    S.DRAINED: "was drained, holds no job, its domain still runs",
    S.SILENT: "was registered, its domain runs, the batch system no longer sees it",
    S.UNSEEN: "its host does not answer: nothing is known, nothing is done",
    S.FAILED: "did not register in time, or died before it did",
    S.GONE: "its domain is gone, its disks and ads are cleaned up",
}

TRANSITIONS: dict[S, dict[S, str]] = {
    S.REQUESTED: {
        S.BOOTING: "the domain is seen",
        S.IDLE: "registered before the next look",
        S.BUSY: "registered and claimed before the next look",
        S.DRAINING: "registered, claimed and drained by hand before the next look",
        S.DRAINED: "registered and drained by hand before the next look",
        S.FAILED: "no domain, and the boot call failed",
        S.UNSEEN: "the host does not answer",
    },
    S.BOOTING: {
        S.IDLE: "registered",
        S.BUSY: "registered and claimed before the next look",
        S.DRAINING: "no longer wanted",
        S.DRAINED: "adopted, and drained already",
        S.FAILED: "boot deadline passed, or the domain died",
        S.UNSEEN: "the host does not answer",
    },
    S.IDLE: {
        S.BUSY: "claimed",
        S.DRAINING: "idle too long, too old, drifted, reclaimed or its host is drained",
        S.DRAINED: "drained by hand before the next look",
        S.SILENT: "the batch system no longer sees it",
        S.GONE: "the domain ended",
        S.UNSEEN: "the host does not answer",
    },
    S.BUSY: {
        S.IDLE: "its jobs ended",
        S.DRAINING: "too old, reclaimed, a black hole or its host is drained",
        S.DRAINED: "drained by hand, and its last job ended, before the next look",
        S.SILENT: "the batch system no longer sees it",
        S.GONE: "the domain ended",
        S.UNSEEN: "the host does not answer",
    },
    S.DRAINING: {
        S.IDLE: "drain cancelled: demand returned",
        S.BUSY: "drain cancelled while jobs ran",
        S.DRAINED: "its last job ended",
        S.SILENT: "the batch system no longer sees it, and jobs were in it",
        S.GONE: "the domain ended, or its batch system did not let its slots go",
        S.UNSEEN: "the host does not answer",
    },
    S.DRAINED: {
        S.IDLE: "drain cancelled: demand returned",
        S.BUSY: "drain cancelled, and claimed before the next look",
        S.DRAINING: "drain cancelled, claimed and drained again before the next look",
        S.SILENT: "drain cancelled, and the batch system no longer sees it at the next look",
        S.GONE: "powered off",
        S.UNSEEN: "the host does not answer",
    },
    S.SILENT: {
        S.IDLE: "seen again",
        S.BUSY: "seen again, with jobs",
        S.DRAINING: "seen again, draining",
        S.DRAINED: "seen again, drained",
        S.GONE: "silent too long and powered off, or the domain ended",
        S.UNSEEN: "the host does not answer",
    },
    S.UNSEEN: {
        S.REQUESTED: "the host answers, the domain is not there yet",
        S.BOOTING: "the host answers",
        S.IDLE: "the host answers",
        S.BUSY: "the host answers",
        S.DRAINING: "the host answers",
        S.DRAINED: "the host answers",
        S.SILENT: "the host answers",
        S.FAILED: "the host answers, the boot had failed",
        S.GONE: "the host answers, the domain is gone",
    },
    S.FAILED: {
        S.IDLE: "registered after all",
        S.BUSY: "registered after all, and claimed",
        S.DRAINING: "registered after all, claimed and drained by hand",
        S.DRAINED: "registered after all, and drained by hand",
        S.GONE: "cleaned up",
        S.UNSEEN: "the host does not answer",
    },
    S.GONE: {},
}

ALIVE = frozenset(S) - {S.GONE, S.FAILED}
"""Workers whose memory is, or may be, in use on their host."""
IN_FLIGHT = frozenset({S.REQUESTED, S.BOOTING})
SERVING = frozenset({S.IDLE, S.BUSY})
"""Workers that can take jobs now."""


def allowed(before: S, after: S) -> bool:
    """Whether the table holds this step (staying is always allowed)."""
    return before is after or after in TRANSITIONS[before]
