"""Pins: records that a person protects from removal, and fields whose local value they protect.

A pinned field is left as the app has it, and nothing about it is remembered: once the pin has ended, everything is decided as if
it happened then. Pins are few, so whoever looks at them looks at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.store.decision_tables import pin as table
from sis_connect.store.tables import integration, mappings

_HOLDS = "(p.expires_on IS NULL OR p.expires_on > :today)"
#: Records of a kind whose pins have ended, and of which something may have waited for that.
_NOMINATE = (
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT p.integration_id, p.kind, p.sis_id, 'unpinned' "
    f"FROM sis_pin p WHERE p.integration_id = :i AND p.kind = :k AND NOT {_HOLDS} "
    "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What somebody has pinned: a record (`field` is empty), or one field of it. `created_at` is UTC, ISO 8601; `expires_on` is
    the first school date on which it holds no more, YYYY-MM-DD. Its repr shows neither of whom it is nor why (promise P7)."""

    id: str
    integration: str
    kind: Kind
    sis_id: str = attribute(repr=False)
    field: str
    reason: str = attribute(repr=False)
    actor: str
    created_at: str
    expires_on: str | None

    @classmethod
    def of(
        cls,
        integration: str,
        kind: Kind,
        sis_id: str,
        field: str,
        *,
        reason: str,
        actor: str,
        at: datetime,
        expires_on: date | None,
    ) -> Pin:
        """A new pin."""
        return cls(
            id=uuid.uuid4().hex[:12],
            integration=integration,
            kind=kind,
            sis_id=sis_id,
            field=field,
            reason=reason,
            actor=actor,
            created_at=at.isoformat(),
            expires_on=expires_on.isoformat() if expires_on else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


async def find_pins(connection: AsyncConnection, integration_id: int | None = None) -> list[Pin]:
    """The pins of one integration, or of all."""
    query = select(table, integration.c.name.label("integration")).join(integration, integration.c.id == table.c.integration_id)
    if integration_id is not None:
        query = query.where(table.c.integration_id == integration_id)
    rows = await connection.execute(query.order_by(integration.c.name, table.c.kind, table.c.sis_id, table.c.field))
    return [Pin(**{name: getattr(row, name) for name in Pin.__slots__}) for row in rows]


async def put_pin(connection: AsyncConnection, integration_id: int, pin: Pin) -> Pin:
    """Keep a pin, in place of an earlier one of the same. Raises `ConfigurationError` where nobody knows the record."""
    known = text(f"SELECT EXISTS (SELECT 1 FROM {mappings[pin.kind].name} WHERE integration_id = :i AND sis_id = :s)")
    if not (await connection.execute(known, {"i": integration_id, "s": pin.sis_id})).scalar():
        raise ConfigurationError(
            f"{pin.integration} has no such record in {pin.kind.replace('_', ' ')}.", remedy="See `export` for the ids."
        )
    same = {"integration_id": integration_id, "kind": pin.kind, "sis_id": pin.sis_id, "field": pin.field}
    await connection.execute(delete(table).where(*(table.c[name] == value for name, value in same.items())))
    rest = {name: getattr(pin, name) for name in ("id", "reason", "actor", "created_at", "expires_on")}
    await connection.execute(insert(table).values(**same, **rest))
    await _write_down(connection, pin, "pin.set", pin.actor, datetime.fromisoformat(pin.created_at))
    return pin


async def remove_pin(connection: AsyncConnection, pin: Pin, *, actor: str, at: datetime) -> None:
    """Remove a pin, and look at its record again."""
    look = (
        "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'unpinned' "
        "FROM sis_pin WHERE id = :p ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
    )
    await connection.execute(text(look), {"p": pin.id})
    await connection.execute(delete(table).where(table.c.id == pin.id))
    await _write_down(connection, pin, "pin.removed", actor, at)


async def _write_down(connection: AsyncConnection, pin: Pin, action: str, actor: str, at: datetime) -> None:
    detail = {"pin": pin.id, "kind": pin.kind, "sis_id": pin.sis_id, "field": pin.field}
    await audit.record(connection, at=at, actor=actor, action=action, integration=pin.integration, detail=detail)


async def load_pins(connection: AsyncConnection, integration_id: int, kind: Kind, today: date) -> Mapping[str, frozenset[str]]:
    """What is pinned of each record on a day: field names, and the empty name for the record itself."""
    query = text(f"SELECT p.sis_id, p.field FROM sis_pin p WHERE p.integration_id = :i AND p.kind = :k AND {_HOLDS}")
    found: dict[str, frozenset[str]] = {}
    for row in await connection.execute(query, {"i": integration_id, "k": kind, "today": today.isoformat()}):
        found[row.sis_id] = found.get(row.sis_id, frozenset()) | {row.field}
    return found


async def nominate_expired(connection: AsyncConnection, integration_id: int, kind: Kind, today: date) -> None:
    """Look again at the records whose pins have ended."""
    await connection.execute(text(_NOMINATE), {"i": integration_id, "k": kind, "today": today.isoformat()})


async def stale_pins(connection: AsyncConnection, integration_id: int, today: date) -> list[dict[str, Any]]:
    """Warn of pins that have expired, or that the SIS has moved on from."""
    pins = text(
        f"SELECT p.id, p.kind, p.sis_id, p.field, p.expires_on, {_HOLDS} AS holds FROM sis_pin p "
        "WHERE p.integration_id = :i ORDER BY p.kind, p.sis_id, p.field"
    )
    warnings = []
    for pin in (await connection.execute(pins, {"i": integration_id, "today": today.isoformat()})).all():
        why = await _stale(connection, integration_id, pin)
        if why:
            field = {"field": pin.field} if pin.field else {}
            about = {"kind": pin.kind, "sis_id": pin.sis_id, **field, "pin": pin.id}
            what = f"The pin {pin.id} ({pin.kind.replace('_', ' ')}{', ' + pin.field if pin.field else ''})"
            warnings.append({"warning": "stale_pin", "message": f"{what} {why}", **about})
    return warnings


async def _stale(connection: AsyncConnection, integration_id: int, pin: Any) -> str:
    """Why a pin should be looked at, if it should."""
    if not pin.holds:
        return f"has expired on {pin.expires_on}: remove it, or give it another day."
    known = text(
        "SELECT m.status, EXISTS (SELECT 1 FROM sis_staged s WHERE s.integration_id = :i AND s.kind = :k AND s.sis_id = :s "
        "AND s.missing_pulls = 0 AND COALESCE(json_extract(s.document, '$.status'), 'active') = 'active') AS told "
        f"FROM {mappings[pin.kind].name} m WHERE m.integration_id = :i AND m.sis_id = :s"
    )
    row = (await connection.execute(known, {"i": integration_id, "k": pin.kind, "s": pin.sis_id})).one_or_none()
    if row is None:
        return "protects a record that nobody knows: remove it."
    if not pin.field and not row.told and row.status not in ("inactive", "deleted"):
        return "keeps what the SIS has withdrawn, or tells of no more: make sure that it is still right."
    if not pin.field and row.status in ("inactive", "deleted"):
        return "protects what has left already: remove it."
    return ""
