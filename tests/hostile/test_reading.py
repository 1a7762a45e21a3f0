"""A hostile plugin at work: what it raises and returns becomes errors of ours that name it, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import pytest

from moody import opened
from sayings import sayings
from sis_connect.discovery import Registry
from sis_connect.errors import ConfigurationError, ProviderError, RateLimited, UnexpectedResponse
from sis_connect.hosting import containment, pages
from sis_connect.hosting.containment import findings_of, sound_pages, time_zone_of, understood
from sis_connect.provider import InvalidRow, Page, ProviderInfo, Scope

PUPIL = "Ada Example"


@pytest.fixture
def moody(registry: Registry) -> ProviderInfo:
    return registry.info("moody")


async def read(info: ProviderInfo, mood: str, **patience: Any) -> list[Page]:
    async with (
        opened(info, mood) as it,
        aclosing(sound_pages(it.provider, info, ["students"], scope=Scope(), **patience)) as all_,
    ):
        return [page async for page in all_]


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("begins_badly", r"failed while it began to read \(RuntimeError\), in aaa_squatter.moods:fail\."),
        ("begins_and_stops", r"failed while it began to read \(Stop\), in aaa_squatter.moods:stop\."),
        ("raises", r"failed while it read \(ValueError\), in aaa_squatter.moods:generator\."),
        ("stops", r"failed while it read \(Stop\), in aaa_squatter.moods:generator\."),
        ("stops_many", r"failed while it read \(Stop\), in aaa_squatter.moods:generator\."),
        ("leaves", r"failed while it read \(SystemExit\)"),
        ("cancels", r"failed while it read \(CancelledError\)"),
        ("times_out", r"failed while it read \(TimeoutError\)"),
        ("raises_many", r"failed while it read \(ValueError\)"),
        ("a_list", "do not come one by one"),
        ("a_coroutine", "do not come one by one"),
        ("no_page", "it brings dict where a Page belongs"),
        ("nothing", "it brings NoneType where a Page belongs"),
        ("kinds_not_offered", "about kinds that it does not offer"),
        ("no_kinds", "does not say what kinds"),
        ("kinds_in_a_list", "does not say what kinds"),
        ("no_endpoint", "what a page has as endpoint is not text but NoneType"),
        ("rows_are_text", "the rows of a page are not bytes"),
        ("rows_are_bytes", "what a page has as rows is not a list but bytes"),
        ("rows_are_none", "what a page has as rows is not a list but NoneType"),
        ("cursor_is_bytes", "what a page has as cursor is not text but bytes"),
        ("total_is_text", "what a page has as total is not a number but str"),
        ("more_is_text", "what a page has as more is not True or False but str"),
        ("error_is_foreign", "what a page has as error is not an SISError but ValueError"),
        ("read_is_none", "what a page has as read is not a function but NoneType"),
        ("goes_on_after_the_end", "its students go on after their end"),
        ("group_around", r"failed while it read \(ValueError\), in aaa_squatter.moods:child\."),
        ("limit_around", r"failed while it read \(TimeoutError\), in aaa_squatter.moods:limit_around\."),
        ("cancels_itself", r"failed while it read \(CancelledError\)"),
        ("closes", r"failed while it read \(GeneratorExit\)"),
        ("never_set_up", r"failed while it read \(Unready\)"),
        ("unsorted", r"failed while it read \(Unsorted\)"),
        ("error_never_set_up", "what a page has as error is not an SISError but Unready"),
        ("rows_stumble", r"failed while it read \(ValueError\)"),
        ("context_is_half", "what a page has as context is text that cannot be kept"),
        ("year_is_too_large", "what a page has as school_year is a number that cannot be kept"),
    ],
)
async def test_p12_a_provider_that_breaks_its_contract_is_an_error_that_names_it(
    moody: ProviderInfo, mood: str, words: str
) -> None:
    with pytest.raises(ProviderError, match=rf"The plugin of Moody.*{words}") as caught:
        await read(moody, mood)
    assert PUPIL not in sayings(caught.value)


async def test_an_error_of_ours_is_found_among_others(moody: ProviderInfo) -> None:
    with pytest.raises(RateLimited, match="Slow down"):
        await read(moody, "raises_ours_among_others")


@pytest.mark.parametrize("mood", ["chained", "chained_among_others"])
async def test_p7_an_error_of_ours_comes_without_what_it_was_raised_from(moody: ProviderInfo, mood: str) -> None:
    with pytest.raises(UnexpectedResponse, match="This is no list") as caught:
        await read(moody, mood)
    assert PUPIL not in sayings(caught.value)


async def test_p7_what_broke_a_list_off_comes_without_what_it_was_raised_from(moody: ProviderInfo) -> None:
    (page,) = await read(moody, "broken_off")
    assert isinstance(page.error, UnexpectedResponse)
    assert PUPIL not in sayings(page.error)


async def test_p12_a_page_is_what_it_was_when_it_was_looked_at(moody: ProviderInfo) -> None:
    (page,) = await read(moody, "fickle")
    assert (type(page), page.stream, page.rows, page.received) == (Page, ("students", ""), (b"s1",), 1)
    assert {type(it) for it in (page.endpoint, *page.kinds)} == {str}
    assert {type(row) for row in page.rows} == {bytes}


async def test_ctrl_c_ends_a_read_whoever_is_at_work(moody: ProviderInfo) -> None:
    with pytest.raises(KeyboardInterrupt):
        await read(moody, "interrupts")


# -- in a task of its own ----------------------------------------------------------------------------------------------


class Counting:
    """Three pages, and how many of them were made; in whose task, and in what context."""

    def __init__(self) -> None:
        self.made, self.heard, self.tasks = 0, set[str](), set[object]()

    async def pages(self, *arguments: Any, **options: Any) -> AsyncIterator[Page]:
        for number in range(3):
            self.made += 1
            self.heard.add(SAID.get())
            self.tasks.add(asyncio.current_task())
            yield Page(endpoint="students", kinds=("students",), read=understand, rows=(b"%d" % number,), more=number < 2)


def understand(row: bytes) -> Any:
    raise LookupError


SAID: ContextVar[str] = ContextVar("said", default="nothing")


async def test_pages_are_made_when_they_are_wanted_and_in_the_context_of_whoever_wants_them(moody: ProviderInfo) -> None:
    provider: Any = Counting()
    SAID.set("by whoever reads")
    async with aclosing(sound_pages(provider, moody, ["students"], scope=Scope())) as pages_:
        assert provider.made == 0
        async for number, _ in enumerated(pages_):
            await asyncio.sleep(0)
            assert provider.made == number
    assert provider.heard == {"by whoever reads"}
    assert len(provider.tasks) == 1
    assert asyncio.current_task() not in provider.tasks


async def enumerated(pages_: AsyncIterator[Page]) -> AsyncIterator[tuple[int, Page]]:
    number = 0
    async for page in pages_:
        number += 1
        yield number, page


@pytest.mark.parametrize("mood", ["group_around", "limit_around", "cancels_itself", "closes"])
async def test_p12_what_a_plugin_does_to_its_task_it_does_not_do_to_ours(moody: ProviderInfo, mood: str) -> None:
    async with opened(moody, mood) as it:
        with pytest.raises(ProviderError):
            await slowly(sound_pages(it.provider, moody, ["students"], scope=Scope()))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def slowly(reading: AsyncGenerator[Page, None]) -> None:
    async for _ in reading:
        await asyncio.sleep(0.001)


async def test_p12_a_check_that_never_comes_back_is_given_up(moody: ProviderInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containment, "LEAST_PATIENCE", 0.05)
    async with opened(moody, "check_waits") as it:
        with pytest.raises(ProviderError, match=r"failed while it checked the connection \(TimeoutError\), in aaa_squatter"):
            await findings_of(it.provider, moody, patience=0.01)


async def test_p12_a_list_without_an_end_is_given_up(moody: ProviderInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_ALIKE", 5)
    with pytest.raises(ProviderError, match="its students have no end"):
        await read(moody, "endless")
    monkeypatch.setattr(pages, "MOST_ALIKE", 1000)
    monkeypatch.setattr(pages, "MOST_PAGES", 5)
    with pytest.raises(ProviderError, match="its students have no end"):
        await read(moody, "endless")


async def test_p12_a_provider_that_brings_nothing_is_given_up(moody: ProviderInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containment, "LEAST_PATIENCE", 0.05)
    with pytest.raises(ProviderError, match=r"Moody has brought nothing and asked for nothing in 0\.05 seconds"):
        await read(moody, "waiting", patience=0.01)


async def test_a_provider_whose_requests_are_under_way_has_time(moody: ProviderInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containment, "LEAST_PATIENCE", 0.02)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await read(moody, "waiting", patience=0.02, under_way=lambda: True)


async def test_p12_whoever_stops_a_run_stops_it_also_where_the_plugin_would_go_on(moody: ProviderInfo) -> None:
    run = asyncio.create_task(read(moody, "deaf"))
    await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_p12_a_provider_that_clings_to_its_read_is_left_behind(
    moody: ProviderInfo, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ProviderError, match="what a page has as cursor is not text but bytes"):
        await read(moody, "clinging")
    assert "The plugin of Moody did not stop reading as it should (RuntimeError)" in caplog.text


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("read_raises", r"stumbles over it \(RuntimeError\)"),
        ("read_stops", r"stumbles over it \(Stop\)"),
        ("read_leaves", r"stumbles over it \(SystemExit\)"),
        ("read_is_no_reading", "reads it as str where a Reading belongs"),
        ("read_without_key", "does not say its key"),
        ("read_text", "reads str in it where a record belongs"),
        ("read_another_kind", "reads staff in it, which it does not offer"),
        ("read_without_id", "reads schools without an id"),
        ("read_half_a_key", "does not say its key"),
        ("invalid_without_fields", "no grade"),
        ("invalid_with_a_list", "no grade"),
        ("invalid_for_a_reason", "does not say in words what is wrong"),
        ("invalid_by_half_a_key", "no grade"),
        ("invalid_by_a_number", "no grade"),
        ("invalid_never_set_up", r"stumbles over it \(UnreadyRow\)"),
    ],
)
async def test_p12_a_row_that_the_plugin_reads_wrongly_is_invalid_and_the_others_are_not(
    moody: ProviderInfo, mood: str, words: str
) -> None:
    (page,) = await read(moody, mood)
    offered = moody.capabilities.offered()
    assert [record.sis_id for record in understood(page, b"s1", offered, ()).records] == ["s1"]
    with pytest.raises(InvalidRow, match=words) as caught:
        understood(page, b"s2", offered, ())
    assert PUPIL not in sayings(caught.value)
    assert caught.value.fields == (("grade",) if mood == "invalid_with_a_list" else ())
    assert caught.value.key is None or caught.value.key.isascii()


@pytest.mark.parametrize("mood", ["check_raises", "check_stops", "check_nothing", "check_words", "check_level"])
async def test_p12_a_check_that_fails_says_whose_fault_it_is(moody: ProviderInfo, mood: str) -> None:
    async with opened(moody, mood) as it:
        with pytest.raises(ProviderError, match="The plugin of Moody") as caught:
            await findings_of(it.provider, moody)
    assert PUPIL not in sayings(caught.value)


@pytest.mark.parametrize("mood", ["zone_raises", "zone_stops", "zone_unknown"])
async def test_p12_a_time_zone_that_is_none_is_the_plugins_fault(moody: ProviderInfo, mood: str) -> None:
    async with opened(moody, mood) as it:
        with pytest.raises(ProviderError, match="failed while it asked for the time zone"):
            await time_zone_of(it.provider, moody)


@pytest.mark.parametrize(
    "mood",
    [
        "settings",
        "set_up",
        "set_up_stops",
        "refine_raises",
        "refine_leaves",
        "refine_renames",
        "refine_nothing",
        "refine_contract",
    ],
)
async def test_p12_a_provider_that_cannot_be_set_up_says_whose_fault_it_is(moody: ProviderInfo, mood: str) -> None:
    with pytest.raises(ProviderError, match="The plugin of Moody") as caught:
        async with opened(moody, mood):
            pass
    assert PUPIL not in sayings(caught.value)


async def test_p7_what_a_plugin_says_of_the_settings_comes_alone(moody: ProviderInfo) -> None:
    with pytest.raises(ConfigurationError, match="This setting cannot be used") as caught:
        async with opened(moody, "refine_quotes"):
            pass
    assert PUPIL not in sayings(caught.value)
