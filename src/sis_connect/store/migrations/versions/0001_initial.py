"""The first schema."""

from alembic import op

from sis_connect.store.tables import metadata
from sis_connect.store.triggers import create_triggers

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    create_triggers(op.get_bind())
