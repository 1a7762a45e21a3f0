"""Which target of a plugin keeps the roster of an integration."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("sis_integration", sa.Column("target", sa.Text()))
