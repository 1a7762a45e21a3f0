"""Paging schemes: which page comes next, and what is noticed on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.errors import ConfigurationError, UnexpectedResponse
from sis_connect.transport.paging import (
    CursorPaging,
    LinkPaging,
    OffsetPaging,
    PageNumberPaging,
    Paging,
    Seen,
    SinglePage,
    Step,
    next_link,
)

Server = Callable[[Mapping[str, str]], tuple[list[int], Seen]]


def seen(rows: list[int], **told: object) -> Seen:
    return Seen(received=len(rows), fingerprint=hash(tuple(rows)), **told)  # type: ignore[arg-type]


def read(paging: Paging, server: Server, size: int | None, resume: str | None = None) -> tuple[list[int], list[Step]]:
    """Read a whole stream: all rows as they came, and the steps that brought them."""
    rows: list[int] = []
    steps: list[Step] = []
    step: Step | None = paging.start(size, resume)
    while step is not None:
        assert len(steps) < 500, "paging does not end"
        page, observation = server(step.params)
        rows += page
        steps.append(step)
        step = paging.after(step, observation)
    return rows, steps


def numbered(rows: int, *, cap: int = 10**9, total: bool = True, declared: int | None = None) -> Server:
    """A server with `?page=&pagesize=` that sends at most `cap` rows a page."""
    everything = list(range(rows))

    def serve(params: Mapping[str, str]) -> tuple[list[int], Seen]:
        size = min(int(params["pagesize"]), cap)
        start = (int(params["page"]) - 1) * size
        page = everything[start : start + size]
        return page, seen(page, total=rows if total else None, declared_size=declared)

    return serve


def offsets(rows: int, *, cap: int = 10**9, total: bool = True) -> Server:
    everything = list(range(rows))

    def serve(params: Mapping[str, str]) -> tuple[list[int], Seen]:
        start = int(params["offset"])
        page = everything[start : start + min(int(params["limit"]), cap)]
        return page, seen(page, total=rows if total else None)

    return serve


@pytest.mark.parametrize(("rows", "requests"), [(0, 1), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_page_numbers_stop_where_the_total_is_reached(rows: int, requests: int) -> None:
    got, steps = read(PageNumberPaging(), numbered(rows), 100)
    assert got == list(range(rows))
    assert [step.params["page"] for step in steps] == [str(n + 1) for n in range(requests)]


def test_without_a_total_an_empty_page_is_the_end() -> None:
    got, steps = read(PageNumberPaging(), numbered(250, total=False), 100)
    assert got == list(range(250))
    assert len(steps) == 4


def test_a_page_shorter_than_the_size_that_the_server_declares_is_the_end() -> None:
    got, steps = read(PageNumberPaging(), numbered(250, total=False, declared=100), 100)
    assert got == list(range(250))
    assert len(steps) == 3


@pytest.mark.parametrize("rows", [1, 49, 50, 51, 100, 157])
def test_a_cap_smaller_than_asked_is_noticed_by_the_total_and_all_rows_come(rows: int) -> None:
    got, steps = read(PageNumberPaging(), numbered(rows, cap=50), 1000)
    assert set(got) == set(range(rows))
    restarts = [step for step in steps if step.restarted]
    assert bool(restarts) == (rows > 50)
    assert all(step.asked == 50 for step in restarts)
    assert not restarts or restarts[0].params == {"page": "1", "pagesize": "50"}


def test_a_cap_is_noticed_without_a_total_too() -> None:
    got, steps = read(PageNumberPaging(), numbered(157, cap=50, total=False), 1000)
    assert set(got) == set(range(157))
    assert steps[-1].asked == 50


def test_a_declared_cap_smaller_than_asked_is_followed() -> None:
    got, _ = read(PageNumberPaging(), numbered(157, cap=50, total=False, declared=50), 1000)
    assert set(got) == set(range(157))


def test_a_row_that_vanished_while_reading_is_no_cap() -> None:
    def one_row_short(params: Mapping[str, str]) -> tuple[list[int], Seen]:
        page, _ = numbered(249)(params)
        return page, seen(page, total=250)

    got, steps = read(PageNumberPaging(), one_row_short, 100)
    assert got == list(range(249))
    assert not any(step.restarted for step in steps)


def test_a_cap_that_appears_half_way_is_followed_once() -> None:
    asked = 0

    def later_capped(params: Mapping[str, str]) -> tuple[list[int], Seen]:
        nonlocal asked
        asked += 1
        return numbered(1000, cap=100 if asked < 4 else 30)(params)

    got, steps = read(PageNumberPaging(), later_capped, 100)
    assert set(got) == set(range(1000))
    assert steps[-1].restarted


@given(rows=st.integers(0, 300), size=st.integers(1, 120), cap=st.integers(1, 120), total=st.booleans())
def test_whatever_the_cap_page_numbers_miss_no_row(rows: int, size: int, cap: int, total: bool) -> None:
    got, _ = read(PageNumberPaging(), numbered(rows, cap=cap, total=total), size)
    assert set(got) == set(range(rows))


@given(rows=st.integers(0, 300), size=st.integers(1, 120), cap=st.integers(1, 120), total=st.booleans())
def test_whatever_the_cap_offsets_bring_each_row_once(rows: int, size: int, cap: int, total: bool) -> None:
    got, _ = read(OffsetPaging(), offsets(rows, cap=cap, total=total), size)
    assert got == list(range(rows))


def test_a_total_that_moves_is_noticed() -> None:
    step = PageNumberPaging().start(2)
    second = PageNumberPaging().after(step, seen([1, 2], total=5))
    assert second is not None
    assert not second.moved
    third = PageNumberPaging().after(second, seen([3, 4], total=6))
    assert third is not None
    assert third.moved


def test_a_total_that_vanishes_does_not_end_the_read() -> None:
    step = PageNumberPaging().start(2)
    second = PageNumberPaging().after(step, seen([1, 2], total=5))
    assert second is not None
    assert PageNumberPaging().after(second, seen([3, 4])) is not None


@pytest.mark.parametrize("paging", [PageNumberPaging(), OffsetPaging()])
def test_a_server_that_repeats_a_page_is_named(paging: Paging) -> None:
    def always_the_same(_params: Mapping[str, str]) -> tuple[list[int], Seen]:
        return [1, 2, 3], seen([1, 2, 3])

    with pytest.raises(UnexpectedResponse, match="same page twice"):
        read(paging, always_the_same, 3)


def test_pages_that_alternate_are_a_loop() -> None:
    turn = 0

    def two_pages(_params: Mapping[str, str]) -> tuple[list[int], Seen]:
        nonlocal turn
        turn += 1
        return [turn % 2], seen([turn % 2])

    with pytest.raises(UnexpectedResponse):
        read(OffsetPaging(), two_pages, 1)


def test_cursors_are_followed_to_the_end() -> None:
    chain = {"": ([1], "b"), "b": ([], "c"), "c": ([2], None)}

    def serve(params: Mapping[str, str]) -> tuple[list[int], Seen]:
        rows, following = chain[params.get("cursor", "")]
        return rows, seen(rows, next_cursor=following)

    got, steps = read(CursorPaging(), serve, 10)
    assert got == [1, 2]
    assert steps[0].params == {"limit": "10"}
    assert steps[2].params == {"cursor": "c", "limit": "10"}


def test_cursors_that_lead_back_are_a_circle() -> None:
    chain = {"": "b", "b": "c", "c": "b"}
    turn = iter(range(100))

    def serve(params: Mapping[str, str]) -> tuple[list[int], Seen]:
        rows = [next(turn)]
        return rows, seen(rows, next_cursor=chain[params.get("cursor", "")])

    with pytest.raises(UnexpectedResponse, match="circle"):
        read(CursorPaging(), serve, None)


def test_p8_of_a_link_only_the_query_is_used() -> None:
    paging = LinkPaging()
    step = paging.after(paging.start(100), seen([1], link="https://elsewhere.example.org/other?limit=100&offset=100"))
    assert step is not None
    assert step.params == {"limit": "100", "offset": "100"}


def test_links_that_lead_back_are_a_circle() -> None:
    turn = iter(range(100))

    def serve(_params: Mapping[str, str]) -> tuple[list[int], Seen]:
        rows = [next(turn)]
        return rows, seen(rows, link="?offset=100")

    with pytest.raises(UnexpectedResponse, match="circle"):
        read(LinkPaging(), serve, 1)


def test_the_last_page_has_no_link() -> None:
    assert LinkPaging().after(LinkPaging().start(10), seen([1])) is None


def test_a_link_without_a_query_says_nothing() -> None:
    with pytest.raises(UnexpectedResponse):
        LinkPaging().after(LinkPaging().start(10), seen([1], link="https://sis.example.org/students"))


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (None, None),
        ("", None),
        ('<https://sis.example.org/x?page=2>; rel="next"', "https://sis.example.org/x?page=2"),
        ("</x?page=2>; rel=next", "/x?page=2"),
        ("<?page=2>;rel=next", "?page=2"),
        ('<x?a=1,2>; rel="prev", <x?a=3,4>; title="a, b; c"; rel="NEXT last"', "x?a=3,4"),
        ('<x?page=9>; rel="last"; title="next", <x?page=1>; rel=first', None),
        ('<x?page=3>; REL="next"', "x?page=3"),
        ("not a link at all", None),
        ('<x?page=2>; rel="nextish"', None),
    ],
)
def test_link_headers_of_rfc_8288(header: str | None, target: str | None) -> None:
    assert next_link(header) == target


@pytest.mark.parametrize(("paging", "server"), [(PageNumberPaging(), numbered(25)), (OffsetPaging(), offsets(25))])
def test_a_cursor_resumes_at_its_own_page(paging: Paging, server: Server) -> None:
    _, steps = read(paging, server, 10)
    rest, again = read(paging, server, 999, steps[1].cursor)
    assert rest == list(range(10, 25))
    assert again[0].params == steps[1].params


def test_a_read_that_was_capped_resumes_with_the_smaller_size() -> None:
    server = numbered(157, cap=50)
    _, steps = read(PageNumberPaging(), server, 1000)
    rest, again = read(PageNumberPaging(), server, 1000, steps[-2].cursor)
    assert again[0].params == steps[-2].params
    assert rest == list(range(100, 157))


@pytest.mark.parametrize("paging", [CursorPaging(), LinkPaging()])
def test_cursors_and_links_resume_too(paging: Paging) -> None:
    step = paging.start(10)
    following = paging.after(step, seen([1], next_cursor="a/b=c", link="?offset=10&limit=10"))
    assert following is not None
    assert paging.start(10, following.cursor).params == following.params


@pytest.mark.parametrize("cursor", ["x", "1/2", "1/2/3/4/5", "-1/2/3/0", "²/1/1/0"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(ConfigurationError):
        PageNumberPaging().start(10, cursor)


def test_a_single_page_has_no_second() -> None:
    step = SinglePage().start(10)
    assert step.params == {}
    assert SinglePage().after(step, seen([1, 2], total=99)) is None


@pytest.mark.parametrize("name", ["cursor", "paging.cursor"])
def test_a_cursor_may_stand_in_the_link_under_another_name_than_the_one_it_is_asked_by(name: str) -> None:
    paging = CursorPaging(cursor_param="paging.cursor", size_param="paging.limit", link_param="cursor")
    step = paging.after(paging.start(100), seen([1], link=f"https://elsewhere.example.org/v1?{name}=abc"))
    assert step is not None
    assert step.params == {"paging.cursor": "abc", "paging.limit": "100"}
    assert paging.after(step, seen([2])) is None


def test_a_link_that_names_no_cursor_leads_nowhere() -> None:
    paging = CursorPaging(cursor_param="paging.cursor", link_param="cursor")
    with pytest.raises(UnexpectedResponse, match="without saying which"):
        paging.after(paging.start(100), seen([1], link="/v1?page=2"))


def test_an_offset_may_count_from_one() -> None:
    paging = OffsetPaging(first=1)
    step = paging.start(10)
    following = paging.after(step, seen(list(range(10)), total=15))
    assert following is not None
    assert [step.params["offset"], following.params["offset"]] == ["1", "11"]


def test_a_stream_led_by_links_resumes_at_the_link() -> None:
    paging = OffsetPaging()
    led = paging.after(paging.start(2), seen([1, 2], link="/students?token=two"))
    assert led is not None
    assert led.params == {"token": "two"}
    assert paging.start(None, led.cursor).params == {"token": "two"}
