"""Jobs that workers take: the newest first, of each sort so many at once."""

from __future__ import annotations

import asyncio

from sis_connect.job_stack import JobStack


def stack(**room: int) -> JobStack[str]:
    """Jobs such as `a1`, of the sort that their letter names."""
    return JobStack(lambda job: job[0], lambda job: room.get(job[0], 99))


async def test_the_newest_comes_first() -> None:
    jobs = stack()
    for name in ("a1", "b1", "a2"):
        jobs.put(name)
    assert [await jobs.take() for _ in range(3)] == ["a2", "b1", "a1"]


async def test_a_sort_without_room_lets_others_go_first() -> None:
    jobs = stack(a=1)
    for name in ("b1", "a1", "a2"):
        jobs.put(name)
    assert [await jobs.take(), await jobs.take()] == ["a2", "b1"]
    waiting = asyncio.create_task(jobs.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    jobs.done("a2")
    assert await waiting == "a1"


async def test_what_is_put_on_top_wakes_who_waits_and_join_waits_for_all() -> None:
    jobs = stack()
    await jobs.join()
    taken = asyncio.create_task(jobs.take())
    await asyncio.sleep(0)
    jobs.put("a1")
    assert await taken == "a1"
    joined = asyncio.create_task(jobs.join())
    await asyncio.sleep(0)
    assert not joined.done()
    jobs.done("a1")
    await joined
