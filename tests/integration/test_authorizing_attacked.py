"""Every way in which giving access can be attacked, against a server that is not of our making; none brings a token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from consenting import REDIRECT_URI, SESSION, begin, changed, connected, finish, give_access
from manual_clock import ManualClock
from oauth_server import Answer, OAuthServer, oauth_server
from raw_server import json_answer, serving
from sis_connect.errors import AuthenticationError, ConfigurationError, RateLimited, SISError, UnexpectedResponse
from sis_connect.oauth.authorization import AccessDenied, AuthorizationFailed
from sis_connect.oauth.id_token import WrongIdToken
from sis_connect.service.integrations import Integration
from sis_connect.tokens.token import GrantBroken
from token_office import TokenOffice, kept, settings


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server(path="/oauth2") as it:
        yield it


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path)


async def test_a_redirect_works_once(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        await finish(service, redirect)
        with pytest.raises(AuthorizationFailed, match="used already"):
            await finish(service, redirect)
    # The code was not sent again: a server would take that for theft, and revoke what it gave.
    assert (server.count("authorization_code"), server.reuses) == (1, 0)


async def test_of_many_redirects_at_once_one_is_taken(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        outcomes = await asyncio.gather(*(finish(service, redirect) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(outcome, Integration) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, AuthorizationFailed) for outcome in outcomes) == 9
    assert (server.count("authorization_code"), server.reuses) == (1, 0)


async def test_what_is_pending_is_gone_before_the_code_is_used(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        server.hold_requests()
        under_way = asyncio.create_task(finish(service, redirect))
        await asyncio.to_thread(server.wait_for, 1)
        assert office.query("SELECT count(*) FROM sis_pending_authorization") == [(0,)]
        server.resume()
        await under_way


@pytest.mark.parametrize("way", ["state", "nothing"])
async def test_a_tampered_state_finds_nothing(office: TokenOffice, server: OAuthServer, way: str) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        tampered = changed(redirect, state="tampered") if way == "state" else redirect.partition("?")[0]
        with pytest.raises(AuthorizationFailed, match="No authorization waits"):
            await finish(service, tampered)
        await finish(service, redirect)  # and harms nobody: the real one still works


async def test_another_session_cannot_finish_what_this_one_began(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        with pytest.raises(AuthorizationFailed, match="begun by another session"):
            await finish(service, redirect, session="the session of somebody else")
        with pytest.raises(AuthorizationFailed, match="No authorization waits"):
            await finish(service, redirect)
        assert await kept(service, "lincoln") is None
    assert server.calls == []


async def test_a_session_must_be_given(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        with pytest.raises(ConfigurationError, match="bound to the session"):
            await begin(service, session="")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://evil.example.org"}, "iss is another"),
        ({"iss": ""}, "iss is another"),
        ({"code": ""}, "neither a code"),
        ({"error": "access_denied"}, "Access was not given"),
    ],
)
async def test_a_tampered_redirect_is_refused_and_the_code_stays_here(
    office: TokenOffice, server: OAuthServer, changes: dict[str, str], words: str
) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        with pytest.raises(AuthorizationFailed, match=words):
            await finish(service, changed(redirect, **changes))
    assert server.calls == []


async def test_a_mixed_up_server_gets_no_code_of_another(office: TokenOffice, server: OAuthServer) -> None:
    """The server of one district sends its visitors on to that of another, in the hope for the code they get there."""
    async with connected(office, server) as service:
        with oauth_server() as evil:
            await service.create_integration(
                "evil", settings(evil, grant="authorization_code", scope="roster", issuer=evil.issuer)
            )
            url = await service.authorization_url("evil", redirect_uri=REDIRECT_URI, session=SESSION)
            detour = changed(url.replace(evil.authorize_url, server.authorize_url), nonce="any", scope="roster")
            redirect = server.visit(detour)  # the honest server knows this client too
            with pytest.raises(AuthorizationFailed, match="iss is another"):
                await finish(service, redirect)
            assert evil.calls == []


async def test_a_redirect_to_another_address_is_refused(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        with pytest.raises(AuthorizationFailed, match="another address"):
            await finish(service, redirect.replace("app.example.org", "evil.example.org"))
    assert server.calls == []


async def test_a_redirect_uri_that_is_not_registered_does_not_get_a_code(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        url = await begin(service, redirect_uri="https://app.example.org/other")
        with pytest.raises(AssertionError, match="no redirect"):
            server.visit(url)


async def test_a_stolen_code_is_worth_nothing_to_who_began_elsewhere(office: TokenOffice, server: OAuthServer) -> None:
    """The code of one authorization, put into the redirect of another: the server sees that the proof does not fit."""
    async with connected(office, server) as service:
        stolen = parse_qs(urlsplit(server.visit(await begin(service))).query)["code"][0]
        mine = server.visit(await begin(service))
        with pytest.raises(GrantBroken):
            await finish(service, changed(mine, code=stolen))
        assert await kept(service, "lincoln") is None


async def test_denied_access_is_said_to_be_that(office: TokenOffice, server: OAuthServer) -> None:
    server.denies = True
    async with connected(office, server) as service:
        with pytest.raises(AccessDenied, match="Access was not given") as raised:
            await give_access(service, server)
        assert raised.value.integration == "lincoln"
        assert await kept(service, "lincoln") is None


async def test_an_authorization_waits_ten_minutes_and_is_swept_out(office: TokenOffice, server: OAuthServer) -> None:
    office.clock = clock = ManualClock()
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        clock.advance(600)
        with pytest.raises(AuthorizationFailed, match="too late"):
            await finish(service, redirect)
        forgotten = server.visit(await begin(service))
        clock.advance(600)
        await begin(service)
        assert office.query("SELECT count(*) FROM sis_pending_authorization") == [(1,)]
        with pytest.raises(AuthorizationFailed, match="has run out"):
            await finish(service, forgotten)
    assert server.calls == []


@pytest.mark.parametrize("methods", [["plain"], []])
async def test_a_downgraded_server_is_refused(office: TokenOffice, server: OAuthServer, methods: list[str]) -> None:
    server.metadata = {"code_challenge_methods_supported": methods}
    async with connected(office, server) as service:
        with pytest.raises(AuthorizationFailed, match="does not offer PKCE with S256"):
            await begin(service)


async def test_a_server_that_says_nothing_of_pkce_is_refused_unless_a_nonce_binds_the_code(
    office: TokenOffice, server: OAuthServer
) -> None:
    server.metadata = {"code_challenge_methods_supported": None}
    async with connected(office, server, scope="roster") as service:
        with pytest.raises(AuthorizationFailed, match="does not offer PKCE"):
            await begin(service)
        await service.create_integration(
            "lincoln", settings(server, grant="authorization_code", scope="openid roster", issuer=server.issuer, token_url=None)
        )
        await give_access(service, server)


async def test_the_document_of_another_issuer_is_refused(office: TokenOffice, server: OAuthServer) -> None:
    server.metadata = {"issuer": "https://evil.example.org"}
    async with connected(office, server) as service:
        with pytest.raises(UnexpectedResponse, match="another issuer"):
            await begin(service)


async def test_a_server_that_describes_itself_nowhere_is_named(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server, issuer=server.origin) as service:
        with pytest.raises(UnexpectedResponse, match="does not describe its sign-in server"):
            await begin(service)


async def test_p8_a_description_is_not_fetched_over_a_redirect(office: TokenOffice, server: OAuthServer) -> None:
    async def elsewhere(_heard: object) -> bytes:
        return json_answer({}, status=302, location=f"{server.issuer}/.well-known/openid-configuration")

    async with serving(elsewhere) as raw, connected(office, server, issuer=raw.url) as service:
        with pytest.raises(UnexpectedResponse, match="redirects are not followed"):
            await begin(service)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "another"}, "nonce is not ours"),
        ({"aud": ["another-client"]}, "another application"),
        ({"iss": "https://evil.example.org"}, "another issuer"),
        ({"exp": 1}, "has expired"),
    ],
)
async def test_an_id_token_of_another_sign_in_brings_no_token(
    office: TokenOffice, server: OAuthServer, claims: dict[str, object], words: str
) -> None:
    server.authority.id_token_claims = claims
    async with connected(office, server) as service:
        with pytest.raises(WrongIdToken, match=words):
            await give_access(service, server)
        assert await kept(service, "lincoln") is None
    assert [token.revoked for token in server.authority.tokens] == [True], "nobody would know that it lives"


async def test_an_id_token_that_was_asked_for_must_come(office: TokenOffice, server: OAuthServer) -> None:
    server.alter_token = lambda token: {name: value for name, value in token.items() if name != "id_token"}
    async with connected(office, server) as service:
        with pytest.raises(WrongIdToken, match="sent no ID token"):
            await give_access(service, server)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(400, {"error": "invalid_grant"}), GrantBroken),
        (Answer(401, {"error": "invalid_client"}), AuthenticationError),
        (Answer(200, {"token_type": "mac", "access_token": "x"}), UnexpectedResponse),
        (Answer(200, {"token_type": "Bearer"}), UnexpectedResponse),
        (Answer(200, b"<html>Sign in</html>"), UnexpectedResponse),
        (Answer(429, {}, {"retry-after": "7"}), RateLimited),
    ],
)
async def test_an_answer_without_a_token_stores_nothing(
    office: TokenOffice, server: OAuthServer, answer: Answer, error: type[SISError]
) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        server.answer_next(answer)
        with pytest.raises(error):
            await finish(service, redirect)
        assert await kept(service, "lincoln") is None
        assert office.query("SELECT count(*) FROM sis_pending_authorization") == [(0,)]


async def test_p8_a_code_goes_where_it_was_asked_for_or_nowhere(office: TokenOffice, server: OAuthServer) -> None:
    """Somebody changes the token URL while an administrator is signing in."""
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        with oauth_server() as other:
            more = {"grant": "authorization_code", "scope": "openid roster", "issuer": server.issuer}
            await service.create_integration("lincoln", settings(other, **more))
            with pytest.raises(AuthorizationFailed, match="settings of lincoln were changed"):
                await finish(service, redirect)
            assert other.calls == server.calls == []


async def test_an_integration_that_was_removed_meanwhile_gets_nothing(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        await service.remove_integration("lincoln")
        with pytest.raises(AuthorizationFailed, match="No authorization waits"):
            await finish(service, redirect)
    assert server.calls == []


async def test_what_was_sealed_for_one_integration_does_not_open_for_another(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server) as service:
        redirect = server.visit(await begin(service))
        await service.create_integration("other", settings(server))
        office.query("UPDATE sis_pending_authorization SET integration_id = 2")
        with pytest.raises(SISError, match="integration 2"):
            await finish(service, redirect)
    assert server.calls == []


async def test_an_integration_that_needs_no_person_says_so(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server, grant="client_credentials") as service:
        with pytest.raises(ConfigurationError, match="gets access without a person"):
            await begin(service)


async def test_a_provider_that_says_nothing_of_signing_in_asks_for_an_address(office: TokenOffice, server: OAuthServer) -> None:
    async with connected(office, server, issuer=None) as service:
        with pytest.raises(ConfigurationError, match="Set `issuer`"):
            await begin(service)


@pytest.mark.parametrize("make", [lambda url: url, lambda url: changed(url, error="server_error", code="")])
async def test_cancelled_or_failed_nothing_half_is_left(
    office: TokenOffice, server: OAuthServer, make: Callable[[str], str]
) -> None:
    async with connected(office, server) as service:
        redirect = make(server.visit(await begin(service)))
        server.hold_answers()
        under_way = asyncio.create_task(finish(service, redirect))
        if "server_error" not in redirect:
            await asyncio.to_thread(server.wait_for, 1)
            under_way.cancel()
        await asyncio.wait([under_way])
        server.resume()
        await give_access(service, server)
        assert await kept(service, "lincoln")
