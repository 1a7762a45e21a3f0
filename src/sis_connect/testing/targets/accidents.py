"""Checks of a target: records that the app refuses, a process that dies, ids that change, and a district next door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import event

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS
from sis_connect.store.target import Renaming
from sis_connect.targets.host import SQLAlchemyTarget
from sis_connect.testing.suite.check import Check, Failed, NotApplicable
from sis_connect.testing.targets.bench import TargetBench, open_bench
from sis_connect.testing.targets.district import FORMER_ID, Fields

SECRET = "Philippa-Testname"  # noqa: S105 - a name that must not be repeated


# -- one record's fault ------------------------------------------------------------------------------------------------


def _refusing(bench: TargetBench, sis_id: str) -> AbstractContextManager[Mapping[str, Any]]:
    """While this lasts, the app refuses a record that says what is returned."""
    if refused := bench.declared.refused.get(bench.kind):
        return nullcontext(refused)
    target = bench.choice.target
    if isinstance(target, SQLAlchemyTarget) and bench.kind in target.models:
        return _models_refuse(target, bench, sis_id)
    raise NotApplicable("The suite does not say with which values the app refuses a record; name them in `refused`.")


@contextmanager
def _models_refuse(target: SQLAlchemyTarget, bench: TargetBench, sis_id: str) -> Iterator[Mapping[str, Any]]:
    model = target.models[bench.kind]

    def refuse(mapper: object, connection: object, row: Any) -> None:
        if getattr(row, model.key) == sis_id:
            raise ValueError(f"{SECRET} is refused")

    for name in ("before_insert", "before_update"):
        event.listen(model.model, name, refuse)
    try:
        yield {}
    finally:
        for name in ("before_insert", "before_update"):
            event.remove(model.model, name, refuse)


async def one_bad_record(bench: TargetBench) -> None:
    _, bad, *_ = bench.some(3)
    good = bench.sis.of(bench.kind, bad)
    number = len(bench.sis.records[bench.kind])
    with _refusing(bench, bad) as values:
        bench.sis.change(bench.kind, bad, **values)
        report = await bench.sync(failing=True)
        _demand_alone(report.failed, report.error, bench)
        rows = await bench.rows()
        if bad in rows or len(rows) != number - 1:
            raise Failed(
                f"One record that the app refuses took others with it ({len(rows)} of {number - 1} rows are there): "
                "write what can be written, and return the rest as refused."
            )
        _demand_discreet(str(report.as_dict()), [*values.values(), SECRET])
    bench.sis.put(bench.kind, good)
    await bench.sync()
    await bench.row(bad)
    with _refusing(bench, bad) as values:
        (name,) = await bench.text_fields(1)
        bench.sis.change(bench.kind, bad, **{name: "Changed", **values})
        other = bench.some(1)[0]
        bench.sis.change(bench.kind, other, **{name: "Changed"})
        report = await bench.sync(failing=True)
        _demand_alone(report.failed, report.error, bench)
        if str((await bench.row(other)).fields.get(name)).casefold() != "changed":
            raise Failed("One change that the app refuses took another record's change with it.")
    await bench.sync(failing=bool(bench.declared.refused))


def _demand_alone(failed: Mapping[str, int], error: object, bench: TargetBench) -> None:
    if error is not None:
        raise Failed(f"One record that the app refuses fails the whole run ({error}): return it as refused, and write the rest.")
    if failed.get(bench.kind) != 1:
        raise Failed("A record that the app refuses is not told as refused: nobody would learn that it is missing.")


def _demand_discreet(said: str, values: list[Any]) -> None:
    if any(isinstance(value, str) and value in said for value in values):
        raise Failed(
            "What the app's database says of a refused record quotes its values: return the kind of error, not its text."
        )


# -- killed ------------------------------------------------------------------------------------------------------------


async def _first_day(bench: TargetBench) -> None:
    bench.settings = {**bench.settings, "batch_size": 2}


async def _later_day(bench: TargetBench) -> None:
    """Somebody is new, somebody changes, somebody leaves."""
    await _first_day(bench)
    await bench.sync()
    texts = await bench.texts(bench.some(1)[0])
    changed, left, *_ = bench.some(2)
    bench.sis.change(bench.kind, changed, **dict.fromkeys(texts[:1], "Changed"))
    bench.sis.change(bench.kind, left, status="inactive")
    bench.sis.put(bench.kind, _another(bench))


def _another(bench: TargetBench) -> Fields:
    """One record more, of the main kind, which shares nothing that belongs to one person only."""
    known = bench.sis.of(bench.kind, bench.some(1)[0])
    return {**{name: value for name, value in known.items() if name not in ("ids", "username")}, "sis_id": "another"}


async def _killed_again_and_again(bench: TargetBench, prepare: Callable[[TargetBench], Awaitable[None]]) -> None:
    await prepare(bench)
    await bench.sync()
    wanted = await _state(bench)
    async with open_bench(type(bench.declared)()) as other:
        await prepare(other)
        batches = 0
        while await other.killed(batches):
            batches += 1
        if not batches:
            raise NotApplicable("A run ended before it could be killed: nothing was written.")
        if await _state(other) != wanted:
            raise Failed(
                f"Killed {batches} times between the app's commit and ours, a run does not end where an undisturbed one does: "
                "look for the sis_id before you create a row, and bear being asked for the same write twice."
            )


async def _state(bench: TargetBench) -> Any:
    """What the app shows, and what was told of it."""
    events = await bench.ask("SELECT kind, sis_id, action, COUNT(*) FROM sis_event GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
    shown = {kind: {sis_id: row.fields for sis_id, row in rows.items()} for kind, rows in (await bench.everything()).items()}
    return shown, events


async def killed_on_the_first_day(bench: TargetBench) -> None:
    await _killed_again_and_again(bench, _first_day)


async def killed_on_a_later_day(bench: TargetBench) -> None:
    await _killed_again_and_again(bench, _later_day)


# -- ids, and other districts ------------------------------------------------------------------------------------------


async def other_ids(bench: TargetBench) -> None:
    await bench.sync(everything=True)
    if not isinstance(await bench.target(), Renaming):
        raise NotApplicable("This target cannot let records go by other ids: such changes are held for a person.")
    before = await bench.everything()
    (former, *_) = bench.some(1)
    _rename(bench, former, "renamed")
    report = await bench.sync(everything=True)
    after = await bench.everything()
    if report.status != "succeeded" or former in after[bench.kind] or "renamed" not in after[bench.kind]:
        raise Failed("A record that goes by another id in the SIS does not go by it in the app: let `rename` write the key.")
    if after[bench.kind]["renamed"].local_id != before[bench.kind][former].local_id:
        raise Failed("A record that goes by another id is another row now: let the same row carry the new id.")
    for kind, rows in after.items():
        for row in rows.values():
            references = {name: row.fields.get(name) for name in _references(kind, bench.kind)}
            if any(value == former or (isinstance(value, list) and former in value) for value in references.values()):
                raise Failed(f"Rows of {kind} still refer to a record by its former id: let references follow.")
    if planned := await bench.planned_again(everything=True):
        raise Failed(f"After a record went by another id, a run would write again: {planned[0]}.")


def _rename(bench: TargetBench, former: str, new: str) -> None:
    """The SIS calls one record by another id, also where others refer to it."""
    known = bench.sis.of(bench.kind, former)
    bench.sis.drop(bench.kind, former)
    bench.sis.put(bench.kind, {**known, "sis_id": new, "ids": {**known.get("ids", {}), FORMER_ID: former}})
    for kind, records in bench.sis.records.items():
        for record in records:
            for name in _references(kind, bench.kind) & record.keys():
                value = record[name]
                record[name] = [new if one == former else one for one in value] if isinstance(value, list) else value
                record[name] = new if value == former else record[name]


def _references(kind: Kind, owner: Kind) -> set[str]:
    """The fields of a kind that refer to records of another one."""
    users = {"user"} if kind == "enrollments" and owner in ("students", "staff") else set()
    return users | {name for name, other in RECORDS[kind].references.items() if other == owner}


async def two_integrations(bench: TargetBench) -> None:
    await bench.sync()
    (name,) = await bench.text_fields(1)
    before, (sis_id, *_) = await bench.rows(), bench.some(1)
    async with bench.neighbour() as other:
        other.sis.change(bench.kind, sis_id, **{name: "Neighbour"})
        try:
            await other.sync()
        except ConfigurationError:
            return  # two integrations never meet in rows that nothing tells apart
        if await bench.rows() != before:
            raise Failed(
                "A second integration changed rows of the first, whose ids are the same: tell them apart, or say `tells_apart`."
            )
        mine, theirs = (await bench.row(sis_id)), (await other.row(sis_id))
        if mine.local_id == theirs.local_id or str(theirs.fields[name]).casefold() != "neighbour":
            raise Failed("Two integrations share a row, because their ids are the same: find and create by integration and id.")
        if await bench.planned_again() or await other.planned_again():
            raise Failed("With a second integration beside it, a run would write again though nothing changed.")


CHECKS: tuple[Check[TargetBench], ...] = (
    Check(name="bad_record", title="a record that the app refuses leaves the others alone", promise="P12", run=one_bad_record),
    Check(
        name="killed_first",
        title="killed again and again in a first run, nothing is there twice",
        promise="P4",
        run=killed_on_the_first_day,
    ),
    Check(
        name="killed_later",
        title="killed again and again in a later run, nothing is lost",
        promise="P4",
        run=killed_on_a_later_day,
    ),
    Check(name="other_ids", title="a record may go by another id, and references follow", run=other_ids),
    Check(name="two_integrations", title="two integrations with the same ids keep apart", promise="P12", run=two_integrations),
)
