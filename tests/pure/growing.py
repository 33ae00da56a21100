"""Histories that grow result by result, for tests and benchmarks."""

from dataclasses import replace

from scheduler.availability.timelines.appending import extended
from scheduler.availability.timelines.columns import columns, joined
from scheduler.availability.timelines.prepared import prepare


def append(prepared, result, now=None, monotonic_now=None, boot=""):
    """Add a result, and move on to `now`; left out: as late as it was, or the result's own instant if that is later."""
    until = max(prepared.history.now, result.at) if now is None else now
    grown = extended(prepared, result, until, monotonic_now, boot)
    if grown is not None:
        return grown
    history = replace(prepared.history, now=until, monotonic_now=monotonic_now, boot=boot)
    return prepare(history, joined(prepared.results, columns((*prepared.added, result), prepared.places)))


def touched(prepared, name):
    """Name what a status of an object touches: the object, the groups that it is in, and those that these are in."""
    return (name, *(prepared.rows[above].name for above in prepared.above.get(prepared.places[name], ())))
