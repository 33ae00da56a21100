"""Jobs that have left a schedd since the last look: short ones begin and end unseen between two readings. Used by companions.

The history is read only when the schedd's counters say that jobs have ended, at most every `history_seconds`, only back to the
job that was its latest at the last look, and never more than `MOST` jobs of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from connectors.htcondor.bindings import classad2, htcondor2
from connectors.htcondor.matching import Judge
from connectors.htcondor.messages import Ended

MOST = 1000
FIRST_SECONDS = 600
"""So far back goes the first look."""
RETRY_SECONDS = 300.0
"""A schedd that does not tell its history is asked again after this."""
_ATTRIBUTES = (
    "ClusterId", "ProcId", "User", "LastRemoteHost", "JobCurrentStartDate", "CompletionDate", "EnteredCurrentStatus",
)  # fmt: skip


@dataclass(slots=True)
class Ends:
    """What is remembered of one schedd's history between two looks."""

    judge: Judge
    exits: object = None
    """The counters of ended jobs at the last look."""
    settling: bool = False
    """They had moved: the history may be written a moment later, so the next look reads it too."""
    latest: tuple[int, int] | None = None
    """The job that was the latest in the history."""
    next_look: float = 0.0
    """Monotonic time from which on it may be read again."""
    silent_until: float = 0.0
    trouble: str = ""
    """Why the history could not be read."""

    def since(self, schedd: htcondor2.Schedd, exits: object) -> tuple[tuple[Ended, ...], str]:
        """Return the jobs that have ended since the last look, and what is wrong; `exits`: counters, None where unknown."""
        moved = exits is None or exits != self.exits
        if time.monotonic() < self.silent_until:
            return (), self.trouble
        if not (moved or self.settling or self.trouble) or time.monotonic() < self.next_look:
            return (), ""
        self.next_look = time.monotonic() + self.judge.setting.history_seconds
        try:
            past = schedd.history("LastRemoteHost =!= undefined", self._projection(), MOST, self._until())
        except htcondor2.HTCondorException as error:
            self.silent_until = time.monotonic() + RETRY_SECONDS
            self.trouble = f"the history cannot be read, jobs shorter than a poll are not recorded: {error}"
            return (), self.trouble
        self.exits, self.settling, self.trouble = exits, moved, ""
        if past:
            self.latest = (past[0]["ClusterId"], past[0]["ProcId"])
        missed = f"{MOST} jobs ended since the last look: earlier ones are not recorded" if len(past) >= MOST else ""
        return tuple(ended for ad in past if (ended := self._ended(ad)) is not None), missed

    def _until(self) -> classad2.ExprTree:
        if self.latest is None:
            return classad2.ExprTree(f"EnteredCurrentStatus < {int(time.time()) - FIRST_SECONDS}")
        return classad2.ExprTree(f"ClusterId == {self.latest[0]} && ProcId == {self.latest[1]}")

    def _projection(self) -> list[str]:
        return list(dict.fromkeys((*_ATTRIBUTES, *self.judge.setting.vo_attributes)))

    def _ended(self, ad: classad2.ClassAd) -> Ended | None:
        host, over = ad.get("LastRemoteHost"), ad.get("CompletionDate") or ad.get("EnteredCurrentStatus")
        begun, user = ad.get("JobCurrentStartDate"), ad.get("User")
        if not isinstance(host, str) or not isinstance(over, int):
            return None
        return Ended(
            job=f"{ad['ClusterId']}.{ad['ProcId']}",
            machine=host.partition("@")[2] or host,
            vo=self.judge.vo(ad),
            user=user if isinstance(user, str) else "",
            begun_at=float(begun) if isinstance(begun, int) else None,
            ended_at=float(over),
        )
