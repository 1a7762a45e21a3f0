"""What Infinite Campus's rows hold beyond OneRoster, put into the records that OneRoster makes of them: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.records import Guardian, Record, Student
from sis_connect.rest_provider import Asked, build, part
from sis_connect.values import given, text
from sis_connect_infinite_campus import LEGACY_ID, metadata
from sis_connect_oneroster.mapping import DemographicsRow, UserRow, posts

Read = Callable[[Any, Asked], Iterable[Record]]
#: The letters of the roles that version 1.1 may have kept somebody under.
_LETTERS: dict[Kind, str] = {"students": "s", "staff": "ta", "guardians": "gr"}


def people(read: Read) -> Read:
    """The same with the ids of version 1.1, and with what guardians are to their students."""

    def extended(row: UserRow, asked: Asked) -> Iterator[Record]:
        found, own_id = metadata.of(row), (text(row.sourcedId) or "").strip()
        for record in read(row, asked):
            yield _person(record, row, asked) if record.sis_id == own_id else record
            if isinstance(record, Student):
                yield from _guardians(record, found, asked)

    return extended


def demographics(read: Read) -> Read:
    """The same with the address and the telephones that the vendor keeps with demographics."""

    def extended(row: DemographicsRow, asked: Asked) -> Iterator[Record]:
        found, wanted = metadata.of(row), asked.fields["students"]
        told = given(addresses=metadata.addresses(found), phones=metadata.phones(found))
        extra = {name: value for name, value in told.items() if name in wanted}
        for record in read(row, asked):
            yield record
            if extra:
                yield part(Student, sis_id=record.sis_id, **extra)

    return extended


def _person(record: Record, row: UserRow, asked: Asked) -> Record:
    former = metadata.legacy_ids(metadata.of(row), _LETTERS[record.kind])
    newer = asked.settings.version == "1.2"
    unsaid = _unsaid(record, row) if newer else frozenset()
    called = next((each.type for each in metadata.relationships(metadata.of(row)) if each.type), None) if newer else None
    if not former and not unsaid & record.model_fields_set:
        return record
    told = {name: getattr(record, name) for name in record.model_fields_set - unsaid}
    if called and isinstance(record, Guardian):
        told["relationship"] = called
    if former:
        told["ids"] = {**record.ids, LEGACY_ID: former if len(former) > 1 else former[0]}
    return build(type(record), **told)


def _unsaid(record: Record, row: UserRow) -> frozenset[str]:
    """What a row seems to tell and does not: a guardian's role is less than what relationships call them, the primary
    organisation of somebody without a role may be the district's office, and telephones may be with the demographics."""
    if isinstance(record, Guardian):
        return frozenset(("relationship",))
    roles = {post.role for post in posts(row)}
    if isinstance(record, Student):
        return frozenset(name for name, said in (("school", "student" in roles), ("phones", record.phones)) if not said)
    return frozenset(("role", "schools")) if roles == {""} else frozenset()


def _guardians(student: Student, found: metadata.Metadata, asked: Asked) -> Iterator[Record]:
    for relation in metadata.relationships(found):
        if relation.guardian or asked.settings.relatives:
            yield part(Guardian, sis_id=relation.person, students=(student.sis_id,), **given(relationship=relation.type))
