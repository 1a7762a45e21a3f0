"""One renewal, however many processes ask at once; and a process that is killed at any instant of one.

The server rotates refresh tokens and ends a grant whose former refresh token comes again (Authlib's; see `oauth_authority`).
`tests/benchmarks/tokens.py` does the same more often and measures.
"""

from __future__ import annotations

from pathlib import Path

from oauth_server import oauth_server
from renewals import nursery, renewals, told
from token_kills import kill_while_renewing

PROCESSES, CALLERS = 4, 25
KILLS = 10


async def test_four_processes_with_twentyfive_callers_each_renew_once(tmp_path: Path) -> None:
    database = tmp_path / "tokens.db"
    with oauth_server() as server:
        async with renewals(database, server.token_url) as desk, nursery(database, server.token_url) as mother:
            await desk.consent(server.consented())
            heard = await told(mother, f"flock 1 {PROCESSES} {CALLERS}")
            assert [one["errors"] for one in heard] == [[]] * PROCESSES
            (token,) = {token for one in heard for token in one["tokens"]}
            assert server.accepts(token)
            assert [name for one in heard for name in one["events"]] == ["token.renewed"]
            # One entry for the consent, one for the renewal.
            assert await desk.ask("SELECT action FROM sis_audit WHERE integration = 'district-1' ORDER BY id") == [
                ("token.obtained",), ("token.renewed",),
            ]  # fmt: skip
            assert (server.count("refresh_token"), server.reuses) == (1, 0)

            # And where the grant is not accepted any more: one request, one event, one entry in the audit.
            await desk.consent(server.consented(), 2)
            server.withdraw()
            heard = await told(mother, f"flock 2 {PROCESSES} {CALLERS}")
            assert [one["errors"] for one in heard] == [["GrantBroken"] * CALLERS] * PROCESSES
            assert [name for one in heard for name in one["events"]] == ["token.broken"]
            assert await desk.ask(
                "SELECT COUNT(*) FROM sis_audit WHERE action = 'token.broken' AND integration = 'district-2'"
            ) == [(1,)]
            assert server.count("refresh_token") == 2


async def test_p4_a_renewal_that_is_killed_loses_no_grant_whose_token_was_written(tmp_path: Path) -> None:
    with oauth_server() as server:
        killed = await kill_while_renewing(server, tmp_path / "tokens.db", KILLS)
    assert killed.lost_after_commit == 0
    assert killed.lost_before_the_server_rotated == 0
    assert killed.trials == KILLS
