"""What reads of changes only need, rows that only complete a record which others bring, and refusals that go with another one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("mark", "full_at", "mapping_version"):
        op.add_column("sis_stream", sa.Column(name, sa.Text()))
    op.add_column("sis_staged", sa.Column("whole", sa.Integer(), nullable=False, server_default="1"))
    for name in ("owner_kind", "owner_id"):
        op.add_column("sis_rejection", sa.Column(name, sa.Text()))
    op.create_index(
        "ix_sis_staged_parts",
        "sis_staged",
        ["integration_id", "kind", "sis_id"],
        sqlite_where=sa.text("whole = 0"),
        postgresql_where=sa.text("whole = 0"),
    )
