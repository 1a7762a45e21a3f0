"""What OneRoster's error answers mean. The status decides; the body, of many shapes, is a hint and never quoted."""

from __future__ import annotations

from collections.abc import Mapping

from sis_connect.errors import AuthenticationError, AuthorizationError, NotOffered, ProviderError, SISError

_IDS = "Ids are the sis_id of `sis-connect export NAME schools`, or of students; what was deleted may be unknown, too."


class UnknownObject(NotOffered):
    """The server knows the address, and nothing of the id in it."""

    def __init__(self, what: str = "object") -> None:
        super().__init__(f"The SIS knows no {what} of this id.", remedy=_IDS)


class UnknownSchool(ProviderError):  # noqa: N818 - reads as what is the case
    """The lists of a school that there is not. No longer list need be read instead: none of its rows would be that school's."""

    def __init__(self) -> None:
        super().__init__("The SIS knows no school of this id.", remedy=_IDS)


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> SISError | None:
    """The error behind an answer, or None where its status says it all."""
    hint = b"".join(body[:4096].lower().split()).replace(b"_", b"")
    ended = b"unauthori" in hint or b"expired" in hint or "invalid_token" in headers.get("www-authenticate", "")
    if status == 403 and ended:  # what others say with 401
        return AuthenticationError("The OneRoster server does not accept our access token.")
    if status == 403:
        return AuthorizationError(
            "The OneRoster server does not allow us to read this.",
            remedy="Have the district grant the scope for it: roster-core for lists, roster for those of one school, "
            "roster-demographics for birth dates and the like.",
        )
    if status == 404 and b"unknownobject" in hint:
        return UnknownObject()
    if status == 404:
        return NotOffered(
            "The OneRoster server has nothing at this address.",
            remedy="Check the base URL and the setting version; otherwise it was deleted, or this server does not offer it.",
        )
    if status in (400, 422) and b"filterfield" in hint:
        return ProviderError(
            "The OneRoster server cannot filter as it was asked to.",
            remedy="Set deltas=false to read everything each time, and people=users if guardians are read.",
        )
    if status in (400, 422):
        return ProviderError(
            "The OneRoster server calls the request wrong.", remedy="Try page_size=100 or sort=false, and check version."
        )
    return None
