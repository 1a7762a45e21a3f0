"""Transactions of the store: what they promise beyond what the database does by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from random import Random

import pytest

from sis_connect.store.sql import BUSY_SECONDS, fetch, open_store, write_many


async def test_a_durable_transaction_waits_for_the_disk_and_the_next_one_does_not(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'roster.db'}") as store:
        levels = []
        for durable in (False, True, True, False):
            async with store.write(durable=durable) as connection:
                levels.append((await connection.exec_driver_sql("PRAGMA synchronous")).scalar())
    assert levels == [1, 2, 2, 1]  # NORMAL is 1, FULL is 2


async def test_p7_rows_reach_no_log_though_the_host_logs_its_own_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("sqlalchemy", "sqlalchemy.engine"):
        caplog.set_level(logging.DEBUG, logger=name)
    async with open_store(f"sqlite:///{tmp_path / 'roster.db'}") as store, store.read() as connection:
        assert (await connection.exec_driver_sql("SELECT 'Amaya Synthetic'")).scalar() == "Amaya Synthetic"
    assert "Amaya Synthetic" not in caplog.text


async def test_a_writer_that_is_cancelled_leaves_no_lock_behind(tmp_path: Path) -> None:
    """Wherever that is: while it begins, in the middle of a statement, or while it commits."""
    rows = [(1, "students", str(number), "changed") for number in range(300)]
    chance = Random(1)  # noqa: S311

    async with open_store(f"sqlite:///{tmp_path / 'roster.db'}") as store:

        async def write() -> None:
            while True:
                async with store.write() as connection:
                    await write_many(connection, "sis_candidate", ("integration_id", "kind", "sis_id", "why"), rows)
                    await fetch(connection, "SELECT * FROM sis_candidate LIMIT 2000", ())
                    await connection.exec_driver_sql("DELETE FROM sis_candidate")

        for _ in range(60):
            writing = asyncio.create_task(write())
            await asyncio.sleep(chance.random() * 0.05)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            begun = time.monotonic()
            async with store.write() as connection:
                assert (await connection.exec_driver_sql("SELECT COUNT(*) FROM sis_candidate")).scalar() == 0
            assert time.monotonic() - begun < BUSY_SECONDS / 3
