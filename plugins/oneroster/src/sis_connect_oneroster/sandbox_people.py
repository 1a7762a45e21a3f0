"""The users of the sandbox: in 1.2 one record a person with all roles, in 1.1 one record for each role that a person has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from sis_connect.testing.district_guardians import Guardian
from sis_connect.testing.district_records import Student
from sis_connect_oneroster.sandbox_rows import ROLES_11, Link, Person, Role, modified, staff_role, student_roles

if TYPE_CHECKING:
    from sis_connect_oneroster.sandbox_listing import Listed
    from sis_connect_oneroster.sandbox_roster import Entry, Roster


@dataclass(slots=True)
class Capacity:
    """What somebody is in one respect: a student, one of the staff, a guardian."""

    person: Person
    roles: Sequence[Role]
    listed: Listed
    changed: date
    #: Those whose guardian the person is, or the person's guardians.
    agents: tuple[str, ...] = ()


class People:
    """Everybody of a roster."""

    def __init__(self, roster: Roster) -> None:
        self._roster, self._district = roster, roster.district
        self._student_ids = {student.serial: roster.user_id(student, "student") for student, _ in roster.students()}
        self._guardians_of: defaultdict[int, list[str]] = defaultdict(list)
        self._guardians = list(roster.guardians())
        for guardian, _ in self._guardians:
            for student in guardian.students:
                sourced_id = roster.user_id(roster.person(guardian), guardian.relationship)
                self._guardians_of[student].append(sourced_id)

    def entries(self) -> Iterator[Entry]:
        """One record each, or one for each role."""
        for person, capacities in self._people():
            if self._roster.version == "1.2":
                yield self._entry(person, capacities, None)
                continue
            by_role: defaultdict[str, list[Capacity]] = defaultdict(list)
            for capacity in capacities:
                for role in capacity.roles:
                    one = Capacity(capacity.person, [role], capacity.listed, capacity.changed, capacity.agents)
                    by_role[ROLES_11.get(role.role, role.role)].append(one)
            for word, theirs in by_role.items():
                yield self._entry(person, theirs, word)

    def _people(self) -> Iterator[tuple[Person, list[Capacity]]]:
        roster = self._roster
        for student, listed in roster.students():
            yield student, [self._student(student, listed)]
        colleagues = {guardian.staff: (guardian, listed) for guardian, listed in self._guardians if guardian.staff is not None}
        for person, listed in roster.staff():
            places = roster.affiliations_of[person.serial]
            working = [place for place in places if place.active] or places
            roles = [staff_role(p, None if p.school is None else self._district.schools[p.school]) for p in working]
            changed = max(self._district.changed_on(record) for record in (person, *places))
            capacities = [Capacity(person, roles, listed, changed)]
            if person.serial in colleagues:
                capacities.append(self._guardian(*colleagues[person.serial]))
            # Who left the staff and is somebody's guardian is still there, as that.
            yield person, [one for one in capacities if one.listed == "active"] or capacities
        for guardian, listed in self._guardians:
            if guardian.staff is None:
                yield guardian, [self._guardian(guardian, listed)]

    def _student(self, student: Student, listed: Listed) -> Capacity:
        district = self._district
        present = None if student.stint is None else district.stints[student.stint]
        school = student.school if student.school is not None else present.school if present else None
        beside = [
            stint
            for stint in (district.stints[serial] for serial in district.stays.get(student.serial, ()))
            if not stint.primary and not stint.exit_code and stint.entry >= district.year.start
        ]
        records = [student, *([present] if present else []), *beside]
        return Capacity(
            student,
            student_roles(
                None if school is None else district.schools[school],
                [(stint, district.schools[stint.school]) for stint in beside if stint.school != school],
                present,
            ),
            listed,
            max(district.changed_on(record) for record in records),
            tuple(self._guardians_of.get(student.serial, ())),
        )

    def _guardian(self, guardian: Guardian, listed: Listed) -> Capacity:
        """At the school of the first of their children."""
        district = self._district
        children = [district.students[serial] for serial in guardian.students if serial in self._student_ids]
        child = next((child for child in children if child.status == "active"), children[0])
        school = None if child.school is None else district.schools[child.school]
        changed = max(district.changed_on(each) for each in children)
        agents = tuple(self._student_ids[each.serial] for each in children)
        return Capacity(self._roster.person(guardian), [Role(guardian.relationship, school)], listed, changed, agents)

    def _entry(self, person: Person, capacities: Sequence[Capacity], word: str | None) -> Entry:
        from sis_connect_oneroster.sandbox_roster import Entry

        roster = self._roster
        key, made_of = (word, type(person), person.serial), (person, tuple(capacities))
        known = roster.recall(key, made_of)
        if known is not None:
            return known
        roles = one_primary_each([role for capacity in capacities for role in capacity.roles])
        sourced_id = roster.ids.user(person, word)
        links: dict[str, tuple[str, ...]] = {}
        for role in roles:
            spoken, org = word or role.role, roster.ids.org(role.school)
            links["role"] = (*links.get("role", ()), spoken)
            links["school"] = (*links.get("school", ()), org)
            links[f"as {spoken}"] = (*links.get(f"as {spoken}", ()), org)
        links = {name: tuple(dict.fromkeys(values)) for name, values in links.items()}
        agents = tuple(Link("users", agent, "user") for capacity in capacities for agent in capacity.agents)
        listed: Listed = "active" if any(one.listed == "active" for one in capacities) else "tobedeleted"
        day = max(capacity.changed for capacity in capacities)
        entry = Entry(sourced_id, "user", listed, modified(day, sourced_id), links, (person, roles, agents))
        return roster.remember(key, made_of, entry)


def one_primary_each(roles: Sequence[Role]) -> tuple[Role, ...]:
    """At each org the first role is the primary one."""
    seen: set[int | None] = set()
    found = []
    for role in roles:
        org = None if role.school is None else role.school.serial
        found.append(role._replace(primary=org not in seen))
        seen.add(org)
    return tuple(dict.fromkeys(found))
