"""What people give us: wrong settings, and databases that cannot be used. Each is one clear sentence with its remedy."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from office import STUDENTS_ONLY, Office, settings
from sis_connect.errors import ConfigurationError, StorageError
from sis_connect.service import SISService
from sis_connect.store import sql


@pytest.mark.parametrize(
    ("base_url", "says"),
    [
        ("sis.example.org", "https://"),
        ("http://sis.example.org", "https://"),
        ("https://sis.example.org/district", "https://sis.example.org"),
        ("https://user:word@sis.example.org", "password"),
        ("https://sis.example.org?x=1", "query"),
        ("ftp://sis.example.org", "https://"),
        ("", "https://"),
    ],
)
async def test_a_base_url_that_cannot_be_meant_is_refused_with_what_to_do(office: Office, base_url: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        await office.connect(base_url=base_url)
    assert says in str(refused.value)
    assert refused.value.remedy
    assert "word" not in str(refused.value).replace("password", "")


async def test_a_base_url_with_a_slash_at_its_end_is_meant(office: Office) -> None:
    await office.connect(base_url=f"{office.sandbox.base_url}/")
    assert (await office.sync(kinds=["schools"])).status == "succeeded"


async def test_a_server_that_nobody_knows_is_a_network_failure(office: Office) -> None:
    await office.connect(base_url="https://sis.example.org", max_attempts=1)
    report = await office.sync()
    assert report.error is not None
    assert (report.status, report.error.category) == ("failed", "network")


@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
async def test_missing_credentials_are_named(office: Office, missing: str) -> None:
    given = settings(office.sandbox).model_copy(update={missing: None})
    async with office.open() as service:
        await service.create_integration("lincoln", given)
        with pytest.raises(ConfigurationError, match="client id and a client secret"):
            await service.sync("lincoln")


def not_a_database(path: Path) -> None:
    path.write_bytes(b"This is no database. " * 200)


def of_a_newer_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE sis_schema_version (version_num TEXT)")
        connection.execute("INSERT INTO sis_schema_version VALUES ('2999')")


def cut_off(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 50)
    path.write_bytes(path.read_bytes()[:5000])


def content(path: Path) -> bytes:
    """What a file holds, apart from its header, where the journal's mode is noted."""
    return path.read_bytes()[100:] if path.is_file() else b""


@pytest.mark.parametrize("spoil", [not_a_database, of_a_newer_version, cut_off, Path.mkdir])
async def test_a_file_that_is_no_database_of_ours_is_refused_and_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "roster.db"
    spoil(path)
    before = content(path)
    with pytest.raises(StorageError) as refused:
        async with SISService.open(f"sqlite:///{path}") as service:
            await service.integrations()
    assert refused.value.remedy
    assert content(path) == before


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="folder"):
        async with SISService.open(f"sqlite:///{tmp_path}/nowhere/roster.db"):
            pass


async def test_a_database_that_may_not_be_written_to_fails_in_a_sentence(synced: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind every user, so the connection itself is made read-only."""
    before = await synced.content()
    prepare = sql._prepare

    def read_only(connection: object, record: object) -> None:
        prepare(connection, record)
        connection.cursor().execute("PRAGMA query_only=ON")  # type: ignore[attr-defined]

    monkeypatch.setattr(sql, "_prepare", read_only)
    async with synced.open() as service:
        report = await service.sync("lincoln")
    assert report.error is not None
    assert (report.status, report.exit_code, report.error.category) == ("failed", 1, "storage")
    assert "read-only" in report.error.message
    monkeypatch.undo()
    assert await synced.content() == before


async def test_a_full_disk_fails_in_a_sentence_and_the_next_sync_goes_on(synced: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await synced.content()
    prepare = sql._prepare
    [(pages,)] = synced.query("PRAGMA page_count")

    def nearly_full(connection: object, record: object) -> None:
        prepare(connection, record)
        connection.cursor().execute(f"PRAGMA max_page_count={pages + 2}")  # type: ignore[attr-defined]

    synced.sandbox.set_day(40)
    monkeypatch.setattr(sql, "_prepare", nearly_full)
    async with synced.open() as service:
        report = await service.sync("lincoln", full=True)
    assert report.error is not None
    assert (report.status, report.error.category) == ("failed", "storage")
    assert "full" in report.error.message
    monkeypatch.undo()
    assert (await synced.content())["schools"] == before["schools"]
    assert (await synced.sync()).error is None


async def test_a_database_that_another_process_holds_fails_in_a_sentence(synced: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(synced.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        report = await synced.sync()
        other.execute("ROLLBACK")
    assert report.error is not None
    assert (report.status, report.error.category, report.error.retryable) == ("failed", "storage", True)
    assert "locked" in report.error.message
    assert (await synced.sync(kinds=STUDENTS_ONLY)).status == "succeeded"


async def test_a_lost_key_is_an_error_and_no_new_key_is_made(synced: Office) -> None:
    key = synced.database.parent / "sis-connect.key"
    key.rename(key.with_suffix(".lost"))
    with pytest.raises(ConfigurationError, match="key"):
        await synced.sync()
    assert not key.exists()


async def test_another_key_is_an_error(synced: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIS_CONNECT_KEY", "A" * 43)
    with pytest.raises(ConfigurationError, match="key"):
        await synced.sync()


async def test_the_key_is_for_its_owner_alone(synced: Office) -> None:
    assert os.stat(synced.database.parent / "sis-connect.key").st_mode & 0o077 == 0
