"""How HTCondor calls jobs, as people write it."""

from __future__ import annotations

import re

CALLED = (
    "HTCondor calls a job 123.4 and all jobs of a submission 123 (`ambienti why 123.4`); where several schedds have that "
    "number, 123.4@schedd.example.org"
)
_NAME = re.compile(r"(?P<cluster>[0-9]{1,9})(\.(?P<process>[0-9]{1,9}))?(@(?P<schedd>\S+))?")
_GLOBAL = re.compile(r"(\S+)#([0-9]+\.[0-9]+)(#[0-9]+)?")
"""GlobalJobId: `schedd.example.org#123.4#1700000000`."""


def read_name(text: str) -> tuple[int, int | None, str] | None:
    """Return cluster, process (None: the whole cluster) and schedd ("" where none is named); None if it names no job."""
    found = _NAME.fullmatch(_GLOBAL.sub(r"\2@\1", text.strip()))
    if found is None:
        return None
    process = found["process"]
    return int(found["cluster"]), None if process is None else int(process), found["schedd"] or ""
