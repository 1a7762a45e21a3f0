"""The grants: for each one the form that it sends, and the flow that gets a new token from the old one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SecretStr

from sis_connect.tokens.token import GrantBroken, RefreshToken, StoredToken
from sis_connect.tokens.token_manager import Grant

if TYPE_CHECKING:
    from sis_connect.oauth.endpoint import TokenEndpoint

#: What a grant sends, by name. A secret is wrapped, so that a form can be shown; `None` is filled with the client secret in use.
Form = Mapping[str, str | SecretStr | None]


# -- what is sent ------------------------------------------------------------------------------------------------------


def client_credentials(scope: str | None = None) -> Form:
    """We ask in our own name (RFC 6749, 4.4)."""
    return _form("client_credentials", scope=scope)


def refresh(refresh_token: RefreshToken, scope: str | None = None) -> Form:
    """We ask again in the name of whoever consented (RFC 6749, 6). Without a scope it stays as it was granted."""
    return _form("refresh_token", refresh_token=refresh_token, scope=scope)


def password(username: str, password: SecretStr | None, scope: str | None = None) -> Form:
    """We sign in like a user (RFC 6749, 4.3). Some SIS call key and secret so: then the password is `None`, the client secret."""
    return {**_form("password", username=username, scope=scope), "password": password}


def authorization_code(code: str | SecretStr, redirect_uri: str, verifier: str | SecretStr) -> Form:
    """We exchange the code that a person's consent brought, once, with the proof that we began it (RFC 6749, 4.1; RFC 7636)."""
    return _form("authorization_code", code=_secret(code), redirect_uri=redirect_uri, code_verifier=_secret(verifier))


def _form(grant_type: str, **fields: str | SecretStr | None) -> Form:
    return {"grant_type": grant_type, **{name: value for name, value in fields.items() if value is not None}}


def _secret(value: str | SecretStr) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)


# -- from token to token -----------------------------------------------------------------------------------------------


def client_credentials_grant(endpoint: TokenEndpoint) -> Grant:
    """Each token is asked for anew, by id and secret."""

    async def grant(_former: StoredToken | None) -> StoredToken:
        return await endpoint.fetch(client_credentials(endpoint.client.scope))

    return grant


def password_grant(endpoint: TokenEndpoint, username: str, user_password: SecretStr | None) -> Grant:
    """Each token is asked for anew, by user name and password; see `password` for one that is `None`."""

    async def grant(_former: StoredToken | None) -> StoredToken:
        return await endpoint.fetch(password(username, user_password, endpoint.client.scope))

    return grant


def refresh_grant(endpoint: TokenEndpoint) -> Grant:
    """Each token comes from the refresh token of the one before. The first one comes from a person's consent."""

    async def grant(former: StoredToken | None) -> StoredToken:
        if former is None or former.refresh_token is None:
            raise GrantBroken("Nobody has given access to this SIS yet, or it gave no refresh token.")
        return await endpoint.fetch(refresh(former.refresh_token), former)

    return grant
