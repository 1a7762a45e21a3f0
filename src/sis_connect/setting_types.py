"""The types of single settings: what is accepted, and what is said where it is not."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, SecretStr

from sis_connect.local_files import check_file_url, is_local


def is_loopback(host: str) -> bool:
    """Whether a host name stands for this machine, where plain HTTP is allowed."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str) -> str:
    """An address that secrets may be sent to: absolute, HTTPS except on this machine, without credentials, query or fragment."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a full address such as https://sis.example.org")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must start with https://, since plain http would send the district's secrets unprotected")
    if parts.username or parts.password:
        raise ValueError("must not contain a user name or password")
    if parts.query or parts.fragment:
        raise ValueError("must not contain a query or a fragment")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number") from None
    return url.strip().rstrip("/")


def check_exact_url(url: str) -> str:
    """The same for an address that is used, or compared, to the letter: some servers insist on their last slash."""
    check_url(url)
    return url.strip()


def check_base_url(url: str) -> str:
    """The address of a SIS, or of the file or folder where its export lies."""
    return check_file_url(url) if is_local(url) else check_url(url)


def parse_rate_limit(value: object) -> object:
    """`60/60` (requests/seconds) or `off`."""
    if not isinstance(value, str):
        return value
    if value == "off":
        return "off"
    match = re.fullmatch(r"(\d+)/(\d+(?:\.\d+)?)", value)
    if not match or int(match[1]) < 1 or float(match[2]) <= 0:
        raise ValueError("must be REQUESTS/SECONDS such as 60/60, or off")
    return (int(match[1]), float(match[2]))


def _comma_list(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _pairs(value: object) -> object:
    """`appName=lincoln&other=1`, as it stands after the question mark of an address."""
    return dict(parse_qsl(value, keep_blank_values=True)) if isinstance(value, str) else value


def _no_field_of_the_grant(parameters: dict[str, str]) -> dict[str, str]:
    taken = sorted(parameters.keys() & _FIELDS_OF_GRANTS)
    if taken:
        raise ValueError(f"must not hold {taken[0]}, which has a setting of its own or is sent by itself")
    return parameters


def query_apart(values: object) -> object:
    """What follows the question mark of a token URL, as an administrator copies it, joins the token parameters."""
    given = values.get("token_url") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(given, str) or "?" not in given:
        return values
    address, _, query = given.strip().partition("?")
    parameters = _pairs(values.get("token_parameters") or {})
    if not isinstance(parameters, dict):
        return values
    query, mark, fragment = query.partition("#")  # the check of the address refuses a fragment
    for name, value in parse_qsl(query, keep_blank_values=True):
        if parameters.get(name, value) != value:
            raise ValueError(f"token_url and token_parameters have two values for {name}: leave one of them out")
        parameters = {**parameters, name: value}
    return {**values, "token_url": address + mark + fragment, "token_parameters": parameters}


def known_zone(value: str | None) -> str | None:
    if value is not None:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("must be a time zone name such as America/Denver") from None
    return value


#: What a request for a token says itself. Twice would be once too often, and a secret does not belong among plain settings.
_FIELDS_OF_GRANTS = frozenset(
    (
        *("grant_type", "scope", "client_id", "client_secret", "client_assertion", "assertion", "username", "password"),
        *("refresh_token", "code", "code_verifier", "redirect_uri", "token"),
    )
)

BaseUrl = Annotated[str, AfterValidator(check_base_url)]
ExactUrl = Annotated[str, AfterValidator(check_exact_url)]
Parameters = Annotated[dict[str, str], BeforeValidator(_pairs), AfterValidator(_no_field_of_the_grant)]
RateLimit = Annotated[tuple[int, float] | Literal["off"] | None, BeforeValidator(parse_rate_limit)]
Names = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]


#: How the secrets of Standard Webhooks begin; base64 follows.
SIGNING_PREFIX = "whsec_"
_SHORTEST = 24


def check_webhook_secret(secret: SecretStr) -> SecretStr:
    """A secret that cannot be guessed, or several with commas between them, the newest first."""
    for text in secret.get_secret_value().split(","):
        if text.startswith(SIGNING_PREFIX):
            try:
                length = len(base64.b64decode(text.removeprefix(SIGNING_PREFIX), validate=True))
            except binascii.Error:
                raise ValueError("begins like a signing secret, and is not base64 after that") from None
        else:
            length = len(text)
        if length < _SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"must have at least {_SHORTEST} characters that cannot be guessed, and no blanks")
    return secret


WebhookSecret = Annotated[SecretStr, AfterValidator(check_webhook_secret)]
