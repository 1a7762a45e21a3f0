"""Checks of a target: what the app's own people do with their rows is seen, and stays."""

from __future__ import annotations

from sis_connect.records import RECORDS
from sis_connect.store.creations import Write
from sis_connect.store.elsewhere import Elsewhere, Moment
from sis_connect.store.target import LocalRow
from sis_connect.testing.suite.check import Check, Failed
from sis_connect.testing.targets.bench import TEXTS, TODAY, TargetBench


async def _synchronised(bench: TargetBench, number: int) -> list[str]:
    """After a first run: so many fields that may be edited."""
    await bench.sync()
    return await bench.text_fields(number)


async def edit_stays(bench: TargetBench) -> None:
    edited, other = await _synchronised(bench, 2)
    (sis_id, *_) = bench.some(1)
    await bench.app.edit(bench.kind, bench.integration, sis_id, {edited: "Edited"})
    bench.sis.change(bench.kind, sis_id, **{other: "Changed"})
    await bench.sync()
    row = await bench.row(sis_id)
    if row.fields.get(edited) != "Edited":
        raise Failed(
            f"An edit of {edited} in the app was written over, as the SIS changed {other}: write only what is asked for."
        )
    if str(row.fields.get(other)).casefold() != "changed":
        raise Failed(f"A change of {other} did not come through, because somebody in the app had edited {edited}.")


async def edit_is_noticed(bench: TargetBench) -> None:
    bench.settings = {
        "policies": {f"{bench.kind}.{name}": {"owner": "sis"} for name in TEXTS if name in RECORDS[bench.kind].model_fields}
    }
    (edited,) = await _synchronised(bench, 1)
    (sis_id, *_) = bench.some(1)
    told = (await bench.row(sis_id)).fields[edited]
    await bench.app.edit(bench.kind, bench.integration, sis_id, {edited: "Edited"})
    await bench.sync()
    if (await bench.row(sis_id)).fields.get(edited) != told:
        raise Failed(f"An edit of {edited} alone is not noticed: let `nominate` name the rows that somebody edited.")


async def edit_between_plan_and_apply(bench: TargetBench) -> None:
    (name,) = await _synchronised(bench, 1)
    first, second, *_ = bench.some(2)
    for sis_id in (first, second):
        bench.sis.change(bench.kind, sis_id, **{name: "Changed"})
    planned, before = await bench.plan(), await _found(bench, first)
    await bench.app.edit(bench.kind, bench.integration, first, {name: "Edited"})
    await bench.apply(planned)
    if (await bench.row(first)).fields.get(name) != "Edited":
        raise Failed("What somebody edited after the plan was made was written over: let a row's version change with each edit.")
    if str((await bench.row(second)).fields.get(name)).casefold() != "changed":
        raise Failed("A record of the same plan that nobody edited was not written.")
    target = await bench.target()
    if isinstance(target, Elsewhere) and target.keeps(bench.kind):
        late = Write(first, before.local_id, {name: "Late"}, before.version)
        written = await target.write(bench.kind, [late], Moment(bench.clock.now(), TODAY))
        if first not in written.moved or (await bench.row(first)).fields.get(name) != "Edited":
            raise Failed(
                "What somebody edited just before the write was written over: in the transaction that writes, compare the row's "
                "version with that of the write, and return a row that has moved on as moved."
            )


async def _found(bench: TargetBench, sis_id: str) -> LocalRow:
    target = await bench.target()
    async with bench.store.read() as connection:
        return (await target.find(connection, bench.kind, [sis_id]))[sis_id]


async def deletion_is_noticed(bench: TargetBench) -> None:
    await bench.sync()
    before, (sis_id, *_) = set(await bench.rows()), bench.some(1)
    await bench.app.delete(bench.kind, bench.integration, sis_id)
    await bench.sync()
    if set(await bench.rows()) != before:
        raise Failed("A row that the app deleted is not noticed: let `nominate` name it, so that the strategy decides.")
    if planned := await bench.planned_again():
        raise Failed(f"After a deleted row was made again, a run would write once more: {planned[0]}.")


async def deletion_is_asked_about(bench: TargetBench) -> None:
    bench.settings = {"strategy": "manual"}
    await bench.sync()
    (sis_id, *_) = bench.some(1)
    await bench.app.delete(bench.kind, bench.integration, sis_id)
    report = await bench.sync()
    if sis_id in await bench.rows():
        raise Failed("A row that the app deleted was made again, though the strategy is to ask: create only what is asked for.")
    if not report.conflicts:
        raise Failed("A row that the app deleted is no question for anybody, though the strategy is to ask.")


CHECKS: tuple[Check[TargetBench], ...] = (
    Check(name="edit_stays", title="an edit in the app stays, and other fields go on", run=edit_stays),
    Check(name="edit_noticed", title="an edit alone is noticed, and undone where the SIS owns the field", run=edit_is_noticed),
    Check(
        name="edit_meanwhile",
        title="an edit between plan and apply is not written over",
        promise="P3",
        run=edit_between_plan_and_apply,
    ),
    Check(name="deletion", title="a deleted row is noticed, and made again once", run=deletion_is_noticed),
    Check(name="deletion_asked", title="a deleted row is asked about, where that is the strategy", run=deletion_is_asked_about),
)
