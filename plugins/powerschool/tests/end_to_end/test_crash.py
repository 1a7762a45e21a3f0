"""A crash loses nothing (P4): killed at any instant, the next run ends where an uninterrupted one would have ended."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from crashing_sync import syncing
from office import OFFERED, STUDENTS_ONLY, Office, Row, differences, expected

#: A first sync of this district commits some thirty times, and so does that of a busy day.
COMMITS = 25
#: Twice in a row, before or after one of the run's commits.
INSTANTS = [[chance.randrange(2, 2 * COMMITS) / 2 for _ in range(2)] for chance in map(Random, range(2))]
#: Seconds after which the clock kills, wherever the run may be.
DRAWN = [chance.uniform(0.1, 2.5) for chance in map(Random, range(3))]
SIGKILL = -9


async def killed(office: Office, instants: Sequence[float]) -> None:
    for instant in instants:
        process = syncing(office.url, office.sandbox.date, kill_at=instant)
        process.join()
        assert process.exitcode in (SIGKILL, 0)
    assert process.exitcode == SIGKILL or min(instants) > COMMITS / 2


async def without_duplicates(office: Office) -> dict[str, dict[str, Row]]:
    """The roster's content, each record of which is there once, mapped to its own row."""
    content = await office.content()
    for kind in OFFERED:
        [(rows, distinct)] = office.query(f"SELECT COUNT(*), COUNT(DISTINCT sis_id) FROM roster_{kind}")
        assert rows == distinct == len(content[kind])
        mapping = f"sis_{kind.removesuffix('s')}_mapping"
        astray = f"SELECT m.sis_id FROM {mapping} m LEFT JOIN roster_{kind} r ON CAST(r.id AS TEXT) = m.local_id"
        assert office.query(f"{astray} WHERE m.local_id IS NOT NULL AND r.sis_id IS NOT m.sis_id") == []
    return content


@pytest.mark.parametrize("instants", INSTANTS, ids=str)
async def test_p4_a_first_sync_that_is_killed_twice_ends_like_an_uninterrupted_one(
    office: Office, synced: Office, instants: list[float]
) -> None:
    await office.connect(absence_grace="0")
    await killed(office, instants)
    assert (await office.sync()).status == "succeeded"
    assert await without_duplicates(office) == await synced.content()
    assert (await office.sync()).changes["students"] == {"unchanged": 200}


async def test_p4_a_first_sync_that_is_killed_by_the_clock_ends_like_an_uninterrupted_one(office: Office, synced: Office) -> None:
    """Anywhere at all, not only beside a commit. Drawn by seeds; where it falls, the machine's pace decides."""
    await office.connect(absence_grace="0")
    for seconds in DRAWN:
        process = syncing(office.url, office.sandbox.date)
        process.join(timeout=seconds)
        process.kill()
        process.join()
        assert process.exitcode in (SIGKILL, 0)
    assert (await office.sync()).status == "succeeded"
    assert await without_duplicates(office) == await synced.content()
    assert (await office.sync()).changes["students"] == {"unchanged": 200}


@pytest.fixture(scope="session")
def busy_day() -> dict[str, dict[str, Row]]:
    """What the roster holds after an uninterrupted sync of day 40, once that is known."""
    return {}


@pytest.mark.parametrize("instants", INSTANTS, ids=str)
async def test_p4_a_daily_sync_that_is_killed_twice_ends_like_an_uninterrupted_one(
    synced: Office, busy_day: dict[str, dict[str, Row]], tmp_path: Path, instants: list[float]
) -> None:
    synced.sandbox.set_day(40)
    if not busy_day:
        shutil.copytree(synced.database.parent, tmp_path / "uninterrupted")
        uninterrupted = Office(synced.sandbox, tmp_path / "uninterrupted" / "roster.db")
        assert (await uninterrupted.sync()).status == "held"
        busy_day |= await uninterrupted.content()
    await killed(synced, instants)
    assert (await synced.sync()).status == "held"
    assert await without_duplicates(synced) == busy_day


async def test_p4_a_killed_run_is_written_down_as_interrupted(synced: Office) -> None:
    await killed(synced, [3])
    await synced.sync(kinds=["schools"])
    async with synced.open() as service:
        states = [operation.status for operation in await service.operations("lincoln")]
    assert states == ["succeeded", "interrupted", "succeeded"]


async def test_p4_an_approval_that_is_killed_is_asked_for_again(synced: Office) -> None:
    synced.sandbox.set_day(192)
    await synced.sync(kinds=STUDENTS_ONLY)
    before = await synced.content()
    process = syncing(synced.url, synced.sandbox.date, kill_at=3.5, approve=True)
    process.join()
    assert process.exitcode == SIGKILL
    assert await synced.content() == before
    report = await synced.sync(kinds=STUDENTS_ONLY)
    assert {hold.state for hold in report.holds} == {"open"}
    await synced.approve_all()
    assert differences(await synced.roster("students"), expected(synced.sandbox, "students")) == []
