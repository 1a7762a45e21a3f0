"""Staging: what the source rows say, kept row by row, so that the next read recognises what has not changed.

One `Staging` lives for one pull. Pages go in with `take`; what they change is written in batches, each one transaction that
checks the lease. Nothing here touches the roster.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.clock import Clock
from sis_connect.custom_fields import CustomField
from sis_connect.hosting.containment import understood
from sis_connect.hosting.faults import passes
from sis_connect.provider import DONE, InvalidRow, Page, Stream
from sis_connect.records import Record, is_whole, on_request
from sis_connect.roster.changes import Listed, Standing, full_due, is_fresh
from sis_connect.roster.fetch import StreamRead, Verdict
from sis_connect.roster.fingerprints import Fingerprints, every, fingerprint, seed_of
from sis_connect.roster.overlap import latest_word
from sis_connect.roster.snapshot import NOTHING, OpenStream, Parsed, StreamResult, Written, checkpoint_of, page_hash, restore
from sis_connect.roster.staged_rows import END, StagedRows, count_rows, remembered
from sis_connect.roster.whole_list import forget, note, noted
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
#: Records that did not come, came in parts only, or in a row that cannot be read: few, so that counting stays quick.
_NOT_READ = (
    "WITH doubtful AS MATERIALIZED (SELECT kind, sis_id FROM sis_staged WHERE integration_id = :i AND missing_pulls > 0 UNION "
    "SELECT kind, sis_id FROM sis_staged WHERE integration_id = :i AND whole = 0 UNION "
    "SELECT s.kind, s.sis_id FROM sis_quarantine q CROSS JOIN sis_staged s ON s.stream_id = q.stream_id AND s.key = q.key "
    "WHERE q.integration_id = :i), "
    "good AS (SELECT DISTINCT d.kind, d.sis_id FROM doubtful d CROSS JOIN sis_staged g ON g.integration_id = :i "
    "AND g.kind = d.kind AND g.sis_id = d.sis_id "
    f"WHERE g.whole = 1 AND g.missing_pulls = 0 AND g.stream_id || ' ' || g.key NOT IN {_BAD}) "
    "SELECT kind, COUNT(*) AS n FROM (SELECT kind, sis_id FROM doubtful EXCEPT SELECT kind, sis_id FROM good) GROUP BY kind"
)
#: Records that came from some streams, in a row that can be read.
_READ = (
    "SELECT s.kind, COUNT(DISTINCT s.sis_id) AS n FROM json_each(:streams) j CROSS JOIN sis_staged s ON s.stream_id = j.value "
    f"WHERE s.whole = 1 AND s.missing_pulls = 0 AND s.stream_id || ' ' || s.key NOT IN {_BAD} GROUP BY s.kind"
)


class GroundMoved(Exception):  # noqa: N818 - a turn of events, not an error: the caller reads from the start
    """An interrupted read cannot go on, since its last page is another one now."""


class MarksUseless(GroundMoved):
    """Rows that are not listed would have to be read differently by now, so that changes alone will not do."""


class Staging:
    """The staged snapshot of one integration during one pull. `rows` counts what came."""

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
        kinds: Collection[Kind] = KINDS,
        full: bool = False,
        custom: Collection[CustomField] = (),
    ) -> None:
        self._store, self._lease, self._clock = store, lease, clock
        self._integration = integration_id
        self._rows = StagedRows(integration_id, operation_id, clock)
        self._capabilities, self._full, self._kinds, self._custom = capabilities, full, frozenset(kinds), custom
        self._offered = frozenset(capabilities.offered())
        self._left_out = {kind: {"sis_id", "derived", "updated_at", *(on_request(kind) - asked[kind])} for kind in KINDS}
        self._open: dict[Stream, OpenStream] = {}
        self._ended: list[OpenStream] = []
        self._resumed: dict[Stream, str] = {}
        self._since: dict[Stream, str] = {}
        self._began = clock.now().isoformat()
        #: When everything is to be read again, of the streams that were asked for changes only.
        self.full_due: datetime | None = None
        self._pending = 0
        self._checkpoint_at = clock.monotonic()
        self.results: list[StreamResult] = []
        self.rows: Counter[Kind] = Counter()

    # -- an interrupted pull -------------------------------------------------------------------------------------------

    async def start(self, *, resume: bool, full_every: float) -> tuple[Mapping[Stream, str], Mapping[Stream, str]]:
        """Where an interrupted pull may go on, if it may, and since when changes will do, by stream.

        Streams that the interrupted pull had read to their end count as read; the others go on in the way in which they were
        read, or begin anew.
        """
        query = text("SELECT * FROM sis_stream WHERE integration_id = :i AND (cursor_at IS NOT NULL OR mark IS NOT NULL)")
        async with self._store.read() as connection:
            rows = (await connection.execute(query, {"i": self._integration})).all()
        now = self._clock.now()
        for row in rows:
            stream, progress = (row.endpoint, row.context), json.loads(row.progress or "{}")
            changes = row.mark is not None and self._tells_changes(row.full_at, progress, full_every, now)
            if resume and row.cursor_at is not None and _age(row.cursor_at, now) < RESUMABLE_SECONDS:
                if row.state == "complete":
                    self._count_as_read(row, progress)
                    changes = False
                elif row.cursor and (changes or not progress.get("changes_only")):
                    self._resumed[stream] = row.cursor
                    changes = progress.get("changes_only", False)
            if changes:
                self._since[stream] = row.mark
                self.full_due = min(self.full_due or datetime.max.replace(tzinfo=UTC), full_due(row.full_at, full_every))
        return dict(self._resumed), dict(self._since)

    def _tells_changes(self, full_at: str | None, progress: Mapping[str, Any], full_every: float, now: datetime) -> bool:
        """Whether changes of a stream will do: it was read whole not long ago, and all that it feeds can be listed by changes."""
        kinds = progress.get("kinds", ())
        able = bool(kinds) and all(self._capabilities.of(kind).delta != "none" for kind in kinds)
        return able and full_at is not None and is_fresh(full_at, full_every, now)

    def _count_as_read(self, row: Row[Any], progress: Mapping[str, Any]) -> None:
        self._resumed[row.endpoint, row.context] = DONE
        verdict = Verdict(True, "it was read to its end before the interruption")
        kinds = tuple(kind for kind in progress["kinds"] if kind in self._kinds)
        self.results.append(
            StreamResult(
                row.id, row.endpoint, row.context, kinds, row.school, verdict, row.rows, None,
                progress.get("changes_only", False), progress.get("partial", False), progress.get("began", self._began),
            )
        )  # fmt: skip

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
            await latest_word(connection, self._integration, self.results, self._clock.now())
            await connection.execute(text(forget), {"i": self._integration})

    @property
    def seen_whole(self) -> frozenset[Kind]:
        """The kinds all of whose lists came, and came to a proved end. What is not proposed of others may still be called for."""
        came = {kind for result in self.results for kind in result.kinds}
        return frozenset(came - {kind for result in self.results if not result.proves_absence for kind in result.kinds})

    async def count_records(self) -> dict[str, int]:
        """Distinct valid records of this pull, by kind. Of a list that broke off, as many as came."""
        broken = {result.stream_id: result for result in self.results if result.error is not None and not result.changes_only}
        streams = sorted({result.stream_id for result in self.results} - broken.keys())
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
            for some in (streams, *([stream_id] for stream_id in broken)):
                came = broken[some[0]].distinct if some and some[0] in broken else inf
                for row in await connection.execute(text(_READ), {"i": self._integration, "streams": json.dumps(some)}):
                    counts[row.kind] = counts.get(row.kind, 0) + int(min(row.n, came))
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
            if stream.resume_page != page_hash(page):
                raise GroundMoved
            stream.resume_page = None
        stream.read.observe(page)
        for kind in page.kinds:
            self.rows[kind] += page.received
        seed = seed_of(page.mapping_version)
        for row, print_ in every(page.rows, seed) if self._full else stream.known.sift(page.rows, seed):
            stream.parsed.append(self._parse(page, bytes(row), print_))
            self._pending += 1
        stream.page = page
        stream.cursor = page.cursor or stream.cursor
        if not page.more:
            stream.mark = page.mark
            self._ended.append(self._open.pop(page.stream))
        late = self._clock.monotonic() - self._checkpoint_at > CHECKPOINT_SECONDS
        if self._pending >= BATCH or len(self._ended) >= BATCH or late:
            await self.flush()

    def _parse(self, page: Page, row: bytes, print_: int) -> Parsed:
        raw_hash = fingerprint(row)
        try:
            reading = understood(page, row, self._offered, self._custom)
            written = [self._written(record) for record in reading.records]
        except InvalidRow as fault:
            return Parsed(fault.key or f"?{raw_hash}", print_, raw_hash, (), fault)
        except BaseException as error:  # a record that was put together past its model; the words may be its data
            if passes(error):
                raise
            wrong = InvalidRow(f"the plugin fills its fields with what does not belong there ({type(error).__name__})", key=None)
            return Parsed(reading.key, print_, raw_hash, (), wrong)
        return Parsed(reading.key, print_, raw_hash, written or [NOTHING])

    def _written(self, record: Record) -> Written:
        kind = record.kind
        written = record.__pydantic_serializer__.to_json(
            record, exclude_unset=True, exclude=self._left_out[kind], warnings="error"
        )
        document = written.decode()
        updated_at = record.updated_at.isoformat() if record.updated_at else None
        whole, names = is_whole(record), self._capabilities.of(kind).reference_ids
        if not names:
            return Written(kind, record.sis_id, document, updated_at, whole=whole)
        pairs = tuple(
            (name, value)
            for name in names
            if name in record.ids
            for value in ([record.ids[name]] if isinstance(record.ids[name], str) else record.ids[name])
        )
        return Written(kind, record.sis_id, document, updated_at, pairs, whole)  # type: ignore[arg-type]

    async def _begin(self, page: Page) -> OpenStream:
        stream = OpenStream(0, StreamRead(page.endpoint, page.context), Fingerprints(), page.kinds, page.school)
        # A read that broke off before its first page says nothing of itself: it is what was asked for.
        stream.changes_only = page.changes_only or (page.error is not None and page.stream in self._since)
        stream.partial, stream.mapping_version, stream.began = page.partial, page.mapping_version, self._began
        query = text(
            "SELECT s.*, EXISTS (SELECT 1 FROM sis_staged m WHERE m.integration_id = :i AND m.missing_pulls > 0 "
            "AND m.stream_id = s.id) AS has_missing, EXISTS (SELECT 1 FROM sis_quarantine q WHERE q.integration_id = :i "
            "AND q.stream_id = s.id) AS has_waiting, EXISTS (SELECT 1 FROM sis_fingerprint f WHERE f.stream_id = s.id) "
            "AS has_portions, EXISTS (SELECT 1 FROM sis_fingerprint f WHERE f.stream_id = s.id AND f.portion < 0) AS has_later "
            "FROM sis_stream s "
            "WHERE integration_id = :i AND endpoint = :e AND context = :c"
        )
        values = {"i": self._integration, "e": page.endpoint, "c": page.context}
        async with self._store.read() as connection:
            row = (await connection.execute(query, values)).one_or_none()
            stream.feeds = self._feeds(page, row)
            if row is not None:
                stream.id = row.id
                stream.standing = Standing(mark=row.mark, full_at=row.full_at, mapping_version=row.mapping_version)
            if stream.changes_only:
                await self._begin_changes(connection, stream, row)
            elif row is not None:
                stream.known, stream.kept = await remembered(connection, row)
                stream.fresh, stream.first = len(stream.known) == 0, row.complete_at is None
                # An interrupted read may have added what was not kept, and what lists of changes brought is kept apart.
                stream.dirty = row.state != "complete" or row.has_later
            if row is None:
                return stream
            if page.stream in self._resumed:
                stream.read.whole_list = await noted(connection, row.id)
            values = {"i": self._integration, "s": row.id}
            if row.has_missing:
                missing = (
                    "SELECT id FROM sis_staged WHERE integration_id = :i AND missing_pulls > 0 AND stream_id = :s AND part = 0"
                )
                stream.missing = set((await connection.execute(text(missing), values)).scalars())
            if row.has_waiting:
                waiting = "SELECT key FROM sis_quarantine WHERE integration_id = :i AND stream_id = :s"
                stream.waiting = set((await connection.execute(text(waiting), values)).scalars())
        if page.stream in self._resumed and not restore(stream, row):
            raise GroundMoved
        return stream

    def _feeds(self, page: Page, row: Row[Any] | None) -> tuple[Kind, ...]:
        """All the kinds that come from a stream: those of its page, and what earlier reads asked for that this one does not."""
        before = json.loads(row.progress or "{}").get("kinds", ()) if row is not None else ()
        return tuple(kind for kind in KINDS if kind in page.kinds or (kind in before and kind not in self._kinds))

    async def _begin_changes(self, connection: AsyncConnection, stream: OpenStream, row: Row[Any] | None) -> None:
        """Take in a list of changes without a look at what else is staged of its stream, however much that is."""
        stream.known, stream.fresh, stream.first = Listed(), False, False
        if row is None:
            return
        before = json.loads(row.progress or "{}").get("kinds", ())
        if (row.endpoint, row.context) in self._since and (
            row.mapping_version != stream.mapping_version or not set(stream.kinds).issubset(before)
        ):
            raise MarksUseless
        stream.kept, stream.stale = bool(row.has_portions), row.state != "complete"
        # What an interrupted read has added, nobody has counted.
        stream.rows = await count_rows(connection, self._integration, row.id) if stream.stale else row.rows

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
            if stream.read.whole_list is not None:
                await forget(connection, stream.id)
        await run_many(connection, END, ends)

    async def _checkpoint(self, connection: AsyncConnection) -> None:
        """Let an interrupted read go on from here."""
        now = self._clock.now().isoformat()
        update = "UPDATE sis_stream SET state = 'reading', cursor = ?, cursor_at = ?, seen = ?, progress = ? WHERE id = ?"
        await run_many(connection, update, [checkpoint_of(stream, now) for stream in self._open.values()])
        for stream in self._open.values():
            if stream.read.whole_list is not None:
                await note(connection, stream.id, stream.read.whole_list)


def _age(moment: str, now: datetime) -> float:
    """How many seconds ago that was. What lies in the future, since a clock was corrected, was long ago."""
    seconds = (now - datetime.fromisoformat(moment)).total_seconds()
    return seconds if seconds >= 0 else inf
