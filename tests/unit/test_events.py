"""Listeners hear what happened, and can do no harm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sis_connect.events import Event, tell

EVENT = Event("token.broken", "lincoln", datetime(2026, 11, 22, 8, 0, tzinfo=UTC), {"error": "refused"})


def test_a_listener_is_told() -> None:
    heard: list[Event] = []
    tell(heard.append, EVENT)
    tell(None, EVENT)
    assert heard == [EVENT]


def test_p7_a_listener_that_raises_is_contained_and_its_words_stay_with_it(caplog: pytest.LogCaptureFixture) -> None:
    def listener(event: Event) -> None:
        raise RuntimeError("Amy Miller")

    tell(listener, EVENT)
    assert "A listener failed on token.broken (RuntimeError)." in caplog.text
    assert "Amy" not in caplog.text
