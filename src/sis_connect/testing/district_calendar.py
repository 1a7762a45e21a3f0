"""The dates of the synthetic district: school years, their semesters, and the weekdays on which the story moves on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

MONDAY, WEDNESDAY, FRIDAY = 0, 2, 4


def nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th Monday (0) … Sunday (6) of a month; n counts from 1."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


@dataclass(frozen=True, slots=True)
class SchoolYear:
    """A school year, named by the year it ends in. All ends are the first day after."""

    year: int

    @property
    def rollover(self) -> date:
        """The weekday in July on which this year becomes the current one."""
        july = date(self.year - 1, 7, 1)
        return july if july.weekday() < 5 else july + timedelta(days=7 - july.weekday())

    @property
    def start(self) -> date:
        return nth_weekday(self.year - 1, 8, WEDNESDAY, 2)

    @property
    def second_semester(self) -> date:
        return nth_weekday(self.year, 1, MONDAY, 2)

    @property
    def end(self) -> date:
        return nth_weekday(self.year, 6, FRIDAY, 1) + timedelta(days=1)

    def parts(self, portion: int) -> list[tuple[date, date]]:
        """The year cut into 1, 2, 3 or 4 parts, as (first day, first day after). Quarters are halves of the semesters."""
        if portion == 1:
            return [(self.start, self.end)]
        if portion == 2:
            return [(self.start, self.second_semester), (self.second_semester, self.end)]
        if portion == 4:
            return [half for semester in self.parts(2) for half in _cut(*semester, 2)]
        return _cut(self.start, self.end, portion)

    @property
    def next(self) -> SchoolYear:
        return SchoolYear(self.year + 1)


def _cut(start: date, end: date, parts: int) -> list[tuple[date, date]]:
    """A stretch of days in equal parts."""
    length = (end - start).days
    return list(pairwise([*(start + timedelta(days=length * part // parts) for part in range(parts)), end]))


def story_date(school_year: int, day: int) -> date:
    """Day 0 is the first Monday in October; each further day is the next weekday."""
    weeks, rest = divmod(day, 5)
    return nth_weekday(school_year - 1, 10, MONDAY, 1) + timedelta(days=7 * weeks + rest)


def current_year(today: date) -> SchoolYear:
    """The school year that is current: the last one whose roll-over has come."""
    coming = SchoolYear(today.year + 1)
    return coming if today >= coming.rollover else SchoolYear(today.year)
