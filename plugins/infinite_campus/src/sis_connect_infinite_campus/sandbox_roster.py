"""What the sandbox lists: the same population in both versions, with the vendor's ids, its metadata, and what it leaves out."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import UUID

from sis_connect.testing.district_guardians import COLLEAGUE, EMERGENCY, FATHER, MOTHER, Guardian
from sis_connect.testing.district_records import (
    Affiliation,
    Course,
    Enrollment,
    School,
    Section,
    Student,
    Term,
)
from sis_connect_oneroster.sandbox_listing import Listed
from sis_connect_oneroster.sandbox_people import Capacity, People
from sis_connect_oneroster.sandbox_roster import Roster
from sis_connect_oneroster.sandbox_rows import Ids, Person, Row, number

#: The letters of roles, in the ids of version 1.1.
LETTERS = {"student": "s", "teacher": "t", "administrator": "a", "guardian": "g", "relative": "r"}
RELATIONSHIPS = {MOTHER: "Mother", FATHER: "Father", EMERGENCY: "Grandparent", COLLEAGUE: "Guardian"}


class CampusIds(Ids):
    """Users and organisations go by GUIDs; in version 1.1 a user has the letter of a role, and a number, in each role."""

    def __init__(self, *, upper: bool) -> None:
        self._upper = upper

    def org(self, school: School | None) -> str:
        return self._guid("district" if school is None else school.key)

    def session(self, term: Term) -> str:
        return str(number("session", term.serial))

    def course(self, course: Course) -> str:
        return str(number("course", course.serial))

    def section(self, section: Section) -> str:
        return str(number("class", section.serial))

    def enrollment(self, enrollment: Enrollment) -> str:
        return f"s{number('enrollment', enrollment.serial)}"

    def teaching(self, section: Section, affiliation: Affiliation) -> str:
        return f"t{number('teaching', section.serial)}{affiliation.serial:04}"

    def user(self, person: Person, role: str | None) -> str:
        return f"{LETTERS[role]}{person_number(person)}" if role else self._guid(person.key)

    def _guid(self, key: str) -> str:
        made = str(UUID(bytes=hashlib.blake2b(key.encode(), digest_size=16).digest(), version=4))
        return made.upper() if self._upper else made


def person_number(person: Person) -> int:
    """The number that somebody has here, whatever their roles."""
    return number(type(person).__name__.lower(), person.serial)


class CampusPeople(People):
    """Without aides: who works at a school and does not teach is an administrator."""

    def _people(self) -> Iterator[tuple[Person, list[Capacity]]]:
        for person, capacities in super()._people():
            for capacity in capacities:
                roles = [role._replace(role="siteAdministrator") if role.role == "aide" else role for role in capacity.roles]
                capacity.roles = roles
            yield person, capacities


class CampusRoster(Roster):
    """The lists of one day."""

    def make_ids(self) -> Ids:
        return CampusIds(upper=self.settings["guid_case"] == "upper")

    # What is visible

    def terms(self) -> Iterator[tuple[Term, Listed]]:
        """Of the active school year; of others nothing is left."""
        return ((term, listed) for term, listed in super().terms() if listed == "active")

    def sections(self) -> Iterator[tuple[Section, Listed]]:
        return ((section, listed) for section, listed in super().sections() if listed == "active")

    def students(self) -> Iterator[tuple[Student, Listed]]:
        """Without no-shows and graduates, and, where the district has it so, without all who have left."""
        vanish = self.settings["departed"] == "vanish"
        for student, listed in super().students():
            if listed == "tobedeleted" and (vanish or student.status == "graduated" or self._never_came(student)):
                continue
            yield student, "tobedeleted" if self.unlisted_while_enrolled(student) else listed

    def guardians(self) -> Iterator[tuple[Guardian, Listed]]:
        """Those whose relationship is marked for the portal. A parent is a guardian here."""
        for guardian, listed in super().guardians():
            if guardian.portal:
                yield (replace(guardian, relationship="guardian") if guardian.relationship == "parent" else guardian), listed

    def _never_came(self, student: Student) -> bool:
        stint = None if student.stint is None else self.district.stints[student.stint]
        return stint is not None and stint.entry == stint.exit

    def unlisted_while_enrolled(self, student: Student) -> bool:
        """Whether the district's data say that somebody is deleted who still sits in classes."""
        return self.settings["deleted_enrolled"] == "on" and student.status == "active" and student.serial % 20 == 13

    def make_people(self) -> People:
        return CampusPeople(self)

    # Rows

    def metadata(self, table: str, record: Any) -> Row | None:
        if table == "demographics" and self.version == "1.2":
            return household(record)
        if table != "user" or self.version != "1.2":
            return None
        key = "ic.legacysourceId" if self.settings["legacy_key"] == "lower" else "ic.legacySourcedId"
        told: Row = {key: self.legacy_id(record), "ic_indexSuffix": str(person_number(record) % 4)}
        if isinstance(record, Student):
            told["ic_relationships"] = [self._relationship(guardian) for guardian in self._family.get(record.serial, ())]
        elif guardian := self._guardian.get(self.ids.user(record, None)):
            students = (self.district.students[serial] for serial in guardian.students if serial in self.student_listing)
            told["ic_relationships"] = [self._relationship(guardian, self.ids.user(student, None)) for student in students]
        return told

    def legacy_id(self, person: Person) -> str:
        """How version 1.2 tells the id of version 1.1."""
        letter = self._letter(person) if self.settings["legacy_id"] == "letter" else ""
        return f"{letter}{person_number(person)}"

    def _letter(self, person: Person) -> str:
        """The letter of the role that somebody is first of all."""
        if isinstance(person, Student):
            return "s"
        if isinstance(person, Guardian):
            return LETTERS[person.relationship]
        return "t" if any(place.teacher for place in self.affiliations_of[person.serial]) else "a"

    def _relationship(self, guardian: Guardian, student: str | None = None) -> Row:
        """As it stands in the student's row, or in the guardian's."""
        return {
            "sourcedId": student or self.ids.user(self.person(guardian), None),
            "guardian": guardian.relationship != "relative",
            "relationshipType": RELATIONSHIPS[guardian.serial % 4],
        }

    def called(self, sourced_id: str) -> str:
        """What a guardian is to their students."""
        return RELATIONSHIPS[self._guardian[sourced_id].serial % 4]

    @cached_property
    def _guardian(self) -> dict[str, Guardian]:
        return {self.ids.user(self.person(guardian), None): guardian for guardian, _ in self.guardians()}

    @cached_property
    def _family(self) -> dict[int, list[Guardian]]:
        found: defaultdict[int, list[Guardian]] = defaultdict(list)
        for guardian, _ in self.guardians():
            for student in guardian.students:
                found[student].append(guardian)
        return dict(found)

    def decorate(self, table: str, record: Any, row: Row) -> Row:
        if table == "demographics":
            return {**row, "sex": row["sex"] or "unspecified"}
        return self._user(record, row) if table == "user" else row

    def _user(self, person: Person, row: Row) -> Row:
        row = {**row, "username": username(person)}
        if self.version == "1.1":
            return row
        row["userMasterIdentifier"] = str(person_number(person))
        if isinstance(person, Student):
            row["phone"] = None  # the household's telephones are with its address
            office = person.serial % 5 == 2 or self.has_no_roles(person)
            row["primaryOrg"] = self.org_link(None) if office else row["primaryOrg"]
            if self.is_guardian_first(person):
                row["roles"] = self._guardian_first(row["roles"])
        bare = self.is_bare(row["status"])
        if bare or (isinstance(person, Student) and self.has_no_roles(person)):
            row["roles"] = []
        return {**row, "grades": None} if bare else row

    def is_bare(self, status: str) -> bool:
        """Whether who is deleted has lost roles and grades."""
        return self.settings["deleted_enrolled"] == "on" and status == "tobedeleted"

    def has_no_roles(self, student: Student) -> bool:
        """Whether a student's roles are blank, so that only their enrolments tell what they are."""
        return self.settings["odd_roles"] == "on" and student.serial % 20 == 7

    def is_guardian_first(self, student: Student) -> bool:
        return self.settings["odd_roles"] == "on" and student.serial % 20 == 8

    def _guardian_first(self, roles: Sequence[Row]) -> list[Row]:
        first = {"roleType": "primary", "role": "guardian", "org": self.org_link(None)}
        return [first, *({**role, "roleType": "secondary"} for role in roles)]


def username(person: Person) -> str:
    """Digits only."""
    return person.number if isinstance(person, Student) else str(person_number(person))


def household(student: Student) -> Row:
    """The household's address and telephones, as they stand in the metadata of demographics."""
    digits, _, rest = student.street.partition(" ")
    street, _, tag = rest.rpartition(" ")
    address = {
        "sourcedId": str(number("student", student.serial) + 1_000_000),
        "number": digits,
        "street": street,
        "tag": tag,
        "city": student.city,
        "state": "AZ",
        "zipcode": student.postal_code,
        "districtResidenceName": "Anytown Unified School District",
        "districtResidenceNumber": "0042",
    }
    phones = {"ic_homePhone": student.phone, "ic_cellPhone": student.emergency_phone, "ic_workPhone": ""}
    return {**({"ic_address": address} if student.street else {}), **phones}
