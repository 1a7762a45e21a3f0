"""Finding the installed plugins: guarded, so that a bad one is named and the others work (promise P12).

Nothing is discovered at import. A registry is an object that anybody can make; `discover()` makes one from what is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from sis_connect import hookspecs
from sis_connect.errors import ConfigurationError, ProviderError, SISError
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.strategies import STRATEGIES, Decider

if TYPE_CHECKING:
    from sis_connect.settings import SISProviderConfig


@dataclass(frozen=True, slots=True)
class Refused:
    """A plugin, or one provider of it, that cannot be used, and why."""

    name: str
    distribution: str
    reason: str


@dataclass(frozen=True, slots=True)
class Installed:
    """A provider that can be used, and where it comes from."""

    info: ProviderInfo
    distribution: str
    version: str


@dataclass(slots=True)
class Registry:
    """The providers and strategies at hand, and those refused."""

    installed: dict[str, Installed] = field(default_factory=dict)
    strategies: dict[str, Decider] = field(default_factory=lambda: dict(STRATEGIES))
    refused: list[Refused] = field(default_factory=list)

    def info(self, name: str) -> ProviderInfo:
        """The provider of that name; an error that says what is installed, or why this one was refused."""
        if name in self.installed:
            return self.installed[name].info
        for refused in self.refused:
            if refused.name == name:
                raise ConfigurationError(
                    f"The provider {name!r} is installed but cannot be used: {refused.reason}",
                    remedy=f"Install a version of {refused.distribution} that fits.",
                )
        known = ", ".join(sorted(self.installed)) or "none"
        near = get_close_matches(name, self.installed, n=1)
        plugin = f"Install its plugin, for example: pip install 'sis-connect[{name.replace('_', '-')}]'."
        raise ConfigurationError(
            f"There is no provider {name!r} (installed: {known}).", remedy=f"Did you mean {near[0]}?" if near else plugin
        )

    def add(self, info: ProviderInfo, *, distribution: str, version: str) -> None:
        """Take in one provider, or note why not."""
        reason = _objection(info, self.installed)
        if reason:
            self.refused.append(Refused(str(getattr(info, "name", "?")), distribution, reason))
        else:
            self.installed[info.name] = Installed(info, distribution, version)

    def add_strategy(self, name: str, decide: Decider, *, distribution: str) -> None:
        """Take in one strategy, or note why not."""
        reason = ""
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            reason = f"the name {name!r} of its strategy is not lower-case letters, digits and underscores."
        elif name in self.strategies:
            reason = f"the name {name!r} of its strategy is taken."
        elif not callable(decide):
            reason = f"its strategy {name!r} is no function."
        if reason:
            self.refused.append(Refused(str(name), distribution, reason))
        else:
            self.strategies[name] = decide


def _objection(info: object, installed: dict[str, Installed]) -> str | None:
    if not isinstance(info, ProviderInfo):
        return f"its hook returned {type(info).__name__} where a ProviderInfo belongs."
    if info.contract != CONTRACT:
        return f"it was written for contract {info.contract}, this is contract {CONTRACT}."
    if not re.fullmatch(r"[a-z][a-z0-9_]*", info.name):
        return f"its name {info.name!r} is not lower-case letters, digits and underscores."
    if info.name in installed:
        return f"the name {info.name!r} is taken by {installed[info.name].distribution}."
    return None


def discover(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Look at what is installed. Only the plugins' registration modules are imported, nothing that talks to an SIS."""
    registry = Registry()
    found = entry_points(group=hookspecs.ENTRY_POINT_GROUP) if points is None else points
    for point in sorted(found, key=lambda p: p.name):
        distribution = point.dist.name if point.dist else "an unknown distribution"
        version = point.dist.version if point.dist else "?"
        try:
            infos, strategies = _registered(point)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
                raise
            # Whatever a stranger's import does, it must not take the others down; its own words are the reason.
            registry.refused.append(Refused(point.name, distribution, f"it failed to load ({type(error).__name__}: {error})."))
            continue
        for info in infos:
            registry.add(info, distribution=distribution, version=version)
        for name, decide in strategies:
            registry.add_strategy(name, decide, distribution=distribution)
    return registry


def _registered(point: EntryPoint) -> tuple[list[ProviderInfo], list[tuple[str, Decider]]]:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(point.load(), point.name)
    manager.check_pending()
    results: list[Iterable[ProviderInfo]] = manager.hook.sis_connect_providers()
    strategies: list[Mapping[str, Decider]] = manager.hook.sis_connect_strategies()
    return [info for result in results for info in result], [item for result in strategies for item in result.items()]


def load(target: str) -> Any:
    """Import `module:attribute`, as a `ProviderInfo` names its parts."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ProviderError(
            f"The plugin names {target!r}, which cannot be loaded ({error}).",
            remedy="Reinstall the plugin, or report this to its author.",
        ) from error


def refined(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    """What a provider is for one integration: wherever its info meets settings, it goes through here. Twice does no harm.

    Raises the `ConfigurationError` of a plugin that cannot do with these settings.
    """
    if info.refine is None:
        return info
    try:
        own = load(info.refine)(info, config)
    except SISError:
        raise
    except Exception as error:
        raise ProviderError(
            f"The plugin of {info.label} stumbles over the settings of this integration ({type(error).__name__}).",
            remedy="Check the settings that are its own; if they are right, report this to the plugin's author.",
        ) from error
    if not isinstance(own, ProviderInfo) or own.name != info.name:
        raise ProviderError(
            f"The plugin of {info.label} does not say what it is with the settings of this integration.",
            remedy="Report this to the plugin's author.",
        )
    return replace(own, refine=None)
