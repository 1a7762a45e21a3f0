"""The ledger of stays. Pure.

Where the SIS tells only the current stay of a student, a former one ends silently: its place is taken by the next. The ledger
closes it from what the next one says, and marks the date as inferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Reason = Literal["transfer", "re_entry", "promotion", "rollover", "correction", "withdrawal"]


@dataclass(frozen=True, slots=True)
class Stint:
    """One stay: first day in, first day out."""

    school: str
    entry_date: date
    exit_date: date | None = None
    grade: str | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """How a former stay ended. `ended` says that it was over by its own date, so that closing it removes nobody."""

    exit_date: date
    inferred: bool
    reason: Reason
    ended: bool


def close(former: Stint, successor: Stint | None, today: date) -> Closing:
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
    return Closing(exit_date, exit_date != own, _reason(former, successor), ended)


def _reason(former: Stint, successor: Stint) -> Reason:
    next_year = former.exit_date is not None and successor.entry_date >= former.exit_date
    if former.school != successor.school:
        return "rollover" if next_year and former.grade != successor.grade else "transfer"
    if former.grade != successor.grade:
        return "promotion"
    return "re_entry"
