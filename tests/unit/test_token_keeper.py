"""Which tokens a keeper renews, in which order and how fast, and what it survives. See also `tests/integration`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manual_clock import ManualClock
from sis_connect.errors import ConfigurationError, ConflictError, NetworkError, SISError, StorageError
from sis_connect.tokens.keeper import INTERVAL, LONGEST_REST, TO_SPARE, Check, DueToken, Pacer, TokenKeeper, Turn, to_renew

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def token(number: int, *, due: float, ends: float | None, idle: bool = False) -> DueToken:
    """A token that is due in `due` seconds and ends in `ends`."""
    return DueToken(
        integration_id=number,
        integration=f"district-{number}",
        due_at=NOW + timedelta(seconds=due),
        expires_at=None if ends is None else NOW + timedelta(seconds=ends),
        renewed_at=NOW,
        idle=idle,
    )


def numbers(tokens: Sequence[DueToken]) -> list[int]:
    return [one.integration_id for one in tokens]


def test_who_is_due_is_renewed_and_the_others_are_left_alone() -> None:
    waiting = [token(1, due=1, ends=601), token(2, due=0, ends=600), token(3, due=-300, ends=300)]
    assert numbers(to_renew(waiting, NOW, 10)) == [3, 2]


def test_an_idle_grant_is_renewed_though_its_access_token_lives_on() -> None:
    waiting = [token(1, due=86400, ends=90000, idle=True), token(2, due=86400, ends=None, idle=True)]
    assert numbers(to_renew(waiting, NOW, 10)) == [2, 1]


def test_who_is_late_already_makes_nobody_else_late() -> None:
    assert numbers(to_renew([token(1, due=-700, ends=-100), token(2, due=0, ends=600)], NOW, 10)) == [2, 1]


def test_a_crowd_is_begun_with_before_it_is_due() -> None:
    crowd = [token(number, due=500, ends=1100) for number in range(1, 10_001)]
    alone = token(0, due=500, ends=1100)
    assert to_renew([alone], NOW, 10) == []
    # A thousand seconds and one to spare are needed: from 40 seconds from now on it would be too late for the last of them.
    assert len(to_renew(crowd, NOW, 10)) == 0
    assert len(to_renew(crowd, NOW + timedelta(seconds=41), 10)) == 10_000


@settings(deadline=None)
@given(
    lives=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 600)), min_size=1, max_size=40),
    rate=st.sampled_from([0.2, 1.0, 5.0]),
)
def test_whoever_can_be_in_time_at_this_rate_is(lives: list[tuple[int, int]], rate: float) -> None:
    """Played through second by second: where there was room for all at the start, nobody is late."""
    tokens = [token(number, due=due, ends=due + margin) for number, (due, margin) in enumerate(lives)]
    in_order = sorted(one.expires_at or NOW for one in tokens)
    spare = TO_SPARE + timedelta(seconds=2 / rate)
    if any(ends < NOW + timedelta(seconds=place / rate) + spare for place, ends in enumerate(in_order, 1)):
        return
    waiting, now = list(tokens), NOW
    while waiting:
        chosen = to_renew(waiting, now, rate)
        if chosen:
            assert chosen[0].expires_at is not None
            assert now < chosen[0].expires_at
            waiting.remove(chosen[0])
        now += timedelta(seconds=1 / rate)


async def test_turns_are_evenly_spread_and_none_is_made_up_for() -> None:
    clock = ManualClock()
    pacer = Pacer(10, clock)
    await asyncio.gather(*(pacer.turn() for _ in range(11)))
    assert clock.monotonic() == pytest.approx(1.0)
    clock.advance(60)
    await asyncio.gather(*(pacer.turn() for _ in range(11)))
    assert clock.monotonic() == pytest.approx(62.0)


class Tokens:
    """A register in memory. `trouble` is raised by whoever looks into it."""

    def __init__(self, *tokens: DueToken) -> None:
        self.tokens = {one.integration_id: one for one in tokens}
        self.trouble: SISError | None = None
        self.taken_over = False
        self.looks = 0

    @asynccontextmanager
    async def on_duty(self) -> AsyncIterator[Check]:
        yield self.check

    async def check(self) -> None:
        if self.taken_over:
            raise ConflictError("Another process keeps the tokens alive.")

    async def waiting(self, now: datetime) -> Sequence[DueToken]:
        self.looks += 1
        if self.trouble is not None:
            raise self.trouble
        return list(self.tokens.values())


class Scene:
    def __init__(self, *tokens: DueToken) -> None:
        self.clock, self.register = ManualClock(NOW), Tokens(*tokens)
        self.renewed: list[int] = []
        self.errors: dict[int, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.most = self.busy = 0
        self.keeper = TokenKeeper(self.register, self.renew, clock=self.clock, rate=10, parallel=4)

    async def renew(self, due: DueToken, turn: Turn) -> None:
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await turn()
            await self.gate.wait()
            if due.integration_id in self.errors:
                raise self.errors[due.integration_id]
            self.renewed.append(due.integration_id)
            self.register.tokens.pop(due.integration_id, None)
        finally:
            self.busy -= 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Run the keeper until something is the case, then stop it."""
        running = asyncio.create_task(self.keeper.run())
        for _ in range(10_000):
            if condition():
                break
            await asyncio.sleep(0)
        assert condition()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def due(count: int) -> list[DueToken]:
    return [token(number, due=-1, ends=600) for number in range(count)]


async def test_no_more_than_some_are_renewed_at_once() -> None:
    scene = Scene(*due(50))
    scene.gate.clear()
    running = asyncio.create_task(scene.keeper.run())
    for _ in range(500):
        await asyncio.sleep(0)
    assert scene.busy == 4
    running.cancel()
    scene.gate.set()
    await asyncio.gather(running, return_exceptions=True)
    await scene.until(lambda: len(scene.renewed) == 50)
    assert (scene.most, scene.keeper.renewed, scene.keeper.failed) == (4, 50, 0)


async def test_p12_districts_that_are_down_or_badly_connected_disturb_no_other() -> None:
    scene = Scene(*due(10))
    scene.errors = {3: NetworkError("The token URL is down."), 4: ValueError("a bug")}
    await scene.until(lambda: len(scene.renewed) == 8)
    assert sorted(scene.renewed) == [0, 1, 2, 5, 6, 7, 8, 9]


async def test_p12_a_crowd_whose_failures_nobody_can_note_takes_nobody_elses_place() -> None:
    """The register names them again with each look; the one behind them would never have its turn."""
    scene = Scene(*due(200), token(999, due=-1, ends=700))
    scene.errors = {number: ConfigurationError("No such plugin is installed.") for number in range(200)}
    await scene.until(lambda: scene.renewed == [999])
    assert scene.keeper.failed <= 2 * 200


async def test_who_fails_again_and_again_is_left_alone_for_longer_and_longer() -> None:
    scene = Scene(*due(1))
    scene.errors = {0: ConfigurationError("No such plugin is installed.")}
    begun = scene.clock.monotonic()
    await scene.until(lambda: scene.clock.monotonic() - begun > 3600)
    assert 3600 / LONGEST_REST <= scene.keeper.failed <= 3600 / LONGEST_REST + 5


async def test_who_was_renewed_by_somebody_else_has_no_need_to_rest() -> None:
    scene = Scene(*due(1))
    scene.errors = {0: ConfigurationError("No such plugin is installed.")}
    await scene.keeper.round()
    await scene.keeper.settle()
    assert await scene.keeper.round() == 0
    scene.register.tokens[0] = replace(scene.register.tokens[0], renewed_at=NOW + timedelta(seconds=1))
    assert await scene.keeper.round() == 1
    await scene.keeper.settle()


async def test_a_token_that_is_being_renewed_is_not_taken_up_again() -> None:
    scene = Scene(*due(1))
    scene.gate.clear()
    for _ in range(3):
        await scene.keeper.round()
        await asyncio.sleep(0)
    scene.gate.set()
    await scene.keeper.settle()
    assert scene.renewed == [0]


async def test_a_database_that_is_away_is_waited_for_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(*due(3))
    scene.register.trouble = StorageError("The database is locked by another process.")
    await scene.until(lambda: scene.register.looks > 20)
    assert caplog.text.count("not kept alive for now") == 1
    assert set(scene.clock.slept) == {INTERVAL}
    scene.register.trouble = None
    await scene.until(lambda: len(scene.renewed) == 3)
    assert caplog.text.count("kept alive again") == 1


async def test_a_keeper_that_was_taken_over_while_it_slept_stands_back() -> None:
    scene = Scene(*due(3))
    scene.register.taken_over = True
    await scene.until(lambda: len(scene.clock.slept) > 5)
    assert scene.renewed == []


async def test_a_keeper_that_is_stopped_finishes_what_it_has_begun() -> None:
    scene = Scene(*due(1))
    scene.gate.clear()
    running = asyncio.create_task(scene.keeper.run())
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    assert (scene.busy, running.done()) == (1, False)
    scene.gate.set()
    await asyncio.gather(running, return_exceptions=True)
    assert scene.renewed == [0]
