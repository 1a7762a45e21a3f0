"""What else a plugin brings stops everything, or tries to: it is named without its words, and the others go on (P7, P12)."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from sayings import sayings
from sis_connect.capabilities import Kind
from sis_connect.chosen import Choices
from sis_connect.discovery import Registry
from sis_connect.errors import ConfigurationError, ProviderError, StorageError, UnexpectedResponse
from sis_connect.events import RosterEvent
from sis_connect.hosting import apart
from sis_connect.hosting.quiet import quiet
from sis_connect.roster.conflict import Policy
from sis_connect.service import SISService, telling
from sis_connect.settings import SISProviderConfig
from sis_connect.store.target import LocalRow
from sis_connect.strategies import Clash, Clocks
from sis_connect.targets.brought import PluginTarget, watched
from sis_connect.targets.host import HostTarget
from sis_connect.tokens.key_sources import PluginKeys
from sis_connect.transport.answers import Response, fault
from sis_connect.web.follower import Follower

PUPIL = "Ada Example"


class Stop(BaseException):
    """What nobody expects."""


def stop(*_: Any, **__: Any) -> Any:
    try:
        raise ValueError(PUPIL)
    except ValueError as error:
        raise Stop(PUPIL) from error


async def stop_later(*_: Any, **__: Any) -> Any:
    stop()


class Accounts:
    """A target whose methods come wrapped, as from a decorator."""

    tells_apart = True
    create = update = settle = nominate = partial(stop_later)

    def __init__(self, find: Callable[..., Any]) -> None:
        self.find = find

    @property
    def bind(self) -> Any:
        return stop


@pytest.mark.parametrize("find", [stop, stop_later, partial(stop_later)])
async def test_p12_a_target_that_stops_everything_is_named_and_its_words_are_not_told(find: Callable[..., Any]) -> None:
    target: Any = watched("The target office:accounts", Accounts(find))
    with pytest.raises(ProviderError, match=r"The target office:accounts failed \(Stop\), in .*test_parts:stop\.") as caught:
        await target.find(None, "students", ["s1"])
    assert PUPIL not in sayings(caught.value)


async def test_p12_what_a_wrapped_method_of_a_target_returns_is_looked_at_as_well() -> None:
    async def find(connection: Any, kind: Kind, sis_ids: Any) -> dict[str, LocalRow]:
        return {"s1": PUPIL}  # type: ignore[dict-item]

    target: Any = watched("The target office:accounts", Accounts(partial(find)))
    with pytest.raises(ProviderError, match="returned no LocalRows where find"):
        await target.find(None, "students", ["s1"])


def test_p12_a_target_that_stops_while_it_is_bound_or_made_is_named() -> None:
    with pytest.raises(ProviderError, match=r"office:accounts failed \(Stop\)") as caught:
        PluginTarget("The target office:accounts", Accounts(stop)).bind(1, "lincoln")
    assert PUPIL not in sayings(caught.value)
    with pytest.raises(ProviderError, match=r"office:accounts failed \(Stop\)") as caught:
        Choices(Registry(targets={"office:accounts": stop})).target("office:accounts")
    assert PUPIL not in sayings(caught.value)


async def cancel_itself(*_: Any, **__: Any) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def close(*_: Any, **__: Any) -> Any:
    raise GeneratorExit(PUPIL)


async def refuse(*_: Any, **__: Any) -> Any:
    raise UnexpectedResponse("This is no list.") from ValueError(PUPIL)


@pytest.mark.parametrize(("find", "words"), [(cancel_itself, "CancelledError"), (close, "GeneratorExit"), (refuse, "no list")])
async def test_p12_what_a_target_does_to_its_task_it_does_not_do_to_ours(find: Callable[..., Any], words: str) -> None:
    target: Any = watched("The target office:accounts", Accounts(find))
    with pytest.raises(ProviderError, match=words) as caught:
        await target.find(None, "students", ["s1"])
    assert PUPIL not in sayings(caught.value)
    await asyncio.sleep(0)


async def test_p12_a_target_that_is_deaf_to_being_stopped_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "CLOSING_SECONDS", 0.02)
    awake = asyncio.Event()
    target: Any = watched("The target office:accounts", Accounts(partial(deaf_until, awake)))
    finding = asyncio.create_task(target.find(None, "students", ["s1"]))
    await asyncio.sleep(0.01)
    finding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finding
    awake.set()
    await asyncio.sleep(0.01)


async def deaf_until(awake: asyncio.Event, *_: Any) -> Any:
    while not awake.is_set():
        with suppress(BaseException):
            await awake.wait()


def test_p12_a_target_that_fails_at_saying_what_it_tells_apart_is_named() -> None:
    class Fickle(Accounts):
        tells_apart = property(stop)

    with pytest.raises(ProviderError, match=r"office:accounts failed \(Stop\)") as caught:
        print(PluginTarget("The target office:accounts", Fickle(stop)).tells_apart)
    assert PUPIL not in sayings(caught.value)


@pytest.fixture
async def service(registry: Registry, tmp_path: Path) -> AsyncIterator[SISService]:
    registry.listeners.update({"office:stops": stop, "office:stops_later": stop_later})
    async with SISService.open(f"sqlite:///{tmp_path / 'roster.db'}", registry=registry) as it:
        yield it


async def test_p12_a_listener_that_stops_everything_keeps_nobody_from_being_told(
    service: SISService, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[RosterEvent] = []
    chosen = ["office:stops", "office:stops_later", "office:hears"]
    service.registry.listeners["office:hears"] = heard.append
    config = SISProviderConfig(provider="harbor", base_url="file:///srv/harbor", listeners=chosen)
    await service.create_integration("east", config)
    report = await service.sync("east")
    failed = [it["message"].split(". ")[0] for it in report.warnings if it["warning"] == "listener_failed"]
    assert failed == [f"The listener office:{name} failed (Stop), in {__name__}:stop" for name in ("stops", "stops_later")]
    assert (report.status, len(heard) > 0) == ("succeeded", True)
    assert PUPIL not in caplog.text + str(report.as_dict())


async def test_p12_a_listener_that_is_deaf_to_being_stopped_keeps_nobody_from_being_told(
    service: SISService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PATIENCE", 0.02)
    monkeypatch.setattr(apart, "CLOSING_SECONDS", 0.02)
    heard: list[RosterEvent] = []
    awake = asyncio.Event()
    service.registry.listeners["office:deaf"] = partial(deaf_until, awake)
    service.registry.listeners["office:cancels"] = cancel_itself
    service.registry.listeners["office:hears"] = heard.append
    chosen = ["office:deaf", "office:cancels", "office:hears"]
    await service.create_integration(
        "east", SISProviderConfig(provider="harbor", base_url="file:///srv/harbor", listeners=chosen)
    )
    report = await service.sync("east")
    awake.set()
    await asyncio.sleep(0.01)
    assert (report.status, len(heard) > 0) == ("succeeded", True)
    assert [(it["warning"], it["message"].split(". ")[0]) for it in report.warnings] == [
        ("listener_failed", "The listener office:deaf failed (TimeoutError)"),
        ("listener_failed", f"The listener office:cancels failed (CancelledError), in {__name__}:cancel_itself"),
        ("left_behind", "The listener office:deaf did not stop when it was told to, and was left behind."),
    ]


async def test_p12_hints_of_one_district_that_stumble_end_nothing_and_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(SimpleNamespace(follow_hints=stop_later))  # type: ignore[arg-type]
    follower.nudge("west")
    await asyncio.sleep(0)
    await follower.aclose()
    assert "Hints of west were not followed (Stop)." in caplog.text
    assert PUPIL not in caplog.text


def test_p12_a_strategy_that_stops_everything_decides_nothing() -> None:
    clash = Clash(field="given_name", base="Ada", sis=PUPIL, local="Eda", clocks=Clocks())
    assert Policy(strategies={"office:stops": stop}).settle("office:stops", clash) == "ask"


def test_p12_a_key_source_that_stops_everything_is_named_and_its_words_are_not_told() -> None:
    with pytest.raises(ConfigurationError, match=r"The key source office:keys failed \(Stop\), in .*test_parts:stop\.") as caught:
        PluginKeys(SimpleNamespace(keys=stop), "The key source office:keys").keys()
    assert PUPIL not in sayings(caught.value)


def refuse_at_once(*_: Any) -> Any:
    raise UnexpectedResponse("There are none.") from ValueError(PUPIL)


def test_p7_an_error_of_ours_from_a_part_comes_without_what_it_was_raised_from() -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        PluginKeys(SimpleNamespace(keys=refuse_at_once), "The key source office:keys").keys()
    assert PUPIL not in sayings(caught.value)
    with pytest.raises(UnexpectedResponse) as caught:
        Choices(Registry(targets={"office:accounts": refuse_at_once})).target("office:accounts")
    assert PUPIL not in sayings(caught.value)


def test_p12_an_error_reader_that_stops_everything_hides_no_error() -> None:
    now = datetime(2026, 9, 1, tzinfo=UTC)
    error = fault(Response(500, {}, b""), base_url="https://sis.example.org", now=now, read_error=stop)
    assert isinstance(error, ProviderError)
    assert PUPIL not in sayings(error)


async def test_p7_what_the_apps_database_says_quotes_its_values_and_is_not_told() -> None:
    engine = create_engine("sqlite://")
    target: Any = HostTarget(sessionmaker(engine), {}, 1, batch_size=200, match_email=False)
    with pytest.raises(StorageError, match="The app's own database refused") as caught:
        await target._run(lambda session: session.execute(text("INSERT INTO nowhere VALUES (:name)"), {"name": PUPIL}))
    engine.dispose()
    assert PUPIL not in sayings(caught.value)


# -- what an import turns over -----------------------------------------------------------------------------------------


class Odd:
    """Says that it is like anything, or fails at saying so."""

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails

    def __eq__(self, other: object) -> bool:
        if self._fails:
            raise Stop
        return True

    __hash__ = object.__hash__


@pytest.mark.parametrize("fails", [False, True])
def test_p12_one_odd_object_neither_hides_nor_keeps_the_rest_from_being_put_back(fails: bool) -> None:
    notes: list[str] = []
    before = sys.excepthook, ssl.create_default_context, logging.getLogger().handlers[:], dict(os.environ)
    path = sys.path[:]
    try:
        with quiet(notes):
            sys.excepthook = ssl.create_default_context = Odd(fails=fails)  # type: ignore[assignment]
            logging.getLogger().handlers[:] = [Odd(fails=fails) for _ in before[2]]  # type: ignore[misc]
            sys.path[0] = Odd(fails=fails)  # type: ignore[call-overload]
            os.environ["OFFICE_ODD"] = "yes"
    finally:
        sys.path[:] = path
    after = sys.excepthook, ssl.create_default_context, logging.getLogger().handlers[:], dict(os.environ)
    assert [one is other for one, other in zip(after[:2], before[:2], strict=True)] == [True, True]
    assert after[2:] == before[2:]
    for what in (
        "sys.excepthook",
        "ssl.create_default_context",
        "where the log goes",
        "the environment",
        "modules are looked for",
    ):
        assert any(what in note for note in notes), what
