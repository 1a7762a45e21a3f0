"""Who we are at a token URL, and in which of the many ways that SIS makers chose we say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from pydantic import SecretStr

#: Where client id and secret go. `basic` is what most servers read: base64 of `id:secret` as they are. `basic_form_encoded` is
#: the letter of RFC 6749 (2.3.1), where both are form-encoded first; it matters where they hold more than letters and digits.
#: `body` and `query` send them as `client_id` and `client_secret`. `none` is a client without a secret, known by its id alone.
ClientAuthentication = Literal["basic", "basic_form_encoded", "body", "query", "none"]

#: How a token is asked for: the grant as a form in the body of a POST, in the query of a POST, or in the query of a GET.
TokenMethod = Literal["POST", "POST_QUERY", "GET"]

#: How a request is signed where there is no token (RFC 5849; the second is as common as the first, and not in the standard).
SignatureMethod = Literal["HMAC-SHA1", "HMAC-SHA256"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """Who we are at the token URL.

    `secrets` are those that may be valid now, the newest first: two while the district changes from one to the other.
    `parameters` go into the query of every request, such as the name of an app, and `headers` into its head. Without a
    `client_id` only the grant itself says who asks.
    """

    token_url: str
    client_id: str = ""
    secrets: tuple[SecretStr, ...] = field(default=(), repr=False)
    authentication: ClientAuthentication = "basic"
    method: TokenMethod = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    scope: str | None = None

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a client with its secrets is not pickled or copied")
