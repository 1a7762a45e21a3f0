"""The lists and single records that the sandbox offers: which rows, in which order, by which default filter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sis_connect.testing.district import District
from sis_connect.testing.district_records import Keyed, Student
from sis_connect_powerschool import sandbox_rows as rows
from sis_connect_powerschool.sandbox_query import Comparison, QueryError, Value
from sis_connect_powerschool.sandbox_wire import Tree, to_json

#: In lists of schools, stands for the school where graduates are kept.
GRADUATED = -1
Names = frozenset[str]
_STATUS_FIELDS = ("school_enrollment.enroll_status", "school_enrollment.enroll_status_code")


@dataclass(frozen=True, slots=True)
class Resource:
    """`table` is what ids of this resource are made from."""

    single: str
    plural: str
    table: str
    attributes: Mapping[str, str] = field(default_factory=dict)


RESOURCES: Mapping[str, Resource] = {
    resource.single: resource
    for resource in (
        Resource(
            "school",
            "schools",
            "school",
            {"@expansions": "school_boundary, full_time_equivalencies, school_fees_setup", "@extensions": "s_sch_crdc_x"},
        ),
        Resource("term", "terms", "term", {"@extensions": ""}),
        Resource("course", "courses", "course", {"@extensions": "s_crs_crdc_x"}),
        Resource("section", "sections", "section", {"@expansions": "term", "@extensions": "s_sec_edfi_x"}),
        Resource("section_enrollment", "section_enrollments", "section_enrollment", {"@extensions": "s_cc_x"}),
        Resource("staff", "staffs", "school_staff", {"@expansions": "addresses, emails, phones, school_affiliations"}),
        Resource(
            "student",
            "students",
            "student",
            {"@expansions": rows.STUDENT_EXPANSIONS, "@extensions": rows.STUDENT_EXTENSIONS},
        ),
    )
}
_LISTED = {
    "district": ("school", "student"),
    "school": ("term", "student", "staff", "course", "section"),
    "section": ("section_enrollment",),
}


@dataclass(frozen=True, slots=True)
class Single:
    """One record, or the district itself (`resource` None)."""

    resource: Resource | None
    serial: int


class Resources:
    """Everything that can be read, for one day of the district."""

    def __init__(self, district: District) -> None:
        self.district = district
        self._rendered: dict[tuple[str, int, Names, Names], tuple[tuple[Keyed | None, ...], bytes]] = {}
        self._lists: dict[tuple[str, int | None, tuple[Comparison, ...]], Sequence[int]] = {}
        self._by_school: dict[str, dict[int, list[int]]] = {}
        self._list_graduated = False
        self.invalid_share = 0.0
        #: Whether there are queries that tell the departments of courses: `/ws/v1` does not.
        self.tells_departments = False

    def refresh(self, *, list_graduated: bool, invalid_share: float) -> None:
        """Forget the lists of the day before; rendered rows stay, for they are known by what they were made from."""
        if invalid_share != self.invalid_share:
            self._rendered.clear()
        self._list_graduated, self.invalid_share = list_graduated, invalid_share
        self._lists.clear()
        self._by_school.clear()

    def is_valid(self, student: int) -> bool:
        """Whether a student's row can be read; the share of those that cannot is a setting."""
        return student * 7919 % 1000 >= self.invalid_share * 1000

    # Finding

    def find(self, parts: Sequence[str]) -> Single | tuple[Resource, int | None] | None:
        """What a path below `/ws/v1` stands for: one record, a list with its parent's serial, or nothing."""
        match parts:
            case ["district"]:
                return Single(None, 0)
            case ["school"]:
                return RESOURCES["school"], None
            case ["district", child] if child in _LISTED["district"]:
                return RESOURCES[child], None
            case [name, number] if name in RESOURCES:
                serial = self._serial(RESOURCES[name], number)
                return None if serial is None else Single(RESOURCES[name], serial)
            case [name, number, child] if child in _LISTED.get(name, ()) and name != "district":
                serial = self._serial(RESOURCES[name], number)
                return None if serial is None else (RESOURCES[child], serial)
        return None

    def _serial(self, resource: Resource, number: str) -> int | None:
        if not (number.isascii() and number.isdecimal()):
            return None
        if resource.single == "school" and int(number) == rows.GRADUATED_SCHOOL_ID:
            return GRADUATED
        serial = rows.serial_of(resource.table, int(number))
        return serial if serial is not None and serial in self._table(resource) else None

    def _table(self, resource: Resource) -> Mapping[int, Any]:
        district = self.district
        tables: dict[str, Mapping[int, Any]] = {
            "school": district.schools,
            "term": district.terms,
            "course": district.courses,
            "section": district.sections,
            "section_enrollment": district.enrollments,
            "staff": district.affiliations,
            "student": district.students,
        }
        return tables[resource.single]

    # Rows

    def single(self, found: Single, expansions: Names, extensions: Names) -> tuple[str, Tree]:
        """Name and content of one record."""
        if found.resource is None:
            return "district", _DISTRICT
        tree = self.tree(found.resource, found.serial, expansions, extensions)
        return found.resource.single, {**found.resource.attributes, **tree}

    def tree(self, resource: Resource, serial: int, expansions: Names, extensions: Names) -> Tree:
        """One row."""
        district = self.district
        match resource.single:
            case "student":
                student = district.students[serial]
                return rows.student_row(district, student, expansions, extensions, valid=self.is_valid(serial))
            case "staff":
                affiliation = district.affiliations[serial]
                return rows.staff_row(affiliation, district.staff[affiliation.staff], expansions)
            case "section":
                section = district.sections[serial]
                term = {"term": rows.term_row(district.terms[section.term])} if "term" in expansions else {}
                return rows.section_row(section) | term
            case "school":
                return rows.GRADUATED_SCHOOL if serial == GRADUATED else rows.school_row(district.schools[serial])
            case "term":
                return rows.term_row(district.terms[serial])
            case "course":
                return rows.course_row(district.courses[serial])
        return rows.enrollment_row(district.enrollments[serial])

    def json(self, resource: Resource, serial: int, expansions: Names, extensions: Names) -> bytes:
        """One row as JSON; made once, and again only when what it was made from is another object."""
        key = (resource.single, serial, expansions, extensions)
        sources = self._sources(resource, serial)
        kept = self._rendered.get(key)
        if kept is not None and len(kept[0]) == len(sources) and all(a is b for a, b in zip(kept[0], sources, strict=True)):
            return kept[1]
        body = to_json(self.tree(resource, serial, expansions, extensions))
        self._rendered[key] = (sources, body)
        return body

    def _sources(self, resource: Resource, serial: int) -> tuple[Keyed | None, ...]:
        record = self._table(resource).get(serial)
        if isinstance(record, Student):
            return record, self.district.stints.get(-1 if record.stint is None else record.stint)
        return (record, self.district.staff[record.staff]) if resource.single == "staff" and record else (record,)

    # Lists

    def rows(self, resource: Resource, parent: int | None, query: list[Comparison], *, strict: bool) -> Sequence[int]:
        """The serials of a list in the server's order."""
        known = _FIELDS.get(resource.single, {})
        unknown = [comparison.field for comparison in query if comparison.field not in known]
        if unknown and strict:
            raise QueryError(f"Invalid field in query: {unknown[0]}")
        comparisons = tuple(comparison for comparison in query if comparison.field in known)
        key = (resource.single, parent, comparisons)
        if key not in self._lists:
            self._lists[key] = self._matching(resource, parent, comparisons)
        return self._lists[key]

    def _matching(self, resource: Resource, parent: int | None, comparisons: tuple[Comparison, ...]) -> Sequence[int]:
        fields, district = _FIELDS.get(resource.single, {}), self.district
        candidates = _LISTS[resource.single](self, parent, frozenset(comparison.field for comparison in comparisons))
        if not comparisons:
            return candidates
        table = self._table(resource)
        return [
            serial
            for serial in candidates
            if all(comparison.holds(fields[comparison.field](district, table[serial])) for comparison in comparisons)
        ]

    def group(self, name: str, parent: int) -> list[int]:
        """The serials of a table that belong to one school, in order of their ids; grouped once a day."""
        if name not in self._by_school:
            groups: dict[int, list[int]] = {}
            for serial, record in self._table(RESOURCES[name]).items():
                if record.school is not None:
                    groups.setdefault(record.school, []).append(serial)
            self._by_school[name] = groups
        return self._by_school[name].get(parent, [])

    def schools(self, parent: int | None, asked: Collection[str]) -> list[int]:
        listed = sorted(self.district.schools, key=lambda serial: self.district.schools[serial].name)
        return [*listed, GRADUATED] if self._list_graduated else listed

    def terms(self, parent: int | None, asked: Collection[str]) -> list[int]:
        terms, year = self.district.terms, self.district.year.year
        found = [s for s in self.group("term", _some(parent)) if "start_year" in asked or terms[s].year == year]
        return sorted(found, key=lambda serial: (terms[serial].portion, terms[serial].start))

    def courses(self, parent: int | None, asked: Collection[str]) -> list[int]:
        sections, courses = self.district.sections, self.district.courses
        taught = {sections[serial].course for serial in self.district.sections_of.get(_some(parent), ())}
        return sorted(taught, key=lambda serial: courses[serial].number)

    def sections(self, parent: int | None, asked: Collection[str]) -> list[int]:
        if "term.start_year" in asked:
            return self.group("section", _some(parent))
        return sorted(self.district.sections_of.get(_some(parent), ()))

    def enrollments(self, parent: int | None, asked: Collection[str]) -> list[int]:
        enrollments = self.district.enrollments
        roster = self.district.rosters.get(_some(parent), ())
        return sorted(roster, key=lambda serial: (enrollments[serial].student, enrollments[serial].begin, serial))

    def staff(self, parent: int | None, asked: Collection[str]) -> list[int]:
        return [serial for serial in self.group("staff", _some(parent)) if self.district.affiliations[serial].active]

    def students(self, parent: int | None, asked: Collection[str]) -> list[int]:
        """The whole district's, whatever their status; a school's only while active, unless a status is asked for."""
        if parent is None:
            return list(self.district.students)
        pupils = self.group("student", parent)
        if not any(name in asked for name in _STATUS_FIELDS):
            return [serial for serial in pupils if self.district.students[serial].status == "active"]
        return pupils


def _some(parent: int | None) -> int:
    return GRADUATED if parent is None else parent


_LISTS: Mapping[str, Callable[[Resources, int | None, frozenset[str]], list[int]]] = {
    "school": Resources.schools,
    "term": Resources.terms,
    "course": Resources.courses,
    "section": Resources.sections,
    "section_enrollment": Resources.enrollments,
    "staff": Resources.staff,
    "student": Resources.students,
}
_FIELDS: Mapping[str, Mapping[str, Callable[[District, Any], Value]]] = {
    "student": {
        "id": lambda district, student: rows.dcid("student", student.serial),
        "student_username": lambda district, student: student.username,
        "local_id": lambda district, student: int(student.number),
        "state_province_id": lambda district, student: student.state_id,
        "name.last_name": lambda district, student: student.family,
        "name.first_name": lambda district, student: student.given,
        "school_enrollment.enroll_status": lambda district, student: rows.STATUS[student.status][1],
        "school_enrollment.enroll_status_code": lambda district, student: rows.STATUS[student.status][0],
        "school_enrollment.entry_date": lambda district, student: (
            None if student.stint is None else district.stints[student.stint].entry
        ),
    },
    "section": {"term.start_year": lambda district, section: district.terms[section.term].year - 1},
    "term": {"start_year": lambda district, term: term.year - 1},
}
_DISTRICT: Tree = {
    "uuid": "5b6e1f0a-2c7d-4a55-9d53-0c3a1c0de042",
    "name": "Anytown Unified School District",
    "district_number": "0042",
    "addresses": {"physical": {"street": "1 Main St", "city": "Anytown", "state_province": "AZ", "postal_code": "85001"}},
    "phones": {"main": {"number": "602-555-0100"}},
}
