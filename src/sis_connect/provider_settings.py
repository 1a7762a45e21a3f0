"""Whether the settings of an integration fit its provider: its own settings, the address, the fields, the grant."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from sis_connect.discovery import load
from sis_connect.errors import ConfigurationError
from sis_connect.hosting.containment import fault
from sis_connect.hosting.faults import passes, raise_alone
from sis_connect.local_files import is_local
from sis_connect.oauth.wiring import grant_name
from sis_connect.provider import ProviderInfo
from sis_connect.records import RECORDS, on_request
from sis_connect.settings import COMMON_KEYS, SISProviderConfig


def own_settings(info: ProviderInfo, config: SISProviderConfig) -> BaseModel | None:
    """The provider's own settings. Raises `ConfigurationError` where they, the base URL or the fields do not fit it."""
    _check_address(info, config)
    _check_fields(info, config)
    _check_custom(info, config)
    grant_name(info, config)
    if info.settings is None:
        if config.options:
            raise ConfigurationError(
                f"{info.label} has no setting {sorted(config.options)[0]!r}.", remedy="Correct its name, or leave it out."
            )
        return None
    model: type[BaseModel] = load(info.settings)
    try:
        return model.model_validate(config.options)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        for wrong in found:
            if wrong["type"] == "extra_forbidden":
                known = ", ".join(sorted([*COMMON_KEYS, *model.model_fields]))
                raise ConfigurationError(
                    f"{info.label} has no setting {wrong['loc'][0]!r}.",
                    remedy=f"Correct its name, or leave it out. There are: {known}.",
                ) from None
        faults = "; ".join(
            f"{'.'.join(str(part) for part in wrong['loc'])}: {wrong['msg'].removeprefix('Value error, ')}" for wrong in found
        )
        raise ConfigurationError(f"The settings of {info.label} cannot be used: {faults}.") from None
    except BaseException as error:
        if passes(error):
            raise
        raise_alone(fault(info, "over the settings that are its own", error))  # settings may be secrets: its words are not told


def _check_address(info: ProviderInfo, config: SISProviderConfig) -> None:
    if is_local(config.base_url):
        if not info.local_files:
            raise ConfigurationError(
                f"{info.label} is asked over the network, and {config.base_url} is a file or folder of this machine.",
                remedy="Give the address of its server, such as https://sis.example.org.",
            )
        return
    path = urlsplit(config.base_url).path
    if path and not info.base_path:
        raise ConfigurationError(
            f"The base URL of a {info.label} has no path, this one has {path!r}.",
            remedy=f"Give the address of the server alone: {config.base_url.removesuffix(path)}.",
        )


def _check_fields(info: ProviderInfo, config: SISProviderConfig) -> None:
    offered = info.capabilities.offered()
    for name in config.fields:
        kind, _, field = name.rpartition(".")
        kinds = [own for own in offered if kind in ("", own)]
        if name == "guardians" and "guardians" in offered:
            continue  # all of them: a kind that is read only where it is asked for
        if not any(field in RECORDS[own].model_fields for own in kinds):
            if name == "guardians":
                raise ConfigurationError(
                    f"{info.label} does not offer guardians.", remedy="Take it out of fields; there may be contacts instead."
                )
            known = sorted({field for own in offered for field in on_request(own)} - {"custom"})
            known += ["guardians"] if "guardians" in offered else []
            raise ConfigurationError(
                f"There is no field {name!r} to be read on request.", remedy=f"Choose among: {', '.join(known)}."
            )


def _check_custom(info: ProviderInfo, config: SISProviderConfig) -> None:
    able = [kind for kind in info.capabilities.offered() if info.capabilities.of(kind).custom]
    for each in config.custom:
        if not able or each.kind not in (None, *able):
            whose = f" of {each.kind}" if each.kind else ""
            remedy = f"Take it out of custom; there may be some of {', '.join(able)}." if able else "Take it out of custom."
            raise ConfigurationError(
                f"{info.label} reads no fields of a district's own{whose}, such as {each.name!r}.", remedy=remedy
            )
