"""The ID token that comes with the first token of OpenID Connect, pure: whether it speaks of the sign-in that we began.

Its signature is not verified: it came straight from the token endpoint, and OpenID Connect Core (3.1.3.7, step 6) lets the TLS of
that connection stand in. An ID token that came any other way must not be read with this.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta

import msgspec
from pydantic import SecretStr

from sis_connect.errors import AuthenticationError

#: How far apart our clock and the server's may be.
_LEEWAY = timedelta(minutes=2)
_REMEDY = "Nothing was stored. Begin again; if it happens again, somebody may be interfering: tell the district's administrator."


class WrongIdToken(AuthenticationError):  # noqa: N818 - reads as what is the case
    """The ID token is not that of the sign-in that we began."""

    default_remedy = _REMEDY


class Claims(msgspec.Struct, frozen=True):
    """What an ID token says that matters to us. Whom it is about is nobody's business here."""

    iss: str
    aud: str | list[str]
    exp: float
    nonce: str = ""
    azp: str | None = None

    def __repr__(self) -> str:
        return "Claims()"


def check_id_token(id_token: SecretStr | None, *, issuer: str | None, client_id: str, nonce: SecretStr, now: datetime) -> None:
    """Raise `WrongIdToken` unless this is an ID token of this issuer for this client and this sign-in, and not expired."""
    if id_token is None:
        raise WrongIdToken("The SIS was asked who signed in (scope `openid`) and sent no ID token.")
    claims = _claims(id_token)
    audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if issuer is not None and claims.iss != issuer:
        raise WrongIdToken("The ID token comes from another issuer than the one that was asked.")
    if client_id not in audience:
        raise WrongIdToken("The ID token was made for another application.")
    if (claims.azp is not None or len(audience) > 1) and claims.azp != client_id:
        raise WrongIdToken("The ID token was made for several applications and handed to another one.")
    if claims.nonce != nonce.get_secret_value():
        raise WrongIdToken("The ID token belongs to another sign-in (its nonce is not ours).")
    if now >= _moment(claims.exp) + _LEEWAY:
        raise WrongIdToken(
            "The ID token has expired.", remedy="Check that this machine's clock is right, then begin the authorization again."
        )


def _claims(id_token: SecretStr) -> Claims:
    parts = id_token.get_secret_value().split(".")
    try:
        if len(parts) != 3:
            raise ValueError
        return msgspec.json.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), type=Claims)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise WrongIdToken("The SIS sent an ID token that cannot be read.") from None


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise WrongIdToken("The SIS sent an ID token that cannot be read.") from None
