"""`export`: the local roster as CSV, JSON lines or Parquet, row by row."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Protocol

import typer

from sis_connect.capabilities import Kind
from sis_connect.cli.integrations import Name
from sis_connect.cli.invocation import command, invocation_of, note
from sis_connect.cli.tables import counted
from sis_connect.errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, object]
BATCH = 5_000


class Format(StrEnum):
    """What an export is written as."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


def register(app: typer.Typer) -> None:
    command(app, "export")(export)


async def export(
    context: typer.Context,
    name: Name,
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="Which records, such as students or enrollments.")],
    format: Annotated[Format, typer.Option(help="What to write.")] = Format.csv,  # noqa: A002 - the option is called so
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it, instead of stdout.")] = None,
) -> None:
    """Write one kind of record of the local roster."""
    from sis_connect.store.tables import roster_fields

    columns = ["id", "sis_id", *roster_fields(kind)]
    async with invocation_of(context).service() as service:
        with opened(output) as stream:
            count = await written(service.export(name, kind), lambda: WRITERS[format](stream, kind, columns))
    if output is not None:
        note(f"{counted(count, 'row')} of {kind.replace('_', ' ')} in {output}.")


class Writer(Protocol):
    """Takes rows in batches."""

    def write(self, rows: Sequence[Row]) -> None: ...
    def close(self) -> None: ...


async def written(rows: AsyncIterator[Row], begin: Callable[[], Writer]) -> int:
    """Write all rows, a batch at a time, and count them. Nothing is begun before the first rows have come without an error."""
    count, writer = 0, None
    async for batch in batches(rows):
        writer = writer or begin()
        writer.write(batch)
        count += len(batch)
    (writer or begin()).close()
    return count


async def batches(rows: AsyncIterator[Row]) -> AsyncIterator[list[Row]]:
    """The rows, so many at a time."""
    batch: list[Row] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a file that only its owner can read and that appears once it is whole."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}).", remedy="Name a file in a folder that you may write to."
        ) from error
    try:
        with open(descriptor, "wb") as stream:
            yield stream
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def cell(value: object) -> object:
    """A value as one cell: what has parts becomes JSON text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, tuple)) else value


class CsvWriter:
    def __init__(self, stream: BinaryIO, kind: Kind, columns: Sequence[str]) -> None:
        self._stream = stream
        self._columns = columns
        self._write_lines([columns])

    def write(self, rows: Sequence[Row]) -> None:
        self._write_lines([[cell(row.get(column)) for column in self._columns] for row in rows])

    def _write_lines(self, lines: Sequence[Sequence[object]]) -> None:
        import io

        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(lines)
        self._stream.write(text.getvalue().encode())

    def close(self) -> None:
        """Nothing is left over."""


class JsonLinesWriter:
    def __init__(self, stream: BinaryIO, kind: Kind, columns: Sequence[str]) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        self._stream.write("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())

    def close(self) -> None:
        """Nothing is left over."""


class ParquetWriter:
    def __init__(self, stream: BinaryIO, kind: Kind, columns: Sequence[str]) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            raise MissingExtra("Writing Parquet", "arrow") from error
        self._schema = schema(kind, columns, pa)
        self._table = pa.Table
        self._writer = parquet.ParquetWriter(stream, self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        columns = {
            name: [arrow_value(row.get(name), str(self._schema.field(name).type)) for row in rows] for name in self._schema.names
        }
        self._writer.write_table(self._table.from_pydict(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def schema(kind: Kind, columns: Sequence[str], pa: Any) -> pa.Schema:
    """Dates, numbers and truth values as what they are; all else as text."""
    from datetime import date
    from typing import get_args

    from sis_connect.records import RECORDS

    types = {bool: pa.bool_(), int: pa.int64(), date: pa.date32()}
    fields = RECORDS[kind].model_fields

    def arrow_type(name: str) -> object:
        annotation = fields[name].annotation if name in fields else str
        return next((types[part] for part in [annotation, *get_args(annotation)] if part in types), pa.string())

    return pa.schema([(name, arrow_type(name)) for name in columns])


def arrow_value(value: object, arrow_type: str) -> object:
    """A JSON value as the type that its column has."""
    from datetime import date

    if arrow_type.startswith("date"):
        return date.fromisoformat(str(value)) if value is not None else None
    return cell(value) if arrow_type == "string" else value


WRITERS: dict[Format, Callable[[BinaryIO, Kind, Sequence[str]], Writer]] = {
    Format.csv: CsvWriter,
    Format.jsonl: JsonLinesWriter,
    Format.parquet: ParquetWriter,
}
