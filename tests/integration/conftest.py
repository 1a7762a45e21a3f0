"""What the tests of the sync engine share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from changing_sis import ChangingSIS, changing
from roster_fixture import Desk, open_desk
from sis_connect.roster import staged_rows


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """One district's roster on a real SQLite file, its clock and its SIS in the test's hands."""
    async with open_desk(tmp_path) as it:
        yield it


@pytest.fixture
def sis(desk: Desk) -> ChangingSIS:
    """The desk's SIS, where it can list its changes; who is missing is withdrawn at once."""
    desk.settings = {"absence_grace": 0}
    return changing(desk)


@pytest.fixture(params=[3, 2000], ids=["fingerprints kept", "a short stream"])
def any_length(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams whose fingerprints are kept, and such as are too short for that."""
    monkeypatch.setattr(staged_rows, "_WORTH_KEEPING", request.param)
