"""OneRoster at either of Skyward's products: what they do otherwise than the standard. All else is the OneRoster plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sis_connect.errors import AuthenticationError, SISError
from sis_connect_oneroster.address import missing
from sis_connect_oneroster.errors import read_error
from sis_connect_oneroster.provider import OneRosterProvider
from sis_connect_oneroster.settings import OneRosterSettings

#: Version 1.2 has no `/rostering` in its path.
TAILS = {"1.1": "/ims/oneroster/v1p1", "1.2": "/ims/oneroster/v1p2"}


class SkywardOneRosterSettings(OneRosterSettings):
    """Those of OneRoster. Clients read users, not students and teachers. That stamps can be trusted is not known, so changes
    alone are asked for only where somebody says so."""

    product: Literal["oneroster"]
    people: Literal["narrow", "users"] = "users"
    deltas: bool = False


class SkywardOneRosterProvider(OneRosterProvider):
    """Reads a district's SMS 2.0 or Qmlativ over OneRoster."""

    @property
    def prefix(self) -> str:
        """What the base URL lacks of the address of the rosters."""
        own = self.settings.service_path
        return missing(self.config.base_url, TAILS[self.settings.version]) if own is None else own.rstrip("/")


def read_error_11(status: int, headers: Mapping[str, str], body: bytes) -> SISError | None:
    """The error behind an answer of version 1.1, which fails altogether where it does not accept a token."""
    if status == 500:
        return AuthenticationError(
            "Skyward's OneRoster 1.1 failed (status 500), as it does where it does not accept the access token.",
            remedy="Check client id, secret and token URL with the district; if they are right, try again later.",
        )
    return read_error(status, headers, body)
