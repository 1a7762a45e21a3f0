"""One sync per integration at a time, across processes and machines (promise P10)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roster_fixture import Desk, DeskClock, Killed, student, students
from sis_connect.errors import ConflictError
from sis_connect.store.lease import TERM, _this_host, check_fence, hold_lease, process_is_gone
from sis_connect.store.sql import open_store

NAME = "sync:1"


async def held_by(desk: Desk, *, host: str | None = None, pid: int | None = None, seconds: float = TERM) -> None:
    """Somebody else has the lease."""
    await desk.run(
        "INSERT INTO sis_lease (name, holder, fence, host, pid, expires_at) VALUES (:n, 'other', 7, :h, :p, :e)",
        n=NAME, h=host or _this_host(), p=pid or os.getpid(), e=desk.clock.now().timestamp() + seconds,
    )  # fmt: skip


async def finished_process() -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "")
    await process.wait()
    return process.pid


async def test_p10_of_two_that_start_at_once_one_does_the_work(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    second = Desk(desk.store, desk.sis, desk.clock)
    reports = await asyncio.gather(desk.sync(), second.sync())
    assert sorted(report.status for report in reports) in (["failed", "succeeded"], ["succeeded", "succeeded"])
    assert sum(report.changes.get("students", {}).get("create", 0) for report in reports) == 5
    assert len(await desk.roster("students")) == 5


async def test_p10_a_holder_that_lives_is_not_disturbed(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await held_by(desk)

    async def beat() -> None:
        while True:
            await asyncio.sleep(0)
            await desk.run("UPDATE sis_lease SET expires_at = :e", e=desk.clock.now().timestamp() + TERM)

    beating = asyncio.create_task(beat())
    report = await desk.sync()
    beating.cancel()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None
    assert report.error.category == "conflict"
    assert str(os.getpid()) in report.error.message
    assert await desk.ask("SELECT COUNT(*) FROM sis_sync_operation") == [(0,)]
    assert await desk.roster("students") == {}


async def test_p10_a_holder_that_stopped_answering_is_waited_for_until_its_term_is_over(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await held_by(desk, host="another machine", seconds=12.0)
    begun = desk.clock.monotonic()
    assert (await desk.sync()).status == "succeeded"
    assert 12.0 <= desk.clock.monotonic() - begun < 13.0


async def test_p10_a_holder_whose_process_is_gone_is_succeeded_at_once(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await held_by(desk, pid=await finished_process())
    begun = desk.clock.monotonic()
    assert (await desk.sync()).status == "succeeded"
    assert desk.clock.monotonic() == begun
    assert await desk.ask("SELECT fence FROM sis_lease") == [(8,)]


async def test_p10_the_next_holder_is_another_one(desk: Desk) -> None:
    fences = []
    for _ in range(3):
        async with hold_lease(desk.store, NAME, desk.clock) as lease:
            fences.append(lease.fence)
    assert fences == [1, 2, 3]


async def test_p10_a_late_writer_is_refused(desk: Desk) -> None:
    async with hold_lease(desk.store, NAME, desk.clock) as mine:
        async with desk.store.write() as connection:
            await check_fence(connection, mine)
        await desk.run("UPDATE sis_lease SET holder = 'other', fence = fence + 1")
        with pytest.raises(ConflictError, match="taken over"):
            async with desk.store.write() as connection:
                await check_fence(connection, mine)
    # What it gave back in the end was not its own any more.
    ((expires_at,),) = await desk.ask("SELECT expires_at FROM sis_lease")
    assert expires_at > 0


@pytest.mark.parametrize("pages", [1, 3, 7])
async def test_p10_a_run_that_was_taken_over_writes_nothing_more(desk: Desk, pages: int) -> None:
    feed = desk.sis.put("students", *students(6), size=2)
    await desk.sync()
    before = await desk.everything()
    feed["s0001"] = student("s0001", grade="06")
    taken = 0

    async def take_over() -> None:
        nonlocal taken
        taken += 1
        await desk.run("UPDATE sis_lease SET holder = 'other', fence = fence + 1")

    asked = desk.sis._live

    def live(stream: tuple[str, str], number: int) -> None:
        asked(stream, number)
        if len(desk.sis.asked) == pages:
            tasks.append(asyncio.get_running_loop().create_task(take_over()))

    tasks: list[asyncio.Task[None]] = []
    desk.sis.asked.clear()
    desk.sis._live = live  # type: ignore[method-assign]
    report = await desk.sync()
    await asyncio.gather(*tasks)
    assert taken == 1
    assert (report.status, report.error is not None and report.error.category) == ("failed", "conflict")
    assert await desk.everything() == before


async def test_p10_a_lease_is_renewed_while_it_is_held(tmp_path: Path) -> None:
    class BeatingClock(DeskClock):
        two_terms = asyncio.Event()

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0.01)
            self.advance(seconds)
            if self.monotonic() > 2 * TERM:
                self.two_terms.set()

    clock = BeatingClock()
    async with open_store(f"sqlite:///{tmp_path / 'lease.db'}") as store, hold_lease(store, NAME, clock) as mine:
        await clock.two_terms.wait()
        async with store.write() as connection:
            await check_fence(connection, mine)
        with pytest.raises(ConflictError):
            async with hold_lease(store, NAME, clock, wait=False):
                pass


async def test_p10_a_lease_is_given_back_when_the_run_dies(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    desk.sis.killed_after = 1
    with pytest.raises(Killed):
        await desk.sync()
    desk.sis.killed_after = None
    begun = desk.clock.monotonic()
    assert (await desk.sync()).status == "succeeded"
    assert desk.clock.monotonic() == begun


def test_of_a_process_elsewhere_nothing_can_be_said() -> None:
    assert not process_is_gone("another machine", 1)
    assert not process_is_gone(_this_host(), os.getpid())
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    while process.poll() is None:
        pass
    assert process_is_gone(_this_host(), process.pid)
