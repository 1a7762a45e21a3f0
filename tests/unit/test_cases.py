"""What is staged of a record, put together: which rows count, and what they come to."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sis_connect.roster.cases import Case, Mapping, Part, case_of
from sis_connect.roster.documents import Unasked
from sis_connect.roster.merge import UNSTATED

TODAY = date(2026, 11, 23)
SINCE = "2026-11-20T06:00:00+00:00"
NAMES: dict[str, Any] = {"given_name": "Ida", "family_name": "Roe"}


def told(*, whole: bool = True, missing: int = 0, stream: int = 1, at: str | None = None, **fields: Any) -> Part:
    return Part(json.dumps(fields), at, missing, SINCE if missing else None, stream, int(whole))


def case(*parts: Part, mapped: bool = False) -> Case:
    base = json.dumps({**NAMES, "status": "active", "gender": "X"})
    return case_of(
        "students", "s1", "changed", list(parts), Mapping("1", "active", "A", base, None, None, SINCE) if mapped else None, TODAY
    )


WHOLE = told(**NAMES)
BORN = told(whole=False, stream=2, birth_date="2014-02-03")


def test_parts_add_their_fields_to_a_record_that_is_there() -> None:
    it = case(WHOLE, BORN)
    assert it.source is not None
    assert it.source.document == {**NAMES, "birth_date": "2014-02-03", "status": "active", "status_reason": None}
    assert (it.source.absent, it.streams) == (False, (1,))


@pytest.mark.parametrize("mapped", [False, True])
def test_parts_alone_are_as_if_nothing_were_staged(mapped: bool) -> None:
    alone, nothing = case(BORN, mapped=mapped), case(mapped=mapped)
    assert (alone.source, alone.source_witness, alone.streams) == (nothing.source, nothing.source_witness, ())
    assert (alone.source.ended if alone.source else None) == (UNSTATED if mapped else None)


def test_a_record_that_is_missing_is_missing_although_parts_of_it_come() -> None:
    it = case(told(**NAMES, missing=2), BORN)
    assert it.source is not None
    assert (it.source.missing_pulls, it.streams) == (2, (1,))
    assert "birth_date" not in it.source.document
    assert it.source_witness == case(told(**NAMES, missing=2)).source_witness


def test_a_part_that_is_missing_is_not_delivered() -> None:
    it = case(WHOLE, told(whole=False, missing=1, birth_date="2014-02-03"))
    assert it.source is not None
    assert (it.source.missing_pulls, "birth_date" in it.source.document) == (0, False)


def test_a_part_that_changes_changes_the_witness() -> None:
    assert case(WHOLE, BORN).source_witness == case(BORN, WHOLE).source_witness != case(WHOLE).source_witness


def test_a_part_that_says_that_somebody_left_counts_where_no_record_is_there() -> None:
    left = told(whole=False, status="tobedeleted")
    it = case(left, told(**NAMES, missing=1), mapped=True)
    assert it.source is not None
    assert (it.source.absent, it.source.document["status"], it.source.document["status_reason"]) == (False, "inactive", "deleted")
    here = case(WHOLE, left)
    assert here.source is not None
    assert here.source.document["status"] == "active"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (("2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00"), datetime(2026, 11, 2, tzinfo=UTC)),
        (("2026-11-01T00:00:00+00:00", None), None),
        ((None, None), None),
    ],
)
def test_a_time_of_change_is_known_only_where_all_rows_tell_it(
    times: tuple[str | None, str | None], expected: datetime | None
) -> None:
    it = case(told(**NAMES, at=times[0]), told(whole=False, at=times[1], gender="X"))
    assert it.source is not None
    assert it.source.updated_at == expected


def test_of_two_years_the_later_one_has_the_word_whichever_comes_first() -> None:
    old, new = (told(**NAMES, grade=grade)._replace(year=year) for grade, year in (("05", 2026), ("06", 2027)))
    for parts in ((old, new), (new, old)):
        it = case(*parts)
        assert it.source is not None
        assert it.source.document["grade"] == "06"


def test_p7_what_nobody_asks_for_takes_no_part_wherever_it_still_stands() -> None:
    mapping = Mapping("1", "active", "A", json.dumps({**NAMES, "gender": "X"}), None, None, SINCE)
    for rows in ([WHOLE, BORN], []):
        it = case_of("students", "s1", "changed", list(rows), mapping, TODAY, Unasked(frozenset({"birth_date", "gender"})))
        assert it.source is not None
        assert it.mapped is not None
        assert not {"birth_date", "gender"} & {*it.source.document, *it.mapped.base_sis, *it.mapped.base_local}
        assert it.source_witness == case_of("students", "s1", "changed", list(rows), mapping, TODAY).source_witness
