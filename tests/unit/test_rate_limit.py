"""The limiter as a state machine: time is an argument, nothing sleeps."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual_clock import ManualClock
from sis_connect.transport.rate_limit import MARGIN, Full, Limiter, MemoryWindowLog, Taken, decide, heal, unlimited

WINDOW = 60.0


def limiter(limit: int, clock: ManualClock, log: MemoryWindowLog | None = None) -> Limiter:
    return Limiter(limit, WINDOW, clock=clock, log=log, smooth=False)


def most_in_any_window(moments: list[float], window: float) -> int:
    """The most moments that lie within any half-open stretch of that length."""
    recent: deque[float] = deque()
    most = 0
    for moment in sorted(moments):
        recent.append(moment)
        while recent[0] <= moment - window:
            recent.popleft()
        most = max(most, len(recent))
    return most


@given(
    limit=st.integers(1, 6),
    calls=st.lists(
        st.tuples(
            st.floats(0, 40),  # the caller's own pause before it
            st.floats(0, 5),  # the way to the server
            st.floats(0, 5),  # the way back
        ),
        max_size=60,
    ),
)
def test_p11_no_window_of_the_server_ever_holds_more_than_the_limit(limit: int, calls: list[tuple[float, float, float]]) -> None:
    free_at: dict[int, float] = {}
    under_way: list[tuple[float, int]] = []
    now, arrivals = 0.0, []
    for pause, there, back in calls:
        now += pause
        while True:
            for answered, slot in [call for call in under_way if call[0] <= now]:
                free_at[slot] = answered + WINDOW * MARGIN
                under_way.remove((answered, slot))
            outcome = decide(free_at, limit, now, hold=30 + WINDOW * MARGIN)
            if isinstance(outcome, Taken):
                break
            now = min([now + outcome.seconds, *(answered for answered, _ in under_way if answered > now)])
        free_at[outcome.slot] = outcome.until
        under_way.append((now + there + back, outcome.slot))
        arrivals.append(now + there)
    assert most_in_any_window(arrivals, WINDOW) <= limit


async def test_p11_the_whole_quota_is_used_at_once_and_then_again() -> None:
    clock = ManualClock()
    sent: list[float] = []
    subject = limiter(60, clock)
    for _ in range(180):
        async with subject.slot():
            sent.append(clock.monotonic())
    assert most_in_any_window(sent, WINDOW) == 60
    assert sent[59] == 0
    assert sent[179] == pytest.approx(2 * WINDOW * MARGIN)


async def test_p11_a_slot_rests_from_the_answer_on_not_from_the_sending() -> None:
    clock = ManualClock()
    subject = limiter(1, clock)
    async with subject.slot() as slot:
        clock.advance(7)
        await slot.answered()
        clock.advance(100)  # the body takes its time; that is not the server's count
    assert clock.slept == []
    async with subject.slot():
        assert clock.slept == []
    async with subject.slot():
        assert sum(clock.slept) == pytest.approx(WINDOW * MARGIN)


async def test_a_failed_request_rests_its_slot_too() -> None:
    clock = ManualClock()
    subject = limiter(1, clock)
    with contextlib.suppress(OSError):
        async with subject.slot():
            clock.advance(3)
            raise OSError("no way")
    async with subject.slot():
        assert clock.monotonic() == pytest.approx(3 + WINDOW * MARGIN)


async def test_waiters_are_served_in_the_order_they_came() -> None:
    clock = ManualClock()
    subject = limiter(1, clock)
    served: list[int] = []

    async def call(number: int) -> None:
        async with subject.slot():
            served.append(number)

    await asyncio.gather(*(call(number) for number in range(10)))
    assert served == list(range(10))


class _Patient(ManualClock):
    """Sleepers wait until they are woken by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.wake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.wake.wait()
        self.wake.clear()
        await super().sleep(seconds)


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    clock = _Patient()
    subject = limiter(1, clock)
    async with subject.slot():
        pass
    served: list[str] = []

    async def call(name: str) -> None:
        async with subject.slot():
            served.append(name)

    first, second = asyncio.create_task(call("first")), asyncio.create_task(call("second"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    clock.wake.set()
    await second
    assert served == ["second"]


async def test_a_cancelled_request_gives_its_slot_back() -> None:
    clock = ManualClock()
    log = MemoryWindowLog(clock)
    subject = limiter(1, clock, log)

    async def call() -> None:
        async with subject.slot():
            await asyncio.sleep(60)

    task = asyncio.create_task(call())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    outcome = await log.take("", 1, 30)
    assert isinstance(outcome, Full)
    assert outcome.seconds == pytest.approx(WINDOW * MARGIN)


class _SlowLog(MemoryWindowLog):
    """A log that takes its time, as a busy database does."""

    async def give_back(self, key: str, taken: Taken, rest: float) -> None:
        await asyncio.sleep(0.01)
        await super().give_back(key, taken, rest)


async def test_a_caller_cancelled_while_giving_back_still_gives_back() -> None:
    clock = ManualClock()
    log = _SlowLog(clock)
    subject = limiter(1, clock, log)

    async def call() -> None:
        async with subject.slot() as slot:
            await slot.answered()

    task = asyncio.create_task(call())
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.02)
    outcome = await log.take("", 1, 30)
    assert isinstance(outcome, Full)
    assert outcome.seconds == pytest.approx(WINDOW * MARGIN)


async def test_a_slot_whose_holder_died_comes_back_by_itself() -> None:
    clock = ManualClock()
    log = MemoryWindowLog(clock)
    assert isinstance(await log.take("", 1, 30 + WINDOW * MARGIN), Taken)  # and then its process is killed
    async with limiter(1, clock, log).slot():
        assert clock.monotonic() == pytest.approx(30 + WINDOW * MARGIN, abs=1)


@pytest.mark.parametrize(("before", "after"), [(60, 20), (20, 60), (3, 2), (1, 5)])
async def test_p11_another_limit_holds_at_once(before: int, after: int) -> None:
    clock = ManualClock()
    log = MemoryWindowLog(clock)
    for _ in range(before):
        async with limiter(before, clock, log).slot():
            clock.advance(0.1)
    sent: list[float] = []
    begun = clock.monotonic()
    for _ in range(3 * after):
        async with limiter(after, clock, log).slot():
            sent.append(clock.monotonic())
    assert most_in_any_window(sent, WINDOW) <= after
    fresh = sum(1 for moment in sent if moment == begun)
    assert fresh == max(0, after - before)


async def test_two_limiters_with_one_key_share_the_slots_and_other_keys_have_their_own() -> None:
    clock = ManualClock()
    log = MemoryWindowLog(clock)
    one, two = (Limiter(2, WINDOW, log=log, key="district", clock=clock, smooth=False) for _ in range(2))
    other = Limiter(2, WINDOW, log=log, key="elsewhere", clock=clock, smooth=False)
    async with one.slot(), two.slot(), other.slot():
        assert clock.slept == []
        assert (two.window_left, other.window_left) == (0, 1)


async def test_a_request_that_outlived_its_hold_still_counts_from_its_end() -> None:
    clock = ManualClock()
    log = MemoryWindowLog(clock)
    late = await log.take("", 1, 90)
    clock.advance(91)  # the machine slept; meanwhile another one takes the slot
    other = await log.take("", 1, 90)
    assert isinstance(late, Taken)
    assert isinstance(other, Taken)
    await log.give_back("", late, 60.6)
    await log.give_back("", other, 60.6)
    assert isinstance(await log.take("", 2, 90), Full)


def test_a_clock_that_was_set_back_does_not_block_for_hours() -> None:
    assert heal({0: 3600.0, 1: 50.0}, now=0, hold=90) == {0: 90.0}


async def test_the_window_left_is_told() -> None:
    subject = limiter(3, ManualClock())
    assert subject.window_left == 3
    async with subject.slot():
        assert subject.window_left == 2


async def test_without_a_limit_everything_passes() -> None:
    subject = unlimited()
    assert subject.window_left is None
    for _ in range(1000):
        async with subject.slot() as slot:
            await slot.answered()


async def test_the_pacer_only_takes_the_edge_off_a_burst() -> None:
    subject = Limiter(60, 0.6)
    begun = asyncio.get_running_loop().time()
    for _ in range(60):
        async with subject.slot():
            pass
    assert asyncio.get_running_loop().time() - begun < 0.6 * 0.2
