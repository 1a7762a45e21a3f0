"""From the rows of Qmlativ to canonical records: pure functions, one for each kind of row.

A row's attributes are what is asked for: `name__first_name` is the field `Name.FirstName`, reached over the relation `Name`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from sis_connect.provider import InvalidRow
from sis_connect.records import (
    Address,
    Course,
    Demographics,
    EmailAddress,
    Enrollment,
    Guardian,
    Phone,
    Record,
    School,
    SchoolEnrollment,
    Section,
    Staff,
    Student,
    Term,
    derive_id,
)
from sis_connect.rest_provider import Asked, build, part
from sis_connect.values import Value, day, first, given, identifiers, number, text, truth
from sis_connect_skyward.reading import dropped, excluded, first_day_out, grade, row_of


def wire(attribute: str) -> str:
    """How a field is called on the wire."""
    words = [[word.upper() if word == "id" else word.capitalize() for word in one.split("_")] for one in attribute.split("__")]
    return ".".join("".join(relation) for relation in words)


def _row(attributes: str) -> type[Struct]:
    return row_of(attributes, wire)


def _spared(asked: Asked) -> frozenset[str]:
    """Fields that the district does not approve: what they would bring is not delivered, which is not the same as blank."""
    return frozenset(field.partition(".")[2] for field in asked.settings.without_fields)


def _texts(row: Any, asked: Asked, **attributes: str) -> dict[str, str | None]:
    """Fields by the attributes that they are the text of."""
    spared = _spared(asked)
    return {name: text(getattr(row, attribute)) for name, attribute in attributes.items() if wire(attribute) not in spared}


def _status(active: Value, name: str) -> str:
    return "inactive" if truth(active, name) is False else "active"


def _within(row: Any, start: str, end: str, asked: Asked) -> dict[str, Any]:
    """When somebody is in a section."""
    begin = day(getattr(row, start), wire(start))
    return given(begin_date=begin, end_date=first_day_out(getattr(row, end), wire(end), asked.settings))


#: What is told without which a row says nothing, or the wrong thing; numbers (`…ID`) are, too.
ESSENTIAL = frozenset(
    ("Code", "Entity.Code", "Section.Entity.Code", "StartDate", "IsCurrentActive", "Name.FirstName", "Name.LastName")
)

#: Of which entity a row is. Schools are entities: the rows that are called schools have new numbers each year.
_ENTITY = " entity_id entity__code entity__is_district_wide entity__is_system_wide"


def counts(row: Any, asked: Asked) -> bool:
    """Whether a row is of an entity that the district does not exclude."""
    codes = (getattr(row, name, None) for name in ("entity__code", "section__entity__code"))
    return not any(excluded(code, asked.settings) for code in codes)


def _place(row: Any, asked: Asked) -> str | None:
    """The school that a row's entity is, if it is one."""
    above = truth(row.entity__is_district_wide, "IsDistrictWide") or truth(row.entity__is_system_wide, "IsSystemWide")
    return None if above or not counts(row, asked) else text(row.entity_id)


SCHOOL = _row("entity_id code name is_district_wide is_system_wide")


def school(row: Any, asked: Asked) -> Iterator[Record]:
    above = truth(row.is_district_wide, "IsDistrictWide") or truth(row.is_system_wide, "IsSystemWide")
    if not above and not excluded(row.code, asked.settings):
        ids = identifiers(school_number=row.code)
        yield build(School, ids=ids, **_texts(row, asked, sis_id="entity_id", name="name", identifier="code"))


TERM = _row("section_length_id code description start_date end_date")


def term(row: Any, asked: Asked) -> Iterator[Record]:
    year, title = asked.context.get("school_year"), text(row.description) or text(row.code)
    start, end = day(row.start_date, "StartDate"), first_day_out(row.end_date, "EndDate", asked.settings)
    more = given(school_year=int(year) if year else None)
    yield build(Term, sis_id=text(row.section_length_id), title=title, start_date=start, end_date=end, **more)


COURSE = _row("course_id course_code description is_active department__description" + _ENTITY)


def course(row: Any, asked: Asked) -> Iterator[Record]:
    fields = _texts(
        row, asked, sis_id="course_id", title="description", course_code="course_code", department="department__description"
    )
    yield build(Course, **fields, status=_status(row.is_active, "IsActive"), **given(school=_place(row, asked)))


SECTION = _row("section_id course_id code section_length_id is_active course__department__description" + _ENTITY)


def section(row: Any, asked: Asked) -> Iterator[Record]:
    fields = _texts(
        row, asked, sis_id="section_id", section_number="code", school="entity_id", department="course__department__description"
    )
    references = given(**_texts(row, asked, course="course_id", term="section_length_id"))
    yield build(Section, **fields, status=_status(row.is_active, "IsActive"), **references)


_NAMES = " name__first_name name__middle_name name__last_name name__first_name_legal name__last_name_legal"


def _names(row: Any, asked: Asked) -> dict[str, str | None]:
    """Where legal names are on record, the others are what somebody is called."""
    spared = _spared(asked)
    called, family = text(row.name__first_name), text(row.name__last_name)
    legal, legal_family = text(row.name__first_name_legal) or called, text(row.name__last_name_legal) or family
    besides = {
        "middle_name": ("Name.MiddleName", text(row.name__middle_name)),
        "preferred_given_name": ("Name.FirstNameLegal", None if called == legal else called),
        "preferred_family_name": ("Name.LastNameLegal", None if family == legal_family else family),
    }
    more = {name: value for name, (field, value) in besides.items() if field not in spared}
    return {"given_name": legal, "family_name": legal_family, **more}


STAFF = _row("staff_id name_id staff_number is_active_for_district email" + _NAMES)


def staff(row: Any, asked: Asked) -> Iterator[Record]:
    ids = identifiers(staff_number=row.staff_number, person=row.name_id)
    status = _status(row.is_active_for_district, "IsActiveForDistrict")
    more: dict[str, Any] = {"schools": (), "role": None}  # unless rows of their own say otherwise
    if asked.settings.staff_emails:
        more["email"] = text(row.email)
    yield build(Staff, sis_id=text(row.staff_id), ids=ids, status=status, **more, **_names(row, asked))


STAFF_ENTITY = _row("staff_entity_year_id staff_id is_active is_teacher" + _ENTITY)


def staff_at(row: Any, asked: Asked) -> Iterator[Record]:
    """Where one of the staff works this year."""
    if truth(row.is_active, "IsActive") is not False:
        schools = tuple(given(school=_place(row, asked)).values())
        teaches = {"role": "teacher"} if truth(row.is_teacher, "IsTeacher") else {}
        yield part(Staff, sis_id=text(row.staff_id) or "", schools=schools, **teaches)


STUDENT = _row(
    "student_id name_id student_number state_id grade grade_numeric is_graduated is_current_active name__birth_date name__race "
    "name__is_hispanic school" + _NAMES
)
#: Fields that are asked for only where the integration asks for what they bring.
ON_REQUEST = {"Name.BirthDate": "birth_date", "Name.Race": "demographics", "Name.IsHispanic": "demographics"}


def student(row: Any, asked: Asked) -> Iterator[Record]:
    """A student, at the school that rows of another object come to (`place_among`)."""
    active, graduated = truth(row.is_current_active, "IsCurrentActive"), truth(row.is_graduated, "IsGraduated")
    if active is None:
        # Without it nobody knows whether the student has left: better no news than a wrong one.
        raise InvalidRow("IsCurrentActive is missing", key=None, fields=("IsCurrentActive",))
    races = tuple(given(race=text(row.name__race)).values())
    spared, level = _spared(asked), first((grade(row.grade), grade(row.grade_numeric)))
    unapproved = {ON_REQUEST[field] for field in spared & ON_REQUEST.keys()}
    about = {
        "birth_date": day(row.name__birth_date, "BirthDate"),
        "demographics": Demographics(ethnicity=text(row.name__is_hispanic), races=races),
    }
    yield build(
        Student,
        sis_id=text(row.student_id),
        ids=identifiers(student_number=row.student_number, person=row.name_id, state_id=row.state_id),
        status="active" if active else "inactive",
        status_reason=None if active else "graduated" if graduated else "inactive",
        school=text(row.school),
        **({} if level is None and spared & {"Grade", "GradeNumeric"} else {"grade": level}),
        **_texts(row, asked, grade_text="grade"),
        **_names(row, asked),
        **{name: value for name, value in about.items() if name in asked.fields["students"] and name not in unapproved},
    )


STUDENT_ENTITY = _row("student_entity_year_id student_id is_active is_default_entity" + _ENTITY)


def place_among(rows: Sequence[Any], asked: Asked) -> str | None:
    """The school of a student, out of the entities of the year: the default one; where that is no school, another active one."""
    found: list[tuple[bool, bool, int, str]] = []
    for row in rows:
        default, active = truth(row.is_default_entity, "IsDefaultEntity"), truth(row.is_active, "IsActive") is not False
        if (default or active) and (at := _place(row, asked)):
            found.append((not default, not active, len(at), at))
    return min(found)[-1] if found else None


STAY = _row(
    "entry_withdrawal_id student_id entity_id entity__code start_date end_date is_no_show entry_code__code "
    "withdrawal_code__code grade_reference__grade_level__code"
)


def stay(row: Any, asked: Asked) -> Iterator[Record]:
    """A stint. Who was expected and never came has one that ends as it begins."""
    never, entry = truth(row.is_no_show, "IsNoShow"), day(row.start_date, "StartDate")
    standing = ("inactive", "no_show") if never else ("active", None)
    more = _texts(row, asked, entry_code="entry_code__code", exit_code="withdrawal_code__code")
    out, level = first_day_out(row.end_date, "EndDate", asked.settings), grade(row.grade_reference__grade_level__code)
    yield build(
        SchoolEnrollment,
        **_texts(row, asked, sis_id="entry_withdrawal_id", student="student_id", school="entity_id"),
        **dict(zip(("status", "status_reason"), standing, strict=True)),
        entry_date=entry,
        **given(exit_date=entry if never else out, grade=level, **more),
    )


_OF_SECTION = " section_id section__entity_id section__entity__code"
ROSTER = _row("student_section_id student_id start_date end_date status_code" + _OF_SECTION)


def roster_entry(row: Any, asked: Asked) -> Iterator[Record]:
    """A student in a section."""
    standing = {"status": "inactive", "status_reason": "dropped"} if dropped(row.status_code, asked.settings) else {}
    fields = _texts(row, asked, sis_id="student_section_id", section="section_id", user="student_id", school="section__entity_id")
    yield build(Enrollment, role="student", **fields, **standing, **_within(row, "start_date", "end_date", asked))


STAFF_MEET = _row("staff_meet_id staff_id effective_start_date effective_end_date is_primary is_substitute" + _OF_SECTION)


def teacher(row: Any, asked: Asked) -> Iterator[Record]:
    """Somebody who teaches a section, and does not only stand in. Its number may be that of a student's row, too."""
    if truth(row.is_substitute, "IsSubstitute"):
        return
    fields = _texts(row, asked, section="section_id", user="staff_id", school="section__entity_id")
    sis_id, leads = derive_id(staff_meet=text(row.staff_meet_id) or ""), given(primary=truth(row.is_primary, "IsPrimary"))
    dates = _within(row, "effective_start_date", "effective_end_date", asked)
    yield build(Enrollment, sis_id=sis_id, derived=True, role="teacher", **leads, **fields, **dates)


GUARDIAN = _row(
    "student_guardian_id student_id name_id_guardian relationship__description name_guardian__first_name name_guardian__last_name"
)


def guardian(row: Any, asked: Asked) -> Iterator[Record]:
    """A guardian of one student; all of theirs come together under the number of the person."""
    names = _texts(row, asked, given_name="name_guardian__first_name", family_name="name_guardian__last_name")
    more, students = given(**_texts(row, asked, relationship="relationship__description")), given(student=text(row.student_id))
    ids = identifiers(person=row.name_id_guardian)
    yield build(Guardian, sis_id=text(row.name_id_guardian), ids=ids, students=tuple(students.values()), **names, **more)


#: Both numbers of a student.
PERSON = _row("student_id name_id")
#: What belongs to people of any kind. The provider fills in whose it is (`owner`).
EMAIL = _row("name_email_id name_id rank email_address email_type__description owner")
PHONE = _row("name_phone_id name_id phone_number phone_type__description is_confidential owner")
ADDRESS = _row("name_address_id name_id is_physical is_mailing address__full_address owner")


def emails(row: Any) -> dict[str, Any]:
    address, kind = text(row.email_address), text(row.email_type__description)
    return {"emails": (EmailAddress(address=address, **_type(kind)),)} if address else {}


def primary_email(rows: Sequence[Any], asked: Asked) -> str | None:
    """The address of the lowest rank, which is 1 for the primary one."""
    ranked = ((number(row.rank, "Rank"), text(row.email_address)) for row in rows)
    return min(((rank is None, rank or 0, address) for rank, address in ranked if address), default=(True, 0, None))[-1]


def phones(row: Any) -> dict[str, Any]:
    """Not those that are to be kept from others."""
    digits, kind = text(row.phone_number), text(row.phone_type__description)
    shown = digits and not truth(row.is_confidential, "IsConfidential")
    return {"phones": (Phone(number=digits, **_type(kind)),)} if shown else {}


def _type(described: str | None) -> dict[str, str]:
    return {"type": described.lower()} if described else {}


def addresses(row: Any) -> dict[str, Any]:
    kinds, street = {"physical": row.is_physical, "mailing": row.is_mailing}, text(row.address__full_address)
    return {"addresses": tuple(Address(type=kind, street=street) for kind, one in kinds.items() if street and truth(one, kind))}
