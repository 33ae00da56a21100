"""Reading back what ARGO's web API answers, and what is exported in its shape."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class ArgoResult:
    """One result: parts of one, not per cent; None: undefined."""

    name: str
    date: str
    availability: Fraction | None
    reliability: Fraction | None
    unknown: Fraction | None = None
    uptime: Fraction | None = None
    downtime: Fraction | None = None


def lines(exported):
    for top in exported.get("results", ()):
        yield from (_line(top["name"], one) for one in top["results"])
        for group in top.get("groups", ()):
            yield from (_line(group["name"], one) for one in group["results"])
    for endpoint in exported.get("endpoints", ()):
        yield from (_line(endpoint["name"], one) for one in endpoint["results"])


def _line(name, one):
    def value(key, scale=1):
        written = Fraction(one[key]) if key in one else Fraction(-1)
        return None if written < 0 else written / scale

    date = one.get("date", one.get("timestamp", ""))
    parts = (value("unknown"), value("uptime"), value("downtime"))
    return ArgoResult(name, date, value("availability", 100), value("reliability", 100), *parts)
