"""The lists of Qmlativ that are read, as data: objects, the fields that are asked for, and what rows take from other lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec.structs import fields

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.records import RECORDS, Record
from sis_connect.rest_provider import Asked, Endpoint, part
from sis_connect.transport.paging import PageNumberPaging, SinglePage
from sis_connect.values import text
from sis_connect_skyward import qmlativ_mapping as mapping

_BY_ABSENCE = KindCapabilities(offered=True, leaving="absence", omission_means_blank=True)
_STINTS = replace(_BY_ABSENCE, stint_history=True)
_STUDENTS = replace(_BY_ABSENCE, leaving="status", single_read=True, strong_ids=("state_id", "student_number"))
_ALL: tuple[Kind, ...] = ("schools", "terms", "courses", "staff", "sections", "enrollments", "guardians")
CAPABILITIES = Capabilities({**dict.fromkeys(_ALL, _BY_ABSENCE), "students": _STUDENTS, "school_enrollments": _STINTS})

_PAGE = "/{page}/{size}"


def _list(name: str, kind: Kind, path: str, row: Any, read: Any, **more: Any) -> Endpoint[Any]:
    """A list of objects; `path` is its module and object. The first attribute of a row is its key."""
    return Endpoint(
        name=name,
        path=f"/{{entity}}/{path}{_PAGE}",
        rows="Objects",
        kinds=(kind,),
        row=row,
        read=lambda row, asked: read(row, asked) if mapping.counts(row, asked) else (),
        key=row.__struct_fields__[0],
        params=lambda asked: search_fields(fields_of(path, row, asked)),
        paging=PageNumberPaging(page_param="page", size_param="size"),
        cursor_at="Paging.Next",
        **more,
    )


def fields_of(path: str, row: Any, asked: Asked) -> list[str]:
    """The fields that rows of an object are read from, and of those on request the ones that the integration asks for."""
    own, name = asked.settings, path.rpartition("/")[2]
    filled_in = {None, *map(mapping.wire, LOOKUPS)}
    wanted = {own.state_id_field if field == "StateID" else field for field in names_of(row)} - filled_in
    skipped = {field for field, brings in mapping.ON_REQUEST.items() if brings not in asked.fields["students"]}
    skipped |= set() if own.staff_emails else {"Rank"}
    return sorted(field for field in wanted - skipped if f"{name}.{field}" not in own.without_fields)


def search_fields(named: Sequence[str]) -> dict[str, str]:
    """How fields are asked for."""
    return {f"searchFields[{place}]": name for place, name in enumerate(named)}


def object_of(endpoint: Endpoint[Any]) -> str:
    """The module and object that an endpoint lists."""
    return "/".join(endpoint.path.split("/")[2:4])


def names_of(row: Any) -> list[str]:
    """What a row's attributes are called on the wire."""
    return [field.encode_name for field in fields(row)]


def _by_person(kind: Kind, field: str, path: str, row: Any, values: Callable[[Any], dict[str, Any]]) -> Endpoint[Any]:
    """A list of what belongs to people of any kind, for those of one kind. Guardians are known by their number as a person."""

    def read(row: Any, asked: Asked) -> Iterator[Record]:
        owner = text(row.name_id if kind == "guardians" else row.owner)
        if owner is not None and (found := values(row)):
            yield part(RECORDS[kind], sis_id=owner, **found)

    def needs(asked: Asked) -> bool:
        return kind == "guardians" or field in asked.fields[kind]

    return _list(f"{kind}_{field}", kind, path, row, read, partial=True, needs=needs, only="district")


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a row takes from all those of another list that have the same number: the attribute `by`, and what they come to.

    The answer depends on several rows, so the other list is read first, once in a read. In `sparse` lists some have no number.
    """

    among: Endpoint[Any]
    by: str
    comes_to: Callable[[Sequence[Any], Asked], str | None]
    sparse: bool = False


def _nothing(row: Any, asked: Asked) -> Iterator[Record]:
    return iter(())


_AT = "Enrollment/StudentEntityYear"
#: By the attribute of the rows that are completed so.
LOOKUPS: dict[str, Lookup] = {
    "owner": Lookup(
        _list("people", "students", "Student/Student", mapping.PERSON, _nothing),
        "name_id",
        lambda rows, _: text(rows[0].student_id),
    ),
    "school": Lookup(
        _list("students_at", "students", _AT, mapping.STUDENT_ENTITY, _nothing, yearly=True), "student_id", mapping.place_among
    ),
    "email": Lookup(
        _list("addresses", "staff", "Demographics/NameEmail", mapping.EMAIL, _nothing),
        "name_id",
        mapping.primary_email,
        sparse=True,
    ),
}
_DISTRICT: tuple[Endpoint[Any], ...] = (
    _list("schools", "schools", "District/Entity", mapping.SCHOOL, mapping.school),
    _list("terms", "terms", "Scheduling/SectionLength", mapping.TERM, mapping.term, yearly=True),
    _list("courses", "courses", "Scheduling/Course", mapping.COURSE, mapping.course, yearly=True),
    _list("staff", "staff", "Staff/Staff", mapping.STAFF, mapping.staff),
    _list("staff_at", "staff", "Staff/StaffEntityYear", mapping.STAFF_ENTITY, mapping.staff_at, yearly=True, partial=True),
    _list("students", "students", "Student/Student", mapping.STUDENT, mapping.student),
    _list("stays", "school_enrollments", "Enrollment/EntryWithdrawal", mapping.STAY, mapping.stay),
    _list("sections", "sections", "Scheduling/Section", mapping.SECTION, mapping.section, yearly=True),
    _list("rosters", "enrollments", "Scheduling/StudentSection", mapping.ROSTER, mapping.roster_entry, yearly=True),
    _list("teachers", "enrollments", "Scheduling/StaffMeet", mapping.STAFF_MEET, mapping.teacher, yearly=True),
    _list("guardians", "guardians", "Family/StudentGuardian", mapping.GUARDIAN, mapping.guardian),
)
#: Of these objects, those of one student are searched for.
_OF_STUDENTS = ("stays", "rosters", "guardians")


def of_student(endpoint: Endpoint[Any]) -> Endpoint[Any]:
    """The same objects of one student. The id stands in the body, and behind `#` in the path only to be known there."""

    def body(asked: Asked) -> object:
        condition = {"FieldName": "StudentID", "ConditionType": "Equal", "Value": int(asked.context["student"])}
        return {"SearchCondition": {"LongSearchCondition": condition}}

    name, path = f"student_{endpoint.name}", f"{endpoint.path}#{{student}}"
    return replace(endpoint, name=name, path=path, only="students", method="POST", body=body)


def _one_student(endpoint: Endpoint[Any]) -> Endpoint[Any]:
    path = endpoint.path.replace(_PAGE, "/{student}")
    return replace(endpoint, name="student", path=path, rows="", only="students", paging=SinglePage(), cursor_at=None)


ENDPOINTS: tuple[Endpoint[Any], ...] = (
    *(replace(each, only="district") for each in _DISTRICT),
    # The place of the district's entity in the path takes that of a school.
    *(
        replace(each, name=f"school_{each.name}", path=each.path.replace("{entity}", "{school}"), only="schools")
        for each in _DISTRICT
    ),
    *(of_student(each) for each in _DISTRICT if each.name in _OF_STUDENTS),
    *(_one_student(each) for each in _DISTRICT if each.name == "students"),
    _by_person("students", "emails", "Demographics/NameEmail", mapping.EMAIL, mapping.emails),
    _by_person("students", "phones", "Demographics/NamePhone", mapping.PHONE, mapping.phones),
    _by_person("students", "addresses", "Demographics/NameAddress", mapping.ADDRESS, mapping.addresses),
    _by_person("guardians", "emails", "Demographics/NameEmail", mapping.EMAIL, mapping.emails),
    _by_person("guardians", "phones", "Demographics/NamePhone", mapping.PHONE, mapping.phones),
)
