"""The roster that a read amounts to, and where it is not what it should be: pure functions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sis_connect.capabilities import Kind
from sis_connect.pieces import Pieces
from sis_connect.records import RECORDS, Record, Ref
from sis_connect.testing.suite.outcome import ReadOutcome

Row = dict[str, Any]
#: By `sis_id`.
Roster = dict[str, Row]

#: Few records, listed once for each place where they are.
_UNITED: frozenset[Kind] = frozenset({"schools", "terms", "courses", "staff", "guardians", "sections"})
#: What says nothing about the record itself.
_ASIDE = frozenset({"key", "derived", "updated_at", "exit_inferred"})


class Difference(NamedTuple):
    """One value that is not what it should be. Where a whole record is missing, or too many, there is no field."""

    sis_id: str
    field: str
    mine: Any
    right: Any


def gathered(records: Iterable[Record], kind: Kind) -> dict[str, Record]:
    """Whole records, each with all its pieces, by `sis_id`."""
    pieces = Pieces[Record](united=kind in _UNITED)
    for record in records:
        pieces.take(record)
    return {record.sis_id: record for record in pieces.records()}


def roster_of(outcome: ReadOutcome, kind: Kind) -> Roster:
    """The records of a kind as plain JSON, with references resolved."""
    known = _by_identifier(outcome)
    return {
        sis_id: {name: _resolved(value, known) for name, value in _plain(record).items()}
        for sis_id, record in gathered(outcome.records.get(kind, ()), kind).items()
    }


def _plain(record: Record) -> Row:
    return {**record.model_dump(mode="json", exclude_unset=True), "status": record.status}


def _by_identifier(outcome: ReadOutcome) -> dict[tuple[Kind, str, str], str]:
    known: dict[tuple[Kind, str, str], str] = {}
    for kind, records in outcome.records.items():
        for record in records:
            for name, value in record.ids.items():
                for each in (value,) if isinstance(value, str) else value:
                    known[kind, name, each] = record.sis_id
    return known


def _resolved(value: Any, known: Mapping[tuple[Kind, str, str], str]) -> Any:
    if isinstance(value, dict) and value.keys() == {"ref"}:
        kind, name, written = value["ref"]
        return written if name == "sis_id" else known.get((kind, name, written), value)
    if isinstance(value, list):  # no list of ours has an order of its own, or says the same twice
        found = [_resolved(each, known) for each in value]
        return list({_spelled(each): each for each in sorted(found, key=_spelled)}.values())
    return value


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def by_id(truth: Iterable[Row]) -> Roster:
    """The truth by `sis_id`, in the same form."""
    return {
        row["sis_id"]: {"status": "active", **{name: _resolved(value, {}) for name, value in row.items() if name not in _ASIDE}}
        for row in truth
    }


def differences(mine: Roster, right: Roster, *, fields: Collection[str] | None = None) -> Iterator[Difference]:
    """Where records that both have are not alike; with `fields`, only in these. Blank and not delivered are alike."""
    for sis_id, row in right.items():
        if sis_id in mine:
            names = (mine[sis_id].keys() | row.keys()) - _ASIDE
            for name in sorted(names if fields is None else names & set(fields)):
                a, b = mine[sis_id].get(name) or None, row.get(name) or None
                if a != b:
                    yield Difference(sis_id, name, a, b)


def orphans(outcome: ReadOutcome, kind: Kind) -> set[str]:
    """Records that refer to what was not delivered, by a reference that they mean nothing without: they wait in quarantine."""
    known = {(target, "sis_id", sis_id) for target in outcome.records for sis_id in outcome.ids(target)}
    known |= _by_identifier(outcome).keys()
    return {
        sis_id
        for sis_id, record in gathered(outcome.records.get(kind, ()), kind).items()
        if any(target not in known for name in record.required_references for target in targets_of(record, name))
    }


def reference_names(kind: Kind) -> frozenset[str]:
    """The fields of a kind that refer to other records."""
    return frozenset(RECORDS[kind].references) | ({"user"} if kind == "enrollments" else set())


def targets_of(record: Record, name: str) -> Iterator[tuple[Kind, str, str]]:
    """What a reference field points at: kind, name of the identifier, its value."""
    value = getattr(record, name)
    for each in value if isinstance(value, tuple) else (value,):
        if isinstance(each, Ref):
            yield each.kind, each.name, each.value
        elif each is not None:
            yield _target_kind(record, name), "sis_id", each


def _target_kind(record: Record, name: str) -> Kind:
    if name == "user":
        return "students" if getattr(record, "role", None) == "student" else "staff"
    return record.references[name]
