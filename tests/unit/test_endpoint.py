"""How an answer falls apart into rows, and how a row becomes records or is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sis_connect.endpoint import Asked, Endpoint, concrete
from sis_connect.errors import UnexpectedResponse
from sis_connect.places import cursor_beside_rows, number_at, raw_rows, total_beside_rows, total_in
from sis_connect.provider import InvalidRow
from sis_connect.transport.answers import Response
from small_sis import SmallProvider


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b'{"data": {"item": [{"id": 1}, {"id":2} ]}}', [b'{"id": 1}', b'{"id":2}']),
        (b'{"data": {"item": {"id": 1}}}', [b'{"id": 1}']),
        (b'{"data": {"more": "x"}}', []),
        (b'{"data": {"item": ""}}', []),
        (b'{"data": {"item": null}}', []),
        (b'{"data": ""}', []),
        (b'{"data": null}', []),
        (b"{}", []),
    ],
)
def test_rows_are_cut_out_as_bytes_however_many_there_are(body: bytes, rows: list[bytes]) -> None:
    assert raw_rows(body, "data.item") == rows


def test_a_body_may_be_the_list_itself() -> None:
    assert raw_rows(b'[{"id": 1}]', "") == [b'{"id": 1}']


@pytest.mark.parametrize(
    "body", [b'{"data": {"item": [1', b"<html>", b'{"errorMessage": {}}', b'{"data": [1]}', b'{"data": {"item": 7}}']
)
def test_p9_an_answer_about_something_else_is_not_an_empty_list(body: bytes) -> None:
    with pytest.raises(UnexpectedResponse):
        raw_rows(body, "data.item")


@pytest.mark.parametrize(
    ("body", "total"), [(b'{"a": {"b": 423}}', 423), (b'{"a": {"b": "423"}}', 423), (b'{"a": {"b": "many"}}', None)]
)
def test_a_total_is_a_number_however_it_is_written(body: bytes, total: int | None) -> None:
    assert number_at(body, "a.b") == total


def test_ids_cannot_leave_their_place_in_a_path() -> None:
    assert concrete("/school/{school}/x", {"school": "../a?b=1"}) == "/school/..%2Fa%3Fb%3D1/x"


@pytest.mark.parametrize(
    ("row", "key", "fields"),
    [
        ({"name": "Ada Byron"}, None, ("id",)),
        ({"id": 7, "name": ["Ada"]}, "7", ("name",)),
        ({"id": 7, "name": "Ada"}, "7", ("family_name",)),
        ({"id": 7, "name": "Ada \u0007Byron"}, "7", ("family_name",)),
    ],
)
def test_p7_an_invalid_row_is_named_by_key_and_fields_without_its_values(
    row: dict[str, Any], key: str | None, fields: tuple[str, ...]
) -> None:
    endpoint = SmallProvider.endpoints[2]
    reader = endpoint.reader(Asked({"section": "1"}, {"students": frozenset()}))
    with pytest.raises(InvalidRow) as caught:
        reader(json.dumps(row).encode())
    assert (caught.value.key, caught.value.fields) == (key, fields)
    assert "Ada" not in str(caught.value)
    assert "Byron" not in str(caught.value)


def test_beside_rows_a_total_may_be_missing_and_alone_it_may_not() -> None:
    answer = Response(200, {}, b'{"data": [1], "total": 7}')
    assert total_beside_rows(answer, "total") == total_in(answer, "total") == 7
    untold = Response(200, {}, b'{"data": [1]}')
    assert total_beside_rows(untold, "total") is None
    with pytest.raises(UnexpectedResponse, match="no 'total'"):
        total_in(untold, "total")


@pytest.mark.parametrize(
    ("said", "cursor"),
    [('"a9"', "a9"), ("17", "17"), ("true", "true"), ("false", None), ("null", None), ('""', None), ("[]", None)],
)
def test_what_points_to_the_next_page_is_a_text_a_number_or_that_there_is_one(said: str, cursor: str | None) -> None:
    assert cursor_beside_rows(f'{{"data": [], "next": {said}}}'.encode(), "next") == cursor
    assert cursor_beside_rows(f'{{"data": [], "meta": {{"next": {said}}}}}'.encode(), "meta.next") == cursor
    assert cursor_beside_rows(b'{"data": []}', "next") is None


def test_a_row_of_another_shape_keeps_the_key_that_it_has_on_the_wire() -> None:
    class Renamed(msgspec.Struct, rename={"key": "Person-Id"}):
        key: int | None = None
        name: str = ""

    endpoint = Endpoint(name="x", path="/x", rows="", kinds=("students",), row=Renamed, key="key", read=lambda row, asked: ())
    with pytest.raises(InvalidRow) as caught:
        endpoint.reader(Asked({}, {}))(b'{"Person-Id": 7, "name": 3}')
    assert caught.value.key == "7"
