"""The calendar of an integration, and the roll-over to a new school year."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sis_connect.calendar import SchoolCalendar, SchoolYear
from sis_connect.errors import ConfigurationError
from sis_connect.provider import Scope
from sis_connect.roster.guarding import Request
from sis_connect.roster.profiles import InForce
from sis_connect.roster.report import SyncReport
from sis_connect.roster.rollover import school_year_of
from sis_connect.roster.school_years import load_calendar
from sis_connect.roster.sync import Synchroniser
from sis_connect.service.ground import Ground, OnProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarOverview:
    """What the date means for an integration: the school years that its terms tell of, and what goes for the guards today.

    `reading` is the school year that is asked for, None where that is left to the SIS.
    """

    integration: str
    today: date
    years: SchoolCalendar
    reading: int | None
    in_force: InForce

    @property
    def current(self) -> SchoolYear | None:
        """The year that today lies in, or between years the last one."""
        return self.years.current(self.today)

    @property
    def between_years(self) -> bool:
        """Whether the last year is over and the next has not begun."""
        return self.years.is_between_years(self.today)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON. `end` is the first day after a year; `until` the last day of a profile or a pause."""
        current, coming, pause = self.current, self.years.next(self.today), self.in_force.pause
        return {
            "integration": self.integration,
            "today": self.today.isoformat(),
            "school_year": self.reading,
            "years": [_described(year) for year in self.years],
            "current": current.year if current else None,
            "next": coming.year if coming else None,
            "between_years": self.between_years,
            "profile": {
                "name": self.in_force.profile.name,
                "until": self.in_force.until.isoformat() if self.in_force.until else None,
            },
            "pause": {"from": pause.first.isoformat(), "until": pause.last.isoformat()} if pause else None,
        }


def _described(year: SchoolYear) -> dict[str, Any]:
    return {"year": year.year, "start": year.start.isoformat(), "end": year.end.isoformat()}


class SchoolYears(Ground):
    """School years and roll-over."""

    async def calendar(self, name: str) -> CalendarOverview:
        """The school years of an integration, as its terms tell them, and what goes for the guards today."""
        async with Ground._synchroniser(self, name, None, offline=True) as run:
            return await self._overview(run)

    async def rollover(
        self,
        name: str,
        *,
        to: int | None = None,
        preview: bool = False,
        strict: bool = False,
        progress: OnProgress = None,
        actor: str = "",
    ) -> SyncReport:
        """Turn a roster to another school year, by the calendar year that it ends in; by default to the one after the last.

        The new year is read and planned with the guards' roll-over profile, and what no guard holds is applied. Terms, courses,
        sections and enrolments that only the last year has end as soon as that is over by its dates. From then on the new year
        is read. With `preview`, nothing is written; with `strict`, nothing where a guard holds anything. Nothing is written
        either where the new year could not be read to its end. Raises `ConfigurationError` where nobody knows which year is
        meant.
        """
        self._demand(actor, "rollover", name)
        async with self._synchroniser(name, progress) as run:
            overview = await self._overview(run)
            schools = frozenset(run.config.schools) or None
            request = Request(scope=Scope(schools=schools), strict=strict, actor=actor, to=year_to(overview, to))
            report = await (run.plan(request) if preview else run.sync(request, type_="rollover"))
        await self._integrations.note_status(name, report)
        return report

    async def _overview(self, run: Synchroniser) -> CalendarOverview:
        async with self._store.read() as connection:
            years = await load_calendar(connection, run.integration_id)
            turned_to = await school_year_of(connection, run.integration_id)
        reading = max((year for year in (turned_to, run.config.school_year) if year is not None), default=None)
        return CalendarOverview(
            integration=run.integration,
            today=run.today,
            years=years,
            reading=reading,
            in_force=run.limits(Request()),
        )


def year_to(overview: CalendarOverview, to: int | None) -> int:
    """The year to turn to. There is no way back to a former one."""
    last = overview.reading or (overview.current.year if overview.current else None)
    if to is None and last is None:
        raise ConfigurationError(
            f"Nobody knows which school year {overview.integration} is in: its SIS tells of no terms.",
            remedy="Name the new year with --to, by the calendar year that it ends in.",
        )
    year = to if to is not None else (last or 0) + 1
    if overview.reading is not None and year < overview.reading:
        raise ConfigurationError(
            f"{overview.integration} is in the school year {overview.reading} already, and {year} is a former one.",
            remedy=f"Name {overview.reading + 1}, or leave --to out.",
        )
    return year
