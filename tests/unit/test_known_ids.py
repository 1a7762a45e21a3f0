"""Ids kept as hashes: whoever was taken in is known, nobody else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sis_connect.roster.known_ids import KnownIds


@given(st.sets(st.text()), st.sets(st.text()))
def test_exactly_those_taken_in_are_known(taken: set[str], others: set[str]) -> None:
    known = KnownIds()
    known.update(taken)
    assert len(known) == len(taken)
    assert {one for one in taken | others if one in known} == taken


def test_ids_may_be_taken_in_portion_by_portion_and_between_questions() -> None:
    known = KnownIds()
    known.update(f"s{n}" for n in range(1000))
    assert "s999" in known
    assert "s1000" not in known
    known.update(["s1000"])
    assert "s1000" in known
    assert "s0" in known
