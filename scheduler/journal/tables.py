"""The journal's tables, as the newest migration leaves them. Times are seconds since the epoch."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

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
    Column("owner", String(200), nullable=False),
    Column("until", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("locked", Boolean, nullable=False),
    comment="One row: which daemon may act, until when; the epoch grows with each change of hands.",
)
workers = Table(
    "workers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("serial", Integer, nullable=False),
    Column("uuid", String(36), nullable=False),
    Column("environment", String(80), nullable=False),
    Column("version", String(200), nullable=False),
    Column("vo", String(80), nullable=False),
    Column("batch_system", String(80), nullable=False),
    Column("host", String(200), nullable=False),
    Column("cpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("address", String(80)),
    Column("origin", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("since", Float, nullable=False),
    Column("requested_at", Float, nullable=False),
    Column("booted_at", Float),
    Column("registered_at", Float),
    Column("drain_cause", String(40), nullable=False),
    Column("drained_at", Float),
    Column("cancelled_at", Float),
    Column("boot_error", Text, nullable=False),
    Column("closed_at", Float),
    comment="Every worker ever ordered or adopted; open while its domain, disks or ads may exist.",
)
intents = Table(
    "intents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("worker", String(80), nullable=False),
    Column("host", String(200), nullable=False),
    Column("cause", String(80), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("begun_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("outcome", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    comment="What was about to be done, written before it was done.",
)
boots = Table(
    "boots",
    metadata,
    Column("worker", String(80), primary_key=True),
    Column("environment", String(80), nullable=False),
    Column("version", String(200), nullable=False),
    Column("host", String(200), nullable=False),
    Column("at", Float, nullable=False),
    Column("registered", Boolean, nullable=False),
    Column("cause", Text, nullable=False),
    comment="How each boot ended.",
)
sightings = Table(
    "sightings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_system", String(80), nullable=False),
    Column("job", String(200), nullable=False),
    Column("worker", String(80), nullable=False),
    Column("vo", String(80), nullable=False),
    Column("user", String(200), nullable=False),
    Column("environment", String(80), nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("ended", Boolean, nullable=False),
    UniqueConstraint("batch_system", "job", "worker", name="uq_sightings_job"),
    comment="Which job was seen in which worker of which environment.",
)
drained_hosts = Table(
    "drained_hosts",
    metadata,
    Column("host", String(200), primary_key=True),
    Column("since", Float, nullable=False),
    Column("why", Text, nullable=False),
    comment="Hosts that an administrator drains.",
)
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("cause", String(80), nullable=False),
    Column("correlation", String(80), nullable=False),
    Column("detail", JSON, nullable=False),
    comment="Append-only: every change of state, action and decision, with its cause.",
)

Index("ix_workers_open", workers.c.closed_at)
Index("ix_intents_open", intents.c.ended_at)
Index("ix_boots_at", boots.c.at)
Index("ix_boots_environment", boots.c.environment, boots.c.version)
Index("ix_sightings_open", sightings.c.ended)
Index("ix_sightings_worker", sightings.c.worker)
Index("ix_sightings_last_seen", sightings.c.last_seen)
Index("ix_events_at", events.c.at)
Index("ix_events_subject", events.c.subject, events.c.at)
