"""Exports of strangers: what of a zip and its tables is read, and what is refused in a plugin's own words."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from pathlib import Path

import pytest

from sis_connect import table_files
from sis_connect.errors import SISError, UnexpectedResponse
from sis_connect.table_files import day_made, opened_zip, table


def refused(reason: str, remedy: str = "Have it made again.") -> SISError:
    return UnexpectedResponse(f"The export {reason}.", remedy=remedy)


def zipped(*files: tuple[str | zipfile.ZipInfo, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return made


def lines(content: bytes) -> list[list[str]]:
    archive = opened_zip(zipped(("any.csv", content)), refused)
    with table(archive.open, "any.csv", refused) as found:
        return list(found)


def test_a_table_is_read_line_by_line_with_or_without_a_mark_before_it() -> None:
    assert lines(b'a,b\r\n1,"x,\ny"\r\n') == [["a", "b"], ["1", "x,\ny"]]
    assert lines(b"\xef\xbb\xbfa,b\n") == [["a", "b"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a\n\xff\n", "not UTF-8"), (b'a\n"1', "quotes do not match"), (b"a" * 2**20, "a cell is endless")],
    ids=["another encoding", "an open quote", "an endless line"],
)
def test_what_is_no_table_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(UnexpectedResponse, match=f"The export has a any.csv .*{words}"):
        lines(content)


def test_a_zip_with_folders_or_too_much_in_it_or_cut_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnexpectedResponse, match="in folders"):
        opened_zip(zipped(("../any.csv", b"")), refused)
    with pytest.raises(UnexpectedResponse, match="cut off"):
        opened_zip(io.BytesIO(zipped(("any.csv", b"")).getvalue()[:-5]), refused)
    monkeypatch.setattr(table_files, "MAX_BYTES", 10)
    with pytest.raises(UnexpectedResponse, match="would unpack"):
        opened_zip(zipped(("any.csv", b"12345678901")), refused)


def test_a_zip_was_made_when_its_newest_file_was() -> None:
    older, newer = zipfile.ZipInfo("a.csv", (2026, 11, 19, 0, 0, 0)), zipfile.ZipInfo("b.csv", (2026, 11, 20, 23, 0, 0))
    assert day_made(opened_zip(zipped((older, b""), (newer, b"")), refused)) == date(2026, 11, 20)
    assert day_made(opened_zip(zipped((zipfile.ZipInfo("a.csv"), b"")), refused)) is None


def test_a_file_says_when_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "any.csv").write_bytes(b"")
    assert table_files.day_written(tmp_path / "any.csv").year >= 2020
