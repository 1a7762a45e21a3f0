"""An export is the local roster, row by row, in the format that was asked for."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sis_connect.cli import exporting
from sis_connect.cli.exporting import WRITERS, Format, opened, written
from sis_connect.errors import ConfigurationError, MissingExtra
from sis_connect.records import Student

STUDENT = Student(
    sis_id="00123",
    given_name='José "Pepe"',
    family_name="O'Brien, Jr",
    ids={"student_number": "7"},
    derived=False,
    middle_name=None,
)
COLUMNS = ["id", *Student.model_fields]
ROW: dict[str, object] = {"id": "41"} | STUDENT.model_dump(mode="json") | {"birth_date": "2013-04-09"}


async def rows(count: int = 3) -> AsyncIterator[dict[str, object]]:
    for number in range(count):
        yield ROW | {"sis_id": f"{number:05}"}


async def exported(format: Format, count: int = 3) -> bytes:  # noqa: A002
    stream = io.BytesIO()
    assert await written(rows(count), lambda: WRITERS[format](stream, "students", COLUMNS)) == count
    return stream.getvalue()


async def test_csv_keeps_leading_zeros_quotes_and_all_columns() -> None:
    lines = list(csv.DictReader(io.StringIO((await exported(Format.csv)).decode(), newline="")))
    assert [line["sis_id"] for line in lines] == ["00000", "00001", "00002"]
    assert (lines[0]["given_name"], lines[0]["family_name"], lines[0]["middle_name"]) == ('José "Pepe"', "O'Brien, Jr", "")
    assert json.loads(lines[0]["ids"]) == {"student_number": "7"}
    assert list(lines[0]) == COLUMNS


async def test_json_lines_are_the_rows_as_they_are() -> None:
    lines = [json.loads(line) for line in (await exported(Format.jsonl)).decode().splitlines()]
    assert lines[1] == ROW | {"sis_id": "00001"}


async def test_parquet_has_dates_and_truth_values_as_such() -> None:
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(await exported(Format.parquet)))
    assert table.column_names == COLUMNS
    types = {name: str(table.schema.field(name).type) for name in COLUMNS}
    assert (types["birth_date"], types["derived"], types["id"]) == ("date32[day]", "bool", "string")
    first: dict[str, Any] = table.to_pylist()[0]
    assert (first["sis_id"], first["birth_date"].isoformat(), first["middle_name"]) == ("00000", "2013-04-09", None)


@pytest.mark.parametrize("format", list(Format))
async def test_many_rows_are_written_in_batches(format: Format, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: A002
    monkeypatch.setattr(exporting, "BATCH", 2)
    assert await exported(format, 5)


@pytest.mark.parametrize("format", list(Format))
async def test_an_empty_roster_is_an_empty_export(format: Format) -> None:  # noqa: A002
    content = await exported(format, 0)
    assert (
        content.decode() == ("" if format is Format.jsonl else ",".join(COLUMNS) + "\n")
        if format is not Format.parquet
        else content
    )


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="arrow"):
        await exported(Format.parquet)


def test_p7_a_file_is_its_owners_and_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "students.csv"
    path.write_text("yesterday's")

    def write(fail: bool) -> None:
        with opened(path) as stream:
            stream.write(b"today's")
            if fail:
                raise ConfigurationError("Something is wrong.")

    with pytest.raises(ConfigurationError):
        write(fail=True)
    assert path.read_text() == "yesterday's"
    write(fail=False)
    assert path.read_text() == "today's"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"), opened(tmp_path / "no folder" / "students.csv"):
        pass
