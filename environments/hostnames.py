"""Names of hosts, and ranges of them as sites write them."""

from __future__ import annotations

import re

from environments.checking import named_error

MAXIMUM_HOSTS = 20_000


def expand_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts a name stands for: `node[001-003,7]` is node001, node002, node003 and node7."""
    found = re.fullmatch(r"([A-Za-z0-9._-]*)(?:\[([0-9,\- ]+)\]([A-Za-z0-9._-]*))?", text)
    if not found or not text:
        raise named_error(f"{text!r} is not a host name", "a host name or a range like node[001-300]")
    before, ranges, after = found[1], found[2], found[3] or ""
    if ranges is None:
        return (text,)
    names: list[str] = []
    for part in ranges.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise named_error(f"{part!r} in {text!r} is not a range", "first-last with first not above last: node[001-300]")
        numbers = range(int(first), int(last or first) + 1)
        if len(names) + len(numbers) > MAXIMUM_HOSTS:
            raise named_error(f"{text!r} stands for too many hosts", f"at most {MAXIMUM_HOSTS}")
        names += [f"{before}{number:0{len(first)}}{after}" for number in numbers]
    return tuple(names)


def checked_hosts(text: str) -> str:
    """Return the text when it names hosts; for pydantic."""
    expand_hosts(text)
    return text
