"""Are the settings that an author gives ones that there are? A slip of the pen would have the suite check something else."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from sis_connect.discovery import load
from sis_connect.errors import ConfigurationError
from sis_connect.provider import ProviderInfo
from sis_connect.provider_settings import own_settings
from sis_connect.settings import COMMON_KEYS, SISProviderConfig


def demand_known(info: ProviderInfo, given: Mapping[str, Any], config: SISProviderConfig) -> None:
    """Raise `ConfigurationError` unless all settings that were given are known and fit, also where the plugin takes any."""
    known = {*COMMON_KEYS, *SISProviderConfig.model_fields, *_own_names(info)}
    for name in given:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{info.label} has no setting {name!r}.", remedy=remedy)
    if given:
        own_settings(info, config)


def _own_names(info: ProviderInfo) -> set[str]:
    """What the plugin's own settings are called."""
    model: Any = load(info.settings) if info.settings else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return set()
    return {spelled for name, field in model.model_fields.items() for spelled in (name, field.alias) if spelled}
