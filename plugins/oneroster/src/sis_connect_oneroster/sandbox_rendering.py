"""The sandbox's rows as bytes: each made once, and again only when it has become another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sis_connect_oneroster import sandbox_truth
from sis_connect_oneroster.sandbox_roster import Entry, Roster
from sis_connect_oneroster.sandbox_rows import Row
from sis_connect_oneroster.sandbox_wire import Wire

_VENDOR = {"vendor.flag": "true", "tags": ["a", "b"], "more": {"level": "1"}}


class Manner(NamedTuple):
    """In which version, below which address, and with which members (None: all) rows are written."""

    version: str
    base_url: str
    fields: frozenset[str] | None = None


class Rendering:
    """Writes rows as the settings say; other settings need another."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._kept: dict[Manner, dict[str, tuple[Entry, bytes]]] = {}
        self._wires: dict[str, Wire] = {}

    def own(self, manner: Manner) -> Callable[[Row], bytes]:
        """Writes rows that are no entries of the roster."""
        wire = self._wire(manner)
        return lambda row: wire.encode(selected(row, manner.fields))

    def entries(self, manner: Manner, roster: Roster) -> Callable[[Entry], bytes]:
        """Writes objects of the roster."""
        kept, write = self._kept.setdefault(manner, {}), self.own(self._with_id(manner))
        fresh = self._settings["modified"] == "now"

        def render(entry: Entry) -> bytes:
            name = f"{entry.table} {entry.sourced_id}"
            known = kept.get(name)
            if known is not None and not fresh and (known[0] is entry or known[0] == entry):
                return known[1]
            written = write(self._row(roster, entry))
            kept[name] = (entry, written)
            return written

        return render

    def _row(self, roster: Roster, entry: Entry) -> Row:
        row = roster.row(entry)
        if entry.table == "user" and not sandbox_truth.is_valid(entry.sources[0], self._settings):
            row["familyName"] = None
        if self._settings["metadata"] == "on":
            row["metadata"] = {**(row["metadata"] or {}), **_VENDOR}
        return row

    def _with_id(self, manner: Manner) -> Manner:
        if manner.fields is None or self._settings["selection"] == "exact":
            return manner
        return manner._replace(fields=manner.fields | {"sourcedId"})

    def _wire(self, manner: Manner) -> Wire:
        if manner.base_url not in self._wires:
            self._wires[manner.base_url] = Wire(manner.base_url, self._settings)
        return self._wires[manner.base_url]


def selected(row: Row, fields: frozenset[str] | None) -> Row:
    return row if fields is None else {name: value for name, value in row.items() if name in fields}
