"""Names that plugins used and that were given up: for one release they work as before, and whoever uses one is warned.

There are two ways in which a plugin uses a name of ours. A function of its own names the arguments that it wants (`fitted`), and
what it is given has attributes (`former_attributes`). A name that is only new warns nobody: a function is given what it names.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from sis_connect.errors import ConfigurationError

_log = logging.getLogger(__name__)
T = TypeVar("T")
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class PluginDeprecationWarning(DeprecationWarning):
    """A plugin uses what the next release does not have any more. Its author sees it in the plugin's own tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """A name that was given up. `until` is the release that does not know it any more.

    `new` is the name that stands for it now, None where nothing does.
    """

    old: str
    new: str | None
    until: str

    def sentence(self, owner: str) -> str:
        """What its user is told."""
        now = f"it is called {self.new!r} now" if self.new else "nothing takes its place"
        return f"{owner} uses {self.old!r}, which sis-connect {self.until} will not have any more: {now}."


def warn(message: str, *, stacklevel: int = 2) -> None:
    """Warn the author of a plugin.

    A host that takes all warnings for errors does not mean this one, which is for somebody else: it is logged, and the call goes
    on. Whoever takes this very class for an error, as the author's tests do, gets it.
    """
    try:
        warnings.warn(message, PluginDeprecationWarning, stacklevel=stacklevel + 1)
    except PluginDeprecationWarning:
        if any(action == "error" and category is PluginDeprecationWarning for action, _, category, *_ in warnings.filters):
            raise
        _log.warning("%s", message)


def fitted(
    function: Callable[..., T], *, owner: str, arguments: Collection[str], former: Sequence[Former] = ()
) -> Callable[[Mapping[str, Any]], T]:
    """A function that is to be called with those of our arguments that `function` names. `owner` says in messages whose it is.

    Under a former name it is given what stands for that now, and what was removed for as long as it is still among what it is
    called with. Raises `ConfigurationError` where it wants something that there never was.
    """
    renamed = {it.old: it for it in former}
    wanted: dict[str, str] = {}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise ConfigurationError(f"{owner} is not a function that can be called.") from None
    if any(it.kind is inspect.Parameter.VAR_KEYWORD for it in parameters):
        wanted = {name: name for name in arguments}
    for parameter in parameters:
        name = parameter.name
        if name in arguments and parameter.kind in _NAMED:
            wanted[name] = name
        elif name in renamed and parameter.kind in _NAMED:
            warn(renamed[name].sentence(owner))
            wanted[name] = renamed[name].new or name
        elif parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"{owner} wants an argument {name!r} that there is not.", remedy=f"There are: {', '.join(arguments)}."
            )
    return partial(_call, function, wanted)


def _call(function: Callable[..., T], wanted: Mapping[str, str], given: Mapping[str, Any]) -> T:
    return function(**{name: given[ours] for name, ours in wanted.items() if ours in given})


def former_attributes(*former: Former) -> Callable[[type[T]], type[T]]:
    """Let objects of a class still answer to attributes that were renamed or removed, for a release.

    What was renamed is read from its new name. What was removed stays an attribute of the class until then.
    """

    def decorate(cls: type[T]) -> type[T]:
        for it in former:
            setattr(cls, it.old, _warning_property(cls, it))
        return cls

    return decorate


def _warning_property(cls: type, former: Former) -> property:
    kept = cls.__dict__.get(former.old)
    read: Callable[[object], Any] = attrgetter(former.new) if former.new else getattr(kept, "__get__", lambda item: None)
    sentence = former.sentence(f"A plugin that is given a {cls.__name__}")
    return property(partial(_read, read, sentence), getattr(kept, "__set__", None))


def _read(read: Callable[[object], Any], sentence: str, item: object) -> Any:
    warn(sentence)
    return read(item)
