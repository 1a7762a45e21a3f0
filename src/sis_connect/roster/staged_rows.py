"""Staged rows in the database: inserting, comparing, quarantining, and noting what is missing.

Every method runs in the caller's transaction.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.clock import Clock
from sis_connect.roster.changes import Listed, Standing, corrected
from sis_connect.roster.fetch import Verdict, judge
from sis_connect.roster.fingerprints import Fingerprints
from sis_connect.roster.snapshot import NOTHING, OpenStream, Parsed, StreamResult, Written
from sis_connect.store.sql import chunks, run_many, write_many
from sis_connect.store.tables import mappings

#: Above this size a stream's rows are found by walking the table, below by the index.
_LARGE = 20_000
#: Above this size a stream's fingerprints are kept together, in the source's order; smaller ones are quickly read from its rows.
_WORTH_KEEPING = 2_000
END = (
    "UPDATE sis_stream SET state = ?, rows = ?, complete_at = COALESCE(?, complete_at), cursor_at = ?, progress = ?, mark = ?, "
    "full_at = ?, mapping_version = ?, cursor = NULL, seen = NULL WHERE id = ?"
)
_STAGED = (
    "id", "integration_id", "stream_id", "key", "part", "kind", "sis_id", "fingerprint", "raw_hash", "document", "updated_at",
    "whole",
)  # fmt: skip
#: All records of the source row that a staged row belongs to.
_SAME_ROW = (
    "id IN (SELECT part.id FROM sis_staged row JOIN sis_staged part ON part.stream_id = row.stream_id AND part.key = row.key "
    "WHERE row.id = ?)"
)
_UPSERT = (
    "(stream_id, key, part) DO UPDATE SET kind = excluded.kind, sis_id = excluded.sis_id, fingerprint = excluded.fingerprint, "
    "raw_hash = excluded.raw_hash, document = excluded.document, updated_at = excluded.updated_at, whole = excluded.whole, "
    "missing_pulls = 0, missing_since = NULL"
)


class StagedRows:
    """The staged rows of one integration."""

    def __init__(self, integration_id: int, operation_id: str, clock: Clock) -> None:
        self._integration, self._operation, self._clock = integration_id, operation_id, clock

    async def write(self, connection: AsyncConnection, stream: OpenStream) -> None:
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
        healed = [key for key in good if key in stream.waiting or key in stream.bad]
        stream.bad.difference_update(good)
        stream.unstaged.difference_update(good)
        await self._release(connection, stream, healed)

    async def _release(self, connection: AsyncConnection, stream: OpenStream, keys: Collection[str]) -> None:
        """Let rows out of quarantine."""
        if keys:
            release = (
                "DELETE FROM sis_quarantine WHERE integration_id = ? AND stream_id = ? "
                "AND key IN (SELECT value FROM json_each(?))"
            )
            await connection.exec_driver_sql(release, (self._integration, stream.id, json.dumps(list(keys))))

    async def _healed(self, connection: AsyncConnection, stream: OpenStream, *, complete: bool) -> Collection[str]:
        """The rows that waited and can be read, or came no more. One that is as it was before is recognised, not parsed."""
        waited = stream.waiting - stream.bad
        if complete or not waited:
            return waited
        staged = await self._staged(connection, stream, sorted(waited))
        return [key for key, parts in staged.items() if stream.known.was_seen(parts[0].id)]

    async def _insert(
        self, connection: AsyncConnection, stream: OpenStream, rows: Collection[Parsed], *, known: bool = False
    ) -> None:
        """Add rows. `known` says that they were staged before, with fewer records."""
        # Rows that lie in order of their keys are found with few reads of the disk, which tells where there are many.
        laid_out = sorted(rows, key=attrgetter("key")) if len(rows) > _WORTH_KEEPING else rows
        number = int((await connection.execute(text("SELECT COALESCE(MAX(id), 0) FROM sis_staged"))).scalar_one())
        ids: dict[str, int] = {}
        staged: list[tuple[Any, ...]] = []
        for row in laid_out:
            ids[row.key] = number + 1
            for part, record in enumerate(row.records):
                number += 1
                staged.append(
                    (
                        number, self._integration, stream.id, row.key, part, record.kind, record.sis_id, row.fingerprint,
                        row.raw_hash, record.document, record.updated_at, int(record.whole),
                    )
                )  # fmt: skip
        await write_many(connection, "sis_staged", _STAGED, staged, conflict=_UPSERT)
        for row in () if known else rows:
            stream.known.add(ids[row.key], row.fingerprint)
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
        # A change that still waits stays one, also where the row is now read differently.
        conflict = "(integration_id, kind, sis_id) DO UPDATE SET why = excluded.why WHERE sis_candidate.why <> 'changed'"
        await write_many(connection, "sis_candidate", columns, rows, conflict=conflict)

    async def _compare(self, connection: AsyncConnection, stream: OpenStream, rows: dict[str, Parsed]) -> None:
        """Rows of a stream that was read before: only what says something else becomes a candidate."""
        before = await self._staged(connection, stream, list(rows))
        updates: list[tuple[Any, ...]] = []
        added: list[Parsed] = []
        widened: list[Parsed] = []
        candidates: dict[tuple[str, str], str] = {}
        for key, row in rows.items():
            old = before.get(key, [])
            if not old:
                added.append(row)
                continue
            stream.known.mark(old[0].id, None if row.fingerprint == old[0].fingerprint else row.fingerprint)
            why = "remapped" if old[0].raw_hash == row.raw_hash else "changed"
            records = [*row.records, *[NOTHING] * (len(old) - len(row.records))]
            for part, record in zip(old, records, strict=False):
                if (part.kind, part.sis_id, part.document) != (record.kind, record.sis_id, record.document) or part.missing_pulls:
                    candidates[part.kind, part.sis_id] = candidates[record.kind, record.sis_id] = why
                elif part.fingerprint == row.fingerprint:
                    continue  # a list of changes may bring what is known
                updates.append(
                    (
                        record.kind, record.sis_id, row.fingerprint, row.raw_hash, record.document, record.updated_at,
                        int(record.whole), part.id,
                    )
                )  # fmt: skip
            if len(records) > len(old):
                widened.append(Parsed(key, row.fingerprint, row.raw_hash, records))
        await run_many(
            connection,
            "UPDATE sis_staged SET kind = ?, sis_id = ?, fingerprint = ?, raw_hash = ?, document = ?, updated_at = ?, whole = ?, "
            "missing_pulls = 0, missing_since = NULL WHERE id = ?",
            updates,
        )
        stream.added += len(added)
        stream.new += sum(row.key not in stream.waiting for row in added)
        await self._nominate(connection, candidates)
        await self._insert(connection, stream, added)
        await self._insert(connection, stream, widened, known=True)
        await self._identify(connection, [record for row in rows.values() for record in row.records])

    async def _staged(self, connection: AsyncConnection, stream: OpenStream, keys: list[str]) -> dict[str, list[Row[Any]]]:
        found: dict[str, list[Row[Any]]] = defaultdict(list)
        for some in chunks(keys):
            marks = ", ".join("?" * len(some))
            result = await connection.exec_driver_sql(
                "SELECT id, key, kind, sis_id, fingerprint, raw_hash, document, missing_pulls FROM sis_staged "
                f"WHERE stream_id = ? AND key IN ({marks}) ORDER BY key, part",
                (stream.id, *some),
            )
            for row in result:
                found[row.key].append(row)
        return found

    async def _quarantine(self, connection: AsyncConnection, stream: OpenStream, rows: dict[str, Parsed]) -> None:
        """Keep the place of rows that cannot be read: what was staged of them stays, and does not count as missing."""
        if not rows:
            return
        staged = await self._staged(connection, stream, list(rows))
        for parts in staged.values():
            stream.known.mark(parts[0].id)
        stream.bad.update(rows)
        stream.unstaged.update(rows.keys() - staged.keys())
        stream.nameless.update(key for key, row in rows.items() if row.fault is not None and row.fault.key is None)
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

    async def end(self, connection: AsyncConnection, stream: OpenStream) -> tuple[StreamResult, tuple[Any, ...]]:
        """Judge a stream that has been read, and note what is missing from it. Returns the stream's new row with the result."""
        if isinstance(stream.known, Listed):
            return await self._end_changes(connection, stream, stream.known)
        if stream.fresh:
            count = text("SELECT COUNT(*) FROM sis_staged WHERE stream_id = :s AND part = 0")
            stream.added = int((await connection.execute(count, {"s": stream.id})).scalar_one())
        stream.read.distinct = stream.known.seen_count() + stream.added + len(stream.unstaged)
        if stream.nameless and stream.known.seen_count() < len(stream.known):
            stream.read.nameless = len(stream.nameless)
        verdict = judge(stream.read)
        if stream.first:
            nominate = (
                "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'changed' "
                "FROM sis_staged WHERE stream_id = :s AND kind <> '' ORDER BY kind, sis_id "
                "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
            )
            await connection.execute(text(nominate), {"s": stream.id})
        await self._welcome_back(connection, stream)
        if verdict.complete:
            await self._miss(connection, stream)
        await self._release(connection, stream, await self._healed(connection, stream, complete=verdict.complete))
        await self._keep(connection, stream, complete=verdict.complete)
        standing = stream.standing
        if verdict.complete:
            standing = standing.after_all(stream.mark, mapping_version=stream.mapping_version, resumed=stream.resumed)
        return self._ended(stream, verdict, stream.read.distinct, standing)

    async def _end_changes(
        self, connection: AsyncConnection, stream: OpenStream, listed: Listed
    ) -> tuple[StreamResult, tuple[Any, ...]]:
        """Judge a list of changes. The rows that it did not bring are as they were, and nobody is missing."""
        stream.read.distinct = listed.seen_count() + len(stream.unstaged)
        stream.read.nameless = len(stream.nameless - stream.waiting)
        verdict = judge(stream.read)
        back = sum(listed.was_seen(row_id) for row_id in stream.missing)
        await self._welcome_back(connection, stream)
        if stream.kept:
            await self._correct(connection, stream, listed, complete=verdict.complete)
        rows = stream.rows + stream.new + back + len(stream.unstaged - stream.waiting)
        standing = stream.standing
        if verdict.complete:
            standing = standing.after_changes(stream.mark, resumed=stream.resumed)
        return self._ended(stream, verdict, rows, standing)

    def _ended(self, stream: OpenStream, verdict: Verdict, rows: int, standing: Standing) -> tuple[StreamResult, tuple[Any, ...]]:
        result = StreamResult(
            stream.id, stream.read.endpoint, stream.read.context, stream.kinds, stream.school, verdict, rows, stream.read.error,
            stream.changes_only, stream.partial, stream.began,
        )  # fmt: skip
        now = self._clock.now().isoformat() if verdict.complete else None
        state = "complete" if verdict.complete else "incomplete"
        told = {"kinds": stream.feeds, "changes_only": stream.changes_only, "partial": stream.partial, "began": stream.began}
        progress = json.dumps(told)
        complete_at = None if stream.changes_only else now
        return result, (
            state, rows, complete_at, now, progress, standing.mark, standing.full_at, standing.mapping_version, stream.id,
        )  # fmt: skip

    async def _correct(self, connection: AsyncConnection, stream: OpenStream, listed: Listed, *, complete: bool) -> None:
        """Note beside the kept fingerprints what a list of changes has brought. Those that may be wrong are kept no longer."""
        if stream.stale or (stream.dirty and not complete):
            await connection.execute(text("DELETE FROM sis_fingerprint WHERE stream_id = :s"), {"s": stream.id})
        elif stream.dirty:
            prints, row_ids = listed.corrections()
            note = (
                "INSERT INTO sis_fingerprint (stream_id, portion, prints, row_ids) "
                "SELECT :s, MIN(portion, 0) - 1, :prints, :row_ids FROM "
                "(SELECT MIN(portion) AS portion FROM sis_fingerprint WHERE stream_id = :s)"
            )
            if prints:
                await connection.execute(text(note), {"s": stream.id, "prints": prints, "row_ids": row_ids})

    async def _keep(self, connection: AsyncConnection, stream: OpenStream, *, complete: bool) -> None:
        """Keep the fingerprints of a long stream for its next read. What did not prove complete proves nothing then, either."""
        if complete and stream.kept and not stream.dirty:
            return
        if stream.kept:
            await connection.execute(text("DELETE FROM sis_fingerprint WHERE stream_id = :s"), {"s": stream.id})
        size = len(stream.known) + stream.added
        if not complete or size <= _WORTH_KEEPING:
            return
        # A row that came twice may have been added twice, or have said two things; then only the table knows what there is.
        whole = stream.known.exact and stream.known.added_count == stream.added
        known = stream.known if whole else await collect(connection, stream.id, size)
        columns = ("stream_id", "portion", "prints", "row_ids")
        for number, portion in enumerate(known.portions()):
            await write_many(connection, "sis_fingerprint", columns, [(stream.id, number, *portion)])

    async def _welcome_back(self, connection: AsyncConnection, stream: OpenStream) -> None:
        back = [(row_id,) for row_id in stream.missing if stream.known.was_seen(row_id)]
        await run_many(
            connection,
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'changed' "
            f"FROM sis_staged WHERE {_SAME_ROW} AND kind <> '' ON CONFLICT (integration_id, kind, sis_id) DO NOTHING",
            back,
        )
        await run_many(connection, f"UPDATE sis_staged SET missing_pulls = 0, missing_since = NULL WHERE {_SAME_ROW}", back)

    async def _miss(self, connection: AsyncConnection, stream: OpenStream) -> None:
        """Note which rows a complete read did not bring. What follows from that, the plan decides."""
        rows = [(row_id,) for row_id in stream.known.unseen()]
        now = self._clock.now().isoformat()
        await run_many(
            connection,
            "UPDATE sis_staged SET missing_pulls = missing_pulls + 1, missing_since = COALESCE(missing_since, ?) "
            f"WHERE {_SAME_ROW}",
            [(now, *row) for row in rows],
        )
        await run_many(
            connection,
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'absent' "
            f"FROM sis_staged WHERE {_SAME_ROW} AND kind <> '' ON CONFLICT (integration_id, kind, sis_id) DO NOTHING",
            rows,
        )


async def count_as_whole(connection: AsyncConnection, integration_id: int, results: Sequence[StreamResult], plan: int) -> None:
    """After a plan was applied, let the streams that it was made on count as read whole: their changes will do for a while.

    One does not, and is read whole again, from which somebody is missing about whom the plan has not decided: perhaps the kind
    was not asked for, or another list was incomplete. What a guard holds is decided.
    """
    proved = {result.stream_id: result.began for result in results if result.proves_absence}
    for kind, mapping in mappings.items():
        undecided = text(
            "SELECT DISTINCT s.stream_id FROM sis_staged s CROSS JOIN sis_candidate c ON c.integration_id = :i AND c.kind = :k "
            f"AND c.sis_id = s.sis_id CROSS JOIN {mapping.name} m ON m.integration_id = :i AND m.sis_id = s.sis_id "
            "AND m.status NOT IN ('inactive', 'deleted') WHERE s.integration_id = :i AND +s.kind = :k AND s.missing_pulls > 0 "
            "AND NOT EXISTS (SELECT 1 FROM sis_plan_row p WHERE p.plan = :p AND p.kind = :k AND p.sis_id = s.sis_id "
            "AND p.state = 'held')"
        )
        for stream_id in (await connection.execute(undecided, {"i": integration_id, "k": kind, "p": plan})).scalars():
            proved.pop(stream_id, None)
    counts = [(began, stream_id) for stream_id, began in proved.items()]
    await run_many(connection, "UPDATE sis_stream SET full_at = ? WHERE id = ?", counts)


async def remembered(connection: AsyncConnection, stream: Row[Any]) -> tuple[Fingerprints, bool]:
    """The rows of a stream as its last read left them, or an interrupted one since; and whether their order was kept."""
    # Of a first read that was interrupted, nobody has counted the rows.
    size = stream.rows if stream.complete_at else _LARGE + 1
    if not stream.has_portions:
        return await collect(connection, stream.id, size), False
    known = Fingerprints()
    query = text("SELECT prints, row_ids FROM sis_fingerprint WHERE stream_id = :s AND portion = :n")
    number = 0
    while (portion := (await connection.execute(query, {"s": stream.id, "n": number})).one_or_none()) is not None:
        known.take(portion.prints, portion.row_ids)
        number += 1
    later = text("SELECT prints, row_ids FROM sis_fingerprint WHERE stream_id = :s AND portion < 0 ORDER BY portion DESC")
    corrected(known, [(row.prints, row.row_ids) for row in await connection.execute(later, {"s": stream.id})])
    if stream.state != "complete":
        async for rows in _staged_rows(connection, stream.id, size):
            known.correct(rows)
    return known, True


async def count_rows(connection: AsyncConnection, integration_id: int, stream_id: int) -> int:
    """How many rows a stream has: those that are staged and not missing, and those that wait and never were."""
    query = text(
        "SELECT (SELECT COUNT(*) FROM sis_staged WHERE stream_id = :s AND part = 0 AND missing_pulls = 0) + "
        "(SELECT COUNT(*) FROM sis_quarantine q WHERE q.integration_id = :i AND q.stream_id = :s "
        "AND NOT EXISTS (SELECT 1 FROM sis_staged m WHERE m.stream_id = q.stream_id AND m.key = q.key))"
    )
    return int((await connection.execute(query, {"i": integration_id, "s": stream_id})).scalar_one())


async def collect(connection: AsyncConnection, stream_id: int, size: int) -> Fingerprints:
    """The rows of a stream as they are staged, in order of their ids."""
    known = Fingerprints()
    async for rows in _staged_rows(connection, stream_id, size):
        known.extend(rows)
    return known


async def _staged_rows(connection: AsyncConnection, stream_id: int, size: int) -> AsyncIterator[list[tuple[int, int]]]:
    """Ids and fingerprints of a stream's rows, portion by portion where there are many."""
    if size <= _LARGE:
        query = text("SELECT id, fingerprint FROM sis_staged WHERE stream_id = :s AND part = 0 ORDER BY id")
        yield [(row.id, row.fingerprint) for row in await connection.execute(query, {"s": stream_id})]
        return
    # The plus sign keeps the database from using the stream's index, which would sort all rows for each portion.
    portion = text(
        "SELECT id, fingerprint FROM sis_staged WHERE id > :after AND +stream_id = :s AND part = 0 ORDER BY id LIMIT 20000"
    )
    after = 0
    while rows := (await connection.execute(portion, {"after": after, "s": stream_id})).all():
        yield [(row.id, row.fingerprint) for row in rows]
        after = rows[-1].id
