"""What people agree on, in the journal: downtimes, exclusions, and the tokens of those who push statuses.

Nothing of it is ever removed or overwritten: a downtime is changed by a further revision, an exclusion is accepted once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from environments.identity import Signature, objection, same
from scheduler.availability.files.taking_over import Known
from scheduler.availability.history import Downtime, Exclusion, Recurrence, Revision
from scheduler.journal import tables as t
from scheduler.journal.records import AgreementError, Note
from scheduler.model.instants import SECOND, Duration, Instant, in_seconds

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from scheduler.journal.reading import JournalReader
    from scheduler.journal.writing import JournalWriter

BACK: Duration = 900 * SECOND
"""So far back may a token report if nothing else was said."""


# --- downtimes --------------------------------------------------------------------------------------------------------


def add_downtime(
    journal: JournalWriter,
    objects: Sequence[str],
    agreed: Revision | Recurrence,
    *,
    reason: str,
    author: str,
    now: Instant,
    earlier: Sequence[Revision] = (),
    source: str = "",
) -> str:
    """Declare a downtime, of one span or recurring; return its id.

    `earlier`: what was declared of it before, where it goes on from another one. `source`: the list that it is taken over from.
    """
    recurs = not hasattr(agreed, "declared_at")
    with journal.write("downtime") as connection:
        name = _next(connection, t.downtimes, "d")
        row: dict[str, Any] = {"id": name, "objects": list(objects), "reason": reason, "author": author, "declared_at": now}
        row |= {"recurrence": asdict(agreed) if recurs else None, "list": source}
        connection.execute(t.downtimes.insert().values(row))
        for one in () if recurs else (*earlier, agreed):
            _revise(connection, name, one)
        detail = {"objects": ", ".join(objects), "by": author, "reason": reason, **_told(agreed)}
        journal.note(connection, in_seconds(now), [Note("downtime", name, "declared", detail=detail)])
    return name


def revise_downtime(
    journal: JournalWriter, name: str, revision: Revision, why: str, *, now: Instant | None = None, source: str = ""
) -> None:
    """Say anew when a downtime is: extended, shortened, ended or moved; `now`, where it was said earlier.

    `source`: the list that says so.
    """
    with journal.write("downtime") as connection:
        row = connection.execute(sa.select(t.downtimes).where(t.downtimes.c.id == name)).one_or_none()
        if row is None:
            known = connection.execute(sa.select(t.downtimes.c.id)).scalars()
            raise AgreementError(f"there is no downtime {name}; there are {', '.join(known) or 'none'}")
        if row.recurrence:
            raise AgreementError(f"{name} recurs: it has no single end (`ambienti downtime end {name}` stops it)")
        _revise(connection, name, revision)
        if source:
            connection.execute(t.downtimes.update().where(t.downtimes.c.id == name).values(list=source))
        detail = {"objects": ", ".join(row.objects), "by": revision.by, **_told(revision)}
        at = revision.declared_at if now is None else now
        journal.note(connection, in_seconds(at), [Note("downtime", name, why, detail=detail)])


def stop_recurring(journal: JournalWriter, name: str, now: Instant, by: str) -> None:
    """Call a recurring downtime off: from now on nothing of it holds."""
    with journal.write("downtime") as connection:
        row = connection.execute(sa.select(t.downtimes).where(t.downtimes.c.id == name)).one()
        stopped = {**row.recurrence, "ended": min(now, row.recurrence.get("ended") or now)}
        connection.execute(t.downtimes.update().where(t.downtimes.c.id == name).values(recurrence=stopped))
        detail = {"objects": ", ".join(row.objects), "by": by}
        journal.note(connection, in_seconds(now), [Note("downtime", name, "ended", detail=detail)])


def downtimes(journal: JournalReader) -> tuple[Downtime, ...]:
    """Return all downtimes, in the order declared."""
    with journal.read("downtimes") as connection:
        return downtimes_in(connection)


def downtimes_in(connection: Connection) -> tuple[Downtime, ...]:
    """Read all downtimes with what was declared of them."""
    revisions: dict[str, list[Revision]] = {}
    for row in connection.execute(sa.select(t.revisions).order_by(t.revisions.c.id)):
        revisions.setdefault(row.downtime, []).append(Revision(row.declared_at, row.start, row.end, row.by))
    return tuple(
        Downtime(
            id=row.id,
            objects=tuple(row.objects),
            revisions=tuple(revisions.get(row.id, ())),
            recurrence=Recurrence(**row.recurrence) if row.recurrence else None,
            declared_at=row.declared_at if row.recurrence else None,
            reason=row.reason,
            by=row.author if row.recurrence else "",
        )
        for row in connection.execute(sa.select(t.downtimes).order_by(t.downtimes.c.declared_at, t.downtimes.c.id))
    )


def taken_over(journal: JournalReader) -> tuple[Known, ...]:
    """Return the downtimes that were taken over from elsewhere: those whose first revision a source has signed."""
    asked = sa.select(t.downtimes.c.id, t.downtimes.c.list, t.downtimes.c.declared_at)
    with journal.read("downtimes") as connection:
        rows = {row.id: row for row in connection.execute(asked)}
        return tuple(
            Known(one, rows[one.id].list, rows[one.id].declared_at) for one in downtimes_in(connection) if one.revisions
        )


def adopt(journal: JournalWriter, names: Sequence[str], source: str) -> None:
    """Write down that downtimes are of a list; nothing else of them changes."""
    with journal.write("downtime") as connection:
        connection.execute(t.downtimes.update().where(t.downtimes.c.id.in_(names)).values(list=source))


def _revise(connection: Connection, name: str, revision: Any) -> None:
    connection.execute(t.revisions.insert().values(downtime=name, **asdict(revision)))


def _told(agreed: Any) -> dict[str, Any]:
    values = asdict(agreed)
    return {key: values[key] for key in ("start", "end", "rule", "zone", "length") if key in values}


# --- exclusions -------------------------------------------------------------------------------------------------------


def add_exclusion(journal: JournalWriter, wanted: Exclusion, now: Instant, login: str = "") -> str:
    """Propose an exclusion, typed under a login; return its id. It excuses nothing until somebody else accepts it."""
    with journal.write("exclusion") as connection:
        name = _next(connection, t.exclusions, "x")
        row = asdict(wanted) | {"id": name, "objects": list(wanted.objects), "accepted_by": "", "accepted_at": None}
        row |= {"author_login": login, "accepted_login": ""}
        connection.execute(t.exclusions.insert().values(**row, declared_at=now))
        told: dict[str, Any] = {key: row[key] for key in ("start", "end", "author", "reason")}
        told |= {"objects": ", ".join(wanted.objects), "login": login}
        journal.note(connection, in_seconds(now), [Note("exclusion", name, wanted.cause, detail=told)])
    return name


def accept_exclusion(journal: JournalWriter, name: str, by: Signature, now: Instant, *, force: bool = False) -> Exclusion:
    """Accept an exclusion. Its author may not accept it himself, by whatever name, unless he insists, which is logged."""
    with journal.write("exclusion") as connection:
        found = {one.id: one for one in exclusions_in(connection)}
        if name not in found:
            raise AgreementError(f"there is no exclusion {name}; there are {', '.join(found) or 'none'}")
        one = found[name]
        if one.accepted_by:
            raise AgreementError(f"{name} was accepted by {one.accepted_by} already")
        row = connection.execute(sa.select(t.exclusions).where(t.exclusions.c.id == name)).one()
        own = objection(Signature(row.author, row.author_login), by)
        if own and not force:
            raise AgreementError(
                f"{one.author} proposed {name}, and {own}: somebody else must accept it "
                "(--force does it all the same, and logs it)"
            )
        values = {"accepted_by": by.name, "accepted_login": by.login, "accepted_at": now}
        connection.execute(t.exclusions.update().where(t.exclusions.c.id == name).values(values))
        told: dict[str, Any] = {"by": str(by), "login": by.login, "objects": ", ".join(one.objects)}
        told["own_exclusion_by_force"] = bool(own)
        journal.note(connection, in_seconds(now), [Note("exclusion", name, "accepted", detail=told)])
    return one


def exclusions(journal: JournalReader) -> tuple[Exclusion, ...]:
    """Return all exclusions, in the order proposed."""
    with journal.read("exclusions") as connection:
        return exclusions_in(connection)


def exclusions_in(connection: Connection) -> tuple[Exclusion, ...]:
    """Read all exclusions, accepted or only proposed."""
    return tuple(
        Exclusion(
            *(row.id, tuple(row.objects), row.start, row.end, row.cause),
            str(Signature(row.author, row.author_login)),
            row.reason,
            accepted_by=str(Signature(row.accepted_by, row.accepted_login)),
            accepted_at=row.accepted_at,
        )
        for row in connection.execute(sa.select(t.exclusions).order_by(t.exclusions.c.declared_at, t.exclusions.c.id))
    )


def _next(connection: Connection, table: sa.Table, letter: str) -> str:
    return f"{letter}{connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() + 1}"


# --- tokens -----------------------------------------------------------------------------------------------------------


def hashed(token: str) -> str:
    """Return what is kept of a token: it is long and random, so one plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Token:
    """What the holder of a token may."""

    name: str
    objects: tuple[str, ...] = ()
    """Patterns of objects and groups that he may report on; none: on nothing."""
    back: Duration = BACK
    """How far back what he reports may lie."""
    reads: bool = False
    """Whether he may read what the daemon shows: it names users."""


def add_token(journal: JournalWriter, wanted: Token, token: str, by: Signature, now: Instant) -> None:
    """Let whoever holds this token push statuses, or read."""
    name = wanted.name
    with journal.write("token") as connection:
        known = connection.execute(sa.select(t.tokens.c.name)).scalars().all()
        if taken := next((one for one in known if same(one, name)), None):
            raise AgreementError(f"there is a token called {taken} already, and a name is used once")
        row = {"name": name, "hash": hashed(token), "made_at": now, "made_by": by.name, "made_login": by.login}
        row |= {"objects": list(wanted.objects), "back": wanted.back, "reads": wanted.reads}
        connection.execute(t.tokens.insert().values(row))
        told: dict[str, Any] = {
            "by": str(by),
            "objects": ", ".join(wanted.objects),
            "back": in_seconds(wanted.back),
            "reads": wanted.reads,
        }
        journal.note(connection, in_seconds(now), [Note("token", name, "added", detail=told)])


def revoke_token(journal: JournalWriter, name: str, by: Signature, now: Instant) -> None:
    """End a token: nobody can use it from now on."""
    with journal.write("token") as connection:
        ours = sa.and_(t.tokens.c.name == name, t.tokens.c.revoked_at.is_(None))
        if not connection.execute(t.tokens.update().where(ours).values(revoked_at=now)).rowcount:
            known = connection.execute(sa.select(t.tokens.c.name).where(t.tokens.c.revoked_at.is_(None))).scalars()
            raise AgreementError(f"no token in force is called {name}; there are {', '.join(known) or 'none'}")
        journal.note(connection, in_seconds(now), [Note("token", name, "revoked", detail={"by": str(by)})])


def tokens(journal: JournalReader) -> list[dict[str, Any]]:
    """List the tokens: name, what it is for, who made it and when, when it was revoked."""
    with journal.read("tokens") as connection:
        rows = connection.execute(sa.select(t.tokens).order_by(t.tokens.c.made_at)).all()
    return [
        {
            "name": row.name,
            "objects": list(row.objects),
            "back_seconds": in_seconds(row.back),
            "reads": row.reads,
            "made_by": str(Signature(row.made_by, row.made_login)),
            "made_at": row.made_at,
            "revoked_at": row.revoked_at,
        }
        for row in rows
    ]


def holder(journal: JournalReader, token: str) -> Token | None:
    """Return what a token in force is for: compared in constant time."""
    given = hashed(token)
    with journal.read("tokens") as connection:
        rows = connection.execute(sa.select(t.tokens).where(t.tokens.c.revoked_at.is_(None))).all()
    found = next((row for row in rows if hmac.compare_digest(row.hash, given)), None)
    return None if found is None else Token(found.name, tuple(found.objects), found.back, found.reads)
