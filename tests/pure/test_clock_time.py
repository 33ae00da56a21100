"""Instants in sentences: clock times in the zone of the site, never countdowns that stand still where they are kept."""

import re
from pathlib import Path

from scheduler.model.clock import clock_time

ROOT = Path(__file__).parents[2]
COUNTDOWNS = re.compile(r"\b(in|for|within) \{(round|wait|left|age|max|idle|silent)\b[^}]*\} ?s\b|\} s (old|ago)\b")
LENGTHS_THAT_ENDED = {
    "has not answered for {max(0, round(now - reading.answered_at))} s (since {since})",
    "it did not register within {age} s",
    "it has lived for {age} s; its lifetime",
    "for {silent} s; {patience} s are allowed",
    "idle for {idle} s, {environment.name} allows",
}
"""Reasons of acts, of a time that is over; and what is said only while somebody asks, with its clock time beside it."""


def test_a_clock_time_is_that_of_the_sites_zone_and_tells_the_day_only_when_it_is_another():
    now = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC
    assert clock_time(now + 300, now, "UTC") == "20:31:40 UTC"
    assert clock_time(now + 300, now, "Europe/Rome") == "22:31:40 CEST"
    assert clock_time(now + 7200, now, "Europe/Rome") == "2026-05-29 00:26:40 CEST"
    assert clock_time(now + 0.6, now, "Asia/Kolkata") == "01:56:41 IST"


def test_no_sentence_of_a_decision_counts_down():
    found = []
    for path in sorted((ROOT / "scheduler" / "decide").glob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if COUNTDOWNS.search(line) and not any(known in line for known in LENGTHS_THAT_ENDED):
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert not found
