"""Transactions of the store: what they promise beyond what the database does by itself."""

from __future__ import annotations

from pathlib import Path

from sis_connect.store.sql import open_store


async def test_a_durable_transaction_waits_for_the_disk_and_the_next_one_does_not(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'roster.db'}") as store:
        levels = []
        for durable in (False, True, True, False):
            async with store.write(durable=durable) as connection:
                levels.append((await connection.exec_driver_sql("PRAGMA synchronous")).scalar())
    assert levels == [1, 2, 2, 1]  # NORMAL is 1, FULL is 2
