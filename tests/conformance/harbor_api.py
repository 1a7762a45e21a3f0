"""Harbor, an SIS that does not exist: its interface, made with the sandbox kit from its own notes.

Lists of `{"data": [...], "total": n, "next": address}`, at most 100 rows a page, usually 25. `from` and `to` are the first and
the last day in a class. A student's number has nine digits. Who has left stays in the list of students, as `left`; a class or a
membership that ends vanishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from sis_connect.capabilities import Kind, Leaving
from sis_connect.records import Enrollment, Record, School, Section, Student
from sis_connect.testing.district import District
from sis_connect.testing.sandbox import Listing, Pages, RestSandbox

Row = dict[str, object]
NUMBER_WIDTH = 9


def school_row(school: School) -> Row:
    return {"id": int(school.sis_id), "name": school.name, "code": school.identifier}


def student_row(student: Student) -> Row:
    return {
        "id": int(student.sis_id),
        "number": str(student.ids["student_number"]).zfill(NUMBER_WIDTH),
        "first": student.given_name,
        "last": student.family_name,
        "year_group": student.grade_text,
        "school_id": student.school,
        "standing": "enrolled" if student.status == "active" else "left",
        "born": student.birth_date,
        "changed": student.updated_at,
        "extras": {"U_BUS": student.custom["bus_route"], "locker": student.custom["locker"]},
    }


def section_row(section: Section) -> Row:
    return {"id": int(section.sis_id), "name": section.title, "school_id": section.school}


def member_row(enrollment: Enrollment) -> Row:
    last = enrollment.end_date - timedelta(days=1) if enrollment.end_date else None
    who = {"person": enrollment.user, "section_id": enrollment.section}
    return {"id": int(enrollment.sis_id), **who, "from": enrollment.begin_date, "to": last}


class HarborSandbox(RestSandbox):
    base_path = "/api"
    paging = Pages(page="page", size="per_page", rows="data", total="total", next="next", most=100, usual=25)
    listings = (
        Listing("schools", path="/schools", row=school_row),
        Listing("students", path="/students", row=student_row, since="changed_since"),
        Listing("students", path="/schools/{school}/students", row=student_row),
        Listing("sections", path="/schools/{school}/sections", row=section_row),
        Listing("enrollments", path="/schools/{school}/members", row=member_row, where=lambda row: row.role == "student"),
    )
    leaving: ClassVar[Mapping[Kind, Leaving]] = {"sections": "absence", "enrollments": "absence"}
    delivers: ClassVar[Mapping[Kind, set[str]]] = {
        "schools": {"name", "identifier"},
        "students": {
            *("given_name", "family_name", "grade", "grade_text", "school", "birth_date"),
            *("ids.student_number", "updated_at", "custom.bus_route", "custom.locker"),
        },
        "sections": {"title", "school"},
        "enrollments": {"section", "user", "role", "begin_date", "end_date"},
    }
    custom_names: ClassVar[Mapping[str, str]] = {"bus_route": "U_BUS"}
    grades: ClassVar[Mapping[str, str]] = {"PK": "Pre", "KG": "K", **{f"{grade:02}": str(grade) for grade in range(1, 13)}}

    def told(self, kind: Kind, record: Any) -> Record:
        """Numbers of students have nine digits, zeros in front."""
        found: Record = record
        number = str(record.ids.get("student_number", ""))
        ids = {**record.ids, "student_number": number.zfill(NUMBER_WIDTH)}
        return found.model_copy(update={"ids": ids}) if kind == "students" and number else found


def create(district: District, settings: Mapping[str, str]) -> HarborSandbox:
    return HarborSandbox(district, settings)
