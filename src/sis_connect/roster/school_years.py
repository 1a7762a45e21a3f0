"""The school years that the roster knows, from its terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.calendar import SchoolCalendar

_TERMS = text(
    "SELECT DISTINCT json_extract(base_sis, '$.type') = 'school_year' AS whole, json_extract(base_sis, '$.school_year') AS year, "
    "json_extract(base_sis, '$.start_date') AS start, json_extract(base_sis, '$.end_date') AS ends "
    "FROM sis_term_mapping WHERE integration_id = :i AND status <> 'deleted'"
)
_ENDED = text(
    "SELECT sis_id, json_extract(base_sis, '$.school_year') AS year, json_extract(base_sis, '$.end_date') AS ends "
    "FROM sis_term_mapping WHERE integration_id = :i AND json_extract(base_sis, '$.end_date') <= :today"
)
Stretch = tuple[int, date, date]


async def load_calendar(connection: AsyncConnection, integration_id: int) -> SchoolCalendar:
    """The school years of an integration, those that are over too. Empty where its SIS tells of no terms."""
    rows = (await connection.execute(_TERMS, {"i": integration_id})).all()
    stretches = (
        (bool(row.whole), row.year, date.fromisoformat(row.start), date.fromisoformat(row.ends))
        for row in rows
        if row.start and row.ends
    )
    return SchoolCalendar.of(_of_years(stretches))


async def terms_over(connection: AsyncConnection, integration_id: int, today: date) -> list[str]:
    """The terms whose school year is over by its dates; of one of which nobody knows more, those that are over themselves."""
    rows = (await connection.execute(_ENDED, {"i": integration_id, "today": today.isoformat()})).all()
    if not rows:
        return []
    calendar = await load_calendar(connection, integration_id)
    years = {row: calendar.named(row.year) if row.year is not None else calendar.year_of(_last_day(row.ends)) for row in rows}
    return [row.sis_id for row, year in years.items() if year is None or year.end <= today]


def _of_years(terms: Iterable[tuple[bool, int | None, date, date]]) -> Iterator[Stretch]:
    """What says how long a year is: terms that are a whole year, else all those that name the year that they are part of."""
    told = list(terms)
    named = [
        (whole, year if year is not None or not whole else _last_day(end).year, start, end) for whole, year, start, end in told
    ]
    with_whole = {year for whole, year, _, _ in named if whole}
    for whole, year, start, end in named:
        if year is not None and (whole or year not in with_whole):
            yield year, start, end


def _last_day(end: date | str) -> date:
    return (date.fromisoformat(end) if isinstance(end, str) else end) - timedelta(days=1)
