"""Staging: what the source rows say, kept row by row, so that the next read recognises what has not changed.

One `Staging` lives for one pull. Pages go in with `take`; what they change is written in batches, each one transaction that
checks the lease. Nothing here touches the roster.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.clock import Clock
from sis_connect.provider import DONE, InvalidRow, Page, Stream
from sis_connect.records import Record, on_request
from sis_connect.roster.fetch import StreamRead, Verdict
from sis_connect.roster.fingerprints import Fingerprints, every, fingerprint, seed_of
from sis_connect.roster.overlap import latest_word
from sis_connect.roster.snapshot import NOTHING, OpenStream, Parsed, StreamResult, Written, checkpoint_of, page_hash, restore
from sis_connect.roster.staged_rows import END, StagedRows, remembered
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store, run_many

#: How many parsed rows, or finished streams, are written in one transaction.
#: Large, since rows come in no order of their keys and each transaction touches most pages of an index.
BATCH = 32_000
CHECKPOINT_SECONDS = 2.0
#: An interrupted read may go on for this long; after that the stream is read again.
RESUMABLE_SECONDS = 600.0


#: Rows that cannot be read. One expression, since the database looks up one quickly, and two together slowly.
_BAD = "(SELECT stream_id || ' ' || key FROM sis_quarantine WHERE integration_id = :i AND stream_id <> 0)"
#: Records that did not come, or came in a row that cannot be read, and in no other row: few, so that counting stays quick.
_NOT_READ = (
    "WITH doubtful AS MATERIALIZED (SELECT kind, sis_id FROM sis_staged WHERE integration_id = :i AND missing_pulls > 0 UNION "
    "SELECT s.kind, s.sis_id FROM sis_quarantine q CROSS JOIN sis_staged s ON s.stream_id = q.stream_id AND s.key = q.key "
    "WHERE q.integration_id = :i), "
    "good AS (SELECT DISTINCT d.kind, d.sis_id FROM doubtful d CROSS JOIN sis_staged g ON g.integration_id = :i "
    "AND g.kind = d.kind AND g.sis_id = d.sis_id "
    f"WHERE g.missing_pulls = 0 AND g.stream_id || ' ' || g.key NOT IN {_BAD}) "
    "SELECT kind, COUNT(*) AS n FROM (SELECT kind, sis_id FROM doubtful EXCEPT SELECT kind, sis_id FROM good) GROUP BY kind"
)
#: Records that came from some streams, in a row that can be read.
_READ = (
    "SELECT s.kind, COUNT(DISTINCT s.sis_id) AS n FROM json_each(:streams) j CROSS JOIN sis_staged s ON s.stream_id = j.value "
    f"WHERE s.missing_pulls = 0 AND s.stream_id || ' ' || s.key NOT IN {_BAD} GROUP BY s.kind"
)


class GroundMoved(Exception):  # noqa: N818 - a turn of events, not an error: the caller reads from the start
    """An interrupted read cannot go on, since its last page is another one now."""


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
        self._integration = integration_id
        self._rows = StagedRows(integration_id, operation_id, clock)
        self._capabilities, self._full = capabilities, full
        self._left_out = {kind: {"sis_id", "derived", "updated_at", *(on_request(kind) - asked[kind])} for kind in KINDS}
        self._open: dict[Stream, OpenStream] = {}
        self._ended: list[OpenStream] = []
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
            await latest_word(connection, self._integration, self.results)
            await connection.execute(text(forget), {"i": self._integration})

    async def count_records(self) -> dict[str, int]:
        """Distinct valid records of this pull, by kind."""
        streams = sorted({result.stream_id for result in self.results})
        counts: dict[str, int] = {}
        async with self._store.read() as connection:
            every_stream = text("SELECT COUNT(*) FROM sis_stream WHERE integration_id = :i")
            whole = (await connection.execute(every_stream, {"i": self._integration})).scalar_one() == len(streams)
            if whole:
                # The first runs along the index, so that nothing is sorted or gathered, whatever the size of the district.
                distinct = "SELECT DISTINCT kind, sis_id FROM sis_staged WHERE integration_id = :i"
                for query, sign in ((f"SELECT kind, COUNT(*) AS n FROM ({distinct}) GROUP BY kind", 1), (_NOT_READ, -1)):
                    for row in await connection.execute(text(query), {"i": self._integration}):
                        counts[row.kind] = counts.get(row.kind, 0) + sign * row.n
                return counts
            rows = await connection.execute(text(_READ), {"i": self._integration, "streams": json.dumps(streams)})
            return {row.kind: row.n for row in rows}

    # -- reading -------------------------------------------------------------------------------------------------------

    async def take(self, page: Page) -> None:
        """Take in one page. A row that breaks the contract waits in quarantine."""
        if page.stream in self._resumed and self._resumed[page.stream] == DONE:
            return  # read again only because other streams hang from its rows
        stream = self._open.get(page.stream)
        if stream is None:
            stream = self._open[page.stream] = await self._begin(page)
        if stream.resume_page is not None:
            if stream.resume_page != page_hash(page.rows):
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

    def _parse(self, page: Page, row: bytes, print_: int) -> Parsed:
        raw_hash = fingerprint(row)
        try:
            reading = page.read(row)
        except InvalidRow as fault:
            return Parsed(fault.key or f"?{raw_hash}", print_, raw_hash, (), fault)
        return Parsed(reading.key, print_, raw_hash, [self._written(record) for record in reading.records] or [NOTHING])

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

    async def _begin(self, page: Page) -> OpenStream:
        read = StreamRead(page.endpoint, page.context)
        query = text(
            "SELECT s.*, EXISTS (SELECT 1 FROM sis_staged m WHERE m.integration_id = :i AND m.missing_pulls > 0 "
            "AND m.stream_id = s.id) AS has_missing, EXISTS (SELECT 1 FROM sis_quarantine q WHERE q.integration_id = :i "
            "AND q.stream_id = s.id) AS has_waiting, EXISTS (SELECT 1 FROM sis_fingerprint f WHERE f.stream_id = s.id) "
            "AS has_portions FROM sis_stream s "
            "WHERE integration_id = :i AND endpoint = :e AND context = :c"
        )
        values = {"i": self._integration, "e": page.endpoint, "c": page.context}
        async with self._store.read() as connection:
            row = (await connection.execute(query, values)).one_or_none()
            if row is None:
                return OpenStream(0, read, Fingerprints(), page.kinds, page.school)
            known, kept = await remembered(connection, row)
            stream = OpenStream(row.id, read, known, page.kinds, page.school, fresh=len(known) == 0, kept=kept)
            stream.dirty = row.state != "complete"  # an interrupted read may have added what was not kept
            stream.first = row.complete_at is None
            values = {"i": self._integration, "s": row.id}
            if row.has_missing:
                missing = (
                    "SELECT id FROM sis_staged WHERE integration_id = :i AND missing_pulls > 0 AND stream_id = :s AND part = 0"
                )
                stream.missing = set((await connection.execute(text(missing), values)).scalars())
            if row.has_waiting:
                waiting = "SELECT key FROM sis_quarantine WHERE integration_id = :i AND stream_id = :s"
                stream.waiting = set((await connection.execute(text(waiting), values)).scalars())
        if page.stream in self._resumed:
            restore(stream, row)
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
                    await self._rows.write(connection, stream)
                await self._end(connection)
                await self._checkpoint(connection)
        self._ended.clear()
        self._pending = 0
        self._checkpoint_at = self._clock.monotonic()

    async def _create(self, connection: AsyncConnection, stream: OpenStream) -> None:
        if stream.id == 0:
            create = (
                "INSERT INTO sis_stream (integration_id, endpoint, context, school, state) "
                "VALUES (:i, :e, :c, :s, 'reading') RETURNING id"
            )
            values = {"i": self._integration, "e": stream.read.endpoint, "c": stream.read.context, "s": stream.school}
            stream.id = int((await connection.execute(text(create), values)).scalar_one())

    async def _end(self, connection: AsyncConnection) -> None:
        ends = []
        for stream in self._ended:
            result, values = await self._rows.end(connection, stream)
            self.results.append(result)
            ends.append(values)
        await run_many(connection, END, ends)

    async def _checkpoint(self, connection: AsyncConnection) -> None:
        """Let an interrupted read go on from here."""
        now = self._clock.now().isoformat()
        update = "UPDATE sis_stream SET state = 'reading', cursor = ?, cursor_at = ?, seen = ?, progress = ? WHERE id = ?"
        await run_many(connection, update, [checkpoint_of(stream, now) for stream in self._open.values()])
