"""Renewals that are killed at random instants, and what was left of the grants afterwards."""

from __future__ import annotations

import random
from asyncio.subprocess import Process
from dataclasses import dataclass
from pathlib import Path

from oauth_server import OAuthServer
from renewals import Renewals, nursery, renewals, told
from sis_connect.tokens.token import GrantBroken


@dataclass
class Kills:
    """How many renewals were killed, how far they had come, and how many grants were lost."""

    trials: int = 0
    before_the_server_rotated: int = 0
    rotated_and_not_committed: int = 0
    committed: int = 0
    ended_before: int = 0
    lost_in_between: int = 0
    lost_after_commit: int = 0
    lost_before_the_server_rotated: int = 0


async def kill_while_renewing(server: OAuthServer, database: Path, trials: int) -> Kills:
    """Kill as many renewals, each of an integration of its own, and try each grant again afterwards."""
    kills = Kills()
    chance = random.Random(20261122)  # noqa: S311 - no secret
    async with (
        renewals(database, server.token_url) as desk,
        nursery(database, server.token_url) as mother,
    ):
        # How long one takes that is left alone: from its beginning, and from when it asks the server.
        takes = {after: await _left_alone(desk, server, mother, after) for after in ("beginning", "asking")}
        for number in range(10, trials + 10):
            planted = await desk.consent(server.consented(), number)
            asked = server.count("refresh_token")
            # Two of three where it matters: most of a renewal is spent before the server hears of it.
            after, earliest = chance.choice([("beginning", 0.0), ("asking", 0.4), ("asking", 0.4)])
            report = await told(mother, f"kill {number} {chance.uniform(earliest, 1.2) * takes[after]:.6f} {after}")
            stored = (await desk.tokens(number).load()).token
            committed = stored is not None and stored.refresh_token != planted.refresh_token
            try:
                await desk.manager(number).renew()
                lost = False
            except GrantBroken:
                lost = True
            # Besides the one that tries again: the server may hear of a request after its sender is gone.
            rotated = server.count("refresh_token") > asked + 1
            kills.trials += 1
            kills.ended_before += report["ended"]
            if committed:
                kills.committed += 1
                kills.lost_after_commit += lost
            elif rotated:
                kills.rotated_and_not_committed += 1
                kills.lost_in_between += lost
            else:
                kills.before_the_server_rotated += 1
                kills.lost_before_the_server_rotated += lost
    return kills


async def _left_alone(desk: Renewals, server: OAuthServer, mother: Process, after: str) -> float:
    took = []
    for number in (1, 2, 3):
        await desk.consent(server.consented(), number)
        took.append(float((await told(mother, f"kill {number} 30 {after}"))["took"]))
    return sorted(took)[1]
