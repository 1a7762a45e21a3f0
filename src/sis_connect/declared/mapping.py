"""From rows to records as a file declares it: pure functions."""

from __future__ import annotations

import types
from collections.abc import Callable, Container, Iterator, Mapping
from datetime import date
from typing import Any, Union, get_args, get_origin

from pydantic import AwareDatetime

from sis_connect.capabilities import Kind
from sis_connect.declared.form import As, Mapped, Taken
from sis_connect.provider import InvalidRow
from sis_connect.records import RECORDS, EmailAddress, Phone, Record, derive_id, on_request, part
from sis_connect.rest_provider import Asked, build
from sis_connect.values import Value, day, day_after, many, moment, number, text, truth

Row = dict[str, Any]
Take = Callable[[Row, Asked], Any]
MISSING: Any = object()


def member(row: Mapping[str, Any], path: str) -> Any:
    """What stands at a dotted path of a row; `MISSING` where there is nothing, not even `null`."""
    found: Any = row
    for name in path.split("."):
        found = found.get(name, MISSING) if isinstance(found, Mapping) else MISSING
    return found


def reader(
    records: Mapping[Kind, Mapped],
    words: Mapping[str, Mapping[str, str]],
    *,
    partial: bool,
    blank_if_missing: Container[Kind],
) -> Callable[[Row, Asked], Iterator[Record]]:
    """What makes the declared records of a row. A member that is missing is not delivered, or blank where that means so."""
    takers = {
        kind: {name: _taker(kind, name, taken, words) for name, taken in fields.items()} for kind, fields in records.items()
    }
    derived = {kind for kind, fields in records.items() if fields["sis_id"].parts is not None}

    def read(row: Row, asked: Asked) -> Iterator[Record]:
        for kind, fields in takers.items():
            left_out = on_request(kind) - asked.fields.get(kind, frozenset())
            values: Row = {"derived": True} if kind in derived else {}
            ids: dict[str, str] = {}
            for name, take in fields.items():
                if name in left_out:
                    continue
                value = take(row, asked)
                if value is MISSING and kind not in blank_if_missing:
                    continue
                if value is MISSING:
                    value = () if name in _LISTS else None
                if not name.startswith("ids."):
                    values[name] = value
                elif value is not None and (written := str(value).strip()):
                    ids[name.removeprefix("ids.")] = written
            if ids:
                values["ids"] = ids
            yield part(RECORDS[kind], **values) if partial else build(RECORDS[kind], **values)

    return read


def _taker(kind: Kind, name: str, taken: Taken, words: Mapping[str, Mapping[str, str]]) -> Take:
    known = words[taken.words] if isinstance(taken.words, str) else taken.words
    read_as = taken.read or natural(kind, name)

    def take(row: Row, asked: Asked) -> Any:
        if taken.parts is not None:
            return derive_id(**{part: text(_single(member(row, path), path)) or "" for part, path in taken.parts.items()})
        if taken.context is not None:
            return asked.context.get(taken.context)
        if taken.source is None:
            return taken.value
        found = member(row, taken.source)
        if found is MISSING and taken.otherwise is None:
            return MISSING
        if name in _LISTS:
            listed = [text(_single(each, taken.source)) for each in _listed(found)]
            return tuple(_LISTS[name](_worded(each, taken, known)) for each in listed if each)
        return _read(_worded(_single(found, taken.source), taken, known), taken.source, read_as)

    return take


def _listed(found: Any) -> list[Any]:
    if found is MISSING:
        return []
    return [found] if isinstance(found, str) and found else many(found)


def _single(found: Any, name: str) -> Value:
    if found is MISSING:
        return None
    if isinstance(found, (dict, list)):
        raise InvalidRow(f"{name} is no single value", key=None, fields=(name,))
    single: Value = found
    return single


def _worded(found: Value, taken: Taken, known: Mapping[str, str] | None) -> Value:
    """Our word for the vendor's."""
    if known is None:
        return found
    said = (text(found) or "").strip()
    if said in known:
        return known[said]
    if taken.otherwise is None:
        raise InvalidRow(f"{taken.source} is none of the words that are known", key=None, fields=(str(taken.source),))
    return taken.otherwise or None


def _read(value: Value, name: str, read_as: As) -> Any:
    match read_as:
        case "day":
            return day(value, name)
        case "last_day":
            return day_after(value, name)
        case "moment":
            return moment(value)
        case "number":
            return number(value, name)
        case "truth":
            return bool(truth(value, name))
        case _:
            return text(value)


def _email(address: Any) -> EmailAddress:
    return EmailAddress(address=address)


def _phone(digits: Any) -> Phone:
    return Phone(number=digits)


def _itself(value: Any) -> Any:
    return value


#: Fields that hold several values.
_LISTS: Mapping[str, Callable[[Any], Any]] = {
    "emails": _email,
    "phones": _phone,
    "schools": _itself,
    "students": _itself,
    "grades": _itself,
}
#: Fields that are made of more than a file can say.
BEYOND = frozenset(("addresses", "contacts", "demographics", "custom", "ids", "derived"))


def natural(kind: Kind, name: str) -> As:
    """What a field is read as unless the file says otherwise."""
    if name.startswith("ids."):
        return "text"
    types_ = _types(RECORDS[kind].model_fields[name].annotation)
    for sort, read_as in _SORTS:
        if sort in types_:
            return read_as
    return "text"


_SORTS: tuple[tuple[Any, As], ...] = ((AwareDatetime, "moment"), (date, "day"), (bool, "truth"), (int, "number"))


def _types(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return {each for argument in get_args(annotation) for each in _types(argument)}
    return {annotation}
