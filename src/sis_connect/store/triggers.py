"""How edits of the built-in roster by somebody else are noticed: the database itself notes them.

Our own writes raise `revision`; an update that does not is somebody else's and gets a time in `edited_at`. A row that
disappears makes its record a candidate for the next run.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from sis_connect.capabilities import KINDS, Kind
from sis_connect.store.tables import roster_fields

_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def statements(kind: Kind) -> tuple[str, str]:
    """The two triggers of one roster table, for SQLite."""
    table = f"roster_{kind}"
    watched = ", ".join(f'"{name}"' for name in roster_fields(kind))
    changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in roster_fields(kind))
    edited = (
        f"CREATE TRIGGER {table}_edited AFTER UPDATE OF {watched} ON {table} "
        f"WHEN NEW.revision = OLD.revision AND ({changed}) "
        f"BEGIN UPDATE {table} SET edited_at = {_NOW} WHERE id = NEW.id; END"
    )
    deleted = (
        f"CREATE TRIGGER {table}_deleted AFTER DELETE ON {table} "
        f"BEGIN INSERT OR IGNORE INTO sis_candidate (integration_id, kind, sis_id, why) "
        f"VALUES (OLD.integration_id, '{kind}', OLD.sis_id, 'target_missing'); END"
    )
    return edited, deleted


def create_triggers(connection: Connection) -> None:
    """Create the triggers of all roster tables."""
    for kind in KINDS:
        for statement in statements(kind):
            connection.execute(text(statement.replace(":", r"\:")))
