"""Lists of a whole district, read for some of its schools: whose row is whose. Pure.

Each school gets the rows that are its own, as if it had a list of its own. That the list came whole is still seen over all of it,
so the keys of all rows go with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_64_hexdigest

from sis_connect.provider import InvalidRow

if TYPE_CHECKING:
    from sis_connect.endpoint import Endpoint

#: A key that is longer is none: its row waits, and must not spoil a page.
LONGEST = 1_000


def schools_told(found: object, fields: tuple[str, ...] = ()) -> frozenset[str]:
    """The ids of schools, out of what a row says: one, several or none. Raises `InvalidRow`, which names the row's `fields`."""
    several = found if isinstance(found, (list, tuple, set, frozenset)) else (found,)
    for each in several:
        if isinstance(each, bool) or not isinstance(each, (str, int, type(None))):
            raise InvalidRow("what it says of its schools is no id", key=None, fields=fields)
    return frozenset(str(each) for each in several if each is not None and each != "")


def shares(endpoint: Endpoint[Any], rows: Sequence[bytes], schools: Sequence[str]) -> tuple[dict[str, list[bytes]], list[str]]:
    """The rows of a page by the school that they belong to, and the keys of all of them.

    A row that names no school belongs to each; so does one that cannot be understood, since it may be anybody's.
    """
    theirs: dict[str, list[bytes]] = {school: [] for school in schools}
    keys = []
    for raw in rows:
        key, told = _told(endpoint, raw)
        keys.append(_as_text(key, raw))
        for school in (each for each in schools if each in told) if told else schools:
            theirs[school].append(raw)
    return theirs, keys


def _as_text(key: str | None, raw: bytes) -> str:
    """What stands for a key among all: the key itself, unless it is missing, or no page could hold it."""
    if key and len(key) <= LONGEST and key.isprintable():
        return key
    return f"?{xxh3_64_hexdigest(key.encode('utf-8', 'surrogatepass') if key else raw)}"


def _told(endpoint: Endpoint[Any], raw: bytes) -> tuple[str | None, frozenset[str]]:
    """A row's key and its schools, as far as they can be told. What is wrong with it, its reader says."""
    try:
        row = endpoint.decode(raw)
        return endpoint.key_of(row), endpoint.schools_told(row)
    except InvalidRow as error:
        return error.key, frozenset()
