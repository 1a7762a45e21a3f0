"""From PowerSchool's student rows to students and their stints: pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from sis_connect.custom_fields import of_kind
from sis_connect.provider import InvalidRow
from sis_connect.records import Address, Contact, Demographics, EmailAddress, Phone, Record, SchoolEnrollment, Student, derive_id
from sis_connect.rest_provider import Asked, build
from sis_connect.values import Many, Value, day, given, identifiers, many, number, text
from sis_connect_powerschool.mapping import GRADUATED_SCHOOL, Expansion, Name, grade, name, opened

#: The expansion that brings each field which is read on request only.
EXPANSIONS = {
    "birth_date": "demographics",
    "gender": "demographics",
    "emails": "contact_info",
    "phones": "phones",
    "addresses": "addresses",
    "contacts": "contact",
    "demographics": "ethnicity_race",
}

_LETTERS = {"P": -1, "A": 0, "I": 1, "T": 2, "G": 3, "H": 4}
_REASONS = {-1: "pre_registered", 2: "transferred", 3: "graduated", 4: "withdrawn"}
_ACTIVE = 0


class Stay(Struct, gc=False):
    """`school_enrollment`: where the student is, or was last."""

    enroll_status: Value = None
    enroll_status_code: Value = None
    grade_level: Value = None
    entry_date: str | None = None
    exit_date: str | None = None
    school_number: Value = None
    school_id: Value = None
    entry_code: Value = None
    exit_code: Value = None


class Birth(Struct, gc=False):
    """`demographics`."""

    gender: Value = None
    birth_date: str | None = None


class ContactInfo(Struct, gc=False):
    email: Value = None


class Number(Struct, gc=False):
    number: Value = None


class Phones(Struct):
    main: Number | str | None = None


class Place(Struct, gc=False):
    street: Value = None
    city: Value = None
    state_province: Value = None
    postal_code: Value = None


class Addresses(Struct):
    physical: Place | str | None = None
    mailing: Place | str | None = None


class People(Struct, gc=False):
    """`contact`."""

    emergency_contact_name1: Value = None
    emergency_phone1: Value = None
    emergency_contact_name2: Value = None
    emergency_phone2: Value = None
    guardian_email: Value = None
    mother: Value = None
    father: Value = None


class Race(Struct, gc=False):
    district_race_code: Value = None


class Ethnicity(Struct):
    federal_ethnicity: Value = None
    races: Many[Race] = None


class ExtensionField(Struct, gc=False):
    name: str = ""
    value: Value = None


class ExtensionTable(Struct):
    name: str = ""
    fields: Many[ExtensionField] = field(name="_field", default=None)


class Extensions(Struct):
    tables: Many[ExtensionTable] = field(name="_table_extension", default=None)


class StudentRow(Struct):
    id: Value = None
    local_id: Value = None
    state_province_id: Value = None
    student_username: Value = None
    name: Name = field(default_factory=Name)
    school_enrollment: Expansion[Stay] = UNSET
    demographics: Expansion[Birth] = UNSET
    contact_info: Expansion[ContactInfo] = UNSET
    phones: Expansion[Phones] = UNSET
    addresses: Expansion[Addresses] = UNSET
    contact: Expansion[People] = UNSET
    ethnicity_race: Expansion[Ethnicity] = UNSET
    extension_data: Expansion[Extensions] = field(name="_extension_data", default=UNSET)


def student(row: StudentRow, asked: Asked) -> Iterator[Record]:
    """A student, and the stint of now. Fields that were asked for and left out are blank; other fields are not delivered."""
    stay = row.school_enrollment
    if not isinstance(stay, Stay):
        # Without it nobody knows whether the student is active: better no news than a wrong one.
        raise InvalidRow("school_enrollment is missing", key=None, fields=("school_enrollment",))
    code, level = _status_code(stay), number(stay.grade_level, "grade_level")
    school = None if text(stay.school_number) == GRADUATED_SCHOOL else text(stay.school_id)
    sis_id = text(row.id)
    yield build(
        Student,
        sis_id=sis_id,
        ids=identifiers(student_number=row.local_id, state_id=row.state_province_id),
        status="active" if code == _ACTIVE else "inactive",
        status_reason=None if code == _ACTIVE else _REASONS.get(code, "inactive"),
        given_name=name(row.name.first_name),
        middle_name=name(row.name.middle_name),
        family_name=name(row.name.last_name),
        username=text(row.student_username),
        school=school,
        grade=grade(level),
        grade_text=None if level is None else str(level),
        **_on_request(row, asked),
    )
    if school and sis_id and stay.entry_date:
        yield stint(stay, sis_id, school, active=code == _ACTIVE, level=level)


def _status_code(stay: Stay) -> int:
    code = number(stay.enroll_status_code, "enroll_status_code")
    if code is None:
        code = _LETTERS.get((text(stay.enroll_status) or "").upper())
    if code is None:
        raise InvalidRow("enroll_status_code is missing", key=None, fields=("enroll_status_code",))
    return code


def stint(stay: Stay, student: str, school: str, *, active: bool, level: int | None) -> SchoolEnrollment:
    """`exit_date` is the first day out already; those who are in have one ahead. Who leaves on the day of entry never came."""
    entry, exit_ = day(stay.entry_date, "entry_date"), day(stay.exit_date, "exit_date")
    no_show = entry == exit_
    return build(
        SchoolEnrollment,
        sis_id=derive_id(student=student, school=school, entry_date=str(entry)),
        derived=True,
        student=student,
        school=school,
        entry_date=entry,
        status="active" if active and not no_show else "inactive",
        status_reason="no_show" if no_show else None,
        **given(
            exit_date=exit_,
            grade=grade(level),
            entry_code=text(stay.entry_code),
            exit_code=text(stay.exit_code),
        ),
    )


def _on_request(row: StudentRow, asked: Asked) -> dict[str, Any]:
    wanted = asked.fields["students"]
    values: dict[str, Any] = {}
    if not wanted and not asked.settings.preferred_name:
        return values
    if birth := opened(row.demographics, Birth()):
        values |= {"birth_date": day(birth.birth_date, "birth_date"), "gender": text(birth.gender)}
    if info := opened(row.contact_info, ContactInfo()):
        values["emails"] = _emails(info.email, type="school")
    if phones := opened(row.phones, Phones()):
        values["phones"] = _phones(phones.main.number if isinstance(phones.main, Number) else None, type="main")
    if addresses := opened(row.addresses, Addresses()):
        places = {"physical": addresses.physical, "mailing": addresses.mailing}
        values["addresses"] = tuple(_address(place, kind) for kind, place in places.items() if isinstance(place, Place))
    # An empty `contact` has been seen to be left out altogether.
    people = People() if isinstance(row.contact, UnsetType) else opened(row.contact, People())
    if people:
        values["contacts"] = tuple(_contacts(people))
    if ethnicity := opened(row.ethnicity_race, Ethnicity()):
        races = tuple(code for race in many(ethnicity.races) if (code := text(race.district_race_code)))
        values["demographics"] = Demographics(ethnicity=text(ethnicity.federal_ethnicity), races=races)
    values = {key: value for key, value in values.items() if key in wanted}
    return values | _preferred_name(row, asked.settings.preferred_name)


def _emails(address: Value, **more: str) -> tuple[EmailAddress, ...]:
    written = text(address)
    return (EmailAddress(address=written, **more),) if written else ()


def _phones(digits: Value, **more: str) -> tuple[Phone, ...]:
    written = text(digits)
    return (Phone(number=written, **more),) if written else ()


def _address(place: Place, kind: str) -> Address:
    parts = {"street": place.street, "city": place.city, "state": place.state_province, "postal_code": place.postal_code}
    return Address(type=kind, **given(**{name: text(part) for name, part in parts.items()}))


def _contacts(people: People) -> Iterator[Contact]:
    emergency = {people.emergency_contact_name1: people.emergency_phone1, people.emergency_contact_name2: people.emergency_phone2}
    for who, phone in emergency.items():
        if text(who):
            yield Contact(name=text(who), relationship="emergency", phones=_phones(phone))
    for relationship, who in (("mother", people.mother), ("father", people.father)):
        if text(who):
            yield Contact(name=text(who), relationship=relationship)
    if emails := _emails(people.guardian_email):
        yield Contact(relationship="guardian", emails=emails)


def extensions(asked: Asked) -> dict[str, str]:
    """The district's own tables that the settings name a field of, as `table.field`."""
    named = [asked.settings.preferred_name or "", *(each.asked_as for each in of_kind(asked.custom, "students"))]
    tables = sorted({table for table, dot, _ in (name.partition(".") for name in named) if dot})
    return {"extensions": ",".join(tables)} if tables else {}


def extended(row: StudentRow) -> dict[str, Value]:
    """What stands in the district's own tables, by `table.field` as it is written and in lower case."""
    found = opened(row.extension_data, Extensions()) or Extensions()
    told = {f"{held.name}.{item.name}": item.value for held in many(found.tables) for item in many(held.fields)}
    return {**{name.lower(): value for name, value in told.items()}, **told}


def _preferred_name(row: StudentRow, option: str | None) -> dict[str, str | None]:
    """From the district's own table, which the setting names as `table.field`."""
    if not option or not opened(row.extension_data, Extensions()):
        return {}
    return {"preferred_given_name": text(extended(row).get(option.lower()))}
