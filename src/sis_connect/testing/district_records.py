"""What the synthetic district is made of. No vendor's ids or codes: a sandbox makes its own from `serial`.

Every record has a `serial`, counted within its table and never used again, and from it a neutral `key`. Records refer to each
other by serial. They are frozen: a change puts a new object in the place of the old one, so that whatever was rendered from an
object stays right for as long as the object is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Level = Literal["elementary", "middle", "high", "one_room", "unopened"]
StudentStatus = Literal["active", "pre_registered", "transferred", "graduated", "historical", "inactive"]

#: Identifiers of different columns differ modulo this number, so that a mixed-up one can never fit by chance.
STEP = 50
STUDENT_NUMBER, SCHOOL_NUMBER = 0, 1
#: The first column that a sandbox may use for ids of its own.
FIRST_FREE_COLUMN = 2


def identifier(column: int, serial: int, *, floor: int = 1) -> int:
    """A number for the record `serial` that no record has in any other column. `floor` sets where the column starts."""
    if not 0 <= column < STEP:
        raise ValueError(f"There are {STEP} columns, numbered from 0.")
    return STEP * (serial + floor) + column


class Keyed:
    """What all records of the district have."""

    __slots__ = ()
    serial: int

    @property
    def key(self) -> str:
        """The neutral name of this record, the same in every sandbox."""
        return f"{type(self).__name__.lower()}-{self.serial}"


@dataclass(frozen=True, slots=True)
class School(Keyed):
    serial: int
    name: str
    number: str
    state_id: str
    level: Level
    low_grade: int
    high_grade: int
    street: str
    phone: str


@dataclass(frozen=True, slots=True)
class Term(Keyed):
    """`portion`: the year is cut into that many; `part` counts the terms of a school's year, 0 the whole year."""

    serial: int
    school: int
    year: int
    portion: int
    part: int
    name: str
    abbreviation: str
    start: date
    end: date


@dataclass(frozen=True, slots=True)
class Course(Keyed):
    serial: int
    number: str
    name: str
    department: str


@dataclass(frozen=True, slots=True)
class Staff(Keyed):
    """One human; where they work is in their affiliations."""

    serial: int
    number: str
    given: str
    middle: str
    family: str
    username: str
    email: str
    phone: str


@dataclass(frozen=True, slots=True)
class Affiliation(Keyed):
    """One human at one school; `school` is None at the district office."""

    serial: int
    staff: int
    school: int | None
    teacher: bool
    active: bool = True


@dataclass(frozen=True, slots=True)
class Student(Keyed):
    """`school`, `grade` (-2 and -1 preschool, 0 kindergarten, 1-12) and `stint` are the present ones. Empty text is no value."""

    serial: int
    number: str
    state_id: str
    username: str
    given: str
    middle: str
    family: str
    preferred: str
    birth_date: date
    gender: str
    email: str
    phone: str
    street: str
    mailing_street: str
    city: str
    postal_code: str
    ethnicity: str
    races: tuple[str, ...]
    mother: str
    father: str
    guardian_email: str
    emergency_name: str
    emergency_phone: str
    status: StudentStatus
    school: int | None
    grade: int
    stint: int | None


@dataclass(frozen=True, slots=True)
class Stint(Keyed):
    """One stay at a school: `entry` first day in, `exit` first day out. A second school at the same time is not `primary`."""

    serial: int
    student: int
    school: int
    entry: date
    exit: date
    grade: int
    entry_code: str = ""
    exit_code: str = ""
    primary: bool = True


@dataclass(frozen=True, slots=True)
class Section(Keyed):
    """`teacher` is an affiliation."""

    serial: int
    school: int
    course: int
    term: int
    teacher: int
    number: str
    period: int
    grade: int


@dataclass(frozen=True, slots=True)
class Enrollment(Keyed):
    """A student in a section; `end` is the first day out. An orphan's student does not exist."""

    serial: int
    student: int
    section: int
    begin: date
    end: date
    dropped: bool = False
