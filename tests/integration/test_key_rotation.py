"""Changing the key that seals, while the work goes on: nothing becomes unreadable, and in the end the former key may go."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manual_clock import ManualClock
from oauth_server import OAuthServer, oauth_server
from sis_connect.clock import Clock
from sis_connect.errors import ConfigurationError
from sis_connect.service import SISService, key_rotation
from sis_connect.store.sealed import COLUMNS, Resealed
from sis_connect.store.sql import Store
from sis_connect.store.tables import metadata
from sis_connect.tokens.vault import Vault, key_id_of, new_key
from token_office import TokenOffice, agree, by_a_person, consented, kept, settings


@pytest.fixture(scope="module")
def server() -> Iterator[OAuthServer]:
    with oauth_server() as running:
        yield running


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path)


async def fill(service: SISService, server: OAuthServer) -> None:
    """One of everything that is sealed."""
    await service.create_integration("lincoln", by_a_person(server))
    await service.create_integration(
        "lincoln", by_a_person(server, client_secret="the next one", webhook_secret="what-others-must-send-to-us")
    )
    await service.create_integration("roosevelt", settings(server, grant="password", username="x", password="open sesame"))
    await agree(service, "lincoln", consented(server))
    await service.authorization_url("lincoln", redirect_uri="http://127.0.0.1/callback", session="a browser")


def sealed_with(office: TokenOffice) -> dict[str, set[str | None]]:
    """Which keys sealed what is in each sealed column."""
    return {
        sealed.name: {
            key_id_of(value)
            for (value,) in office.query(
                f'SELECT "{sealed.column.name}" FROM {sealed.table.name} WHERE "{sealed.column.name}" IS NOT NULL'
            )
        }
        for sealed in COLUMNS
    }


async def test_after_a_rotation_everything_is_sealed_anew_and_the_former_key_may_go(
    office: TokenOffice, server: OAuthServer
) -> None:
    former, newest = new_key(), new_key()
    async with office.open(key=former) as service:
        await fill(service, server)
    assert {name for name, keys in sealed_with(office).items() if keys == {Vault.from_text(former).key_id}} == {
        sealed.name for sealed in COLUMNS
    }
    async with office.open(key=f"{newest},{former}") as service:
        rotation = await service.rotate_key(actor="an admin")
        again = await service.rotate_key(actor="an admin")
    assert {column.column: column.resealed for column in rotation.columns} == {
        "sis_integration.secret": 2,
        "sis_integration.former_secret": 1,
        "sis_integration.password": 1,
        "sis_integration.webhook_secret": 1,
        "sis_oauth_token.sealed": 1,
        "sis_pending_authorization.sealed": 1,
    }
    assert (rotation.complete, rotation.key_id) == (True, Vault.from_text(newest).key_id)
    assert sum(column.resealed for column in again.columns) == 0
    async with office.open(key=newest) as service:
        token = await kept(service, "lincoln")
        assert token is not None
        assert token.refresh_token is not None
        assert [(health.key, health.state) for health in await service.tokens()] == [("current", "active"), ("current", "none")]
        config = await service._integrations.config(await service._integrations.row("roosevelt"))
        assert config.password is not None
        assert config.password.get_secret_value() == "open sesame"
    assert [entry for entry in office.audited() if entry[0].startswith("key.")] == [
        (f"key.{what}", None, "an admin") for what in ("rotation_begun", "rotated") * 2
    ]


async def test_a_new_key_is_put_into_the_key_file_and_seals(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await fill(service, server)
        former = office.key_file.read_text(encoding="ascii").strip()
        rotation = await service.rotate_key(new=True)
        assert rotation.complete
        await agree(service, "lincoln", consented(server))
    newest, _, behind = office.key_file.read_text(encoding="ascii").strip().partition(",")
    assert behind == former
    assert {key for keys in sealed_with(office).values() for key in keys} == {Vault.from_text(newest).key_id}


async def test_a_source_that_keeps_no_keys_is_left_alone(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open(key=new_key()) as service:
        await fill(service, server)
        with pytest.raises(ConfigurationError, match="cannot be put") as caught:
            await service.rotate_key(new=True)
        assert "in front" in caught.value.remedy


async def test_processes_that_run_meanwhile_read_and_write_on(office: TokenOffice, server: OAuthServer) -> None:
    """The other one opened the file before the new key was in it."""
    async with office.open() as running, office.open() as rotating:
        await fill(running, server)
        begun = (await kept(running, "lincoln")) is not None
        assert begun
        failures: list[BaseException] = []
        rotated = asyncio.Event()

        async def read() -> int:
            times = 0
            while not rotated.is_set():
                try:
                    assert await kept(running, "lincoln") is not None
                    await running.tokens()
                    times += 1
                except BaseException as error:
                    failures.append(error)
                    raise
            return times

        readers = [asyncio.create_task(read()) for _ in range(3)]
        for _ in range(5):
            await rotating.rotate_key(new=True)
        rotated.set()
        times = await asyncio.gather(*readers)
        assert not failures
        assert min(times) > 0
        # It seals with the newest key, too, since it has met it.
        await agree(running, "lincoln", consented(server))
    newest = office.key_file.read_text(encoding="ascii").split(",")[0]
    assert sealed_with(office)["sis_oauth_token.sealed"] == {Vault.from_text(newest).key_id}


async def test_p7_a_token_that_is_fetched_meanwhile_opens_without_the_former_key(
    office: TokenOffice, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its renewal began with the former key, in a process that has not met the new one."""
    looking, renewals = asyncio.Event(), key_rotation._renewals

    async def looked_for(store: Store, clock: Clock) -> set[tuple[str, int]]:
        found = await renewals(store, clock)
        looking.set()
        return found

    monkeypatch.setattr(key_rotation, "_renewals", looked_for)
    async with office.open() as running, office.open() as rotating:
        await running.create_integration("lincoln", by_a_person(server))
        await agree(running, "lincoln", consented(server))
        server.hold_answers()
        renewing = asyncio.create_task(running.renew_tokens("lincoln"))
        await asyncio.to_thread(server.wait_for, 1)
        rotation = asyncio.create_task(rotating.rotate_key(new=True))
        for _ in range(4):  # the new key is in front, and the renewal is waited for
            await asyncio.wait({rotation, asyncio.create_task(looking.wait())}, return_when=asyncio.FIRST_COMPLETED)
            looking.clear()
        assert not rotation.done()
        server.resume()
        assert [result.outcome for result in await renewing] == ["renewed"]
        assert (await rotation).complete
    newest = office.key_file.read_text(encoding="ascii").split(",")[0]
    office.key_file.write_text(newest, encoding="ascii")
    async with office.open() as service:
        assert [(health.state, health.key) for health in await service.tokens()] == [("active", "current")]


async def test_a_renewal_whose_process_is_gone_is_not_waited_for(office: TokenOffice, server: OAuthServer) -> None:
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    office.clock = clock = ManualClock()
    async with office.open() as service:
        await fill(service, server)
        office.query("UPDATE sis_lease SET expires_at = ?, pid = ?", clock.now().timestamp() + 30, gone.pid)
        assert (await service.rotate_key(new=True)).complete
    assert key_rotation._LOOK not in clock.slept


async def test_it_is_not_complete_while_something_is_still_found(
    office: TokenOffice, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.open() as service:
        await fill(service, server)
        monkeypatch.setattr(key_rotation, "_PASSES", 1)
        assert not (await service.rotate_key(new=True)).complete
        assert (await service.rotate_key()).complete


async def test_what_opens_with_no_key_stops_nothing_and_is_counted(office: TokenOffice, server: OAuthServer) -> None:
    former, newest = new_key(), new_key()
    async with office.open(key=former) as service:
        await fill(service, server)
    office.query("UPDATE sis_integration SET secret = ? WHERE name = 'lincoln'", b"\x01 damaged beyond repair, alas, alas")
    async with office.open(key=f"{newest},{former}") as service:
        rotation = await service.rotate_key()
        states = {health.integration: health.state for health in await service.tokens()}
    assert rotation.columns[0] == Resealed("sis_integration.secret", current=1, resealed=1, unreadable=1)
    assert not rotation.complete
    assert states == {"lincoln": "unreadable", "roosevelt": "none"}


KILLED = """
import asyncio, os, signal, sys
from sis_connect.clock import SystemClock
from sis_connect.service.integrations import Integrations
from sis_connect.service.key_rotation import rotate_key
from sis_connect.service import SISService

async def main():
    async with SISService.open(sys.argv[1], key=sys.argv[2]) as service:
        batches = 0
        def count(batch):
            nonlocal batches
            batches += 1
            if batches == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        await rotate_key(service._store, service._integrations, SystemClock(), new=False, actor="", on_batch=count)

asyncio.run(main())
"""


async def test_p4_a_rotation_that_is_killed_goes_on_where_it_was(office: TokenOffice, server: OAuthServer) -> None:
    former, newest = new_key(), new_key()
    both, vault = f"{newest},{former}", Vault.from_text(former)
    async with office.open(key=former) as service:
        await service.create_integration("district-0", settings(server))
    for number in range(2, 502):
        sealed = vault.seal(b"secret", integration=str(number), field="client secret")
        office.query(
            "INSERT INTO sis_integration (id, name, provider, settings, secret, status, created_at) "
            "SELECT ?, 'district-' || ?, provider, settings, ?, status, created_at FROM sis_integration WHERE id = 1",
            number, number, sealed,
        )  # fmt: skip
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, office.url, both, env=dict(os.environ))
    assert await process.wait() == -9
    ids = {Vault.from_text(key).key_id for key in (former, newest)}
    assert sealed_with(office)["sis_integration.secret"] == ids, "some of each"
    async with office.open(key=both) as service:
        assert len(await service.integrations()) == 501
        assert {health.key for health in await service.tokens()} == {"current", "former"}
        rotation = await service.rotate_key()
    assert (rotation.columns[0].current, rotation.columns[0].resealed) == (501, 201)
    async with office.open(key=newest) as service:
        assert {health.key for health in await service.tokens()} == {"current"}


def test_every_column_of_bytes_is_either_sealed_or_known_to_hold_no_secret() -> None:
    """A sealed column that is not in `COLUMNS` would be lost with the former key."""
    harmless = {"sis_fingerprint.prints", "sis_fingerprint.row_ids", "sis_stream.seen"}
    found = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if str(column.type) == "BLOB"
    }
    assert found == {sealed.name for sealed in COLUMNS} | harmless
