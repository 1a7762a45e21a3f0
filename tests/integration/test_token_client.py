"""A token is shown to nobody but whom it came from, whatever happens to the settings, and whoever is at work meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from consenting import begin, finish
from oauth_server import OAuthServer, oauth_server
from sis_connect.errors import ConfigurationError
from sis_connect.oauth.authorization import AuthorizationFailed
from sis_connect.settings import SISConfigManager
from sis_connect.store.sealed import SEALED_AS
from sis_connect.tokens.token import GrantBroken
from token_office import TokenOffice, agree, by_a_person, consented, kept, settings


@pytest.fixture
def here() -> Iterator[OAuthServer]:
    with oauth_server() as running:
        yield running


@pytest.fixture
def there() -> Iterator[OAuthServer]:
    with oauth_server() as running:
        yield running


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path)


# -- the integration moves while a token is fetched --------------------------------------------------------------------


async def test_p8_a_token_that_was_asked_for_before_a_move_is_not_kept_for_the_new_address(
    office: TokenOffice, here: OAuthServer, there: OAuthServer
) -> None:
    async with office.open() as service, office.open() as other:
        await service.create_integration("lincoln", settings(here))
        here.hold_answers()
        renewing = asyncio.create_task(service.renew_tokens("lincoln"))
        await asyncio.to_thread(here.wait_for, 1)
        await other.create_integration("lincoln", settings(there))
        here.resume()
        await renewing
        assert office.query("SELECT * FROM sis_oauth_token") == []
        assert office.query("SELECT action FROM sis_audit WHERE action LIKE 'token.%'") == []
        (result,) = await other.renew_tokens("lincoln")
        assert result.ok
        token = await kept(other, "lincoln")
        assert token is not None
        assert there.accepts(token.access_token.get_secret_value())


async def test_p7_a_token_that_was_asked_for_before_a_removal_is_not_kept(office: TokenOffice, here: OAuthServer) -> None:
    async with office.open() as service, office.open() as other:
        await service.create_integration("lincoln", settings(here))
        here.hold_answers()
        renewing = asyncio.create_task(service.renew_tokens("lincoln"))
        await asyncio.to_thread(here.wait_for, 1)
        await other.remove_integration("lincoln")
        here.resume()
        await renewing
    assert office.query("SELECT * FROM sis_oauth_token") == []


async def test_a_change_that_moves_nothing_costs_no_rotated_token(office: TokenOffice, here: OAuthServer) -> None:
    async with office.open() as service, office.open() as other:
        await service.create_integration("lincoln", by_a_person(here))
        await agree(service, "lincoln", consented(here))
        here.hold_answers()
        renewing = asyncio.create_task(service.renew_tokens("lincoln"))
        await asyncio.to_thread(here.wait_for, 1)
        await other.create_integration("lincoln", by_a_person(here, page_size=50))
        here.resume()
        await renewing
        (result,) = await other.renew_tokens("lincoln")
        assert result.ok
    assert here.reuses == 0


async def test_p8_a_process_from_before_a_move_neither_uses_nor_breaks_the_new_token(
    office: TokenOffice, here: OAuthServer, there: OAuthServer
) -> None:
    async with office.open() as service, office.open() as other:
        await service.create_integration("lincoln", by_a_person(here))
        await agree(service, "lincoln", consented(here))
        async with service._tokens.open(await service._integrations.row("lincoln")) as long_sync:
            old = await long_sync.tokens.token()
            await other.create_integration("lincoln", by_a_person(there))
            await agree(other, "lincoln", new := consented(there))
            for _ in range(2):
                with pytest.raises(GrantBroken):
                    await long_sync.tokens.token(old)
            async with long_sync.store.claim() as claim:
                assert list(await long_sync.store.forget(claim)) == []
        assert here.calls == []
        assert (await other.tokens("lincoln"))[0].state == "active"
        assert await kept(other, "lincoln") == new


# -- the integration moves while a person agrees -----------------------------------------------------------------------


async def test_p8_what_a_person_agreed_to_before_a_move_is_given_back_and_not_kept(
    office: TokenOffice, here: OAuthServer, there: OAuthServer
) -> None:
    async with office.open() as service, office.open() as other:
        await service.create_integration("lincoln", by_a_person(here))
        redirect = here.visit(await begin(service))
        here.hold_answers()
        finishing = asyncio.create_task(finish(service, redirect))
        await asyncio.to_thread(here.wait_for, 1)
        await other.create_integration("lincoln", by_a_person(there))
        here.resume()
        with pytest.raises(AuthorizationFailed, match="settings of lincoln were changed"):
            await finishing
        assert office.query("SELECT * FROM sis_oauth_token") == []
        assert office.query("SELECT discovered FROM sis_integration") == [(None,)]
        assert there.calls == []
        assert [token.revoked for token in here.authority.tokens] == [True]


async def test_a_code_that_was_sent_is_seen_through_where_the_caller_is_cancelled(office: TokenOffice, here: OAuthServer) -> None:
    """A browser that was closed: the code is used up, and nobody could get the token again."""
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(here))
        redirect = here.visit(await begin(service))
        here.hold_answers()
        finishing = asyncio.create_task(finish(service, redirect))
        await asyncio.to_thread(here.wait_for, 1)
        finishing.cancel()
        await asyncio.wait([finishing])
        assert finishing.cancelled()
        here.resume()
    async with office.open() as service:
        assert await kept(service, "lincoln") is not None
    assert ("token.obtained", "lincoln", "ada") in office.audited()


# -- the environment says otherwise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["base_url", "token_url", "authorize_url", "issuer", "revocation_url"])
async def test_p8_a_stored_secret_does_not_go_to_an_address_from_the_environment(
    office: TokenOffice, here: OAuthServer, there: OAuthServer, key: str
) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(here))
        await agree(service, "lincoln", consented(here))
    moved = SISConfigManager({f"SIS_CONNECT_LINCOLN_{key.upper()}": there.token_url if key == "token_url" else there.origin})
    async with office.open(config_manager=moved) as service:
        (result,) = await service.renew_tokens("lincoln")
        assert isinstance(result.error, ConfigurationError)
        assert f"another {key} than the one for which the client_secret" in result.error.message
    assert there.calls == here.calls == []


async def test_p8_a_stored_token_does_not_go_to_an_address_from_the_environment_even_with_its_secret(
    office: TokenOffice, here: OAuthServer, there: OAuthServer
) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(here, former_client_secret="the one before"))
        await agree(service, "lincoln", token := consented(here))
    given = {"BASE_URL": there.origin, "TOKEN_URL": there.token_url, "CLIENT_SECRET": there.client_secret}
    moved = SISConfigManager({f"SIS_CONNECT_LINCOLN_{key}": value for key, value in given.items()})
    async with office.open(config_manager=moved) as service:
        row = await service._integrations.row("lincoln")
        assert (await service._integrations.config(row)).former_client_secret is None
        assert await kept(service, "lincoln") is None
        (result,) = await service.renew_tokens("lincoln")
        assert isinstance(result.error, GrantBroken)
    assert there.calls == here.calls == []
    async with office.open() as service:
        assert (await service.tokens("lincoln"))[0].state == "active"
        assert await kept(service, "lincoln") == token


async def test_the_same_address_in_the_environment_moves_nothing(office: TokenOffice, here: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(here))
        await agree(service, "lincoln", token := consented(here))
    same = SISConfigManager({"SIS_CONNECT_LINCOLN_BASE_URL": f"{here.origin}/", "SIS_CONNECT_LINCOLN_TOKEN_URL": here.token_url})
    async with office.open(config_manager=same) as service:
        assert await kept(service, "lincoln") == token


# -- what was kept before tokens said whose they are -------------------------------------------------------------------


async def test_a_token_that_does_not_say_whose_it_is_is_of_the_client_there_is(office: TokenOffice, here: OAuthServer) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", by_a_person(here))
        await agree(service, "lincoln", token := consented(here))
        vault = await service._integrations.vault()
        ((sealed,),) = office.query("SELECT sealed FROM sis_oauth_token")
        content = json.loads(vault.open(sealed, integration="1", field=SEALED_AS))
        assert content.pop("client") is not None
        former = vault.seal(json.dumps(content).encode(), integration="1", field=SEALED_AS)
        office.query("UPDATE sis_oauth_token SET sealed = ?", former)
        assert await kept(service, "lincoln") == token
