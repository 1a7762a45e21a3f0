"""Which plugins may be used at all. What is blocked is not even imported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sis_connect.errors import ConfigurationError

BLOCKED, ALLOWED = "SIS_CONNECT_PLUGINS_BLOCKED", "SIS_CONNECT_PLUGINS_ALLOWED"
#: The table of a configuration file that says which plugins may be used.
TABLE = "plugins"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def same_name(name: str) -> str:
    """A name as PEP 503 compares them: `Sis_Connect.Harbor` is `sis-connect-harbor`."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


@dataclass(frozen=True, slots=True)
class NameList:
    """Names of distributions, of their entry points, or of providers, and where they are listed."""

    names: frozenset[str]
    origin: str

    @classmethod
    def of(cls, names: Iterable[str], origin: str) -> NameList:
        """A list as somebody has written it. One that is half understood would let in what it was to keep out."""
        stripped = [name.strip() for name in names]
        if (odd := next((name for name in stripped if not _NAME.fullmatch(name)), None)) is not None:
            raise ConfigurationError(
                f"{origin} lists {odd!r}, which cannot be the name of a plugin.",
                remedy="Write names with one comma between two of them: sis-connect-oneroster, sis-connect-harbor. "
                'In a file, the same is ["sis-connect-oneroster", "sis-connect-harbor"].',
            )
        return cls(frozenset(map(same_name, stripped)), origin)

    def has(self, *names: str) -> bool:
        """Whether one of these is listed."""
        return any(same_name(name) in self.names for name in names)


@dataclass(frozen=True, slots=True)
class PluginPolicy:
    """Which plugins may be used. Whatever is on one list in `blocked` may not; the others must be on each list in `allowed`.

    To be allowed takes the name of the distribution: that one is from whoever publishes it, while anybody may give an entry point
    the name of another one's. To be blocked, any name will do.
    """

    blocked: tuple[NameList, ...] = ()
    allowed: tuple[NameList, ...] = ()

    def __or__(self, other: PluginPolicy) -> PluginPolicy:
        """Both apply."""
        return PluginPolicy(self.blocked + other.blocked, self.allowed + other.allowed)

    def against(self, distribution: str, entry_point: str) -> str | None:
        """Why a plugin may not be imported, if so."""
        for names in self.blocked:
            if names.has(distribution, entry_point):
                return f"it is blocked ({names.origin})."
        for names in self.allowed:
            if not names.has(distribution):
                return f"it is not among the plugins that are allowed ({names.origin})."
        return None

    def against_provider(self, name: str) -> str | None:
        """Why a single provider of a plugin that is allowed may not be used, if so."""
        return next((f"it is blocked ({names.origin})." for names in self.blocked if names.has(name)), None)


def policy_in_environment(environment: Mapping[str, str] | None = None) -> PluginPolicy:
    """What `SIS_CONNECT_PLUGINS_BLOCKED` and `SIS_CONNECT_PLUGINS_ALLOWED` say: names, with commas between them.

    A variable that is empty says nothing.
    """
    environment = os.environ if environment is None else environment
    blocked, allowed = (
        (NameList.of(text.split(","), origin),) if (text := environment.get(origin, "").strip()) else ()
        for origin in (BLOCKED, ALLOWED)
    )
    return PluginPolicy(blocked, allowed)


def policy_in_table(table: Any, *, origin: str) -> PluginPolicy:
    """What the table `[plugins]` of a configuration file says: `blocked` and `allowed`, each a list of names.

    Raises `ConfigurationError` where it cannot be understood: a list that is half read would let in what it was to keep out.
    """
    lists: dict[str, tuple[NameList, ...]] = {"blocked": (), "allowed": ()}
    for key, names in table.items() if isinstance(table, Mapping) else [("", None)]:
        if key not in lists or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigurationError(
                f"{origin} can say blocked = [...] and allowed = [...], each a list of names, and nothing else.",
                remedy="Correct it; an integration needs another name than plugins.",
            )
        lists[key] = (NameList.of(names, origin),)
    return PluginPolicy(**lists)
