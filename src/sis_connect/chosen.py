"""What settings choose by name of what plugins bring: guards, listeners, key sources and targets.

Each is imported and made when it is first used, and never without being chosen. What is not there is an error that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sis_connect.capabilities import KINDS
from sis_connect.deprecation import fitted
from sis_connect.discovery import Registry, load
from sis_connect.errors import ConfigurationError, ProviderError
from sis_connect.events import RosterHandler
from sis_connect.guards import ACTIONS, Guard
from sis_connect.hookspecs import HOOKS
from sis_connect.hosting.faults import contained, described
from sis_connect.settings import SISProviderConfig

if TYPE_CHECKING:
    from sis_connect.keys import KeySource
    from sis_connect.targets.choice import Bindable

T = TypeVar("T")
_TO_ITS_AUTHOR = "Report this to the author of its plugin."


class Choices:
    """The parts that the plugins of a registry bring, by the names that settings choose them by, such as `harbor:quiet_days`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[tuple[str, str], Any] = {}

    def demand(self, config: SISProviderConfig) -> None:
        """Raise `ConfigurationError` for a choice that nobody brings. Nothing is imported."""
        for noun, names in (("guard", config.guards), ("listener", config.listeners), ("target", _one(config.target))):
            for name in names:
                self._found(noun, name)

    def guards(self, names: Collection[str]) -> dict[str, Guard]:
        """The guards of these names."""
        return {name: self._once("guard", name, _guard) for name in names}

    def listener(self, name: str) -> RosterHandler:
        """The listener of this name."""
        return cast(RosterHandler, self._once("listener", name, _function))

    def target(self, name: str) -> Bindable:
        """The target of this name: the same object each time."""
        return self._once("target", name, _target)

    def key_source(self, name: str) -> KeySource:
        """The key source of this name."""
        return self._once("key source", name, _key_source)

    def _once(self, noun: str, name: str, make: Callable[[str, Any], T]) -> T:
        if (noun, name) not in self._made:
            part, owner = self._found(noun, name), f"The {noun} {name}"
            # A message may hold anything, so only the class of an error and its place are shown.
            with contained(lambda error: ProviderError(f"{owner} failed {described(error)}.", remedy=_TO_ITS_AUTHOR)):
                self._made[noun, name] = make(owner, load(part) if isinstance(part, str) else part)
        return cast(T, self._made[noun, name])

    def _found(self, noun: str, name: str) -> Any:
        brought = self._brought(noun)
        if name in brought:
            return brought[name]
        plugin = name.partition(":")[0]
        for refused in self._registry.refused:
            if refused.name in (name, plugin):
                raise ConfigurationError(
                    f"The {noun} {name!r} is not to be had: {refused.distribution} was refused, because {refused.reason}",
                    remedy=refused.remedy or f"Install a version of {refused.distribution} that fits, or choose another.",
                )
        near = [it for it in brought if it.endswith(f":{name}")] or get_close_matches(name, brought, n=1)
        known = ", ".join(sorted(brought)) or "none"
        remedy = "Install the plugin that brings it, or correct the name."
        raise ConfigurationError(
            f"There is no {noun} {name!r} (there are: {known}).", remedy=f"Did you mean {near[0]}?" if near else remedy
        )

    def _brought(self, noun: str) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", getattr(self._registry, f"{noun.replace(' ', '_')}s"))


def _one(name: str | None) -> Sequence[str]:
    return (name,) if name else ()


def _function(owner: str, part: Any) -> Any:
    if not callable(part):
        raise ConfigurationError(f"{owner} is no function.", remedy=_TO_ITS_AUTHOR)
    return part


def _guard(owner: str, part: Any) -> Guard:
    guard = part if isinstance(part, Guard) else Guard(_function(owner, part))
    unknown = [it for it in (*guard.kinds, *guard.actions) if it not in (*KINDS, *ACTIONS)]
    if unknown:
        raise ConfigurationError(
            f"{owner} speaks for {unknown[0]!r}, which is neither a kind nor an action.",
            remedy=_TO_ITS_AUTHOR,
        )
    hook = HOOKS["sis_connect_guards"]
    judge = fitted(guard.judge, owner=owner, arguments=hook.arguments, former=hook.former)
    return Guard(lambda **given: judge(given), frozenset(guard.kinds), frozenset(guard.actions))


def _target(owner: str, make: Any) -> Bindable:
    from sis_connect.targets.brought import PluginTarget

    return PluginTarget.made(owner, _function(owner, make))


def _key_source(owner: str, make: Any) -> KeySource:
    from sis_connect.tokens.key_sources import PluginKeeper, PluginKeys, can_keep

    source = _function(owner, make)()
    if not callable(getattr(source, "keys", None)):
        raise ConfigurationError(f"{owner} is none: it has no keys().", remedy=_TO_ITS_AUTHOR)
    return (PluginKeeper if can_keep(source) else PluginKeys)(source, owner)
