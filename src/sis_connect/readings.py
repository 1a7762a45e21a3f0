"""What a row was read as, held to what was declared: the last step before a record is anybody's. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sis_connect.custom_fields import CustomField, WrongType, of_kind, typed
from sis_connect.provider import InvalidRow, Reading
from sis_connect.records import Record, clean_text


def held_to(records: Iterable[Record], custom: Collection[CustomField]) -> tuple[Record, ...]:
    """The records with those custom fields that are declared, in their types, and no others. Raises `InvalidRow`."""
    return tuple(record if "custom" not in record.model_fields_set else _held(record, custom) for record in records)


def _held(record: Record, custom: Collection[CustomField]) -> Record:
    values = typed_or_invalid(of_kind(custom, record.kind), record.custom)
    if values:
        return record.model_copy(update={"custom": values})
    told = {name: getattr(record, name) for name in record.model_fields_set - {"custom"}}
    return type(record).model_construct(**told)


def typed_or_invalid(fields: Collection[CustomField], values: Mapping[str, Any]) -> dict[str, Any]:
    """These values as they are declared. Raises `InvalidRow`, which names fields and never values."""
    try:
        found = typed(fields, values)
        return {name: clean_text(value) or None if isinstance(value, str) else value for name, value in found.items()}
    except WrongType as error:
        raise InvalidRow(str(error), key=None, fields=tuple(f"custom.{name}" for name in error.faults)) from None
    except ValueError as error:
        raise InvalidRow(f"custom {error}", key=None, fields=("custom",)) from None


def held(reading: Reading, custom: Collection[CustomField]) -> Reading:
    """A reading whose records are held to what is declared, whoever read them. Raises `InvalidRow`, with the key of the row."""
    try:
        return Reading(reading.key, held_to(reading.records, custom))
    except InvalidRow as error:
        error.key = reading.key
        raise
