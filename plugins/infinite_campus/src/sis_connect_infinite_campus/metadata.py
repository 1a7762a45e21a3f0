"""What Infinite Campus says in the metadata of its rows: flat keys, some with a dot in their name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sis_connect.records import Address, Phone
from sis_connect.values import many, text, truth

#: The user's id in version 1.1, in both spellings that the vendor prints.
_LEGACY = ("ic.legacySourcedId", "ic.legacysourceId")
_RELATIONSHIPS = "ic_relationships"
_ADDRESS = "ic_address"
_PHONES = {"ic_homePhone": "home", "ic_cellPhone": "cell", "ic_workPhone": "work"}

Metadata = Mapping[str, Any]


class Relationship(NamedTuple):
    """Who somebody is to the person in whose row this stands."""

    person: str
    guardian: bool
    type: str | None


def of(row: Any) -> Metadata:
    """The metadata of a row; what is no object holds nothing."""
    return row.metadata if isinstance(row.metadata, dict) else {}


def legacy_ids(metadata: Metadata, letters: str) -> tuple[str, ...]:
    """By which ids version 1.1 may have called somebody of these roles: as it is written here, without a role's letter, and with.

    Version 1.1 has a record for each role, whose id is the letter of the role and a number; the number alone is written here,
    or, in some districts, the whole id.
    """
    written = next((found for key in _LEGACY if (found := _plain(metadata.get(key)))), None)
    if written is None:
        return ()
    match = re.fullmatch(r"[A-Za-z]?(\d+)", written)
    if match is None:
        return (written,)
    return tuple(dict.fromkeys((written, match[1], *(letter + match[1] for letter in letters))))


def relationships(metadata: Metadata) -> Iterator[Relationship]:
    """The people around somebody, as far as they can be told."""
    for entry in many(metadata.get(_RELATIONSHIPS)):
        if isinstance(entry, dict) and (person := _plain(entry.get("sourcedId"))):
            guardian = truth(_value(entry.get("guardian")), "guardian") or False
            yield Relationship(person, guardian, _plain(entry.get("relationshipType")))


def addresses(metadata: Metadata) -> tuple[Address, ...] | None:
    """Where somebody lives; `None` where it is not told."""
    if _ADDRESS not in metadata:
        return None
    entries = [entry for entry in many(metadata[_ADDRESS]) if isinstance(entry, dict)]
    found = (_address({key: _plain(value) for key, value in entry.items()}) for entry in entries)
    return tuple(address for address in found if address is not None)


def phones(metadata: Metadata) -> tuple[Phone, ...] | None:
    """The household's telephones; `None` where none is told."""
    if not metadata.keys() & _PHONES.keys():
        return None
    numbers = ((_plain(metadata.get(key)), kind) for key, kind in _PHONES.items())
    return tuple(Phone(number=number, type=kind) for number, kind in numbers if number)


def _address(entry: Mapping[str, str | None]) -> Address | None:
    """House number, street and its tag (`St`, `Ave`) stand apart."""
    street = " ".join(part for key in ("number", "street", "tag") if (part := entry.get(key)))
    if not (street or entry.get("city") or entry.get("zipcode")):
        return None
    return Address(street=street, city=entry.get("city"), state=entry.get("state"), postal_code=entry.get("zipcode"))


def _value(found: Any) -> Any:
    return found if isinstance(found, (str, int, float, bool)) else None


def _plain(found: Any) -> str | None:
    """A text that holds something, whatever it is written as."""
    return (text(_value(found)) or "").strip() or None
