"""A token in the database: sealed, one transaction with its audit entry, and renewed by whoever holds the right to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from manual_clock import ManualClock
from renewals import Renewals, renewals
from rotating_grant import RotatingGrant
from sis_connect.errors import ConfigurationError, ConflictError, NetworkError, StorageError
from sis_connect.store import lease as leasing
from sis_connect.store.sealed import SEALED_AS
from sis_connect.store.sql import Store, open_engine
from sis_connect.store.token_store import SQLTokenStore
from sis_connect.tokens.token import AccessToken, GrantBroken, StoredToken
from sis_connect.tokens.token_manager import TokenManager
from sis_connect.tokens.vault import Vault, new_key

DOWN = NetworkError("The token URL is down.")


class Scene:
    """An integration with a consent, in a database."""

    def __init__(self, desk: Renewals, clock: ManualClock) -> None:
        self.desk, self.clock, self.grant = desk, clock, RotatingGrant(clock)
        self.engines: list[AsyncEngine] = []
        self.manager = self.desk.manager(grant=self.grant)

    async def consent(self) -> None:
        await self.manager.adopt(self.grant.token())

    def sibling(self) -> TokenManager:
        """As another process would have it: with a connection of its own."""
        engine = open_engine(str(self.desk.store.engine.url.set(drivername="sqlite")))
        self.engines.append(engine)
        other = Renewals(Store(engine), self.desk.vault, clock=self.clock, events=self.desk.events)
        return other.manager(grant=self.grant)

    async def row(self) -> dict[str, object]:
        columns = ("state", "failures", "next_try_at", "last_error", "grant_type", "scope", "due_at", "renewed_at")
        (row,) = await self.desk.ask(f"SELECT {', '.join(columns)} FROM sis_oauth_token")
        return dict(zip(columns, row, strict=True))

    async def audit(self) -> list[str]:
        return [action for (action,) in await self.desk.ask("SELECT action FROM sis_audit ORDER BY id")]

    @property
    def events(self) -> list[str]:
        return [event.name for event in self.desk.events]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock = ManualClock()
    async with renewals(tmp_path / "tokens.db", clock=clock) as desk:
        scene = Scene(desk, clock)
        yield scene
        for engine in scene.engines:
            await engine.dispose()


async def text(manager: TokenManager, rejected: str | None = None) -> str:
    return (await manager.token(None if rejected is None else AccessToken(rejected))).get_secret_value()


# -- what is kept ------------------------------------------------------------------------------------------------------


async def test_p7_a_token_outlives_the_process_sealed(scene: Scene, tmp_path: Path) -> None:
    await scene.consent()
    assert await text(scene.sibling()) == "access-1"
    assert scene.grant.asked == 0
    stored = b"".join((tmp_path / name).read_bytes() for name in ("tokens.db", "tokens.db-wal"))
    assert b"sis_oauth_token" in stored
    assert b"access-1" not in stored
    assert b"refresh-1" not in stored
    state = await scene.desk.tokens().load()
    assert state.token == scene.grant.token()
    assert "access-1" not in repr(state)
    assert "refresh-1" not in repr(state)


async def test_a_token_is_kept_with_its_state_and_its_entry_in_the_audit(scene: Scene) -> None:
    await scene.consent()
    scene.clock.advance(3600)
    assert await text(scene.manager) == "access-2"
    now = scene.clock.now()
    assert await scene.row() == {
        "state": "active",
        "failures": 0,
        "next_try_at": None,
        "last_error": None,
        "grant_type": "refresh_token",
        "scope": "roster",
        "due_at": (now + timedelta(seconds=3000)).isoformat(),
        "renewed_at": now.isoformat(),
    }
    assert await scene.audit() == scene.events == ["token.obtained", "token.renewed"]
    ((actor, name, detail),) = await scene.desk.ask("SELECT actor, integration, detail FROM sis_audit ORDER BY id DESC LIMIT 1")
    assert (actor, name) == ("a test", "district-1")
    assert json.loads(detail) == {"grant": "refresh_token", "expires_at": (now + timedelta(hours=1)).isoformat()}


async def test_p4_neither_the_token_nor_its_entry_is_written_where_one_cannot_be(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.consent()
    monkeypatch.setattr("sis_connect.audit.digest", lambda *_: None)  # the column takes no NULL
    async with scene.desk.tokens().claim() as claim:
        with pytest.raises(StorageError):
            await scene.desk.tokens().save(scene.grant.token(), claim, due_at=None)
    assert (await scene.row())["due_at"] is not None
    assert await scene.audit() == ["token.obtained"]


async def test_failures_are_counted_until_a_token_comes(scene: Scene) -> None:
    await scene.consent()
    scene.clock.advance(3600)
    scene.grant.trouble = DOWN
    for _ in range(2):
        with pytest.raises(NetworkError):
            await text(scene.manager)
    row = await scene.row()
    assert (row["state"], row["failures"], row["last_error"]) == ("failing", 2, "The token URL is down.")
    scene.grant.trouble = None
    await text(scene.sibling())
    row = await scene.row()
    assert (row["state"], row["failures"], row["last_error"]) == ("active", 0, None)
    expected = ["token.obtained", "token.failing", "token.renewed", "token.recovered"]
    assert await scene.audit() == scene.events == expected


async def test_a_broken_grant_is_known_to_all_processes(scene: Scene) -> None:
    await scene.consent()
    scene.clock.advance(3600)
    scene.grant.dead = True
    for manager in (scene.manager, scene.sibling(), scene.sibling()):
        with pytest.raises(GrantBroken):
            await text(manager)
    assert scene.grant.asked == 1
    assert (await scene.row())["state"] == "broken"
    assert await scene.audit() == scene.events == ["token.obtained", "token.broken"]


async def test_a_token_that_was_given_back_is_gone(scene: Scene) -> None:
    await scene.consent()
    tokens = scene.desk.tokens()
    async with tokens.claim() as claim:
        assert list(await tokens.forget(claim)) == ["token.revoked"]
    assert (await tokens.load()).token is None
    assert (await scene.row())["state"] == "revoked"
    assert await scene.desk.ask("SELECT sealed FROM sis_oauth_token") == [(None,)]


async def test_a_newer_token_is_not_forgotten_for_the_one_that_was_given_back(scene: Scene) -> None:
    await scene.consent()
    tokens = scene.desk.tokens()
    scene.clock.advance(1)
    async with tokens.claim() as overslept:
        await _take_over(scene)
        async with scene.desk.store.write() as connection:
            await connection.exec_driver_sql("UPDATE sis_oauth_token SET obtained_at = 'since'")
        with pytest.raises(ConflictError, match="newer token"):
            await tokens.forget(overslept)
    assert (await scene.row())["state"] == "active"


async def test_what_somebody_has_removed_is_not_forgotten_once_more(scene: Scene) -> None:
    await scene.consent()
    tokens = scene.desk.tokens()
    async with tokens.claim() as claim:
        async with scene.desk.store.write() as connection:
            await connection.exec_driver_sql("DELETE FROM sis_oauth_token")
        assert list(await tokens.forget(claim)) == []
    assert await scene.desk.ask("SELECT COUNT(*) FROM sis_oauth_token") == [(0,)]


async def test_p7_a_token_moved_to_another_integration_does_not_open(scene: Scene) -> None:
    await scene.consent()
    async with scene.desk.store.write() as connection:
        await connection.exec_driver_sql("UPDATE sis_oauth_token SET integration_id = 2")
    with pytest.raises(StorageError, match="another place"):
        await scene.desk.tokens(2).load()


async def test_the_wrong_key_is_named(scene: Scene) -> None:
    await scene.consent()
    stranger = SQLTokenStore(scene.desk.store, Vault.from_text(new_key()), scene.clock, integration_id=1)
    with pytest.raises(ConfigurationError, match="another key"):
        await stranger.load()


async def test_a_token_of_the_first_release_still_opens(scene: Scene) -> None:
    now = scene.clock.now()
    content = {"access_token": "old", "token_type": "Bearer", "obtained_at": now.isoformat(), "expires_at": now.isoformat()}
    sealed = scene.desk.vault.seal(json.dumps(content).encode(), integration="1", field=SEALED_AS)
    async with scene.desk.store.write() as connection:
        await connection.exec_driver_sql("INSERT INTO sis_oauth_token (integration_id, sealed) VALUES (1, ?)", (sealed,))
    assert (await scene.desk.tokens().load()).token == StoredToken(
        access_token=AccessToken("old"), obtained_at=now, expires_at=now
    )


# -- who may renew -----------------------------------------------------------------------------------------------------


async def test_p10_the_right_to_renew_is_waited_for_and_what_came_meanwhile_is_read(scene: Scene) -> None:
    await scene.consent()
    scene.clock.advance(3600)
    scene.grant.gate.clear()
    first = asyncio.create_task(text(scene.manager))
    await scene.grant.rotated.wait()
    second = asyncio.create_task(text(scene.sibling()))
    third = asyncio.create_task(text(scene.desk.manager(grant=scene.grant)))
    for _ in range(20):
        await asyncio.sleep(0.001)
    scene.grant.gate.set()
    assert [await first, await second, await third] == ["access-2"] * 3
    assert scene.grant.asked == 1


async def test_ahead_of_time_nobody_waits_for_somebody_else_who_renews(scene: Scene) -> None:
    await scene.consent()
    sibling = scene.sibling()
    scene.clock.advance(3100)
    async with scene.desk.tokens().claim():
        assert await text(scene.manager) == await text(sibling) == "access-1"
    assert scene.grant.asked == 0
    scene.clock.advance(3)
    assert await text(sibling) == "access-2"


async def test_p10_a_holder_that_was_taken_over_does_not_overwrite_what_was_written_since(scene: Scene) -> None:
    await scene.consent()
    tokens = scene.desk.tokens()
    scene.clock.advance(1)
    async with tokens.claim() as overslept:
        await _take_over(scene)
        async with scene.desk.store.write() as connection:
            await connection.exec_driver_sql("UPDATE sis_oauth_token SET obtained_at = 'since'")
        with pytest.raises(ConflictError, match="replaced or removed"):
            await tokens.save(scene.grant.token(), overslept, due_at=None)
        assert list(await tokens.failed(DOWN, overslept, next_try_at=scene.clock.now())) == []
        assert list(await tokens.broken(GrantBroken("refused"), overslept)) == []
    assert (await scene.row())["state"] == "active"
    assert await scene.desk.ask("SELECT obtained_at FROM sis_oauth_token") == [("since",)]
    # Nor did it give back what is not its own any more.
    assert await scene.desk.ask("SELECT holder FROM sis_lease WHERE expires_at > 0") == [("other",)]


async def test_p10_a_rotated_token_is_not_thrown_away_while_nothing_newer_is_there(scene: Scene) -> None:
    """Whoever took over shows the former refresh token; only with ours in the store can they go on after that is refused."""
    await scene.consent()
    tokens = scene.desk.tokens()
    scene.clock.advance(1)
    async with tokens.claim() as overslept:
        rotated = await scene.grant(overslept.state.token)
        await _take_over(scene)
        assert list(await tokens.save(rotated, overslept, due_at=None)) == ["token.renewed"]
    assert (await tokens.load()).token == rotated


async def test_what_somebody_has_removed_does_not_come_back(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    await scene.consent()
    scene.clock.advance(3600)
    scene.grant.gate.clear()
    caller = asyncio.create_task(text(scene.manager))
    await scene.grant.rotated.wait()
    async with scene.desk.store.write() as connection:
        await connection.exec_driver_sql("DELETE FROM sis_oauth_token")
    scene.grant.gate.set()
    assert await caller == "access-2"
    assert await scene.desk.ask("SELECT COUNT(*) FROM sis_oauth_token") == [(0,)]
    assert "replaced or removed" in caplog.text


async def test_the_right_to_renew_is_kept_however_long_the_server_takes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "BEAT", 0.001)
    async with scene.desk.tokens().claim():
        ((before,),) = await scene.desk.ask("SELECT expires_at FROM sis_lease")
        scene.clock.advance(29)
        for _ in range(1000):
            if await scene.desk.ask("SELECT expires_at FROM sis_lease") != [(before,)]:
                break
            await asyncio.sleep(0.001)
        scene.clock.advance(29)
        with pytest.raises(ConflictError, match="renewing the token"):
            async with scene.sibling()._renewal._store.claim(wait=False):
                pass


async def _take_over(scene: Scene) -> None:
    async with scene.desk.store.write() as connection:
        await connection.exec_driver_sql("UPDATE sis_lease SET holder = 'other', fence = fence + 1")
