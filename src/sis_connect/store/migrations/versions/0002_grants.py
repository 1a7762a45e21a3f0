"""What refresh tokens, authorisations by a person and two live client secrets need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("former_secret", "password"):
        op.add_column("sis_integration", sa.Column(name, sa.LargeBinary()))
    for name in ("former_secret_at", "discovered"):
        op.add_column("sis_integration", sa.Column(name, sa.Text()))
    for name in ("grant_type", "scope", "due_at", "renewed_at", "next_try_at", "last_error"):
        op.add_column("sis_oauth_token", sa.Column(name, sa.Text()))
    op.create_index("ix_sis_oauth_token_due_at", "sis_oauth_token", ["due_at"])
    op.create_table(
        "sis_pending_authorization",
        sa.Column("state_digest", sa.Text(), primary_key=True),
        sa.Column("integration_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("session_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
    )
    op.create_index("ix_sis_pending_authorization_integration_id", "sis_pending_authorization", ["integration_id"])
