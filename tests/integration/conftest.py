"""What the tests of the sync engine share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roster_fixture import Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """One district's roster on a real SQLite file, its clock and its SIS in the test's hands."""
    async with open_desk(tmp_path) as it:
        yield it
