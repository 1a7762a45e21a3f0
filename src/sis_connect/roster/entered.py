"""Values that a person enters for a field: checked as those of a SIS are, and in the same shape. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import TypeAdapter, ValidationError

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS
from sis_connect.roster.documents import NESTED, flatten
from sis_connect.store.tables import JSON_FIELDS, roster_fields


def checked(kind: Kind, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values by flat field name (`grade`, `ids.locker`), as plain JSON. None is blank.

    Raises `ConfigurationError` for a field that there is not, or a value that does not fit; it never repeats the value.
    """
    for name in NESTED:
        if not isinstance(fields.get(name) or {}, Mapping):
            raise _unfit(name)
    return {name: value for field in flatten(fields).items() for name, value in flatten(_checked(kind, *field)).items()}


def demand_field(kind: Kind, name: str) -> None:
    """Raise `ConfigurationError` unless records of this kind have such a field in the roster."""
    column, dot, part = name.partition(".")
    if column not in roster_fields(kind) or (dot and (column not in NESTED or not part)):
        raise ConfigurationError(
            f"There is no field {name!r} in {kind}.", remedy=f"The fields are {', '.join(roster_fields(kind))}."
        )


def from_text(kind: Kind, name: str, text: str) -> Any:
    """A value as somebody types it: nothing is blank, and a list is JSON."""
    demand_field(kind, name)
    if not text:
        return None
    if name not in JSON_FIELDS:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigurationError(f"{name} is a list or an object.", remedy=f'Give it as JSON, such as ["{name}"].') from None


def _checked(kind: Kind, name: str, value: Any) -> dict[str, Any]:
    demand_field(kind, name)
    column, dot, part = name.partition(".")
    field = RECORDS[kind].model_fields[column]
    adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, Annotated[field.annotation, field]))
    if value is None and (dot or field.default == ()):
        return {name: None if dot else []}  # a blank list is an empty one
    try:
        valid = adapter.dump_python(adapter.validate_python({part: value} if dot else value), mode="json")
    except ValidationError:
        raise _unfit(name) from None
    return {name: valid[part]} if dot else {name: valid}


def _unfit(name: str) -> ConfigurationError:
    return ConfigurationError(f"That value does not fit {name}.", remedy="Give one of the form that the records have.")
