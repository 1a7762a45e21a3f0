"""The tables of what people decide, of what the app itself changed, and of what is told to the app.

Times are UTC, ISO 8601 text; dates are ISO text; values are JSON text.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, Table, Text, UniqueConstraint, text

from sis_connect.store import stays as stays
from sis_connect.store.tables import metadata

__all__ = ["conflict", "coverage", "delivery", "event", "hint", "listener", "local_edit", "metadata", "pin"]

#: A question that only a person can answer. `field` is the flat name of a field that changed on both sides, `*` for a row that
#: the app deleted, or `local_id` for a person who may be one that the app knows. `state` is `open`, `decided`, `superseded` or
#: `closed`; `decision` is `sis`, `local` or `value`.
conflict = Table(
    "sis_conflict",
    metadata,
    Column("id", Text, primary_key=True),
    Column("integration_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sis_id", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("base", Text),
    Column("sis", Text),
    Column("local", Text),
    Column("sis_at", Text),
    Column("local_at", Text),
    Column("operation_id", Text, nullable=False),
    Column("filed_at", Text, nullable=False),
    Column("decision", Text),
    Column("value", Text),
    Column("decided_by", Text),
    Column("decided_at", Text),
    Index("ix_sis_conflict_record", "integration_id", "kind", "sis_id"),
    Index("ix_sis_conflict_open", "integration_id", sqlite_where=text("state = 'open'"), postgresql_where=text("state = 'open'")),
)

#: What a person protects: a record from removal (`field` is empty), or the app's value of one field.
pin = Table(
    "sis_pin",
    metadata,
    Column("id", Text, primary_key=True),
    Column("integration_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sis_id", Text, nullable=False),
    Column("field", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("actor", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_on", Text),
    UniqueConstraint("integration_id", "kind", "sis_id", "field"),
)

#: The fields that the app changed in the built-in roster since we wrote them last: noted by triggers.
local_edit = Table(
    "sis_local_edit",
    metadata,
    Column("integration_id", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("sis_id", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("at", Text, nullable=False),
    Column("author", Text),
    sqlite_with_rowid=False,
)

#: What was changed in the roster, one row for each change, in the order in which it was written. Its values are those of the
#: plan's row. Ids are never used twice.
event = Table(
    "sis_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("integration_id", Integer, nullable=False),
    Column("operation_id", Text, nullable=False),
    Column("plan", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sis_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("school_date", Text, nullable=False),
    Index("ix_sis_event_operation_id", "operation_id"),
    sqlite_autoincrement=True,
)

#: How far each listener has been told. The row without a name says up to where events have expired.
listener = Table(
    "sis_listener",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cursor", Integer, nullable=False),
    Column("updated_at", Text, nullable=False),
)

#: What somebody outside says has changed. It is no evidence: the record is read again. A hint that comes twice is one, and counts
#: its `times`: what came again while it was followed is not taken for followed.
hint = Table(
    "sis_hint",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("integration_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("received_at", Text, nullable=False),
    Column("times", Integer, nullable=False, server_default="1"),
    UniqueConstraint("integration_id", "kind", "name", "value"),
)

#: Deliveries that were received, so that one that is repeated is recognised.
delivery = Table(
    "sis_delivery",
    metadata,
    Column("integration_id", Integer, primary_key=True, autoincrement=False),
    Column("delivery_id", Text, primary_key=True),
    Column("received_at", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: How well each school was covered after the last run that saw it: `number` of `of`, by measure.
coverage = Table(
    "sis_coverage",
    metadata,
    Column("integration_id", Integer, primary_key=True, autoincrement=False),
    Column("school", Text, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("of", Integer, nullable=False),
    Column("share", Float, nullable=False),
    Column("operation_id", Text, nullable=False),
    Column("at", Text, nullable=False),
    sqlite_with_rowid=False,
)
