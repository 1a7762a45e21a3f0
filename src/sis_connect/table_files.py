"""Exports as zips of CSV tables, read as the files of strangers that they are. What is odd is refused in the plugin's own words.

`refused` makes the error: (what is wrong, what to do about it, where that is not the usual). It names files, never their content.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO

from sis_connect.errors import SISError

Refused = Callable[..., SISError]
OpenFile = Callable[[str], AbstractContextManager[IO[bytes]]]

#: More than this, unpacked, is taken for an attack.
MAX_BYTES = 4 * 2**30
_LONGEST = 2**20
#: The first year that a zip can hold, which tools write that know no time.
_NO_TIME = 1980


def opened_zip(file: IO[bytes], refused: Refused) -> zipfile.ZipFile:
    """A zip with plain files, each once, at its root."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError):
        raise refused("is no zip, or is cut off", "Fetch it again; if it stays so, have the export made again.") from None
    infos = archive.infolist()
    if any("/" in info.orig_filename or "\\" in info.orig_filename for info in infos):
        raise refused("has files in folders, where all belong at the root of the zip")
    if any(count > 1 for count in Counter(info.filename for info in infos).values()):
        raise refused("has a file twice")
    if any(info.flag_bits & 1 for info in infos):
        raise refused("is protected by a password", "Have it exported without one, and sent on a protected way.")
    if sum(info.file_size for info in infos) > MAX_BYTES:
        raise refused(f"would unpack to more than {MAX_BYTES // 2**30} GiB")
    return archive


@contextmanager
def table(open_file: OpenFile, name: str, refused: Refused) -> Iterator[Iterator[list[str]]]:
    """The lines of a CSV file, with its header; where they break off, the error says so."""
    try:
        with open_file(name) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as lines:
            yield csv.reader(_short(lines), strict=True)
    except UnicodeDecodeError:
        raise refused(f"has a {name} that is not UTF-8", "Have it exported in UTF-8.") from None
    except csv.Error:
        raise refused(f"has a {name} that is no CSV: quotes do not match, or a cell is endless") from None
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError):
        raise refused(f"has a {name} that cannot be unpacked to its end") from None


def day_made(archive: zipfile.ZipFile) -> date | None:
    """The day on which the newest file of a zip was written, where that is told."""
    return max((day for info in archive.infolist() if (day := _day(info))), default=None)


def day_written(path: Path) -> date:
    """The day on which a file was written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date()


def _day(info: zipfile.ZipInfo) -> date | None:
    try:
        found = date(*info.date_time[:3])
    except ValueError:
        return None  # a month 0, of a tool that knows no time
    return found if found.year > _NO_TIME else None


def _short(lines: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a file, as long as they are lines."""
    while line := lines.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise csv.Error
        yield line
