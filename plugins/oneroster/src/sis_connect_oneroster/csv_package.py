"""One OneRoster CSV package, a zip or a folder: what it says that it holds, and its rows, one after the other.

Rows come out as the objects that the REST interface has, so that both are understood by the same functions. An error names files
and columns of the standard, never what somebody has put there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from sis_connect.errors import SISError, UnexpectedResponse
from sis_connect.table_files import day_made, day_written, opened_zip, table

Mode = Literal["bulk", "delta"]
Cells = list[str]

#: The files that are read, with the columns that they cannot be without.
FILES: Mapping[str, tuple[str, ...]] = {
    "orgs": ("sourcedId", "name", "type"),
    "academicSessions": ("sourcedId", "title", "type", "startDate", "endDate"),
    "courses": ("sourcedId", "title"),
    "classes": ("sourcedId", "courseSourcedId", "schoolSourcedId", "termSourcedIds"),
    "users": ("sourcedId", "givenName", "familyName"),
    "roles": ("sourcedId", "userSourcedId", "role", "orgSourcedId"),
    "enrollments": ("sourcedId", "classSourcedId", "userSourcedId", "role"),
    "demographics": ("sourcedId",),
}
_LISTS = frozenset(("grades", "subjects", "subjectCodes", "periods", "userIds"))
_REST_NAMES = {"preferredGivenName": "preferredFirstName", "preferredFamilyName": "preferredLastName"}


def refused(reason: str, remedy: str = "Have the export made again as the standard says.") -> SISError:
    """An error about a package."""
    return UnexpectedResponse(f"The OneRoster package {reason}.", remedy=remedy)


@dataclass(frozen=True, slots=True)
class Package:
    """A package that may be read. `modes` are those of the files that it holds, `made` is when it was made."""

    open: Callable[[str], AbstractContextManager[IO[bytes]]] = field(repr=False)
    version: str
    modes: Mapping[str, Mode]
    made: date | None = None

    def rows(self, name: str, members: frozenset[str], custom: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """The objects of a file, with these of their members."""
        with self._lines(name) as lines:
            header = next(lines, [])
            read = _reader(header, members, custom)
            for cells in lines:
                if cells:
                    # What has too many or too few cells cannot be told which is which: only its id, to say that it is wrong.
                    yield read(cells) if len(cells) == len(header) else {"sourcedId": cells[0]}

    def columns(self, name: str) -> Cells:
        """The header of a file."""
        with self._lines(name) as lines:
            return next(lines, [])

    def _lines(self, name: str) -> AbstractContextManager[Iterator[Cells]]:
        """The lines of a file."""
        return table(self.open, f"{name}.csv", refused)


def package(names: list[str], open_file: Callable[[str], AbstractContextManager[IO[bytes]]], made: date | None = None) -> Package:
    """A package of files with these names, once it is certain that it can be read."""
    for name in FILES:
        if f"{name}.csv" not in names and any(other.lower() == f"{name.lower()}.csv" for other in names):
            raise refused(f"has {name}.csv under a name in another case")
    held = [name for name in FILES if f"{name}.csv" in names]
    if not held:
        raise refused(
            "has none of the files of a roster", "Check that the base URL and the setting file name a OneRoster export."
        )
    said = _manifest(Package(open_file, "", {})) if "manifest.csv" in names else {}
    lost = [name for name in FILES if said.get(f"file.{name}") in ("bulk", "delta") and name not in held]
    if lost:
        raise refused(f"announces {lost[0]}.csv and does not hold it")
    modes: dict[str, Mode] = {}
    whole = Package(open_file, said.get("oneroster.version", "1.0"), modes, made)
    for name in held:
        modes[name] = _mode(whole, name, said.get(f"file.{name}", "absent"))
    if modes.get("users") == "bulk" and "roles" not in held and "role" not in whole.columns("users"):
        raise refused("has users and no roles.csv, so nobody can say who is a student", "Have roles.csv exported too.")
    return whole


def zipped(file: IO[bytes], arrived: date | None = None) -> Package:
    """The package in a zip."""
    archive = opened_zip(file, refused)
    days = [day for day in (arrived, day_made(archive)) if day]
    return package(archive.namelist(), archive.open, max(days, default=None))


def unpacked(folder: Path) -> Package:
    """The package that lies unpacked in a folder."""
    files = [path for path in folder.iterdir() if path.is_file()]
    made = max(map(day_written, files), default=None)
    return package([path.name for path in files], lambda name: (folder / name).open("rb"), made)


def _manifest(opened: Package) -> dict[str, str]:
    with opened._lines("manifest") as lines:
        return {cells[0].strip(): cells[1].strip() for cells in islice(lines, 1000) if len(cells) >= 2}


def _mode(opened: Package, name: str, said: str) -> Mode:
    """Whether a file is everything or changes only. Where the manifest and the file contradict each other, the file is right."""
    with opened._lines(name) as lines:
        header, first = next(lines, []), next(lines, [])
    for column in FILES[name]:
        if column not in header:
            raise refused(f"has no column {column} in {name}.csv")
    if any(count > 1 for count in Counter(header).values()):
        raise refused(f"has a column twice in {name}.csv")
    row = dict(zip(header, first, strict=False))
    filled = {bool(row.get(column, "").strip()) for column in ("status", "dateLastModified")}
    if len(filled) == 1 and first:
        return "delta" if filled == {True} else "bulk"
    return "delta" if said == "delta" else "bulk"


def _reader(header: Cells, members: frozenset[str], custom: tuple[str, ...]) -> Callable[[Cells], dict[str, Any]]:
    """What makes an object of a line. Only members that somebody reads are taken out of it: others may be passwords."""
    plain: list[tuple[int, str]] = []
    lists: list[tuple[int, str, Callable[[str], list[Any]]]] = []
    declared: list[tuple[int, str]] = []
    for position, column in enumerate(header):
        several = column.endswith("SourcedIds")
        name = column[: -len("SourcedIds")] + "s" if several else _REST_NAMES.get(column, column.removesuffix("SourcedId"))
        if column.startswith("metadata.") and column.removeprefix("metadata.") in custom:
            declared.append((position, column.removeprefix("metadata.")))
        elif name in members and (several or name in _LISTS):
            lists.append((position, name, _typed if name == "userIds" else _listed))
        elif name in members:
            plain.append((position, name))

    def read(cells: Cells) -> dict[str, Any]:
        row: dict[str, Any] = {name: cells[position] for position, name in plain if cells[position]}
        row.update((name, split(cells[position])) for position, name, split in lists)
        if declared:
            row["metadata"] = {name: cells[position] or None for position, name in declared}
        return row

    return read


def _listed(cell: str) -> list[Any]:
    return [part.strip() for part in cell.split(",") if part.strip()]


def _typed(cell: str) -> list[Any]:
    """User ids, `{type:identifier}` each."""
    return [{"type": kind.strip(), "identifier": value.strip()} for kind, value in re.findall(r"\{([^:{}]+):([^{}]*)\}", cell)]
