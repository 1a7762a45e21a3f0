"""An administrator gives access: the whole way, through a server that is not of our making."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from consenting import SESSION, begin, changed, connected, finish, give_access
from oauth_server import OAuthServer, oauth_server
from sis_connect.errors import NotOffered
from sis_connect.oauth.authorization import AuthorizationFailed
from token_office import INFO, TokenOffice, kept, registry


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server(path="/oauth2") as it:
        yield it


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path)


async def test_an_administrator_gives_access_and_the_token_renews_itself(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        integration = await give_access(service, server)
        assert integration.name == "lincoln"
        token = await kept(service, "lincoln")
        assert token is not None
        assert token.refresh_token is not None
        assert server.accepts(token.access_token.get_secret_value())
        assert token.scope == ("openid", "roster")
        [renewed] = await service.renew_tokens("lincoln")
        assert renewed.outcome == "renewed"
        after = await kept(service, "lincoln")
        assert after is not None
        assert after.refresh_token != token.refresh_token
        assert (server.count("authorization_code"), server.count("refresh_token"), server.reuses) == (1, 1, 0)


async def test_what_the_server_says_of_itself_is_used_from_then_on(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        await give_access(service, server)
    async with office.open() as service:  # another process, which has only the store
        await service.renew_tokens("lincoln")
        [revoked] = await service.revoke_tokens("lincoln")
        assert revoked.outcome == "revoked"
    assert [call.path for call in server.calls] == ["/token", "/token", "/revoke", "/revoke"]


async def test_what_the_settings_say_counts_more_than_what_the_server_says(office: TokenOffice, server: OAuthServer) -> None:
    server.metadata = {"token_endpoint": f"{server.origin}/elsewhere"}
    async with connected(office, server, token_url=server.token_url) as service:
        await give_access(service, server)
    assert office.query("SELECT discovered FROM sis_integration") == [(f'{{"revocation_url": "{server.revocation_url}"}}',)]
    async with office.open() as service:
        await begin(service)
        await give_access(service, server)
    assert server.count("authorization_code") == 2


async def test_a_server_that_moves_is_followed_when_access_is_given_again(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        await give_access(service, server)
        server.metadata = {"token_endpoint": f"{server.origin}/elsewhere"}
        with pytest.raises(NotOffered):  # there is nothing at the new place, but that is where it asked
            await give_access(service, server)
    assert server.count("authorization_code") == 1


async def test_a_provider_may_name_where_its_sign_in_server_describes_itself(office: TokenOffice, server: OAuthServer) -> None:
    office.registry = registry(replace(INFO, discovery_path="/oauth2/.well-known/openid-configuration"))
    async with connected(office, server, issuer=None) as service:
        await give_access(service, server)
        assert await kept(service, "lincoln")


async def test_a_server_that_describes_itself_nowhere_is_reached_by_its_addresses(
    office: TokenOffice, server: OAuthServer
) -> None:
    addresses = {"authorize_url": server.authorize_url, "token_url": server.token_url}
    async with connected(office, server, issuer=None, scope="roster", **addresses) as service:
        await give_access(service, server)
        assert await kept(service, "lincoln")


async def test_a_public_client_needs_no_secret(office: TokenOffice, server: OAuthServer) -> None:
    public = {"client_id": "desktop-client", "client_secret": None, "client_authentication": "none"}
    async with connected(office, server, **public) as service:
        await give_access(service, server)
        assert await kept(service, "lincoln")


async def test_access_that_cannot_be_renewed_is_told(
    office: TokenOffice, server: OAuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.authority.refresh_tokens = False
    async with connected(office, server) as service:
        await give_access(service, server)
    assert "The SIS of lincoln gave no refresh token" in caplog.text


async def test_a_broken_grant_is_healed_by_a_new_consent(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        await give_access(service, server)
        server.withdraw()
        await service.renew_tokens("lincoln")
        assert [health.state for health in await service.tokens("lincoln")] == ["broken"]
        office.query("UPDATE sis_integration SET status = 'auth_failed'")
        assert (await give_access(service, server)).status == "active"
        assert [health.ok for health in await service.tokens("lincoln")] == [True]


async def test_every_step_is_in_the_audit(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        url = await begin(service)
        with pytest.raises(AuthorizationFailed):
            await finish(service, changed(server.visit(url), iss="https://evil.example.org"))
        await give_access(service, server)
    assert [(action, actor) for action, _, actor in office.audited()][1:] == [
        ("authorization.begun", "ada"),
        ("authorization.failed", "ada"),
        ("authorization.begun", "ada"),
        ("token.obtained", "ada"),
    ]


async def test_p7_neither_state_nor_verifier_nor_code_nor_session_is_readable_in_the_store(
    office: TokenOffice, server: OAuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with connected(office, server) as service:
        url = await begin(service)
        redirect = server.visit(url)
        during = office.stored_bytes()
        await finish(service, redirect)
        token = await kept(service, "lincoln")
    assert token is not None
    assert token.refresh_token is not None
    form = server.calls[0].form
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    secrets = [asked["state"], asked["nonce"], asked["code_challenge"], form["code"], form["code_verifier"], SESSION]
    secrets += [token.access_token.get_secret_value(), token.refresh_token.get_secret_value(), server.client_secret]
    after = office.stored_bytes()
    assert [secret for secret in secrets if secret.encode() in during + after] == []
    mine = [record.getMessage() for record in caplog.records if not record.name.startswith("authlib")]
    assert [secret for secret in secrets if secret in "".join(mine)] == []
