"""A server that lets in who signs by OAuth 1.0a, reckoned from the bytes that came in, by the standard library alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

from raw_server import Answer, Handler, Heard, answer, json_answer

UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
DIGESTS = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}


def encoded(text: str) -> str:
    """Percent-encoded by the letter of RFC 5849, 3.6."""
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def reckoned_base_string(method: str, address: str, query: str, stated: Sequence[tuple[str, str]]) -> str:
    """RFC 5849, 3.4.1, from an address without a query, and a query as it stands in the request line."""
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    everything = [(unquote_plus(name), unquote_plus(value)) for name, value in pairs] + list(stated)
    sorted_pairs = sorted((encoded(name), encoded(value)) for name, value in everything)
    return "&".join(encoded(part) for part in (method, address, "&".join(f"{name}={value}" for name, value in sorted_pairs)))


def reckoned_signature(base: str, secret: str, method: str) -> str:
    digest = hmac.new(f"{encoded(secret)}&".encode(), base.encode(), DIGESTS[method]).digest()
    return base64.b64encode(digest).decode()


def stated_in(header: str) -> Mapping[str, str]:
    """What an `Authorization: OAuth ...` header states."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "OAuth"
    return {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', rest)}


@dataclass
class SigningServer:
    """Lets in one client. `stated` is what each signed request stated, `first` answers come before what is `behind`."""

    client_id: str = "district"
    secret: str = "hush-secret-value"
    stated: list[Mapping[str, str]] = field(default_factory=list)
    first: list[Answer] = field(default_factory=list)
    behind: Handler | None = None

    async def __call__(self, heard: Heard) -> Answer:
        if "authorization" not in heard.headers:
            return answer(b"", status=401)
        stated = dict(stated_in(heard.headers["authorization"]))
        self.stated.append(dict(stated))
        signature = stated.pop("oauth_signature")
        path, _, query = heard.target.partition("?")
        address = f"http://{heard.headers['host']}{path}"
        base = reckoned_base_string(heard.method, address, query, list(stated.items()))
        if stated["oauth_consumer_key"] != self.client_id:
            return answer(b"", status=401)
        if signature != reckoned_signature(base, self.secret, stated["oauth_signature_method"]):
            return answer(b"", status=401)
        if self.first:
            return self.first.pop(0)
        return await self.behind(heard) if self.behind else json_answer({})
