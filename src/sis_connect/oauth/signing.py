"""Access without a token: each request is signed with client id and secret, by OAuth 1.0a (RFC 5849) or as HTTP Basic, or carries
a key that the SIS has given out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth1.rfc5849.parameters import prepare_headers  # type: ignore[import-untyped]
from authlib.oauth1.rfc5849.signature import (  # type: ignore[import-untyped]
    normalize_base_string_uri,
    normalize_parameters,
)
from authlib.oauth1.rfc5849.util import escape  # type: ignore[import-untyped]
from pydantic import SecretStr

from sis_connect.clock import Clock
from sis_connect.errors import AuthenticationError
from sis_connect.oauth.client import SignatureMethod
from sis_connect.transport.signer import Signature

_log = logging.getLogger(__name__)
_DIGESTS = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class OAuth1Signature:
    """Signs as a client without a token, which the standard calls two-legged: the token's part of the key is empty."""

    client_id: str
    secret: SecretStr = field(repr=False)
    method: SignatureMethod
    clock: Clock = field(repr=False)

    def headers(self, method: str, url: str) -> Mapping[str, str]:
        stated = [
            ("oauth_consumer_key", self.client_id),
            ("oauth_nonce", secrets.token_hex(16)),
            ("oauth_signature_method", self.method),
            ("oauth_timestamp", str(int(self.clock.now().timestamp()))),
            ("oauth_version", "1.0"),
        ]
        signed = hmac.new(
            f"{escape(self.secret.get_secret_value())}&".encode(),
            base_string(method, url, stated).encode(),
            _DIGESTS[self.method],
        )
        signature = ("oauth_signature", base64.b64encode(signed.digest()).decode())
        headers: dict[str, str] = prepare_headers([*stated, signature])
        return headers

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signature with its secret is not pickled or copied")


@dataclass(frozen=True, slots=True)
class BasicSignature:
    """Client id and secret, as they are, with each request (RFC 7617)."""

    client_id: str
    secret: SecretStr = field(repr=False)

    def headers(self, _method: str, _url: str) -> Mapping[str, str]:
        pair = f"{self.client_id}:{self.secret.get_secret_value()}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signature with its secret is not pickled or copied")


@dataclass(frozen=True, slots=True)
class ApiKeySignature:
    """A fixed key in a header, with each request."""

    key: SecretStr = field(repr=False)
    header: str
    prefix: str

    def headers(self, _method: str, _url: str) -> Mapping[str, str]:
        return {self.header: f"{self.prefix}{self.key.get_secret_value()}"}

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signature with its secret is not pickled or copied")


def demand_header_text(key: SecretStr) -> None:
    """Raise where a key cannot be sent in a header: another header could hide in it."""
    text = key.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        del text
        raise AuthenticationError(
            "The API key holds characters that no SIS hands out.", remedy="Copy it again, without a line break."
        )


def demand_sendable(client_id: str, secret: SecretStr) -> None:
    """Raise where id or secret cannot be sent. No frame in which the secret stands open goes with the error."""
    with suppress(UnicodeEncodeError):
        f"{client_id}{secret.get_secret_value()}".encode()
        return
    raise AuthenticationError("The client id or secret holds characters that no SIS hands out.")


def base_string(method: str, url: str, stated: Sequence[tuple[str, str]]) -> str:
    """What is signed (RFC 5849, 3.4.1): method, address, and all parameters, of the query and those stated in the header."""
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    parts = (method.upper(), normalize_base_string_uri(url), normalize_parameters([*query, *stated]))
    return "&".join(escape(part) for part in parts)


class SecretSigner:
    """Signs with the newest client secret, and where that is refused with the former: a district may be changing it."""

    def __init__(self, signatures: Sequence[Signature], *, host: str, presented: str = "client id and secret") -> None:
        self.presented = presented
        self._newest = signatures[0]
        self._signatures = list(signatures)
        self._host = host

    async def signature(self, refused: Signature | None = None) -> Signature:
        return next((one for one in self._signatures if one is not refused), self._newest)

    def has_another(self, refused: Signature) -> bool:
        return any(one is not refused for one in self._signatures)

    def accepted(self, signature: Signature) -> None:
        """The one that serves is tried first from now on."""
        if signature is self._signatures[0]:
            return
        self._signatures.sort(key=lambda one: one is not signature)
        if signature is not self._newest:
            _log.warning("%s refuses the newest client secret and takes the former one: have the newest activated.", self._host)
