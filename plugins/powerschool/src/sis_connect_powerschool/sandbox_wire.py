"""How the sandbox puts rows on the wire: XML, and JSON that was made from XML.

A row is a tree: dicts of text, numbers, dates, truth values and further trees. `None` is no value and is left out. A list is
a collection: one member becomes the object itself, none removes the key. A tuple is an array whatever its length, and its members
stay as they are. An empty dict becomes "".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

Tree = dict[str, Any]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_LONGEST = 2**63


def typed(text: str) -> str | int | bool:
    """Text that reads as an integer or a truth value becomes one; everything else stays text, "00123" and "0.00" too."""
    if _INTEGER.fullmatch(text) and text != "-0" and -_LONGEST <= int(text) < _LONGEST:
        return int(text)
    return text.lower() == "true" if text.lower() in ("true", "false") else text


def wire(value: Any) -> Any:
    """A tree in its JSON shape."""
    if isinstance(value, str):
        return typed(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: wire(child) for key, child in value.items() if child is not None and child != []} or ""
    if isinstance(value, list):
        return wire(value[0]) if len(value) == 1 else [wire(child) for child in value]
    return value


def to_json(value: Any) -> bytes:
    return msgspec.json.encode(wire(value))


def list_json(plural: str, single: str, attributes: Mapping[str, str], rows: list[bytes]) -> bytes:
    """A page of rows that are JSON already: many as an array, one as an object, none without the key."""
    head = b"{%s:%s" % (msgspec.json.encode(plural), msgspec.json.encode(attributes)[:-1])
    if not rows:
        return head + b"}}"
    body = rows[0] if len(rows) == 1 else b"[" + b",".join(rows) + b"]"
    return b"%s%s%s:%s}}" % (head, b"," if attributes else b"", msgspec.json.encode(single), body)


def to_xml(name: str, tree: Tree) -> bytes:
    return ('<?xml version="1.0" encoding="UTF-8"?>' + "".join(_elements(name, tree))).encode()


def _elements(name: str, value: Any) -> Iterable[str]:
    if value is None:
        return
    if isinstance(value, (list, tuple)):
        for member in value:
            yield from _elements(name, member)
    elif isinstance(value, dict):
        attributes = "".join(f" {key[1:]}={quoteattr(str(text))}" for key, text in value.items() if key.startswith("@"))
        inner = "".join(part for key, child in value.items() if not key.startswith("@") for part in _elements(key, child))
        yield f"<{name}{attributes}>{inner}</{name}>" if inner else f"<{name}{attributes}/>"
    else:
        text = str(value).lower() if isinstance(value, bool) else escape(str(value))
        yield f"<{name}>{text}</{name}>"
