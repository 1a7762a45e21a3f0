"""What is asked for once, however many want to know."""

from __future__ import annotations

import asyncio
from copy import copy

import pytest

from sis_connect.once import Memory, once


class Asking:
    def __init__(self) -> None:
        self.remembered: dict[str, Memory] = {}
        self.asked = 0

    @once
    async def year(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.asked == 1:
            raise ValueError("not yet")
        return 2027


async def test_callers_at_the_same_time_wait_for_one_answer_and_copies_know_it_too() -> None:
    asking = Asking()
    with pytest.raises(ValueError, match="not yet"):
        await asking.year()  # an error is not remembered
    assert await asyncio.gather(*(each.year() for each in (asking, copy(asking), asking))) == [2027] * 3
    assert asking.asked == 2
