"""What else a plugin brings stops everything, or tries to: it is named without its words, and the others go on (P7, P12)."""

from __future__ import annotations

import logging
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
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
from sis_connect.errors import ConfigurationError, ProviderError, StorageError
from sis_connect.events import RosterEvent
from sis_connect.hosting.quiet import quiet
from sis_connect.roster.conflict import Policy
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig
from sis_connect.store.target import LocalRow
from sis_connect.strategies import Clash, Clocks
from sis_connect.targets.brought import PluginTarget, watched
from sis_connect.targets.host import HostTarget
from sis_connect.tokens.key_sources import PluginKeys
from sis_connect.transport.answers import Response, fault

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


def test_p12_a_strategy_that_stops_everything_decides_nothing() -> None:
    clash = Clash(field="given_name", base="Ada", sis=PUPIL, local="Eda", clocks=Clocks())
    assert Policy(strategies={"office:stops": stop}).settle("office:stops", clash) == "ask"


def test_p12_a_key_source_that_stops_everything_is_named_and_its_words_are_not_told() -> None:
    with pytest.raises(ConfigurationError, match=r"The key source office:keys failed \(Stop\), in .*test_parts:stop\.") as caught:
        PluginKeys(SimpleNamespace(keys=stop), "The key source office:keys").keys()
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
