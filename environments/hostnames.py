"""Names of hosts, and ranges of them as sites write them."""

from __future__ import annotations

import ipaddress
import re

from environments.checking import named_error
from environments.names import nearest

MAXIMUM_HOSTS = 20_000
MOST_DIGITS = 18
"""Of a number in a range."""


def expand_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts a name stands for: `node[001-003,7]` is node001, node002, node003 and node7."""
    found = re.fullmatch(r"([A-Za-z0-9._-]*)(?:\[([0-9,\- ]+)\]([A-Za-z0-9._-]*))?", text)
    if not found or not text:
        raise named_error(f"{text!r} is not a host name", "a host name or a range like node[001-300]")
    before, ranges, after = found[1], found[2], found[3] or ""
    if ranges is None:
        return (_possible(text),)
    names: list[str] = []
    for part in ranges.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        digits = (first, last) if dash else (first,)
        if not all(one.isdigit() and len(one) <= MOST_DIGITS for one in digits) or (dash and int(last) < int(first)):
            message = f"{_shortened(part)!r} in {_shortened(text)!r} is not a range"
            raise named_error(message, "first-last with first not above last: node[001-300]")
        numbers = range(int(first), int(last or first) + 1)
        if len(names) + len(numbers) > MAXIMUM_HOSTS:
            raise named_error(f"{_shortened(text)!r} stands for too many hosts", f"at most {MAXIMUM_HOSTS}")
        names += [f"{before}{number:0{len(first)}}{after}" for number in numbers]
    _possible(max(names, key=len))  # they differ in digits only
    return tuple(names)


def _possible(name: str) -> str:
    if wrong := unresolvable(name, alias=True):
        raise named_error(f"{_shortened(name)!r} is not a host name: it {wrong}", "a host name or a range like node[001-300]")
    return name


def checked_hosts(text: str) -> str:
    """Return the text when it names hosts; for pydantic."""
    expand_hosts(text)
    return text


# --- names and addresses that no resolver and no socket takes -----------------------------------------------------------

MOST_NAME_CHARACTERS = 253
MOST_LABEL_CHARACTERS = 63
MOST_PORT = 65535
_ADDRESS = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)


def unresolvable(name: str, *, alias: bool = False) -> str:
    """Say why no resolver takes the name of a machine; "" when one may, and for IP addresses.

    A name without dots may hold underscores (containers and /etc/hosts have such names), an `alias` (of ssh) anywhere.
    """
    if _is_ip(name):
        return ""
    whole = name.removesuffix(".")
    labels = whole.split(".")
    if "" in labels:
        return "has an empty part: two dots, or one at its beginning" if name else "is empty"
    if len(whole) > MOST_NAME_CHARACTERS:
        return f"has {len(whole)} characters; a name has at most {MOST_NAME_CHARACTERS}"
    if len(labels) > 1 and labels[-1].isdigit():
        return "is no IPv4 address, and a name does not end in a number"
    underscores = alias or len(labels) == 1
    return next(filter(None, (_wrong_in_label(label, underscores=underscores) for label in labels)), "")


def _wrong_in_label(label: str, *, underscores: bool) -> str:
    wrong = next((one for one in label if not (one.isascii() and (one.isalnum() or one in "-_"))), None)
    if wrong is not None:
        return f"holds {wrong!r}"
    if "_" in label and not underscores:
        return f"has an underscore in {label!r}: names of machines have letters, digits and hyphens"
    if len(label) > MOST_LABEL_CHARACTERS:
        return f"has a part of {len(label)} characters; at most {MOST_LABEL_CHARACTERS} stand between dots"
    if label.startswith("-") or label.endswith("-"):
        return f"has a hyphen at the edge of {label!r}"
    return ""


def checked_machine(name: str, expected: str = "a name like farm.example.org, or an IP address", *, alias: bool = False) -> str:
    """Return a name that some resolver may take; for pydantic."""
    if wrong := unresolvable(name, alias=alias):
        raise named_error(f"{_shortened(name)!r} is not the name of a machine: it {wrong}", expected)
    return name


def checked_port(port: str | int, *, least: int = 1) -> int:
    """Return a port; for pydantic."""
    text = str(port)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_PORT)) and least <= int(text) <= MOST_PORT):
        raise named_error(f"{_shortened(text)!r} is not a port", f"a number from 1 to {MOST_PORT}")
    return int(text)


def checked_address(text: str, expected: str, *, alias: bool = False) -> str:
    """Return `farm.example.org`, `farm.example.org:9618`, `192.0.2.1:9618` or `[2001:db8::1]:9618`; for pydantic."""
    if _is_ip(text):
        return text
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise named_error(f"{_shortened(text)!r} is not an address", expected)
    host = found["host"]
    if host.startswith("[") and not _is_ip(host[1:-1]):
        raise named_error(f"{_shortened(host)!r} is not an IPv6 address", expected)
    checked_machine(host[1:-1] if host.startswith("[") else host, expected, alias=alias)
    if found["port"] is not None:
        checked_port(found["port"])
    return text


def checked_url(text: str) -> str:
    """Return the address of a daemon, `https://farm.example.org/ambienti`, without a slash at its end; for pydantic."""
    expected = "one like https://farm.example.org"
    scheme, slashes, rest = text.partition("://")
    if not slashes or scheme not in {"http", "https"} or set("?#@ ") & set(rest):
        raise named_error(f"{_shortened(text)!r} is not the address of a daemon", expected, nearest(scheme, ["https", "http"]))
    checked_address(rest.partition("/")[0], expected)
    return text.rstrip("/")


def each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names (of machines: they have no case) of which none stands twice; for pydantic."""
    seen: set[str] = set()
    for name in names:
        folded = name.lower().removesuffix(".")
        if folded in seen:
            raise named_error(f"{_shortened(name)!r} stands here twice", "each once")
        seen.add(folded)
    return names


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
