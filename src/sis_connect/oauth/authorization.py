"""The authorization code grant, pure: the address at which a person gives access, and what the redirect that comes back means.

Always with PKCE S256 (RFC 7636), a `state` and a redirect URI that must match to the letter; with `iss` (RFC 9207) where the
server's name is known, and with a nonce where an ID token is asked for. See RFC 9700 for what each of them is against.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from pydantic import SecretStr

from sis_connect.errors import AuthenticationError, ConfigurationError, SISError
from sis_connect.oauth.metadata import ServerMetadata
from sis_connect.setting_types import check_url
from sis_connect.transport.addresses import origin_of

#: How long somebody may take to sign in and give access.
PENDING_FOR = timedelta(minutes=10)
#: 256 bits: 43 characters, which is what PKCE asks for.
_RANDOM_BYTES = 32
_SINGLE = ("code", "state", "iss", "error")


class AuthorizationFailed(AuthenticationError):  # noqa: N818 - reads as what is the case
    """A person was asked for access, and what came back is not a grant of it."""

    default_remedy = "Nothing was stored. Begin again: `sis-connect authorize NAME`."


class AccessDenied(AuthorizationFailed):
    """Whoever was asked for access did not give it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAuthorization:
    """What has to be remembered from sending somebody to `url` until the redirect comes back: in secret, and used once."""

    url: str = field(repr=False)
    state: SecretStr
    verifier: SecretStr
    nonce: SecretStr | None
    redirect_uri: str
    server: ServerMetadata
    created_at: datetime

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a pending authorization with its secrets is not pickled or copied")

    def expired(self, now: datetime) -> bool:
        """Whether the redirect comes too late."""
        return now >= self.created_at + PENDING_FOR


def begin(
    server: ServerMetadata,
    *,
    client_id: str,
    redirect_uri: str,
    scope: str | None,
    now: datetime,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> PendingAuthorization:
    """What to send a person to, and what to remember until they come back."""
    wants_id_token = "openid" in (scope or "").split()
    _demand_proof(server, wants_id_token)
    check_redirect_uri(redirect_uri)
    state, verifier, nonce = (_text(random(_RANDOM_BYTES)) for _ in range(3))
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "nonce": nonce if wants_id_token else None,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    base, _, query = server.authorize_url.partition("?")
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in asked]
    return PendingAuthorization(
        url=f"{base}?{urlencode([*kept, *((name, value) for name, value in asked.items() if value is not None)])}",
        state=SecretStr(state),
        verifier=SecretStr(verifier),
        nonce=SecretStr(nonce) if wants_id_token else None,
        redirect_uri=redirect_uri,
        server=server,
        created_at=now,
    )


def state_in(redirect: str) -> str:
    """The `state` that a redirect carries, by which what is pending is found."""
    return _parameters(redirect).get("state", "")


def read_redirect(redirect: str, pending: PendingAuthorization, *, now: datetime) -> SecretStr:
    """The code in a redirect: its whole address, or only its query. Raises `AuthorizationFailed` unless it answers `pending`."""
    answer = _parameters(redirect)
    if not compare_digest(answer.get("state", "").encode(), pending.state.get_secret_value().encode()):
        raise AuthorizationFailed("The redirect does not belong to this authorization (its state is another).")
    _check_address(redirect, pending.redirect_uri)
    if pending.expired(now):
        raise AuthorizationFailed("The redirect came too late: an authorization waits for 10 minutes.")
    _check_issuer(answer.get("iss"), pending.server)
    if "error" in answer:
        raise _refusal(answer["error"], origin_of(pending.server.authorize_url).host)
    if not answer.get("code"):
        raise AuthorizationFailed("The redirect holds neither a code nor an error.")
    return SecretStr(answer["code"])


def check_redirect_uri(redirect_uri: str) -> None:
    """Raise `ConfigurationError` unless codes may be sent there: HTTPS, or this machine."""
    try:
        check_url(redirect_uri.partition("?")[0])
        if "#" in redirect_uri:
            raise ValueError("must not contain a fragment")
    except ValueError as error:
        raise ConfigurationError(f"The redirect URI {error}.", remedy="Give the one that the SIS has registered.") from None


# -- details -----------------------------------------------------------------------------------------------------------


def _demand_proof(server: ServerMetadata, wants_id_token: bool) -> None:
    """A server that does not check the proof would take a stolen code. A checked nonce can stand in (RFC 9700, 2.1.1)."""
    if server.s256 or (server.s256 is None and (wants_id_token or not server.described)):
        return
    host = origin_of(server.authorize_url).host
    raise AuthorizationFailed(
        f"{host} does not offer PKCE with S256, without which a stolen code would be worth something.",
        remedy="Ask the district whether its sign-in server can be updated; a `scope` with openid may do where it says nothing.",
    )


def _parameters(redirect: str) -> dict[str, str]:
    query = redirect.strip().partition("#")[0]
    query = query.partition("?")[2] if "?" in query or "://" in query else query
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in _SINGLE):
        raise AuthorizationFailed("The redirect says the same thing twice, which no honest server does.")
    return dict(pairs)


def _check_address(redirect: str, redirect_uri: str) -> None:
    """Servers may only add to the query. A redirect of which only the query was given has no address to compare."""
    if "://" not in redirect.partition("?")[0]:
        return
    try:
        came, expected = urlsplit(redirect.strip()), urlsplit(redirect_uri)
    except ValueError:
        raise AuthorizationFailed("The redirect is not an address.") from None
    own = parse_qsl(expected.query, keep_blank_values=True)
    same_place = (came.scheme, came.netloc, came.path or "/") == (expected.scheme, expected.netloc, expected.path or "/")
    if not same_place or any(pair not in parse_qsl(came.query, keep_blank_values=True) for pair in own):
        raise AuthorizationFailed("The redirect came to another address than the one that was asked for.")


def _check_issuer(issuer: str | None, server: ServerMetadata) -> None:
    """Against mix-up: that who answers is who was asked, so that no code goes to somebody else's token URL."""
    if issuer is None:
        if server.names_itself:
            raise AuthorizationFailed("The redirect does not say who sent it, although that server always does (iss is missing).")
    elif server.issuer is not None:
        if issuer != server.issuer:
            raise AuthorizationFailed("The redirect comes from another server than the one that was asked (iss is another).")
    elif not _same_origin(issuer, server.authorize_url):
        raise AuthorizationFailed(
            "The redirect names a server that we know nothing of (iss).",
            remedy="Set `issuer` for this integration, and begin again.",
        )


def _same_origin(one: str, other: str) -> bool:
    try:
        return origin_of(one) == origin_of(other)
    except SISError:
        return False


#: What the error codes of RFC 6749 (4.1.2.1) and OpenID Connect mean to an operator.
_REFUSALS = {
    "invalid_request": "does not understand what it was asked",
    "unauthorized_client": "does not let this client ask for access",
    "unsupported_response_type": "does not hand out authorization codes",
    "invalid_scope": "does not grant the scope that is asked for",
    "server_error": "has failed",
    "temporarily_unavailable": "is not available at the moment",
}


def _refusal(code: str, host: str) -> AuthorizationFailed:
    if code in ("access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required"):
        return AccessDenied(
            f"Access was not given at {host}.",
            remedy="Nothing was stored. Begin again when an administrator is ready to give access.",
        )
    return AuthorizationFailed(f"{host} {_REFUSALS.get(code, 'refused to give access, for a reason of its own')}.")


def _text(random: bytes) -> str:
    return urlsafe_b64encode(random).decode().rstrip("=")
