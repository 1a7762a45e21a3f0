"""Is what a provider declares what it does: how people leave, totals, time stamps, strong ids, blanks, former stays?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from sis_connect.capabilities import KINDS, Kind
from sis_connect.provider import InvalidRow, Page
from sis_connect.records import RECORDS, Record
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, either, listed
from sis_connect.testing.suite.completeness import explain, same_records
from sis_connect.testing.suite.elsewhere import again
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.outcome import ReadOutcome
from sis_connect.testing.suite.quoting import such_as
from sis_connect.testing.suite.rosters import Roster, by_id, differences, gathered, roster_of

#: How a value of the truth is declared.
_TYPES: dict[type, str] = {str: "text", int: "integer", float: "number", bool: "boolean"}


async def leaving_is_as_declared(bench: Bench) -> None:
    first = {kind: by_id(bench.truth(kind)) for kind in bench.kinds}
    later = await bench.later()
    anybody = False
    for kind in bench.kinds:
        gone = _active(first[kind]) - _active(later.truths[kind])
        mine = roster_of(later.outcome, kind)
        leaving = bench.info.capabilities.of(kind).leaving
        anybody = anybody or bool(gone)
        vanished, still = gone - mine.keys(), gone & _active(mine)
        if still:
            raise Failed(
                f"{len(still)} {kind} have left, and are still delivered as active{such_as(sorted(still))}. Map the "
                "status of those who leave."
            )
        if vanished and leaving != "absence":
            raise Failed(
                f"{len(vanished)} {kind} have left and are not delivered any more{such_as(sorted(vanished))}, while "
                f"capabilities declare leaving={leaving!r}: nobody would ever be withdrawn. Declare leaving='absence', or read "
                "the list that still has them."
            )
    if not anybody:
        raise NotApplicable(f"Nobody leaves in the first {later.day} days of this district.")


def _active(roster: Roster) -> set[str]:
    return {sis_id for sis_id, row in roster.items() if row["status"] == "active"}


async def former_stays_come(bench: Bench) -> None:
    later = await bench.later()
    bench.set_day(later.day)
    right = by_id(bench.truth("school_enrollments", history=True))
    same_records(later.outcome, right, "school_enrollments")
    explain(
        differences(roster_of(later.outcome, "school_enrollments"), right),
        "school_enrollments",
        "Capabilities declare stint_history: former stays are delivered with their dates, not the present one only.",
    )


def needs_history(bench: Bench) -> str | None:
    """For providers that tell former stays."""
    told = bench.info.capabilities.of("school_enrollments").stint_history
    return None if told else f"{bench.info.label} does not declare stint_history of school_enrollments."


async def totals_are_told(bench: Bench) -> None:
    outcome = await bench.roster()
    for kind in bench.kinds:
        if not bench.info.capabilities.of(kind).total_count:
            continue
        pages = [page for page in outcome.pages if kind in page.kinds and not page.partial]
        if pages and all(page.total is None for page in pages):
            raise Failed(
                f"Capabilities declare total_count of {kind}, and no page tells a total. Say where it is (Endpoint.total_at, "
                "Endpoint.count), or do not declare it."
            )


def needs_totals(bench: Bench) -> str | None:
    """For providers that declare totals."""
    declared = any(bench.info.capabilities.of(kind).total_count for kind in bench.kinds)
    return None if declared else f"{bench.info.label} declares total_count of no kind."


async def time_stamps_are_told(bench: Bench) -> None:
    """They are the same whenever they are read, they stand in the row, and they are those of the truth where it has any."""
    first = _stamps(await bench.roster())
    second = _stamps((await again(bench)).outcome)
    told = {(kind, row["sis_id"]): row.get("updated_at") for kind in bench.told_kinds for row in bench.truth(kind)}
    for (kind, sis_id), (stamp, row) in first.items():
        right = told.get((kind, sis_id))
        moved = (kind, sis_id) in second and second[kind, sis_id][0] != stamp
        if moved or not _stands_in(stamp, row) or (right is not None and datetime.fromisoformat(right) != stamp):
            how = "changes from read to read" if moved else "is not the one that the SIS tells"
            raise Failed(
                f"{kind} have an updated_at that {how}. "
                "Take it from the row, in UTC (values.moment), and leave it out where there is none; it is evidence of when "
                "the SIS changed something, so never the time of the read."
            )


def _stamps(outcome: ReadOutcome) -> dict[tuple[Kind, str], tuple[datetime, bytes]]:
    """The time stamps of records, each with the row that it came from."""
    found: dict[tuple[Kind, str], tuple[datetime, bytes]] = {}
    for page in outcome.pages:
        for raw in page.rows:
            try:
                records = page.read(raw).records
            except InvalidRow:
                continue
            for record in records:
                if record.updated_at is not None:
                    found.setdefault((record.kind, record.sis_id), (record.updated_at, bytes(raw)))
    return found


def _stands_in(stamp: datetime, row: bytes) -> bool:
    """Whether a row may have told it: by its year, or as a count of seconds."""
    years = {(stamp + timedelta(days=days)).strftime("%Y") for days in (-1, 0, 1)}
    return any(text.encode() in row for text in (*years, str(int(stamp.timestamp()))[:8]))


async def time_stamps_move_with_changes(bench: Bench) -> None:
    later, first = await bench.later(), await bench.roster()
    for kind in bench.kinds:
        if not bench.info.capabilities.of(kind).reliable_updated_at:
            continue
        before, after = gathered(first.records.get(kind, ()), kind), gathered(later.outcome.records.get(kind, ()), kind)
        for sis_id in before.keys() & after.keys():
            changed = _content(before[sis_id]) != _content(after[sis_id])
            moved = before[sis_id].updated_at != after[sis_id].updated_at
            if changed != moved or after[sis_id].updated_at is None:
                how = "changed without it" if changed else "did not change, and it moved"
                raise Failed(
                    f"Capabilities declare reliable_updated_at of {kind}, and records {how}. Declare it only where the SIS moves "
                    "the time stamp with each change, and with nothing else: the strategy newest_wins relies on it."
                )


def needs_reliable_stamps(bench: Bench) -> str | None:
    """For providers that declare them."""
    declared = any(bench.info.capabilities.of(kind).reliable_updated_at for kind in bench.kinds)
    return None if declared else f"{bench.info.label} declares reliable_updated_at of no kind."


def _content(record: Record) -> dict[str, Any]:
    return record.model_dump(exclude_unset=True, exclude={"updated_at"})


async def named_ids_come(bench: Bench) -> None:
    outcome = await bench.full_roster()
    for kind in bench.kinds:
        own = bench.info.capabilities.of(kind)
        held = {name for record in outcome.records.get(kind, ()) for name in record.ids}
        missing = [name for name in (*own.strong_ids, *own.reference_ids) if name not in held]
        if missing and outcome.ids(kind):
            raise Failed(
                f"Capabilities name {listed(missing)} among the ids of {kind}, and no record has one. Put it into `ids` under "
                "that name (values.identifiers), or do not name it."
            )


def needs_named_ids(bench: Bench) -> str | None:
    """For providers that name some."""
    named = any(own.strong_ids or own.reference_ids for own in bench.info.capabilities.kinds.values())
    return None if named else f"{bench.info.label} names no strong_ids and no reference_ids."


async def custom_fields_come(bench: Bench) -> None:
    """All that are declared, in their types, and none that is not."""
    right = _custom(bench)
    names = bench.sandbox._app.sandbox.custom_names
    every = [
        f"{kind}.{name}:{type_}={names.get(name, name)}"
        for kind, roster in right.items()
        for name, type_ in _types(roster).items()
    ]
    outcome, narrow = await bench.read(right, custom=every), await bench.read(right, custom=every[:1])
    for kind, roster in right.items():
        explain(
            differences(roster_of(outcome, kind), roster, fields={"custom"}),
            kind,
            f"The settings declare custom={','.join(every)}: say where the rows have these (Endpoint.custom, Asked.custom_of). "
            "Where the SIS calls them otherwise than the truth, name that in the sandbox's custom_names.",
        )
        held = {f"{kind}.{name}" for record in narrow.records.get(kind, ()) for name in record.custom}
        if undeclared := sorted(held - {each.partition(":")[0] for each in every[:1]}):
            raise Failed(
                f"Where the settings declare custom={every[0]} only, {listed(undeclared)} are delivered, too: what nobody has "
                "declared is not kept. Let Endpoint.custom or Asked.custom_of choose them."
            )


def _custom(bench: Bench) -> dict[Kind, Roster]:
    """Records with custom fields, of the kinds whose capabilities declare such."""
    able = [kind for kind in bench.kinds if bench.info.capabilities.of(kind).custom]
    told = {kind: by_id(row for row in bench.truth(kind, fields=["custom"]) if row.get("custom")) for kind in able}
    return {kind: roster for kind, roster in told.items() if roster}


def _types(roster: Roster) -> dict[str, str]:
    """The custom fields in a truth, each with the type that it is declared in."""
    values = {name: value for row in roster.values() for name, value in row["custom"].items() if value is not None}
    return {name: _TYPES.get(type(value), "text") for name, value in values.items()}


def needs_custom(bench: Bench) -> str | None:
    """For providers that read custom fields, over a sandbox with some."""
    if not any(bench.info.capabilities.of(kind).custom for kind in bench.kinds):
        return f"{bench.info.label} declares custom of no kind."
    return None if _custom(bench) else "The sandbox delivers no custom field, such as custom.bus_route."


async def what_is_needed_is_offered(bench: Bench) -> None:
    for kind in KINDS:
        model = RECORDS[kind]
        needed = {model.references[name] for name in model.required_references if name in model.references}
        missing = needed - set(bench.kinds)
        if kind in bench.kinds and missing:
            raise Failed(
                f"{kind} are offered, and {listed(sorted(missing))} are not, to which they refer: each of them would wait in "
                "quarantine for ever. Offer both or neither."
            )


async def blank_is_not_untold(bench: Bench) -> None:
    """A field that a row leaves out is blank only where the provider declares so."""
    outcome = await bench.full_roster()
    tried = False
    for page in outcome.pages:
        kinds = [kind for kind in page.kinds if not bench.info.capabilities.of(kind).omission_means_blank]
        row = _decoded(page.rows[0]) if kinds and page.rows else None
        for name in row or ():
            tried = True
            blanked = _blanked(page, row or {}, name, kinds)
            if blanked:
                kind, field = blanked
                raise Failed(
                    f"A row of {page.endpoint!r} that leaves out {name!r} makes {field} of {kind} blank, though capabilities do "
                    "not declare omission_means_blank: a value that was just not sent would be lost. Name only what the row has "
                    "(values.given), or declare it."
                )
    if not tried:
        raise NotApplicable("Every kind declares omission_means_blank, or its rows are no JSON objects.")


def _decoded(raw: bytes) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(bytes(raw))
    except msgspec.DecodeError:
        return None
    return row if isinstance(row, dict) else None


def _blanked(page: Page, row: dict[str, Any], name: str, kinds: list[Kind]) -> tuple[Kind, str] | None:
    """Which field turns blank where a row leaves one out."""
    without = msgspec.json.encode({key: value for key, value in row.items() if key != name})
    try:
        whole, rest = page.read(msgspec.json.encode(row)), page.read(without)
    except InvalidRow:
        return None
    before = {(record.kind, record.sis_id): record for record in whole.records}
    for record in rest.records:
        known = before.get((record.kind, record.sis_id))
        if known is None or record.kind not in kinds:
            continue
        for field in record.model_fields_set & known.model_fields_set - {"status", "status_reason", "ids", "custom"}:
            if getattr(known, field) not in (None, (), False) and getattr(record, field) in (None, ()):
                return record.kind, field
    return None


CHECKS: tuple[Check[Bench], ...] = (
    Check(
        name="what_is_needed_is_offered",
        title="What offered records cannot do without is offered, too.",
        run=what_is_needed_is_offered,
        promise="P2",
    ),
    Check(
        name="leaving_is_as_declared",
        title="Who leaves is seen to leave in the way that is declared.",
        run=leaving_is_as_declared,
        promise="P1",
        needs=needs_sandbox,
    ),
    Check(
        name="former_stays_come",
        title="Former stays at schools are delivered where they are declared.",
        run=former_stays_come,
        needs=either(needs_sandbox, needs_history),
    ),
    Check(
        name="totals_are_told",
        title="Totals are told where they are declared.",
        run=totals_are_told,
        promise="P1",
        needs=needs_totals,
    ),
    Check(
        name="time_stamps_are_told",
        title="The time of the last change is what the SIS tells, and never made up.",
        run=time_stamps_are_told,
        promise="P5",
    ),
    Check(
        name="time_stamps_move_with_changes",
        title="The time of the last change moves with changes, and only with them, where that is declared.",
        run=time_stamps_move_with_changes,
        needs=either(needs_sandbox, needs_reliable_stamps),
    ),
    Check(
        name="named_ids_come",
        title="Strong ids, and those that others refer by, are delivered.",
        run=named_ids_come,
        needs=needs_named_ids,
    ),
    Check(
        name="custom_fields_come",
        title="Custom fields that the settings declare are delivered in their types, and no others.",
        run=custom_fields_come,
        promise="P7",
        needs=either(needs_sandbox, needs_custom),
    ),
    Check(
        name="blank_is_not_untold",
        title="A field that is left out is blank only where that is declared.",
        run=blank_is_not_untold,
        promise="P2",
    ),
)
