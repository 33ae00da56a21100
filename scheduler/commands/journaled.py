"""What commands that read or write the journal share: opening it, times as people write them, names of objects, who asks."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic_core import PydanticCustomError

from environments.identity import TOKEN, Signature
from environments.names import as_known
from environments.problems import ConfigurationError, Problem
from environments.text import unprintable
from scheduler.commands import daemon, loaded
from scheduler.commands.common import Exit, fail, meant, optional
from scheduler.model.clock import WallClock
from scheduler.model.instants import Duration, Instant, micro, read_duration, read_instant, shown_instant, within

if TYPE_CHECKING:
    from scheduler.availability.timelines.prepared import Prepared
    from scheduler.journal.journal import Journal
    from scheduler.journal.reading import JournalReader
    from scheduler.site.definitions import Definitions


LOGINUID = Path("/proc/self/loginuid")
UNSET = 2**32 - 1
"""Nobody has logged in: a service, a container."""


def login(environment: Mapping[str, str] = os.environ) -> str:
    """Return who sits at the terminal, as the system knows it: not what somebody calls himself.

    Rules, the first that tells something:
    1. The login that the kernel keeps from the first log-in on (`/proc/self/loginuid`), through sudo and su.
    2. Under root, whom sudo says to have been called by. Root could write there whatever it likes.
    3. The real user.
    """
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


SHORTEST_INSTANT = 8
"""Digits alone are seconds since 1970, or a day without hyphens, only from so many on."""
ByOption = Annotated[str, optional("--by", metavar="NAME", help="Who asks. [default: your login]")]
AsTokenOption = Annotated[
    Path | None, optional("--token-file", help="Your own token: who you are, where several people share a login (root).")
]


@contextmanager
def opened(site: Path | None) -> Iterator[tuple[Definitions, Journal]]:
    """Open the site's journal for a while, to write in it; where there is none yet it is made. What it refuses is told."""
    from scheduler.journal.records import AgreementError
    from scheduler.site import compose

    found = loaded.load(site)
    journal = compose.open_journal(found, WallClock().now())
    try:
        yield found, journal
    except AgreementError as error:
        raise fail(str(error), Exit.PROBLEM) from error
    finally:
        journal.close()


@contextmanager
def looked_into(site: Path | None) -> Iterator[tuple[Definitions, JournalReader]]:
    """Read the site's journal for a while; where there is none yet an empty one is read, a line says so, and none is made."""
    from scheduler.site import compose

    found = loaded.load(site)
    if not compose.has_journal(found):
        loaded.tell_no_journal(compose.journal_url(found).partition(":///")[2])
    journal = compose.open_journal(found, WallClock().now(), read_only=True)
    try:
        yield found, journal
    finally:
        journal.close()


def now() -> Instant:
    """Return the present instant, to the microsecond."""
    return micro(WallClock().now())


MOST_OF_A_NAME = 200
"""Of who asks or agrees, as a history file may hold it."""


def asker(given: str = "", token: Path | None = None, journal: JournalReader | None = None) -> Signature:
    """Return who asks: the name that he gives, and the token that he shows, else the login that he typed it under."""
    if found := unprintable(given):
        raise fail(f"--by: {found}", Exit.WRONG)
    if len(given) > MOST_OF_A_NAME:
        raise fail(f"--by: a name has at most {MOST_OF_A_NAME} characters", Exit.WRONG)
    if "(" in given or (given and not given.strip()):
        raise fail("--by is a name, without brackets: what stands in these is added by Ambienti", Exit.WRONG)
    name = given.strip()
    if token is None or journal is None:
        typed = login()
        return Signature(name or typed, typed)
    holder = _holder(token, journal)
    return Signature(name or holder, f"{TOKEN}{holder}")


def _holder(token: Path, journal: JournalReader) -> str:
    from scheduler.journal import agreements

    try:
        held = agreements.holder(journal, daemon.read_token(token))
    except daemon.TokenError as error:
        raise fail(str(error), Exit.WRONG) from error
    if held is None:
        raise fail(f"token {token} is not in force (ambienti token list)", Exit.WRONG)
    return held.name


def no_bare_number(text: str, option: str) -> None:
    """Refuse a number that is no instant of our days: nobody who types `6` means 1970."""
    if text.strip().isdigit() and len(text.strip()) < SHORTEST_INSTANT:
        problem = Problem("", 0, 0, option, f"{text!r} is no instant", "a date and time like '2026-03-10 18:00'")
        raise ConfigurationError([problem])


def instant(text: str, option: str, zone: str) -> Instant:
    """Read an instant as an option gives it: ISO 8601, local time of the site's zone, `now`, or `+2h` from now."""
    no_bare_number(text, option)
    if text == "now":
        return now()
    if text.startswith("+"):
        return _later(now(), text[1:], option)
    return _understood(lambda: read_instant(text, zone), option)


def duration(text: str, option: str) -> Duration:
    """Read a duration as an option gives it: with a unit, for a bare number of seconds is meant by nobody who types one."""
    if text.strip().replace(".", "", 1).isdigit():
        problem = Problem("", 0, 0, option, f"{text!r} has no unit", "a length like 90m, 6h or 2d")
        raise ConfigurationError([problem])
    return _understood(lambda: read_duration(text), option)


def ordered(start: Instant, end: Instant) -> None:
    """Refuse a span that ends before it begins, with both instants."""
    if end <= start:
        raise fail(f"it would end before it begins: from {shown_instant(start)} to {shown_instant(end)}", Exit.WRONG)


def end_of(begins: Instant, end: str, length: str, zone: str) -> Instant:
    """Return when a span ends of which `--end` or `--duration` was given."""
    return instant(end, "--end", zone) if end else _later(begins, length, "--duration")


def _later(begins: Instant, length: str, option: str) -> Instant:
    ends = begins + duration(length, option)
    return _understood(lambda: within(ends, length), option)


def since(text: str, option: str, zone: str) -> Instant:
    """Read an instant in the past: as `instant` does, or `2h` for so long ago."""
    return now() - duration(text, option) if text[-1:].isalpha() and text[-1:] != "Z" else instant(text, option, zone)


def _understood(read: Callable[[], int], option: str) -> int:
    try:
        return read()
    except PydanticCustomError as error:
        context = error.context or {}
        problem = Problem("", 0, 0, option, str(context["message"]), str(context["expected"]))
        raise ConfigurationError([problem]) from error


def check_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the names as the site writes them, whose hosts have no case; refuse what is neither an object nor a group."""
    from scheduler.availability.history import EVERYTHING

    whole = [*known, EVERYTHING]
    written = [as_known(name, whole) for name in names]
    for name in written:
        if name not in whole:
            hint = meant(name, whole, f"there are {', '.join(sorted({*whole} - {EVERYTHING})[:10])}")
            raise fail(f"no object and no group is called {name!r}; {hint}", Exit.PROBLEM)
    return written


def live(site: Path | None) -> Prepared:
    """Return the site's own history up to now, ready for measuring."""
    from scheduler.site import services

    with looked_into(site) as (found, journal):
        return loaded.answered(found, lambda known: services.live_prepared(known, journal, WallClock().now()))
