"""The hooks that a plugin may implement. Hooks register objects; the objects do the work.

A plugin is a distribution with an entry point in the group `sis_connect.plugins` that names a module:

    from sis_connect.hookspecs import hookimpl

    @hookimpl
    def sis_connect_providers():
        return [ProviderInfo(...)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from sis_connect.provider import ProviderInfo
    from sis_connect.strategies import Decider

PROJECT = "sis_connect"
ENTRY_POINT_GROUP = "sis_connect.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def sis_connect_providers() -> Sequence[ProviderInfo]:
    """Return the providers of this plugin. Since contract 1."""
    raise AssertionError("a specification is never called")


@hookspec
def sis_connect_strategies() -> Mapping[str, Decider]:
    """Return strategies for fields that changed on both sides, by the name under which settings choose them.

    A strategy is a pure function: it gets a `Clash` and returns `sis`, `local` or `ask`. One that raises, or returns something
    else, decides nothing: a person is asked. Since contract 1.
    """
    raise AssertionError("a specification is never called")
