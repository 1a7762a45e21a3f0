"""Retries: how often, how long, and what for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    CircuitOpen,
    NetworkError,
    NotOffered,
    RateLimited,
    RequestTimedOut,
    SISError,
    UnexpectedResponse,
)
from sis_connect.oauth.signing import BasicSignature
from sis_connect.transport.retry import Budget, Tries, parse_retry_after, retrying

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


class Flaky:
    """Fails with the errors given, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def attempt(flaky: Flaky, clock: ManualClock, *, attempts: int = 3, seconds_left: float = 300) -> str:
    return await retrying(flaky, attempts=attempts, seconds_left=lambda: seconds_left, clock=clock)


@pytest.mark.parametrize("error", [NetworkError("broke off"), RequestTimedOut("no answer"), RateLimited("429")], ids=str)
async def test_what_may_pass_is_tried_three_times_in_all(error: SISError) -> None:
    clock = ManualClock()
    assert await attempt(Flaky(error, error), clock) == "done"
    hopeless = Flaky(error, error, error, error)
    with pytest.raises(type(error)):
        await attempt(hopeless, clock)
    assert hopeless.calls == 3


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("401"),
        AuthorizationError("403"),
        NotOffered("404"),
        UnexpectedResponse("html"),
        CircuitOpen("resting", retry_after=1),
        NetworkError("bad certificate", retryable=False),
        ValueError("a mistake of ours"),
    ],
    ids=str,
)
async def test_what_will_not_pass_is_not_tried_again(error: Exception) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        await attempt(flaky, ManualClock())
    assert flaky.calls == 1


async def test_the_pauses_are_full_jitter() -> None:
    first, second = set(), set()
    for _ in range(30):
        clock = ManualClock()
        await attempt(Flaky(NetworkError("x"), NetworkError("x")), clock)
        first.add(clock.slept[0])
        second.add(clock.slept[1])
    assert len(first) == 30
    assert all(0 <= pause <= 1 for pause in first)
    assert all(0 <= pause <= 2 for pause in second)
    assert max(second) > 1


async def test_the_server_says_how_long_to_wait() -> None:
    clock = ManualClock()
    unavailable = NetworkError("503")
    unavailable.retry_after = 9
    await attempt(Flaky(RateLimited("429", retry_after=5), unavailable), clock)
    assert clock.slept == [5, 9]


async def test_a_pause_that_outlasts_the_budget_is_not_begun() -> None:
    clock = ManualClock()
    with pytest.raises(RateLimited):
        await attempt(Flaky(RateLimited("429", retry_after=30)), clock, seconds_left=2)
    assert clock.slept == []


async def test_the_budget_stands_still_while_we_queue() -> None:
    async with asyncio.timeout(0.05) as deadline:
        budget = Budget(deadline)
        with budget.paused():
            assert budget.seconds_left() == float("inf")
            await asyncio.sleep(0.08)
        assert 0 < budget.seconds_left() <= 0.05


async def test_what_remains_of_the_budget_runs_on_after_the_queue() -> None:
    async def queue_then_hang() -> None:
        async with asyncio.timeout(0.05) as deadline:
            with Budget(deadline).paused():
                await asyncio.sleep(0.01)
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await queue_then_hang()


OLD, NEW = BasicSignature("district", SecretStr("old")), BasicSignature("district", SecretStr("new"))


async def test_a_refused_token_is_replaced_once_and_at_once() -> None:
    tries = Tries(at_most=1)
    tries.begin()
    refused = AuthenticationError("401")
    tries.refused(OLD, refused)
    assert tries.worth_repeating(refused)
    assert (refused.retry_after, tries.limit) == (0, 2)
    tries.begin()
    tries.refused(NEW, again := AuthenticationError("401"))
    assert not tries.worth_repeating(again)


def test_a_failure_to_get_another_token_is_an_ordinary_failure() -> None:
    tries = Tries(at_most=1)
    tries.begin()
    tries.refused(OLD, AuthenticationError("401"))
    tries.begin()
    assert not tries.worth_repeating(NetworkError("the token URL is down"))


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("5", None, 5),
        (" 120 ", None, 120),
        ("0", None, 0),
        ("1.5", None, 1.5),
        ("Sun, 22 Nov 2026 08:00:30 GMT", None, 30),
        ("Sun, 22 Nov 2026 07:00:00 GMT", None, 0),
        ("Sun, 22 Nov 2026 09:00:30 GMT", "Sun, 22 Nov 2026 09:00:00 GMT", 30),
        ("Sun, 22 Nov 2026 08:00:30 -0000", None, 30),
        ("99999999999999", None, 86400),
        ("9" * 400, None, 86400),
        ("Sun, 22 Nov 2099 08:00:30 GMT", None, 86400),
        ("soon", None, None),
        ("-5", None, None),
        ("", None, None),
        ("²", None, None),
        ("Sun, 99 Nov 2026 08:00:30 GMT", None, None),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(value: str | None, date: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW, date=date) == seconds
