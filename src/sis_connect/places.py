"""Where things stand in the body of an answer: rows, totals, cursors. They are cut out as bytes and not looked into. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sis_connect.errors import UnexpectedResponse

if TYPE_CHECKING:
    from sis_connect.transport.answers import Response

_NOTHING = (b"", b'""', b"null", b"[]")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def raw_rows(body: bytes, path: str | tuple[str, ...], *, optional: bool = False) -> list[bytes]:
    """The rows of a page as bytes. One object is one row; a missing key, `""` or `null` is none."""
    found = _first_at(body, (path,) if isinstance(path, str) else path, optional=optional)
    if found in _NOTHING:
        return []
    if found.startswith(b"["):
        return [bytes(raw) for raw in _array.decode(found)]
    if found.startswith(b"{"):
        return [found]
    raise UnexpectedResponse(f"The answer holds something else than rows at {path!r}.")


def _first_at(body: bytes, paths: tuple[str, ...], *, optional: bool) -> bytes:
    """What stands at the first of these paths that is there."""
    if len(paths) == 1 and not optional:
        return at(body, paths[0])
    for path in paths:
        members = _members(body.strip())
        if path.partition(".")[0] in members or (not members and not optional):
            return at(body, path)
    if optional:
        return b""
    raise UnexpectedResponse(f"The answer has none of {', '.join(map(repr, paths))}, it is about something else.")


def number_at(body: bytes, path: str) -> int | None:
    """A whole number in the body, however it is written."""
    digits = at(body, path).strip(b'"')
    return int(digits) if digits.isdigit() else None


def total_in(response: Response, where: str | tuple[str, ...]) -> int | None:
    """The total that an answer tells, in its body or as `header:NAME`, at the first place that tells one."""
    for place in (where,) if isinstance(where, str) else where:
        kind, _, name = place.rpartition(":")
        if kind == "header":
            digits = response.headers.get(name.lower(), "").strip()
            found = int(digits) if digits.isdigit() else None
        elif isinstance(where, str):
            return number_at(response.body, place)
        else:
            found = number_at(response.body, place) if place.partition(".")[0] in _members(response.body.strip()) else None
        if found is not None:
            return found
    return None


def total_beside_rows(response: Response, where: str | tuple[str, ...]) -> int | None:
    """The total in an answer that has shown its rows: what tells none there is a page without a total, and the end shows
    otherwise."""
    return total_in(response, (where,) if isinstance(where, str) else where)


def cursor_beside_rows(body: bytes, path: str) -> str | None:
    """What points to the next page in an answer that has shown its rows: a text, a number, or that there is one (`true`)."""
    if path.partition(".")[0] not in _members(body.strip()):
        return None
    found = at(body, path)
    if found.startswith(b'"'):
        return msgspec.json.decode(found, type=str) or None
    return found.decode() if found == b"true" or found.isdigit() else None


def at(body: bytes, path: str) -> bytes:
    """What stands at a dotted path, as bytes; nothing where a key is missing. An answer that has other keys only is no answer."""
    found = body.strip()
    for depth, name in enumerate(path.split(".") if path else ()):
        if depth and found in _NOTHING:
            return b""
        members = _members(found)
        if not depth and members and name not in members:
            raise UnexpectedResponse(f"The answer has no {name!r}, it is about something else.")
        found = bytes(members.get(name, b""))
    return found


def _members(found: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _object.decode(found)
    except msgspec.DecodeError:
        raise UnexpectedResponse("The answer is not the JSON that was asked for, or was cut off.") from None
