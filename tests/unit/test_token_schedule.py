"""When to renew, and when to try again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sis_connect.tokens.schedule import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    asking_to_wait,
    due_at,
    hold_for,
    pause_after,
    share_of,
    still_to_wait,
)
from sis_connect.tokens.token import AccessToken, StoredToken

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)


def token(seconds: float | None, text: str = "new") -> StoredToken:
    ends = None if seconds is None else NOW + timedelta(seconds=seconds)
    return StoredToken(access_token=AccessToken(text), obtained_at=NOW, expires_at=ends)


def left(seconds: float, *, jitter: float = 0.0, renews_early: bool = True, former: StoredToken | None = None) -> float:
    """How much of the life is left when the token is due."""
    fetched = token(seconds)
    due = due_at(fetched, former, renews_early=renews_early, renew_before=TEN_MINUTES, jitter=jitter)
    assert due is not None
    assert fetched.expires_at is not None
    return (fetched.expires_at - due).total_seconds()


def test_ten_minutes_or_a_quarter_of_the_life_whichever_is_less() -> None:
    assert [left(seconds) for seconds in (1, 100, 2400, 3600, 2_592_000)] == [0.25, 25, 600, 600, 600]


@given(seconds=st.floats(1, 2_592_000), jitter=st.floats(-1, 2))
def test_jitter_only_makes_it_earlier_and_leaves_half_of_the_life(seconds: float, jitter: float) -> None:
    ahead = min(600, seconds / 4)
    assert ahead - 1e-5 <= left(seconds, jitter=jitter) <= 2 * ahead + 1e-5
    assert left(seconds, jitter=jitter) <= seconds / 2 + 1e-5


def test_a_server_that_hands_out_the_same_token_is_asked_when_it_has_ended() -> None:
    assert left(3600, former=token(7200, "new")) == 0
    assert left(3600, former=token(7200, "another")) == 600
    assert left(3600, renews_early=False, jitter=1) == 0


def test_a_token_without_an_end_is_renewed_when_it_is_refused() -> None:
    assert due_at(token(None), None, renews_early=True, renew_before=TEN_MINUTES, jitter=1) is None


def test_a_thousand_integrations_are_spread_over_the_time() -> None:
    shares = sorted(share_of(f"district-{number}") for number in range(1000))
    assert 0 <= shares[0] < shares[-1] < 1
    # Ten minutes in a thousand seconds of a jitter: in no second more than a few are due.
    seconds = [int(600 * share) for share in shares]
    assert max(seconds.count(second) for second in set(seconds)) <= 10
    assert share_of("lincoln") == share_of("lincoln")


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_pauses_double_up_to_a_quarter_of_an_hour(failures: int, chance: float) -> None:
    pause = pause_after(failures, chance)
    assert FIRST_PAUSE / 2 <= pause <= LONGEST_PAUSE
    assert pause_after(failures, 0) <= pause_after(failures + 1, 0) <= 2 * pause_after(failures, 0)
    assert pause_after(failures, 1) * 2 == pause_after(failures, 0)


def test_what_was_refused_holds_back_at_once_and_what_may_pass_more_and_more() -> None:
    assert [hold_for(n, retryable=False, asked=0) for n in (1, 2, 50)] == [15, 15, 15]
    assert [hold_for(n, retryable=True, asked=0) for n in (1, 2, 3, 4, 5, 6, 7, 50)] == [0, 0, 1, 2, 4, 8, 15, 15]
    assert [hold_for(1, retryable=True, asked=asked) for asked in (9, 3600)] == [9, 15]


def test_a_server_that_asks_for_patience_is_understood_by_whoever_reads_what_was_noted() -> None:
    words = asking_to_wait("Too many requests.", NOW, 600)
    seen = [still_to_wait(words, NOW + timedelta(seconds=seconds)) for seconds in (-3600, -11, -5, 0, 1, 599, 600, 10**9)]
    assert seen == [0, 0, 600, 600, 599, 1, 0, 0]


def test_other_words_ask_for_no_patience() -> None:
    for words in (
        None,
        "The token URL is down.",
        "Asked at 2026-99-22T08:00:00+00:00 to wait 600 seconds.",
        "Asked at 2026-11-22T08:00:00 to wait 600 seconds.",
        "Asked at 2026-11-22T08:00:00+00:00 to wait 1e99 seconds.",
        asking_to_wait("Too many requests.", NOW, 600) + " And more.",
    ):
        assert still_to_wait(words, NOW) == 0
