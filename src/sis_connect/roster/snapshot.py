"""What a read holds in memory: the streams that are open, and the source rows that are new or changed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from sis_connect.capabilities import Kind
from sis_connect.errors import SISError
from sis_connect.provider import InvalidRow
from sis_connect.roster.fetch import StreamRead, Verdict
from sis_connect.roster.fingerprints import Fingerprints, fingerprint


@dataclass(slots=True)
class Written:
    """A record as it is staged."""

    kind: str
    sis_id: str
    document: str = field(repr=False)
    updated_at: str | None = None
    identifiers: tuple[tuple[str, str], ...] = ()


#: Stands for a source row that feeds no record, so that it is recognised next time.
NOTHING = Written("", "", "")


@dataclass(slots=True)
class Parsed:
    """A source row that is new or changed."""

    key: str
    fingerprint: int
    raw_hash: int
    records: Sequence[Written]
    fault: InvalidRow | None = None


@dataclass(slots=True)
class OpenStream:
    """A stream that is being read. `id` is 0 until it has a row of its own.

    `first` says that it never proved complete: then all its rows become candidates at its end, which is quicker than one by one.
    `added` counts keys that were not staged before, `bad` holds those that cannot be read, `unstaged` those that never could, and
    `nameless` stands for rows without a key. `kept` says that fingerprints of the last read are in the store, `dirty` that they
    are no longer right.
    """

    id: int
    read: StreamRead
    known: Fingerprints
    kinds: tuple[Kind, ...]
    school: str | None
    fresh: bool = True
    first: bool = True
    missing: set[int] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    resume_page: int | None = None
    cursor: str | None = None
    dirty: bool = False
    added: int = 0
    bad: set[str] = field(default_factory=set)
    unstaged: set[str] = field(default_factory=set)
    nameless: set[str] = field(default_factory=set)
    page: Sequence[bytes] = field(default=(), repr=False)
    kept: bool = False
    parsed: list[Parsed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StreamResult:
    """How one stream's read ended."""

    stream_id: int
    endpoint: str
    context: str
    kinds: tuple[Kind, ...]
    school: str | None
    verdict: Verdict
    distinct: int
    error: SISError | None = None


def page_hash(rows: Sequence[bytes]) -> int:
    """What stands for a page, to see after an interruption whether the ground has moved."""
    return fingerprint(b"\n".join(bytes(row) for row in rows))


def checkpoint_of(stream: OpenStream, now: str) -> tuple[Any, ...]:
    """What lets an interrupted read go on from here, as the columns of `sis_stream`."""
    progress = {
        "received": stream.read.received,
        "totals": sorted(stream.read.totals),
        "page_rows": len(stream.page),
        "page_hash": page_hash(stream.page),
        "pointed_on": stream.read.pointed_on,
        "bad": sorted(stream.bad),
        "unstaged": sorted(stream.unstaged),
        "nameless": sorted(stream.nameless),
    }
    seen = zlib.compress(stream.known.seen, 1)
    return stream.cursor, now if stream.cursor else None, seen, json.dumps(progress), stream.id


def restore(stream: OpenStream, row: Row[Any]) -> None:
    """Go on where `checkpoint_of` left off."""
    saved = json.loads(row.progress)
    stream.known = stream.known.resumed(zlib.decompress(row.seen))
    stream.resume_page = saved["page_hash"]
    stream.read.received = saved["received"] - saved["page_rows"]
    stream.read.totals = set(saved["totals"])
    stream.read.pointed_on = saved["pointed_on"]
    stream.bad = set(saved["bad"])
    stream.unstaged = set(saved["unstaged"])
    stream.nameless = set(saved["nameless"])
    stream.fresh = False
