"""Fingerprints in portions, so that writing or reading those of a large district takes no more memory than one portion.

Those that were kept in one piece are dropped: the next read finds them in the staged rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for name in ("fingerprints", "row_ids"):
        op.drop_column("sis_stream", name)
    op.create_table(
        "sis_fingerprint",
        sa.Column("stream_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("portion", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("prints", sa.LargeBinary(), nullable=False),
        sa.Column("row_ids", sa.LargeBinary(), nullable=False),
    )
