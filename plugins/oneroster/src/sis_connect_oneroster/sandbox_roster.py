"""The objects that the sandbox lists on a day, in one version of OneRoster: what they are called, found by, and look like.

Vendors override `make_ids`, `make_people`, `metadata`, `decorate`, `truth_of`, and what is visible (`sandbox_listing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from sis_connect.capabilities import Kind
from sis_connect.records import Record
from sis_connect.testing.collector import without_collector
from sis_connect.testing.district import District
from sis_connect.testing.district_guardians import Guardian
from sis_connect.testing.district_records import Course, Enrollment, School, Section, Staff, Student, Term
from sis_connect.testing.district_values import grade_code
from sis_connect_oneroster import sandbox_rows as rows
from sis_connect_oneroster.sandbox_listing import Listed, Listing
from sis_connect_oneroster.sandbox_rows import ROLES_11, Ids, Link, Person, Role, Row

if TYPE_CHECKING:
    from sis_connect_oneroster.sandbox_people import People

Links = Mapping[str, tuple[str, ...]]
#: The classes of objects, and the method that lists each; `_<class>_row` makes one.
TABLES: Mapping[str, str] = {
    "org": "_orgs",
    "session": "_sessions",
    "course": "_courses",
    "class": "_classes",
    "user": "_users",
    "demographics": "_demographics",
    "enrollment": "_enrollments",
}


@dataclass(slots=True, frozen=True)
class Entry:
    """One object: what it is made from, and what it can be found by. Equal entries have equal rows."""

    sourced_id: str
    table: str
    listed: Listed
    modified: str
    links: Links
    sources: tuple[Any, ...]


class Roster(Listing):
    """The lists of one day, made when they are first asked for."""

    def __init__(self, district: District, version: str, settings: Mapping[str, str]) -> None:
        super().__init__(district, settings)
        self.version = version
        self.ids = self.make_ids()
        self.dates = rows.Dates(settings.get("end_dates") == "inclusive")
        self._indexes: dict[tuple[str, str], Mapping[str, list[Entry]]] = {}
        self._tables: dict[str, dict[str, Entry]] = {}
        self._made: dict[Hashable, tuple[Any, Entry]] = {}
        self._before: Mapping[Hashable, tuple[Any, Entry]] = {}

    def follow(self, former: Roster) -> None:
        """Take over from the roster of another day, in the same version and settings, what is still as it was."""
        self._before = former._made

    # For vendors to override

    def make_ids(self) -> Ids:
        return Ids()

    def metadata(self, table: str, record: Any) -> Row | None:
        """The vendor's own members of an object; `record` is what it is about."""
        return None

    def decorate(self, table: str, record: Any, row: Row) -> Row:
        """The last word on a row."""
        return row

    def truth_of(self, kind: Kind, entry: Entry, record: Record) -> Record:
        """The last word on what a perfect client makes of it."""
        return record

    def make_people(self) -> People:
        """Who makes the users."""
        from sis_connect_oneroster.sandbox_people import People

        return People(self)

    # Finding

    def entries(self, table: str) -> dict[str, Entry]:
        """All objects of a class by sourcedId, in the server's order."""
        if table not in self._tables:
            with without_collector():
                self._tables[table] = {entry.sourced_id: entry for entry in getattr(self, TABLES[table])()}
        return self._tables[table]

    def index(self, table: str, facet: str) -> Mapping[str, list[Entry]]:
        """The objects of a class by one of the things they can be found by."""
        if (table, facet) not in self._indexes:
            found: defaultdict[str, list[Entry]] = defaultdict(list)
            for entry in self.entries(table).values():
                for value in entry.links.get(facet, ()):
                    found[value].append(entry)
            self._indexes[table, facet] = dict(found)
        return self._indexes[table, facet]

    def recall(self, key: Hashable, made_of: Any) -> Entry | None:
        """The entry of another day that was made of the same."""
        known = self._before.get(key)
        if known is None or known[0] != made_of:
            return None
        self._made[key] = known
        return known[1]

    def remember(self, key: Hashable, made_of: Any, entry: Entry) -> Entry:
        """Keep an entry for days to come."""
        self._made[key] = (made_of, entry)
        return entry

    def row(self, entry: Entry) -> Row:
        """An object as it is, before it is put on the wire; members without a value are None."""
        own = getattr(self, f"_{entry.table}_row")(*entry.sources)
        common = {"sourcedId": entry.sourced_id, "status": entry.listed, "dateLastModified": entry.modified}
        record = entry.sources[0]
        return self.decorate(entry.table, record, {**common, "metadata": self.metadata(entry.table, record), **own})

    def org_link(self, school: School | None) -> Link:
        return Link("orgs", self.ids.org(school), "org")

    def user_id(self, person: Person, role: str) -> str:
        """The sourcedId of the record in which somebody has a role (a word of 1.2)."""
        return self.ids.user(person, ROLES_11.get(role, role) if self.version == "1.1" else None)

    def person(self, guardian: Guardian) -> Person:
        """Who a guardian is: one of the staff, or nobody else."""
        return guardian if guardian.staff is None else self.district.staff[guardian.staff]

    # Lists

    def _entry(self, table: str, sourced_id: str, listed: Listed, day: date, links: Links, *sources: Any) -> Entry:
        return Entry(sourced_id, table, listed, rows.modified(day, sourced_id), links, sources)

    def _orgs(self) -> Iterator[Entry]:
        district, schools = self.district, [school for school, _ in self.schools()]
        day = max(district.changed_on(school) for school in schools)
        children = tuple(self.org_link(school) for school in schools)
        yield self._entry("org", self.ids.org(None), "active", day, {"type": ("district",)}, None, children)
        for school, listed in self.schools():
            links = {"type": ("school",)}
            yield self._entry("org", self.ids.org(school), listed, district.changed_on(school), links, school, None)

    def _sessions(self) -> Iterator[Entry]:
        family: defaultdict[tuple[int, int], list[Term]] = defaultdict(list)
        for term, _ in self.terms():
            family[term.school, term.year].append(term)
        for term, listed in self.terms():
            siblings = family[term.school, term.year]
            parent = parent_of(term, siblings)
            children = tuple(self._session_link(other) for other in siblings if parent_of(other, siblings) is term)
            links = {
                "type": (rows.SESSION_TYPES[term.portion],),
                "school": (self.ids.org(self.district.schools[term.school]),),
                "parent": (self.ids.session(parent),) if parent else (),
            }
            above, changed = self._session_link(parent) if parent else None, self.district.changed_on(term)
            yield self._entry("session", self.ids.session(term), listed, changed, links, term, above, children)

    def _session_link(self, term: Term) -> Link:
        return Link("academicSessions", self.ids.session(term), "academicSession")

    def _courses(self) -> Iterator[Entry]:
        """For which grades a course is shows in its classes: it changes with the first of a year, and when the year is over."""
        district = self.district
        grades: defaultdict[int, set[int]] = defaultdict(set)
        opened: dict[int, date] = {}
        ended: defaultdict[int, date] = defaultdict(lambda: date.min)
        for section, since in district.removed[Section].values():
            ended[section.course] = max(ended[section.course], since)
        for serial in self.section_listing:
            section = district.sections[serial]
            grades[section.course].add(section.grade)
            since = district.changed_on(section)
            opened[section.course] = min(opened.get(section.course, since), since)
        for course, listed in self.courses():
            codes = tuple(dict.fromkeys(grade_code(grade) for grade in sorted(grades[course.serial])))
            day = max(district.changed_on(course), opened[course.serial], ended[course.serial])
            links = {"org": (self.ids.org(None),)}
            yield self._entry("course", self.ids.course(course), listed, day, links, course, codes)

    def _classes(self) -> Iterator[Entry]:
        """A class of the whole year also names the terms and semesters of it."""
        district, parts = self.district, defaultdict(list)
        for term, _ in self.terms():
            if term.portion in (2, 3):
                parts[term.school, term.year].append(term)
        for section, listed in self.sections():
            course, term, school = (
                district.courses[section.course],
                district.terms[section.term],
                district.schools[section.school],
            )
            terms = [term, *(parts[term.school, term.year] if term.portion == 1 else ())]
            links = {
                "school": (self.ids.org(school),),
                "course": (self.ids.course(course),),
                "term": tuple(self.ids.session(each) for each in terms),
            }
            day = district.changed_on(section)
            yield self._entry("class", self.ids.section(section), listed, day, links, section, course, links["term"])

    def _enrollments(self) -> Iterator[Entry]:
        district, by_section = self.district, {}
        for serial in self.section_listing:
            section = district.sections[serial]
            by_section[serial] = self.ids.section(section), self.ids.org(district.schools[section.school])
        student_ids: dict[int, str] = {}
        for row, listed in self.enrollments():
            day = district.changed_on(row)
            key, made_of = (Enrollment, row.serial), (row, listed, day)
            known = self.recall(key, made_of)
            if known is not None:
                yield known
                continue
            if row.student not in student_ids:
                student = district.students.get(row.student)
                student_ids[row.student] = self.user_id(student, "student") if student else f"u-nobody-{row.student}"
            section_id, school_id = by_section[row.section]
            links = {"class": (section_id,), "school": (school_id,), "user": (student_ids[row.student],), "role": ("student",)}
            entry = self._entry("enrollment", self.ids.enrollment(row), listed, day, links, row, links)
            yield self.remember(key, made_of, entry)
        staff = {person.serial for person, _ in self.staff()}
        for section, affiliation, listed, day in self.teachings():
            if affiliation.staff in staff:
                section_id, school_id = by_section[section.serial]
                user = self.user_id(district.staff[affiliation.staff], "teacher")
                links = {"class": (section_id,), "school": (school_id,), "user": (user,), "role": ("teacher",)}
                sourced_id = self.ids.teaching(section, affiliation)
                yield self._entry("enrollment", sourced_id, listed, day, links, section, links)

    def _demographics(self) -> Iterator[Entry]:
        for student, listed in self.students():
            sourced_id = self.user_id(student, "student")
            yield self._entry("demographics", sourced_id, listed, self.district.changed_on(student), {}, student)

    def _users(self) -> Iterator[Entry]:
        return self.make_people().entries()

    # Rows

    def _org_row(self, school: School | None, children: tuple[Link, ...] | None) -> Row:
        return rows.district_row(children or ()) if school is None else rows.school_row(school, self.org_link(None))

    def _session_row(self, term: Term, parent: Link | None, children: tuple[Link, ...]) -> Row:
        return rows.session_row(term, self.dates, parent, children)

    def _course_row(self, course: Course, grades: tuple[str, ...]) -> Row:
        return rows.course_row(course, grades, self.org_link(None))

    def _class_row(self, section: Section, course: Course, terms: tuple[str, ...]) -> Row:
        district = self.district
        return rows.class_row(
            section,
            course,
            course_link=Link("courses", self.ids.course(course), "course"),
            school=self.org_link(district.schools[section.school]),
            terms=[Link("academicSessions", term, "academicSession") for term in terms],
        )

    def _enrollment_row(self, record: Enrollment | Section, links: Links) -> Row:
        term = self.district.terms[record.term] if isinstance(record, Section) else None
        begin, end = (term.start, term.end) if term else (record.begin, record.end)  # type: ignore[union-attr]
        return rows.enrollment_row(
            links["role"][0],
            begin,
            end,
            self.dates,
            user=Link("users", links["user"][0], "user"),
            section=Link("classes", links["class"][0], "class"),
            school=Link("orgs", links["school"][0], "org"),
            primary=True if term else None,
        )

    def _user_row(self, person: Person, roles: tuple[Role, ...], agents: tuple[Link, ...]) -> Row:
        makers: dict[type, Callable[[Any], Row]] = {Student: rows.student_row, Staff: rows.staff_row, Guardian: rows.guardian_row}
        row = makers[type(person)](person) | {"agents": list(agents) or None}
        orgs = list(dict.fromkeys(self.org_link(role.school) for role in roles))
        if self.version == "1.1":
            row.pop("preferredFirstName", None)
            return row | {"role": ROLES_11.get(roles[0].role, roles[0].role) if roles else None, "orgs": orgs}
        return row | {"roles": [self._role(role) for role in roles], "primaryOrg": orgs[0] if orgs else None}

    def _role(self, role: Role) -> Row:
        """The dates of a role that never began are left out."""
        dated = role.begin is not None and role.end is not None and role.begin < role.end
        return {
            "roleType": "primary" if role.primary else "secondary",
            "role": role.role,
            "org": self.org_link(role.school),
            "beginDate": role.begin.isoformat() if role.begin and dated else None,
            "endDate": self.dates.end(role.end) if role.end and dated else None,
        }

    def _demographics_row(self, student: Student) -> Row:
        return rows.demographics_row(student)


def parent_of(term: Term, siblings: Iterable[Term]) -> Term | None:
    """The year for its parts, and the semester for a quarter in it."""
    if term.portion == 1:
        return None
    around = [other for other in siblings if other.portion < term.portion and other.start <= term.start < other.end]
    wanted = 2 if term.portion == 4 else 1
    return next((other for other in around if other.portion == wanted), next(iter(around), None))
