"""Checks of a target: what the SIS says stands in the app's rows, once, and as it was said."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.roster.documents import flatten
from sis_connect.store.elsewhere import Elsewhere
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, listed
from sis_connect.testing.targets.bench import TargetBench
from sis_connect.testing.targets.looking import AppRow

#: Names in several scripts, with letters that take two, three and four bytes, or two code points.
SCRIPTS = ("Zoë Ærøskøbing", "Ngọc", "Łukasz", "Ольга", "فاطمة", "李小龍", "प्रिया", "O’Neil-Đặng", "𝒵oe 🎓", "I\u0307pek")


async def arrives(bench: TargetBench) -> None:
    await bench.sync(everything=True)
    for kind in await bench.kept():
        told = {record["sis_id"]: record for record in bench.sis.records[kind]}
        rows = await bench.rows(kind)
        if missing := sorted(told.keys() - rows.keys()):
            raise Failed(f"{len(missing)} of {len(told)} records of {kind} have no row ({listed(missing)}): create one for each.")
        if more := sorted(rows.keys() - told.keys()):
            raise Failed(f"There are rows of {kind} that the SIS knows nothing of: {listed(more)}.")
        for sis_id, row in rows.items():
            if wrong := _not_as_told(row, told[sis_id]):
                raise Failed(
                    f"Rows of {kind} do not hold what the SIS says in {listed(wrong)}: write each field to its own column."
                )


def _not_as_told(row: AppRow, told: Mapping[str, Any]) -> list[str]:
    """The fields that are shown and say something else. Upper and lower case are the app's own business."""
    said = {"status": "active", **flatten(told)}
    return [name for name, value in row.fields.items() if name in said and _plain(value) != _plain(said[name])]


def _plain(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        return _plain(value[0])
    return unicodedata.normalize("NFKC", value).casefold().strip() if isinstance(value, str) else value


async def local_ids_are_remembered(bench: TargetBench) -> None:
    await bench.sync()
    mapped = dict(await bench.ask("SELECT sis_id, local_id FROM " + _mapping(bench.kind) + " WHERE integration_id = 1"))
    shown = {sis_id: row.local_id for sis_id, row in (await bench.rows()).items()}
    if mapped != shown:
        raise Failed(f"The local ids of {bench.kind} are not those of the app's rows: return the row's own id with each outcome.")


def _mapping(kind: Kind) -> str:
    from sis_connect.store.tables import mappings

    return str(mappings[kind].name)


async def texts_survive(bench: TargetBench) -> None:
    (name,) = await _texts_after_a_sync(bench, 1)
    told = dict(zip(bench.some(len(SCRIPTS)), SCRIPTS, strict=False))
    for sis_id, written in told.items():
        bench.sis.change(bench.kind, sis_id, **{name: written})
    await bench.sync()
    rows = await bench.rows()
    spoilt = [sis_id for sis_id, written in told.items() if _plain(rows[sis_id].fields.get(name)) != _plain(written)]
    if spoilt:
        raise Failed(
            f"{len(spoilt)} of {len(told)} names in other scripts are not the same in {name}: "
            "let the column and the connection hold all of Unicode, and do not shorten it."
        )
    await _nothing_more_to_do(bench, "after names in other scripts")


async def _texts_after_a_sync(bench: TargetBench, number: int) -> list[str]:
    await bench.sync()
    return await bench.text_fields(number)


async def _nothing_more_to_do(bench: TargetBench, when: str) -> None:
    if planned := await bench.planned_again():
        raise Failed(
            f"A run {when} would write again ({listed(planned)}), though nothing changed: "
            "return what the row holds after the write with its outcome, and find the same."
        )


async def second_sync_writes_nothing(bench: TargetBench) -> None:
    await bench.sync()
    before, versions = await bench.everything(), await _versions(bench)
    await _nothing_more_to_do(bench, "of an unchanged source")
    await bench.sync(full=True)
    if await bench.everything() != before:
        raise Failed("A second run of an unchanged source changed rows: write nothing but what is asked for.")
    if await _versions(bench) != versions:
        raise Failed("The version of a row moves though nobody wrote to it: make it of the row, not of the time.")


async def _versions(bench: TargetBench) -> dict[str, str]:
    target, ids = await bench.target(), list(await bench.rows())
    async with bench.store.read() as connection:
        return {sis_id: row.version for sis_id, row in (await target.find(connection, bench.kind, ids)).items()}


async def finds_what_is_there(bench: TargetBench) -> None:
    await bench.sync()
    target, rows = await bench.target(), await bench.rows()
    strangers = [f"stranger-{number}" for number in range(2000)]
    async with bench.store.read() as connection:
        found = await target.find(connection, bench.kind, [*rows, *strangers])
        nobody = await target.find(connection, bench.kind, [])
    if nobody or found.keys() != rows.keys():
        raise Failed(f"`find` of {len(rows)} ids and 2000 strangers does not return the rows that are there, and no others.")
    if any(found[sis_id].local_id != row.local_id for sis_id, row in rows.items()):
        raise Failed("`find` calls a row by another local id than the app does.")
    if isinstance(target, Elsewhere) and target.keeps(bench.kind):
        await _pages_through(bench, target, set(rows))


async def _pages_through(bench: TargetBench, target: Elsewhere, ids: set[str]) -> None:
    after, paged = "", list[str]()
    async with bench.store.read() as connection:
        while page := await target.page(connection, bench.kind, after):
            paged += page
            after = list(page)[-1]
            if len(paged) > len(ids):
                break
    if sorted(paged) != sorted(ids):
        raise Failed("`page` does not come past each row once: return those after the given sis_id, in their order, then none.")


async def change_reaches_its_row(bench: TargetBench) -> None:
    await _texts_after_a_sync(bench, 1)
    before, (sis_id, second, *_) = await bench.rows(), bench.some(2)
    (name, *more) = await bench.texts(sis_id)
    bench.sis.change(bench.kind, sis_id, **{name: "Changed"})
    await bench.sync()
    after = await bench.rows()
    if _plain(after[sis_id].fields.get(name)) != "changed":
        raise Failed(f"A change of {name} does not reach its row.")
    others = {one: row for one, row in after.items() if one != sis_id}
    if others != {one: row for one, row in before.items() if one != sis_id}:
        raise Failed(f"A change of one record of {bench.kind} changed other rows as well.")
    same = {key: value for key, value in before[sis_id].fields.items() if key != name}
    if {key: value for key, value in after[sis_id].fields.items() if key != name} != same:
        raise Failed(f"A change of {name} changed other fields of its row: write the fields of the write, and no others.")
    if after[sis_id].local_id != before[sis_id].local_id:
        raise Failed("A change made another row: update the one that carries the sis_id.")
    bench.sis.change(bench.kind, second, **dict.fromkeys((name, *more), "Changed"))
    report = await bench.sync()
    if report.clashes or report.conflicts:
        raise Failed(
            f"What the SIS changes in {listed((name, *more))} meets edits that nobody made: where a row holds something else "
            "than what was written, such as other capitals, return what it holds with the outcome."
        )
    await _nothing_more_to_do(bench, "after a change")


async def leaving_is_no_deletion(bench: TargetBench) -> None:
    await bench.sync()
    (sis_id, *_) = bench.some(1)
    before, record = await bench.row(sis_id), bench.sis.of(bench.kind, sis_id)
    bench.sis.change(bench.kind, sis_id, status="inactive")
    await bench.sync()
    gone = await bench.row(sis_id)
    if gone.local_id != before.local_id or gone.fields.get("status", "inactive") != "inactive":
        raise Failed(f"Somebody of {bench.kind} who left is not the same row, marked as gone.")
    bench.sis.put(bench.kind, record)
    await bench.sync()
    back = await bench.row(sis_id)
    if back.local_id != before.local_id or back.fields != before.fields:
        raise Failed(f"Somebody of {bench.kind} who came back is not the row that he was before, as it was.")
    await _nothing_more_to_do(bench, "after somebody came back")


async def blanks_are_taken(bench: TargetBench) -> None:
    await bench.sync()
    (sis_id, *_) = bench.some(1)
    shown = (await bench.row(sis_id)).fields
    names = [name for name in bench.optional(sis_id) if name in shown]
    if not names:
        raise NotApplicable(f"The app shows no field of {bench.kind} that may be blank.")
    bench.sis.without(bench.kind, sis_id, *names)
    await bench.sync()
    if lost := [name for name in names if name not in (await bench.row(sis_id)).fields]:
        raise Failed(f"Fields that were not delivered became blank: {listed(lost)}. Only what is in the write may be written.")
    bench.sis.change(bench.kind, sis_id, **dict.fromkeys(names))
    await bench.sync()
    if kept := [name for name in names if (await bench.row(sis_id)).fields.get(name)]:
        raise Failed(f"Fields that are blank in the SIS kept their values: {listed(kept)}.")
    await _nothing_more_to_do(bench, "after fields became blank")


async def batches(bench: TargetBench) -> None:
    bench.settings = {"batch_size": 2}
    target = await bench.target()
    if not (isinstance(target, Elsewhere) and target.keeps(bench.kind)):
        raise NotApplicable("The rows lie in our own database, where a batch is no transaction of the app's.")
    if target.batch_size != 2:
        raise Failed("The setting batch_size does not reach the target: take it in `bind`.")
    await arrives(bench)
    for sis_id in bench.some(5):
        bench.sis.change(bench.kind, sis_id, status="inactive")
    await bench.sync()
    left = [sis_id for sis_id in bench.some(5) if (await bench.row(sis_id)).fields.get("status", "inactive") != "inactive"]
    if left:
        raise Failed("Not all records of several batches were written.")
    await _nothing_more_to_do(bench, "after several batches")


CHECKS: tuple[Check[TargetBench], ...] = (
    Check(name="arrives", title="each record becomes one row that holds what the SIS says, its references too", run=arrives),
    Check(name="local_ids", title="the local ids are those of the app's rows", run=local_ids_are_remembered),
    Check(name="finds", title="rows are found by sis_id, many at a time, and strangers are not", run=finds_what_is_there),
    Check(name="unicode", title="names in all scripts stay what they are", run=texts_survive),
    Check(
        name="second_sync",
        title="a second run of an unchanged source writes nothing",
        promise="P5",
        run=second_sync_writes_nothing,
    ),
    Check(name="change", title="a change reaches its row, and nothing else", run=change_reaches_its_row),
    Check(name="leaving", title="who leaves keeps his row, and returns to it", promise="P6", run=leaving_is_no_deletion),
    Check(name="blanks", title="blank is written, and not delivered is not blank", promise="P2", run=blanks_are_taken),
    Check(name="batches", title="batches of any size come to the same", run=batches),
)
