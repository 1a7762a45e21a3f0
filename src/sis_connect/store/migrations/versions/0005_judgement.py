"""Conflicts, pins, local edits by field, events, hints and coverage; who edited a row, and when a record was active here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

MAPPINGS = ("school", "term", "course", "staff", "student", "school_enrollment", "section", "enrollment", "guardian")
_PEOPLE = "given_name middle_name family_name preferred_given_name preferred_middle_name preferred_family_name username"
FIELDS = {
    "schools": "name identifier grades",
    "terms": "title type school school_year start_date end_date",
    "courses": "title course_code department school",
    "staff": f"{_PEOPLE} schools role email",
    "students": f"{_PEOPLE} school grade grade_text birth_date gender emails phones addresses contacts demographics",
    "school_enrollments": "student school entry_date exit_date exit_inferred grade entry_code exit_code",
    "sections": "title section_number school course term department period location",
    "enrollments": "section user role primary school begin_date end_date",
    "guardians": "given_name family_name relationship students emails phones",
}
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def upgrade() -> None:
    op.add_column("sis_integration", sa.Column("webhook_secret", sa.LargeBinary()))
    op.add_column("sis_integration", sa.Column("school_year", sa.Integer()))
    op.add_column("sis_integration", sa.Column("integrity", sa.Text()))
    op.add_column("sis_integration", sa.Column("kept_elsewhere", sa.Text()))
    for one in MAPPINGS:
        op.add_column(f"sis_{one}_mapping", sa.Column("spans", sa.Text()))
        op.add_column(f"sis_{one}_mapping", sa.Column("base_at", sa.Text()))
    stays_by_student()
    decisions()
    telling()
    for kind, names in FIELDS.items():
        op.add_column(f"roster_{kind}", sa.Column("edited_by", sa.Text()))
        noting_edits(kind, f"ids status status_reason custom {names}".split())


def noting_edits(kind: str, fields: list[str]) -> None:
    """The trigger that notes edits does so field by field from now on."""
    table = f"roster_{kind}"
    watched = ", ".join(f'"{name}"' for name in fields)
    changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in fields)
    each = " UNION ALL ".join(f'SELECT \'{name}\' AS field WHERE NEW."{name}" IS NOT OLD."{name}"' for name in fields)
    op.execute(f"DROP TRIGGER {table}_edited")
    edited = (
        f"CREATE TRIGGER {table}_edited AFTER UPDATE OF {watched} ON {table} "
        f"WHEN NEW.revision = OLD.revision AND ({changed}) "
        f"BEGIN UPDATE {table} SET edited_at = {NOW}, edited_by = NULL WHERE id = NEW.id; "
        "INSERT OR REPLACE INTO sis_local_edit (integration_id, kind, sis_id, field, at, author) "
        f"SELECT NEW.integration_id, '{kind}', NEW.sis_id, field, {NOW}, NEW.edited_by FROM ({each}); END"
    )
    op.execute(edited.replace(":", r"\:"))


def stays_by_student() -> None:
    """Find the stays of a student without looking through all of them."""
    where = sa.text("kind = 'school_enrollments'")
    of_mapping = sa.Computed("json_extract(base_sis, '$.student')", persisted=False)
    op.add_column("sis_school_enrollment_mapping", sa.Column("student", sa.Text(), of_mapping))
    op.create_index("ix_sis_school_enrollment_mapping_student", "sis_school_enrollment_mapping", ["integration_id", "student"])
    of_staged = sa.Computed("json_extract(NULLIF(document, ''), '$.student')", persisted=False)
    op.add_column("sis_staged", sa.Column("student", sa.Text(), of_staged))
    op.create_index(
        "ix_sis_staged_student", "sis_staged", ["integration_id", "student"], sqlite_where=where, postgresql_where=where
    )


def decisions() -> None:
    """What people decide, and what the app changed."""
    op.create_table(
        "sis_conflict",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sis_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("base", sa.Text()),
        sa.Column("sis", sa.Text()),
        sa.Column("local", sa.Text()),
        sa.Column("sis_at", sa.Text()),
        sa.Column("local_at", sa.Text()),
        sa.Column("operation_id", sa.Text(), nullable=False),
        sa.Column("filed_at", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text()),
        sa.Column("value", sa.Text()),
        sa.Column("decided_by", sa.Text()),
        sa.Column("decided_at", sa.Text()),
    )
    op.create_index("ix_sis_conflict_record", "sis_conflict", ["integration_id", "kind", "sis_id"])
    still_open = sa.text("state = 'open'")
    op.create_index(
        "ix_sis_conflict_open", "sis_conflict", ["integration_id"], sqlite_where=still_open, postgresql_where=still_open
    )
    op.create_table(
        "sis_pin",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sis_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False, server_default=""),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Text()),
        sa.UniqueConstraint("integration_id", "kind", "sis_id", "field", name="uq_sis_pin_integration_id_kind_sis_id_field"),
    )
    op.create_table(
        "sis_local_edit",
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("sis_id", sa.Text(), primary_key=True),
        sa.Column("field", sa.Text(), primary_key=True),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("author", sa.Text()),
        sqlite_with_rowid=False,
    )


def telling() -> None:
    """What is told to the app, what is heard from outside, and how well schools were covered."""
    op.create_table(
        "sis_event",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), nullable=False),
        sa.Column("operation_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sis_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("school_date", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sis_event_operation_id", "sis_event", ["operation_id"])
    op.create_table(
        "sis_listener",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("cursor", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
    )
    op.create_table(
        "sis_hint",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False, server_default="1"),
        sa.UniqueConstraint("integration_id", "kind", "name", "value", name="uq_sis_hint_integration_id_kind_name_value"),
    )
    op.create_table(
        "sis_delivery",
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("delivery_id", sa.Text(), primary_key=True),
        sa.Column("received_at", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sis_coverage",
        sa.Column("integration_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("school", sa.Text(), primary_key=True),
        sa.Column("measure", sa.Text(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("of", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("operation_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
