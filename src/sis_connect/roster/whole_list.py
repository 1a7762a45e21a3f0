"""The keys of a list that is longer than its stream: what belongs elsewhere counts as read, and is not staged.

Eight bytes stand for each key. Those of a read under way lie in the store until it ends, beside the fingerprints and under the
negative id of the stream: each checkpoint adds what has come since the one before.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.roster.fingerprints import fingerprint

#: Many keys are counted in parts, so that counting takes little memory beside them; each part costs a walk over all.
_AT_A_TIME, _MOST_PARTS = 65_536, 8


class WholeList:
    """The keys that have come, by what stands for each. `portions` are in the store."""

    def __init__(self) -> None:
        self._keys = array("q")
        self._noted = 0
        self.portions = 0

    def take(self, keys: Iterable[str]) -> None:
        """Take in the keys of a page."""
        self._keys.extend(fingerprint(in_bytes(key)) for key in keys)

    def take_noted(self, portion: bytes) -> None:
        """Take in what an interrupted read has noted."""
        self._keys.frombytes(portion)
        self._noted, self.portions = len(self._keys), self.portions + 1

    def not_noted(self) -> bytes:
        """What has come since this was asked for last."""
        since, self._noted = self._noted, len(self._keys)
        return self._keys[since:].tobytes()

    def distinct(self) -> int:
        """How many different keys have come."""
        parts = min(1 + len(self._keys) // _AT_A_TIME, _MOST_PARTS)
        return sum(len({key for key in self._keys if key % parts == part}) for part in range(parts))


def in_bytes(key: str) -> bytes:
    """A key as it is hashed, whatever characters it has."""
    return key.encode("utf-8", "surrogatepass")


async def note(connection: AsyncConnection, stream_id: int, whole_list: WholeList) -> None:
    """Note the keys that have come since the last time. The first time, what a former read has left goes."""
    if not whole_list.portions:
        await forget(connection, stream_id)
    if portion := whole_list.not_noted():
        add = "INSERT INTO sis_fingerprint (stream_id, portion, prints, row_ids) VALUES (:s, :n, :keys, :none)"
        values = {"s": -stream_id, "n": whole_list.portions, "keys": portion, "none": b""}
        await connection.execute(text(add), values)
        whole_list.portions += 1


async def noted(connection: AsyncConnection, stream_id: int) -> WholeList | None:
    """What an interrupted read has noted, if it did."""
    query = text("SELECT prints FROM sis_fingerprint WHERE stream_id = :s ORDER BY portion")
    found = WholeList()
    for portion in (await connection.execute(query, {"s": -stream_id})).scalars():
        found.take_noted(portion)
    return found if found.portions else None


async def forget(connection: AsyncConnection, stream_id: int) -> None:
    """The read is over, or begins anew."""
    await connection.execute(text("DELETE FROM sis_fingerprint WHERE stream_id = :s"), {"s": -stream_id})
