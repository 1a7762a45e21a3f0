"""Plugins are found by their entry points; a bad one is named and the others work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from sis_connect.capabilities import Capabilities
from sis_connect.discovery import Registry, discover, load
from sis_connect.errors import ConfigurationError, ProviderError
from sis_connect.hookspecs import ENTRY_POINT_GROUP
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.strategies import STRATEGIES

GOOD = """
from sis_connect.capabilities import Capabilities
from sis_connect.hookspecs import hookimpl
from sis_connect.provider import ProviderInfo

@hookimpl
def sis_connect_providers():
    return [
        ProviderInfo(
            name="{name}", label="Acme", provider="nowhere:Provider", contract={contract}, capabilities=Capabilities()
        )
    ]
"""
Plugin = Callable[[str, str], EntryPoint]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Write a module that an entry point names."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, source: str) -> EntryPoint:
        module = f"plugin_under_test_{tmp_path.name}_{name}"
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return EntryPoint(name, module, ENTRY_POINT_GROUP)

    return write


def good(name: str, contract: int = CONTRACT) -> str:
    return GOOD.format(name=name, contract=contract)


def info(name: str = "acme", contract: int = CONTRACT) -> ProviderInfo:
    return ProviderInfo(name=name, label="Acme", provider="nowhere:Provider", contract=contract, capabilities=Capabilities())


def test_a_plugin_is_found_without_importing_its_provider(plugin: Plugin) -> None:
    registry = discover([plugin("acme", good("acme"))])
    assert registry.info("acme").label == "Acme"
    assert registry.refused == []
    assert "nowhere" not in sys.modules


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def broken(:", "SyntaxError"),
        (
            "from sis_connect.hookspecs import hookimpl\n@hookimpl\ndef sis_connect_providers(): return ['no provider']",
            "returned str",
        ),
        ("from sis_connect.hookspecs import hookimpl\n@hookimpl\ndef sis_connect_providers(): return 7", "TypeError"),
        ("from sis_connect.hookspecs import hookimpl\n@hookimpl\ndef sis_connect_unknown_hook(): return []", "unknown"),
        (good("acme", CONTRACT + 1), f"contract {CONTRACT + 1}, this is contract {CONTRACT}"),
        (good("Not-A-Name"), "not lower-case"),
    ],
)
def test_p12_a_bad_plugin_is_refused_with_a_reason_and_the_others_work(plugin: Plugin, source: str, reason: str) -> None:
    registry = discover([plugin("bad", source), plugin("good", good("good"))])
    assert list(registry.installed) == ["good"]
    assert [reason in refused.reason for refused in registry.refused] == [True]


def test_p12_a_name_that_is_taken_stays_with_the_first(plugin: Plugin) -> None:
    registry = discover([plugin("first", good("acme")), plugin("second", good("acme"))])
    assert list(registry.installed) == ["acme"]
    assert "taken" in registry.refused[0].reason


def test_stopping_the_program_is_no_fault_of_a_plugin(plugin: Plugin) -> None:
    with pytest.raises(KeyboardInterrupt):
        discover([plugin("stop", "raise KeyboardInterrupt")])


def test_an_unknown_provider_tells_what_is_installed_and_how_to_get_it() -> None:
    registry = Registry()
    registry.add(info("acme"), distribution="sis-connect-acme", version="1")
    with pytest.raises(ConfigurationError, match=r"installed: acme.*sis-connect\[other-sis\]"):
        registry.info("other_sis")
    with pytest.raises(ConfigurationError, match="installed: none"):
        Registry().info("acme")


def test_a_refused_provider_tells_why() -> None:
    registry = Registry()
    registry.add(info("acme", CONTRACT + 1), distribution="sis-connect-acme", version="1")
    with pytest.raises(ConfigurationError, match=r"cannot be used: it was written for contract .*sis-connect-acme"):
        registry.info("acme")


def test_a_part_that_a_plugin_names_is_imported_on_use() -> None:
    assert load("sis_connect.provider:ProviderInfo") is ProviderInfo


@pytest.mark.parametrize("target", ["nowhere:Provider", "sis_connect.provider:Nothing", "sis_connect.provider"])
def test_a_part_that_is_not_there_is_the_plugins_fault(target: str) -> None:
    with pytest.raises(ProviderError, match="cannot be loaded"):
        load(target)


def test_the_plugins_of_this_environment_are_all_usable() -> None:
    assert discover().refused == []


def test_a_name_that_is_nearly_right_is_recognised() -> None:
    registry = Registry()
    registry.add(info(name="lakeside"), distribution="sis-connect-lakeside", version="1")
    with pytest.raises(ConfigurationError) as caught:
        registry.info("lakesid")
    assert caught.value.remedy == "Did you mean lakeside?"


STRATEGY = """
from sis_connect.hookspecs import hookimpl

def always_sis(clash):
    return "sis"

@hookimpl
def sis_connect_strategies():
    return {strategies}
"""


def test_a_plugin_may_bring_strategies_alone(plugin: Plugin) -> None:
    registry = discover([plugin("more", STRATEGY.format(strategies='{"always_sis": always_sis}'))])
    assert list(registry.strategies) == [*STRATEGIES, "always_sis"]
    assert registry.refused == []


def test_p12_a_strategy_that_cannot_be_used_is_named_and_takes_nothing_from_the_others(plugin: Plugin) -> None:
    bad = '{"manual": always_sis, "Always": always_sis, "never": 7, "fine": always_sis}'
    registry = discover([plugin("acme", good("acme")), plugin("more", STRATEGY.format(strategies=bad))])
    assert registry.strategies["manual"] is STRATEGIES["manual"]
    assert "fine" in registry.strategies
    assert [(it.name, it.reason.split(" ")[-1]) for it in registry.refused] == [
        ("manual", "taken."), ("Always", "underscores."), ("never", "function.")
    ]  # fmt: skip
    assert registry.info("acme").label == "Acme"
