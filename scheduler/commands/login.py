"""Who sits at the terminal, as the system knows it: not what somebody calls himself.

Rules, the first that tells something:
1. The login that the kernel keeps from the first log-in on (`/proc/self/loginuid`), through sudo and su.
2. Under root, whom sudo says to have been called by. Root could write there whatever it likes.
3. The real user.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

LOGINUID = Path("/proc/self/loginuid")
UNSET = 2**32 - 1
"""Nobody has logged in: a service, a container."""


def login(environment: Mapping[str, str] = os.environ) -> str:
    """Return the login behind this process."""
    try:
        kept = LOGINUID.read_text()
    except OSError:
        kept = ""
    uid = uid_of(os.getuid(), kept, environment.get("SUDO_UID", ""))
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def uid_of(real: int, kept: str, sudo: str) -> int:
    """Return who it is by the rules above: the real user, the content of loginuid, and what sudo says."""
    if (first := _number(kept)) is not None and first != UNSET:
        return first
    if real == 0 and (caller := _number(sudo)) is not None:
        return caller
    return real


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) <= UNSET else None
