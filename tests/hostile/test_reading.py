"""A hostile plugin at work: what it raises and returns becomes errors of ours that name it, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sayings import sayings
from sis_connect.connection import OpenProvider, connect, open_provider
from sis_connect.discovery import Registry
from sis_connect.errors import ProviderError, RateLimited, SISError
from sis_connect.hosting import containment, pages, watchdog
from sis_connect.hosting.containment import findings_of, sound_pages, time_zone_of, understood
from sis_connect.provider import InvalidRow, Page, ProviderInfo, Scope
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig

PUPIL = "Ada Example"


@pytest.fixture
def moody(registry: Registry) -> ProviderInfo:
    return registry.info("moody")


def config(mood: str, provider: str = "moody", **settings: Any) -> SISProviderConfig:
    options = {"mood": mood} if provider == "moody" else {}
    return SISProviderConfig(provider=provider, base_url=f"file:///srv/{provider}", options=options, **settings)


@asynccontextmanager
async def opened(info: ProviderInfo, mood: str) -> AsyncIterator[OpenProvider]:
    async with open_provider(info, config(mood)) as it:
        yield it


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


# -- beside a neighbour ------------------------------------------------------------------------------------------------


@pytest.fixture
async def service(registry: Registry, tmp_path: Path) -> AsyncIterator[SISService]:
    async with SISService.open(f"sqlite:///{tmp_path / 'roster.db'}", registry=registry) as it:
        await it.create_integration("east", config("", "harbor"))
        yield it


@pytest.mark.parametrize("mood", ["raises", "stops", "leaves", "cancels", "no_page", "waiting", "set_up"])
async def test_p12_the_sync_of_a_neighbour_goes_on(service: SISService, mood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containment, "LEAST_PATIENCE", 0.05)
    await service.create_integration("west", config(mood, budget=0.01))
    west, east = await asyncio.gather(service.sync("west"), service.sync("east"), return_exceptions=True)
    assert not isinstance(east, BaseException)
    assert (east.status, east.records["students"], east.warnings) == ("succeeded", 3, [])
    error = west if isinstance(west, SISError) else getattr(west, "error", None)
    assert isinstance(error, ProviderError)
    assert "The plugin of Moody" in error.message
    assert [row async for row in service.export("west", "students")] == []


@pytest.mark.parametrize("mood", ["read_raises", "read_stops", "read_past_its_model"])
async def test_p2_a_row_that_the_plugin_cannot_read_waits_and_the_others_come(service: SISService, mood: str) -> None:
    await service.create_integration("west", config(mood))
    report = await service.sync("west", kinds=["students"])
    assert (report.quarantined, report.changes["students"]["create"], report.error) == (1, 1, None)
    assert PUPIL not in str(report.as_dict())


async def test_p12_a_plugin_that_keeps_everybody_waiting_is_named_in_the_report(
    service: SISService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog.Watchdog.__init__, "__kwdefaults__", {"patience": 0.15})
    await service.create_integration("west", config("blocking"))
    report = await service.sync("west", kinds=["students"])
    (warning,) = [it for it in report.warnings if it["warning"] == "loop_blocked"]
    assert (warning["distribution"], warning["function"]) == ("aaa-squatter", "aaa_squatter.moods:doze")
    assert 0.3 < warning["seconds"] < 5
    assert "aaa-squatter kept all else in this process waiting" in warning["message"]
    assert "aaa-squatter has kept the event loop waiting" in caplog.text
    assert (await service.sync("west", kinds=["schools"])).status != "succeeded"


@pytest.mark.parametrize("how", ["doctor", "connect"])
async def test_p12_a_plugin_that_keeps_everybody_waiting_is_named_outside_of_runs_too(
    service: SISService, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    monkeypatch.setattr(watchdog.Watchdog.__init__, "__kwdefaults__", {"patience": 0.1})
    if how == "doctor":
        await service.create_integration("west", config("check_dozes"))
        (finding,) = await service.doctor("west")
        assert (finding.level, "aaa-squatter kept all else in this process waiting" in finding.message) == ("warning", True)
    else:
        async with connect("moody", config("check_dozes"), registry=registry) as sis:
            assert await sis.check() == []
    assert "aaa-squatter has kept the event loop waiting" in caplog.text
    assert "aaa_squatter.moods:doze" in caplog.text
