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
from sis_connect.provider import InvalidRow, Page
from sis_connect.roster.changes import Standing
from sis_connect.roster.fetch import StreamRead, Verdict
from sis_connect.roster.fingerprints import Fingerprints, fingerprint
from sis_connect.roster.whole_list import in_bytes


@dataclass(slots=True)
class Written:
    """A record as it is staged. It is not `whole` where the source row only completes what others bring."""

    kind: str
    sis_id: str
    document: str = field(repr=False)
    updated_at: str | None = None
    identifiers: tuple[tuple[str, str], ...] = ()
    whole: bool = True


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

    Where only changes are read, `rows` is how many rows the stream had before, `new` counts keys that it did not have. `stale`
    says that an earlier read was interrupted: nobody knows what the kept fingerprints leave out. `standing` is what was known of
    the stream before, `began` when this read began, and `mark` where the next one's changes begin. `feeds` are all the kinds that
    come from it, `kinds` those that this read asked for.
    """

    id: int
    read: StreamRead
    known: Fingerprints
    kinds: tuple[Kind, ...]
    school: str | None
    feeds: tuple[Kind, ...] = ()
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
    page: Page | None = field(default=None, repr=False)
    kept: bool = False
    parsed: list[Parsed] = field(default_factory=list)
    changes_only: bool = False
    partial: bool = False
    resumed: bool = False
    stale: bool = False
    rows: int = 0
    new: int = 0
    standing: Standing = field(default_factory=Standing)
    mapping_version: str = ""
    began: str = ""
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class StreamResult:
    """How one stream's read ended. `distinct` is how many rows it has, also where only changes were read; `began` is when."""

    stream_id: int
    endpoint: str
    context: str
    kinds: tuple[Kind, ...]
    school: str | None
    verdict: Verdict
    distinct: int
    error: SISError | None = None
    changes_only: bool = False
    partial: bool = False
    began: str = ""

    @property
    def proves_absence(self) -> bool:
        """Whether what did not come is missing: everything was asked for, and it came to a proved end (promise P1)."""
        return self.verdict.complete and not self.changes_only


def page_hash(page: Page | None) -> int:
    """What stands for a page, to see after an interruption whether the ground has moved."""
    rows, keys = (page.rows, page.all_keys or ()) if page is not None else ((), ())
    return fingerprint(b"\n".join([*map(bytes, rows), *map(in_bytes, keys)]))


def checkpoint_of(stream: OpenStream, now: str) -> tuple[Any, ...]:
    """What lets an interrupted read go on from here, as the columns of `sis_stream`."""
    progress = {
        "kinds": stream.feeds,
        "changes_only": stream.changes_only,
        "mapping_version": stream.mapping_version,
        "began": stream.began,
        "received": stream.read.received,
        "totals": sorted(stream.read.totals),
        "page_rows": stream.page.received if stream.page is not None else 0,
        "page_hash": page_hash(stream.page),
        "pointed_on": stream.read.pointed_on,
        "ways": sorted(stream.read.ways),
        "bad": sorted(stream.bad),
        "unstaged": sorted(stream.unstaged),
        "nameless": sorted(stream.nameless),
    }
    seen = zlib.compress(stream.known.seen, 1)
    return stream.cursor, now if stream.cursor else None, seen, json.dumps(progress), stream.id


def restore(stream: OpenStream, row: Row[Any]) -> bool:
    """Go on where `checkpoint_of` left off. False where rows were read in another way then."""
    saved = json.loads(row.progress)
    now_and_then = (stream.changes_only, saved.get("changes_only")), (stream.mapping_version, saved.get("mapping_version"))
    if any(now != then for now, then in now_and_then):
        return False
    stream.resumed, stream.began = True, saved["began"]
    stream.known = stream.known.resumed(zlib.decompress(row.seen))
    stream.resume_page = saved["page_hash"]
    stream.read.received = saved["received"] - saved["page_rows"]
    stream.read.totals = set(saved["totals"])
    stream.read.pointed_on = saved["pointed_on"]
    stream.read.ways = set(saved["ways"])
    stream.bad = set(saved["bad"])
    stream.unstaged = set(saved["unstaged"])
    stream.nameless = set(saved["nameless"])
    stream.fresh = False
    return True
