"""Transactions of the store: what they promise beyond what the database does by itself."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sis_connect.store.sql import open_store


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
