"""Targets that plugins bring: what they raise or return is looked at where it leaves their code, and their faults are named."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

from sis_connect.deprecation import fitted
from sis_connect.errors import ConfigurationError, ProviderError
from sis_connect.hookspecs import HOOKS
from sis_connect.hosting.apart import alone
from sis_connect.hosting.faults import contained, described
from sis_connect.store.creations import Outcome
from sis_connect.store.elsewhere import Written
from sis_connect.store.target import LocalRow, RosterTarget
from sis_connect.targets.choice import Bindable

#: What every target can do.
DEMANDED = ("find", "create", "update", "settle", "nominate")
#: What its methods return: of a mapping, what its values are.
_ROWS: Mapping[str, type] = {
    "find": LocalRow, "page": LocalRow, "find_unclaimed": LocalRow, "load_unclaimed": LocalRow, "update": Outcome
}  # fmt: skip
_TO_ITS_AUTHOR = "Report this to the author of its plugin."


def owned(owner: str) -> AbstractContextManager[None]:
    """Around code of a part that a plugin brings. Its words may hold anything: told are the class of an error, and its place."""
    return contained(lambda error: ProviderError(f"{owner} failed {described(error)}.", remedy=_TO_ITS_AUTHOR))


@dataclass(frozen=True, slots=True, eq=False)
class PluginTarget:
    """A target that a plugin brings, before it is known which integration writes to it."""

    owner: str
    declared: Bindable

    @classmethod
    def made(cls, owner: str, make: Callable[[], Any]) -> PluginTarget:
        """What the plugin's function makes."""
        declared = make()
        if not callable(getattr(declared, "bind", None)) or not isinstance(getattr(declared, "tells_apart", None), bool):
            raise ConfigurationError(f"{owner} is none: what makes it returned {type(declared).__name__}.", remedy=_TO_ITS_AUTHOR)
        return cls(owner, declared)

    @property
    def tells_apart(self) -> bool:
        """Whether it tells the rows of one integration from those of another."""
        with owned(self.owner):
            return bool(self.declared.tells_apart)

    def bind(self, integration_id: int, integration: str, *, batch_size: int = 200, match_email: bool = False) -> RosterTarget:
        """The target of one integration."""
        hook = HOOKS["sis_connect_targets"]
        given = {"integration_id": integration_id, "integration": integration}
        given |= {"batch_size": batch_size, "match_email": match_email}
        with owned(self.owner):
            bind = fitted(self.declared.bind, owner=self.owner, arguments=hook.arguments, former=hook.former)
            return watched(self.owner, bind(given))


def watched(owner: str, target: Any) -> RosterTarget:
    """The same target, whose faults are named. One of ours, over models of the plugin's, sees to that by itself."""
    if type(target).__module__.startswith("sis_connect."):
        return cast(RosterTarget, target)
    missing = [name for name in DEMANDED if not callable(getattr(target, name, None))]
    if missing:
        raise ProviderError(
            f"{owner} returned {type(target).__name__} where a RosterTarget belongs: it has no {missing[0]}().",
            remedy=_TO_ITS_AUTHOR,
        )
    # What a target can do beyond that is told by its methods, so it has these and no others.
    members = {name: _member(owner, target, name) for name in dir(target) if not name.startswith("_")}
    return cast(RosterTarget, type("WatchedTarget", (), members)())


def _member(owner: str, target: Any, name: str) -> Any:
    method = getattr(target, name)
    if not callable(method):
        return property(lambda _: _read(owner, target, name))

    def called(*arguments: Any, **named: Any) -> Any:
        with owned(owner):
            returned = method(*arguments, **named)
        # Not told by the function: one that is wrapped, or a partial one, does not show that it is to be waited for.
        return _waited(owner, name, returned) if inspect.isawaitable(returned) else returned

    return staticmethod(called)


def _read(owner: str, target: Any, name: str) -> Any:
    with owned(owner):
        return getattr(target, name)


async def _waited(owner: str, name: str, coming: Awaitable[Any]) -> Any:
    outcome = await alone(owner, coming)
    with owned(owner):
        return _checked(owner, name, outcome.get())


def _checked(owner: str, name: str, returned: Any) -> Any:
    row = _ROWS.get(name)
    if row is not None and not (isinstance(returned, dict) and all(isinstance(it, row) for it in returned.values())):
        raise ProviderError(f"{owner} returned no {row.__name__}s where {name}() was asked for them.", remedy=_TO_ITS_AUTHOR)
    if name == "write" and not isinstance(returned, Written):
        raise ProviderError(f"{owner} returned {type(returned).__name__} where write() returns Written.", remedy=_TO_ITS_AUTHOR)
    return returned
