"""Staging: what the source rows say, kept row by row, so that the next read recognises what has not changed.

One `Staging` lives for one pull. Pages go in with `take`; what they change is written in batches, each one transaction that
checks the lease. Nothing here touches the roster.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.clock import Clock
from sis_connect.errors import SISError
from sis_connect.provider import DONE, InvalidRow, Page, Stream
from sis_connect.records import Record, on_request
from sis_connect.roster.fetch import StreamRead, Verdict, judge
from sis_connect.roster.fingerprints import Fingerprints, every, fingerprint, seed_of
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store, chunks, run_many, write_many

#: How many parsed rows, or finished streams, are written in one transaction.
#: Large, since rows come in no order of their keys and each transaction touches most pages of an index.
BATCH = 16_000
CHECKPOINT_SECONDS = 2.0
#: An interrupted read may go on for this long; after that the stream is read again.
RESUMABLE_SECONDS = 600.0
#: Above this size a stream's rows are found by walking the table, below by the index.
_LARGE = 20_000
#: Above this size a stream's fingerprints are kept together; smaller ones are as quickly read from the rows.
_WORTH_KEEPING = 2_000
_END = (
    "UPDATE sis_stream SET state = ?, rows = ?, fingerprints = ?, row_ids = ?, complete_at = COALESCE(?, complete_at), "
    "cursor_at = ?, progress = ?, cursor = NULL, seen = NULL WHERE id = ?"
)
_STAGED = (
    "id",
    "integration_id", "stream_id", "key", "part", "kind", "sis_id", "fingerprint", "raw_hash", "document", "updated_at",
)  # fmt: skip
_UPSERT = (
    "(stream_id, key, part) DO UPDATE SET kind = excluded.kind, sis_id = excluded.sis_id, fingerprint = excluded.fingerprint, "
    "raw_hash = excluded.raw_hash, document = excluded.document, updated_at = excluded.updated_at, "
    "missing_pulls = 0, missing_since = NULL"
)


@dataclass(slots=True)
class Written:
    """A record as it is staged."""

    kind: str
    sis_id: str
    document: str
    updated_at: str | None = None
    identifiers: tuple[tuple[str, str], ...] = ()


class GroundMoved(Exception):  # noqa: N818 - a turn of events, not an error: the caller reads from the start
    """An interrupted read cannot go on, since its last page is another one now."""


#: Stands for a source row that feeds no record, so that it is recognised next time.
_NOTHING = Written("", "", "")


@dataclass(slots=True)
class _Parsed:
    """A source row that is new or changed."""

    key: str
    fingerprint: int
    raw_hash: int
    records: Sequence[Written]
    fault: InvalidRow | None = None


@dataclass(slots=True)
class _OpenStream:
    """A stream that is being read. `id` is 0 until it has a row of its own.

    `first` says that it never proved complete: then all its rows become candidates at its end, which is quicker than one by one.
    `added` counts keys that were not staged before, `bad` holds those that cannot be read, `unstaged` those that never could.
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
    page: Sequence[bytes] = ()
    kept: bool = False
    parsed: list[_Parsed] = field(default_factory=list)


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


class Staging:
    """The staged snapshot of one integration during one pull. `rows` counts what came, `newly_bad` new quarantined rows."""

    def __init__(
        self,
        store: Store,
        *,
        integration_id: int,
        operation_id: str,
        lease: Lease,
        clock: Clock,
        capabilities: Capabilities,
        asked: dict[Kind, frozenset[str]],
        full: bool = False,
    ) -> None:
        self._store, self._lease, self._clock = store, lease, clock
        self._integration, self._operation = integration_id, operation_id
        self._capabilities, self._full = capabilities, full
        self._left_out = {kind: {"sis_id", "derived", "updated_at", *(on_request(kind) - asked[kind])} for kind in KINDS}
        self._open: dict[Stream, _OpenStream] = {}
        self._ended: list[_OpenStream] = []
        self._resumed: dict[Stream, str] = {}
        self._pending = 0
        self._checkpoint_at = clock.monotonic()
        self.results: list[StreamResult] = []
        self.rows: Counter[Kind] = Counter()

    # -- an interrupted pull -------------------------------------------------------------------------------------------

    async def resume(self) -> dict[Stream, str]:
        """Where an interrupted pull may go on. Streams that it had read to their end count as read."""
        query = text("SELECT * FROM sis_stream WHERE integration_id = :i AND cursor_at IS NOT NULL")
        async with self._store.read() as connection:
            rows = (await connection.execute(query, {"i": self._integration})).all()
        now = self._clock.now()
        for row in rows:
            if not 0 <= (now - datetime.fromisoformat(row.cursor_at)).total_seconds() < RESUMABLE_SECONDS:
                continue
            if row.state == "complete":
                self._resumed[row.endpoint, row.context] = DONE
                verdict = Verdict(True, "it was read to its end before the interruption")
                kinds = tuple(json.loads(row.progress)["kinds"])
                self.results.append(StreamResult(row.id, row.endpoint, row.context, kinds, row.school, verdict, row.rows))
            elif row.cursor:
                self._resumed[row.endpoint, row.context] = row.cursor
        return dict(self._resumed)

    async def finish(self) -> None:
        """The pull is over: write the rest, judge what never ended, and let the next pull start anew."""
        for stream in self._open.values():
            self._ended.append(stream)
        self._open.clear()
        await self.flush()
        forget = (
            "UPDATE sis_stream SET cursor_at = NULL, cursor = NULL, seen = NULL "
            "WHERE integration_id = :i AND cursor_at IS NOT NULL"
        )
        async with self._store.write() as connection:
            await check_fence(connection, self._lease)
            await connection.execute(text(forget), {"i": self._integration})

    async def count_records(self) -> dict[str, int]:
        """Distinct valid records of this pull, by kind."""
        streams = sorted({result.stream_id for result in self.results})
        counts: dict[str, int] = {}
        async with self._store.read() as connection:
            every_stream = text("SELECT COUNT(*) FROM sis_stream WHERE integration_id = :i")
            whole = (await connection.execute(every_stream, {"i": self._integration})).scalar_one() == len(streams)
            if whole:
                query = text(
                    "SELECT kind, COUNT(DISTINCT sis_id) - (SELECT COUNT(DISTINCT m.sis_id) FROM sis_staged m "
                    "WHERE m.integration_id = :i AND m.missing_pulls > 0 AND m.kind = sis_staged.kind) AS number "
                    "FROM sis_staged WHERE integration_id = :i GROUP BY kind"
                )
                return {row.kind: row.number for row in await connection.execute(query, {"i": self._integration})}
            for some in chunks(streams):
                rows = await connection.exec_driver_sql(
                    "SELECT kind, COUNT(DISTINCT sis_id) AS number FROM sis_staged WHERE missing_pulls = 0 "
                    f"AND stream_id IN ({', '.join('?' * len(some))}) GROUP BY kind",
                    tuple(some),
                )
                for row in rows:
                    counts[row.kind] = counts.get(row.kind, 0) + row.number
        return counts

    # -- reading -------------------------------------------------------------------------------------------------------

    async def take(self, page: Page) -> None:
        """Take in one page. A row that breaks the contract waits in quarantine."""
        if page.stream in self._resumed and self._resumed[page.stream] == DONE:
            return  # read again only because other streams hang from its rows
        stream = self._open.get(page.stream)
        if stream is None:
            stream = self._open[page.stream] = await self._begin(page)
        if stream.resume_page is not None:
            if stream.resume_page != _page_hash(page.rows):
                raise GroundMoved
            stream.resume_page = None
        stream.read.observe(page)
        for kind in page.kinds:
            self.rows[kind] += page.received
        seed = seed_of(page.mapping_version)
        for row, print_ in every(page.rows, seed) if self._full else stream.known.sift(page.rows, seed):
            stream.parsed.append(self._parse(page, bytes(row), print_))
            self._pending += 1
        stream.page = page.rows
        stream.cursor = page.cursor or stream.cursor
        if not page.more:
            self._ended.append(self._open.pop(page.stream))
        late = self._clock.monotonic() - self._checkpoint_at > CHECKPOINT_SECONDS
        if self._pending >= BATCH or len(self._ended) >= BATCH or late:
            await self.flush()

    def _parse(self, page: Page, row: bytes, print_: int) -> _Parsed:
        raw_hash = fingerprint(row)
        try:
            reading = page.read(row)
        except InvalidRow as fault:
            return _Parsed(fault.key or f"?{raw_hash}", print_, raw_hash, (), fault)
        return _Parsed(reading.key, print_, raw_hash, [self._written(record) for record in reading.records] or [_NOTHING])

    def _written(self, record: Record) -> Written:
        kind = record.kind
        written = record.__pydantic_serializer__.to_json(record, exclude_unset=True, exclude=self._left_out[kind])
        document = written.decode()
        updated_at = record.updated_at.isoformat() if record.updated_at else None
        names = self._capabilities.of(kind).reference_ids
        if not names:
            return Written(kind, record.sis_id, document, updated_at)
        pairs = tuple(
            (name, value)
            for name in names
            if name in record.ids
            for value in ([record.ids[name]] if isinstance(record.ids[name], str) else record.ids[name])
        )
        return Written(kind, record.sis_id, document, updated_at, pairs)  # type: ignore[arg-type]

    async def _begin(self, page: Page) -> _OpenStream:
        read = StreamRead(page.endpoint, page.context)
        query = text(
            "SELECT s.*, EXISTS (SELECT 1 FROM sis_staged m WHERE m.integration_id = :i AND m.missing_pulls > 0 "
            "AND m.stream_id = s.id) AS has_missing, EXISTS (SELECT 1 FROM sis_quarantine q WHERE q.integration_id = :i "
            "AND q.stream_id = s.id) AS has_waiting FROM sis_stream s "
            "WHERE integration_id = :i AND endpoint = :e AND context = :c"
        )
        values = {"i": self._integration, "e": page.endpoint, "c": page.context}
        async with self._store.read() as connection:
            row = (await connection.execute(query, values)).one_or_none()
            if row is None:
                return _OpenStream(0, read, Fingerprints(), page.kinds, page.school)
            kept = row.fingerprints is not None and row.state == "complete"
            known = Fingerprints.load(row.fingerprints, row.row_ids) if kept else await collect(connection, row.id, row.rows)
            stream = _OpenStream(row.id, read, known, page.kinds, page.school, fresh=len(known) == 0, kept=kept)
            stream.first = row.complete_at is None
            values = {"i": self._integration, "s": row.id}
            if row.has_missing:
                missing = "SELECT id FROM sis_staged WHERE integration_id = :i AND missing_pulls > 0 AND stream_id = :s"
                stream.missing = set((await connection.execute(text(missing), values)).scalars())
            if row.has_waiting:
                waiting = "SELECT key FROM sis_quarantine WHERE integration_id = :i AND stream_id = :s"
                stream.waiting = set((await connection.execute(text(waiting), values)).scalars())
        if page.stream in self._resumed:
            _restore(stream, row)
        return stream

    # -- writing -------------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write what has gathered, in one transaction."""
        streams = [*self._ended, *self._open.values()]
        if streams:
            async with self._store.write() as connection:
                await check_fence(connection, self._lease)
                for stream in streams:
                    await self._create(connection, stream)
                    await self._write_rows(connection, stream)
                ends = [await self._end(connection, stream) for stream in self._ended]
                await run_many(connection, _END, ends)
                await self._checkpoint(connection)
        self._ended.clear()
        self._pending = 0
        self._checkpoint_at = self._clock.monotonic()

    async def _create(self, connection: AsyncConnection, stream: _OpenStream) -> None:
        if stream.id == 0:
            create = (
                "INSERT INTO sis_stream (integration_id, endpoint, context, school, state) "
                "VALUES (:i, :e, :c, :s, 'reading') RETURNING id"
            )
            values = {"i": self._integration, "e": stream.read.endpoint, "c": stream.read.context, "s": stream.school}
            stream.id = int((await connection.execute(text(create), values)).scalar_one())

    async def _write_rows(self, connection: AsyncConnection, stream: _OpenStream) -> None:
        if not stream.parsed:
            return
        good = {row.key: row for row in stream.parsed if row.fault is None}
        bad = {row.key: row for row in stream.parsed if row.fault is not None and row.key not in good}
        stream.parsed = []
        stream.dirty = True
        if stream.fresh:
            await self._insert(connection, stream, good.values())
        else:
            await self._compare(connection, stream, good)
        await self._quarantine(connection, stream, bad)
        healed = [(self._integration, stream.id, key) for key in good if key in stream.waiting or key in stream.bad]
        stream.bad.difference_update(good)
        stream.unstaged.difference_update(good)
        await run_many(connection, "DELETE FROM sis_quarantine WHERE integration_id = ? AND stream_id = ? AND key = ?", healed)

    async def _insert(self, connection: AsyncConnection, stream: _OpenStream, rows: Collection[_Parsed]) -> None:
        last = int((await connection.execute(text("SELECT COALESCE(MAX(id), 0) FROM sis_staged"))).scalar_one())
        integration, stream_id = self._integration, stream.id
        # Ids follow the source's order, by which rows are recognised; inserting in order of keys is what the index likes.
        numbered = enumerate(((row, part, record) for row in rows for part, record in enumerate(row.records)), start=last + 1)
        staged = [
            (
                number, integration, stream_id, row.key, part, record.kind, record.sis_id, row.fingerprint, row.raw_hash,
                record.document, record.updated_at,
            )
            for number, (row, part, record) in numbered
        ]  # fmt: skip
        staged.sort(key=itemgetter(3, 4))
        await write_many(connection, "sis_staged", _STAGED, staged, conflict=_UPSERT)
        if not stream.first:
            await self._nominate(connection, {(record[5], record[6]): "changed" for record in staged})
        await self._identify(connection, [record for row in rows for record in row.records if record.identifiers])

    async def _identify(self, connection: AsyncConnection, records: Sequence[Written]) -> None:
        rows = [
            (self._integration, record.kind, name, value, record.sis_id)
            for record in records
            for name, value in record.identifiers
        ]
        columns = ("integration_id", "kind", "name", "value", "sis_id")
        conflict = "(integration_id, kind, name, value) DO UPDATE SET sis_id = excluded.sis_id"
        await write_many(connection, "sis_identifier", columns, rows, conflict=conflict)

    async def _nominate(self, connection: AsyncConnection, records: dict[tuple[str, str], str]) -> None:
        rows = [(self._integration, kind, sis_id, why) for (kind, sis_id), why in records.items() if kind]
        columns = ("integration_id", "kind", "sis_id", "why")
        await write_many(connection, "sis_candidate", columns, rows, conflict="(integration_id, kind, sis_id) DO NOTHING")

    async def _compare(self, connection: AsyncConnection, stream: _OpenStream, rows: dict[str, _Parsed]) -> None:
        """Rows of a stream that was read before: only what says something else becomes a candidate."""
        before = await self._staged(connection, stream, list(rows))
        updates: list[tuple[Any, ...]] = []
        added: list[_Parsed] = []
        candidates: dict[tuple[str, str], str] = {}
        for key, row in rows.items():
            old = before.get(key, [])
            if not old:
                added.append(row)
                continue
            stream.known.mark(old[0].id)
            why = "remapped" if old[0].raw_hash == row.raw_hash else "changed"
            records = [*row.records, *[_NOTHING] * (len(old) - len(row.records))]
            for part, record in zip(old, records, strict=False):
                updates.append(
                    (record.kind, record.sis_id, row.fingerprint, row.raw_hash, record.document, record.updated_at, part.id)
                )
                if (part.kind, part.sis_id, part.document) != (record.kind, record.sis_id, record.document) or part.missing_pulls:
                    candidates[part.kind, part.sis_id] = candidates[record.kind, record.sis_id] = why
            if len(records) > len(old):
                added.append(_Parsed(key, row.fingerprint, row.raw_hash, records))
                stream.added -= 1
        await run_many(
            connection,
            "UPDATE sis_staged SET kind = ?, sis_id = ?, fingerprint = ?, raw_hash = ?, document = ?, updated_at = ?, "
            "missing_pulls = 0, missing_since = NULL WHERE id = ?",
            updates,
        )
        stream.added += len(added)
        await self._nominate(connection, candidates)
        await self._insert(connection, stream, added)
        await self._identify(connection, [record for row in rows.values() for record in row.records])

    async def _staged(self, connection: AsyncConnection, stream: _OpenStream, keys: list[str]) -> dict[str, list[Row[Any]]]:
        found: dict[str, list[Row[Any]]] = defaultdict(list)
        for some in chunks(keys):
            marks = ", ".join("?" * len(some))
            result = await connection.exec_driver_sql(
                "SELECT id, key, kind, sis_id, raw_hash, document, missing_pulls FROM sis_staged "
                f"WHERE stream_id = ? AND key IN ({marks}) ORDER BY key, part",
                (stream.id, *some),
            )
            for row in result:
                found[row.key].append(row)
        return found

    async def _quarantine(self, connection: AsyncConnection, stream: _OpenStream, rows: dict[str, _Parsed]) -> None:
        """Keep the place of rows that cannot be read: what was staged of them stays, and does not count as missing."""
        if not rows:
            return
        staged = await self._staged(connection, stream, list(rows))
        for parts in staged.values():
            stream.known.mark(parts[0].id)
        stream.bad.update(rows)
        stream.unstaged.update(rows.keys() - staged.keys())
        now = self._clock.now().isoformat()
        waiting = [
            (
                self._integration, stream.id, key, stream.kinds[0], json.dumps(list(row.fault.fields)), row.fault.message, now,
                self._operation,
            )
            for key, row in rows.items()
            if row.fault is not None
        ]  # fmt: skip
        columns = ("integration_id", "stream_id", "key", "kind", "fields", "reason", "since", "operation_id")
        conflict = "(integration_id, stream_id, kind, key) DO UPDATE SET fields = excluded.fields, reason = excluded.reason"
        await write_many(connection, "sis_quarantine", columns, waiting, conflict=conflict)

    async def _end(self, connection: AsyncConnection, stream: _OpenStream) -> tuple[Any, ...]:
        """Judge a stream that has been read, and note what is missing from it. Returns the stream's new row."""
        if stream.fresh:
            count = text("SELECT COUNT(*) FROM sis_staged WHERE stream_id = :s AND part = 0")
            stream.added = int((await connection.execute(count, {"s": stream.id})).scalar_one())
        stream.read.distinct = stream.known.seen_count() + stream.added + len(stream.unstaged)
        verdict = judge(stream.read)
        if stream.first:
            nominate = (
                "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'changed' "
                "FROM sis_staged WHERE stream_id = :s AND kind <> '' ORDER BY kind, sis_id "
                "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
            )
            await connection.execute(text(nominate), {"s": stream.id})
        await self._welcome_back(connection, stream)
        prints: tuple[bytes, bytes] | tuple[None, None] = (None, None)
        if verdict.complete:
            await self._miss(connection, stream)
            gone = [(self._integration, stream.id, key) for key in stream.waiting - stream.bad]
            await run_many(connection, "DELETE FROM sis_quarantine WHERE integration_id = ? AND stream_id = ? AND key = ?", gone)
            size = len(stream.known) + stream.added
            if size > _WORTH_KEEPING:
                known = await collect(connection, stream.id, size) if stream.dirty else stream.known
                prints = known.dump()
        self.results.append(
            StreamResult(
                stream.id, stream.read.endpoint, stream.read.context, stream.kinds, stream.school, verdict, stream.read.distinct,
                stream.read.error,
            )
        )  # fmt: skip
        now = self._clock.now().isoformat()
        return (
            "complete" if verdict.complete else "incomplete",
            stream.read.distinct,
            *prints,
            now if verdict.complete else None,
            now if verdict.complete else None,
            json.dumps({"kinds": stream.kinds}),
            stream.id,
        )

    async def _welcome_back(self, connection: AsyncConnection, stream: _OpenStream) -> None:
        back = [(row_id,) for row_id in stream.missing if stream.known.was_seen(row_id)]
        await run_many(
            connection,
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'changed' "
            "FROM sis_staged WHERE id = ? AND kind <> '' ON CONFLICT (integration_id, kind, sis_id) DO NOTHING",
            back,
        )
        await run_many(connection, "UPDATE sis_staged SET missing_pulls = 0, missing_since = NULL WHERE id = ?", back)

    async def _miss(self, connection: AsyncConnection, stream: _OpenStream) -> None:
        """Note which rows a complete read did not bring. What follows from that, the plan decides."""
        rows = [(row_id,) for row_id in stream.known.unseen()]
        same = "(stream_id, key) IN (SELECT stream_id, key FROM sis_staged WHERE id = ?)"
        now = self._clock.now().isoformat()
        await run_many(
            connection,
            f"UPDATE sis_staged SET missing_pulls = missing_pulls + 1, missing_since = COALESCE(missing_since, ?) WHERE {same}",
            [(now, *row) for row in rows],
        )
        await run_many(
            connection,
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'absent' "
            f"FROM sis_staged WHERE {same} AND kind <> '' ON CONFLICT (integration_id, kind, sis_id) DO NOTHING",
            rows,
        )

    async def _checkpoint(self, connection: AsyncConnection) -> None:
        """Let an interrupted read go on from here."""
        now = self._clock.now().isoformat()
        rows = [
            (
                stream.cursor,
                now if stream.cursor else None,
                zlib.compress(stream.known.seen, 1),
                json.dumps(
                    {
                        "received": stream.read.received, "totals": sorted(stream.read.totals), "page_rows": len(stream.page),
                        "page_hash": _page_hash(stream.page), "pointed_on": stream.read.pointed_on, "bad": sorted(stream.bad),
                    }
                ),
                stream.id,
            )
            for stream in self._open.values()
        ]  # fmt: skip
        update = "UPDATE sis_stream SET state = 'reading', cursor = ?, cursor_at = ?, seen = ?, progress = ? WHERE id = ?"
        await run_many(connection, update, rows)


def _restore(stream: _OpenStream, row: Row[Any]) -> None:
    saved = json.loads(row.progress)
    stream.known = stream.known.resumed(zlib.decompress(row.seen))
    stream.resume_page = saved["page_hash"]
    stream.read.received = saved["received"] - saved["page_rows"]
    stream.read.totals = set(saved["totals"])
    stream.read.pointed_on = saved["pointed_on"]
    stream.bad = set(saved["bad"])
    stream.unstaged = set(stream.bad)
    stream.fresh = False


def _page_hash(rows: Sequence[bytes]) -> int:
    return fingerprint(b"\n".join(bytes(row) for row in rows))


async def collect(connection: AsyncConnection, stream_id: int, size: int) -> Fingerprints:
    """The rows of a stream as they are staged, in the order in which they first came."""
    if size <= _LARGE:
        query = text("SELECT id, fingerprint FROM sis_staged WHERE stream_id = :s AND part = 0 ORDER BY id")
        return Fingerprints.collect(tuple(row) for row in await connection.execute(query, {"s": stream_id}))
    # The plus sign keeps the database from using the stream's index, which would sort all rows for each portion.
    portion = text(
        "SELECT id, fingerprint FROM sis_staged WHERE id > :after AND +stream_id = :s AND part = 0 ORDER BY id LIMIT 20000"
    )
    pairs: list[tuple[int, int]] = []
    known = Fingerprints.collect(())
    after = 0
    while rows := (await connection.execute(portion, {"after": after, "s": stream_id})).all():
        pairs = [(row.id, row.fingerprint) for row in rows]
        known.extend(pairs)
        after = pairs[-1][0]
    return known
