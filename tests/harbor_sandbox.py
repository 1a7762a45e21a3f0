"""A sandbox made with the kit, for an SIS that does not exist, as a stranger would write it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from sis_connect.capabilities import Capabilities, Kind, Leaving
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.records import Enrollment, School, Section, Student
from sis_connect.testing.district import District
from sis_connect.testing.sandbox import Listing, Pages, RestSandbox

Row = dict[str, object]


def school_row(school: School) -> Row:
    return {"id": int(school.sis_id), "name": school.name, "code": school.identifier}


def student_row(student: Student) -> Row:
    return {
        "id": int(student.sis_id),
        "number": student.ids["student_number"],
        "first": student.given_name,
        "last": student.family_name,
        "year_group": student.grade_text,
        "school_id": student.school,
        "standing": "enrolled" if student.status == "active" else "left",
        "born": student.birth_date,
        "changed": student.updated_at,
    }


def section_row(section: Section) -> Row:
    return {"id": int(section.sis_id), "name": section.title, "school_id": section.school}


def enrollment_row(enrollment: Enrollment) -> Row:
    """The API tells the last day; the record has the first day out."""
    last = enrollment.end_date - timedelta(days=1) if enrollment.end_date else None
    return {"id": int(enrollment.sis_id), "person": enrollment.user, "from": enrollment.begin_date, "to": last}


class HarborSandbox(RestSandbox):
    base_path = "/api"
    paging = Pages(page="page", size="per_page", rows="data", total="total", most=100, usual=50)
    listings = (
        Listing("schools", path="/schools", row=school_row),
        Listing("students", path="/schools/{school}/students", row=student_row),
        Listing("students", path="/students", row=student_row, since="changed_since", filters={"school_id": "school"}),
        Listing("students", path="/students/{id}", row=student_row),
        Listing("sections", path="/sections", row=section_row, count="/sections/count"),
        Listing("enrollments", path="/sections/{section}/members", row=enrollment_row, where=lambda row: row.role == "student"),
    )
    leaving: ClassVar[Mapping[Kind, Leaving]] = {"sections": "absence", "enrollments": "absence"}
    delivers: ClassVar[Mapping[Kind, set[str]]] = {
        "schools": {"name", "identifier"},
        "students": {
            *("given_name", "family_name", "grade", "grade_text", "school", "birth_date"),
            *("ids.student_number", "updated_at"),
        },
        "sections": {"title", "school"},
        "enrollments": {"section", "user", "role", "begin_date", "end_date"},
    }
    grades: ClassVar[Mapping[str, str]] = {"PK": "Pre", "KG": "K", **{f"{grade:02}": str(grade) for grade in range(1, 13)}}
    open_paths: ClassVar[Mapping[str, object]] = {"/ping": {"status": "up"}}


def create(district: District, settings: Mapping[str, str]) -> HarborSandbox:
    return HarborSandbox(district, settings)


INFO = ProviderInfo(
    name="harbor",
    label="Harbor",
    provider="nowhere:nobody",
    contract=CONTRACT,
    capabilities=Capabilities(),
    sandbox=f"{__name__}:create",
)
