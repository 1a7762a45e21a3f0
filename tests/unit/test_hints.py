"""What is made of hints: which students are read alone, when the district is, and how soon it is read again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.provider import Hint
from sis_connect.roster.hints import FEW, LONGEST_PAUSE, MANY, SHARE, at_most, pause, rest, sort_out, usable
from sis_connect.store.hints import KeptHint
from sis_connect.web.payload import hints

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "type", "id", "data", "hints", "name", "value"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(document: Any) -> list[tuple[str, str, str]]:
    return usable(hints({}, json.dumps(document).encode()))


def kept(*told: tuple[str, str, str]) -> list[KeptHint]:
    return [KeptHint(*one, 1) for one in told]


# -- what may be sent --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"kind": "students", "id": "4711"}, [("students", "sis_id", "4711")]),
        ({"kind": "students", "id": 4711}, [("students", "sis_id", "4711")]),
        ({"kind": "student", "name": "student_number", "value": "900123"}, [("students", "student_number", "900123")]),
        ({"hints": [{"kind": "sections"}, {"kind": "staff", "id": "7"}]}, [("sections", "sis_id", ""), ("staff", "sis_id", "7")]),
        ([{"kind": "students", "id": "1"}, "noise", {"kind": "x"}], [("students", "sis_id", "1")]),
        ({"type": "student.updated", "data": {"id": "4711"}}, [("students", "sis_id", "4711")]),
        ({"type": "class.deleted", "data": {"sourcedId": "c-1"}}, [("sections", "sis_id", "c-1")]),
        ({"type": "invoice.paid", "data": {"id": "4711"}}, []),
        ({"kind": "students", "id": "x" * 201}, []),
        ({"kind": "students", "id": "a\u0000b"}, []),
        ({"kind": "students", "id": True}, [("students", "sis_id", "")]),
        ("students", []),
        (None, []),
    ],
)  # fmt: skip
def test_a_plain_form_is_understood_and_anything_else_is_nothing(document: Any, expected: list[tuple[str, str, str]]) -> None:
    assert read(document) == expected


@given(ANY_JSON)
def test_no_json_makes_it_stumble(document: Any) -> None:
    assert all(len(hint) == 3 for hint in read(document))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        hints({}, body)


def test_p7_the_repr_of_a_hint_does_not_show_whom_it_is_about() -> None:
    assert "4711" not in repr(Hint("students", "sis_id", "4711"))
    assert "4711" not in repr(kept(("students", "sis_id", "4711")))


def test_what_a_plugin_makes_up_is_left_out() -> None:
    made_up: Any = [Hint("pupils", "sis_id", "1"), "students", Hint("students", "Student Number", "1")]  # type: ignore[arg-type]
    assert usable(made_up) == []


# -- what to read ------------------------------------------------------------------------------------------------------


def test_students_are_read_alone_and_all_else_is_a_matter_of_the_district() -> None:
    one, two = ("students", "sis_id", "1"), ("students", "student_number", "900")
    work = sort_out(kept(one, two), {("student_number", "900"): ["2"]}, FEW)
    assert (sorted(work.students), len(work.answered), work.district) == (["1", "2"], 2, False)
    work = sort_out(kept(one, ("sections", "sis_id", "")), {}, FEW)
    assert (sorted(work.students), len(work.answered), work.district) == (["1"], 1, True)


def test_a_number_that_nobody_here_has_may_be_that_of_somebody_new() -> None:
    assert sort_out(kept(("students", "student_number", "900")), {}, FEW) == sort_out(kept(("", "sis_id", "")), {}, FEW)


def test_a_storm_is_one_read_of_the_district() -> None:
    told = kept(*(("students", "sis_id", str(number)) for number in range(FEW + 1)))
    assert sort_out(told[:-1], {}, FEW).students == {str(number) for number in range(FEW)}
    work = sort_out(told, {}, FEW)
    assert (work.students, work.district) == (frozenset(), True)


def test_more_students_are_worth_reading_alone_where_the_sis_lists_no_changes() -> None:
    single = KindCapabilities(offered=True, single_read=True)
    listed = KindCapabilities(offered=True, single_read=True, delta="version")
    found = [at_most(Capabilities({"students": one})) for one in (KindCapabilities(offered=True), single, listed)]
    assert found == [0, MANY, FEW]


# -- how soon ----------------------------------------------------------------------------------------------------------


def test_p11_following_changes_takes_no_more_than_its_share_of_the_limit() -> None:
    assert rest(60, 60.0, (60, 60.0)) == 60.0 / SHARE - 60.0
    assert rest(1, 0.5, (60, 60.0)) == 1.0 / SHARE - 0.5
    assert rest(1, 5.0, (60, 60.0)) == 0.0
    assert rest(5000, 5.0, None) == 0.0


def test_pauses_grow_with_failures_and_never_beyond_an_hour() -> None:
    assert [pause(60.0, failures) for failures in range(4)] == [60.0, 120.0, 240.0, 480.0]
    assert pause(60.0, 1000) == LONGEST_PAUSE
    assert pause(7200.0, 3) == 7200.0
    assert pause(60.0, 1, retry_after=900.0) == 900.0
