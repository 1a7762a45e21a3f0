"""Plugins whose entry points have one name: settings that name it go on meaning the one that they were written for (P12)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sis_connect.chosen import Choices
from sis_connect.cli import application
from sis_connect.discovery import Registry, discover
from sis_connect.errors import ConfigurationError
from sis_connect.hosting.policy import NameList, PluginPolicy

Install = Callable[..., None]
BRINGS = """
from sis_connect.hookspecs import hookimpl

@hookimpl
def sis_connect_key_sources(): return {{"safe": "{module}:Safe", "{module}": "{module}:Safe"}}

@hookimpl
def sis_connect_listeners(): return {{"badges": "{module}:badges"}}

@hookimpl
def sis_connect_strategies(): return {{"longer_wins": Safe, "of_{module}": Safe}}

class Safe: pass
"""


def brings(module: str) -> str:
    return BRINGS.format(module=module)


def two(install: Install, one: str, other: str, entry_point: str = "office") -> None:
    for distribution in (one, other):
        install(distribution, entry_point, brings(distribution.replace("-", "_")))


def reasons(registry: Registry) -> Sequence[tuple[str, str, str]]:
    return sorted((it.name, it.distribution, it.reason) for it in registry.refused)


@pytest.mark.parametrize("entry_point", ["office", "Office"])
def test_p12_an_impostor_takes_nothing_of_the_plugin_that_is_called_after_the_name(install: Install, entry_point: str) -> None:
    install("sis-connect-office", "office", brings("sis_connect_office"))
    install("aaa-tools", entry_point, brings("aaa_tools"))
    registry = discover()
    assert registry.key_sources == {
        "office:safe": "sis_connect_office:Safe",
        "office:sis_connect_office": "sis_connect_office:Safe",
    }
    assert registry.listeners == {"office:badges": "sis_connect_office:badges"}
    assert registry.strategies["longer_wins"].__module__ == "sis_connect_office"
    assert "of_aaa_tools" in registry.strategies  # what goes by a name of its own is taken from nobody
    theirs = f"the name '{entry_point}' of its entry point belongs to sis-connect-office."
    assert set(reasons(registry)) == {
        ("longer_wins", "aaa-tools", "the name 'longer_wins' of its strategy is taken."),
        *((f"{entry_point}:{it}", "aaa-tools", theirs) for it in ("aaa_tools", "badges", "safe")),
    }


def test_p12_a_name_stays_with_its_owner_where_that_one_cannot_be_used(install: Install) -> None:
    install("sis-connect-office", "office", "raise RuntimeError('its database is not there')")
    install("aaa-tools", "office", brings("aaa_tools"))
    assert discover().key_sources == {}
    blocked = PluginPolicy(blocked=(NameList.of(["sis-connect-office"], "a list"),))
    assert discover(policy=blocked).key_sources == {}


def test_p12_the_entry_points_of_our_own_plugins_are_nobody_elses_even_where_ours_are_not_installed(install: Install) -> None:
    install("aaa-tools", "canvas_card", brings("aaa_tools"))
    assert "canvas_card:safe" in discover().key_sources
    install("bbb-tools", "powerschool", brings("bbb_tools"))
    registry = discover([point for point in entry_points(group="sis_connect.plugins") if point.module == "bbb_tools"])
    assert registry.key_sources == {}
    assert {it.reason for it in registry.refused} == {
        "the name 'powerschool' of its entry point belongs to sis-connect-powerschool."
    }


def test_p12_of_two_that_are_both_not_called_after_their_name_neither_is_imported(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two(install, "aaa-tools", "bbb-tools")
    registry = discover()
    assert (registry.key_sources, registry.listeners) == ({}, {})
    assert not {"aaa_tools", "bbb_tools"} & sys.modules.keys()
    words = "the name 'office' of its entry point is that of {}, too, and belongs to neither."
    assert reasons(registry) == [
        ("office", "aaa-tools", words.format("bbb-tools")),
        ("office", "bbb-tools", words.format("aaa-tools")),
    ]
    with pytest.raises(ConfigurationError, match=r"'office:safe' is not to be had: .*neither\. Remove one of the two, or block"):
        Choices(registry).key_source("office:safe")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        application.run(["providers"])
    assert "belongs to neither. Remove one of the two, or block it by the name" in " ".join(capsys.readouterr().out.split())


def test_p12_blocking_one_of_the_two_leaves_the_name_to_the_other(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    two(install, "aaa-tools", "bbb-tools")
    monkeypatch.setenv("SIS_CONNECT_PLUGINS_BLOCKED", "aaa-tools")
    assert discover().key_sources["office:safe"] == "bbb_tools:Safe"


def test_p12_what_is_allowed_is_a_distribution_and_no_name_that_another_one_gives_itself(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("evil", "sis-connect-office", brings("evil"))
    install("sis-connect-office", "office", brings("sis_connect_office"))
    monkeypatch.setenv("SIS_CONNECT_PLUGINS_ALLOWED", "Sis_Connect.Office")
    registry = discover()
    assert sorted(registry.key_sources) == ["office:safe", "office:sis_connect_office"]
    assert "evil" not in sys.modules
    assert [it.reason for it in registry.refused if it.distribution == "evil"] == [
        "it is not among the plugins that are allowed (SIS_CONNECT_PLUGINS_ALLOWED)."
    ]
