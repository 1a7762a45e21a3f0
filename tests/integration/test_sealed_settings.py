"""The secrets of an integration: sealed, two client secrets at once while one is changed, and never sent to another address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from manual_clock import ManualClock
from oauth_server import OAuthServer, oauth_server
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig
from sis_connect.tokens.vault import new_key
from token_office import TokenOffice, agree, by_a_person, consented, kept, settings

SECRETS = ("client_secret", "former_client_secret", "password")


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server() as running:
        yield running


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path)


async def config_of(service: SISService, name: str = "lincoln") -> SISProviderConfig:
    return await service._integrations.config(await service._integrations.row(name))


async def secrets_of(service: SISService, name: str = "lincoln") -> dict[str, str | None]:
    config = await config_of(service, name)
    values = {secret: getattr(config, secret) for secret in SECRETS}
    return {name: value.get_secret_value() if value is not None else None for name, value in values.items()}


async def test_p7_secrets_are_kept_sealed_and_apart_from_the_settings(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        given = settings(server, client_secret="hush-1", former_client_secret="hush-2", password="hush-3", username="x")
        await service.create_integration("lincoln", given)
        assert await secrets_of(service) == {"client_secret": "hush-1", "former_client_secret": "hush-2", "password": "hush-3"}
        assert b"hush" not in office.stored_bytes()
    assert b"hush" not in office.stored_bytes()


async def test_another_client_secret_makes_the_one_before_the_former(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        for secret in ("one", "two", "two", "three"):
            await service.create_integration("lincoln", settings(server, client_secret=secret))
        assert await secrets_of(service) == {"client_secret": "three", "former_client_secret": "two", "password": None}
        assert (await service.tokens("lincoln"))[0].former_secret
        await service.create_integration("lincoln", settings(server, client_secret="two"))
        assert (await secrets_of(service))["former_client_secret"] == "three", "and back again"


async def test_settings_without_secrets_leave_them_as_they_are(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        for secret in ("one", "two", None):
            await service.create_integration("lincoln", settings(server, client_secret=secret, page_size=50))
        assert await secrets_of(service) == {"client_secret": "two", "former_client_secret": "one", "password": None}


@pytest.mark.parametrize("change", ["base_url", "token_url", "client_id"])
async def test_p8_a_former_secret_never_goes_to_another_client_or_address(
    office: TokenOffice, server: OAuthServer, change: str
) -> None:
    other = {"base_url": "http://localhost:9", "token_url": "http://localhost:9/token", "client_id": "somebody-else"}[change]
    for given in ({"client_secret": "three"}, {"client_secret": None}):
        async with office.open() as service:
            for secret in ("one", "two"):
                await service.create_integration("lincoln", settings(server, client_secret=secret))
            await service.create_integration("lincoln", settings(server, **{change: other, **given}))
            assert (await secrets_of(service))["former_client_secret"] is None


async def test_while_two_secrets_are_live_the_one_that_works_is_used(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", settings(server))
        await service.create_integration("lincoln", settings(server, client_secret="not yet activated"))
        (result,) = await service.renew_tokens("lincoln")
        assert result.ok
        server.authority.clients[server.client_id].secrets[:] = ["not yet activated"]
        (result,) = await service.renew_tokens("lincoln")
        assert result.ok


async def test_what_a_person_agreed_to_outlives_a_change_of_settings_and_secret(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server))
        await agree(service, "lincoln", consented(server))
        await service.create_integration("lincoln", by_a_person(server, page_size=50, client_secret="another"))
        assert await kept(service, "lincoln") is not None
        await service.create_integration("lincoln", by_a_person(server, client_id="somebody-else"))
        assert await kept(service, "lincoln") is None, "it was given to another client"


async def test_a_token_that_nobody_had_to_agree_to_is_fetched_anew_after_a_change(
    office: TokenOffice, server: OAuthServer
) -> None:
    """So that a wrong secret shows at once, and not when the token ends."""
    async with office.open() as service:
        await service.create_integration("lincoln", settings(server))
        await service.renew_tokens("lincoln")
        await service.create_integration("lincoln", settings(server, client_secret="wrong"))
        assert await kept(service, "lincoln") is None


async def test_a_renewal_that_failed_is_tried_at_once_after_a_change(tmp_path: Path, server: OAuthServer) -> None:
    office = TokenOffice(tmp_path, clock=(clock := ManualClock()))
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server, client_secret="wrong"))
        await agree(service, "lincoln", consented(server, at=clock.now()))
        await service.renew_tokens("lincoln")
        assert (await service.tokens("lincoln"))[0].state == "failing"
        await service.create_integration("lincoln", by_a_person(server))
        (health,) = await service.tokens("lincoln")
        assert (health.failures, health.next_try_at, health.last_error) == (0, None, None)


async def test_removing_an_integration_forgets_all_that_is_secret(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(server, former_client_secret="x", password="y"))
        await agree(service, "lincoln", consented(server))
        await service.authorization_url("lincoln", redirect_uri="http://127.0.0.1/callback", session="a browser")
        await service.remove_integration("lincoln")
    assert office.query("SELECT secret, former_secret, password, former_secret_at FROM sis_integration") == [(None,) * 4]
    for table in ("sis_oauth_token", "sis_pending_authorization"):
        assert office.query(f"SELECT * FROM {table}") == []


async def test_a_secret_whose_key_is_lost_can_be_stored_again(office: TokenOffice, server: OAuthServer) -> None:
    async with office.open(key=new_key()) as service:
        await service.create_integration("lincoln", settings(server))
    async with office.open(key=new_key()) as service:
        assert (await service.tokens())[0].state == "unreadable"
        await service.create_integration("lincoln", settings(server, client_secret="given again"))
        assert await secrets_of(service) == {"client_secret": "given again", "former_client_secret": None, "password": None}


async def test_a_crash_between_settings_and_secret_is_not_possible(office: TokenOffice, server: OAuthServer) -> None:
    """P4: settings and secret are one transaction."""
    async with office.open(key=new_key()) as service:
        office.query("CREATE TRIGGER broken BEFORE INSERT ON sis_audit BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(Exception, match="database"):
            await service.create_integration("lincoln", settings(server))
        assert await service.integrations() == []
