"""Whether a read proved complete: each proof, and each way to fail (promise P1)."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect.errors import NetworkError
from sis_connect.provider import Page, Reading
from sis_connect.roster.fetch import StreamRead, judge


def unread(row: bytes) -> Reading:
    raise AssertionError("nothing is parsed to judge a read")


def page(received: int, *, more: bool = True, **told: Any) -> Page:
    return Page(endpoint="/students", kinds=("students",), read=unread, rows=[b"{}"] * received, more=more, **told)


def read(*pages: Page, distinct: int | None = None) -> StreamRead:
    """A stream of these pages, in which `distinct` rows differed (all of them, unless told)."""
    stream = StreamRead("/students")
    for one in pages:
        stream.observe(one)
    stream.distinct = stream.received if distinct is None else distinct
    return stream


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        pytest.param([page(3, total=5), page(2, total=5, more=False)], "as many distinct rows", id="the total was reached"),
        pytest.param([page(3, asked=50, total=4), page(1, asked=50, total=4, more=False)], "as many", id="a cap was followed"),
        pytest.param([page(0, total=0, more=False)], "as many distinct rows", id="there is nothing, and the server says so"),
        pytest.param([page(3), page(0, more=False)], "empty page", id="an empty page"),
        pytest.param([page(3, had_next=True), page(3, more=False)], "stopped pointing", id="the links ended"),
        pytest.param([page(3, declared_size=3), page(2, declared_size=3, more=False)], "shorter", id="shorter than declared"),
    ],
)
def test_p1_a_read_is_complete_where_its_end_is_proved(pages: list[Page], reason: str) -> None:
    verdict = judge(read(*pages))
    assert verdict.complete
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("pages", "distinct", "reason"),
    [
        pytest.param([], None, "did not come to its end", id="nothing was observed"),
        pytest.param([page(3)], None, "did not come to its end", id="it broke off without a word"),
        pytest.param([page(3, more=False)], None, "could not be proved", id="one page that proves nothing"),
        pytest.param([page(50, asked=100, more=False)], None, "could not be proved", id="a cap was not noticed"),
        pytest.param([page(3, total=9, more=False)], None, "3 distinct rows", id="a cap, and the total tells"),
        pytest.param([page(3, total=6), page(3, total=6, more=False)], 5, "5 distinct rows", id="a row twice, and another not"),
        pytest.param([page(3, total=6), page(3, total=7, more=False)], None, "total moved", id="the total moved"),
        pytest.param([page(3, total=3, more=False), page(1, total=3, more=False)], None, "4 distinct", id="more than the total"),
        pytest.param([page(3), page(3), page(0, more=False)], 5, "more than once", id="rows came twice"),
        pytest.param([page(3, had_next=True, more=False)], None, "could not be proved", id="it still pointed on"),
        pytest.param([page(3, declared_size=3, more=False)], None, "could not be proved", id="the last page was full"),
        pytest.param([page(2, asked=3, more=False)], None, "could not be proved", id="shorter than asked proves nothing"),
    ],
)
def test_p1_without_proof_a_read_is_not_complete(pages: list[Page], distinct: int | None, reason: str) -> None:
    verdict = judge(read(*pages, distinct=distinct))
    assert not verdict.complete
    assert reason in verdict.reason


def test_p1_an_error_spoils_every_proof() -> None:
    broken = page(0, total=3, error=NetworkError("The SIS did not answer."))
    verdict = judge(read(page(3, total=3, more=False), broken))
    assert not verdict.complete
    assert verdict.reason == "broke off: The SIS did not answer."


def test_p2_a_row_whose_key_cannot_be_read_may_be_any_that_did_not_come() -> None:
    stream = read(page(3, total=3, more=False))
    stream.nameless = 1
    assert not judge(stream).complete


def test_the_total_is_the_strongest_proof() -> None:
    assert not judge(read(page(2, total=5), page(0, total=5, more=False))).complete
