"""Guards of plugins: they are shown numbers, and what they stop is held like what ours stop.

One that fails holds all that it speaks for. `ask` is pure but for calling the guard; `count_changes` and `count_present` read
what it is shown.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from types import MappingProxyType
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.guards import ACTIONS, Change, Changes, Guard, Population, Stop
from sis_connect.roster.guard import Trip
from sis_connect.store.tables import mappings

#: More stops than this are no judgement: there are not that many schools.
MOST_STOPS = 10_000
#: So much of a guard's words is shown.
_WORDS = 80


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guard holds, and what the report says where it failed."""

    trips: list[Trip]
    warnings: list[dict[str, Any]]


class _Garbage(Exception):  # noqa: N818 - never leaves this module
    """What a guard returned cannot be understood."""


def ask(
    name: str, guard: Guard, changes: Changes, population: Population, *, school_date: date, first: Collection[Kind]
) -> Verdict:
    """Ask one guard. Nothing that it does or returns lets through what it speaks for."""
    try:
        given = {"changes": changes, "population": population, "school_date": school_date, "first": frozenset(first)}
        said: Any = guard.judge(**given)
        if inspect.iscoroutine(said):
            said.close()
            raise _Garbage("it is async, and nobody waits for it")
        stops = list(islice(iter(said), MOST_STOPS + 1))
        # One hold for what is stopped twice: of two that are equal, only one could be renewed or decided about.
        different = {(it.kind, it.action, it.school, it.reason): it for it in reversed([*_checked(stops, guard)])}
        trips = [trip for stop in reversed(different.values()) if (trip := _trip(name, stop, changes, population)) is not None]
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a guard is not waited for: even a cancellation would be its own
        # Its own words may hold anything, so only its class is shown.
        why = str(error) if isinstance(error, _Garbage) else f"it failed ({type(error).__name__})"
        return _failed(name, guard, changes, population, why)
    return Verdict(trips, [])


def _checked(stops: list[Any], guard: Guard) -> Iterator[Stop]:
    if len(stops) > MOST_STOPS:
        raise _Garbage(f"it returned more than {MOST_STOPS} stops")
    for stop in stops:
        if not isinstance(stop, Stop):
            raise _Garbage(f"it returned {type(stop).__name__} where a Stop belongs")
        if stop.kind not in guard.kinds or stop.action not in guard.actions:
            raise _Garbage("it stopped what it does not speak for")
        if not isinstance(stop.limit, str) or not all(isinstance(it, (str, type(None))) for it in (stop.school, stop.reason)):
            raise _Garbage("its stop has no words where they belong")
        yield stop


def _failed(name: str, guard: Guard, changes: Changes, population: Population, why: str) -> Verdict:
    message = f"The guard {name} cannot be relied on: {why}. All that it speaks for is held."
    everything = [
        Stop(kind=kind, action=action, limit="the guard failed")
        for kind in KINDS
        if kind in guard.kinds
        for action in ACTIONS
        if action in guard.actions
    ]
    trips = [trip for stop in everything if (trip := _trip(name, stop, changes, population)) is not None]
    return Verdict(trips, [{"warning": "guard_failed", "message": message, "guard": name}])


def _trip(name: str, stop: Stop, changes: Changes, population: Population) -> Trip | None:
    """The hold that a stop asks for; none where there is nothing to hold."""
    number = changes.number(stop.kind, stop.action, school=stop.school, reason=stop.reason)
    if not number:
        return None
    scope = "district" if stop.school is None else f"school={stop.school}" if stop.school else "no school"
    return Trip(
        guard=name,
        kind=stop.kind,
        action=stop.action,
        scope=scope if stop.reason is None else f"{scope} reason={stop.reason}",
        count=number,
        of=max(number, population.number(stop.kind, school=stop.school)),
        limit="".join(it for it in stop.limit if it.isprintable())[:_WORDS],
        school=stop.school,
        reason=stop.reason,
    )


# -- what they are shown -----------------------------------------------------------------------------------------------


async def count_changes(connection: AsyncConnection, plan: int) -> Changes:
    """What a plan would write, counted."""
    query = text(
        "SELECT kind, action, COALESCE(school, '') AS school, reason, COUNT(*) AS number FROM sis_plan_row "
        "WHERE plan = :plan AND action IN ('create', 'update', 'withdraw', 'reenroll') GROUP BY 1, 2, 3, 4"
    )
    rows = await connection.execute(query, {"plan": plan})
    return Changes(MappingProxyType({Change(row.kind, row.action, row.school, row.reason): int(row.number) for row in rows}))


async def count_present(connection: AsyncConnection, integration_id: int, schools: Collection[str] | None) -> Population:
    """The active local records of each kind, in the schools that are read."""
    counts: dict[tuple[Kind, str], int] = {}
    for kind in KINDS:
        query = text(
            f"SELECT COALESCE(school, '') AS school, COUNT(*) AS number FROM {mappings[kind].name} "
            "WHERE integration_id = :i AND status NOT IN ('inactive', 'deleted') GROUP BY 1"
        )
        for row in await connection.execute(query, {"i": integration_id}):
            if schools is None or not row.school or row.school in schools:
                counts[kind, row.school] = int(row.number)
    return Population(MappingProxyType(counts))
