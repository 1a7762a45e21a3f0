"""The app's rows of one kind: finding, reading and filling them, inside a session of the app's own. No I/O but the session's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec
import xxhash
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session
from sqlalchemy.types import JSON, Date, DateTime

from sis_connect.capabilities import Kind
from sis_connect.roster.documents import flatten, nest
from sis_connect.store.elsewhere import Moment
from sis_connect.store.renames import Referring
from sis_connect.store.sql import chunks
from sis_connect.store.target import Edit
from sis_connect.targets.models import Field, Model, from_column, owner_of, to_column

#: Names by the app's own primary keys, and the reverse: what a row of a kind is called there and here.
Names = Mapping[tuple[Kind, str], Any]


class Unwritable(Exception):  # noqa: N818 - reads as what is the case
    """Why a record cannot be written, in words of our own: they quote nothing of it (promise P7)."""


@dataclass(frozen=True)
class Rows:
    """The rows of one kind that belong to one integration."""

    kind: Kind
    model: Model
    integration: str

    @cached_property
    def placed(self) -> dict[str, Field]:
        return self.model.placed

    @cached_property
    def identity(self) -> str:
        return self.model.identity

    @cached_property
    def kept(self) -> frozenset[str]:
        """The fields that are kept; the status always is, in our own mapping where not here."""
        return frozenset(self.placed) | {"status"}

    @cached_property
    def own(self) -> dict[str, Any]:
        """What all of these rows have in common."""
        return {**self.model.where, **({self.model.integration: self.integration} if self.model.integration else {})}

    def column(self, attribute: str) -> Any:
        return getattr(self.model.model, attribute)

    @property
    def key(self) -> Any:
        return self.column(self.model.key)

    def here(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        """The rows of this kind and integration, as far as the conditions hold."""
        return select(self.model.model).where(*(self.column(name) == value for name, value in self.own.items()), *conditions)

    # -- finding -------------------------------------------------------------------------------------------------------

    def by_key(self, session: Session, sis_ids: Collection[str], *, lock: bool = False) -> dict[str, Any]:
        """Rows by `sis_id`."""
        return {getattr(row, self.model.key): row for row in self._among(session, self.key, sorted(sis_ids), lock=lock)}

    def by_identity(self, session: Session, local_ids: Collection[str], *, lock: bool = False) -> dict[str, Any]:
        """Rows by local id."""
        values = [value for local_id in sorted(local_ids) if (value := self._identified(local_id)) is not None]
        rows = self._among(session, self.column(self.identity), values, lock=lock)
        return {self.local_id(row): row for row in rows}

    def _among(self, session: Session, column: Any, values: Sequence[Any], *, lock: bool = False) -> Iterator[Any]:
        for some in chunks(values):
            query = self.here(column.in_(some)).execution_options(populate_existing=True)
            yield from session.scalars(query.with_for_update() if lock else query)

    def page(self, session: Session, after: str, size: int) -> dict[str, Any]:
        """The next rows, in order of their `sis_id`s."""
        query = self.here(self.key > after).order_by(self.key).limit(size)
        return {getattr(row, self.model.key): row for row in session.scalars(query)}

    def number(self, session: Session) -> int:
        """How many there are."""
        return session.scalars(select(func.count()).select_from(self.here(self.key.is_not(None)).subquery())).one()

    def changed_since(self, session: Session, since: datetime) -> list[str]:
        """The `sis_id`s of those that were changed after a time."""
        attribute = self.model.edited_at or ""
        column_type = self.model.type_of(attribute)
        aware = isinstance(column_type, DateTime) and column_type.timezone
        changed = self.column(attribute) >= (since if aware else since.replace(tzinfo=None))
        return [getattr(row, self.model.key) for row in session.scalars(self.here(self.key.is_not(None), changed))]

    def any_unclaimed(self, session: Session) -> bool:
        """Whether the app has rows that it did not get from us."""
        return session.scalars(self.here(self.key.is_(None)).limit(1)).first() is not None

    def unclaimed(self, session: Session, wanted: Mapping[str, Collection[str]]) -> Iterator[Any]:
        """Such rows that have one of these values in one of these fields."""
        for name, values in wanted.items():
            place = self.placed.get(name)
            if place is None or place.refers:
                continue
            column, column_type = self.column(place.attribute), self.model.type_of(place.attribute)
            if isinstance(column_type, JSON):
                continue  # nobody is found by a part of what is in there
            if name in ("email", "emails"):
                sought, column = sorted(values), func.lower(column)
            else:
                sought = [to_column(self.model, place, value) for value in sorted(values)]
            for some in chunks(sought):
                yield from session.scalars(self.here(self.key.is_(None), column.in_(some)))

    # -- reading -------------------------------------------------------------------------------------------------------

    def local_id(self, row: Any) -> str:
        return str(getattr(row, self.identity))

    def _identified(self, local_id: str) -> Any:
        """A primary key of its text; none where it cannot be one."""
        try:
            return self.model.type_of(self.identity).python_type(local_id)
        except ValueError:
            return None

    def document(self, row: Any, names: Names) -> dict[str, Any]:
        """A row as a record's document: what the app keeps of it, without what is blank."""
        values: dict[str, Any] = {}
        for name, place in self.placed.items():
            value = getattr(row, place.attribute)
            if place.refers and value is not None:
                owner = owner_of(self.kind, name, self._role(row))
                values[name] = names.get((owner, str(value)), f"local:{value}") if owner else None
            else:
                values[name] = from_column(place, value)
        if "status" not in self.placed and (status := self._status(row)) is not None:
            values["status"] = status
        return nest({name: value for name, value in values.items() if value is not None})

    def _role(self, row: Any) -> str:
        place = self.placed.get("role")
        return str(from_column(place, getattr(row, place.attribute))) if place else str(self.own.get("role", "student"))

    def _status(self, row: Any) -> str | None:
        gone = self.model.withdrawn is not None and getattr(row, self.model.withdrawn) is not None
        if self.model.active is not None:
            gone = gone or not getattr(row, self.model.active)
        elif self.model.withdrawn is None:
            return None
        return "inactive" if gone else "active"

    @staticmethod
    def version(document: Mapping[str, Any]) -> str:
        """Changes with each change of what we keep there."""
        return xxhash.xxh3_64_hexdigest(msgspec.json.encode(document, order="sorted"))

    def blank(self, row: Any, *, new: bool) -> list[str]:
        """The attributes that may not be blank and are; in a new row, without those that the database fills."""
        return [
            name
            for name, column in self.model.mapper.columns.items()
            if not column.nullable
            and getattr(row, name) is None
            and not (new and (column.primary_key or column.default is not None or column.server_default is not None))
        ]

    def edited_at(self, row: Any) -> datetime | None:
        return _utc(getattr(row, self.model.edited_at)) if self.model.edited_at else None

    def edits(self, row: Any) -> dict[str, Edit]:
        times = {name: _utc(getattr(row, attribute)) for name, attribute in self.model.edited.items()}
        return {name: Edit(at) for name, at in times.items() if at is not None}

    def owner_kinds(self, name: str) -> set[Kind]:
        """The kinds that a field may refer to."""
        owners = {owner_of(self.kind, name, role) for role in ("student", "teacher")}
        return {owner for owner in owners if owner is not None}

    def owners(self, fields: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
        """Whom a record refers to where the app refers by its own keys: each that it may be, by `sis_id`."""
        for name, place in self.placed.items():
            if place.refers and isinstance(fields.get(name), str):
                yield from ((owner, fields[name]) for owner in self.owner_kinds(name))

    def referred(self, rows: Iterable[Any]) -> dict[Kind, set[str]]:
        """Whom these rows refer to by the app's own keys."""
        found: dict[Kind, set[str]] = {}
        for name, place in self.placed.items():
            for row in rows if place.refers else ():
                owner, value = owner_of(self.kind, name, self._role(row)), getattr(row, place.attribute)
                if owner is not None and value is not None:
                    found.setdefault(owner, set()).add(str(value))
        return found

    # -- filling -------------------------------------------------------------------------------------------------------

    def values(self, fields: Mapping[str, Any], names: Names, *, role: str, moment: Moment) -> dict[str, Any]:
        """The attributes that a record's fields come to. `names` has the app's keys of whom they refer to."""
        values: dict[str, Any] = {}
        for name, value in flatten(fields).items():
            place = self.placed.get(name)
            if place is not None and place.refers and value is not None:
                owner = owner_of(self.kind, name, role)
                if owner is None or (owner, value) not in names:
                    raise Unwritable(f"its {name} is not in the app")
                values[place.attribute] = names[owner, value]
            elif place is not None:
                values[place.attribute] = to_column(self.model, place, value)
        if "status" in fields:
            values |= self._presence(fields["status"], moment)
        return values

    def _presence(self, status: str, moment: Moment) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if self.model.active is not None:
            values[self.model.active] = status == "active"
        if self.model.withdrawn is not None:
            values[self.model.withdrawn] = self._left(moment) if status == "inactive" else None
        return values

    def _left(self, moment: Moment) -> Any:
        column = self.model.type_of(self.model.withdrawn or "")
        if isinstance(column, Date):
            return moment.today
        if isinstance(column, DateTime):
            return moment.at if column.timezone else moment.at.replace(tzinfo=None)
        return moment.today.isoformat()

    def role_of(self, fields: Mapping[str, Any], row: Any | None) -> str:
        """The role of an enrolment that is written: the one that is told, else the one that is there."""
        return str(fields["role"]) if "role" in fields else self._role(row) if row is not None else "student"

    # -- other ids -----------------------------------------------------------------------------------------------------

    def rename(self, session: Session, names: Mapping[str, str]) -> list[str]:
        """Let rows go by other ids. Returns the former ids of those that cannot, since another row goes by the new one."""
        taken, there = self.by_key(session, list(names.values())), self.by_key(session, list(names))
        for former, row in there.items():
            if names[former] not in taken:
                setattr(row, self.model.key, names[former])
        session.flush()
        return [former for former in there if names[former] in taken]

    def rename_references(self, session: Session, by: Referring, names: Mapping[str, str]) -> None:
        """Let what refers to rows by our ids refer to them by other ones."""
        place = self.placed.get(by.field)
        if place is None or place.refers or place.write is not None:
            return
        column = self.column(place.attribute)
        if by.many:
            for row in session.scalars(self.here(column.is_not(None))):
                known = getattr(row, place.attribute)
                renamed = [names.get(item, item) if isinstance(item, str) else item for item in known]
                if renamed != known:
                    setattr(row, place.attribute, renamed)
            return
        for some in chunks(sorted(names)):
            for row in session.scalars(self.here(column.in_(some))):
                if not by.role or (self._role(row) == "student") == (by.role == "= 'student'"):
                    setattr(row, place.attribute, names[getattr(row, place.attribute)])


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
