"""The database: opening it, one kind of transaction for writing, one for reading, and rows in bulk.

SQLite runs in WAL mode and every writing transaction takes its lock at the start (`BEGIN IMMEDIATE`): without that, two
processes that read and then update lose each other's updates without any error.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sis_connect.errors import ConfigurationError, StorageError

DEFAULT_DATABASE = "sqlite:///sis-connect.db"
#: How long a writer waits for another one, in seconds, before it says that the database is locked.
BUSY_SECONDS = 15.0
_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite"}
_Item = TypeVar("_Item")
_READING = {"sis_connect_reading": True}
_DURABLE = {"sis_connect_durable": True}

# The driver logs each statement with its values, and the library what comes back: pupils' data (promise P7). A host that looks at
# its own database may set the library's loggers as it likes; ours has a name of its own.
_LOGGER = "sis_connect"
for _name in ("aiosqlite", f"sqlalchemy.engine.Engine.{_LOGGER}"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def _async_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "The database URL cannot be read.", remedy="Use a form such as sqlite:///sis-connect.db."
        ) from None
    backend = parsed.get_backend_name()
    if backend not in _ASYNC_DRIVERS:
        raise ConfigurationError(f"A database of type {backend!r} is not supported.", remedy="Use sqlite:///FILE for --database.")
    return parsed.set(drivername=_ASYNC_DRIVERS[backend])


def open_engine(url: str = DEFAULT_DATABASE) -> AsyncEngine:
    """An engine whose `begin()` takes the write lock at once. Plain `sqlite:///FILE` is enough. Connects on first use."""
    try:
        engine = create_async_engine(
            _async_url(url), connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True, logging_name=_LOGGER
        )
    except NoSuchModuleError as error:
        raise ConfigurationError(f"The database driver is not installed ({error}).") from error
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "invalidate", _end_transaction)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-8000", "wal_autocheckpoint=32000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    options = connection.get_execution_options()
    if options.get("sis_connect_reading"):
        connection.exec_driver_sql("BEGIN")
        return
    level = "FULL" if options.get("sis_connect_durable") else "NORMAL"
    if connection.info.get("synchronous", "NORMAL") != level:
        connection.exec_driver_sql(f"PRAGMA synchronous={level}")
        connection.info["synchronous"] = level
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _end_transaction(connection: Any, _record: object, _error: BaseException | None) -> None:
    """End the transaction of a task that was cancelled. Its statement goes on in the driver's thread, and closing the connection
    over it would leave the write lock behind until that statement is collected as garbage."""
    with suppress(Exception):  # a connection that is broken has no transaction to end
        connection.rollback()


def explain(error: Exception) -> StorageError:
    """What went wrong with the database, in words an operator can act on."""
    text = str(getattr(error, "orig", error)).lower()
    for sign, message, remedy in (
        ("readonly", "The database is read-only.", "Make the file and its folder writable for this user."),
        ("read-only", "The database is read-only.", "Make the file and its folder writable for this user."),
        ("full", "The disk that holds the database is full.", "Free some space, then run the same command again."),
        ("locked", "The database is locked by another process.", "Let that process finish or stop it, then try again."),
        ("not a database", "The database file is damaged or no SQLite database.", "Name another file with --database."),
        ("malformed", "The database file is damaged.", "Restore it from a copy, or name another file with --database."),
        ("unable to open", "The database file cannot be opened.", "Check that its folder exists and may be written to."),
    ):
        if sign in text:
            return StorageError(message, remedy=remedy, retryable=sign == "locked")
    # A driver's own message may quote values, so only its class is shown.
    return StorageError(f"The database refused an operation ({type(getattr(error, 'orig', error)).__name__}).")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translate what the database library raises, once, here."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error) from error


class Store:
    """An open database. Reads never wait for writes; writes in this process queue up."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._reading = engine.execution_options(**_READING)
        self._durable = engine.execution_options(**_DURABLE)
        self._one_writer = asyncio.Lock()

    @asynccontextmanager
    async def write(self, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction that may write. Never wait for the network inside it.

        Killed processes lose nothing that was committed. A power cut may take the last moments, unless it is `durable`: that
        waits for the disk, and is for what cannot be had again, such as a refresh token.
        """
        async with self._one_writer:
            with storage_errors():
                async with AsyncExitStack() as stack:
                    transaction = (self._durable if durable else self.engine).begin()
                    connection = await _begun(transaction)
                    stack.push_async_exit(transaction)
                    yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view that writes nothing."""
        with storage_errors():
            async with self._reading.connect() as connection:
                yield connection


async def _begun(transaction: AbstractAsyncContextManager[AsyncConnection]) -> AsyncConnection:
    """Begin to the end even where we are cancelled: half begun, it would have the write lock and belong to nobody."""
    beginning = asyncio.ensure_future(transaction.__aenter__())
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError as cancelled:
        await asyncio.wait({beginning})
        if beginning.exception() is None:
            await transaction.__aexit__(type(cancelled), cancelled, None)
        raise


@asynccontextmanager
async def open_store(url: str = DEFAULT_DATABASE) -> AsyncIterator[Store]:
    """Open a database, bring its schema up to date, and close it in the end. `sqlite://` is a temporary one."""
    from sis_connect.store.migrations import upgrade

    with tempfile.TemporaryDirectory() as folder:
        if url in ("sqlite://", "sqlite:///:memory:"):
            # A file, not memory: several connections have to see the same tables.
            url = f"sqlite:///{Path(folder) / 'roster.db'}"
        engine = open_engine(url)
        try:
            with storage_errors():
                _try_to_open(engine)
                await upgrade(engine)
            yield Store(engine)
        finally:
            await engine.dispose()


def _try_to_open(engine: AsyncEngine) -> None:
    """Fail here where the file cannot be opened: the driver would leave a thread behind that fails once more, at the end."""
    if engine.url.database is not None and engine.url.get_backend_name() == "sqlite":
        sqlite3.connect(engine.url.database).close()


async def fetch(connection: AsyncConnection, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows as the driver has them: plain tuples, by the hundred thousand. `query` is written with `?`."""
    raw = await connection.get_raw_connection()
    rows = await cast(Any, raw.driver_connection).execute_fetchall(query, values)
    return cast("list[tuple[Any, ...]]", rows)


def placeholders(connection: AsyncConnection, count: int) -> str:
    """`count` placeholders in the driver's own style, comma-separated."""
    return ", ".join(["?" if connection.dialect.paramstyle == "qmark" else "%s"] * count)


async def write_many(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, conflict: str = ""
) -> None:
    """Insert rows through the driver's own `executemany`, which is three times faster than through expressions.

    `conflict` is what follows `ON CONFLICT`, such as `(id) DO NOTHING`.
    """
    if not rows:
        return
    names = ", ".join(f'"{column}"' for column in columns)
    clause = f" ON CONFLICT {conflict}" if conflict else ""
    values = placeholders(connection, len(columns))
    await connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({values}){clause}", list(rows))


async def run_many(connection: AsyncConnection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run one statement, written with `?`, for many rows."""
    if rows:
        if connection.dialect.paramstyle != "qmark":
            statement = statement.replace("?", "%s")
        await connection.exec_driver_sql(statement, list(rows))


def chunks(items: Sequence[_Item], size: int = 500) -> Iterator[Sequence[_Item]]:
    """Runs of at most `size` items, for lists in SQL."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
