"""What Qmlativ's error answers mean. Their words may quote what was asked: nothing of that is passed on."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from sis_connect.errors import AuthenticationError, AuthorizationError, SISError


class NotApproved(AuthorizationError):  # noqa: N818 - reads as what is the case
    """An object, one of its fields, or an entity is not let in, or not known. `said` is the answer, and stays inside."""

    def __init__(self, said: bytes = b"") -> None:
        super().__init__(
            "Qmlativ does not let this integration read what was asked for.",
            remedy="Have the fields and objects that the documentation lists approved for this integration, and its entities.",
        )
        self._said = said.decode("utf-8", "replace")

    def about(self, name: str, fields: Collection[str]) -> None:
        """Say which object was asked for, and which of its fields the answer names."""
        told = [f"{name.rpartition('/')[2]}.{field}" for field in fields if _names(self._said, field)]
        self.message = f"Qmlativ refuses {', '.join(told) or f'a field of {name}, or all of it'} to this integration."
        self.remedy = approval(name, told)
        self.args = (self.message,)


def approval(name: str, fields: Collection[str]) -> str:
    """What to do about fields of an object that are not let in; `fields` are those that are known."""
    listed = ",".join(fields) or "OBJECT.FIELD"
    how = "" if fields else " `sis-connect doctor` finds out what is missing."
    return (
        f"Have {name} approved as documented, for all entities; or do without what can be spared: without_fields={listed}.{how}"
    )


def _names(said: str, field: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(field)}(?!\w|\.\w)", said) is not None


def read_qmlativ_error(status: int, headers: Mapping[str, str], body: bytes) -> SISError | None:
    """The error behind an answer, or None where its status says it all."""
    if status in (401, 403) and b"token has expired" in body.lower():
        return AuthenticationError("Qmlativ says that the access token has expired.")
    return NotApproved(body) if status in (400, 403) else None
