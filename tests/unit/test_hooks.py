"""Hooks have versions, and what plugins use of ours under a former name warns for a release before it is gone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sis_connect import discovery, hookspecs
from sis_connect.cli.application import run
from sis_connect.deprecation import Former, PluginDeprecationWarning, fitted, former_attributes
from sis_connect.discovery import EXTENSIONS, Registry, discover
from sis_connect.errors import ConfigurationError
from sis_connect.hookspecs import ENTRY_POINT_GROUP, HOOKS, Hook, hookimpl

RENAMED = Former(old="plan", new="changes", until="0.3")
REMOVED = Former(old="mood", new=None, until="0.3")
GIVEN = {"changes": 7, "population": 9, "mood": "good"}


def called(function: Callable[..., Any]) -> Any:
    """What a plugin's function returns, of a hook that has given up two arguments."""
    fit = fitted(function, owner="The guard office:watch", arguments=("changes", "population"), former=(RENAMED, REMOVED))
    return fit(GIVEN)


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_a_function_is_given_the_arguments_that_it_names() -> None:
    assert called(lambda: "none") == "none"
    assert called(lambda population: population) == 9
    assert called(lambda *, population, changes, own="default": (population, changes, own)) == (9, 7, "default")
    assert called(lambda **all_of_them: all_of_them) == {"changes": 7, "population": 9}


def test_a_renamed_argument_works_for_a_release_and_warns() -> None:
    with pytest.warns(PluginDeprecationWarning, match=r"office:watch uses 'plan', .* 0\.3 .*: it is called 'changes' now"):
        assert called(lambda plan, population: (plan, population)) == (7, 9)


def test_a_removed_argument_works_for_a_release_and_warns() -> None:
    with pytest.warns(PluginDeprecationWarning, match=r"uses 'mood', .* nothing takes its place"):
        assert called(lambda mood: mood) == "good"


def test_an_argument_that_never_was_is_a_mistake_that_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"wants an argument 'pupils' .*\. There are: changes, population"):
        called(lambda pupils: pupils)
    with pytest.raises(ConfigurationError, match="not a function that can be called"):
        called(dict)


# -- attributes --------------------------------------------------------------------------------------------------------


@former_attributes(Former(old="who", new="sis_id", until="0.3"), Former(old="mood", new=None, until="0.3"))
@dataclass(frozen=True, slots=True)
class Told:
    sis_id: str
    mood: str = field(default="good", compare=False, repr=False)


def test_attributes_that_were_renamed_or_removed_warn_for_a_release() -> None:
    told = Told("s1", mood="fine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (told.sis_id, repr(told), told == Told("s1")) == ("s1", "Told(sis_id='s1')", True)
    with pytest.warns(PluginDeprecationWarning, match=r"given a Told uses 'who', .* it is called 'sis_id' now"):
        assert told.who == "s1"  # type: ignore[attr-defined]
    with pytest.warns(PluginDeprecationWarning, match="nothing takes its place"):
        assert told.mood == "fine"


# -- versions ----------------------------------------------------------------------------------------------------------


def plugin(**options: Any) -> ModuleType:
    """A plugin that brings one listener."""

    def sis_connect_listeners() -> dict[str, str]:
        return {"badges": "office.badges:order"}

    module = ModuleType("plugin_under_test")
    module.sis_connect_listeners = hookimpl(**options)(sis_connect_listeners)  # type: ignore[attr-defined]
    return module


def test_a_plugin_for_a_newer_version_of_a_hook_is_refused_and_one_for_the_last_is_told() -> None:
    second = {"sis_connect_listeners": Hook(version=3, oldest=2)}
    assert hookspecs.objection(plugin(), second) == (
        "its sis_connect_listeners was written for version 1 of that hook, this is version 3."
    )
    assert "version 4 of that hook" in str(hookspecs.objection(plugin(version=4), second))
    assert hookspecs.objection(plugin(version=2), second) is hookspecs.objection(plugin(version=3), second) is None
    assert "does not have any more: this is version 3" in hookspecs.notes(plugin(version=2), second)[0]
    assert hookspecs.notes(plugin(version=3), second) == []


def found(module: ModuleType, name: str = "office") -> Registry:
    point = SimpleNamespace(name=name, module="plugin_under_test", dist=None, group=ENTRY_POINT_GROUP, load=lambda: module)
    return discover([point])  # type: ignore[list-item]


def test_p12_a_plugin_for_another_version_is_refused_with_that_reason() -> None:
    registry = found(plugin(version=2))
    assert registry.listeners == {}
    assert [it.reason for it in registry.refused] == [
        "its sis_connect_listeners was written for version 2 of that hook, this is version 1."
    ]


def test_a_plugin_for_the_version_before_works_for_a_release_and_providers_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hooks = {**HOOKS, "sis_connect_listeners": Hook(version=2, oldest=1)}
    monkeypatch.setattr(hookspecs, "objection", partial(hookspecs.objection, hooks=hooks))
    monkeypatch.setattr(hookspecs, "notes", partial(hookspecs.notes, hooks=hooks))
    registry = found(plugin(version=1))
    assert (registry.listeners, registry.refused) == ({"office:badges": "office.badges:order"}, [])
    monkeypatch.setattr(discovery, "discover", lambda **_: registry)
    with pytest.raises(SystemExit) as left:
        run(["providers"])
    assert not left.value.code
    shown = " ".join(capsys.readouterr().out.split())
    assert "sis_connect_listeners was written for version 1 of that hook" in shown


def test_what_plugins_bring_goes_by_the_name_of_their_entry_point() -> None:
    assert found(plugin()).listeners == {"office:badges": "office.badges:order"}
    refused = found(plugin(), name="our, office").refused
    assert ["the name of its entry point" in it.reason or "of its entry point is not" in it.reason for it in refused] == [True]


def test_a_hook_that_an_older_release_does_not_know_may_be_optional() -> None:
    def sis_connect_dreams() -> None: ...

    module = plugin()
    module.sis_connect_dreams = hookimpl(optionalhook=True)(sis_connect_dreams)  # type: ignore[attr-defined]
    assert list(found(module).listeners) == ["office:badges"]


def test_what_is_no_part_is_refused_and_takes_nothing_from_the_others() -> None:
    module = ModuleType("plugin_under_test")
    parts = {"good": lambda event: None, "number": 7, "words": "order a badge", "Upper": lambda event: None}
    module.sis_connect_listeners = hookimpl(lambda: parts)  # type: ignore[attr-defined]
    module.sis_connect_listeners.__name__ = "sis_connect_listeners"
    registry = found(module)
    assert list(registry.listeners) == ["office:good"]
    assert sorted(it.name for it in registry.refused) == ["office:Upper", "office:number", "office:words"]


def test_every_hook_has_a_version_a_specification_and_a_place() -> None:
    specified = {name for name in vars(hookspecs) if name.startswith("sis_connect_")}
    assert specified == set(HOOKS) == {"sis_connect_providers", *(it.hook for it in EXTENSIONS)}
    for name, hook in HOOKS.items():
        words = " ".join(str(getattr(hookspecs, name).__doc__).split())
        assert f"Version {hook.version}, since sis-connect" in words
