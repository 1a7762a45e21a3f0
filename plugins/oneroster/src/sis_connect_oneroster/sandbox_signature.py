"""Requests that are signed with OAuth 1.0a, two-legged: how the sandbox tells whether a signature is right (RFC 5849)."""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote

#: How far the clocks may be apart, in seconds.
LEEWAY = 300
_HASHES = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}


class Signatures:
    """Checks signatures of one client. A nonce is good once."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._id, self._secret = client_id, client_secret
        self._seen: set[tuple[str, str]] = set()

    def refusal(self, method: str, url: str, query: str, authorization: str, signature_method: str) -> str | None:
        """Why a request is not let in; None where it is. `url` is without the query, which is as it was sent."""
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() != "oauth":
            return "The request is not signed."
        given = {unquote(name): unquote(value) for name, value in re.findall(r'([\w%.~-]+)="([^"]*)"', rest)}
        if given.get("oauth_consumer_key") != self._id:
            return "The consumer key is unknown."
        if given.get("oauth_signature_method") != signature_method:
            return f"Requests are signed with {signature_method} here."
        if given.get("oauth_version", "1.0") != "1.0" or not given.get("oauth_nonce"):
            return "The signature lacks a version or a nonce."
        stamp = given.get("oauth_timestamp", "")
        if not stamp.isdecimal() or abs(int(stamp) - time.time()) > LEEWAY:
            return "The timestamp is not of now."
        signed = [(name, value) for name, value in given.items() if name not in ("realm", "oauth_signature")]
        pairs = parse_qsl(query, keep_blank_values=True)
        expected = signature(method, url, [*pairs, *signed], self._secret, signature_method)
        if not hmac.compare_digest(expected.encode(), given.get("oauth_signature", "").encode()):
            return "The signature is wrong."
        if (stamp, given["oauth_nonce"]) in self._seen:
            return "The nonce was used already."
        self._seen.add((stamp, given["oauth_nonce"]))
        return None


def signature(method: str, url: str, pairs: Sequence[tuple[str, str]], secret: str, signature_method: str) -> str:
    """The signature with a client's secret and no token."""
    encoded = sorted((_percent(name), _percent(value)) for name, value in pairs)
    parameters = "&".join(f"{name}={value}" for name, value in encoded)
    base = "&".join((method.upper(), _percent(_normal(url)), _percent(parameters)))
    digest = hmac.digest(f"{_percent(secret)}&".encode(), base.encode(), _HASHES[signature_method])
    return base64.b64encode(digest).decode()


def _normal(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    usual = {"http": ":80", "https": ":443"}.get(scheme.lower(), "")
    return f"{scheme.lower()}://{host.lower().removesuffix(usual)}{slash}{path}"


def _percent(text: str) -> str:
    return quote(text, safe="-._~")
