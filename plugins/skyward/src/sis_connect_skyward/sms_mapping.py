"""From the rows of SMS 2.0 to canonical records: pure functions, one for each kind of row.

Members are named in lower case throughout, as the provider makes them: clients of this interface disagree on `NameId` and
`NameID`. The list of fields is the same in every district, so what is missing is blank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, defstruct

from sis_connect.provider import InvalidRow
from sis_connect.records import (
    GRADES,
    Address,
    Contact,
    Demographics,
    EmailAddress,
    Enrollment,
    Guardian,
    Phone,
    Record,
    School,
    Section,
    Student,
    derive_id,
)
from sis_connect.rest_provider import Asked, build, part
from sis_connect.values import Value, day, first, given, identifiers, many, text
from sis_connect_skyward.reading import dropped, excluded, first_day_out, grade, row_of

SCHOOL = row_of("schoolid schoolname gradelow gradehigh")


def school(row: Any, asked: Asked) -> Iterator[Record]:
    """An entity, unless the district says that it is no school."""
    if excluded(row.schoolid, asked.settings):
        return
    code = _code(row.schoolid)
    grades = _span(grade(row.gradelow), grade(row.gradehigh))
    named = given(identifier=code, grades=grades)
    yield build(School, sis_id=code, ids=identifiers(school_number=code), name=text(row.schoolname), **named)


def _code(value: Value) -> str | None:
    """The code of an entity."""
    return (text(value) or "").strip() or None


def _span(low: str | None, high: str | None) -> tuple[str, ...] | None:
    """All grades from one to another. Transitional kindergarten counts where it is named only."""
    if low is None or high is None:
        return None
    between = GRADES[GRADES.index(low) : GRADES.index(high) + 1]
    return tuple(code for code in between if code != "TK" or code in (low, high))


_PERSON = "firstname middlename lastname phonenumber phonenumbertype phonenumber2 phonenumber2type phonenumber3 phonenumber3type "
_PLACE = "streetaddress city state zipcode "
_BASE = row_of(
    "nameid displayid stateid gradelevel gender hispaniclatinoethnicity federalrace dateofbirth schoolemail defaultschoolid "
    + _PERSON
    + _PLACE
)
STUDENT = defstruct("Row", [("schoolids", list[Value] | Value, None)], bases=(_BASE,), gc=False)


def student(row: Any, asked: Asked) -> Iterator[Record]:
    """A student, by the number of the person. Who is in excluded entities only is at no school any more."""
    listed = row.schoolids if isinstance(row.schoolids, list) else [row.schoolids]
    entities = [code for value in (row.defaultschoolid, *listed) if (code := _code(value))]
    at = first(code for code in entities if not excluded(code, asked.settings))
    gone = bool(entities) and at is None
    yield build(
        Student,
        sis_id=text(row.nameid),
        ids=identifiers(student_number=row.displayid, state_id=row.stateid),
        status="inactive" if gone else "active",
        status_reason="inactive" if gone else None,
        given_name=text(row.firstname),
        middle_name=text(row.middlename),
        family_name=text(row.lastname),
        school=at,
        grade=grade(row.gradelevel),
        grade_text=text(row.gradelevel),
        **{name: value for name, value in _on_request(row).items() if name in asked.fields["students"]},
    )


def _on_request(row: Any) -> dict[str, Any]:
    place = {"street": row.streetaddress, "city": row.city, "state": row.state, "postal_code": row.zipcode}
    written = given(**{name: text(value) for name, value in place.items()})
    races = tuple((text(row.federalrace) or "").strip())
    return {
        "birth_date": day(row.dateofbirth, "dateofbirth"),
        "gender": text(row.gender),
        "emails": _emails(row.schoolemail, type="school"),
        "phones": _phones(row),
        "addresses": (Address(**written),) if written else (),
        "demographics": Demographics(ethnicity=text(row.hispaniclatinoethnicity), races=races),
    }


def _phones(row: Any) -> tuple[Phone, ...]:
    numbers = (
        (row.phonenumber, row.phonenumbertype),
        (row.phonenumber2, row.phonenumber2type),
        (row.phonenumber3, row.phonenumber3type),
    )
    listed = ((text(number), (text(kind) or "").lower() or None) for number, kind in numbers)
    return tuple(Phone(number=number, **given(type=kind)) for number, kind in listed if number)


def _emails(address: Value, **more: str) -> tuple[EmailAddress, ...]:
    written = text(address)
    return (EmailAddress(address=written, **more),) if written else ()


ENROLLMENT = row_of("enrollmentid courseid sectionid schoolid nameid enrtype enrstatus startdate enddate")


def enrollment(row: Any, asked: Asked) -> Iterator[Record]:
    """A student in a section, and the section: nothing else tells which sections there are.

    Whether a section's id means anything without its school and course is not known, so the section is known by all three.
    """
    at, settings = _code(row.schoolid), asked.settings
    if excluded(at, settings) or (settings.enrollment_types and text(row.enrtype) not in settings.enrollment_types):
        return
    if not (text(row.sectionid) or "").strip():
        raise InvalidRow("sectionid is missing", key=None, fields=("sectionid",))
    section = derive_id(school=at or "", course=text(row.courseid) or "", section=text(row.sectionid) or "")
    ids = identifiers(course=row.courseid, section=row.sectionid)
    yield build(Section, sis_id=section, derived=True, ids=ids, section_number=text(row.sectionid), school=at)
    out = dropped(row.enrstatus, settings)
    yield build(
        Enrollment,
        sis_id=text(row.enrollmentid),
        section=section,
        user=text(row.nameid) or asked.context.get("student"),
        role="student",
        school=at,
        status="inactive" if out else "active",
        status_reason="dropped" if out else None,
        **given(begin_date=day(row.startdate, "startdate"), end_date=first_day_out(row.enddate, "enddate", settings)),
    )


class Link(Struct, gc=False):
    """Whose guardian somebody is."""

    studentnameid: Value = None
    relationshipdesc: Value = None


GUARDIAN = defstruct(
    "Row", [("students", list[Link] | Link | str | None, None)], bases=(row_of("guardiannameid email " + _PERSON),), gc=False
)


def guardian(row: Any, asked: Asked) -> Iterator[Record]:
    """A guardian, by the number of the person."""
    links: list[Link] = many(row.students)
    yield build(
        Guardian,
        sis_id=text(row.guardiannameid),
        given_name=text(row.firstname),
        family_name=text(row.lastname),
        students=tuple(sorted({known for link in links if (known := text(link.studentnameid))})),
        emails=_emails(row.email),
        phones=_phones(row),
        **given(relationship=first(text(link.relationshipdesc) for link in links)),
    )


def contact(row: Any, asked: Asked) -> Iterator[Record]:
    """The same row, as somebody to call about each of the students."""
    name = " ".join(filter(None, (text(row.firstname), text(row.lastname))))
    links: list[Link] = many(row.students)
    for link in links:
        person = Contact(name=name, relationship=text(link.relationshipdesc), emails=_emails(row.email), phones=_phones(row))
        yield part(Student, sis_id=text(link.studentnameid) or "", contacts=(person,))
