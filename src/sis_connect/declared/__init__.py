"""A provider that is declared in one file, without code of its own: for plain REST interfaces.

The registration module of such a plugin is two lines, and the file lies beside it:

    from sis_connect.declared import Declared

    declared = Declared(__name__, "harbor.toml")
    sis_connect_providers = declared.sis_connect_providers
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sis_connect.hookspecs import hookimpl

if TYPE_CHECKING:
    from sis_connect.provider import ProviderInfo
    from sis_connect.rest_provider import RestProvider

__all__ = ["Declared"]


class Declared:
    """The provider that a file beside a module declares. The module has it as `declared`, and the hook by the hook's name.

    What is wrong in the file is said in one sentence, for which `sis-connect providers` refuses the plugin.
    """

    def __init__(self, module: str, file: str) -> None:
        self._module, self._file = module, file
        self._made: tuple[ProviderInfo, type[RestProvider]] | None = None

    @hookimpl
    def sis_connect_providers(self) -> Sequence[ProviderInfo]:
        """Register it."""
        return [self._parts[0]]

    def __call__(self, *arguments: Any, **named: Any) -> RestProvider:
        """Open it, as every provider is opened."""
        return self._parts[1](*arguments, **named)

    @property
    def _parts(self) -> tuple[ProviderInfo, type[RestProvider]]:
        if self._made is None:
            from sis_connect.declared.reading import provider_from

            self._made = provider_from(self._module, self._file)
        return self._made
