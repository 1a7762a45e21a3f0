"""Many integrations that are due at once, in a real database: evenly renewed, and none too late.

`tests/benchmarks/tokens.py` does the same with ten thousand.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from crowd import MARGIN, keep_a_crowd
from manual_clock import ManualClock
from renewals import renewals
from sis_connect.errors import ConflictError
from sis_connect.store.moments import to_text
from sis_connect.store.tables import integration, oauth_token
from sis_connect.store.token_register import SQLTokenRegister

CROWD = 200


async def test_a_crowd_that_is_due_at_once_is_renewed_at_the_rate_and_in_time(tmp_path: Path) -> None:
    kept = await keep_a_crowd(tmp_path / "tokens.db", CROWD, rate=10)
    assert (len(kept.at), kept.late) == (CROWD, 0)
    assert kept.most_in_a_second <= 10


async def test_a_crowd_that_needs_longer_than_it_has_is_begun_with_earlier(tmp_path: Path) -> None:
    rate = CROWD / (2 * MARGIN)  # twice as long as there is between due and too late
    kept = await keep_a_crowd(tmp_path / "tokens.db", CROWD, rate=rate, due_in=1500)
    assert (len(kept.at), kept.late) == (CROWD, 0)
    assert kept.most_in_a_second == 1


@pytest.mark.parametrize("days", [30, -30])
async def test_after_a_long_sleep_or_a_clock_that_jumped_all_are_renewed_at_the_same_rate(tmp_path: Path, days: int) -> None:
    kept = await keep_a_crowd(tmp_path / "tokens.db", 50, rate=10, jump=timedelta(days=days))
    assert len(kept.at) == 50
    assert kept.most_in_a_second <= 10
    assert kept.at[-1] - kept.at[0] < 10


async def test_the_keeper_sees_grants_that_a_person_gave_and_that_still_live(tmp_path: Path) -> None:
    clock = ManualClock()
    async with renewals(tmp_path / "tokens.db", clock=clock) as desk:
        await desk.enlist(range(1, 12))
        for number in range(1, 12):
            await desk.consent({"access_token": "access", "refresh_token": "refresh"}, number)
        now, hour = clock.now(), timedelta(hours=1)

        async def alter(number: int, **values: object) -> None:
            async with desk.store.write() as connection:
                await connection.execute(update(oauth_token).where(oauth_token.c.integration_id == number).values(values))

        await alter(2, due_at=to_text(now + 10 * hour), renewed_at=to_text(now - 23 * hour), obtained_at=to_text(now))
        await alter(3, due_at=to_text(now + 10 * hour), renewed_at=to_text(now - 25 * hour), obtained_at=to_text(now))
        await alter(4, due_at=to_text(now + 10 * hour), obtained_at=to_text(now + 9 * hour))
        await alter(5, state="broken")
        await alter(6, state="failing", next_try_at=to_text(now + hour / 6))
        await alter(7, state="failing", next_try_at=to_text(now - hour / 6))
        # By a clock that ran ahead and was set back since; and where a server has asked for so much patience.
        await alter(8, state="failing", next_try_at=to_text(now + 10 * hour), updated_at=to_text(now + 9 * hour))
        await alter(11, state="failing", next_try_at=to_text(now + 10 * hour), updated_at=to_text(now - hour))
        await alter(9, grant_type="client_credentials")
        async with desk.store.write() as connection:
            await connection.execute(update(integration).where(integration.c.id == 10).values(removed_at="2026-11-22"))

        seen = {one.integration_id: one for one in await SQLTokenRegister(desk.store, clock).waiting(now)}
        assert sorted(seen) == [1, 3, 4, 7, 8]
        assert [number for number, one in sorted(seen.items()) if one.idle] == [3, 4]
        assert seen[1].integration == "district-1"


async def test_one_keeper_is_on_duty(tmp_path: Path) -> None:
    async with renewals(tmp_path / "tokens.db") as desk:
        one, other = (SQLTokenRegister(desk.store, desk.clock) for _ in range(2))
        async with one.on_duty() as check:
            await check()
            with pytest.raises(ConflictError, match="keeps the tokens alive"):
                async with other.on_duty():
                    pass
            await desk.ask("SELECT 1")
        async with other.on_duty():
            with pytest.raises(ConflictError):
                await check()
