"""Corrections in the journal: results that came when their time had been told of already.

They change nothing until somebody else accepts them; then the daemon that holds the lease puts them where they belong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from environments.identity import Signature, objection
from scheduler.availability.history import Correction, Status
from scheduler.journal import tables as t
from scheduler.journal.records import AgreementError, Note, Push
from scheduler.model.instants import Instant, in_seconds

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.writing import JournalWriter

ACCEPTED = "accepted"
REFUSED = "refused"
MOST_WAITING = 1000
"""Corrections of one token that nobody has decided upon: whoever sends more is asked to wait."""


class TooManyError(Exception):
    """So many corrections of one token wait that no more are taken."""


def hold(journal: JournalWriter, connection: Connection, pushed: Push, at: Instant, received: Instant) -> str:
    """Keep a result as a correction that waits; return its name."""
    c = t.corrections.c
    waiting = sa.select(sa.func.count()).where(c.by == pushed.by, c.decided == "")
    if connection.execute(waiting).scalar_one() >= MOST_WAITING:
        raise TooManyError(f"{MOST_WAITING} corrections of {pushed.by} wait already (ambienti correction list)")
    row = {"object": pushed.object, "at": at, "status": int(pushed.status), "cause": pushed.cause, "text": pushed.text}
    row |= {"push": pushed.id, "by": pushed.by, "received": received, "decided": "", "decided_by": "", "decided_login": ""}
    name = named(connection.execute(t.corrections.insert().values(row).returning(c.id)).scalar_one())
    detail = {"object": pushed.object, "status": Status(pushed.status).name, "text": pushed.text, "by": pushed.by}
    # The line is of when it came, not of the past that it is about: figures of that past have not changed.
    journal.note(
        connection, in_seconds(received), [Note("correction", name, "proposed", name, detail | {"of": in_seconds(at)})]
    )
    return name


def decide(journal: JournalWriter, name: str, by: Signature, now: Instant, *, accept: bool, force: bool = False) -> Correction:
    """Accept or refuse a correction. Who reported it, or made the token for that, may not accept it, unless he insists."""
    with journal.write("correction") as connection:
        row = connection.execute(sa.select(t.corrections).where(t.corrections.c.id == _number(name))).one_or_none()
        if row is None:
            known = _known(connection)
            raise AgreementError(f"there is no correction {name}; there are {', '.join(known) or 'none'} to decide upon")
        if row.decided:
            raise AgreementError(f"{name} was {row.decided} by {Signature(row.decided_by, row.decided_login)} already")
        own = "" if not accept else _objection(connection, row.by, by)
        if own and not force:
            raise AgreementError(f"{own}: somebody else must accept {name} (--force does it all the same, and logs it)")
        decided = ACCEPTED if accept else REFUSED
        values = {"decided": decided, "decided_by": by.name, "decided_login": by.login, "decided_at": now}
        connection.execute(t.corrections.update().where(t.corrections.c.id == row.id).values(values))
        told: dict[str, Any] = {"by": str(by), "login": by.login, "object": row.object, "own_correction_by_force": bool(own)}
        journal.note(connection, in_seconds(now), [Note("correction", name, decided, name, told)])
    return _correction(row)


def corrections(journal: JournalReader) -> list[tuple[Correction, str]]:
    """List all corrections, and how each was decided: accepted, refused or ""."""
    with journal.read("corrections") as connection:
        rows = connection.execute(sa.select(t.corrections).order_by(t.corrections.c.id)).all()
    return [(_correction(row), row.decided) for row in rows]


def corrections_in(connection: Connection) -> tuple[Correction, ...]:
    """Read the corrections that a report tells of: those that are accepted, and those that wait."""
    asked = sa.select(t.corrections).where(t.corrections.c.decided != REFUSED).order_by(t.corrections.c.id)
    return tuple(_correction(row) for row in connection.execute(asked))


def accepted_in(connection: Connection) -> Sequence[Any]:
    """Read what is accepted and not yet in its place."""
    c = t.corrections.c
    return connection.execute(
        sa.select(t.corrections).where(c.decided == ACCEPTED, c.applied_at.is_(None)).order_by(c.id)
    ).all()


def mark_applied(connection: Connection, numbers: Sequence[int], now: Instant) -> None:
    """Take note that corrections are in their place."""
    connection.execute(t.corrections.update().where(t.corrections.c.id.in_(numbers)).values(applied_at=now))


def named(number: int) -> str:
    """Return what a correction is called."""
    return f"c{number}"


def _number(name: str) -> int:
    digits = name.removeprefix("c")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else -1


def _known(connection: Connection) -> list[str]:
    waiting = sa.select(t.corrections.c.id).where(t.corrections.c.decided == "").order_by(t.corrections.c.id).limit(10)
    return [named(number) for number in connection.execute(waiting).scalars()]


def _objection(connection: Connection, holder: str, by: Signature) -> str:
    """Say why somebody may be who reported: the holder of the token, or who made it and so has seen it."""
    if found := objection(Signature(holder), by):
        return found
    made = connection.execute(sa.select(t.tokens).where(t.tokens.c.name == holder)).one_or_none()
    maker = None if made is None else Signature(made.made_by, made.made_login)
    if maker is not None and (found := objection(maker, by)):
        return f"{maker} made the token of {holder}, and {found}"
    return ""


def _correction(row: Any) -> Correction:
    by = str(Signature(row.decided_by, row.decided_login)) if row.decided == ACCEPTED else ""
    accepted_at = row.decided_at if row.decided == ACCEPTED else None
    told = (row.object, row.at, Status(row.status), row.received, row.by, row.text)
    return Correction(named(row.id), *told, by, accepted_at)
