"""What PowerSchool may send when something changes: nobody has published it, so any way of naming a record is understood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.provider import Hint
from sis_connect.roster.hints import usable
from sis_connect_powerschool.events import KEY, hints

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("/ws/v1/student/1"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "entity", "resource", "id", "dcid", "events"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(document: Any) -> list[Hint]:
    return list(hints({}, json.dumps(document).encode()))


def student(dcid: str) -> Hint:
    return Hint("students", "sis_id", dcid)


@pytest.mark.parametrize(
    "body",
    [
        {"key": KEY, "event_type": "UPDATE", "resource": "/ws/v1/student/4711"},
        {"key": KEY, "event_type": "SCHOOL_ENROLLMENT", "entity": "student", "id": 4711},
        {"key": KEY, "events": [{"event_type": "UPDATE", "entity": "STUDENTS", "dcid": "4711"}]},
        {"event": {"ref": "https://sis.example.org/ws/v1/student/4711?expansions=demographics"}},
        [{"resource": "/ws/v1/student/4711"}, {"resource": "/ws/v1/student/4711"}],
    ],
)
def test_a_student_is_found_however_they_are_named(body: Any) -> None:
    assert read(body) == [student("4711")]


def test_of_all_but_students_it_is_enough_that_there_is_something() -> None:
    several = {
        "events": [{"resource": "/ws/v1/section_enrollment/77"}, {"resource": "/ws/v1/staff/12"}, {"entity": "course", "id": 3}]
    }
    assert sorted(hint.kind for hint in read(several)) == ["courses", "enrollments", "staff"]
    assert {hint.value for hint in read(several)} == {""}


def test_a_delivery_of_ours_that_names_no_record_may_be_about_any() -> None:
    assert read({"key": KEY, "changed": True}) == [Hint()]
    assert read({"key": KEY, "resource": "/ws/v1/test_subscription"}) == []
    assert read({"key": "somebody-else", "changed": True}) == []
    assert read({"resource": "/ws/v1/attendance/9"}) == []


def test_what_is_no_json_is_said_to_be_none() -> None:
    for body in (b"", b"<event/>", b"[" * 100_000):
        with pytest.raises(ValueError, match="no JSON"):
            hints({}, body)


@given(ANY_JSON)
def test_no_json_makes_it_stumble(document: Any) -> None:
    assert len(usable(read(document))) == len(read(document))
