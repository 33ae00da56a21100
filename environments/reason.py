"""Why something was decided: a code for programs, the numbers used, one sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Number = int | float | str


def counted(count: int, noun: str, verb: str = "") -> str:
    """Write a count with its noun, and the verb that goes with it: `1 job waits`, `3 jobs wait`."""
    one = count == 1
    return f"{count} {noun}{'' if one else 's'}" + (f" {verb}{'s' if one else ''}" if verb else "")


@dataclass(frozen=True, slots=True)
class Reason:
    """One answer to "why?".

    `code` is stable and kebab-case (`memory-short`), `sentence` is plain English with the numbers already in it,
    `numbers` repeats them by name with units (`{"asked_memory_mib": 9000}`), `remedy` says what would change the answer.
    """

    code: str
    sentence: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    remedy: str = ""

    def __str__(self) -> str:
        """Return the sentence."""
        return self.sentence
