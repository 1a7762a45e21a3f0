"""Instants as the tables hold them: UTC, ISO 8601 text, which sorts as time does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def to_text(moment: datetime) -> str: ...
@overload
def to_text(moment: None) -> None: ...
@overload
def to_text(moment: datetime | None) -> str | None: ...
def to_text(moment: datetime | None) -> str | None:
    """An instant as text."""
    return None if moment is None else moment.astimezone(UTC).isoformat()


def to_moment(text: str | None) -> datetime | None:
    """The reverse of `to_text`."""
    return None if text is None else datetime.fromisoformat(text)
