"""What an app is told of: what happens to a connection while it runs (`Event`), and what changed in the roster (`RosterEvent`).

An `Event` is safe to log. A `RosterEvent` carries what changed, which is pupils' data: its repr shows none of it (promise P7).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Literal

from sis_connect.capabilities import Kind

_log = logging.getLogger(__name__)

#: `token.obtained` and `token.renewed` come with each new token. `token.failing` comes once when renewals begin to fail,
#: `token.broken` once when only a person can help, and `token.recovered` with the token that ends either.
EventName = Literal[
    "token.obtained", "token.renewed", "token.failing", "token.broken", "token.recovered", "token.revoked"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `detail` is safe to log and to show."""

    name: EventName
    integration: str
    at: datetime
    detail: Mapping[str, str | int | float | None] = field(default_factory=dict)


#: Who is told. It is called at once, in the event loop: it must not wait.
Listener = Callable[[Event], None]


def tell(listener: Listener | None, event: Event) -> None:
    """Tell a listener. One that raises is logged and harms nobody: the work goes on."""
    if listener is None:
        return
    try:
        listener(event)
    except Exception as error:  # noqa: BLE001 - whatever an app's own code may raise
        # Its message may hold anything, so only its class is shown.
        _log.error("A listener failed on %s (%s).", event.name, type(error).__name__)


# -- the roster --------------------------------------------------------------------------------------------------------

RosterChange = Literal["created", "updated", "withdrawn", "reenrolled"]
#: What an action of a plan has come to once it is written.
CHANGES: Mapping[str, RosterChange] = {
    "create": "created",
    "update": "updated",
    "withdraw": "withdrawn",
    "reenroll": "reenrolled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterEvent:
    """One record that was changed in the roster, in the order in which that was written.

    `id` is the cursor: whoever has dealt with an event asks for those after it. `name` is the kind in the singular and what
    happened, such as `student.withdrawn`; `reason` says why. `sis_id` is the SIS's id, `local_id` the app's own, None where the
    app has no such row any more. `at` is UTC, `school_date` the district's day. `changes` holds what changed: field name to the
    value before and after, by the flat names of the records (`ids.student_number`); before a creation there was nothing.
    """

    id: int
    name: str
    integration: str
    kind: Kind
    sis_id: str
    local_id: str | None
    reason: str
    at: datetime
    school_date: date
    operation: str
    changes: Mapping[str, tuple[Any, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON. `changes` holds a list of two for each field."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        changes = {name: list(pair) for name, pair in self.changes.items()}
        return values | {"at": self.at.isoformat(), "school_date": self.school_date.isoformat(), "changes": changes}

    def __repr__(self) -> str:
        return f"<RosterEvent {self.id}: {self.name}>"


#: Who deals with what changed in the roster. What it returns is waited for, if it can be; if it raises, the event comes again.
RosterHandler = Callable[[RosterEvent], Awaitable[None] | None]


def event_name(kind: Kind, action: str) -> str:
    """The name of an event: `student.withdrawn`."""
    return f"{kind.removesuffix('s')}.{CHANGES[action]}"
