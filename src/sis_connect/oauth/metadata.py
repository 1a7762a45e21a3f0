"""What an authorization server says of itself, pure: where its document is, and what in it can be believed.

RFC 8414 and OpenID Connect Discovery describe the same document at two addresses. It decides where a person is sent and where
codes and secrets go, so every line that is used is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from sis_connect.errors import ConfigurationError, UnexpectedResponse
from sis_connect.setting_types import check_url
from sis_connect.transport.addresses import origin_of

_OPENID = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"
_REMEDY = "Check the `issuer` of this integration, or ask the district who runs its sign-in server."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetadata:
    """An authorization server, as far as we need to know it.

    `issuer` is its name, to the letter, and `None` where nobody told us. `described` is whether it described itself, or we were
    told. `s256` says whether it checks who began an authorization (PKCE with S256), `None` where it does not say. `names_itself`
    is whether it promises to say in a redirect who it is (RFC 9207).
    """

    authorize_url: str
    token_url: str
    issuer: str | None = None
    revocation_url: str | None = None
    scopes: tuple[str, ...] = ()
    described: bool = False
    s256: bool | None = None
    names_itself: bool = False


def document_urls(issuer: str) -> tuple[str, str]:
    """Where the document of an issuer may be: by RFC 8414, then by OpenID Connect."""
    parts = urlsplit(issuer.rstrip("/"))
    return parts._replace(path=_OAUTH + parts.path).geturl(), f"{issuer.rstrip('/')}{_OPENID}"


def issuer_of(document_url: str) -> str:
    """The issuer whose document is at this address; the counterpart of `document_urls`."""
    parts = urlsplit(document_url)
    if parts.path.endswith(_OPENID):
        return parts._replace(path=parts.path.removesuffix(_OPENID)).geturl()
    if parts.path.startswith(_OAUTH):
        return parts._replace(path=parts.path.removeprefix(_OAUTH)).geturl()
    raise ConfigurationError(f"{parts.path} is not where a sign-in server describes itself.", remedy="Give the `issuer` instead.")


def _names(value: object) -> object:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else None


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    scopes_supported: Annotated[tuple[str, ...] | None, BeforeValidator(_names)] = None
    code_challenge_methods_supported: Annotated[tuple[str, ...] | None, BeforeValidator(_names)] = None
    authorization_response_iss_parameter_supported: bool = False


def read_metadata(body: bytes, *, issuer: str) -> ServerMetadata:
    """The document of an issuer. Raises `UnexpectedResponse` where it is not one, or not the one of this issuer."""
    host = origin_of(issuer).host
    try:
        document = _Document.model_validate_json(body)
    except ValidationError as error:
        faults = ", ".join(str(fault["loc"][0]) if fault["loc"] else "its form" for fault in error.errors(include_input=False))
        raise UnexpectedResponse(
            f"{host} describes its sign-in server in a way that is wrong: {faults}.", remedy=_REMEDY
        ) from None
    # A slash at the end is left out where the document's address is built, so the address cannot tell the two apart.
    if document.issuer.rstrip("/") != issuer.rstrip("/"):
        raise UnexpectedResponse(f"{host} describes the sign-in server of another issuer than the one asked for.", remedy=_REMEDY)
    methods = document.code_challenge_methods_supported
    return ServerMetadata(
        issuer=document.issuer,
        authorize_url=_endpoint(document.authorization_endpoint, issuer, "authorization_endpoint", query=True),
        token_url=_endpoint(document.token_endpoint, issuer, "token_endpoint"),
        revocation_url=_endpoint(document.revocation_endpoint, issuer, "revocation_endpoint")
        if document.revocation_endpoint
        else None,
        scopes=document.scopes_supported or (),
        described=True,
        s256=None if methods is None else "S256" in methods,
        names_itself=document.authorization_response_iss_parameter_supported,
    )


def _endpoint(url: str, issuer: str, name: str, *, query: bool = False) -> str:
    """An address in the document. A server that is reached by HTTPS does not send us to plain HTTP, not even on this machine."""
    try:
        check_url(url.partition("?")[0] if query else url)
        if urlsplit(issuer).scheme == "https" and urlsplit(url).scheme != "https":
            raise ValueError("must start with https://")
        if "#" in url:
            raise ValueError("must not contain a fragment")
    except ValueError as error:
        host = origin_of(issuer).host
        raise UnexpectedResponse(f"The {name} that {host} names cannot be used: it {error}.", remedy=_REMEDY) from None
    return url
