"""The canonical roster: text is clean, blank is not "not delivered", and nothing is shown by accident."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import (
    RECORDS,
    Enrollment,
    Grade,
    Record,
    Ref,
    School,
    SchoolEnrollment,
    Section,
    Student,
    clean_text,
    derive_id,
    is_whole,
    on_request,
    part,
    sensitivity,
)


def student(**fields: Any) -> Student:
    return Student(**{"sis_id": "2156", "given_name": "Riley", "family_name": "Stone", **fields})


def test_a_value_a_blank_and_a_field_that_was_not_delivered_are_three_things() -> None:
    it = student(middle_name="Q", preferred_given_name="")
    assert (it.middle_name, it.preferred_given_name, it.username) == ("Q", None, None)
    assert {"middle_name", "preferred_given_name"} <= it.model_fields_set
    assert "username" not in it.model_fields_set


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("  Riley ", "Riley"),
        ("Ame\u0301lie", "Am\u00e9lie"),
        ("Ri\u200bley\ufeff", "Riley"),
        ("محمد", "محمد"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
        ("李" * 300, "李" * 300),
        ("\u00a0O'Brien\u00a0", "O'Brien"),
    ],
)
def test_names_of_all_scripts_are_normalised_and_kept_whole(given_name: str, kept: str) -> None:
    assert student(given_name=given_name).given_name == kept


@pytest.mark.parametrize("text", ["Ri\x00ley", "Ri\nley", "Ri\x1bley", "Ri\x85l\u00e9y"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="control characters"):
        student(given_name=text)


@pytest.mark.parametrize("text", ["", "   ", "\u200b"])
def test_a_name_or_an_id_that_is_empty_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is empty"):
        student(family_name=text)
    with pytest.raises(ValidationError, match="is empty"):
        student(sis_id=text)


def test_identifiers_keep_their_leading_zeros_and_lose_what_nobody_sees() -> None:
    it = student(sis_id=" 00123 ", ids={"student_number": "00\u200d77\u200b", "school_staff": ("1", "2")})
    assert it.sis_id == "00123"
    assert it.ids == {"student_number": "0077", "school_staff": ("1", "2")}


def test_a_number_is_no_identifier() -> None:
    with pytest.raises(ValidationError):
        student(sis_id=2156)


@given(st.text())
def test_cleaning_text_twice_changes_nothing_more(text: str) -> None:
    try:
        once = clean_text(text)
    except ValueError:
        return
    assert clean_text(once) == once


@given(st.lists(st.tuples(st.text(), st.text()), min_size=2, max_size=2, unique=True))
def test_derived_ids_of_different_parts_differ(parts: list[tuple[str, str]]) -> None:
    (a, b), (c, d) = parts
    assert derive_id(student=a, school=b) != derive_id(student=c, school=d)


def test_a_derived_id_can_be_read() -> None:
    assert derive_id(student="2156", school="3", entry_date="2026-08-12") == "student=2156;school=3;entry_date=2026-08-12"


def test_only_known_grades_are_taken() -> None:
    assert [student(grade=grade).grade for grade in get_args(Grade)] == list(get_args(Grade))
    with pytest.raises(ValidationError):
        student(grade="7")


def test_times_without_a_zone_are_refused() -> None:
    assert student(updated_at=datetime(2026, 1, 1, tzinfo=UTC)).updated_at is not None
    with pytest.raises(ValidationError, match="timezone"):
        student(updated_at=datetime(2026, 1, 1))


def test_a_record_does_not_change_and_takes_no_unknown_field() -> None:
    it: Any = student()
    with pytest.raises(ValidationError, match="frozen"):
        it.given_name = "Sam"
    with pytest.raises(ValidationError, match="Extra inputs"):
        student(shoe_size=38)


@pytest.mark.parametrize("kind", KINDS)
def test_references_point_to_what_is_applied_before(kind: Kind) -> None:
    for field, target in RECORDS[kind].references.items():
        assert KINDS.index(target) < KINDS.index(kind)
        assert field in RECORDS[kind].model_fields


def test_every_kind_has_its_record() -> None:
    assert set(RECORDS) == set(KINDS)
    assert all(model.kind == kind and issubclass(model, Record) for kind, model in RECORDS.items())


def test_a_reference_may_use_any_identifier_of_its_target() -> None:
    by_number = Ref("staff", school_staff="65")
    it = Enrollment(sis_id="1", section="1500", user=by_number, role="teacher")
    assert it.user == Ref("staff", school_staff="65") != Ref("staff", school_staff="66")
    assert it.model_dump(mode="json")["user"] == {"ref": ["staff", "school_staff", "65"]}
    assert len({by_number, Ref("staff", school_staff="65"), Ref("students", school_staff="65")}) == 2
    with pytest.raises(TypeError, match="exactly one"):
        Ref("staff", school_staff="65", number="T5")
    a_number: Any = 3
    with pytest.raises(ValidationError):
        Section(sis_id="1500", school=a_number)


def test_what_is_sensitive_is_kept_on_request_only() -> None:
    asked = {"birth_date", "gender", "emails", "phones", "addresses", "contacts", "demographics"}
    assert on_request("students") == asked | {"custom"}
    assert sensitivity("students", "birth_date").level == "sensitive"
    assert sensitivity("students", "username").level == "personal"
    assert sensitivity("students", "given_name").level == "directory"
    assert sensitivity("schools", "name").level == "directory"


def test_p7_a_record_shows_no_value_and_neither_does_the_error_about_it() -> None:
    it = student(birth_date=date(2013, 4, 9), ids={"student_number": "20417"})
    shown = repr(it) + str(it) + f"{it}" + repr([it]) + repr(Ref("students", student_number="20417"))
    assert not any(value in shown for value in ("Riley", "Stone", "2013", "20417", "2156"))
    with pytest.raises(ValidationError) as caught:
        student(given_name="Riley\x00", birth_date="the ninth of April")
    assert "Riley" not in str(caught.value)
    assert "April" not in str(caught.value)


def test_dates_are_half_open_and_an_open_end_is_none() -> None:
    it = SchoolEnrollment(sis_id="1", student="2156", school="3", entry_date=date(2026, 8, 12), exit_date=None)
    assert (it.model_dump()["entry_date"], it.model_dump()["exit_date"]) == (date(2026, 8, 12), None)


def test_a_school_needs_a_name_only() -> None:
    assert School(sis_id="3", name="Anytown Middle").grades == ()


def test_a_part_holds_what_it_was_given_and_nothing_else() -> None:
    it = part(Student, sis_id=" 2156 ", birth_date="2013-04-09", gender="", emails=[{"address": "riley@example.org"}])
    assert isinstance(it, Student)
    assert it.model_fields_set == {"sis_id", "birth_date", "gender", "emails"}
    assert it.model_dump(mode="json", exclude_unset=True) == {
        "sis_id": "2156",
        "birth_date": "2013-04-09",
        "gender": None,
        "emails": [{"address": "riley@example.org"}],
    }
    assert (it.kind, repr(it), is_whole(it)) == ("students", "<Student: 4 fields>", False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"birth_date": "the ninth of April"}, "birth_date"),
        ({"given_name": ""}, "given_name"),
        ({"given_name": None}, "given_name"),
        ({"shoe_size": 38}, "shoe_size"),
        ({"emails": [{"type": "work"}]}, "emails"),
    ],
    ids=["no date", "an empty name", "no name", "no field", "no address"],
)
def test_a_part_is_validated_like_a_record(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        part(Student, sis_id="2156", **fields)
    assert [fault["loc"][0] for fault in caught.value.errors()] == [field]
    with pytest.raises(ValidationError, match="is empty"):
        part(Student, sis_id="")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_may_come_in_parts(kind: Kind) -> None:
    it = part(RECORDS[kind], sis_id="1", status="tobedeleted")
    assert not is_whole(it)
    assert it.model_dump(exclude_unset=True) == {"sis_id": "1", "status": "tobedeleted"}


def test_a_record_is_whole_with_its_required_fields() -> None:
    assert is_whole(student())
    assert is_whole(School(sis_id="3", name="Anytown Middle"))
    assert is_whole(part(School, sis_id="3", name="Anytown Middle"))
