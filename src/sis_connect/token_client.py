"""Whose a token is: the client that it was given to, and the addresses where it may be shown (promise P8)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sis_connect.settings import SISProviderConfig

#: Settings that say whose secret and token it is: those of one client must never go to the address of another (promise P8).
#: What belongs into the query of the token URL counts, for it may name the district.
_WHOSE = ("base_url", "token_url", "token_parameters", "authorize_url", "issuer", "client_id", "grant", "username")


def same_client(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether settings are still for the same client at the same address."""
    return all((before.get(name) or None) == (after.get(name) or None) for name in _WHOSE)


@dataclass(frozen=True, slots=True)
class Client:
    """The client that a token was given to, at its address. `settings` is how it is stored, `digest` is of what comes of that.

    What is stored may come to another client where the environment says otherwise, or the sign-in server has moved.
    """

    settings: str
    digest: str

    @classmethod
    def of(
        cls, settings: str, config: SISProviderConfig, *, token_url: str, token_parameters: Mapping[str, str], grant: str
    ) -> Client:
        """The client of stored settings that have come to `config`. All else is what its defaults stand for."""
        named = set(_WHOSE) - {"token_parameters"}
        resolved = {**config.model_dump(mode="json", include=named), "token_url": token_url, "grant": grant}
        if token_parameters:  # most have none, and keep the digest that their tokens were stored with
            resolved["token_parameters"] = dict(token_parameters)
        return cls(settings, hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest())

    def still_in(self, settings: str) -> bool:
        """Whether settings as they are stored by now are still for this client."""
        return settings == self.settings or same_client(json.loads(self.settings), json.loads(settings))
