"""The sandbox's answers: lists with totals and links, and errors in the shapes of both versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from starlette.responses import HTMLResponse, JSONResponse, Response

MINORS: Mapping[int, str] = {
    400: "invaliddata",
    401: "unauthorisedrequest",
    403: "forbidden",
    404: "unknownobject",
    405: "forbidden",
    422: "invaliddata",
    429: "server_busy",
}
#: The words of 1.1.
_SPELLED: Mapping[str, str] = {
    "unknownobject": "unknown object",
    "invaliddata": "invalid data",
    "unauthorisedrequest": "unauthorized",
}


def error(
    version: str, status: int, description: str, minor: str | None = None, shape: str = "standard", scheme: str = "Bearer"
) -> Response:
    """An error answer. `shape` is how a server of 1.1 writes it, `scheme` how a client is to say who it is."""
    minor = minor or MINORS.get(status, "internal_server_error")
    if shape == "html":
        return HTMLResponse("<!DOCTYPE html><html><body>Something went wrong.</body></html>", status)
    body = _error_12(description, minor) if version == "1.2" else _error_11(description, _SPELLED.get(minor, minor), shape)
    headers = {"WWW-Authenticate": f'{scheme} realm="oneroster"'} if status == 401 else None
    return JSONResponse(body, status, headers)


def _error_12(description: str, minor: str) -> dict[str, Any]:
    return {
        "imsx_codeMajor": "failure",
        "imsx_severity": "error",
        "imsx_description": description,
        "imsx_CodeMinor": {
            "imsx_codeMinorField": [{"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": minor}]
        },
    }


def _error_11(description: str, minor: str, shape: str) -> dict[str, Any]:
    if shape == "list":
        return {
            "errors": [{"codeMajor": "failure", "severity": "error", "codeMinor": minor, "description": description}],
        }
    info = status_info("failure", "error", minor, description)
    if shape == "flat":
        return {**info, "imsx_codeMinor": minor.replace(" ", "_")}
    return {"statusInfoSet": info if shape == "object" else [info]}


def status_info(major: str, severity: str, minor: str, description: str) -> dict[str, str]:
    return {
        "imsx_codeMajor": major,
        "imsx_severity": severity,
        "imsx_codeMinor": minor,
        "imsx_description": description,
    }


class Page:
    """One page of a list: `total` rows in all (None: not told), `limit` as the server has it, `received` from `offset` on.
    `url` is the address without its query, `query` what was asked."""

    def __init__(self, url: str, query: str, *, limit: int, offset: int, received: int, total: int, told: int | None) -> None:
        self._url, self._limit, self._offset, self._received = url, limit, offset, received
        self._total, self._told = total, told
        self._others = [(k, v) for k, v in parse_qsl(query, keep_blank_values=True) if k not in ("limit", "offset")]

    def totals(self, where: str) -> tuple[dict[str, str], dict[str, int]]:
        """Headers and members of the body that tell how many rows there are."""
        if self._told is None or where == "none":
            return {}, {}
        if where == "body":
            pages = -(-self._told // self._limit)
            return {}, {
                "totalCount": self._told,
                "pageCount": pages,
                "pageNumber": self._offset // self._limit + 1,
                "offset": self._offset,
                "limit": self._limit,
            }
        return {"X-Total-Count" if where == "header" else "X-Count": str(self._told)}, {}

    def link(self, how: str, last_link: str, elsewhere: str | None, *, endless: bool) -> dict[str, str]:
        """The `Link` header. The next page begins where this one ended."""
        if how == "none":
            return {}
        following, places = self._offset + self._received, {}
        if (following < self._total and self._received) or endless:
            places["next"] = (following, self._limit)
        last = max(0, (self._total - 1) // self._limit * self._limit)
        rest = self._total - last if last_link == "remainder" and self._total else self._limit
        places["last"] = (last, rest)
        places["first"] = (0, self._limit)
        if self._offset:
            places["prev"] = (max(0, self._offset - self._limit), self._limit)
        if how == "loop":
            places["next"] = places["last"] = (self._offset, self._limit)
        written = []
        for rel, (offset, limit) in places.items():
            url = elsewhere if rel == "next" and elsewhere else self._address(how, offset, limit)
            written.append(_written(url, rel, how))
        return {"Link": ", ".join(written)}

    def _address(self, how: str, offset: int, limit: int) -> str:
        offset += how == "one_based"
        query = urlencode([*self._others, ("limit", limit), ("offset", offset)], quote_via=quote)
        url = "/" + self._url.split("/", 3)[3] if how == "relative" else self._url
        return f"{url}?{query}"


def _written(url: str, rel: str, how: str) -> str:
    if how == "unbracketed":
        return f"{url}; rel='{rel}'"
    return f"<{url}>; rel={rel}" if how == "unquoted" else f'<{url}>; rel="{rel}"'


def body(key: str, rows: Sequence[bytes], members: Mapping[str, Any], *, alone: bool = False) -> bytes:
    """A list of objects that are JSON already, and further members; `alone`: one object without its list."""
    inside = rows[0] if alone and len(rows) == 1 else b"[" + b",".join(rows) + b"]"
    head = msgspec.json.encode(dict(members))[1:-1]
    return b"{%s:%s%s%s}" % (msgspec.json.encode(key), inside, b"," if head else b"", head)
