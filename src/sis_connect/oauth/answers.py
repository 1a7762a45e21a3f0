"""What the answer of a token URL means, pure: a token, or the named error that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from sis_connect.errors import AuthenticationError, NetworkError, SISError
from sis_connect.tokens.token import AccessToken, GrantBroken, RefreshToken, StoredToken, UnusableToken
from sis_connect.transport.addresses import origin_of
from sis_connect.transport.answers import BYTE_ORDER_MARK, ErrorReader, Response, as_json, fault

#: Where a server does not say how long a token lives, it is taken for this long: short enough to notice, long enough to work.
DEFAULT_LIFETIME = timedelta(hours=1)
#: No answer makes us believe in a longer life than this.
_LONGEST_LIFETIME = timedelta(days=3660).total_seconds()
#: The grants that a person's consent stands behind: where one is refused, only that person can help.
_CONSENTED = ("refresh_token", "authorization_code")


class ClientRefused(AuthenticationError):  # noqa: N818 - reads as what is the case
    """The SIS does not accept our client id and secret. Another secret of ours may be the right one."""


def read_token(
    response: Response, *, url: str, now: datetime, grant_type: str = "client_credentials", former: StoredToken | None = None
) -> StoredToken:
    """The token in an answer of `url`. Raises a named error for anything that is not one.

    Its life is counted from `now`, by our own clock: whether the server's is right plays no part. A server that sends no refresh
    token with the new token means us to keep the one of the `former`.
    """
    answer = _answer(response, url, now, grant_type, former)
    lifetime = DEFAULT_LIFETIME.total_seconds() if answer.expires_in is None else min(answer.expires_in, _LONGEST_LIFETIME)
    before = former.refresh_token if former else None
    return StoredToken(
        access_token=AccessToken(answer.access_token.get_secret_value()),
        obtained_at=now,
        expires_at=now + timedelta(seconds=lifetime),
        # Only who has consented needs no password: with the other grants nobody would ever use a refresh token.
        refresh_token=(_refresh_token(answer.refresh_token or "") or before) if grant_type in _CONSENTED else None,
        scope=answer.scope or (former.scope if former else ()),
    )


def read_id_token(response: Response) -> SecretStr | None:
    """The ID token in an answer that `read_token` accepts, where one came (OpenID Connect). It is not checked here."""
    found = _text(response.body, "id_token")
    return SecretStr(found) if found else None


# -- a token -----------------------------------------------------------------------------------------------------------


def _seconds(value: object) -> object:
    """Some servers send a number as text, and no number as empty text."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    if isinstance(value, str):
        return float(value) if value.strip() else None
    return value


def _names(value: object) -> object:
    """Scopes are names with spaces between them, or a list at some servers. What cannot be read tells us nothing."""
    names = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
    return tuple(name for name in names if isinstance(name, str))


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)

    access_token: Annotated[SecretStr, Field(min_length=1)]
    token_type: str | None = None
    expires_in: Annotated[float | None, BeforeValidator(_seconds)] = None
    refresh_token: str | None = Field(default=None, repr=False)
    scope: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()


def _answer(response: Response, url: str, now: datetime, grant_type: str, former: StoredToken | None) -> _Answer:
    host = origin_of(url).host
    refused = fault(response, base_url=url, now=now, read_error=oauth_error(host, grant_type))
    if refused is not None:
        raise refused
    body = as_json(response, base_url=url).body
    if (code := error_code(body)) in _REFUSALS:  # some servers say so with status 200
        raise _refusal(host, code, response.status, grant_type)
    try:
        return _checked(_Answer.model_validate_json(body), host)
    except ValidationError as error:
        faults = ", ".join(str(fault["loc"][0]) if fault["loc"] else "its form" for fault in error.errors(include_input=False))
        flaw = UnusableToken(f"{host} answered the request for a token with something else (wrong: {faults}).")
    except UnusableToken as error:
        flaw = error
    rotated = _refresh_token(_text(body, "refresh_token"))
    if former is not None and rotated is not None:
        flaw.salvaged = replace(former, refresh_token=rotated)
    raise flaw from None


def _refresh_token(text: str) -> RefreshToken | None:
    return RefreshToken(text) if text.strip() else None


def _checked(answer: _Answer, host: str) -> _Answer:
    token = answer.access_token.get_secret_value()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UnusableToken(f"{host} handed out a token with characters that cannot be sent in a header.")
    if (answer.token_type or "Bearer").strip().lower() != "bearer":
        raise UnusableToken(f"{host} hands out tokens of another type than Bearer, which is not supported.")
    if answer.expires_in is not None and answer.expires_in <= 0:
        # A server that hands out one token until its end may do so in its last second; the next one is fresh.
        raise UnusableToken(f"{host} handed out a token that has already expired.", retryable=True)
    return answer


def error_code(body: bytes) -> str:
    """The code of an OAuth error, empty where there is none."""
    return _text(body, "error")


def _text(body: bytes, name: str) -> str:
    """A text in an answer, whatever the rest of it is like."""
    try:
        members = msgspec.json.decode(body.removeprefix(BYTE_ORDER_MARK), type=dict[str, msgspec.Raw])
        return msgspec.json.decode(members.get(name, b'""'), type=str)
    except (msgspec.DecodeError, RecursionError):
        return ""


# -- a refusal ---------------------------------------------------------------------------------------------------------

#: What the error codes of RFC 6749 (section 5.2) and its extensions mean to an operator, and where to turn if not to the secret.
_REFUSALS: Mapping[str, tuple[str, str | None]] = {
    "invalid_client": ("does not know this client id, or the secret is wrong", None),
    "unauthorized_client": (
        "does not let this client fetch tokens in this way",
        "Ask the district which grant its client is made for, and set `grant`.",
    ),
    "unsupported_grant_type": (
        "does not hand out tokens in this way",
        "Ask the district which grant its client is made for, and set `grant`.",
    ),
    "invalid_grant": ("does not accept these credentials any more", None),
    "invalid_scope": ("does not grant the scope that is asked for", "Ask the district which scopes it grants, and set `scope`."),
    "invalid_request": (
        "does not understand the request for a token",
        "Check `client_authentication`, `token_method` and `token_parameters` with the maker of the SIS.",
    ),
    "access_denied": ("denies access to this client", None),
}
#: Codes that say that it is no fault of ours.
_UNWELL = ("server_error", "temporarily_unavailable")


def oauth_error(host: str, grant_type: str = "") -> ErrorReader:
    """What reads the error answers of a token URL."""

    def read(status: int, _headers: Mapping[str, str], body: bytes) -> SISError | None:
        return _refusal(host, error_code(body), status, grant_type) if status in (400, 401, 403) else None

    return read


def _refusal(host: str, code: str, status: int, grant_type: str) -> SISError:
    if code in _UNWELL:
        return NetworkError(f"{host} cannot hand out tokens at the moment (status {status}).")
    reason, remedy = _REFUSALS.get(code, ("does not accept this client id and secret", None))
    sentence = f"{host} {reason} (status {status})."
    if code == "invalid_grant" and grant_type in _CONSENTED:
        return GrantBroken(sentence)
    # Some servers call a wrong secret by other names, or by none; and where the secret is a password, that is what is wrong.
    if code in ("invalid_client", "invalid_grant") or status == 401:
        return ClientRefused(sentence, remedy=remedy)
    return AuthenticationError(sentence, remedy=remedy)
