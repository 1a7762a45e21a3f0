"""The garbage collector's pace: slowed down while a run lasts, and as it was afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sis_connect.roster.collecting import seldom_collecting


@pytest.fixture(autouse=True)
def usual() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield gc.get_threshold()
    gc.set_threshold(*before)


def test_the_pace_returns_after_the_last_of_several_runs() -> None:
    with seldom_collecting():
        slow = gc.get_threshold()
        with seldom_collecting():
            assert gc.get_threshold() == slow
        assert gc.get_threshold() == slow
    assert slow[0] > 700
    assert gc.get_threshold() == (700, 10, 10)


def test_the_pace_returns_after_a_failure() -> None:
    with pytest.raises(ValueError, match="failed"), seldom_collecting():
        raise ValueError("failed")
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [(0, 0, 0), (1_000_000, 5, 5)])
def test_a_host_that_collects_even_less_keeps_its_pace(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with seldom_collecting():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_a_pace_that_the_host_sets_meanwhile_stays() -> None:
    with seldom_collecting():
        gc.set_threshold(123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)
