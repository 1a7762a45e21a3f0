"""What becomes of rows that break the contract, among rows that are right? They wait in quarantine, under their key.

Real rows are damaged one value at a time and read again. A row may then still be understood, or be an `InvalidRow`; anything else
would take down the read, or lose somebody without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from sis_connect.provider import InvalidRow, Page, Reading
from sis_connect.records import RECORDS, Record, required
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, listed
from sis_connect.testing.suite.quoting import told
from sis_connect.testing.suite.rosters import reference_names, targets_of

Row = dict[str, Any]

#: A value that stands in no SIS, to be found again in messages.
MARKER = "Qvorx-Marker"
#: What offices and servers write where something else belongs.
ODD_VALUES: tuple[Any, ...] = (None, "", " ", 12345, -1, True, [], {}, [None], {"a": 1}, f"{MARKER}\u0007", MARKER, "0000-00-00")
#: Bytes that are no row at all.
NO_ROWS = (b"", b"{", b"null", b"[]", b'"text"', b"7", b"\xff\xfe")
#: So many rows of each list are damaged.
SAMPLES = 2


class Sample(NamedTuple):
    """A row that is right, and what is made of it."""

    page: Page
    row: Row
    reading: Reading


class Damage(NamedTuple):
    """What is said of a sample with another value in one place."""

    sample: Sample
    name: str
    value: Any
    fault: InvalidRow


_damage: WeakKeyDictionary[Bench, list[Damage]] = WeakKeyDictionary()


async def samples(bench: Bench) -> list[Sample]:
    """A few rows of each list that are JSON objects and feed a record."""
    found: list[Sample] = []
    taken: dict[str, int] = {}
    for page in (await bench.full_roster()).pages:
        for raw in page.rows:
            if taken.get(page.endpoint, 0) >= SAMPLES:
                break
            try:
                reading, row = page.read(raw), msgspec.json.decode(bytes(raw))
            except (InvalidRow, msgspec.DecodeError):
                continue
            if isinstance(row, dict) and reading.records:
                taken[page.endpoint] = taken.get(page.endpoint, 0) + 1
                found.append(Sample(page, row, reading))
    if not found:
        raise NotApplicable("The rows of this SIS are no JSON objects.")
    return found


def _read(page: Page, row: Any, what: str) -> Reading | InvalidRow:
    """What is made of a damaged row; anything but a reading or an `InvalidRow` fails the check."""
    raw = row if isinstance(row, bytes) else msgspec.json.encode(row)
    try:
        return page.read(raw)
    except InvalidRow as fault:
        return fault
    except Exception as error:
        raise Failed(
            f"A row of {page.endpoint!r} with {what} raises {type(error).__name__}, which ends the whole read. Whatever a row "
            "holds, Page.read makes records of it or raises InvalidRow (RestProvider does: it turns ValueError into that; read "
            "values by sis_connect.values)."
        ) from error


def damaged(row: Row) -> Iterator[tuple[str, Any, Row]]:
    """A row with each of its values replaced by each odd one: name, value, row."""
    for name in row:
        for value in ODD_VALUES:
            yield name, value, {**row, name: value}


async def damage_done(bench: Bench) -> list[Damage]:
    """All samples with each of their values damaged, and the faults that are found. They are read once."""
    if bench not in _damage:
        _damage[bench] = [
            Damage(sample, name, value, found)
            for sample in await samples(bench)
            for name, value, changed in damaged(sample.row)
            if isinstance(found := _read(sample.page, changed, f"{name}={value!r}"), InvalidRow)
        ]
    return _damage[bench]


async def odd_rows_end_nothing(bench: Bench) -> None:
    for page in (await bench.roster()).pages[:40]:
        for raw in NO_ROWS:
            _read(page, raw, f"the bytes {raw!r}")
    await damage_done(bench)


async def keys_of_odd_rows(bench: Bench) -> None:
    for (page, row, reading), name, value, fault in await damage_done(bench):
        bearer = [each for each, own in row.items() if str(own) == reading.key]
        if bearer and name not in bearer and fault.key != reading.key:
            raise Failed(
                f"A row of {page.endpoint!r} that cannot be read (with {name}={value!r}) is reported without its key, or "
                "with another: the record that it stands for would look missing, and be withdrawn. Give InvalidRow the "
                "key of the row as soon as that much can be read."
            )


async def reasons_without_values(bench: Bench) -> None:
    for (page, _, _), name, _, fault in await damage_done(bench):
        if MARKER in f"{fault} {fault!r} {fault.remedy} {fault.fields}":
            raise Failed(
                f"The reason why a row of {page.endpoint!r} cannot be read quotes its value (in {name}). Reasons are shown "
                "and logged: name the field, never what stands in it."
            )


async def bad_rows_are_not_dropped(bench: Bench) -> None:
    """A required text that cannot be one, or is not there: what cannot be read must be said, not left out."""
    tried = False
    for page, row, reading in await samples(bench):
        for name in _names_of_references(row, reading):
            tried = True
            _demand_something(page, row, name)
        for name in _names_of_required_text(row, reading.records):
            _demand_something(page, row, name)
            tried = True
            for value in (f"{MARKER}\u0007", ["a", "b"]):
                found = _read(page, {**row, name: value}, f"{name}={value!r}")
                if isinstance(found, Reading) and len(found.records) < len(reading.records):
                    raise Failed(
                        f"A row of {page.endpoint!r} whose {name} is unreadable is dropped without a word: its record would look "
                        "missing, and be withdrawn. Let it be an InvalidRow, which waits in quarantine and keeps the last good "
                        "state."
                    )
    if not tried:
        raise NotApplicable("No text that is required stands in a row as it is.")


def _demand_something(page: Page, row: Row, name: str) -> None:
    """Without a value, a row still makes a record, or cannot be read. It is never nothing."""
    without = {each: value for each, value in row.items() if each != name}
    for value, changed in (("null", {**row, name: None}), ("blank", {**row, name: ""}), ("not there", without)):
        found = _read(page, changed, f"{name} {value}")
        if isinstance(found, Reading) and not found.records:
            raise Failed(
                f"A row of {page.endpoint!r} whose {name} is {value} makes no record and no fault: whom it stands for would look "
                "as if nobody spoke of them any more, and be withdrawn at once. Make a record without the value, or let the row "
                "be an InvalidRow, which waits in quarantine and keeps the last good state."
            )


def _names_of_references(row: Row, reading: Reading) -> list[str]:
    """What names another record, in a row that stands for a single one."""
    if len(reading.records) != 1:
        return []
    (record,) = reading.records
    named = {written for name in reference_names(record.kind) for _, _, written in targets_of(record, name)}
    return [name for name, value in row.items() if isinstance(value, str | int) and str(value) in named - {reading.key}]


def _names_of_required_text(row: Row, records: tuple[Record, ...]) -> list[str]:
    texts = {
        value
        for record in records
        for name in required(record.kind)
        if isinstance(value := getattr(record, name, None), str) and name not in RECORDS[record.kind].references
    }
    return [name for name, value in row.items() if isinstance(value, str) and value.strip() in texts and name.lower() != "id"]


async def bad_dates_are_not_blank(bench: Bench) -> None:
    """A date that cannot be read is not the same as none."""
    for page, row, reading in await samples(bench):
        dates = {(record.kind, record.sis_id): _dates(record) for record in reading.records}
        for name, value in row.items():
            if not (isinstance(value, str) and len(value) >= 8 and value[0].isdigit() and any(dates.values())):
                continue
            found = _read(page, {**row, name: "13/45/20x7"}, f"{name} no date")
            for record in found.records if isinstance(found, Reading) else ():
                lost = dates.get((record.kind, record.sis_id), set()) - _dates(record)
                if lost:
                    raise Failed(
                        f"A row of {page.endpoint!r} whose {name} is no date makes a record of {record.kind} without "
                        f"{sorted(lost)[0]}, as if there were none: somebody who left would be back. Read dates by values.day, "
                        "which makes such a row an InvalidRow."
                    )


def _dates(record: Record) -> set[str]:
    return {name for name in record.model_fields_set if isinstance(getattr(record, name), date) and name != "updated_at"}


async def good_rows_are_valid(bench: Bench) -> None:
    """Where nothing is wrong at the server, nothing waits in quarantine."""
    outcome = await bench.roster()
    rows = sum(page.received for page in outcome.pages)
    if outcome.invalid and (bench.recorded is False or len(outcome.invalid) * 20 > rows):
        fault = outcome.invalid[0]
        reason = told(fault.message, f"{listed(fault.fields) or 'what is in it'}.")
        raise Failed(
            f"{len(outcome.invalid)} of {rows} rows of an undisturbed SIS cannot be read; the first because of: {reason} "
            "Correct the mapping: the SIS means something by them."
        )


CHECKS: tuple[Check[Bench], ...] = (
    Check(
        name="good_rows_are_valid",
        title="Every row of an undisturbed SIS can be read.",
        run=good_rows_are_valid,
        promise="P2",
    ),
    Check(
        name="odd_rows_end_nothing",
        title="No row ends the read, whatever it holds.",
        run=odd_rows_end_nothing,
        promise="P2",
    ),
    Check(
        name="keys_of_odd_rows",
        title="A row that cannot be read is known by its key.",
        run=keys_of_odd_rows,
        promise="P2",
    ),
    Check(
        name="bad_rows_are_not_dropped",
        title="A row that cannot be read is never left out without a word.",
        run=bad_rows_are_not_dropped,
        promise="P2",
    ),
    Check(
        name="bad_dates_are_not_blank",
        title="A date that cannot be read is not taken for none.",
        run=bad_dates_are_not_blank,
        promise="P2",
    ),
    Check(
        name="reasons_without_values",
        title="The reason why a row cannot be read names no value of it.",
        run=reasons_without_values,
        promise="P7",
    ),
)
