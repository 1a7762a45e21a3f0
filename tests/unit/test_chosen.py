"""What plugins bring is used where settings choose it by name, made once, and named where it fails."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from sis_connect.chosen import Choices
from sis_connect.discovery import Refused, Registry
from sis_connect.errors import ConfigurationError, ProviderError, SISError
from sis_connect.guards import Guard
from sis_connect.settings import SISProviderConfig
from sis_connect.store.elsewhere import Elsewhere
from sis_connect.store.target import LocalRow, Renaming
from sis_connect.tokens.key_sources import KeyKeeper, key_source_for, vault_from


def config(**settings: Any) -> SISProviderConfig:
    return SISProviderConfig(provider="fake", base_url="http://127.0.0.1", **settings)


def fails(*_: object, **__: object) -> Any:
    raise KeyError("Ada Vale")


class Target:
    """What an app declares."""

    tells_apart = True
    made = 0

    def __init__(self) -> None:
        Target.made += 1

    def bind(self, integration_id: int, integration: str, *, batch_size: int = 200, match_email: bool = False) -> Any:
        return integration_id, integration, batch_size, match_email


class Keys:
    """A place for keys."""

    def __init__(self, *keys: Any) -> None:
        self.held = list(keys)

    def keys(self) -> Any:
        return self.held


class Keeping(Keys):
    """One that can make keys."""

    def make(self) -> None:
        self.held = [b"k" * 32]

    def put_in_front(self) -> None:
        self.held.insert(0, b"n" * 32)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"guards": "north:mornings"}, r"no guard 'north:mornings' \(there are: office:crowd\)\. Install the plugin"),
        ({"guards": ["office:crowd", "crowd"]}, r"no guard 'crowd' .* Did you mean office:crowd\?"),
        ({"guards": "office:crowds"}, r"Did you mean office:crowd\?"),
        ({"listeners": "office:crowd"}, r"no listener 'office:crowd' \(there are: none\)"),
        ({"target": "harbor:accounts"}, r"'harbor:accounts' is not to be had: sis-connect-harbor was refused, because it is bad"),
    ],
)
def test_a_choice_that_nobody_brings_is_refused_with_what_there_is(settings: dict[str, Any], said: str) -> None:
    registry = Registry(guards={"office:crowd": fails}, refused=[Refused("harbor", "sis-connect-harbor", "it is bad.")])
    with pytest.raises(ConfigurationError, match=said):
        Choices(registry).demand(config(**settings))


def test_what_is_there_may_be_chosen_and_nothing_is_imported_for_that() -> None:
    registry = Registry(guards={"office:crowd": fails}, listeners={"office:badges": "nowhere:tell"})
    Choices(registry).demand(config(guards="office:crowd", listeners="office:badges", target=""))
    assert "nowhere" not in sys.modules


def test_a_part_that_stands_elsewhere_is_imported_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("office_under_test")
    monkeypatch.setitem(sys.modules, "office_under_test", module)
    module.tell = lambda event: None  # type: ignore[attr-defined]
    choices = Choices(Registry(listeners={"a:it": "office_under_test:tell", "a:no": "office_under_test:told", "a:bad": 7}))
    assert choices.listener("a:it") is module.tell
    with pytest.raises(ProviderError, match="'office_under_test:told', which cannot be loaded"):
        choices.listener("a:no")
    with pytest.raises(ConfigurationError, match="The listener a:bad is no function"):
        choices.listener("a:bad")


def test_a_guard_speaks_for_kinds_and_actions_that_there_are() -> None:
    registry = Registry(guards={"a:b": Guard(fails, kinds=["pupils"])})  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="The guard a:b speaks for 'pupils'"):
        Choices(registry).guards(["a:b"])


# -- targets -----------------------------------------------------------------------------------------------------------


class Rows(Target):
    """A target whose rows are not ours to know."""

    found: Any = None
    given: Any = None
    batch_size = 7

    def bind(self, *ids: Any, **given: Any) -> Any:
        self.given = given
        return self

    async def find(self, *_: object) -> Any:
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found

    create = update = settle = nominate = find


def test_a_target_is_made_once_and_given_the_settings() -> None:
    Target.made = 0
    choices = Choices(Registry(targets={"office:accounts": Rows}))
    target: Any = choices.target("office:accounts")
    assert choices.target("office:accounts") is target
    assert target.tells_apart
    rows: Any = target.bind(1, "lincoln", batch_size=150)
    assert rows.given == {
        "integration_id": 1, "integration": "lincoln", "batch_size": 150, "match_email": False
    }  # fmt: skip
    assert Target.made == 1


@pytest.mark.parametrize(("make", "said"), [(fails, r"failed \(KeyError\)"), (dict, "is none: .* returned dict")])
def test_p12_a_target_that_cannot_be_made_is_named(make: Any, said: str) -> None:
    with pytest.raises(SISError, match=f"The target office:accounts {said}") as raised:
        Choices(Registry(targets={"office:accounts": make})).target("office:accounts")
    assert "Ada" not in str(raised.value)


def bound(make: Any) -> Any:
    target: Any = Choices(Registry(targets={"office:accounts": make})).target("office:accounts")
    return target.bind(1, "lincoln")


def test_p12_a_target_that_cannot_be_bound_is_named() -> None:
    class Bad(Target):
        bind = fails

    with pytest.raises(ProviderError, match=r"The target office:accounts failed \(KeyError\)"):
        bound(Bad)
    with pytest.raises(ProviderError, match=r"accounts returned tuple where a RosterTarget belongs: it has no find\(\)"):
        bound(Target)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (KeyError("Ada Vale"), r"failed \(KeyError\)"),
        (SystemExit("Ada Vale"), r"failed \(SystemExit\)"),
        (["Ada Vale"], "returned no LocalRows"),
        ({"s1": "Ada Vale"}, "returned no LocalRows"),
        (None, "returned no LocalRows"),
    ],
)
async def test_p12_what_a_target_raises_or_returns_is_looked_at(found: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "found", found)
    with pytest.raises(ProviderError, match=f"The target office:accounts {said}") as raised:
        await bound(Rows).find(None, "students", ["s1"])
    assert "Ada" not in str(raised.value)


async def test_a_target_can_do_what_it_could(monkeypatch: pytest.MonkeyPatch) -> None:
    row = LocalRow("1", {}, None, "1")
    monkeypatch.setattr(Rows, "found", {"s1": row})
    target = bound(Rows)
    assert await target.find(None, "students", ["s1"]) == {"s1": row}
    assert (target.batch_size, isinstance(target, Elsewhere), isinstance(target, Renaming)) == (7, False, False)

    class Renames(Rows):
        async def rename(self, *_: object) -> list[str]:
            return []

    assert isinstance(bound(Renames), Renaming)


# -- keys --------------------------------------------------------------------------------------------------------------


def source(make: Any) -> Any:
    return Choices(Registry(key_sources={"office:safe": make})).key_source("office:safe")


def test_the_environment_chooses_a_key_source_of_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIS_CONNECT_KEY_SOURCE", "office:safe")
    found = key_source_for("sqlite:///roster.db", brought=Choices(Registry(key_sources={"office:safe": Keeping})).key_source)
    assert isinstance(found, KeyKeeper)
    vault = vault_from(found, may_create=True)
    assert vault.open(vault.seal(b"secret", integration="1", field="f"), integration="1", field="f") == b"secret"
    found.put_in_front()
    assert found.keys() == [b"n" * 32, b"k" * 32]
    assert "n" * 32 not in repr(found)
    for other in ("office:vault", "safe"):
        monkeypatch.setenv("SIS_CONNECT_KEY_SOURCE", other)
        with pytest.raises(ConfigurationError, match=f"There is no key source '{other}'"):
            key_source_for("sqlite:///roster.db", brought=Choices(Registry()).key_source)


def test_one_that_keeps_no_keys_by_itself_makes_none() -> None:
    assert not isinstance(source(Keys), KeyKeeper)
    with pytest.raises(ConfigurationError, match="The key is missing from the key source office:safe"):
        vault_from(source(Keys), may_create=True)


@pytest.mark.parametrize("keys", [["A" * 43], "A" * 43, b"A" * 32, [None], 7])
def test_p7_what_are_no_keys_is_refused_and_not_shown(keys: Any) -> None:
    class Bad(Keys):
        def keys(self) -> Any:
            return keys

    with pytest.raises(ConfigurationError, match="key source office:safe") as raised:
        source(Bad).keys()
    assert "AAA" not in str(raised.value)


def test_p7_what_a_key_source_raises_is_told_by_its_class_alone() -> None:
    class Bad(Keys):
        keys = fails

    with pytest.raises(ConfigurationError, match=r"The key source office:safe failed \(KeyError\)") as raised:
        source(Bad).keys()
    assert raised.value.__cause__ is None
    with pytest.raises(ConfigurationError, match="none: it has no keys"):
        source(object)
