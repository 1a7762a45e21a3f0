"""The breaker as a state machine: closed, open, half-open, and exactly one probe."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

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
    StorageError,
)
from sis_connect.transport.circuit_breaker import CircuitBreaker


def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("sis.example.org", clock, threshold=3, rest=30)


def state(subject: CircuitBreaker) -> str:
    return subject.state


def fail(subject: CircuitBreaker, error: SISError | None = None) -> None:
    with pytest.raises(SISError), subject.call():
        raise error or NetworkError("The host sis.example.org is not known (DNS).")


def opened(clock: ManualClock) -> CircuitBreaker:
    subject = breaker(clock)
    for _ in range(3):
        fail(subject)
    assert state(subject) == "open"
    return subject


@pytest.mark.parametrize("error", [NetworkError("broke off"), RequestTimedOut("no answer")])
def test_failures_in_a_row_open_it(error: SISError) -> None:
    subject = breaker(ManualClock())
    for _ in range(3):
        assert state(subject) == "closed"
        fail(subject, error)
    assert state(subject) == "open"


def test_a_5xx_counts_whatever_the_plugin_makes_of_it() -> None:
    subject = breaker(ManualClock())
    for _ in range(3):
        with contextlib.suppress(NotOffered), subject.call() as verdict:
            verdict.failed = True
            raise NotOffered("the plugin's own reading of a 500")
    assert state(subject) == "open"


@pytest.mark.parametrize(
    "error", [AuthenticationError("401"), AuthorizationError("403"), NotOffered("404"), RateLimited("429")], ids=str
)
def test_a_refusal_shows_that_the_host_is_alive(error: SISError) -> None:
    subject = breaker(ManualClock())
    fail(subject)
    fail(subject)
    fail(subject, error)
    fail(subject)
    fail(subject)
    assert state(subject) == "closed"


def test_our_own_troubles_show_nothing() -> None:
    subject = breaker(ManualClock())
    fail(subject)
    fail(subject)
    fail(subject, StorageError("disk full"))
    fail(subject)
    assert state(subject) == "open"


def test_a_success_starts_the_count_anew() -> None:
    subject = breaker(ManualClock())
    fail(subject)
    fail(subject)
    with subject.call():
        pass
    fail(subject)
    fail(subject)
    assert state(subject) == "closed"


def test_while_open_no_call_is_made_and_the_error_says_why_and_for_how_long() -> None:
    clock = ManualClock()
    subject = opened(clock)
    clock.advance(10)
    with pytest.raises(CircuitOpen, match="not known") as caught, subject.call():
        pytest.fail("a call was let through")
    assert caught.value.retry_after == pytest.approx(20)


async def test_half_open_lets_exactly_one_of_twenty_through() -> None:
    clock = ManualClock()
    subject = opened(clock)
    clock.advance(31)
    assert state(subject) == "half_open"
    reached = 0

    async def call() -> None:
        nonlocal reached
        with subject.call():
            reached += 1
            await asyncio.sleep(0.01)
            raise NetworkError("still down")

    outcomes = await asyncio.gather(*(call() for _ in range(20)), return_exceptions=True)
    assert reached == 1
    assert sum(isinstance(outcome, CircuitOpen) for outcome in outcomes) == 19
    assert state(subject) == "open"


async def test_a_cancelled_probe_frees_the_place_for_the_next() -> None:
    clock = ManualClock()
    subject = opened(clock)
    clock.advance(31)

    async def hang() -> None:
        with subject.call():
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpen), subject.call():
        pytest.fail("a second probe was let through")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert state(subject) == "half_open"
    with subject.call():
        pass
    assert state(subject) == "closed"


def test_a_probe_that_succeeds_closes_it() -> None:
    clock = ManualClock()
    subject = opened(clock)
    clock.advance(31)
    with subject.call():
        pass
    assert state(subject) == "closed"
    fail(subject)
    fail(subject)
    assert state(subject) == "closed"


def test_a_probe_that_fails_opens_it_for_another_rest() -> None:
    clock = ManualClock()
    subject = opened(clock)
    clock.advance(31)
    fail(subject)
    assert state(subject) == "open"
    clock.advance(29)
    assert state(subject) == "open"
    clock.advance(2)
    assert state(subject) == "half_open"


async def test_a_call_from_before_says_nothing_about_now() -> None:
    clock = ManualClock()
    subject = breaker(clock)
    go_on = asyncio.Event()

    async def slow_success() -> None:
        with subject.call():
            await go_on.wait()

    task = asyncio.create_task(slow_success())
    await asyncio.sleep(0)
    for _ in range(3):
        fail(subject)
    go_on.set()
    await task
    assert state(subject) == "open"
