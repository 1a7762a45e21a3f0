"""How a sandbox's own code says no: raised anywhere below, answered in one place in the vendor's words."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):  # noqa: N818 - the server's answer, not our error
    """The server answers with an error."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})
