"""How a sandbox's lists are paged, as data: what is asked for, and where in the answer things stand."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from sis_connect.testing.faults import Faults
from sis_connect.testing.listings import Listing, Pages, parsed
from sis_connect.testing.refused import Refused

OWN = "http://127.0.0.1/api/students"
ROWS = [{"id": number} for number in range(5)]


def answer(pages: Pages, elsewhere: str | None = None, **asked: str) -> tuple[Any, dict[str, str]]:
    """What is answered for five rows."""
    wanted = pages.wanted(asked)
    shown = Faults().show("/students", ROWS, wanted.size, number=wanted.number, offset=wanted.offset)
    return pages.answer(shown.rows, shown, wanted, asked, own=OWN, elsewhere=elsewhere)


def test_pages_by_number_have_a_total() -> None:
    assert answer(Pages(), page="2", per_page="2") == ({"total": 5, "data": [{"id": 2}, {"id": 3}]}, {})
    assert answer(Pages(), page="3", per_page="2")[0]["data"] == [{"id": 4}]
    assert answer(Pages(), page="9")[0]["data"] == []


def test_the_first_page_may_be_page_0() -> None:
    assert answer(Pages(first=0, usual=2))[0]["data"] == [{"id": 0}, {"id": 1}]
    assert answer(Pages(first=0, usual=2), page="1")[0]["data"] == [{"id": 2}, {"id": 3}]


def test_offsets_count_rows() -> None:
    pages = Pages(offset="skip", size="take", rows="", total="header:X-Total-Count")
    assert answer(pages, skip="3", take="10") == ([{"id": 3}, {"id": 4}], {"X-Total-Count": "5"})


def test_a_server_has_its_own_idea_of_how_large_a_page_may_be() -> None:
    assert len(answer(Pages(most=2), per_page="100")[0]["data"]) == 2
    assert len(answer(Pages(usual=3))[0]["data"]) == 3


def test_cursors_lead_through_the_list_and_end_in_nothing() -> None:
    pages = Pages(cursor="after", size="limit", next="paging.next", usual=2, total="")
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        body, _ = answer(pages, **cursor)
        seen += [row["id"] for row in body["data"]]
        if body["paging"]["next"] is None:
            break
        cursor = {"after": body["paging"]["next"]}
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(Refused):
        pages.wanted({"after": "made up"})


def test_links_lead_to_the_next_page_with_all_that_was_asked_for() -> None:
    pages = Pages(link=True, rows="", total="", usual=2)
    _, headers = answer(pages, school_id="7")
    address = headers["Link"].removeprefix("<").removesuffix('>; rel="next"')
    assert dict(parse_qsl(urlsplit(address).query)) == {"school_id": "7", "per_page": "2", "page": "2"}
    assert address.startswith(OWN)
    assert "Link" not in answer(pages, page="3")[1]


def test_the_next_address_and_a_truth_value_may_stand_in_the_body() -> None:
    pages = Pages(next="links.next", more="has_more", usual=4)
    body, _ = answer(pages)
    assert body["links"]["next"] == f"{OWN}?per_page=4&page=2"
    assert body["has_more"] is True
    last, _ = answer(pages, page="2")
    assert (last["links"]["next"], last["has_more"]) == (None, False)


def test_links_may_be_made_to_lead_elsewhere() -> None:
    assert answer(Pages(next="next", usual=2), "http://localhost/x?a=b")[0]["next"].startswith("http://localhost/x?a=b&")


def test_a_list_of_one_may_come_as_that_row_alone() -> None:
    assert answer(Pages(lone=True, usual=4), page="2")[0]["data"] == {"id": 4}
    assert answer(Pages(lone=True, usual=4))[0]["data"] == ROWS[:4]


def test_lists_may_come_whole() -> None:
    assert answer(Pages(page="", rows="", total="")) == (ROWS, {})


@pytest.mark.parametrize("asked", [{"page": "0"}, {"page": "x"}, {"per_page": "0"}, {"per_page": "-1"}])
def test_pages_that_are_none_are_refused(asked: dict[str, str]) -> None:
    with pytest.raises(Refused):
        Pages().wanted(asked)


def test_a_path_says_what_its_records_belong_to() -> None:
    listing = Listing("students", path="/schools/{school}/students", row=dict)
    (place,) = listing.find("/schools/7/students")
    assert place.context == {"school": "7"}
    assert list(listing.find("/schools/7/students/8")) == []
    assert list(Listing("students", path="/a.b", row=dict).find("/aXb")) == []
    with pytest.raises(ValueError, match="planet"):
        Listing("students", path="/planets/{planet}/students", row=dict)


def test_times_in_a_query_are_understood_with_a_zone_or_without() -> None:
    assert parsed("2026-10-06T10:00:00Z") == parsed("2026-10-06T12:00:00 02:00") == parsed("2026-10-06T10:00:00")
    with pytest.raises(Refused):
        parsed("yesterday")
