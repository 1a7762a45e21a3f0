"""What a client is to have of a record of the synthetic district: cleaned, validated, and of what an API delivers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, TypeVar

from sis_connect.records import Record

R = TypeVar("R", bound=Record)


def limited(record: R, fields: Collection[str] | None = None) -> R:
    """What a client is to have of a record: cleaned and validated, limited to these fields (None: all).

    `ids.state_id` stands for a single identifier, `custom.locker` for an extra field, `emails.address` for what each e-mail
    address tells. Of what a record has none, nothing is told.
    """
    told = {name: getattr(record, name) for name in type(record).model_fields if name in record.model_fields_set}
    if fields is not None:
        members: defaultdict[str, set[str]] = defaultdict(set)
        for name in fields:
            whole, _, member = name.partition(".")
            members[whole].add(member)
        told = {name: _some(value, members[name]) for name, value in told.items() if name in members or name == "sis_id"}
        told = {name: value for name, value in told.items() if value != {}}
    return type(record).model_validate(told)


def _some(value: Any, members: Collection[str]) -> Any:
    """A value with some of its members; with all of them where none is named."""
    if not members or "" in members:
        return value
    if isinstance(value, tuple):
        return tuple(_some(each, members) for each in value)
    told = value if isinstance(value, dict) else value.model_dump(exclude_unset=True) if value is not None else {}
    return {name: each for name, each in told.items() if name in members}
