"""The vendor's own metadata, in the shapes in which it was seen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sis_connect.provider import InvalidRow
from sis_connect.records import Address, Phone
from sis_connect_infinite_campus.metadata import Relationship, addresses, legacy_ids, phones, relationships


def parsed(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(
    ("row", "candidates"),
    [
        (b'{"ic.legacySourcedId": "90210"}', ("90210", "s90210")),
        (b'{"ic.legacySourcedId": "s90210"}', ("s90210", "90210")),
        (b'{"ic.legacysourceId": "90210"}', ("90210", "s90210")),
        (b'{"ic.legacySourcedId": 90210}', ("90210", "s90210")),
        (b'{"ic.legacySourcedId": " 90210 "}', ("90210", "s90210")),
        (b'{"ic.legacySourcedId": "", "ic.legacysourceId": "7"}', ("7", "s7")),
        (b'{"ic.legacySourcedId": "another-form"}', ("another-form",)),
        (b'{"ic.legacySourcedId": null}', ()),
        (b'{"ic": {"legacySourcedId": "90210"}}', ()),
        (b"{}", ()),
    ],
)
def test_the_former_id_of_a_student_is_told_with_and_without_its_letter(row: bytes, candidates: tuple[str, ...]) -> None:
    assert legacy_ids(parsed(row), "s") == candidates


def test_one_of_the_staff_may_have_been_teacher_or_administrator() -> None:
    assert legacy_ids({"ic.legacySourcedId": "42"}, "ta") == ("42", "t42", "a42")


def test_relationships_say_who_is_whose_guardian() -> None:
    row = parsed(
        b'{"ic_relationships": [{"sourcedId": "G-1", "guardian": true, "relationshipType": "Mother"},'
        b' {"sourcedId": "G-2", "guardian": "false", "relationshipType": ""}, {"guardian": true}, "nonsense"]}'
    )
    assert list(relationships(row)) == [Relationship("G-1", True, "Mother"), Relationship("G-2", False, None)]


@pytest.mark.parametrize("row", [b"{}", b'{"ic_relationships": null}', b'{"ic_relationships": ""}', b'{"ic_relationships": []}'])
def test_without_relationships_there_are_none(row: bytes) -> None:
    assert list(relationships(parsed(row))) == []


def test_a_single_relationship_may_come_without_its_list() -> None:
    row = parsed(b'{"ic_relationships": {"sourcedId": "G-1", "guardian": "1", "relationshipType": "Father"}}')
    assert list(relationships(row)) == [Relationship("G-1", True, "Father")]


def test_a_flag_that_is_neither_true_nor_false_is_named_without_its_value() -> None:
    with pytest.raises(InvalidRow, match="guardian is neither true nor false") as raised:
        list(relationships({"ic_relationships": [{"sourcedId": "G-1", "guardian": "perhaps"}]}))
    assert "perhaps" not in str(raised.value)


ADDRESS = (
    b'{"ic_address": {"city": "Anytown", "districtResidenceName": "Any District", "districtResidenceNumber": "0001",'
    b' "number": 12, "sourcedId": "77", "state": "MN", "street": "Oak", "tag": "Ave", "zipcode": "01234"}}'
)


def test_house_number_street_and_tag_become_one_line() -> None:
    assert addresses(parsed(ADDRESS)) == (Address(street="12 Oak Ave", city="Anytown", state="MN", postal_code="01234"),)


@pytest.mark.parametrize("row", [b'{"ic_address": {}}', b'{"ic_address": null}', b'{"ic_address": [{"state": "MN"}]}'])
def test_an_address_that_says_nothing_is_none(row: bytes) -> None:
    assert addresses(parsed(row)) == ()


def test_what_is_not_there_is_not_delivered() -> None:
    assert addresses({}) is None
    assert phones({}) is None


def test_telephones_have_their_kind_and_blank_ones_are_left_out() -> None:
    row = parsed(b'{"ic_homePhone": "(602)555-0101", "ic_cellPhone": "", "ic_workPhone": 6025550103}')
    assert phones(row) == (Phone(number="(602)555-0101", type="home"), Phone(number="6025550103", type="work"))
