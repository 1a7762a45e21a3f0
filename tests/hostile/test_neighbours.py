"""A hostile plugin beside a good one: whatever it does, the good one goes on, and the report says whose fault it was."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from moody import config
from sayings import sayings
from sis_connect.connection import connect
from sis_connect.discovery import Registry
from sis_connect.errors import ProviderError, SISError, UnexpectedResponse
from sis_connect.hosting import apart, containment, watchdog
from sis_connect.service import SISService

PUPIL = "Ada Example"


@pytest.fixture
async def service(registry: Registry, tmp_path: Path) -> AsyncIterator[SISService]:
    async with SISService.open(f"sqlite:///{tmp_path / 'roster.db'}", registry=registry) as it:
        await it.create_integration("east", config("", "harbor"))
        yield it


@pytest.mark.parametrize(
    "mood", ["raises", "stops", "leaves", "cancels", "no_page", "waiting", "set_up", "group_around", "closes"]
)
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


@pytest.mark.parametrize(
    "mood",
    [
        "read_raises",
        "read_stops",
        "read_past_its_model",
        "read_half_a_key",
        "invalid_without_fields",
        "invalid_for_a_reason",
        "invalid_by_half_a_key",
    ],
)
async def test_p2_a_row_that_the_plugin_cannot_read_waits_and_the_others_come(service: SISService, mood: str) -> None:
    await service.create_integration("west", config(mood))
    report = await service.sync("west", kinds=["students"])
    assert (report.quarantined, report.changes["students"]["create"], report.error) == (1, 1, None)
    assert PUPIL not in str(report.as_dict())


async def test_p12_a_plugin_that_stumbles_over_a_subscription_is_named(service: SISService) -> None:
    await service.create_integration("west", config("well"))
    with pytest.raises(ProviderError, match=r"Moody failed while it arranged for word of changes \(CancelledError\)"):
        await service.subscribe("west", "https://roster.example.org")
    with pytest.raises(UnexpectedResponse) as caught:
        await service.unsubscribe("west")
    assert PUPIL not in sayings(caught.value)
    await asyncio.sleep(0)


async def test_a_watch_that_is_let_go_of_tells_nothing(service: SISService) -> None:
    told: list[object] = []

    async def step() -> list[Any]:
        await asyncio.Event().wait()
        return []

    coming = service._carefully("east", step(), told.append)
    coming.send(None)
    coming.close()
    assert told == []


async def test_p12_a_plugin_that_is_deaf_to_being_stopped_is_left_behind_and_named(
    service: SISService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(containment, "LEAST_PATIENCE", 0.05)
    monkeypatch.setattr(apart, "CLOSING_SECONDS", 0.05)
    await service.create_integration("west", config("sleepless", budget=0.01))
    try:
        async with asyncio.timeout(20):
            report = await service.sync("west", kinds=["students"])
        assert report.error is not None
        assert "has brought nothing and asked for nothing" in report.error.message
        (warning,) = [it for it in report.warnings if it["warning"] == "left_behind"]
        assert warning["message"] == "The plugin of Moody did not stop when it was told to, and was left behind."
        assert warning["message"] in caplog.text
        assert not any("Apart" in repr(task) for task in asyncio.all_tasks())
    finally:
        importlib.import_module("aaa_squatter.moods").AWAKE.append(True)
        await asyncio.sleep(0.03)


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
