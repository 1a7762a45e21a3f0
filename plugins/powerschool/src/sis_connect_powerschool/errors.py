"""What PowerSchool's error answers mean. They come in three shapes and may quote what was asked: nothing of that is passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from sis_connect.errors import AuthenticationError, AuthorizationError, NotOffered, ProviderError, SISError, UnexpectedResponse

#: Where PowerSchool sends everybody while a district's server is down.
_NOTICE_HOST = "message.powerschool.com"
#: What to do where a grant is missing.
GRANT_COLUMNS = "Add the fields to the plugin's access request, raise its version, and have it uploaded and enabled again."


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> SISError | None:
    """The error behind an answer, or None where its status says it all (an empty 401 is a token that has expired)."""
    if 300 <= status < 400:
        return _redirect(headers.get("location", ""))
    answer = _parsed(body)
    if status == 401 and "errorMessage" in answer:
        # The token is good and the plugin is not allowed in: signing in again would not help.
        return AuthorizationError(
            "The plugin in PowerSchool has no access to the v1 interface.",
            remedy='Have the administrator set accessLevelV1Api="READ" for the plugin (since SIS 25.2 it is NONE unless set), '
            "then disable and enable it.",
        )
    if status in (400, 401) and "error" in answer:
        return AuthenticationError("PowerSchool does not know this client id, or the secret is not its secret.")
    if status in (400, 403) and (columns := _columns(answer)):
        return AuthorizationError(f"The plugin in PowerSchool may not read {', '.join(columns)}.", remedy=GRANT_COLUMNS)
    if status == 403:
        return AuthorizationError("The plugin in PowerSchool may not read this resource.")
    if status == 404:
        return NotOffered("PowerSchool has nothing at this address.", remedy="It was deleted, or this version does not offer it.")
    if status == 400:
        return ProviderError("PowerSchool does not understand the request.", remedy="Report this to the plugin's author.")
    return None


def _redirect(location: str) -> SISError | None:
    if (urlsplit(location).hostname or "") != _NOTICE_HOST:
        return None
    return UnexpectedResponse(
        "The district's PowerSchool is down: it sends everybody to a notice.", remedy="Try again when the maintenance is over."
    )


def _columns(answer: Mapping[str, Any]) -> list[str]:
    """The names of columns that a grant is missing for. Only what looks like the name of one."""
    errors = answer.get("errors")
    named = [str(error.get("field")) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [name for name in named if re.fullmatch(r"\w+(\.\w+)?", name)]


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
