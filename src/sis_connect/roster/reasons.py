"""Why somebody comes, moves or goes: the reason of a change, from what else is known of the person. Pure.

The merge decides what is done, and calls it by what it sees of one record. Here it is given the name that an office person would
use, which depends on the other stays of the student, on what becomes of the student in the same plan, and on the school years.
Nothing else depends on it: neither what is written nor what guards count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sis_connect.calendar import SchoolCalendar
from sis_connect.records import GRADES
from sis_connect.roster.stints import HOLIDAYS, Stint, is_likely, is_next_year, succession

Values = Mapping[str, Any]

#: What an SIS says of somebody who has left, in our words. Within the district it would not say that he has left.
_LEFT = {"graduated": "graduation", "withdrawn": "withdrawal", "transferred": "withdrawal", "inactive": "withdrawal"}
#: Why one stay is followed by another, where that is why the former one ends.
_MOVES = frozenset({"transfer", "promotion", "rollover", "correction"})
#: Why a record ends, as far as its own fields tell: what becomes of its person says it better.
_PLAIN_ENDS = frozenset({"absence", "ended", "withdrawal", "transfer", "no_show", "no_longer_stated", "deleted", "inactive"})


@dataclass(frozen=True, slots=True)
class Stay:
    """A stay of a student, as the SIS tells of it now, or as it was `before` where the SIS tells of it no longer."""

    sis_id: str
    now: Stint | None = field(repr=False)
    before: Stint | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Change:
    """What is decided about a record, and its fields before and after. `reason` is what the merge calls it."""

    action: str
    reason: str
    before: Values = field(repr=False, default_factory=dict)
    after: Values = field(repr=False, default_factory=dict)

    def moves(self, name: str) -> bool:
        """Whether a field gets another value."""
        return bool(self.before.get(name) != self.after.get(name))


@dataclass(frozen=True, slots=True)
class Person:
    """What becomes of the person in the same plan: the action and its reason. `gone` is who had left before it."""

    action: str
    reason: str

    @property
    def leaves(self) -> bool:
        """Whether the person is not there any more afterwards."""
        return self.action in ("withdraw", "gone")


def word_for(status_reason: str | None) -> str:
    """Our word for what an SIS states about somebody who has left."""
    return _LEFT.get(status_reason or "", status_reason or "withdrawal")


def stint_of(document: Values) -> Stint:
    """A stay's dates, school and grade, from its document."""
    exit_date = document.get("exit_date")
    return Stint(
        school=str(document["school"]),
        entry_date=date.fromisoformat(document["entry_date"]),
        exit_date=date.fromisoformat(exit_date) if exit_date else None,
        grade=document.get("grade"),
    )


# -- students ----------------------------------------------------------------------------------------------------------


def of_student(change: Change, stays: Sequence[Stay], years: SchoolCalendar) -> str:
    """Why a student's record changes."""
    told = [stay for stay in _likely(stays, years) if stay.now is not None]
    if change.action == "withdraw":
        return _leaving(change.reason, [stay.now for stay in told if stay.now is not None], years)
    current = max((stay for stay in told if _stint(stay).took_place), key=_order, default=None)
    if change.action == "reenroll" and change.reason == "re_entry" and current is not None:
        if current.before is not None:
            return "correction" if _is_mended(current) else change.reason
        return _succession(current, stays, years) or change.reason
    if change.action == "update" and change.moves("school") and change.reason == "transfer":
        if current is None or _stint(current).school != change.after.get("school"):
            return change.reason  # the stays do not tell of it yet
        followed = _succession(current, stays, years)
        return "promotion" if followed == "rollover" and _rises(change) else followed or change.reason
    if change.action == "update" and change.reason == "promotion" and not _rises(change):
        return "correction"
    return change.reason


def _leaving(reason: str, stints: Sequence[Stint], years: SchoolCalendar) -> str:
    latest = max(stints, key=lambda stint: stint.order, default=None)
    if latest is None or reason == "graduation":
        return reason
    if not latest.took_place:
        former = max((stint for stint in stints if stint.took_place), key=lambda stint: stint.order, default=None)
        if former is None or _is_long_over(former, latest, years):
            return "no_show"
    return "withdrawal" if reason in ("transfer", "inactive", "no_show") else reason


def _is_long_over(former: Stint, latest: Stint, years: SchoolCalendar) -> bool:
    """Whether a stay belongs to an earlier year, as far as that can be told."""
    next_year = is_next_year(former, latest, years)
    if next_year is not None:
        return next_year
    return former.exit_date is not None and latest.entry_date - former.exit_date > HOLIDAYS


def _rises(change: Change) -> bool:
    grades = [change.before.get("grade"), change.after.get("grade")]
    before, after = (GRADES.index(grade) if grade in GRADES else None for grade in grades)
    return before is not None and after is not None and before < after


# -- stays -------------------------------------------------------------------------------------------------------------


def of_stay(change: Change, sis_id: str, stays: Sequence[Stay], person: Person | None, years: SchoolCalendar) -> str:
    """Why a stay begins, changes or ends. `stays` are all that are known of its student."""
    own = next((stay for stay in stays if stay.sis_id == sis_id), None)
    after = stint_of(change.after)
    if not is_likely(after.entry_date, years):
        return change.reason
    others = [stay for stay in _likely(stays, years) if stay.sis_id != sis_id]
    if change.action == "create" and change.reason == "new":
        return _beginning(sis_id, after, others, person, years)
    if change.action == "reenroll" and change.reason == "re_entry":
        return "correction" if own is not None and _is_mended(own) else change.reason
    if change.action == "withdraw":
        return _ending(change.reason, after, others, person, years, told=own is not None and own.now is not None)
    if change.action == "update":
        return _changing(change, after, others, years)
    return change.reason


def _beginning(sis_id: str, own: Stint, others: Sequence[Stay], person: Person | None, years: SchoolCalendar) -> str:
    if person is not None and person.action == "create":
        return "new"
    return _succession(Stay(sis_id, own), others, years) or "new"


def _ending(reason: str, own: Stint, others: Sequence[Stay], person: Person | None, years: SchoolCalendar, *, told: bool) -> str:
    if reason not in _PLAIN_ENDS:
        return reason
    told_stints = [stay.now for stay in others if stay.now is not None and stay.now.took_place]
    if not own.took_place:
        instead = any(abs(stint.entry_date - own.entry_date) <= HOLIDAYS for stint in told_stints)
        return "correction" if instead else "no_show"
    begins_after = own.exit_date if told and own.exit_date is not None else own.entry_date
    following = [stint for stint in told_stints if stint.entry_date >= begins_after and stint.entry_date > own.entry_date]
    successor = min(following, key=lambda stint: stint.order, default=None)
    if successor is not None and (why := succession(own, successor, years)) in _MOVES:
        return why
    return person.reason if person is not None and person.leaves else reason


def _changing(change: Change, own: Stint, others: Sequence[Stay], years: SchoolCalendar) -> str:
    if change.reason == "re_entry":  # its entry date was moved to a day to come
        return "correction"
    if change.reason != "correction":
        return change.reason
    if change.moves("exit_date") and own.exit_date is not None:
        told = [stay.now for stay in others if stay.now is not None and stay.now.took_place]
        following = [stint for stint in told if stint.entry_date >= own.exit_date]
        successor = min(following, key=lambda stint: stint.order, default=None)
        why = succession(own, successor, years) if successor is not None else None
        return why if why in _MOVES else "correction"
    return "promotion" if change.moves("grade") and _rises(change) else "correction"


def _succession(stay: Stay, stays: Iterable[Stay], years: SchoolCalendar) -> str | None:
    """Why a stay followed the one before it. None where it is the first, or began beside another that goes on."""
    own, former = stay.now, None
    if own is None:
        return None
    for other in stays:
        known = other.now or other.before
        if other.sis_id == stay.sis_id or known is None or not is_likely(known.entry_date, years):
            continue
        if not known.took_place:
            if known.entry_date == own.entry_date:
                return "correction"  # it was meant all along
            continue
        goes_on = other.now is not None and (known.exit_date is None or known.exit_date > own.entry_date)
        if known.entry_date < own.entry_date and not goes_on and (former is None or former.order < known.order):
            former = known
    return succession(former, own, years) if former is not None else None


def _is_mended(stay: Stay) -> bool:
    """Whether a stay that was over by its own dates has other dates now."""
    before, now = stay.before, stay.now
    return before is not None and now is not None and before.exit_date not in (None, now.exit_date)


def _likely(stays: Iterable[Stay], years: SchoolCalendar) -> list[Stay]:
    return [stay for stay in stays if is_likely(_stint(stay).entry_date, years)]


def _stint(stay: Stay) -> Stint:
    stint = stay.now or stay.before
    assert stint is not None  # noqa: S101 - a stay is told of now, or was before
    return stint


def _order(stay: Stay) -> tuple[Any, ...]:
    return (*_stint(stay).order, stay.sis_id)


# -- enrolments --------------------------------------------------------------------------------------------------------


def of_enrollment(change: Change, person: Person | None) -> str:
    """Why an enrolment in a section begins, changes or ends: with its person, or on its own."""
    if change.action == "update":
        return "role" if change.moves("role") or change.moves("primary") else change.reason
    comes_back = person is not None and person.action == "reenroll"
    moves = person is not None and person.action == "update" and person.reason in _MOVES - {"correction"}
    if change.action == "create" and change.reason == "new":
        return person.reason if person is not None and (comes_back or moves) else "new"
    if change.action == "reenroll":
        return person.reason if person is not None and comes_back else change.reason
    if change.action == "withdraw" and change.reason in _PLAIN_ENDS:
        if person is not None and (person.leaves or moves):
            return person.reason
        return "correction" if change.reason == "no_show" else change.reason
    return change.reason
