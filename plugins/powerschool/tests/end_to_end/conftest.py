"""One district of 200 students behind a sandbox for all these files, and offices that are connected to it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from office import Office
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox


@pytest.fixture(scope="session")
def district() -> Iterator[RunningSandbox]:
    """With twelve pages of students."""
    with running_sandbox(discover().info("powerschool"), students=200, settings={"student_page_size": "17"}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(district: RunningSandbox) -> Iterator[RunningSandbox]:
    """The district on day 0, without faults; and so it is left."""
    unchanged = dict(district._app.sandbox.settings)
    yield district
    district.clear_faults()
    district.set(**unchanged)
    if district.district.day:
        district.set_day(0)


@pytest.fixture
def office(sandbox: RunningSandbox, tmp_path: Path) -> Office:
    """An office with an empty database."""
    return Office(sandbox, tmp_path / "roster.db")


@pytest.fixture(scope="session")
def first_synced(district: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an office that has made its first sync. What fails is not tried again, and absence counts at once."""
    office = Office(district, tmp_path_factory.mktemp("first") / "roster.db")

    async def first_sync() -> None:
        await office.connect(max_attempts="1", absence_grace="0")
        assert (await office.sync()).status == "succeeded"

    asyncio.run(first_sync())
    return office.database.parent


@pytest.fixture
def synced(sandbox: RunningSandbox, first_synced: Path, tmp_path: Path) -> Office:
    """An office of its own after the first sync of day 0."""
    folder = tmp_path / "synced"
    shutil.copytree(first_synced, folder)
    return Office(sandbox, folder / "roster.db")
