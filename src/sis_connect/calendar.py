"""The school years of a district: which one a day belongs to, which one comes next, and the days between them. Pure.

Dates are school dates, in the district's time zone. A year is named by the calendar year that it ends in: 2026-27 is 2027.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, order=True)
class SchoolYear:
    """A school year. `start` is its first day, `end` the first day after it."""

    year: int
    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError("a school year ends after it starts")

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    def __str__(self) -> str:
        return f"{self.year - 1}-{self.year % 100:02d}"

    def covers(self, begin: date, end: date | None) -> bool:
        """Whether a stretch of days, first day to first day after it, lies in this year. An open one only has to begin in it."""
        return begin in self and (end is None or begin <= end <= self.end)


@dataclass(frozen=True, slots=True)
class SchoolCalendar:
    """The school years that are known, in order. Without any, every question is answered by None or no."""

    years: tuple[SchoolYear, ...] = ()

    @classmethod
    def of(cls, stretches: Iterable[tuple[int, date, date]]) -> SchoolCalendar:
        """Put together from (year, first day, first day after it). A year told several times, by each school, is all of them.

        What has no length says nothing and is left out.
        """
        years: dict[int, SchoolYear] = {}
        for year, start, end in stretches:
            if end <= start:
                continue
            known = years.get(year)
            years[year] = (
                SchoolYear(year, min(known.start, start), max(known.end, end)) if known else SchoolYear(year, start, end)
            )
        return cls(tuple(sorted(years.values(), key=lambda one: (one.start, one.year))))

    def __iter__(self) -> Iterator[SchoolYear]:
        return iter(self.years)

    def __bool__(self) -> bool:
        return bool(self.years)

    def named(self, year: int) -> SchoolYear | None:
        """The year that ends in this calendar year."""
        return next((one for one in self.years if one.year == year), None)

    def year_of(self, day: date) -> SchoolYear | None:
        """The year that a day lies in, the later one where two overlap; None between years."""
        return next((one for one in reversed(self.years) if day in one), None)

    def current(self, day: date) -> SchoolYear | None:
        """The year that a day lies in, or between years the one that was last."""
        return next((one for one in reversed(self.years) if one.start <= day), None)

    def next(self, day: date) -> SchoolYear | None:
        """The first year that begins after a day."""
        return next((one for one in self.years if one.start > day), None)

    def is_between_years(self, day: date) -> bool:
        """Whether a day lies after one known year and before another, or after the last one: in the summer."""
        return self.year_of(day) is None and self.current(day) is not None
