"""The settings of an integration that are secrets: kept apart from the others, sealed, each in a column of its own.

Two client secrets may be live at once while a district changes it: the newest is tried first, then the former.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Row

from sis_connect.errors import SISError
from sis_connect.settings import SISProviderConfig
from sis_connect.store.sealed import CLIENT_SECRET, FORMER_SECRET, PASSWORD, WEBHOOK_SECRET, SealedColumn
from sis_connect.tokens.vault import Vault

SEALED_SETTINGS: Mapping[str, SealedColumn] = {
    "client_secret": CLIENT_SECRET,
    "former_client_secret": FORMER_SECRET,
    "password": PASSWORD,
    "webhook_secret": WEBHOOK_SECRET,
}


def secrets_of(config: SISProviderConfig) -> dict[str, SecretStr]:
    """The secrets among the settings that were given."""
    return {name: value for name in SEALED_SETTINGS if (value := getattr(config, name)) is not None}


def opened_settings(vault: Vault, row: Row[Any]) -> dict[str, SecretStr]:
    """The secrets of an integration, from its row."""
    return {
        name: SecretStr(vault.open(value, integration=str(row.id), field=sealed.field).decode())
        for name, sealed in SEALED_SETTINGS.items()
        if (value := getattr(row, sealed.column.name)) is not None
    }


def sealed_settings(
    vault: Vault, integration_id: int, given: Mapping[str, SecretStr], before: Row[Any] | None
) -> dict[str, bytes | None]:
    """Columns to be written for the secrets that were given. `before` is the row so far, if it is of the same client.

    Another client secret than the one so far makes that one the former, unless one is given.
    """
    secrets: dict[str, SecretStr | None] = {**({} if before is not None else {"former_client_secret": None}), **given}
    newest = given.get("client_secret")
    if newest is not None and "former_client_secret" not in given:
        current = _kept(vault, before, "client_secret")
        if current != newest:
            secrets["former_client_secret"] = current
    elif newest is not None and newest == given["former_client_secret"]:
        secrets["former_client_secret"] = None
    return {SEALED_SETTINGS[name].column.name: _sealed(vault, integration_id, name, value) for name, value in secrets.items()}


def _sealed(vault: Vault, integration_id: int, name: str, value: SecretStr | None) -> bytes | None:
    if value is None:
        return None
    return vault.seal(value.get_secret_value().encode(), integration=str(integration_id), field=SEALED_SETTINGS[name].field)


def _kept(vault: Vault, before: Row[Any] | None, name: str) -> SecretStr | None:
    """A secret so far. One that does not open any more is none: what is given now takes its place."""
    sealed = SEALED_SETTINGS[name]
    value = getattr(before, sealed.column.name, None)
    if before is None or value is None:
        return None
    try:
        return SecretStr(vault.open(value, integration=str(before.id), field=sealed.field).decode())
    except SISError:
        return None
