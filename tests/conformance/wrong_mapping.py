"""Providers for Harbor that read rows in a wrong way, each in one."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

from pydantic import ValidationError

from conformance.right_provider import MEMBERS, OF_SCHOOL, SCHOOLS, SECTIONS, STUDENTS, HarborProvider
from sis_connect.errors import DataValidationError
from sis_connect.provider import Scope
from sis_connect.records import Course, Record, Section, Student
from sis_connect.rest_provider import Asked, Endpoint, build

Rewrite = Callable[[dict[str, Any]], dict[str, Any]]
_log = logging.getLogger("sis_connect_harbor")


def with_students(read: Any = None, **more: Any) -> tuple[Endpoint[Any], ...]:
    """The endpoints, with another reading of students."""
    more = {**more, **({"read": read} if read else {})}
    return (SCHOOLS, replace(STUDENTS, **more), replace(OF_SCHOOL, **more), SECTIONS, MEMBERS)


def with_members(read: Any) -> tuple[Endpoint[Any], ...]:
    """The endpoints, with another reading of members."""
    return (SCHOOLS, STUDENTS, OF_SCHOOL, SECTIONS, replace(MEMBERS, read=read))


def rewritten(endpoint: Endpoint[Any], rewrite: Rewrite) -> Callable[[Any, Asked], Iterator[Record]]:
    """The right reading, with some values of its records changed."""

    def read(row: Any, asked: Asked) -> Iterator[Record]:
        for record in endpoint.read(row, asked):
            values = {name: getattr(record, name) for name in record.model_fields_set}
            yield build(type(record), **rewrite(values))

    return read


def students_with(rewrite: Rewrite) -> tuple[Endpoint[Any], ...]:
    """The endpoints, where students have other values."""
    return with_students(rewritten(STUDENTS, rewrite))


def members_with(rewrite: Rewrite) -> tuple[Endpoint[Any], ...]:
    """The endpoints, where members have other values."""
    return with_members(rewritten(MEMBERS, rewrite))


class RandomIds(HarborProvider):
    endpoints: ClassVar = members_with(lambda values: {**values, "sis_id": str(uuid4())})


class IdsByPosition(HarborProvider):
    """Numbers the students of each page."""

    async def pages(self, *arguments: Any, **named: Any) -> Any:
        async for page in super().pages(*arguments, **named):
            places = {bytes(raw): str(place) for place, raw in enumerate(page.rows)}
            yield replace(page, read=_placed(page.read, places)) if page.endpoint == "students" else page


def _placed(read: Any, places: dict[bytes, str]) -> Any:
    def reading(raw: bytes) -> Any:
        understood = read(raw)
        records = (record.model_copy(update={"sis_id": places[bytes(raw)]}) for record in understood.records)
        return replace(understood, records=tuple(records))

    return reading


class CountsWhileReading(HarborProvider):
    """Puts the number of rows read so far into what it makes of one."""

    count = itertools.count()
    endpoints: ClassVar = students_with(lambda values: {**values, "middle_name": f"No{next(CountsWhileReading.count)}"})


class OneKeyForMany(HarborProvider):
    endpoints: ClassVar = with_students(key="year_group")


class LastDayAsFirstDayOut(HarborProvider):
    endpoints: ClassVar = members_with(
        lambda values: {**values, "end_date": values["end_date"] and values["end_date"] - timedelta(days=1)}
    )


class EverybodyIsHere(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, "status": "active"})


class KindergartenIsPreschool(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, "grade": "PK" if values["grade"] == "KG" else values["grade"]})


class NumbersAreNumbers(HarborProvider):
    """Makes numbers of what are names made of digits: leading zeros go."""

    endpoints: ClassVar = students_with(
        lambda values: {**values, "ids": {name: str(int(value)) for name, value in values["ids"].items() if value.isdigit()}}
    )


class Mojibake(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, "given_name": _mangled(values["given_name"])})


def _mangled(name: str) -> str:
    return "".join(character for character in name.encode().decode("latin-1") if character.isprintable())


class ChangedJustNow(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, "updated_at": datetime.now(UTC)})


class KeepsBirthDates(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, "birth_date": date(2012, 3, 4)})


class SectionsNowhere(HarborProvider):
    """Refers to the schools by something else than their ids."""

    endpoints: ClassVar = (
        SCHOOLS,
        STUDENTS,
        OF_SCHOOL,
        replace(SECTIONS, read=rewritten(SECTIONS, lambda values: {**values, "school": "the school"})),
        MEMBERS,
    )


class TellsTheTime(HarborProvider):
    """Has a value that is another one each time."""

    endpoints: ClassVar = (
        SCHOOLS,
        STUDENTS,
        OF_SCHOOL,
        replace(SECTIONS, read=rewritten(SECTIONS, lambda values: {**values, "location": datetime.now(UTC).isoformat()})),
        MEMBERS,
    )


def _dropping(row: Any, asked: Asked) -> Iterator[Record]:
    try:
        yield from STUDENTS.read(row, asked)
    except (ValidationError, ValueError, DataValidationError):
        return


class DropsBadRows(HarborProvider):
    endpoints: ClassVar = with_students(_dropping)


def _lenient(row: Any, asked: Asked) -> Iterator[Record]:
    for name in ("begins", "ends"):
        try:
            date.fromisoformat(getattr(row, name) or "")
        except ValueError:
            setattr(row, name, None)
    yield from MEMBERS.read(row, asked)


class BadDatesAreBlank(HarborProvider):
    endpoints: ClassVar = with_members(_lenient)


def _quoting(row: Any, asked: Asked) -> Iterator[Record]:
    try:
        yield from STUDENTS.read(row, asked)
    except (ValidationError, ValueError):
        from sis_connect.provider import InvalidRow

        raise InvalidRow(f"the row of {row.first} {row.last}, born {row.born}, is wrong", key=None) from None


class QuotesBadRows(HarborProvider):
    endpoints: ClassVar = with_students(_quoting)


def _telling(row: Any, asked: Asked) -> Iterator[Record]:
    _log.debug("read %s %s", row.first, row.last)
    yield from STUDENTS.read(row, asked)


class LogsNames(HarborProvider):
    endpoints: ClassVar = with_students(_telling)


def _printing(row: Any, asked: Asked) -> Iterator[Record]:
    print(row.last)
    yield from STUDENTS.read(row, asked)


class PrintsNames(HarborProvider):
    endpoints: ClassVar = with_students(_printing)


def _with_course(row: Any, asked: Asked) -> Iterator[Record]:
    for record in SECTIONS.read(row, asked):
        assert isinstance(record, Section)
        yield record
        yield build(Course, sis_id=f"course {record.sis_id}", title=record.title or "A course")


class BringsCourses(HarborProvider):
    """Delivers a kind that it does not offer."""

    endpoints: ClassVar = (SCHOOLS, STUDENTS, OF_SCHOOL, replace(SECTIONS, read=_with_course), MEMBERS)


class EverySchool(HarborProvider):
    """Reads everything whatever is asked for."""

    def narrowed(self, scope: Scope) -> Scope:
        return replace(super().narrowed(scope), schools=None)


def _half(row: Any, asked: Asked) -> Iterator[Record]:
    return (record for record in STUDENTS.read(row, asked) if isinstance(record, Student) and int(record.sis_id) % 200 > 56)


class LosesHalf(HarborProvider):
    endpoints: ClassVar = with_students(_half)
