"""The synthetic district as canonical records: all kinds, all hard cases, in each of the ways in which people leave lists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sis_connect.capabilities import KINDS, Kind, Leaving
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS, Enrollment, Guardian, Record, School, Student, is_whole
from sis_connect.testing.district import District
from sis_connect.testing.district_roster import DistrictRoster, belongs, changed
from sis_connect.testing.district_truth import limited

MODES: tuple[Leaving, ...] = ("status", "absence", "tobedeleted")


@pytest.fixture(scope="module")
def district() -> District:
    return District(students=60)


@pytest.fixture(scope="module")
def later() -> District:
    """In the next school year."""
    district = District(students=40)
    district.move_to(200)
    return district


def roster(district: District, leaving: Leaving = "status", *, history: bool = False) -> DistrictRoster:
    return DistrictRoster(district, leaving=dict.fromkeys(KINDS, leaving), history=history)


def by_key(roster: DistrictRoster, kind: Kind) -> dict[str, Record]:
    return dict(roster.records(kind))


def dangling(roster: DistrictRoster) -> Iterator[str]:
    ids = {kind: {record.sis_id for _, record in roster.records(kind)} for kind in KINDS}
    people = ids["students"] | ids["staff"]
    for kind in KINDS:
        for key, record in roster.records(kind):
            for field, target in record.references.items():
                told = getattr(record, field)
                for one in told if isinstance(told, tuple) else [told] if told else []:
                    if one not in ids[target]:
                        yield f"{key}.{field}"
            if getattr(record, "user", None) and record.user not in people:  # type: ignore[attr-defined]
                yield f"{key}.user"


@pytest.mark.parametrize("leaving", MODES)
def test_every_kind_has_whole_records_and_all_references_hold(district: District, later: District, leaving: Leaving) -> None:
    for day in (district, later):
        listed = roster(day, leaving, history=True)
        assert list(dangling(listed)) == []
        for kind in KINDS:
            records = [record for _, record in listed.records(kind)]
            assert records
            assert all(type(record) is RECORDS[kind] and is_whole(record) for record in records)


def test_ids_are_of_one_kind_only_and_no_numbers_of_the_office(district: District) -> None:
    listed = roster(district)
    ids = [record.sis_id for kind in KINDS for _, record in listed.records(kind)]
    assert len(ids) == len(set(ids))
    assert not set(ids) & {student.number for student in district.students.values()}
    assert not set(ids) & {school.number for school in district.schools.values()}


def test_ids_and_keys_stay_the_same_from_day_to_day() -> None:
    district = District(students=60)
    before = {key: record.sis_id for kind in KINDS for key, record in roster(district).records(kind)}
    district.move_to(30)
    after = {key: record.sis_id for kind in KINDS for key, record in roster(district).records(kind)}
    assert {key: after[key] for key in before if key in after and not key.startswith("teacher-of")}.items() <= before.items()
    assert len(after) > len(before)


def test_who_left_says_so_or_is_gone_or_is_marked(district: District) -> None:
    (left,) = district.hard_cases["transferred"]
    by_mode = {mode: by_key(roster(district, mode), "students") for mode in MODES}
    assert (by_mode["status"][left].status, by_mode["status"][left].status_reason) == ("inactive", "transferred")
    assert left not in by_mode["absence"]
    assert by_mode["tobedeleted"][left].status == "tobedeleted"


def test_what_was_of_last_year_is_over(later: District) -> None:
    terms = by_key(roster(later), "terms").values()
    assert {term.status for term in terms if term.school_year == later.year.year - 1} == {"inactive"}  # type: ignore[attr-defined]
    assert {term.school_year for term in by_key(roster(later, "absence"), "terms").values()} == {later.year.year}  # type: ignore[attr-defined]


def test_history_holds_all_stays_and_today_those_that_go_on(district: District) -> None:
    (again,) = district.hard_cases["reentry"]
    student = by_key(roster(district), "students")[again].sis_id

    def stays(history: bool) -> int:
        records = by_key(roster(district, history=history), "school_enrollments").values()
        return sum(record.student == student for record in records)  # type: ignore[attr-defined]

    assert (stays(history=False), stays(history=True)) == (1, 2)


def test_the_hard_cases_are_there(district: District) -> None:
    listed = roster(district, history=True)
    known = {key for kind in KINDS for key, _ in listed.records(kind)}
    orphans = {entry.key for entry in listed.entries("enrollments") if entry.orphan}
    assert orphans == set(district.hard_cases["orphan_enrollment"])
    assert {key for keys in district.hard_cases.values() for key in keys} <= known | orphans


def test_the_wire_has_what_the_office_typed_and_the_truth_what_it_meant(district: District) -> None:
    (case,) = district.hard_cases["name_with_invisible_characters"]
    listed = roster(district)
    typed = next(entry.record for entry in listed.entries("students") if entry.key == case)
    meant = by_key(listed, "students")[case]
    assert isinstance(typed, Student)
    assert isinstance(meant, Student)
    assert (typed.given_name, meant.given_name) == ("An\u200bna", "Anna")
    assert (typed.family_name, meant.family_name) == (" \ufeffSmith\u00ad ", "Smith")


def test_a_record_is_limited_to_what_an_api_carries(district: District) -> None:
    student = next(record for _, record in roster(district).records("students"))
    fields = {"given_name", "family_name", "ids.student_number", "emails.address", "demographics.races"}
    told = limited(student, fields).model_dump(mode="json", exclude_unset=True)
    assert set(told) == {"sis_id", "given_name", "family_name", "ids", "emails", "demographics"}
    assert (set(told["ids"]), set(told["emails"][0]), set(told["demographics"])) == ({"student_number"}, {"address"}, {"races"})
    assert "ids" not in limited(student, {"given_name", "family_name", "ids.nickname"}).model_fields_set


def test_times_move_with_the_day_and_many_records_share_one() -> None:
    district = District(students=60)
    before = {key: record for kind in KINDS for key, record in roster(district, history=True).records(kind)}
    district.move_to(10)
    after = {key: record for kind in KINDS for key, record in roster(district, history=True).records(kind)}
    different = [key for key in before.keys() & after.keys() if _content(before[key]) != _content(after[key])]
    assert different
    assert all(after[key].updated_at > before[key].updated_at for key in different)  # type: ignore[operator]
    assert len({record.updated_at for record in after.values()}) < len(after) / 3


def _content(record: Record) -> dict[str, object]:
    return record.model_dump(exclude={"updated_at"})


def test_a_vendor_has_its_own_ids_and_its_own_words_for_grades(district: District) -> None:
    listed = DistrictRoster(district, identify=lambda kind, serial: f"{kind[:3]}-{serial}", grades={"KG": "K"})
    assert listed.find("schools", "sch-0") is not None
    students = [record for _, record in listed.records("students")]
    assert {record.grade_text for record in students if record.grade == "KG"} == {"K"}  # type: ignore[attr-defined]
    assert {record.grade_text for record in students if record.grade == "03"} == {"03"}  # type: ignore[attr-defined]


def test_somebody_changes_a_record_by_hand(district: District) -> None:
    school = next(record for _, record in roster(district).records("schools"))
    at = school.updated_at
    assert at is not None
    told = changed("schools", school.sis_id, {"name": "Elm School"}, at)
    listed = DistrictRoster(district, changes={("schools", school.sis_id): told})
    found = next(record for _, record in listed.records("schools"))
    assert isinstance(found, School)
    assert found.name == "Elm School"
    with pytest.raises(ConfigurationError, match="nickname"):
        changed("schools", school.sis_id, {"nickname": "Elm"}, at)


def test_records_belong_to_what_they_refer_to() -> None:
    student = Student(sis_id="1", given_name="Ada", family_name="Vale", school="7")
    assert belongs(student, "school") == ("7",)
    assert belongs(student, "section") == ()
    assert belongs(Guardian(sis_id="2", family_name="Vale", students=("1", "3")), "student") == ("1", "3")
    taught = Enrollment(sis_id="4", section="5", user="6", role="teacher")
    assert (belongs(taught, "teacher"), belongs(taught, "staff"), belongs(taught, "student")) == (("6",), ("6",), ())


def test_what_belongs_to_another_record_comes_in_the_order_of_the_list(later: District) -> None:
    listed = DistrictRoster(later, history=True)
    entries = listed.entries("school_enrollments")
    students = list(dict.fromkeys(entry.record.student for entry in entries))  # type: ignore[attr-defined]
    by_student = [listed.of("school_enrollments", "student", student) for student in students]
    assert [stay for stays in by_student for stay in stays] == [entry.record for entry in entries]
    assert max(map(len, by_student)) > 1
    assert all(stays == sorted(stays, key=lambda stay: stay.entry_date) for stays in by_student)
    assert listed.find("school_enrollments", entries[0].record.sis_id) is entries[0]
    assert listed.of("school_enrollments", "student", "nobody") == []
    assert listed.find("students", "nobody") is None


def test_some_classes_have_aides_besides_their_teachers(district: District, later: District) -> None:
    for day in (district, later):
        listed = roster(day, "status")
        places = [record for _, record in listed.records("enrollments") if isinstance(record, Enrollment)]
        aides = [place for place in places if place.role == "aide"]
        staff = {place.user for place in places if place.role == "teacher"}
        sections = {record.sis_id for _, record in listed.records("sections")}
        assert {place.primary for place in aides} == {False}
        assert 0 < len({place.section for place in aides}) < len(sections) / 2
        assert not {place.user for place in aides} & staff
