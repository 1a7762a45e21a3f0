"""All tables. `sis_*` is what sync-keeping needs; `roster_*` is the built-in roster that an app may read and edit.

Times are UTC, ISO 8601 text; dates are ISO text; documents are JSON text of canonical records (see `sis_connect.records`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import RECORDS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _identity() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _integration(*, primary_key: bool = False, index: bool = False) -> Column[int]:
    return Column("integration_id", Integer, primary_key=primary_key, autoincrement=False, index=index, nullable=False)


integration = Table(
    "sis_integration",
    metadata,
    _identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("provider", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("secret", LargeBinary),
    Column("status", Text, nullable=False),
    Column("time_zone", Text),
    Column("policy", Text),
    Column("created_at", Text, nullable=False),
    Column("removed_at", Text),
    Column("former_secret", LargeBinary),
    Column("password", LargeBinary),
    Column("former_secret_at", Text),
    Column("discovered", Text),
    Column("webhook_secret", LargeBinary),
    Column("school_year", Integer),
    *(Column(name, Text) for name in ("integrity", "kept_elsewhere", "target")),
)

#: `state` is `active`, `failing` (a renewal failed, the next one is tried at `next_try_at`), `broken` (only a person can help)
#: or `revoked` (given back by us). `due_at` is when to renew, `last_error` what went wrong, in words that are safe to show.
oauth_token = Table(
    "sis_oauth_token",
    metadata,
    _integration(primary_key=True),
    Column("sealed", LargeBinary),
    Column("obtained_at", Text),
    Column("expires_at", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="active"),
    Column("updated_at", Text),
    Column("grant_type", Text),
    Column("scope", Text),
    Column("due_at", Text, index=True),
    Column("renewed_at", Text),
    Column("next_try_at", Text),
    Column("last_error", Text),
)

#: An authorisation that was begun and not finished yet. The digests are those of the `state` that was sent along and of the
#: session of whoever began it; what has to be remembered until the answer comes is sealed.
pending_authorization = Table(
    "sis_pending_authorization",
    metadata,
    Column("state_digest", Text, primary_key=True),
    _integration(index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("session_digest", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
)

operation = Table(
    "sis_sync_operation",
    metadata,
    Column("id", Text, primary_key=True),
    _integration(index=True),
    Column("type", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("school_date", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Column("report", Text),
)

call_statistic = Table(
    "sis_call_statistic",
    metadata,
    Column("operation_id", Text, ForeignKey("sis_sync_operation.id"), primary_key=True),
    Column("template", Text, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("milliseconds", Float, nullable=False),
    Column("slowest", Float, nullable=False),
)

#: One endpoint in one context, and how far it has been read. `cursor`, `seen` and `progress` let an interrupted read go on.
#: `full_at` is when it was last read whole and proved complete, under `mapping_version`; `mark` is where its changes begin.
stream = Table(
    "sis_stream",
    metadata,
    _identity(),
    _integration(),
    Column("endpoint", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("school", Text),
    Column("state", Text, nullable=False),
    Column("rows", Integer, nullable=False, server_default="0"),
    Column("complete_at", Text),
    Column("cursor", Text),
    Column("cursor_at", Text),
    Column("seen", LargeBinary),
    Column("progress", Text),
    Column("mark", Text),
    Column("full_at", Text),
    Column("mapping_version", Text),
    UniqueConstraint("integration_id", "endpoint", "context"),
)

#: The rows of a long stream's last complete read, in the source's order and in portions: their fingerprints and their ids.
#: Under a negative id stand the keys of a longer list that the stream with that id is being read from (see `roster.whole_list`).
fingerprint = Table(
    "sis_fingerprint",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("portion", Integer, primary_key=True, autoincrement=False),
    Column("prints", LargeBinary, nullable=False),
    Column("row_ids", LargeBinary, nullable=False),
)

#: One row for each record (`part`) that a source row feeds, with an empty `kind` where none, `whole` = 0 where it only completes.
staged = Table(
    "sis_staged",
    metadata,
    _identity(),
    _integration(),
    Column("stream_id", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sis_id", Text, nullable=False),
    Column("fingerprint", BigInteger, nullable=False),
    Column("raw_hash", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("updated_at", Text),
    Column("missing_pulls", Integer, nullable=False, server_default="0"),
    Column("missing_since", Text),
    Column("whole", Integer, nullable=False, server_default="1"),
    UniqueConstraint("stream_id", "key", "part"),
    Index("ix_sis_staged_record", "integration_id", "kind", "sis_id"),
    Index("ix_sis_staged_missing", "integration_id", **_where("missing_pulls > 0")),
    Index("ix_sis_staged_parts", "integration_id", "kind", "sis_id", **_where("whole = 0")),
)

#: Identifiers by which other records refer to this one.
identifier = Table(
    "sis_identifier",
    metadata,
    _integration(primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("sis_id", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: Records that the next run has to look at, and why.
candidate = Table(
    "sis_candidate",
    metadata,
    _integration(primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("sis_id", Text, primary_key=True),
    Column("why", Text, nullable=False),
    sqlite_with_rowid=False,
)

quarantine = Table(
    "sis_quarantine",
    metadata,
    _identity(),
    _integration(),
    Column("stream_id", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Text, nullable=False),
    Column("operation_id", Text, nullable=False),
    Column("acknowledged", Boolean, nullable=False, server_default=text("0")),
    UniqueConstraint("integration_id", "stream_id", "kind", "key"),
)

#: What a person refused, until the SIS says something else, of it or of the owner that it was held with.
rejection = Table(
    "sis_rejection",
    metadata,
    _integration(primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("sis_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("owner_kind", Text),
    Column("owner_id", Text),
)

#: `position` is how far it has been applied: kind and `sis_id` of the last row, or `done`.
plan = Table(
    "sis_plan",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    _integration(index=True),
    Column("operation_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("position", Text),
)

#: `flags` names what guards look at (`removal`, `identity`, `blank:FIELD`); `source`, `local` and `base` are what the decision
#: was made on, so that `apply` can tell whether the world has moved on.
plan_row = Table(
    "sis_plan_row",
    metadata,
    Column("plan", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("sis_id", Text, primary_key=True),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("school", Text),
    Column("before", Text),
    Column("after", Text),
    Column("document", Text),
    Column("evidence", Text),
    Column("flags", Text, nullable=False),
    Column("source", Text),
    Column("local", Text),
    Column("base", Text),
    Column("due", Text),
    Column("state", Text, nullable=False),
    Column("hold_id", Text),
    sqlite_with_rowid=False,
)

hold = Table(
    "sis_hold",
    metadata,
    Column("id", Text, primary_key=True),
    _integration(index=True),
    Column("plan", Integer, nullable=False),
    Column("guard", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("of", Integer, nullable=False),
    Column("limit", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Text),
)

lease = Table(
    "sis_lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
)

rate_slot = Table(
    "sis_rate_slot",
    metadata,
    Column("limit_key", Text, primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("free_at", Float, nullable=False),
)

audit = Table(
    "sis_audit",
    metadata,
    _identity(),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("integration", Text),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("digest", Text, nullable=False),
)


def _mapping(kind: Kind) -> Table:
    one = kind.removesuffix("s")
    return Table(
        f"sis_{one}_mapping",
        metadata,
        _integration(primary_key=True),
        Column("sis_id", Text, primary_key=True),
        Column("local_id", Text),
        Column("status", Text, nullable=False),
        Column("school", Text),
        Column("base_sis", Text, nullable=False),
        Column("base_local", Text),
        Column("due", Text),
        Column("changed_at", Text, nullable=False),
        *(Column(name, Text) for name in ("spans", "base_at")),
        Index(f"ix_sis_{one}_mapping_due", "integration_id", "due", **_where("due IS NOT NULL")),
        sqlite_with_rowid=False,
    )


#: SIS id ↔ local id, with what was last decided on. `base_local` is empty where it equals `base_sis`, `base_at` (when both sides
#: last agreed) where it is `changed_at`. `spans`: school dates of when it was active here: `[[first, first not any more], …]`.
mappings: Mapping[Kind, Table] = MappingProxyType({kind: _mapping(kind) for kind in KINDS})

#: Fields of a record that are no columns of the roster: evidence, and what the table has by itself.
NOT_IN_ROSTER = frozenset({"sis_id", "derived", "updated_at"})


def roster_fields(kind: Kind) -> tuple[str, ...]:
    """The fields of a kind that the roster keeps, in the order of its columns."""
    return tuple(name for name in RECORDS[kind].model_fields if name not in NOT_IN_ROSTER)


#: Fields whose column is not plain text.
JSON_FIELDS = frozenset(
    {"ids", "custom", "grades", "schools", "students", "emails", "phones", "addresses", "contacts", "demographics"}
)
BOOLEAN_FIELDS = frozenset({"primary", "exit_inferred"})
INTEGER_FIELDS = frozenset({"school_year"})


def _column(name: str) -> Column[Any]:
    return Column(name, Boolean if name in BOOLEAN_FIELDS else Integer if name in INTEGER_FIELDS else Text)


def _roster(kind: Kind) -> Table:
    return Table(
        f"roster_{kind}",
        metadata,
        _identity(),
        _integration(),
        Column("sis_id", Text, nullable=False),
        *(_column(name) for name in roster_fields(kind)),
        Column("revision", Integer, nullable=False, server_default="1"),
        Column("edited_at", Text),
        Column("edited_by", Text),
        UniqueConstraint("integration_id", "sis_id"),
        Index(f"ix_roster_{kind}_edited", "integration_id", **_where("edited_at IS NOT NULL")),
    )


#: The built-in roster. `revision` counts our writes; `edited_at` is set by a trigger when somebody else (`edited_by`) edits it.
rosters: Mapping[Kind, Table] = MappingProxyType({kind: _roster(kind) for kind in KINDS})
