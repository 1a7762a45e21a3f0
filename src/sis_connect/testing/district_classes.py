"""Each school year's terms, sections and schedules of the synthetic district."""

from __future__ import annotations

from collections import defaultdict

from sis_connect.testing.district_people import add_staff
from sis_connect.testing.district_records import Level, Section, Term
from sis_connect.testing.district_state import DistrictState

CLASS_SIZE = 24
GRADES: dict[Level, tuple[int, ...]] = {
    "elementary": (0, 1, 2, 3, 4, 5),
    "middle": (6, 7, 8),
    "high": (9, 10, 11, 12),
}
SUBJECTS: dict[Level, tuple[tuple[str, str], ...]] = {
    "elementary": (
        ("Reading", "English"),
        ("Mathematics", "Mathematics"),
        ("Science", "Science"),
        ("Social Studies", "Social Studies"),
        ("Art", "Arts"),
        ("Music", "Arts"),
        ("Library", "English"),
        ("Physical Education", "Physical Education"),
    ),
    "middle": (
        ("English", "English"),
        ("Mathematics", "Mathematics"),
        ("Science", "Science"),
        ("Social Studies", "Social Studies"),
        ("Spanish", "Languages"),
        ("Band", "Arts"),
        ("Health", "Physical Education"),
        ("Advisory", ""),
    ),
    "high": (
        ("English", "English"),
        ("Mathematics", "Mathematics"),
        ("Biology", "Science"),
        ("History", "Social Studies"),
        ("French", "Languages"),
        ("Fitness", "Physical Education"),
        ("Homeroom", ""),
        ("Computer Science", "Technology"),
        ("Ceramics", "Arts"),
    ),
}
#: At high schools, the last two subjects are taught for one semester each.
SEMESTER_SUBJECTS = 2
PRESCHOOL, ONE_ROOM = "PRE1", "ONE1"


def course_number(level: Level, grade: int, place: int) -> str:
    """The number of the subject at that place in `SUBJECTS`: leading zeros, plain numbers, and letters."""
    if level == "elementary":
        return f"0{grade}{place:02d}"
    return f"{grade}0{place}0" if level == "middle" else f"H{grade:02d}{place}A"


def open_terms(state: DistrictState) -> None:
    """The terms of the current year: each school has the whole year, most have parts of it too."""
    names = {2: ("Semester", "S"), 3: ("Trimester", "T"), 4: ("Quarter", "Q")}
    portions: dict[Level, tuple[int, ...]] = {"elementary": (3,), "middle": (2,), "high": (2, 4), "one_room": ()}
    year = state.year.year
    for school in state.schools.values():
        if school.level == "unopened":
            continue
        _add_term(state, school.serial, 1, 0, f"{year - 1}-{year}", f"{(year - 1) % 100}-{year % 100}", 0)
        part = 0
        for portion in portions[school.level]:
            for index in range(portion):
                part += 1
                name, letter = names[portion]
                _add_term(state, school.serial, portion, part, f"{name} {index + 1}", f"{letter}{index + 1}", index)


def _add_term(state: DistrictState, school: int, portion: int, part: int, name: str, abbreviation: str, index: int) -> None:
    start, end = state.year.parts(portion)[index]
    state.put(Term(state.next_serial(Term), school, state.year.year, portion, part, name, abbreviation, start, end))


def term_of(state: DistrictState) -> dict[tuple[int, int], int]:
    """The current year's terms by (school, part)."""
    year = state.year.year
    return {(term.school, term.part): term.serial for term in state.terms.values() if term.year == year}


def open_classes(state: DistrictState) -> None:
    """Sections for the students there are, and everybody's schedule for the current year."""
    state.sections_of.clear()
    groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for serial in state.active_students():
        student = state.students[serial]
        if student.school is not None:
            groups[student.school, student.grade].append(serial)
    terms = term_of(state)
    for (school, grade), pupils in sorted(groups.items()):
        level = state.schools[school].level
        if level == "one_room" or grade < 0:
            number = ONE_ROOM if level == "one_room" else PRESCHOOL
            _open_course(state, state.course_numbers[number], terms[school, 0], grade, pupils, 0)
            continue
        for place in range(len(SUBJECTS[level])):
            part = max(0, place - len(SUBJECTS[level]) + SEMESTER_SUBJECTS + 1) if level == "high" else 0
            _open_course(
                state, state.course_numbers[course_number(level, grade, place)], terms[school, part], grade, pupils, place
            )


def _open_course(state: DistrictState, course: int, term: int, grade: int, pupils: list[int], place: int) -> None:
    school = state.terms[term].school
    start, end = state.terms[term].start, state.terms[term].end
    sections = [
        add_section(state, school, course, term, grade, number=str(number + 1), period=(place + number) % 8 + 1)
        for number in range(max(1, round(len(pupils) / CLASS_SIZE)))
    ]
    stints, students = state.stints, state.students
    for index, pupil in enumerate(pupils):
        stint = students[pupil].stint
        entry = stints[stint].entry if stint is not None else start
        state.enroll(pupil, sections[(index + place) % len(sections)].serial, max(entry, start), end)


def add_section(state: DistrictState, school: int, course: int, term: int, grade: int, *, number: str, period: int) -> Section:
    """A section with a teacher of that school; a new teacher is hired where all have five sections."""
    taught = state.sections_of[school]
    teachers = state.teachers_of[school]
    if len(teachers) * 5 <= len(taught):
        add_staff(state, school)
    teacher = teachers[len(taught) % len(teachers)]
    section = state.put(Section(state.next_serial(Section), school, course, term, teacher, number, period, grade))
    taught.append(section.serial)
    return section
