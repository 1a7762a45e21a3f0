"""What an app is told of while it runs: a name, the integration it is about, and when. No token, no secret, no pupil's data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

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
