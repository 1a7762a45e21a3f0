"""Finding the installed plugins: guarded, so that a bad one is named and the others work (promise P12).

Nothing is discovered at import. A registry is an object that anybody can make; `discover()` makes one from what is installed.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pluggy

from sis_connect import hookspecs
from sis_connect.errors import ConfigurationError, ProviderError
from sis_connect.guards import Guard
from sis_connect.hosting.claims import owner_of, reserved, reserved_for_another, right_to
from sis_connect.hosting.faults import contained, described, passes
from sis_connect.hosting.points import UNKNOWN, Point, installed, rivals
from sis_connect.hosting.policy import PluginPolicy, policy_in_environment
from sis_connect.hosting.quiet import class_of, in_short, is_interrupt, quiet
from sis_connect.hosting.registration import NAME, TARGET, name_of, objection, own_copy, own_refined, plain
from sis_connect.provider import ProviderInfo
from sis_connect.strategies import STRATEGIES, Decider

if TYPE_CHECKING:
    from sis_connect.settings import SISProviderConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """A plugin, or one thing that it brings, that cannot be used, and why. `remedy` is what to do about it."""

    name: str
    distribution: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something about a plugin that can be used which whoever runs it should know."""

    distribution: str
    message: str


@dataclass(frozen=True, slots=True)
class Installed:
    """A provider that can be used, and where it comes from."""

    info: ProviderInfo
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class Extension:
    """What a plugin may bring by name beside providers: the hook that returns it, what one is called, where the registry keeps
    them, and what is wrong with one, as the end of a sentence about its plugin. The name of one that is `qualified` begins with
    that of its entry point: `harbor:quiet_days`."""

    hook: str
    noun: str
    attribute: str
    objection: Callable[[str, object], str | None]
    qualified: bool = True


def _no_function(name: str, decide: object) -> str | None:
    return None if callable(decide) else f"its strategy {name!r} is no function."


def _no_part(name: str, part: object) -> str | None:
    if callable(part) or isinstance(part, Guard) or (isinstance(part, str) and TARGET.fullmatch(part)):
        return None
    return f"what it brings as {name!r} is neither a function nor the name of one, such as module:function."


EXTENSIONS: tuple[Extension, ...] = (
    Extension("sis_connect_strategies", "strategy", "strategies", _no_function, qualified=False),
    Extension("sis_connect_guards", "guard", "guards", _no_part),
    Extension("sis_connect_listeners", "listener", "listeners", _no_part),
    Extension("sis_connect_key_sources", "key source", "key_sources", _no_part),
    Extension("sis_connect_targets", "target", "targets", _no_part),
)


@dataclass(slots=True)
class Registry:
    """What plugins bring and can be used, by name; what was refused; and what is to be known of those that can be used."""

    installed: dict[str, Installed] = field(default_factory=dict)
    strategies: dict[str, Decider] = field(default_factory=lambda: dict(STRATEGIES))
    guards: dict[str, object] = field(default_factory=dict)
    listeners: dict[str, object] = field(default_factory=dict)
    key_sources: dict[str, object] = field(default_factory=dict)
    targets: dict[str, object] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    notes: list[Noted] = field(default_factory=list)
    _packages: dict[str, str] = field(default_factory=dict)

    def info(self, name: str) -> ProviderInfo:
        """The provider of that name; an error that says what is installed, or why this one was refused."""
        if name in self.installed:
            return self.installed[name].info
        for refused in self.refused:
            if refused.name == name:
                raise ConfigurationError(
                    f"The provider {name!r} is installed but cannot be used: {refused.reason}",
                    remedy=refused.remedy or f"Install a version of {refused.distribution} that fits.",
                )
        known = ", ".join(sorted(self.installed)) or "none"
        near = get_close_matches(name, self.installed, n=1)
        plugin = f"Install its plugin, for example: pip install 'sis-connect[{name.replace('_', '-')}]'."
        raise ConfigurationError(
            f"There is no provider {name!r} (installed: {known}).", remedy=f"Did you mean {near[0]}?" if near else plugin
        )

    def extras(self) -> Mapping[str, list[str]]:
        """The names of what plugins bring beside providers, by what such things are called: `key sources`."""
        found = {
            it.attribute.replace("_", " "): sorted(getattr(self, it.attribute).keys() - STRATEGIES.keys()) for it in EXTENSIONS
        }
        return {nouns: names for nouns, names in found.items() if names}

    def packages(self) -> Mapping[str, str]:
        """The distributions of the plugins that can be used, by what their modules are named under."""
        return self._packages

    def add(self, info: ProviderInfo, *, distribution: str, version: str) -> None:
        """Take in one provider, in a copy of ours, or note why not."""
        copy = self.own(info, distribution=distribution)
        if copy is not None and (reason := self._taken(copy.name, distribution)):
            self.refused.append(Refused(copy.name, distribution, reason))
        elif copy is not None:
            self.installed[copy.name] = Installed(copy, distribution, version)
            self.note_package(copy.provider, distribution)

    def own(self, info: ProviderInfo, *, distribution: str) -> ProviderInfo | None:
        """A copy of ours of a provider that can be registered; a note of why it cannot otherwise."""
        try:
            reason = objection(info)
            copy = None if reason else own_copy(info)
            # What it says when it is asked again may be something else.
            reason = objection(copy) if copy is not None else reason
        except BaseException as error:  # an object of a stranger's, whose attributes may be code
            if is_interrupt(error):
                raise
            reason = f"what it registers cannot be looked at ({class_of(error)})."
        if reason is None:
            return copy
        self.refused.append(Refused(name_of(info), distribution, reason))
        return None

    def note_package(self, target: str, distribution: str) -> None:
        """Whose a module is, `module` or `module:attribute`, and all that are named under its first part."""
        package = plain(target).partition(":")[0].partition(".")[0]
        if package != __package__:
            self._packages.setdefault(package, distribution)

    def _taken(self, name: str, distribution: str) -> str | None:
        holder = self.installed.get(name)
        if holder is None:
            return None
        if holder.distribution == distribution != UNKNOWN:
            return f"it registers the name {name!r} twice."
        self.notes.append(Noted(holder.distribution, f"has the name {name!r}, which {distribution} claims, too, and is refused."))
        return f"the name {name!r} is taken by {holder.distribution}."

    def add_strategy(self, name: str, decide: Decider, *, distribution: str) -> None:
        """Take in one strategy, or note why not."""
        self.add_extension(EXTENSIONS[0], name, decide, distribution=distribution)

    def add_extension(self, extension: Extension, name: str, thing: object, *, distribution: str, entry_point: str = "") -> None:
        """Take in something else that a plugin brings, or note why not."""
        kept: dict[str, object] = getattr(self, extension.attribute)
        full = f"{entry_point}:{plain(name)}" if extension.qualified else plain(name)
        try:
            reason = self._objection(extension, name, full, thing, entry_point)
        except BaseException as error:  # an object of a stranger's here, too
            if is_interrupt(error):
                raise
            reason = f"the {extension.noun} that it brings cannot be looked at ({class_of(error)})."
        if reason:
            self.refused.append(Refused(full, distribution, reason))
        else:
            kept[full] = thing

    def _objection(self, extension: Extension, name: object, full: str, thing: object, entry_point: str) -> str | None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            return f"the name {name!r} of its {extension.noun} is not lower-case letters, digits and underscores."
        if extension.qualified and not ENTRY_POINT.fullmatch(entry_point):
            return f"the name {entry_point!r} of its entry point is not letters, digits, dots, hyphens and underscores."
        if full in getattr(self, extension.attribute):
            return f"the name {full!r} of its {extension.noun} is taken."
        return extension.objection(full, thing)


#: What the name of an entry point may be, where it stands in settings.
ENTRY_POINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class _Plugin:
    """A plugin that was imported, and what it brings: its providers in copies of ours, all else as it is."""

    point: Point
    providers: tuple[ProviderInfo, ...]
    extensions: tuple[tuple[Extension, str, object], ...]


def discover(points: Iterable[EntryPoint] | None = None, *, policy: PluginPolicy | None = None) -> Registry:
    """Look at what is installed. Only the plugins' registration modules are imported, nothing that talks to an SIS.

    `policy` says which plugins may be used; what the environment says applies as well. A name that several plugins claim goes to
    our own distribution of that name, else to the one called `sis-connect-<name>`, else to the first. Nothing that a plugin is
    or does ends this, Ctrl-C aside.
    """
    registry = Registry()
    policy = policy_in_environment() | (policy or PluginPolicy())
    found, unreadable = installed(hookspecs.ENTRY_POINT_GROUP) if points is None else (list(map(Point.of, points)), [])
    registry.refused += [Refused("?", it, "its entry points cannot be read.", "Install it anew.") for it in unreadable]
    own = reserved()
    # Whose the name of its entry point is comes first in everything.
    found.sort(key=lambda it: (right_to(it.name, it.distribution, own), it.name, it.distribution))
    plugins = [it for point in _usable(found, policy, registry, own) if (it := _imported(point, registry)) is not None]
    for right in range(3):
        for plugin in plugins:
            for info in plugin.providers:
                if right_to(info.name, plugin.point.distribution, own) == right:
                    _admit(registry, plugin.point, info, policy, own)
    for plugin in plugins:
        point = plugin.point
        owner = _owner(point, found, own)
        foreign = owner is not None and right_to(point.name, point.distribution, own) == 2
        for extension, name, thing in plugin.extensions:
            if foreign and extension.qualified:
                reason = f"the name {point.name!r} of its entry point belongs to {owner}."
                remedy = f"Remove {point.distribution}, or have its author call its entry point after it."
                registry.refused.append(Refused(f"{point.name}:{plain(name)}", point.distribution, reason, remedy))
            else:
                registry.add_extension(extension, name, thing, distribution=point.distribution, entry_point=point.name)
    return registry


_UNBLOCK = "Whoever runs this installation decides which plugins may be used; have the lists changed if it may."


def _usable(found: Sequence[Point], policy: PluginPolicy, registry: Registry, own: Mapping[str, str]) -> list[Point]:
    """What may be imported; the registry learns why the others may not. Of several whose entry points have one name that is
    nobody's, none may: settings that name it would mean the one or the other by chance."""
    allowed: list[Point] = []
    for point in found:
        if reason := policy.against(point.distribution, point.name):
            registry.refused.append(Refused(point.name, point.distribution, reason, _UNBLOCK))
        else:
            allowed.append(point)
    usable: list[Point] = []
    for point in allowed:
        others = rivals(point, allowed)
        if others and _owner(point, found, own) is None:
            reason = f"the name {point.name!r} of its entry point is that of {others[0]}, too, and belongs to neither."
            remedy = "Remove one of the two, or block it by the name of its distribution."
            registry.refused.append(Refused(point.name, point.distribution, reason, remedy))
        else:
            usable.append(point)
    return usable


def _owner(point: Point, found: Iterable[Point], own: Mapping[str, str]) -> str | None:
    """Whose the name of an entry point is. It is that one's also where it may not be used, or cannot."""
    return owner_of(point.name, [point.distribution, *rivals(point, found)], own)


def _admit(registry: Registry, point: Point, info: ProviderInfo, policy: PluginPolicy, own: Mapping[str, str]) -> None:
    blocked, reserved_ = policy.against_provider(info.name), reserved_for_another(info.name, point.distribution, own)
    if blocked:
        registry.refused.append(Refused(info.name, point.distribution, blocked, _UNBLOCK))
    elif reserved_:
        remedy = f"Install {own[info.name]}, and remove {point.distribution} or block it."
        registry.refused.append(Refused(info.name, point.distribution, reserved_, remedy))
    else:
        registry.add(info, distribution=point.distribution, version=point.version)


def _imported(point: Point, registry: Registry) -> _Plugin | None:
    """A plugin and what it brings, or None where it cannot be used; the registry learns why."""
    notes: list[str] = []
    try:
        with quiet(notes):
            manager = pluggy.PluginManager(hookspecs.PROJECT)
            manager.add_hookspecs(hookspecs)
            module = point.entry.load()
            outdated = hookspecs.objection(module)
            if outdated is not None:
                registry.refused.append(Refused(point.name, point.distribution, outdated))
                return None
            notes += hookspecs.notes(module)
            manager.register(module, point.name)
            manager.check_pending()
            registered = tuple(_from_hook(manager, "sis_connect_providers", list))
            extensions = tuple(_extensions(manager, registry, point))
            own = (registry.own(info, distribution=point.distribution) for info in registered)
            providers = tuple(info for info in own if info is not None)
    except BaseException as error:
        if is_interrupt(error):
            raise
        # Whatever a stranger's import does, it must not take the others down; its own words are the reason.
        reason = f"it failed to load ({class_of(error)}: {in_short(error)})."
        registry.refused.append(Refused(point.name, point.distribution, reason))
        return None
    finally:
        registry.notes += [Noted(point.distribution, note) for note in notes]
    registry.note_package(point.entry.module, point.distribution)
    return _Plugin(point, providers, extensions)


def _from_hook(manager: pluggy.PluginManager, hook: str, read: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    for result in getattr(manager.hook, hook)():
        yield from read(result)


def _extensions(manager: pluggy.PluginManager, registry: Registry, point: Point) -> Iterator[tuple[Extension, str, object]]:
    """What a plugin brings beside providers. A hook that fails takes nothing from the other ones."""
    for extension in EXTENSIONS:
        try:
            for name, thing in list(_from_hook(manager, extension.hook, lambda result: list(result.items()))):
                yield extension, name, thing
        except BaseException as error:
            if is_interrupt(error):
                raise
            reason = f"its hook {extension.hook} failed ({class_of(error)}: {in_short(error)})."
            registry.refused.append(Refused(point.name, point.distribution, reason))


def load(target: str) -> Any:
    """Import `module:attribute`, as a `ProviderInfo` names its parts. Whatever goes wrong is a `ProviderError`."""
    module, _, attribute = target.partition(":")
    notes: list[str] = []
    try:
        with nullcontext() if module in sys.modules else quiet(notes):
            return getattr(import_module(module), attribute)
    except BaseException as error:
        if passes(error):
            raise
        raise ProviderError(
            f"The plugin names {target!r}, which cannot be loaded ({class_of(error)}: {in_short(error)}).",
            remedy="Reinstall the plugin, or report this to its author.",
        ) from error
    finally:
        for note in notes:
            _log.warning("The module %s of a plugin %s", module, note)


def refined(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    """What a provider is for one integration: wherever its info meets settings, it goes through here. Twice does no harm.

    Raises the `ConfigurationError` of a plugin that cannot do with these settings.
    """
    if info.refine is None:
        return info

    def fault(error: BaseException) -> ProviderError:
        return ProviderError(
            f"The plugin of {info.label} stumbles over the settings of this integration {described(error)}.",
            remedy="Check the settings that are its own; if they are right, report this to the plugin's author.",
        )

    with contained(fault):
        said = load(info.refine)(info, config)
        own = own_refined(said) if objection(said) is None else None
        usable = own is not None and objection(own) is None and own.name == info.name
    if own is None or not usable:
        raise ProviderError(
            f"The plugin of {info.label} does not say what it is with the settings of this integration.",
            remedy="Report this to the plugin's author.",
        )
    return own
