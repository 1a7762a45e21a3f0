"""Undo: what an operation has written is taken back, by a plan of its own that the guards judge like any other.

Who was created is withdrawn, a field gets back its former value, who was withdrawn or re-enrolled gets back the former status. It
is our write, not the SIS's word: the next sync neither repeats what was undone nor undoes it, and takes what the SIS says new.
A record that somebody has changed since in one of these fields is left as it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConflictError
from sis_connect.roster.answers import Answered
from sis_connect.roster.cases import Case, load
from sis_connect.roster.chronicle import TOLD, changes_of
from sis_connect.roster.documents import Unasked, flatten
from sis_connect.roster.merge import Decision, decision_to_write
from sis_connect.roster.plan import Planner
from sis_connect.roster.report import SyncReport
from sis_connect.roster.sync import Proposal, Synchroniser
from sis_connect.roster.taking_back import begin_undo, plan_undo
from sis_connect.store.lease import check_fence
from sis_connect.store.outbox import kept

#: How many changes are looked at together: what is in memory at once.
BATCH = 2000
REASON = "undone"
#: What can be undone, and what undoing it comes to.
INVERSE: Mapping[str, str] = {"create": "withdraw", "update": "update", "withdraw": "reenroll", "reenroll": "withdraw"}


class Change(NamedTuple):
    """One thing that an operation did, and when: the fields it wrote, before and after."""

    id: int
    sis_id: str
    action: str
    at: datetime
    fields: Mapping[str, tuple[Any, Any]]

    def __repr__(self) -> str:
        return f"<Change {self.id}: {self.action}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """Which operation is to be undone, and what of it: without `kinds` or `actions`, all. `started_at` is UTC."""

    operation: str
    started_at: datetime
    kinds: Collection[Kind] = KINDS
    actions: Collection[str] = tuple(INVERSE)


@dataclass(slots=True)
class LeftOut:
    """Records that an undo leaves as they are, by kind and what it would have done: those changed since, and those pinned."""

    skipped: dict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    changed: int = 0
    pinned: int = 0

    def as_proposal(self) -> Proposal:
        """What the report says of them."""
        told = [
            ("changed_since", self.changed, "record has changed since, and is", "records have changed since, and are"),
            ("pinned", self.pinned, "record is pinned, and is", "records are pinned, and are"),
        ]
        warnings = [
            {"warning": name, "message": f"{number} {one if number == 1 else many} not undone.", "count": number}
            for name, number, one, many in told
            if number
        ]
        return Proposal(skipped=self.skipped, warnings=warnings)


async def undo(run: Synchroniser, undone: Undone, *, actor: str, preview: bool = False) -> SyncReport:
    """Take back what an operation wrote. With `preview`, only plan it: the report names the plan, which can be applied.

    Raises `ConflictError` where what it wrote is not kept any more.
    """
    async with run.store.read() as connection:
        await _demand_kept(connection, undone)

    async def propose(planner: Planner) -> Proposal:
        left = LeftOut()
        for kind in (kind for kind in KINDS if kind in undone.kinds):
            await _propose_kind(planner, kind, undone, left)
        async with run.store.write() as connection:
            await check_fence(connection, planner.lease)
            detail = {"operation": undone.operation, "kinds": list(undone.kinds), "actions": list(undone.actions)}
            await plan_undo(connection, planner.plan, detail)
            if not preview:
                by = Answered(integration=run.integration, actor=actor, at=run.clock.now())
                await begin_undo(connection, planner.plan, by)
        return left.as_proposal()

    return await run.carry_out("plan" if preview else "undo", actor, propose, only_plan=preview)


async def _demand_kept(connection: AsyncConnection, undone: Undone) -> None:
    known = await kept(connection)
    if known.expired_at and undone.started_at <= datetime.fromisoformat(known.expired_at):
        raise ConflictError(
            "What this operation has changed is not kept any more, so it cannot be undone.",
            remedy="Correct the records in the SIS, or in the app.",
            retryable=False,
        )


async def _propose_kind(planner: Planner, kind: Kind, undone: Undone, left: LeftOut) -> None:
    after = 0
    while True:
        async with planner.store.read() as connection:
            changes = await _changes(connection, undone, kind, after, planner.unasked.get(kind, Unasked()))
            if not changes:
                return
            ids = [change.sis_id for change in changes]
            cases = await load(connection, planner.target, planner.integration_id, kind, ids, planner.today)
        decided: dict[str, tuple[Case, Decision]] = {}
        for change in changes:
            decision = inverse(cases[change.sis_id], change, undone.operation)
            if decision is None:
                left.skipped[kind][INVERSE[change.action]] += 1
                left.changed += 1
            elif decision.action != "unchanged":
                decided[change.sis_id] = cases[change.sis_id], decision
        for sis_id in await planner.put(kind, list(decided.values())):
            left.skipped[kind][decided[sis_id][1].action] += 1
            left.pinned += 1
        after = changes[-1].id


async def _changes(connection: AsyncConnection, undone: Undone, kind: Kind, after: int, unasked: Unasked) -> Sequence[Change]:
    actions = ", ".join(f"'{action}'" for action in INVERSE if action in undone.actions)
    if not actions:
        return ()
    query = text(
        f"SELECT {TOLD} WHERE e.operation_id = :o AND e.kind = :k AND e.id > :after AND e.action IN ({actions}) "
        f"ORDER BY e.id LIMIT {BATCH}"
    )
    rows = (await connection.execute(query, {"o": undone.operation, "k": kind, "after": after})).all()
    return [
        Change(
            row.id,
            row.sis_id,
            row.action,
            datetime.fromisoformat(row.at),
            {
                name: pair
                for name, pair in changes_of(row.action, row.before, row.after, row.document).items()
                if not unasked.holds(name)  # what nobody asks for any more does not come back (promise P7)
            },
        )
        for row in rows
    ]


def inverse(case: Case, change: Change, operation: str) -> Decision | None:
    """What takes a change of an operation back; None where the record has changed since in one of the fields. Pure."""
    if case.local is None or case.mapping is None or case.mapped is None:
        return None
    alone = datetime.fromisoformat(case.mapping.changed_at) <= change.at  # nothing has been decided since
    mine, written = flatten(case.local.document), flatten(case.mapped.base_local)

    def stands(name: str, value: Any) -> bool:
        """Whether a field is as it was written then, or as the target reads that back."""
        return mine.get(name) == value or (alone and mine.get(name) == written.get(name))

    if change.action == "create":
        status = change.fields.get("status", (None, "active"))[1]
        if status == "inactive":
            return _nothing()  # it was over before it came
        back, known = {"status": "inactive", "status_reason": REASON}, {"status": status}
    else:
        back = {name: before for name, (before, _) in change.fields.items()}
        known = {name: after for name, (_, after) in change.fields.items()}
    if not all(stands(name, value) for name, value in known.items()):
        return None
    writes = {name: value for name, value in back.items() if mine.get(name) != value}
    if not writes:
        return _nothing()
    return decision_to_write(case.local, writes, reason=REASON, rule=f"takes back operation {operation[:8]}")


def _nothing() -> Decision:
    return Decision(action="unchanged", reason=REASON, rule="nothing to take back")
