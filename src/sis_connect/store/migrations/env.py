"""How alembic runs the migrations: on the connection that it is handed, inside its transaction."""

from alembic import context

from sis_connect.store.decision_tables import metadata
from sis_connect.store.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
