"""Who may send us word: the signatures of Standard Webhooks 1.0 (`v1`, HMAC-SHA256), and secrets that stand in the path. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping, Sequence

from sis_connect.setting_types import SIGNING_PREFIX

#: How far the sender's clock may be from ours, in seconds.
TOLERANCE = 300
#: So many signatures of one message are looked at: a sender that changes its secret sends one for each.
_MOST = 10
_LONGEST_ID = 255


def secrets_in(setting: str) -> Sequence[str]:
    """The secrets that a setting holds: more than one while it is changed."""
    return setting.split(",")


def knows(secrets: Sequence[str], given: str) -> bool:
    """Whether somebody has one of the secrets. It takes as long for a wrong one as for a right one."""
    found = [hmac.compare_digest(secret.encode(), given.encode()) for secret in secrets]
    return any(found)


def signed_id(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """The id of a message that somebody with one of the secrets has signed within the last minutes; otherwise None.

    Header names are lower-case, `now` is seconds since 1970. What is signed are the bytes as they came.
    """
    message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 0 < len(message_id) <= _LONGEST_ID or not (sent.isascii() and sent.isdecimal() and len(sent) <= 15):
        return None
    if abs(now - int(sent)) > TOLERANCE:
        return None
    content = b".".join((message_id.encode(), sent.encode(), body))
    expected = [hmac.digest(_key(secret), content, "sha256") for secret in secrets]
    found = [hmac.compare_digest(mine, given) for given in _signatures(headers.get("webhook-signature", "")) for mine in expected]
    return message_id if any(found) else None


def signature(secret: str, message_id: str, sent: int, body: bytes) -> str:
    """What a sender puts into `webhook-signature`."""
    digest = hmac.digest(_key(secret), f"{message_id}.{sent}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    """`whsec_` is followed by the key in base64; any other secret is the key as it is."""
    if not secret.startswith(SIGNING_PREFIX):
        return secret.encode()
    return base64.b64decode(secret.removeprefix(SIGNING_PREFIX))


def _signatures(header: str) -> Iterator[bytes]:
    for one in header.split()[:_MOST]:
        version, _, text = one.partition(",")
        if version == "v1":
            try:
                yield base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                continue  # not one of ours to judge: another may fit
