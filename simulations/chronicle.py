"""The log of a simulation: a line for each thing that happened, in its order, equal to the last letter in every run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from environments.reason import Reason


@dataclass(frozen=True, slots=True)
class ChronicleLine:
    """One line: when, who, what, why, and what came of it."""

    seconds: float
    who: str
    text: str
    reason: Reason | None = None
    outcome: str = ""

    def written(self, *, sentences: bool) -> str:
        """Return `h:mm:ss who text [code]`, for people with the reason's sentence before its code."""
        whole, why = int(self.seconds), ""
        if self.reason is not None:
            why = f": {self.reason.sentence} [{self.reason.code}]" if sentences else f" [{self.reason.code}]"
        after = f": {self.outcome}" if self.outcome else ""
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}  {self.who:<9} {self.text}{why}{after}"


class Chronicle:
    """Gathers lines; what many jobs do at the same instant becomes one line."""

    def __init__(self) -> None:
        self.lines: list[ChronicleLine] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._shown: dict[tuple[str, str], str] = {}

    def tell(self, seconds: float, who: str, text: str, reason: Reason | None = None, outcome: str = "") -> None:
        """Add a line."""
        self.flush(seconds)
        self.lines.append(ChronicleLine(seconds, who, text, reason, outcome))

    def count(self, who: str, text: str, by: int = 1) -> None:
        """Count something that happens often; `flush` writes it with its number."""
        self._counts[who, text] += by

    def flush(self, seconds: float) -> None:
        """Write what was counted."""
        for (who, text), count in self._counts.items():
            self.lines.append(ChronicleLine(seconds, who, f"{count} {'job' if count == 1 else 'jobs'} {text}"))
        self._counts.clear()

    def tell_if_new(self, seconds: float, who: str, subject: str, text: str, reason: Reason | None = None) -> None:
        """Add a line about a subject, unless the last one about it said the same; of a reason its code counts."""
        said = reason.code if reason else text
        if self._shown.get((who, subject)) != said:
            self._shown[who, subject] = said
            self.tell(seconds, who, f"{subject}: {text}" if text else subject, reason)

    def take_since(self, mark: int) -> list[ChronicleLine]:
        """Take the lines after the first `mark` out: what came of a plan is told after the plan."""
        taken = self.lines[mark:]
        del self.lines[mark:]
        return taken

    def knows(self, who: str, subject: str) -> bool:
        """Whether anything was ever told about a subject."""
        return (who, subject) in self._shown

    def text(self, *, sentences: bool) -> str:
        """Return all lines: for people with the sentences of the reasons, else as `log.expect` holds them, with codes alone."""
        return "".join(f"{line.written(sentences=sentences)}\n" for line in self.lines)

    def first_sentences(self) -> dict[str, str]:
        """Return of each code of a reason the sentence that came first."""
        return {line.reason.code: line.reason.sentence for line in reversed(self.lines) if line.reason is not None}
