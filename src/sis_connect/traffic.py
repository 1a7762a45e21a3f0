"""Call statistics: what a run asked of an SIS, by path template. Never a concrete path, a query or a body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.store.sql import write_many


class CallLike(Protocol):
    """One attempt at a request, as the transport tells of it."""

    @property
    def template(self) -> str: ...
    @property
    def milliseconds(self) -> float: ...
    @property
    def bytes(self) -> int: ...
    @property
    def error(self) -> str | None: ...


@dataclass(slots=True)
class _Statistic:
    calls: int = 0
    failures: int = 0
    bytes: int = 0
    milliseconds: float = 0.0
    slowest: float = 0.0


@dataclass(slots=True)
class Traffic:
    """Counts calls by path template. `window_left` tells how many requests the rate limit leaves just now, `under_way`
    whether any is being made."""

    window_left: Callable[[], int | None] = lambda: None
    under_way: Callable[[], bool] = lambda: False
    _by_template: dict[str, _Statistic] = field(default_factory=dict)

    def count(self, call: CallLike) -> None:
        """Take in one call."""
        statistic = self._by_template.setdefault(call.template, _Statistic())
        statistic.calls += 1
        statistic.failures += call.error is not None
        statistic.bytes += call.bytes
        statistic.milliseconds += call.milliseconds
        statistic.slowest = max(statistic.slowest, call.milliseconds)

    @property
    def requests(self) -> int:
        """All requests that went out, token requests and repeated ones included."""
        return sum(statistic.calls for statistic in self._by_template.values())

    @property
    def bytes(self) -> int:
        """All bytes that came back, decoded."""
        return sum(statistic.bytes for statistic in self._by_template.values())

    async def save(self, connection: AsyncConnection, operation_id: str) -> None:
        """Keep the statistics with their operation."""
        rows = [
            (operation_id, template, one.calls, one.failures, one.bytes, one.milliseconds, one.slowest)
            for template, one in self._by_template.items()
        ]
        columns = ("operation_id", "template", "calls", "failures", "bytes", "milliseconds", "slowest")
        await write_many(connection, "sis_call_statistic", columns, rows, conflict="(operation_id, template) DO NOTHING")
