"""The journal's tables, as the newest migration leaves them.

Times are seconds since the epoch; those of what availability is computed from are whole microseconds (BigInteger).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from scheduler.journal.columns import BoundedText, Data, Words

metadata = MetaData()

journal = Table(
    "journal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("made_at", Float, nullable=False),
    Column("next_serial", Integer, nullable=False),
    comment="One row: when this journal began and the next serial number of a worker.",
)
lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner", BoundedText(200), nullable=False),
    Column("until", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("renewals", BigInteger, nullable=False, server_default="0"),
    Column("lock", BoundedText(200), nullable=False, server_default=""),
    comment="One row: which daemon may act. A standby watches the counter of renewals; the epoch grows with each change of "
    "hands; until when, by its holder's clock, the farm counts as looked at is for reports alone.",
)
machines = Table(
    "machines",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", BoundedText(80), nullable=False, unique=True),
    Column("role", BoundedText(20), nullable=False),
    Column("uuid", BoundedText(36), nullable=False),
    Column("host", BoundedText(200), nullable=False),
    Column("cpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("origin", BoundedText(20), nullable=False),
    Column("state", BoundedText(20), nullable=False),
    Column("since", Float, nullable=False),
    Column("requested_at", Float, nullable=False),
    Column("booted_at", Float),
    Column("closed_at", Float),
    comment="Every domain of ours ever ordered or adopted; open while its domain, disks or ads may exist.",
)
placements = Table(
    "placements",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("machine", BoundedText(80), nullable=False),
    Column("host", BoundedText(200), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("begun", Float, nullable=False),
    Column("ended", Float),
    Column("ended_by", BoundedText(20), nullable=False),
    comment="Where each machine was, one after the other; the last one is open while it is, or may be, there.",
)
workers = Table(
    "workers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("machine", BoundedText(80), nullable=False, unique=True),
    Column("serial", Integer, nullable=False),
    Column("environment", BoundedText(80), nullable=False),
    Column("version", BoundedText(200), nullable=False),
    Column("vo", BoundedText(80), nullable=False),
    Column("batch_system", BoundedText(80), nullable=False),
    Column("address", BoundedText(80)),
    Column("registered_at", Float),
    Column("drain_cause", BoundedText(40), nullable=False),
    Column("drained_at", Float),
    Column("cancelled_at", Float),
    Column("boot_error", Words, nullable=False),
    Column("boot_failure", BoundedText(20), nullable=False, server_default="unknown"),
    comment="What only machines that are workers have.",
)
intents = Table(
    "intents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", BoundedText(20), nullable=False),
    Column("machine", BoundedText(80), nullable=False),
    Column("host", BoundedText(200), nullable=False),
    Column("cause", BoundedText(80), nullable=False),
    Column("sentence", Words, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("begun_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("outcome", BoundedText(20), nullable=False),
    Column("detail", Words, nullable=False),
    comment="What was about to be done, written before it was done.",
)
boots = Table(
    "boots",
    metadata,
    Column("worker", BoundedText(80), primary_key=True),
    Column("environment", BoundedText(80), nullable=False),
    Column("version", BoundedText(200), nullable=False),
    Column("host", BoundedText(200), nullable=False),
    Column("at", Float, nullable=False),
    Column("registered", Boolean, nullable=False),
    Column("cause", Words, nullable=False),
    Column("failure", BoundedText(20), nullable=False, server_default="unknown"),
    comment="How each boot ended.",
)
sightings = Table(
    "sightings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_system", BoundedText(80), nullable=False),
    Column("job", BoundedText(200), nullable=False),
    Column("worker", BoundedText(80), nullable=False),
    Column("vo", BoundedText(80), nullable=False),
    Column("user", BoundedText(200), nullable=False),
    Column("environment", BoundedText(80), nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("ended", Boolean, nullable=False),
    UniqueConstraint("batch_system", "job", "worker", name="uq_sightings_job"),
    comment="Which job was seen in which worker of which environment.",
)
host_words = Table(
    "host_words",
    metadata,
    Column("host", BoundedText(200), primary_key=True),
    Column("state", BoundedText(20), primary_key=True),
    Column("since", Float, nullable=False),
    Column("by", BoundedText(200), nullable=False),
    Column("why", Words, nullable=False),
    comment="What somebody says of a host, until it is taken back or acted upon: draining, off.",
)
sources_heard = Table(
    "sources_heard",
    metadata,
    Column("kind", BoundedText(20), primary_key=True),
    Column("name", BoundedText(200), primary_key=True),
    Column("heard", Boolean, nullable=False),
    comment="Hosts and discoveries named since this journal began or was restored; heard: it knows of all workers there.",
)
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", BoundedText(40), nullable=False),
    Column("subject", BoundedText(200), nullable=False),
    Column("cause", BoundedText(80), nullable=False),
    Column("correlation", BoundedText(80), nullable=False),
    Column("detail", Data, nullable=False),
    Column("monotonic", BigInteger),
    Column("boot", Integer),
    Column("received", BigInteger),
    comment="Append-only: every change of state, action and decision, with its cause.",
)

watches = Table(
    "watches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("boot", Integer, nullable=False),
    Column("owner", BoundedText(200), nullable=False),
    Column("began", BoundedText(10), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("began_monotonic", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("seen_monotonic", BigInteger, nullable=False),
    comment="Stretches in which a daemon looked without a break; between two of them nobody did, or the clock was set.",
)
objects = Table(
    "objects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", BoundedText(200), nullable=False, unique=True),
    Column("kind", BoundedText(20), nullable=False),
    Column("feed", BoundedText(20), nullable=False),
    Column("freshness", BigInteger),
    Column("confirmed", BigInteger),
    comment="What has a status; `confirmed`: the last repetition of a pushed one.",
)
existences = Table(
    "existences",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger),
    comment="When each object was declared to exist.",
)
statuses = Table(
    "statuses",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("records", LargeBinary, nullable=False),
    comment="Statuses as intervals, many of one object in one row (scheduler.journal.segments says how).",
)
pushes = Table(
    "pushes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object", Integer, nullable=False),
    Column("push", BoundedText(200), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("at", BigInteger),
    Column("status", Integer),
    UniqueConstraint("object", "push", name="uq_pushes_push"),
    comment="Ids of pushed results, by which one sent twice is known.",
)
tokens = Table(
    "tokens",
    metadata,
    Column("name", BoundedText(80), primary_key=True),
    Column("hash", BoundedText(128), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", BoundedText(200), nullable=False),
    Column("revoked_at", BigInteger),
    Column("made_login", BoundedText(200), nullable=False),
    Column("objects", Data, nullable=False),
    Column("back", BigInteger, nullable=False),
    Column("reads", Boolean, nullable=False),
    comment="Who may push statuses; of the token itself only the hash.",
)
corrections = Table(
    "corrections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object", BoundedText(200), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("cause", BoundedText(80), nullable=False),
    Column("text", Words, nullable=False),
    Column("push", BoundedText(200), nullable=False),
    Column("by", BoundedText(200), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("decided", BoundedText(20), nullable=False),
    Column("decided_by", BoundedText(200), nullable=False),
    Column("decided_login", BoundedText(200), nullable=False),
    Column("decided_at", BigInteger),
    Column("applied_at", BigInteger),
    comment="Results that came when their time had been told of already: they count once somebody else accepted them.",
)
downtimes = Table(
    "downtimes",
    metadata,
    Column("id", BoundedText(80), primary_key=True),
    Column("objects", Data, nullable=False),
    Column("reason", Words, nullable=False),
    Column("author", BoundedText(200), nullable=False),
    Column("declared_at", BigInteger, nullable=False),
    Column("recurrence", Data),
    Column("list", BoundedText(400), nullable=False, server_default=""),
    comment="Agreed downtimes; a recurring one has no revisions.",
)
revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("downtime", BoundedText(80), nullable=False),
    Column("declared_at", BigInteger, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("by", BoundedText(200), nullable=False),
    comment="Append-only: what was declared of a downtime, and when.",
)
exclusions = Table(
    "exclusions",
    metadata,
    Column("id", BoundedText(80), primary_key=True),
    Column("objects", Data, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("cause", BoundedText(80), nullable=False),
    Column("author", BoundedText(200), nullable=False),
    Column("reason", Words, nullable=False),
    Column("declared_at", BigInteger, nullable=False),
    Column("accepted_by", BoundedText(200), nullable=False),
    Column("accepted_at", BigInteger),
    Column("author_login", BoundedText(200), nullable=False),
    Column("accepted_login", BoundedText(200), nullable=False),
    comment="Bad time that does not count once somebody accepted it.",
)
incidents = Table(
    "incidents",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("cause", BoundedText(200), nullable=False),
    Column("state", BoundedText(20), nullable=False),
    Column("opened_at", BigInteger),
    Column("closed_at", BigInteger),
    Column("forgotten", Boolean, nullable=False),
    Column("data", Data, nullable=False),
    comment="One cause is one incident; `forgotten`: over for so long that it is not reopened any more.",
)
notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", BoundedText(200), nullable=False, unique=True),
    Column("incident", Integer, nullable=False),
    Column("person", BoundedText(80), nullable=False),
    Column("address", BoundedText(300), nullable=False),
    Column("subject", Words, nullable=False),
    Column("body", Words, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("ended_at", BigInteger),
    Column("outcome", BoundedText(20), nullable=False),
    Column("error", Words, nullable=False),
    Column("attachments", Data, nullable=False),
    comment="The outbox: what a person must be told, written before it is sent; `address` says where the address is found.",
)
publications = Table(
    "publications",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", BoundedText(80), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("note", Words, nullable=False),
    Column("groups", BoundedText(64), nullable=False),
    Column("checked", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    UniqueConstraint("start", "end", "number", name="uq_publications_number"),
    comment="Append-only: published versions of periods; `checked`: the line of the event log up to which nothing is new.",
)

Index("ix_incidents_forgotten", incidents.c.forgotten)
Index("ix_incidents_opened", incidents.c.opened_at)
Index("ix_notices_due", notices.c.ended_at, notices.c.due_at)
Index("ix_publications_end", publications.c.end)
Index("ix_machines_open", machines.c.closed_at)
Index("ix_placements_machine", placements.c.machine)
_PLACED = placements.c.ended.is_(None)
Index("ix_placements_open", placements.c.machine, unique=True, sqlite_where=_PLACED, postgresql_where=_PLACED)
Index("ix_intents_open", intents.c.ended_at)
Index("ix_boots_at", boots.c.at)
Index("ix_boots_environment", boots.c.environment, boots.c.version)
Index("ix_sightings_open", sightings.c.ended)
Index("ix_sightings_worker", sightings.c.worker)
Index("ix_sightings_last_seen", sightings.c.last_seen)
Index("ix_events_at", events.c.at)
Index("ix_events_subject", events.c.subject, events.c.at)
Index("ix_events_kind", events.c.kind, events.c.at)
Index("ix_existences_object", existences.c.object)
Index("ix_corrections_waiting", corrections.c.decided, corrections.c.applied_at)
Index("ix_statuses_object", statuses.c.object, statuses.c.id)
Index("ix_statuses_last", statuses.c.last)
Index("ix_revisions_downtime", revisions.c.downtime)
