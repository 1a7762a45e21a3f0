"""Long streams, whose fingerprints are kept together: they shrink and grow, and their reads are killed."""

from __future__ import annotations

import pytest

from roster_fixture import Desk, Killed, student, students
from sis_connect.roster import staged_rows

LONG = 6


@pytest.fixture(autouse=True)
def short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_rows, "_WORTH_KEEPING", LONG - 1)


async def test_a_long_stream_may_become_short_and_long_again(desk: Desk) -> None:
    desk.settings = {"absence_grace": 10_000}
    for number in (LONG + 2, LONG - 2, LONG - 2, LONG + 4, LONG + 4):
        desk.sis.put("students", *students(number))
        assert (await desk.sync()).status in ("succeeded", "held")
    assert len(await desk.roster("students")) == LONG + 4


@pytest.mark.parametrize("resumed", [False, True])
async def test_p4_what_changes_before_a_kill_and_back_after_it_is_back_in_the_roster(desk: Desk, resumed: bool) -> None:
    before = students(LONG + 2)
    desk.sis.put("students", *before, size=2)
    await desk.sync()
    desk.sis.put("students", student("s0000", grade="06"), *before[1:], size=2)
    desk.sis.seconds_per_page, desk.sis.killed_after = 3, 4  # each page is written at once
    with pytest.raises(Killed):
        await desk.sync()
    desk.sis.killed_after = None
    if resumed:
        await desk.sync()
        assert (await desk.student("s0000"))["grade"] == "06"
    else:
        desk.clock.advance(3600)
    desk.sis.put("students", *before, size=2)
    await desk.sync()
    assert (await desk.student("s0000"))["grade"] == "05"


async def test_a_row_that_comes_twice_counts_as_it_came_last_and_so_it_does_next_time(desk: Desk) -> None:
    before = students(LONG + 2)
    desk.sis.put("students", *before)
    await desk.sync()
    twice = [student("s0000", grade="06"), *before[1:], student("s0000", grade="07")]
    for rows, grade in ((twice, "07"), (before, "05"), ([student("s0000", grade="06"), *before[1:]], "06")):
        desk.sis.put("students", *rows, size=3)
        await desk.sync()
        assert (await desk.student("s0000"))["grade"] == grade
