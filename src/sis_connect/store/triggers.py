"""How edits of the built-in roster by somebody else are noticed: the database itself notes them.

Our own writes raise `revision`; an update that does not is somebody else's and gets a time in `edited_at`. Which fields it
changed, when and by whom (`edited_by`, where the app tells), is noted field by field. A row that disappears makes its record a
candidate for the next run.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from sis_connect.capabilities import KINDS, Kind
from sis_connect.store.tables import roster_fields

_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def statements(kind: Kind) -> tuple[str, str]:
    """The two triggers of one roster table, for SQLite."""
    table, fields = f"roster_{kind}", roster_fields(kind)
    watched = ", ".join(f'"{name}"' for name in fields)
    changed = " OR ".join(f'NEW."{name}" IS NOT OLD."{name}"' for name in fields)
    each = " UNION ALL ".join(f'SELECT \'{name}\' AS field WHERE NEW."{name}" IS NOT OLD."{name}"' for name in fields)
    edited = (
        f"CREATE TRIGGER {table}_edited AFTER UPDATE OF {watched} ON {table} "
        f"WHEN NEW.revision = OLD.revision AND ({changed}) "
        f"BEGIN UPDATE {table} SET edited_at = {_NOW}, edited_by = NULL WHERE id = NEW.id; "
        "INSERT OR REPLACE INTO sis_local_edit (integration_id, kind, sis_id, field, at, author) "
        f"SELECT NEW.integration_id, '{kind}', NEW.sis_id, field, {_NOW}, NEW.edited_by FROM ({each}); END"
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
