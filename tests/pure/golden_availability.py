"""The golden cases of availability: read from their files, each with its history, what is asked of it and what must come out."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from environments.reader import read
from scheduler.availability.history import Window
from scheduler.model.instants import read_instant

DIRECTORY = Path(__file__).parents[1] / "golden/availability"
DURATIONS = {
    **{name: name for name in ("total", "up", "ok", "bad", "unknown", "missing", "pending", "excused")},
    "scheduled": "scheduled_downtime",
    "unscheduled": "unscheduled_downtime",
}
FIGURES = {"figure": "figure", "A": "availability", "R": "reliability"}
OTHERS = {"window", "verdicts", "undecided", "shown", "lost"}


@dataclass(frozen=True)
class Ask:
    window: str | dict
    profile: str
    object: str
    expect: dict


@dataclass(frozen=True)
class Case:
    file: str
    title: str
    rule: str
    history: object
    asks: tuple
    refused: str
    derivation: str

    def __str__(self):
        return f"{self.file}: {self.title}"


def cases():
    for path in sorted(DIRECTORY.glob("*.yaml")):
        top = read(path)
        if "kind" not in top.items:
            for node in top.items["cases"].elements:
                yield _case(path.stem, top, node)


def others(kind):
    """Return the cases of another kind: title, plain data, and the history with what each adds."""
    top = read(DIRECTORY / f"{kind}.yaml")
    for node in top.items["cases"].elements:
        yield node.plain()["title"], node.plain(), [over(top, node), *(over(top, one) for one in steps(node))]


def steps(node):
    return node.items["published"].elements if "published" in node.items else ()


def over(top, node):
    """Return a file's history with what a case says otherwise, key by key."""
    more = node.items["history"].items if "history" in node.items else {}
    return replace(top.items["history"], value={**top.items["history"].items, **more})


def _case(file, top, node):
    plain = node.plain()
    asks = node.items["asks"].elements if "asks" in node.items else [node.items.get("ask")]
    common = {key: top.items[key] for key in ("window", "profile", "object") if key in top.items}
    return Case(
        *(file, plain["title"], plain["rule"], over(top, node)),
        tuple(_ask(one, common, node) for one in asks) if "refused" not in plain else (),
        plain.get("refused", ""),
        plain["derivation"],
    )


def _ask(one, common, node):
    given = {**common, **(one.items if one is not None else {})}
    expect = given.pop("expect", None) or node.items["expect"]
    unknown = set(expect.items) - set(DURATIONS) - set(FIGURES) - OTHERS
    assert not unknown, f"{node.mark.file}:{node.mark.line}: {unknown}"
    window = given["window"]
    asked = {key: inner.raw for key, inner in window.items.items()} if window.items else window.raw
    profile, name = given.get("profile"), given.get("object")
    return Ask(asked, profile.raw if profile else "excuse", name.raw if name else "s", _exact(expect))


def _exact(node):
    return {
        key: _exact(inner) if inner.items else None if inner.value is None else inner.raw for key, inner in node.items.items()
    }


def window_of(ask, history, named):
    """Return the window that is asked for; `named` finds those with a name."""
    if isinstance(ask.window, str):
        return named(ask.window, history.now, history.zone)
    return Window("", *(read_instant(ask.window[key], history.zone) for key in ("start", "end")))


def differences(measure, expect):
    """Return what a measure has wrong: name, expected, found."""
    wrong = []
    for name, attribute in DURATIONS.items():
        if name in expect and int(Decimal(expect[name]) * 1_000_000) != getattr(measure, attribute):
            wrong.append((name, expect[name], str(Decimal(getattr(measure, attribute)) / 1_000_000)))
    for name, attribute in FIGURES.items():
        wanted = Fraction(expect[name]) if expect.get(name) is not None else None
        if name in expect and getattr(measure, attribute) != wanted:
            wrong.append((name, expect[name], str(getattr(measure, attribute))))
    lost = {cause: int(Decimal(length) * 1_000_000) for cause, length in expect.get("lost", {}).items()}
    if "lost" in expect and lost != measure.lost:
        wrong.append(("lost", lost, measure.lost))
    for edge, written in expect.get("window", {}).items():
        if getattr(measure.window, edge) != read_instant(written, "UTC"):
            wrong.append((f"window {edge}", written, getattr(measure.window, edge)))
    return wrong
