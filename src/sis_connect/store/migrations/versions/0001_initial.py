"""The first schema. Written out, not taken from `tables.py`, so that it stays what it was when the tables move on."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MAPPINGS = {
    "schools": "sis_school_mapping",
    "terms": "sis_term_mapping",
    "courses": "sis_course_mapping",
    "staff": "sis_staff_mapping",
    "students": "sis_student_mapping",
    "school_enrollments": "sis_school_enrollment_mapping",
    "sections": "sis_section_mapping",
    "enrollments": "sis_enrollment_mapping",
    "guardians": "sis_guardian_mapping",
}
ROSTERS = {
    "schools": "ids status status_reason custom name identifier grades",
    "terms": "ids status status_reason custom title type school school_year start_date end_date",
    "courses": "ids status status_reason custom title course_code department school",
    "staff": (
        "ids status status_reason custom given_name middle_name family_name preferred_given_name "
        "preferred_middle_name preferred_family_name username schools role email"
    ),
    "students": (
        "ids status status_reason custom given_name middle_name family_name preferred_given_name "
        "preferred_middle_name preferred_family_name username school grade grade_text birth_date gender "
        "emails phones addresses contacts demographics"
    ),
    "school_enrollments": (
        "ids status status_reason custom student school entry_date exit_date exit_inferred grade entry_code exit_code"
    ),
    "sections": "ids status status_reason custom title section_number school course term department period location",
    "enrollments": "ids status status_reason custom section user role primary school begin_date end_date",
    "guardians": "ids status status_reason custom given_name family_name relationship students emails phones",
}
BOOLEAN_FIELDS = {"primary", "exit_inferred"}
INTEGER_FIELDS = {"school_year"}
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def upgrade() -> None:
    keeping()
    for kind, table in MAPPINGS.items():
        mapping(table)
        roster(kind, ROSTERS[kind].split())


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def mapping(table: str) -> None:
    op.create_table(
        table,
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sis_id", sa.Text(), primary_key=True),
        sa.Column("local_id", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("school", sa.Text()),
        sa.Column("base_sis", sa.Text(), nullable=False),
        sa.Column("base_local", sa.Text()),
        sa.Column("due", sa.Text()),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(f"ix_{table}_due", table, ["integration_id", "due"], **_where("due IS NOT NULL"))


def roster(kind: str, fields: list[str]) -> None:
    table = f"roster_{kind}"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), nullable=False),
        sa.Column("sis_id", sa.Text(), nullable=False),
        *(sa.Column(name, field_type(name)) for name in fields),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("edited_at", sa.Text()),
        sa.UniqueConstraint("integration_id", "sis_id", name=f"uq_{table}_integration_id_sis_id"),
    )
    op.create_index(f"ix_{table}_edited", table, ["integration_id"], **_where("edited_at IS NOT NULL"))
    for statement in triggers(kind, table, fields):
        op.get_bind().exec_driver_sql(statement)


def field_type(name: str) -> sa.types.TypeEngine[Any]:
    return sa.Boolean() if name in BOOLEAN_FIELDS else sa.Integer() if name in INTEGER_FIELDS else sa.Text()


def triggers(kind: str, table: str, fields: list[str]) -> tuple[str, str]:
    """What notes that somebody else edited or deleted a row; see `sis_connect.store.triggers`."""
    watched = ", ".join(f'"{name}"' for name in fields)
    changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in fields)
    return (
        f"CREATE TRIGGER {table}_edited AFTER UPDATE OF {watched} ON {table} "
        f"WHEN NEW.revision = OLD.revision AND ({changed}) "
        f"BEGIN UPDATE {table} SET edited_at = {NOW} WHERE id = NEW.id; END",
        f"CREATE TRIGGER {table}_deleted AFTER DELETE ON {table} "
        f"BEGIN INSERT OR IGNORE INTO sis_candidate (integration_id, kind, sis_id, why) "
        f"VALUES (OLD.integration_id, '{kind}', OLD.sis_id, 'target_missing'); END",
    )


def keeping() -> None:
    op.create_table(
        "sis_audit",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("integration", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
    )
    op.create_table(
        "sis_candidate",
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("sis_id", sa.Text(), primary_key=True),
        sa.Column("why", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sis_hold",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("guard", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("of", sa.Integer(), nullable=False),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text()),
        sa.Column("decided_at", sa.Text()),
    )
    op.create_index("ix_sis_hold_integration_id", "sis_hold", ["integration_id"])
    op.create_table(
        "sis_identifier",
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), primary_key=True),
        sa.Column("sis_id", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sis_integration",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text()),
        sa.Column("policy", sa.Text()),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.Text()),
        sa.UniqueConstraint("name", name="uq_sis_integration_name"),
    )
    op.create_table(
        "sis_lease",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "sis_oauth_token",
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("obtained_at", sa.Text()),
        sa.Column("expires_at", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("state", sa.Text(), nullable=False, server_default="active"),
        sa.Column("updated_at", sa.Text()),
    )
    op.create_table(
        "sis_plan",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("integration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("operation_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("position", sa.Text()),
        sa.UniqueConstraint("id", name="uq_sis_plan_id"),
    )
    op.create_index("ix_sis_plan_integration_id", "sis_plan", ["integration_id"])
    op.create_table(
        "sis_plan_row",
        sa.Column("plan", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("sis_id", sa.Text(), primary_key=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("school", sa.Text()),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.Column("document", sa.Text()),
        sa.Column("evidence", sa.Text()),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("source", sa.Text()),
        sa.Column("local", sa.Text()),
        sa.Column("base", sa.Text()),
        sa.Column("due", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Text()),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sis_quarantine",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("operation_id", sa.Text(), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False, server_default=sa.text("0")),
        sa.UniqueConstraint(
            "integration_id", "stream_id", "kind", "key", name="uq_sis_quarantine_integration_id_stream_id_kind_key"
        ),
    )
    op.create_table(
        "sis_rate_slot",
        sa.Column("limit_key", sa.Text(), primary_key=True),
        sa.Column("slot", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("free_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "sis_rejection",
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("sis_id", sa.Text(), primary_key=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
    )
    op.create_table(
        "sis_staged",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sis_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.BigInteger(), nullable=False),
        sa.Column("raw_hash", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text()),
        sa.Column("missing_pulls", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("missing_since", sa.Text()),
        sa.UniqueConstraint("stream_id", "key", "part", name="uq_sis_staged_stream_id_key_part"),
    )
    op.create_index("ix_sis_staged_missing", "sis_staged", ["integration_id"], **_where("missing_pulls > 0"))
    op.create_index("ix_sis_staged_record", "sis_staged", ["integration_id", "kind", "sis_id"])
    op.create_table(
        "sis_stream",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("school", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("fingerprints", sa.LargeBinary()),
        sa.Column("row_ids", sa.LargeBinary()),
        sa.Column("complete_at", sa.Text()),
        sa.Column("cursor", sa.Text()),
        sa.Column("cursor_at", sa.Text()),
        sa.Column("seen", sa.LargeBinary()),
        sa.Column("progress", sa.Text()),
        sa.UniqueConstraint("integration_id", "endpoint", "context", name="uq_sis_stream_integration_id_endpoint_context"),
    )
    op.create_table(
        "sis_sync_operation",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("school_date", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text()),
        sa.Column("report", sa.Text()),
    )
    op.create_index("ix_sis_sync_operation_integration_id", "sis_sync_operation", ["integration_id"])
    op.create_table(
        "sis_call_statistic",
        sa.Column(
            "operation_id",
            sa.Text(),
            sa.ForeignKey("sis_sync_operation.id", name="fk_sis_call_statistic_operation_id"),
            primary_key=True,
        ),
        sa.Column("template", sa.Text(), primary_key=True),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.Float(), nullable=False),
        sa.Column("slowest", sa.Float(), nullable=False),
    )
