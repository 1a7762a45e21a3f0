"""A provider for Harbor that does everything right. Each of the wrong ones differs from it in one thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import msgspec

from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.records import Enrollment, Record, School, Section, Student
from sis_connect.rest_provider import Asked, ChangesSince, Endpoint, RestProvider, build
from sis_connect.transport.paging import PageNumberPaging
from sis_connect.values import day, moment, text

GRADES = {"Pre": "PK", "K": "KG", **{str(grade): f"{grade:02}" for grade in range(1, 13)}}


class SchoolRow(msgspec.Struct):
    id: int | None = None
    name: str | None = None
    code: str | int | None = None


class StudentRow(msgspec.Struct):
    id: int | None = None
    number: str | int | None = None
    first: str | None = None
    last: str | None = None
    year_group: str | None = None
    school_id: str | int | None = None
    standing: str = ""
    born: str | None = None
    changed: str | None = None


class SectionRow(msgspec.Struct):
    id: int | None = None
    name: str | None = None
    school_id: str | int | None = None


class MemberRow(msgspec.Struct):
    id: int | None = None
    person: str | int | None = None
    section_id: str | int | None = None
    begins: str | None = msgspec.field(default=None, name="from")
    ends: str | None = msgspec.field(default=None, name="to")


def school(row: SchoolRow, asked: Asked) -> Iterator[Record]:
    yield build(School, sis_id=text(row.id), name=row.name, identifier=text(row.code))


def student(row: StudentRow, asked: Asked) -> Iterator[Record]:
    more = {"birth_date": day(row.born, "born")} if "birth_date" in asked.fields["students"] else {}
    yield build(
        Student,
        sis_id=text(row.id),
        ids={"student_number": text(row.number)} if text(row.number) else {},
        updated_at=moment(row.changed),
        status="active" if row.standing == "enrolled" else "inactive",
        given_name=row.first,
        family_name=row.last,
        school=text(row.school_id),
        grade=GRADES.get(row.year_group or ""),
        grade_text=row.year_group,
        **more,
    )


def section(row: SectionRow, asked: Asked) -> Iterator[Record]:
    yield build(Section, sis_id=text(row.id), title=row.name, school=text(row.school_id))


def member(row: MemberRow, asked: Asked) -> Iterator[Record]:
    last = day(row.ends, "to")
    yield build(
        Enrollment,
        sis_id=text(row.id),
        section=text(row.section_id),
        user=text(row.person),
        role="student",
        begin_date=day(row.begins, "from"),
        end_date=last + timedelta(days=1) if last else None,
    )


def listed(name: str, path: str, row: type[Any], read: Any, **more: Any) -> Endpoint[Any]:
    """One of Harbor's lists."""
    return Endpoint(
        name=name,
        path=path,
        rows="data",
        kinds=(name,),  # type: ignore[arg-type]
        row=row,
        read=read,
        paging=PageNumberPaging(page_param="page", size_param="per_page"),
        total_at=("total",),
        cursor_at="next",
        **more,
    )


SCHOOLS = listed("schools", "/schools", SchoolRow, school, gives="school")
CHANGES = ChangesSince(param="changed_since", stamp="changed", overlap=timedelta(0))
STUDENTS = listed("students", "/students", StudentRow, student, changes=CHANGES, only="district", custom="extras")
OF_SCHOOL = replace(STUDENTS, name="school_students", path="/schools/{school}/students", only="schools", changes=None, delta=None)
SECTIONS = listed("sections", "/schools/{school}/sections", SectionRow, section, parent="schools")
MEMBERS = listed("enrollments", "/schools/{school}/members", MemberRow, member, parent="schools")


class HarborProvider(RestProvider):
    """Reads a Harbor."""

    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = (SCHOOLS, STUDENTS, OF_SCHOOL, SECTIONS, MEMBERS)


_PLAIN = KindCapabilities(offered=True, total_count=True, omission_means_blank=True)
INFO = ProviderInfo(
    name="harbor",
    label="Harbor",
    provider="conformance.right_provider:HarborProvider",
    contract=CONTRACT,
    capabilities=Capabilities(
        {
            "schools": _PLAIN,
            "students": KindCapabilities(
                offered=True,
                total_count=True,
                omission_means_blank=True,
                reliable_updated_at=True,
                delta="updated_at",
                strong_ids=("student_number",),
                custom=True,
            ),
            "sections": KindCapabilities(offered=True, leaving="absence", total_count=True, omission_means_blank=True),
            "enrollments": KindCapabilities(offered=True, leaving="absence", total_count=True, omission_means_blank=True),
        }
    ),
    default_page_size=25,
    sandbox="conformance.harbor_api:create",
)
