"""The ledger of stays. Pure.

Where the SIS tells only the current stay of a student, a former one ends silently: its place is taken by the next. The ledger
closes it from what the next one says, and marks the date as inferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sis_connect.calendar import SchoolCalendar

Reason = Literal["transfer", "re_entry", "promotion", "rollover", "correction", "withdrawal"]
Succession = Literal["transfer", "re_entry", "promotion", "rollover", "correction"]

#: Who comes to another school of the district within this time has moved there. No holidays within a year last longer.
HOLIDAYS = timedelta(days=21)
#: Dates this far from all known school years are left over from something else (a form of years ago, a wrong century).
FAR = timedelta(days=366)
NO_YEARS = SchoolCalendar()


@dataclass(frozen=True, slots=True)
class Stint:
    """One stay: first day in, first day out."""

    school: str
    entry_date: date
    exit_date: date | None = None
    grade: str | None = None

    @property
    def took_place(self) -> bool:
        """Whether there was a day of it."""
        return self.exit_date is None or self.exit_date > self.entry_date

    @property
    def order(self) -> tuple[date, date, str, str]:
        """By this, stays are in one order only, also those that begin on one day: what never took place comes first."""
        return self.entry_date, self.exit_date or date.max, self.school, self.grade or ""


@dataclass(frozen=True, slots=True)
class Closing:
    """How a former stay ended. `ended` says that it was over by its own date, so that closing it removes nobody."""

    exit_date: date
    inferred: bool
    reason: Reason
    ended: bool


def close(former: Stint, successor: Stint | None, today: date, years: SchoolCalendar = NO_YEARS) -> Closing:
    """Close a stay that the SIS speaks of no longer, given the one that it speaks of now."""
    own = former.exit_date
    ended = own is not None and own <= today
    if successor is None:
        exit_date = own if own is not None and own <= today else max(today, former.entry_date)
        return Closing(exit_date, exit_date != own, "withdrawal", ended)
    if successor.entry_date <= former.entry_date or former.entry_date > today:
        # It begins where the former began or before: the former was a mistake and never took place.
        return Closing(former.entry_date, former.entry_date != own, "correction", False)
    exit_date = min(own, successor.entry_date) if own is not None else successor.entry_date
    return Closing(exit_date, exit_date != own, succession(former, successor, years), ended)


def succession(former: Stint, successor: Stint, years: SchoolCalendar = NO_YEARS) -> Succession:
    """Why one stay follows another that began before it.

    Where no school years are known, one that had its own end, and goes on in another grade at another school, tells of a new one.
    """
    next_year, left = is_next_year(former, successor, years), former.exit_date
    if next_year:
        return "rollover"
    if former.school != successor.school:
        if next_year is None and left is not None and successor.entry_date >= left and former.grade != successor.grade:
            return "rollover"
        return "transfer" if left is None or successor.entry_date - left <= HOLIDAYS else "re_entry"
    if former.grade != successor.grade:
        return "promotion"
    return "correction" if left == successor.entry_date else "re_entry"


def is_next_year(former: Stint, successor: Stint, years: SchoolCalendar) -> bool | None:
    """Whether a stay belongs to a later school year than the one before it. None where the years are not known."""
    begins = _year_begins(successor.entry_date, years)
    return former.entry_date < begins if begins is not None else None


def is_likely(day: date, years: SchoolCalendar) -> bool:
    """Whether a date may be meant: it lies in a known school year or near one. Where no years are known, every date may be."""
    known = years.years
    return not known or known[0].start - FAR <= day < max(year.end for year in known) + FAR


def _year_begins(day: date, years: SchoolCalendar) -> date | None:
    """The first day of the school year that a day belongs to, with the summer before it."""
    within = years.year_of(day)
    before = [year for year in years if year.end <= day or (within is not None and year.start < within.start)]
    last = max((year.end for year in before), default=None)
    if within is None:
        return last
    return min(within.start, last) if last is not None else within.start
