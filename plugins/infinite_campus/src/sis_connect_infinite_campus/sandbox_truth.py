"""What a perfect client would make of the sandbox: OneRoster's truth, with what is told, and left out, here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.records import Address, Guardian, Phone, Record, Staff, Student
from sis_connect.testing import district_records as neutral
from sis_connect_infinite_campus.sandbox_roster import CampusRoster, person_number, username
from sis_connect_oneroster import sandbox_truth
from sis_connect_oneroster.sandbox_rows import Person

_LETTERS = {"students": "s", "staff": "ta", "guardians": "gr"}


def truth(roster: CampusRoster, kind: Kind) -> Iterator[tuple[str, Record]]:
    """What is delivered of a kind today: (neutral key, record). Relatives are nobody's guardians."""
    for key, record in sandbox_truth.truth(roster, kind):
        if not isinstance(record, (Student, Staff, Guardian)):
            yield key, record
        elif not (isinstance(record, Guardian) and record.relationship == "relative"):
            yield key, _person(roster, record)


def _person(roster: CampusRoster, record: Student | Staff | Guardian) -> Record:
    person = roster.entries("user")[record.sis_id].sources[0]
    told: dict[str, Any] = {"ids": {**record.ids, **_ids(roster, record.kind, person)}}
    unsaid: set[str] = set()
    if isinstance(record, Guardian):
        told["students"] = sorted(map(str, record.students))  # from several rows, in no order of theirs
        told |= {"relationship": roster.called(record.sis_id)} if roster.version == "1.2" else {}
    else:
        told["username"] = username(person)
    if isinstance(record, Student) and roster.version == "1.2":
        gone, bare = record.status == "tobedeleted", roster.is_bare(record.status)
        told |= {"phones": ()} if gone else {"phones": _phones(person), "addresses": _addresses(person)}
        unsaid |= {"school", "grade", "grade_text"} if bare else {"school"} if roster.has_no_roles(person) else set()
    if isinstance(record, Staff) and roster.version == "1.2" and roster.is_bare(record.status):
        unsaid |= {"role", "schools"}
    known = {name: getattr(record, name) for name in record.model_fields_set - unsaid}
    return type(record)(**{**known, **told})


def _ids(roster: CampusRoster, kind: Kind, person: Person) -> dict[str, Any]:
    """Version 1.2 has a number for everybody, and tells the one of version 1.1, which may have had the letter of a role."""
    if roster.version == "1.1":
        return {}
    written, number = roster.legacy_id(person), str(person_number(person))
    former = dict.fromkeys((written, number, *(letter + number for letter in _LETTERS[kind])))
    return {"person": number, "legacy_sourced_id": tuple(former)}


def _phones(student: neutral.Student) -> tuple[Phone, ...]:
    numbers = {"home": student.phone, "cell": student.emergency_phone}
    return tuple(Phone(number=number, type=kind) for kind, number in numbers.items() if number)


def _addresses(student: neutral.Student) -> tuple[Address, ...]:
    if not student.street:
        return ()
    return (Address(street=student.street, city=student.city, state="AZ", postal_code=student.postal_code),)
