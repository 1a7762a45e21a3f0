"""What Infinite Campus's error answers mean: those of OneRoster, with what an administrator of Infinite Campus can do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sis_connect.errors import AuthenticationError, AuthorizationError, NotOffered, SISError
from sis_connect_oneroster import errors as oneroster

#: Some say 403 of a token that has expired.
_TOKEN_EXPIRED = re.compile(rb"token[^<>{}]{0,40}expired|expired[^<>{}]{0,40}token", re.IGNORECASE)
_NOT_SHARED = "Have it shared in the connection's data to share in Infinite Campus, or leave out the fields that need it."
_NOT_THERE = "Copy the base URL from the connection again; if it is right, OneRoster may not be licensed or switched on."


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> SISError | None:
    """The error behind an answer, or None where its status says it all."""
    found = oneroster.read_error(status, headers, body)
    if isinstance(found, AuthorizationError):
        if _TOKEN_EXPIRED.search(body[:4096]):
            return AuthenticationError("Infinite Campus says that our access token has expired.")
        return AuthorizationError("The connection in Infinite Campus does not share what was asked for.", remedy=_NOT_SHARED)
    if isinstance(found, NotOffered) and not isinstance(found, oneroster.UnknownObject):
        return NotOffered("Infinite Campus has nothing at this address.", remedy=_NOT_THERE)
    return found
