"""The hooks that a plugin may implement. Hooks register objects; the objects do the work.

A plugin is a distribution with an entry point in the group `sis_connect.plugins` that names a module:

    from sis_connect.hookspecs import hookimpl

    @hookimpl
    def sis_connect_providers():
        return [ProviderInfo(...)]

Guards, listeners, key sources and targets do nothing until somebody chooses them: their names in settings begin with that of the
plugin's entry point, as in `harbor:quiet_days`. Each may be given as `module:attribute`, which is imported when it is first used.

Every hook has a version. It changes where the same implementation would mean something else; what is only added changes nothing.
The version before goes on working for a release, and warns, as do arguments that are renamed or removed (see `deprecation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import pluggy

from sis_connect.deprecation import Former

if TYPE_CHECKING:
    from sis_connect.events import RosterHandler
    from sis_connect.guards import Guard, Judge
    from sis_connect.keys import KeySource
    from sis_connect.provider import ProviderInfo
    from sis_connect.strategies import Decider
    from sis_connect.targets.choice import Bindable

PROJECT = "sis_connect"
ENTRY_POINT_GROUP = "sis_connect.plugins"

F = TypeVar("F", bound=Callable[..., Any])
_VERSION = "sis_connect_hook_version"

hookspec = pluggy.HookspecMarker(PROJECT)
_hookimpl = pluggy.HookimplMarker(PROJECT)


@overload
def hookimpl(function: F, /) -> F: ...


@overload
def hookimpl(*, version: int = 1, optionalhook: bool = False) -> Callable[[F], F]: ...


def hookimpl(function: F | None = None, /, *, version: int = 1, optionalhook: bool = False) -> F | Callable[[F], F]:
    """Mark a function as a plugin's implementation of the hook of that name.

    `version` is the version of the hook that it was written for. With `optionalhook`, an older sis-connect that does not know
    the hook leaves it out; otherwise it refuses the plugin.
    """

    def mark(function: F) -> F:
        setattr(function, _VERSION, version)
        marked: F = _hookimpl(optionalhook=optionalhook)(function)
        return marked

    return mark if function is None else mark(function)


@hookspec
def sis_connect_providers() -> Sequence[ProviderInfo]:
    """Return the providers of this plugin. Version 1, since sis-connect 0.1."""
    raise AssertionError("a specification is never called")


@hookspec
def sis_connect_strategies() -> Mapping[str, Decider]:
    """Return strategies for fields that changed on both sides, by the name under which settings choose them.

    A strategy is a pure function: it gets a `Clash` and returns `sis`, `local` or `ask`. One that raises, or returns something
    else, decides nothing: a person is asked. Version 1, since sis-connect 0.1.
    """
    raise AssertionError("a specification is never called")


@hookspec
def sis_connect_guards() -> Mapping[str, Guard | Judge | str]:
    """Return guards, by name. The setting `guards` of an integration chooses them.

    A guard is a pure function over what a plan would change, counted, and how many there are; see `sis_connect.guards`. One that
    raises, or returns something else than stops, holds all that it speaks for. Version 1, since sis-connect 0.1.
    """
    raise AssertionError("a specification is never called")


@hookspec
def sis_connect_listeners() -> Mapping[str, RosterHandler | str]:
    """Return functions that are told of each change of a roster, by name. The setting `listeners` of an integration chooses them.

    A listener gets a `RosterEvent`, in order, at least once; it may be `async`. For one that raises, the same event comes again
    after the next operation. Version 1, since sis-connect 0.1.
    """
    raise AssertionError("a specification is never called")


@hookspec
def sis_connect_key_sources() -> Mapping[str, Callable[[], KeySource] | str]:
    """Return what makes key sources, by name. `SIS_CONNECT_KEY_SOURCE` chooses one.

    It is called without arguments, where it is chosen, and returns a `KeySource`; a class is such a function. Version 1, since
    sis-connect 0.1.
    """
    raise AssertionError("a specification is never called")


@hookspec
def sis_connect_targets() -> Mapping[str, Callable[[], Bindable] | str]:
    """Return what makes targets, by name. The setting `target` of an integration chooses one.

    It is called without arguments, once, where it is chosen, and returns what an app would give to `SISService.open(target=...)`,
    such as a `SQLAlchemyTarget`. Version 1, since sis-connect 0.1.
    """
    raise AssertionError("a specification is never called")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What goes for a hook now: its version, the oldest that still works, and how what it brings is called.

    `arguments` are the names of what a function of it may want, and `former` those that were given up with the last release.
    """

    version: int = 1
    oldest: int = 1
    arguments: tuple[str, ...] = ()
    former: tuple[Former, ...] = ()


#: All hooks by name.
HOOKS: Mapping[str, Hook] = MappingProxyType(
    {
        "sis_connect_providers": Hook(),
        "sis_connect_strategies": Hook(),
        "sis_connect_guards": Hook(arguments=("changes", "population", "school_date", "first")),
        "sis_connect_listeners": Hook(),
        "sis_connect_key_sources": Hook(),
        "sis_connect_targets": Hook(arguments=("integration_id", "integration", "batch_size", "match_email")),
    }
)


def objection(module: object, hooks: Mapping[str, Hook] = HOOKS) -> str | None:
    """Why a plugin's hooks cannot be called, as the end of a sentence that begins with it; None where they can."""
    for name, hook, written_for in _implemented(module, hooks):
        if not hook.oldest <= written_for <= hook.version:
            return f"its {name} was written for version {written_for} of that hook, this is version {hook.version}."
    return None


def notes(module: object, hooks: Mapping[str, Hook] = HOOKS) -> list[str]:
    """What the author of a plugin should know of its hooks: which work for this release only."""
    return [
        f"its {name} was written for version {written_for} of that hook, which the next release of sis-connect does not have "
        f"any more: this is version {hook.version}."
        for name, hook, written_for in _implemented(module, hooks)
        if hook.oldest <= written_for < hook.version
    ]


def _implemented(module: object, hooks: Mapping[str, Hook]) -> Iterator[tuple[str, Hook, int]]:
    for name, hook in hooks.items():
        written_for = getattr(getattr(module, name, None), _VERSION, None)
        if isinstance(written_for, int):
            yield name, hook, written_for
