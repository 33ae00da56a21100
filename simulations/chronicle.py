"""The log of a simulation: a line for each thing that happened, in its order, equal to the last letter in every run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChronicleLine:
    """One line: when, who, what."""

    seconds: float
    who: str
    text: str

    def __str__(self) -> str:
        """Return `h:mm:ss who text`."""
        whole = int(self.seconds)
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}  {self.who:<9} {self.text}"


class Chronicle:
    """Gathers lines; what many jobs do at the same instant becomes one line."""

    def __init__(self) -> None:
        self.lines: list[ChronicleLine] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._shown: dict[tuple[str, str], str] = {}

    def tell(self, seconds: float, who: str, text: str) -> None:
        """Add a line."""
        self.flush(seconds)
        self.lines.append(ChronicleLine(seconds, who, text))

    def count(self, who: str, text: str, by: int = 1) -> None:
        """Count something that happens often; `flush` writes it with its number."""
        self._counts[who, text] += by

    def flush(self, seconds: float) -> None:
        """Write what was counted."""
        for (who, text), count in self._counts.items():
            self.lines.append(ChronicleLine(seconds, who, f"{count} {'job' if count == 1 else 'jobs'} {text}"))
        self._counts.clear()

    def tell_if_new(self, seconds: float, who: str, subject: str, text: str) -> None:
        """Add a line about a subject, unless the last one about it said the same."""
        if self._shown.get((who, subject)) != text:
            self._shown[who, subject] = text
            self.tell(seconds, who, f"{subject}: {text}" if text else subject)

    def take_since(self, mark: int) -> list[ChronicleLine]:
        """Take the lines after the first `mark` out: what came of a plan is told after the plan."""
        taken = self.lines[mark:]
        del self.lines[mark:]
        return taken

    def knows(self, who: str, subject: str) -> bool:
        """Whether anything was ever told about a subject."""
        return (who, subject) in self._shown

    def text(self) -> str:
        """Return all lines."""
        return "".join(f"{line}\n" for line in self.lines)
