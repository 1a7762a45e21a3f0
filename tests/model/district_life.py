"""The life of a small district: who comes, moves and goes, and what its SIS tells of that. Seeded, and simple on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from roster_fixture import FakeSIS, Feed, Row, bad, enrollment, row, school, section, staff, stay
from sis_connect.capabilities import Kind
from sis_connect.provider import Page, Scope, Since, Stream

SCHOOLS = ("A", "B")
UNTOLD = "(not delivered)"
#: What fields may say. A district of few words, so that both sides often come to say the same.
WORDS: Mapping[str, tuple[Any, ...]] = {
    "given_name": ("Ada", "Ben", "Cem"),
    "family_name": ("Vale", "Roe", "Lind"),
    "middle_name": ("Jo", "Kit", None, UNTOLD),
    "grade": ("04", "05", "06", None),
    "username": ("u1", "u2", None, UNTOLD),
}


@dataclass
class Pupil:
    """A student. `listed` says whether the SIS speaks of it, `readable` whether its row can be read."""

    sis_id: str
    school: str
    fields: Row
    status: str = "active"
    reason: str | None = None
    listed: bool = True
    readable: bool = True


@dataclass
class District:
    """What the SIS knows. `render` puts it into its lists; `by_school` has one list of students for each school."""

    sis: LivelySIS
    by_school: bool
    today: date
    pupils: dict[str, Pupil] = field(default_factory=dict)
    stays: dict[str, Row] = field(default_factory=dict)
    sections: dict[str, Row] = field(default_factory=dict)
    classes: dict[str, Row] = field(default_factory=dict)
    teachers: dict[str, bool] = field(default_factory=dict)
    schools: list[str] = field(default_factory=lambda: list(SCHOOLS))
    hidden: set[str] = field(default_factory=set)
    serial: int = 0

    def open(self, pupils: int) -> None:
        chance = Random(pupils)  # noqa: S311
        for place in SCHOOLS:
            for number in (1, 2):
                self.sections[f"{place}{number}"] = section(f"{place}{number}", school=place)
        for name in ("t1", "t2"):
            self.teachers[name] = True
            self._join(name, f"{SCHOOLS[0]}{name[1]}", role="teacher")
        for number in range(pupils):
            self._admit(chance, SCHOOLS[number % 4 == 3])

    # -- what may happen -----------------------------------------------------------------------------------------------

    def arrive(self, chance: Random) -> None:
        """Somebody new comes, perhaps with the number of somebody else."""
        pupil = self._admit(chance, chance.choice(SCHOOLS))
        if chance.random() < 0.3:
            pupil.fields["ids"] = dict(chance.choice(list(self.pupils.values())).fields["ids"])

    def move(self, chance: Random) -> None:
        """A transfer within the district."""
        if pupil := self._anybody(chance):
            pupil.school = chance.choice(SCHOOLS)
            for known in self._stays_of(pupil):
                known["exit_date"] = known["exit_date"] or self.today.isoformat()
            self._leave_classes(pupil)
            self._settle(chance, pupil)

    def leave(self, chance: Random) -> None:
        """The SIS says that somebody has left."""
        if pupil := self._anybody(chance):
            pupil.status = chance.choice(("inactive", "inactive", "tobedeleted"))
            pupil.reason = chance.choice(("transferred", "graduated", "withdrawn", None))
            if chance.random() < 0.5:
                self._leave_classes(pupil)

    def vanish(self, chance: Random) -> None:
        """Somebody is not listed any more; with or without what hangs from them."""
        if pupil := self._anybody(chance):
            pupil.listed = False
            if chance.random() < 0.7:
                self._leave_classes(pupil)
                self.hidden |= {known["sis_id"] for known in self._stays_of(pupil)}

    def come_back(self, chance: Random) -> None:
        if gone := [pupil for pupil in self.pupils.values() if not pupil.listed or pupil.status != "active"]:
            pupil = chance.choice(gone)
            pupil.listed, pupil.status, pupil.reason = True, "active", None
            self.hidden -= {known["sis_id"] for known in self._stays_of(pupil)}
            self._settle(chance, pupil)

    def correct(self, chance: Random) -> None:
        """The registrar edits a field."""
        if pupil := self._anybody(chance):
            self._reword(chance, pupil, chance.choice(list(WORDS)))

    def spoil(self, chance: Random) -> None:
        """A row turns unreadable, or readable again."""
        if pupil := self._anybody(chance):
            pupil.readable = not pupil.readable

    def mend(self, chance: Random) -> None:
        for pupil in self.pupils.values():
            pupil.readable = True

    def date_stay(self, chance: Random) -> None:
        """A stay is given an end, past or to come, or goes on after all; or it is to begin later."""
        if self.stays:
            known = self.stays[chance.choice(list(self.stays))]["school_enrollments"]
            name = chance.choice(("exit_date", "exit_date", "entry_date"))
            day = (self.today + timedelta(days=chance.choice((-2, 0, 1, 3)))).isoformat()
            known[name] = chance.choice((day, day, None)) if name == "exit_date" else day

    def change_class(self, chance: Random) -> None:
        """Somebody joins a class or drops one, on a day."""
        if self.classes and chance.random() < 0.5:
            known = self.classes[chance.choice(list(self.classes))]["enrollments"]
            if chance.random() < 0.5:
                del self.classes[known["sis_id"]]
            else:
                known["end_date"] = (self.today + timedelta(days=chance.choice((-1, 0, 1, 3)))).isoformat()
        elif (pupil := self._anybody(chance)) and self.sections:
            self._join(pupil.sis_id, chance.choice(list(self.sections)))

    def change_section(self, chance: Random) -> None:
        """A section closes, with or without its classes, opens again, or is renamed."""
        name = f"{chance.choice(SCHOOLS)}{chance.choice((1, 2, 3))}"
        if name not in self.sections:
            self.sections[name] = section(name, school=name[0])
        elif chance.random() < 0.5:
            del self.sections[name]
            if chance.random() < 0.7:
                self.classes = {key: one for key, one in self.classes.items() if one["enrollments"]["section"] != name}
        else:
            self.sections[name]["sections"]["title"] = chance.choice(("Art", "Biology", None))

    def change_teacher(self, chance: Random) -> None:
        name = chance.choice(("t1", "t2", "t3"))
        self.teachers[name] = not self.teachers.get(name, False)

    def close_school(self, chance: Random) -> None:
        """A school closes, or opens again."""
        if chance.random() < 0.2:
            self.schools = ["A"] if "B" in self.schools else list(SCHOOLS)

    def exodus(self, chance: Random) -> None:
        """Something goes wrong with many at once."""
        what = chance.choice((self.leave, self.vanish, self.spoil, self.come_back))
        for _ in range(chance.choice((3, 6, 10))):
            what(chance)

    def campaign(self, chance: Random) -> None:
        """Many are reworded at once."""
        name = chance.choice(("username", "middle_name", "grade"))
        for pupil in chance.sample(list(self.pupils.values()), k=min(len(self.pupils), chance.choice((2, 5, 12)))):
            self._reword(chance, pupil, name)

    # -- how it happens ------------------------------------------------------------------------------------------------

    def _anybody(self, chance: Random) -> Pupil | None:
        here = [pupil for pupil in self.pupils.values() if pupil.listed]
        return chance.choice(here) if here else None

    def _admit(self, chance: Random, place: str) -> Pupil:
        self.serial += 1
        name = f"s{self.serial:03d}"
        fields = {"given_name": "Ada", "family_name": "Vale", "grade": "05", "username": name, "middle_name": "Jo"}
        pupil = self.pupils[name] = Pupil(name, place, {**fields, "ids": {"state_id": f"9{self.serial:04d}"}})
        self._settle(chance, pupil)
        return pupil

    def _settle(self, chance: Random, pupil: Pupil) -> None:
        self.serial += 1
        first = (self.today + timedelta(days=chance.choice((-60, -60, 0, 2)))).isoformat()
        known = stay(f"y{self.serial:03d}", student=pupil.sis_id, school=pupil.school, entry_date=first)
        self.stays[known["key"]] = known
        if places := [name for name in self.sections if name[0] == pupil.school]:
            self._join(pupil.sis_id, chance.choice(places))

    def _join(self, user: str, place: str, role: str = "student") -> None:
        name = f"{user}-{place}"
        self.classes[name] = enrollment(name, user=user, section=place, school=place[0], role=role)

    def _stays_of(self, pupil: Pupil) -> list[Row]:
        return [known["school_enrollments"] for known in self.stays.values() if _of(known, "student") == pupil.sis_id]

    def _leave_classes(self, pupil: Pupil) -> None:
        self.classes = {key: one for key, one in self.classes.items() if one["enrollments"]["user"] != pupil.sis_id}

    def _reword(self, chance: Random, pupil: Pupil, name: str) -> None:
        pupil.fields.pop(name, None)
        if (word := chance.choice(WORDS[name])) != UNTOLD:
            pupil.fields[name] = word

    # -- what the SIS tells --------------------------------------------------------------------------------------------

    def render(self) -> None:
        """Put everything into the SIS's lists."""
        rows: dict[tuple[str, str], list[Row]] = {(kind, ""): [] for kind in ("schools", "staff", "sections")}
        rows |= {(kind, ""): [] for kind in ("school_enrollments", "enrollments")}
        rows |= {("students", f"school={place}" if self.by_school else ""): [] for place in SCHOOLS}
        rows["schools", ""] = [school(name) for name in self.schools]
        rows["staff", ""] = [staff(name, name, badge=name) for name, here in self.teachers.items() if here]
        rows["sections", ""] = list(self.sections.values())
        rows["school_enrollments", ""] = [known for key, known in self.stays.items() if key not in self.hidden]
        rows["enrollments", ""] = list(self.classes.values())
        for pupil in self.pupils.values():
            if pupil.listed:
                rows["students", f"school={pupil.school}" if self.by_school else ""].append(row_of(pupil))
        for (kind, context), told in rows.items():
            place = context.removeprefix("school=") or None
            self.sis.put(kind, *told, context=context, school=place, size=5)  # type: ignore[arg-type]


def _of(source: Row, name: str) -> Any:
    return source["school_enrollments"][name]


def row_of(pupil: Pupil) -> Row:
    """The source row of a student."""
    if not pupil.readable:
        return bad(pupil.sis_id)
    stated = {} if pupil.status == "active" else {"status": pupil.status, "status_reason": pupil.reason}
    values = {"sis_id": pupil.sis_id, "school": pupil.school, "status": "active", **pupil.fields, **stated}
    return row(pupil.sis_id, students=values)


EVENTS: tuple[Callable[[District, Random], None], ...] = (
    District.arrive, District.arrive, District.move, District.move, District.leave, District.vanish, District.vanish,
    District.come_back, District.come_back, District.correct, District.correct, District.correct, District.spoil, District.mend,
    District.date_stay, District.date_stay, District.change_class, District.change_class, District.change_section,
    District.change_teacher, District.close_school, District.exodus, District.campaign,
)  # fmt: skip


class LivelySIS(FakeSIS):
    """Answers for one student, too, by an endpoint of its own."""

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        if scope.students is None:
            async for page in super().pages(kinds, scope=scope, since=since, cursor=cursor):
                yield page
            return
        for sis_id in sorted(scope.students):
            rows = [known for known in self.feeds["students", ""].rows if known["key"] == sis_id]
            async for page in self._pages_of(("student", f"student={sis_id}"), Feed(("students",), rows), 1):
                yield page
