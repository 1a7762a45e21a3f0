"""Custom fields: what a district keeps beside the canonical fields, declared one by one with a type. Pure.

A record's `custom` holds the fields that the settings of the integration declare, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

from sis_connect.capabilities import KINDS, Kind

CustomType = Literal["text", "integer", "number", "boolean", "date"]
_SINGLE = (str, int, float, bool, type(None))
_TRUE, _FALSE = frozenset(("true", "yes", "y", "t", "1")), frozenset(("false", "no", "n", "f", "0"))
_Name = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\s,:=][^,:=]*$", max_length=100)]


class CustomField(BaseModel):
    """One declared field. Without a `kind` it is read of every kind whose rows have it, without a `type` it is kept as it comes.

    `source` is what the SIS calls it, where that is not its name here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    kind: Kind | None = None
    type: CustomType | None = None
    source: str | None = None

    @property
    def asked_as(self) -> str:
        """What the SIS calls it."""
        return self.source or self.name


def declared(value: object) -> object:
    """Declarations as people write them.

    `students.bus_route:text, locker:integer=U_LOCKER` in a line, or a list of such, or a table
    `{students = {bus_route = "text", locker = {type = "integer", source = "U_LOCKER"}}}`.
    """
    if isinstance(value, str):
        return tuple(_spelled(part) for part in value.split(",") if part.strip())
    if isinstance(value, Mapping):
        return tuple(_tabled(value))
    if isinstance(value, (list, tuple)):
        return tuple(_spelled(each) if isinstance(each, str) else each for each in value)
    return value


def _spelled(text: str) -> dict[str, Any]:
    """`kind.name:type=source`, all but the name optional."""
    whole, _, source = text.partition("=")
    name, _, type_ = whole.partition(":")
    kind, dot, rest = name.strip().partition(".")
    found: dict[str, Any] = {"kind": kind, "name": rest} if dot and kind in KINDS else {"name": name}
    if type_.strip():
        found["type"] = type_.strip()
    if source.strip():
        found["source"] = source.strip()
    return found


def _tabled(table: Mapping[Any, Any]) -> Iterator[object]:
    for kind, fields in table.items():
        if not isinstance(fields, Mapping):
            raise ValueError('must name kinds and their fields, such as {students = {bus_route = "text"}}')
        for name, said in fields.items():
            yield {"kind": kind, "name": name, **(said if isinstance(said, Mapping) else {"type": said})}


def _each_once(fields: tuple[CustomField, ...]) -> tuple[CustomField, ...]:
    named: set[tuple[str, Kind | None]] = set()
    for each in fields:
        if (each.name, each.kind) in named or (each.kind is not None and (each.name, None) in named):
            raise ValueError(f"declares {each.name} twice")
        named.add((each.name, each.kind))
    return fields


CustomFields = Annotated[tuple[CustomField, ...], BeforeValidator(declared), AfterValidator(_each_once)]


def of_kind(fields: Iterable[CustomField], kind: Kind) -> tuple[CustomField, ...]:
    """The fields that are declared for a kind."""
    return tuple(each for each in fields if each.kind in (None, kind))


def picked(fields: Iterable[CustomField], told: Mapping[str, Any]) -> dict[str, Any]:
    """What a SIS tells by its own names, by ours: declared fields only. What is missing is not delivered.

    A field without a type takes single values only; lists and objects are left out.
    """
    return {
        each.name: told[each.asked_as]
        for each in fields
        if each.asked_as in told
        and (each.type is not None or isinstance(told[each.asked_as], (str, int, float, bool, type(None))))
    }


class WrongType(ValueError):  # noqa: N818 - reads as what is the case
    """Declared fields whose values are of another type. Names no value."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"custom.{name} is no {type_}" for name, type_ in faults.items()))


def typed(fields: Iterable[CustomField], values: Mapping[str, Any]) -> dict[str, Any]:
    """These values in their declared types, and none that is not declared. A value that is typed stays as it is.

    Blank is None whatever the type; a date is text as in 2026-09-30. Raises `WrongType`.
    """
    types = {each.name: each.type for each in fields}
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, type_ in types.items():
        if name in values:
            try:
                found[name] = _as(type_, values[name])
            except (ValueError, OverflowError):
                faults[name] = type_ or "single value"
    if faults:
        raise WrongType(faults)
    return found


def _as(type_: CustomType | None, value: Any) -> str | int | float | bool | None:
    if isinstance(value, str):
        value = value.strip() or None
    if value is None or (type_ is None and isinstance(value, (str, int, float, bool))):
        return value
    if not isinstance(value, (str, int, float, bool, date)):
        raise ValueError("is no single value")
    match type_:
        case "integer":
            return _integer(value)
        case "number":
            return _number(value)
        case "boolean":
            return _boolean(value)
        case "date":
            return _day(value)
        case _:
            return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        raise ValueError
    found = float(value)
    if found != found or found in (float("inf"), float("-inf")):
        raise ValueError
    return value if isinstance(value, (int, float)) else int(found) if found.is_integer() and abs(found) < 2**53 else found


def _boolean(value: Any) -> bool:
    spelled = str(value).lower()
    if spelled not in _TRUE | _FALSE:
        raise ValueError
    return spelled in _TRUE


def _day(value: Any) -> str | None:
    found = date.fromisoformat(str(value)[:10])
    return None if found in (date.min, date.max) else found.isoformat()
