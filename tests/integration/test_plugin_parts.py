"""Listeners and targets that plugins bring, in a run: chosen by an integration, told and written, and named where they fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from desk_service import service_of
from host_app import App, people
from roster_fixture import Desk, staff, student
from sis_connect.discovery import Registry
from sis_connect.errors import ConfigurationError, ConflictError
from sis_connect.events import RosterEvent
from sis_connect.hosting.watchdog import Watchdog
from sis_connect.roster.sync import Synchroniser
from sis_connect.service import SISService, telling
from sis_connect.service.ground import Ground
from sis_connect.settings import SISConfigManager, SISProviderConfig
from sis_connect.store.target import BuiltInTarget


async def opened(desk: Desk, monkeypatch: pytest.MonkeyPatch, registry: Registry) -> SISService:
    """A service over the desk's database that reads the desk's SIS, and is otherwise put together as any."""
    ground = Ground._synchroniser

    @asynccontextmanager
    async def synchroniser(self: Ground, name: str, progress: Any, *, offline: bool = False) -> AsyncIterator[Synchroniser]:
        async with ground(self, name, progress, offline=True) as run:
            run.provider = None if offline else desk.sis
            yield run

    monkeypatch.setattr(Ground, "_synchroniser", synchroniser)
    return await service_of(desk, registry=registry)


# -- listeners ---------------------------------------------------------------------------------------------------------


async def test_p12_a_listener_that_is_chosen_is_told_and_one_that_fails_hears_it_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    broken = True

    async def badges(event: RosterEvent) -> None:
        if broken:
            raise SystemExit(f"{event.changes}")
        heard.append(event.sis_id)

    registry = Registry(listeners={"office:badges": badges, "office:never": lambda event: heard.append("never")})
    desk.settings["listeners"] = ["office:badges", "office:gone"]
    desk.sis.put("students", student("s1", given_name="Bartholomew"))
    service = await opened(desk, monkeypatch, registry)
    service._tell({"app": lambda event: heard.append(f"app {event.sis_id}")}, timedelta(days=90))
    report = await service.sync("lincoln")
    assert (report.status, heard) == ("succeeded", ["app A", "app s1"])
    failed = {it["listener"]: it["message"] for it in report.warnings if it["warning"] == "listener_failed"}
    assert failed["office:badges"] == (
        f"The listener office:badges failed (SystemExit), in {__name__}:badges. It is told again after the next operation."
    )
    assert "There is no listener 'office:gone'" in failed["office:gone"]
    assert "office:badges failed (SystemExit)" in caplog.text
    assert "Bartholomew" not in caplog.text + str(report.as_dict())
    heard.clear()
    broken = False
    report = await service.sync("lincoln")
    assert [it["listener"] for it in report.warnings if it["warning"] == "listener_failed"] == ["office:gone"]
    assert heard == ["A", "s1"]
    await service.sync("lincoln")
    assert heard == ["A", "s1"]


async def test_p12_a_listener_that_never_returns_or_cancels_or_pretends_is_given_up_and_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(event: RosterEvent) -> None:
        await asyncio.Event().wait()

    async def cancels(event: RosterEvent) -> None:
        raise asyncio.CancelledError

    def pretends(event: RosterEvent) -> None:
        raise ConflictError("Ada Vale", retryable=True)

    monkeypatch.setattr(telling, "PATIENCE", 0.02)
    parts: dict[str, object] = {"office:hangs": hangs, "office:cancels": cancels, "office:pretends": pretends}
    desk.settings["listeners"] = list(parts)
    desk.sis.put("students", student("s1"))
    service = await opened(desk, monkeypatch, Registry(listeners=parts))
    report = await service.sync("lincoln")
    assert [it["message"].split(". ")[0] for it in report.warnings if it["warning"] == "listener_failed"] == [
        f"The listener office:hangs failed (TimeoutError), in {__name__}:hangs",
        f"The listener office:cancels failed (CancelledError), in {__name__}:cancels",
        f"The listener office:pretends failed (ConflictError), in {__name__}:pretends",
    ]
    assert report.status == "succeeded"


async def test_p12_a_listener_that_keeps_the_loop_waiting_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "Watchdog", partial(Watchdog, patience=0.1))
    desk.settings["listeners"] = ["office:sleeps"]
    desk.sis.put("students", student("s1"))
    registry = Registry(listeners={"office:sleeps": lambda event: time.sleep(0.3)})
    registry.note_package(__name__, "sis-connect-office")
    report = await (await opened(desk, monkeypatch, registry)).sync("lincoln")
    assert [(it["warning"], it["distribution"]) for it in report.warnings] == [("loop_blocked", "sis-connect-office")]


async def test_nothing_that_is_only_installed_is_told_asked_or_written_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[object] = []
    part = {"office:part": used.append}
    registry = Registry(guards=dict(part), listeners=dict(part), targets=dict(part), key_sources=dict(part))
    desk.sis.put("students", student("s1"))
    assert (await (await opened(desk, monkeypatch, registry)).sync("lincoln")).status == "succeeded"
    assert used == []


# -- targets -----------------------------------------------------------------------------------------------------------


async def test_an_integration_writes_to_the_target_that_its_settings_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = App(tmp_path / "app.db")
    registry = Registry(targets={"office:accounts": app.target})
    desk.settings["target"] = "office:accounts"
    desk.sis.put("students", student("s1"))
    service = await opened(desk, monkeypatch, registry)
    assert (await service.sync("lincoln")).changes["students"] == {"create": 1, "unchanged": 0}
    assert app.users()["s1"]["first_name"] == "Givens1"
    assert await desk.roster("students") == {}
    assert [row["given_name"] async for row in service.export("lincoln", "students")] == ["Givens1"]
    del desk.settings["target"]
    with pytest.raises(ConfigurationError, match=r"office:accounts keeps the roster .* its settings name none now"):  # promise P6
        await (await opened(desk, monkeypatch, registry)).sync("lincoln")
    desk.settings["target"] = "office:lost"
    with pytest.raises(ConfigurationError, match=r"There is no target 'office:lost' \(there are: office:accounts\)"):
        await (await opened(desk, monkeypatch, registry)).sync("lincoln")


async def test_p6_another_target_than_the_one_that_keeps_the_roster_is_refused_wherever_it_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    former, other = App(tmp_path / "former.db"), App(tmp_path / "other.db")
    registry = Registry(targets={"office:accounts": former.target, "harbor:accounts": other.target})
    desk.sis.put("students", student("s1"))
    desk.settings["target"] = "harbor:accounts"
    await (await opened(desk, monkeypatch, registry)).plan("lincoln")  # nothing is written yet, so it may still be corrected
    desk.settings["target"] = "office:accounts"
    service = await opened(desk, monkeypatch, registry)
    assert (await service.sync("lincoln")).status == "succeeded"
    service._integrations._config_manager = SISConfigManager({"SIS_CONNECT_LINCOLN_TARGET": "harbor:accounts"})
    desk.settings["target"] = "harbor:accounts"
    for renamed in (service, await opened(desk, monkeypatch, registry)):
        with pytest.raises(ConfigurationError, match=r"office:accounts keeps the roster .* name harbor:accounts now") as refused:
            await renamed.sync("lincoln")
        assert refused.value.remedy.startswith("Set target to office:accounts again")
    assert (set(former.users()), other.users()) == ({"s1"}, {})
    desk.settings["target"] = "office:accounts"
    assert (await (await opened(desk, monkeypatch, registry)).sync("lincoln")).status == "succeeded"


class Nameless:
    """A target that keeps everything by itself, and does not say which kinds."""

    tells_apart = True

    def bind(self, integration_id: int, integration: str, **_: Any) -> Any:
        return BuiltInTarget(integration_id)


@pytest.mark.parametrize("keeps_students_only", [True, False])
async def test_p6_a_roster_in_the_built_in_tables_does_not_move_to_a_target_that_is_named_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keeps_students_only: bool
) -> None:
    app = App(tmp_path / "app.db")
    registry = Registry(targets={"office:accounts": app.target if keeps_students_only else Nameless})
    desk.sis.put("students", student("s1"))
    assert (await (await opened(desk, monkeypatch, registry)).sync("lincoln")).status == "succeeded"
    desk.settings["target"] = "office:accounts"
    with pytest.raises(ConfigurationError, match="The built-in tables keep the roster of this integration"):
        await (await opened(desk, monkeypatch, registry)).sync("lincoln")
    assert app.users() == {}
    del desk.settings["target"]
    assert (await (await opened(desk, monkeypatch, registry)).sync("lincoln")).status == "succeeded"


@pytest.mark.parametrize("declared", [False, True])
async def test_p6_a_target_that_comes_to_keep_what_the_built_in_tables_keep_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, declared: bool
) -> None:
    app = App(tmp_path / "app.db")
    desk.sis.put("students", student("s1"))
    desk.sis.put("staff", staff("t1", "t1", badge="7"))

    async def opened_with(**kinds: Any) -> SISService:
        if declared:
            service = await opened(desk, monkeypatch, Registry())
            service._targets = replace(service._targets, target=app.target(**kinds))
            return service
        desk.settings["target"] = "office:accounts"
        return await opened(desk, monkeypatch, Registry(targets={"office:accounts": lambda: app.target(**kinds)}))

    assert (await (await opened_with()).sync("lincoln")).status == "succeeded"
    with pytest.raises(ConfigurationError, match="keeps staff now, which the built-in tables have kept until now") as refused:
        await (await opened_with(staff=people("staff"))).sync("lincoln")
    assert refused.value.remedy.startswith("Go back to the version of it that leaves them out, or connect")
    assert (app.users("staff"), set(await desk.roster("staff"))) == ({}, {"t1"})
    assert (await (await opened_with()).sync("lincoln")).status == "succeeded"


async def test_a_target_may_come_to_keep_a_kind_of_which_there_is_nothing_yet(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = App(tmp_path / "app.db")
    kinds: dict[str, Any] = {}
    registry = Registry(targets={"office:accounts": lambda: app.target(**kinds)})
    desk.settings["target"] = "office:accounts"
    desk.sis.put("students", student("s1"))
    assert (await (await opened(desk, monkeypatch, registry)).sync("lincoln")).status == "succeeded"
    kinds["staff"] = people("staff")
    desk.sis.put("staff", staff("t1", "t1", badge="7"))
    assert (await (await opened(desk, monkeypatch, registry)).sync("lincoln")).status == "succeeded"
    assert (set(app.users("staff")), await desk.roster("staff")) == ({"t1"}, {})


async def test_a_plugin_may_bring_to_the_command_line_what_the_app_itself_declares(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = App(tmp_path / "app.db")
    registry = Registry(targets={"office:accounts": app.target})
    desk.sis.put("students", student("s1"))
    desk.settings["target"] = "office:accounts"
    for declared in (app.target(), None, app.target()):
        service = await opened(desk, monkeypatch, registry)
        service._targets = replace(service._targets, target=declared)
        assert (await service.sync("lincoln")).status == "succeeded"


async def test_two_integrations_that_choose_one_target_do_not_meet_in_rows_that_nothing_tells_apart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = App(tmp_path / "app.db")
    desk.settings["target"] = "office:accounts"
    await desk.run(
        "INSERT INTO sis_integration (id, name, provider, settings, status, created_at) "
        "VALUES (2, 'jefferson', 'fake', '{}', 'active', '2026-08-01T00:00:00+00:00')"
    )
    service = await opened(desk, monkeypatch, Registry(targets={"office:accounts": app.target}))
    environment = {"SIS_CONNECT_JEFFERSON_TARGET": "office:accounts"}
    assert (await service.sync("lincoln", kinds=["schools"])).status == "succeeded"
    service._integrations._config_manager = SISConfigManager(environment)
    with pytest.raises(ConfigurationError, match="lincoln and jefferson would write to the same rows"):
        await service.sync("lincoln")
    apart = Registry(targets={"office:accounts": lambda: app.target(students=people("student", integration="plan"))})
    service = await opened(desk, monkeypatch, apart)
    service._integrations._config_manager = SISConfigManager(environment)
    assert (await service.sync("lincoln", kinds=["schools"])).status == "succeeded"


async def test_what_an_app_declares_goes_before_what_settings_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk.settings["target"] = "office:accounts"
    config = SISProviderConfig(provider="fake", base_url="http://127.0.0.1", target="office:accounts")
    service = await opened(desk, monkeypatch, Registry(targets={"office:accounts": App(tmp_path / "a.db").target}))
    declared, own = service._targets.declared("lincoln", config.target), App(tmp_path / "b.db").target()
    service._targets = type(service._targets)(own, {}, service._targets.brought, service._targets.chosen)
    assert declared is not None
    assert service._targets.declared("lincoln", config.target) is own is not declared


class Dying:
    """A target that raises where it is used."""

    tells_apart = True

    def bind(self, integration_id: int, integration: str, **_: Any) -> Any:
        return self

    async def find(self, *_: object) -> Any:
        raise LookupError("Ada Vale")

    nominate = create = update = settle = find


async def test_p12_a_target_that_fails_in_a_run_is_named_in_its_report(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.settings["target"] = "office:accounts"
    desk.sis.put("students", student("s1"))
    report = await (await opened(desk, monkeypatch, Registry(targets={"office:accounts": Dying}))).sync("lincoln")
    assert report.status == "failed"
    assert report.error is not None
    assert report.error.message == f"The target office:accounts failed (LookupError), in {__name__}:find."
    assert "Ada" not in str(report.as_dict())


async def test_a_choice_that_is_not_there_is_refused_when_an_integration_is_stored(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await opened(desk, monkeypatch, Registry())
    config = SISProviderConfig(provider="fake", base_url="http://127.0.0.1", guards=("office:watch",))
    with pytest.raises(ConfigurationError, match=r"There is no guard 'office:watch' \(there are: none\)"):
        await service.create_integration("jefferson", config)
