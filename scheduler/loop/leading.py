"""Leading: one daemon acts, the others watch its lease, each on its own clock.

Rules:
1. Clocks of two machines are never compared. Whoever leads makes a counter grow; whoever waits takes over once he has seen it
   stand still for the time of a lease, by his own monotonic clock, counted from a look that was answered.
2. A gap in his own looks begins that time anew: when all stood still, a frozen database for one, the holder is given its turn.
3. Whoever leads acts a little shorter than the time of a lease, counted from before its renewal was sent.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.journal.journal import Journal
    from scheduler.journal.records import Lease
    from scheduler.model.clock import Clock

ACTS_SHARE = 0.95
"""Of its lease a daemon acts for: so far may two clocks go apart in the time of one."""
LONGEST_GAP_SHARE = 0.5
"""Of the time of a lease between two looks at it."""
LOOK_SECONDS = 1.0
"""Between two looks of whoever waits for nothing else."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who leads, as one that waits has seen it."""

    owner: str = ""
    unmoved_seconds: float = 0.0
    """For so long, by his own clock, he has seen no renewal."""

    @property
    def sentence(self) -> str:
        """Who leads, and how long ago he was last seen to renew his lease."""
        named = f"another daemon, {self.owner}," if self.owner else "another daemon"
        unmoved = f", not renewed for {self.unmoved_seconds:.0f} s" if self.unmoved_seconds >= 1 else ""
        return f"{named} holds the lease of the journal{unmoved}"


NOBODY = Holder()


class Leadership:
    """The right to act, or the watch over whoever has it; from any thread."""

    def __init__(self, journal: Journal, clock: Clock, owner: str, seconds: float) -> None:
        self.owner = owner
        self.seconds = seconds
        """A standby takes over when the counter stood still for so long."""
        self.leading = False
        self.acts_until = float("-inf")
        """Monotonic time past which no further step of an act is made."""
        self._journal = journal
        self._clock = clock
        self._watching = threading.Lock()
        self._seen: Lease | None = None
        self._seen_since = self._looked_at = float("-inf")

    def hold(self) -> bool:
        """Take or renew the right to act; False while another daemon has it."""
        led = self.leading
        unmoved = None if led else self._unmoved()
        begun = self._clock.monotonic()
        self.leading = self._journal.hold_lease(self.owner, self._clock.now(), self.seconds, unmoved=unmoved)
        self.acts_until = begun + (ACTS_SHARE * self.seconds if self.leading else 0.0)
        if led and not self.leading:
            self._look()
        return self.leading

    def renew(self) -> bool:
        """Prolong the right while a round takes long."""
        begun = self._clock.monotonic()
        renewed = self.leading and self._journal.renew_lease(self.owner, self._clock.now(), self.seconds)
        if renewed:
            self.acts_until = begun + ACTS_SHARE * self.seconds
        return renewed

    def can_be_taken(self) -> bool:
        """Look at the lease of another daemon: True once it may be taken."""
        if self.leading:
            return False
        unmoved = self._unmoved()
        return unmoved is not None or not self.holder().owner

    def wait(self, tell: Callable[[str], None]) -> bool:
        """Wait until the right can be had; False as soon as its holder shows that it lives. `tell` is told who is watched."""
        if self.hold():
            return True
        watched = self._look()
        if self._journal.holder_lives():
            return False
        tell(watched.owner)
        while self._look() == watched:
            if self.hold():
                return True
            self._clock.sleep(min(LOOK_SECONDS, self.seconds / 10))
        return False

    def holder(self) -> Holder:
        """Return who leads, as far as it was watched."""
        with self._watching:
            owner = self._seen.owner if self._seen and not self.leading else ""
            return Holder(owner, self._looked_at - self._seen_since if owner else 0.0)

    def release(self) -> None:
        """Let the next daemon act at once."""
        self._journal.release_lease(self.owner, self._clock.now())

    def _look(self) -> Lease:
        with self._watching:
            found, now = self._journal.lease(), self._clock.monotonic()
            if found != self._seen or now - self._looked_at > LONGEST_GAP_SHARE * self.seconds:
                self._seen, self._seen_since = found, now
            self._looked_at = now
            return found

    def _unmoved(self) -> Lease | None:
        """Return the lease of another daemon if it has stood still for its whole time."""
        found = self._look()
        with self._watching:
            return found if found == self._seen and self._looked_at - self._seen_since >= self.seconds else None
