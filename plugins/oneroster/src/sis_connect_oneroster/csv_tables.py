"""What one or several packages hold in the end, in a private temporary database: memory stays small however large the district.

The newest bulk package comes first, and later changes are put over it. The database has no name, and is gone when it is closed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from sis_connect.values import moment
from sis_connect_oneroster.csv_package import FILES, Mode, Package

#: So many rows are put in before others get a turn.
PORTION = 2000
_SCHEMA = """
CREATE TABLE object (position INTEGER PRIMARY KEY, file TEXT, id TEXT, row BLOB, UNIQUE (file, id));
CREATE TABLE role (id TEXT PRIMARY KEY, user TEXT, row BLOB);
CREATE INDEX role_user ON role (user);
"""
_PUT = "INSERT INTO object (file, id, row) VALUES (?, ?, ?) ON CONFLICT (file, id) DO UPDATE SET row = excluded.row"
_PUT_ROLE = "INSERT INTO role VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET user = excluded.user, row = excluded.row"
_PAGE = "SELECT position, id, row FROM object WHERE file = ? AND position >= ? AND id = coalesce(?, id) ORDER BY position LIMIT ?"


@dataclass(slots=True)
class Tables:
    """`modes`: whether a file is known as a whole, or only what has changed in it. `newest` is the latest change of each."""

    members: Mapping[str, frozenset[str]]
    custom: tuple[str, ...] = ()
    modes: dict[str, Mode] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    _database: sqlite3.Connection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    def load(self, packages: Sequence[Package]) -> Iterator[None]:
        """Take in packages, the oldest first; a pause after each portion."""
        bulk = [number for number, package in enumerate(packages) if "bulk" in package.modes.values()]
        for package in packages[bulk[-1] if bulk else 0 :]:
            for name in FILES:
                if mode := package.modes.get(name):
                    yield from self._load(package, name, mode)

    def _load(self, package: Package, name: str, mode: Mode) -> Iterator[None]:
        if mode == "bulk" or name not in self.modes:
            self.modes[name] = mode
        portion: list[tuple[object, ...]] = []
        put = _PUT_ROLE if name == "roles" else _PUT
        for number, row in enumerate(package.rows(name, self.members[name], self.custom)):
            # A row without an id keeps its place, so that somebody hears of it.
            key, encoded = str(row.get("sourcedId", f"?{number}")).strip(), msgspec.json.encode(row)
            portion.append((key, str(row.get("user", "")).strip(), encoded) if name == "roles" else (name, key, encoded))
            self._note(name, row.get("dateLastModified"))
            if len(portion) == PORTION:
                self._database.executemany(put, portion)
                portion.clear()
                yield
        self._database.executemany(put, portion)
        yield

    def _note(self, name: str, stamp: str | None) -> None:
        """Remember the latest change."""
        at, latest = moment(stamp), moment(self.newest.get(name))
        if stamp and at and (latest is None or at > latest):
            self.newest[name] = stamp

    def count(self, name: str, only: str | None) -> int:
        """How many objects there are, or whether there is this one."""
        query = "SELECT count(*) FROM object WHERE file = ? AND id = coalesce(?, id)"
        return int(self._database.execute(query, (name, only)).fetchone()[0])

    def page(self, name: str, at: int, size: int, only: str | None) -> tuple[list[bytes], int | None]:
        """The objects from a position on, and where the next page begins, if there is one."""
        found = self._database.execute(_PAGE, (name, at, only, size + 1)).fetchall()
        rows = [self._with_roles(key, row) if name == "users" and "roles" in self.modes else row for _, key, row in found[:size]]
        return rows, found[size][0] if len(found) > size else None

    def _with_roles(self, key: str, row: bytes) -> bytes:
        """A user with their roles, which version 1.2 keeps in a file of their own."""
        query = "SELECT row FROM role WHERE user = ? ORDER BY id"
        roles = b",".join(role for (role,) in self._database.execute(query, (key,)) if not _deleted(role))
        return row[:-1] + b',"roles":[' + roles + b"]}"


class _Role(msgspec.Struct):
    status: str = ""


_decode = msgspec.json.Decoder(_Role).decode


def _deleted(role: bytes) -> bool:
    return _decode(role).status not in ("", "active")
