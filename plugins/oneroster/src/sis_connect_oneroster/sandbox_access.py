"""Who may read what of the sandbox: bearer tokens with the scopes of both versions, or signed requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from sis_connect.testing import refused
from sis_connect.testing.faults import Faults
from sis_connect.testing.token_grants import EVERY_WAY, TokenGrants
from sis_connect_oneroster.sandbox_signature import Signatures

SCOPE = "https://purl.imsglobal.org/spec/or/v{}/scope/{}"
_BOTH = (
    *("roster-core.readonly", "roster.readonly", "roster-demographics.readonly", "resource.readonly", "gradebook.readonly"),
    *("gradebook.createput", "gradebook.delete"),
)
_ONLY_12 = ("resource-core.readonly", "gradebook-core.readonly", "gradebook.createpost")
#: Scope → its name in the tables of the standard.
SCOPES: Mapping[str, str] = {
    **{SCOPE.format("1p1", name): name for name in _BOTH},
    **{SCOPE.format("1p2", name): name for name in (*_BOTH, *_ONLY_12)},
}


class Refused(refused.Refused):
    """The server answers with an error, which the standard has a word for."""

    def __init__(self, status: int, message: str, minor: str | None = None) -> None:
        super().__init__(status, message)
        self.minor = minor


class Access:
    """Lets requests in, or says why not."""

    def __init__(self, client_id: str, client_secret: str, faults: Faults) -> None:
        self.grants = TokenGrants(client_id, client_secret, scopes=tuple(SCOPES))
        self._signatures = Signatures(client_id, client_secret)
        self._faults = faults
        self._settings: Mapping[str, str] = {}

    def settle(self, settings: Mapping[str, str]) -> None:
        """What the settings say about tokens."""
        self._settings = settings
        withheld = settings["demographics"] == "withheld"
        values: dict[str, Any] = {
            "granted": [scope for scope, name in SCOPES.items() if not (withheld and "demographics" in name)],
            "scope": settings["scope"],
            "credentials": EVERY_WAY if settings["credentials"] == "any" else (settings["credentials"],),
            "life": float(settings["token_life"]),
        }
        for name, value in values.items():
            setattr(self.grants, name, value)

    def check(self, request: Request, url: str, version: str, parts: Sequence[str], target: str) -> None:
        """401 for who is not known, 403 for who may not. `url` is without its query, and as it was sent: so it is signed."""
        authorization = request.headers.get("authorization", "")
        if self._settings["auth"] == "oauth1":
            query, method = request.scope["query_string"].decode("latin-1"), self._settings["signature_method"]
            reason = self._signatures.refusal(request.method, url, query, authorization, method)
            if reason or version != "1.1":
                raise Refused(401, reason or "Version 1.2 is read with a bearer token.")
            return
        token = self.grants.known(authorization)
        if token is not None and token.seconds_left > 0 and self._faults.take("token_expiry", target):
            self.grants.end(token)
            token = self.grants.known(authorization)
        if token is None:
            bearer = authorization.partition(" ")[0].lower() == "bearer"
            raise Refused(401, "The bearer token is not known." if bearer else "A bearer token is needed.")
        if token.seconds_left <= 0:
            raise Refused(int(self._settings["expired"]), "The token has expired.")
        if not token.scopes & sufficient(version, parts):
            raise Refused(403, "The token does not have the scope for this.")


def sufficient(version: str, parts: Sequence[str]) -> frozenset[str]:
    """The scopes of which one is needed: lists below another object are read with the wider one only."""
    names = {"roster.readonly"} | ({"roster-core.readonly"} if len(parts) < 3 else set())
    if parts[0] == "demographics":
        names = {"roster-demographics.readonly"}
    return frozenset(SCOPE.format(version.replace(".", "p"), name) for name in names)
