"""How an app's own models hold records, as data: which field goes where, and what a new row is filled with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.types import JSON, Date, TypeEngine

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS
from sis_connect.store.tables import JSON_FIELDS

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """Where one field of a record goes, for where a name alone does not say it.

    `write` makes the column's value of the record's, `read` the reverse; with `write` alone, the column is compared with itself.
    `refers` is for references: the column holds the primary key of the app's own row, not our `sis_id`.
    """

    attribute: str
    write: Callable[[Any], Any] | None = None
    read: Callable[[Any], Any] | None = None
    refers: bool = False


@dataclass(frozen=True, slots=True)
class UserName:
    """The app's own rule for names that nobody else may have.

    `rule` is given the record's fields and returns the name; where somebody has it, upper and lower case aside, `again` makes
    another one of it and of a number, from 2 on. A row that has a name keeps it.
    """

    attribute: str
    rule: Callable[[Values], str]
    again: Callable[[str, int], str] = "{}{}".format


@dataclass(frozen=True, slots=True)
class Model:
    """How one model holds records of one kind.

    `key` is the attribute that holds our `sis_id`; where it is empty, the app has the row from elsewhere. Make it unique,
    together with `where` and `integration`. `fields` says which attribute a field goes to, by its flat name
    (`ids.student_number`). `defaults` fill a new row, as do `where`, which says which rows are of this kind at all, and
    `integration`, the attribute that holds the integration's name where one table serves several. Somebody who leaves is never
    deleted: `active` is an attribute that is true while he is here, `withdrawn` one for the date or the time (UTC) when he left.

    `before_create` is given the attributes of a new row and the record's fields, and returns the attributes. `after_create`,
    `after_withdraw` and `after_reenroll` are given the session and the row, in the same transaction; the session is a plain
    one, with an `async_sessionmaker`, too. All of them may be called again for the same record, where a transaction failed.
    `edited_at` is an attribute with the time of the row's last change, `edited` has such attributes for single fields (UTC).
    """

    model: type[Any]
    _: KW_ONLY
    key: str
    fields: Mapping[str, str | Field]
    defaults: Values = field(default_factory=dict)
    where: Values = field(default_factory=dict)
    integration: str | None = None
    active: str | None = None
    withdrawn: str | None = None
    user_name: UserName | None = None
    before_create: Callable[[dict[str, Any], Values], dict[str, Any]] | None = None
    after_create: Callable[[Session, Any], None] | None = None
    after_withdraw: Callable[[Session, Any], None] | None = None
    after_reenroll: Callable[[Session, Any], None] | None = None
    edited_at: str | None = None
    edited: Mapping[str, str] = field(default_factory=dict)

    @property
    def placed(self) -> dict[str, Field]:
        """Where each field goes."""
        return {name: place if isinstance(place, Field) else Field(place) for name, place in self.fields.items()}

    @property
    def mapper(self) -> Mapper[Any]:
        """The model as SQLAlchemy knows it."""
        mapper: Mapper[Any] = inspect(self.model)
        return mapper

    @property
    def identity(self) -> str:
        """The attribute of the primary key."""
        return self.mapper.get_property_by_column(self.mapper.primary_key[0]).key

    def type_of(self, attribute: str) -> TypeEngine[Any]:
        """The type of an attribute's column."""
        column_type: TypeEngine[Any] = self.mapper.columns[attribute].type
        return column_type


def to_column(model: Model, place: Field, value: Any) -> Any:
    """A record's value as the app's column takes it."""
    if place.write is not None:
        return place.write(value)
    column = model.type_of(place.attribute)
    if isinstance(value, list) and not isinstance(column, JSON):
        value = value[0] if value else None  # an identifier of which there are several
    return date.fromisoformat(value) if isinstance(column, Date) and isinstance(value, str) else value


def from_column(place: Field, value: Any) -> Any:
    """The reverse of `to_column`, in plain JSON."""
    if place.read is not None and value is not None:
        value = place.read(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def demand(kind: str, model: Model) -> None:
    """Refuse what cannot work, where it is declared."""
    if kind not in KINDS:
        raise ConfigurationError(f"There is no kind {kind!r}.", remedy=f"The kinds are {', '.join(KINDS)}.")
    name = model.model.__name__
    if len(model.mapper.primary_key) != 1:
        raise ConfigurationError(f"{name} has a primary key of several columns.", remedy="Map a model with one key column.")
    extra = (model.integration, model.active, model.withdrawn, model.edited_at, *model.edited.values())
    named = [model.key, *(place.attribute for place in model.placed.values()), *model.where, *filter(None, extra)]
    named += [model.user_name.attribute] if model.user_name else []
    if unknown := [attribute for attribute in named if attribute not in model.mapper.columns]:
        raise ConfigurationError(f"{name} has no column {unknown[0]!r}.", remedy=f"Name one of its columns for {kind}.")
    if unknown := [attribute for attribute in model.defaults if not hasattr(model.model, attribute)]:
        raise ConfigurationError(f"{name} has no attribute {unknown[0]!r}.", remedy=f"Leave it out of the defaults for {kind}.")
    for field_name, place in model.placed.items():
        _demand_field(kind, name, field_name, place, model)


def _demand_field(kind: Kind, name: str, field_name: str, place: Field, model: Model) -> None:
    base, dot, _ = field_name.partition(".")
    known = set(RECORDS[kind].model_fields) - {"sis_id", "derived", "updated_at"}
    if base not in known or bool(dot) != (base in ("ids", "custom")):
        remedy = f"They are {', '.join(sorted(known))}; single identifiers are named as in ids.student_number."
        raise ConfigurationError(f"Records of {kind} have no field {field_name!r}.", remedy=remedy)
    lists = base in JSON_FIELDS and not dot
    if lists and place.write is None and not place.refers and not isinstance(model.type_of(place.attribute), JSON):
        remedy = "Make the column JSON, or give a Field with write=, such as one that takes the first."
        raise ConfigurationError(f"{field_name} is a list, and {name}.{place.attribute} holds none.", remedy=remedy)
    if place.refers and (lists or owner_of(kind, field_name, "student") is None):
        raise ConfigurationError(f"{field_name} of {kind} is no single reference.", remedy="Leave refers out.")


def owner_of(kind: Kind, field_name: str, role: str) -> Kind | None:
    """The kind that a field refers to. Whom an enrolment is of depends on its role."""
    if kind == "enrollments" and field_name == "user":
        return "students" if role == "student" else "staff"
    return RECORDS[kind].references.get(field_name)
