"""From settings to a token over a real socket, in the ways that real SIS want to be asked."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer, oauth_server
from raw_server import Answer, Heard, RawServer, answer, json_answer, reset, serving
from sis_connect.clock import SystemClock
from sis_connect.connection import open_provider
from sis_connect.errors import ConfigurationError, NetworkError, RateLimited, RequestTimedOut, SISError, UnexpectedResponse
from sis_connect.oauth.answers import ClientRefused
from sis_connect.oauth.wiring import Tokens, oauth_client, revocation_url, token_source
from sis_connect.provider import ProviderInfo
from sis_connect.provider_settings import own_settings
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.tokens.token import AccessToken, GrantBroken, RefreshToken, StoredToken
from sis_connect.transport.rate_limit import Limiter, MemoryWindowLog, Taken, unlimited
from small_sis import INFO
from talking_transport import always, in_turn

KEY, SECRET = "Ke y+1", "s:e/c+r et%"
TOKEN = {"access_token": "token-1", "token_type": "bearer", "expires_in": 1199}
ANY_GRANT: ProviderInfo = replace(INFO, auth_grants=("client_credentials", "password", "authorization_code"))


def config_for(server: RawServer, **settings: Any) -> SISProviderConfig:
    values = {"provider": "small", "base_url": server.url, "client_id": KEY, "client_secret": SECRET, "timeout": 5}
    values |= {"token_url": f"{server.url}/token", **settings}
    return validated({name: value for name, value in values.items() if value is not None}, origin="this test")


@asynccontextmanager
async def tokens_from(server: RawServer, info: ProviderInfo = ANY_GRANT, **settings: Any) -> AsyncIterator[Tokens]:
    clock = settings.pop("clock", SystemClock())
    tokens = token_source(info, config_for(server, **settings), limiter=unlimited(), clock=clock)
    try:
        yield tokens
    finally:
        await tokens.aclose()


async def token_from(server: RawServer, info: ProviderInfo = ANY_GRANT, **settings: Any) -> str:
    async with tokens_from(server, info, **settings) as tokens:
        return (await tokens.token()).get_secret_value()


def query(heard: Heard) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(heard.target).query, keep_blank_values=True))


def form(heard: Heard) -> dict[str, str]:
    return dict(parse_qsl(heard.body.decode(), keep_blank_values=True))


def pair(heard: Heard) -> str | None:
    """What stands in the Basic header, as a server sees it."""
    scheme, _, credentials = heard.headers.get("authorization", "").partition(" ")
    return base64.b64decode(credentials).decode("latin-1") if scheme == "Basic" else None


# -- the ways of vendors -----------------------------------------------------------------------------------------------


def plain_basic(heard: Heard) -> bool:
    return heard.method == "POST" and pair(heard) == f"{KEY}:{SECRET}" and form(heard) == {"grant_type": "client_credentials"}


def by_get_and_encoded_pair(heard: Heard) -> bool:
    """Splits the pair first and decodes both parts then, so that a plus or a colon in the secret must be encoded."""
    parts = [unquote_plus(part) for part in (pair(heard) or "").split(":")]
    return (
        heard.method == "GET"
        and query(heard) == {"grant_type": "client_credentials"}
        and parts == [KEY, SECRET]
        and heard.body == b""
        and "content-type" not in heard.headers
    )


def app_name_and_body(heard: Heard) -> bool:
    fields = {"grant_type": "client_credentials", "client_id": KEY, "client_secret": SECRET}
    return query(heard) == {"appName": "lincoln"} and form(heard) == fields and pair(heard) is None


def everything_in_the_query_but_the_pair(heard: Heard) -> bool:
    asked = {"appName": "lincoln", "grant_type": "client_credentials", "scope": "roster-core.readonly demographics"}
    return heard.method == "POST" and query(heard) == asked and heard.body == b"" and pair(heard) == f"{KEY}:{SECRET}"


def credentials_in_the_query(heard: Heard) -> bool:
    return query(heard) == {"client_id": KEY, "client_secret": SECRET} and form(heard) == {"grant_type": "client_credentials"}


def password_and_basic(heard: Heard) -> bool:
    return form(heard) == {"grant_type": "password", "username": KEY, "password": SECRET} and pair(heard) == f"{KEY}:{SECRET}"


def password_alone(heard: Heard) -> bool:
    return form(heard) == {"grant_type": "password", "username": KEY, "password": SECRET} and pair(heard) is None


def a_header_of_its_own(heard: Heard) -> bool:
    return heard.headers.get("suppress-development-permissions") == "true" and "client_secret" in form(heard)


APP = "appName=lincoln"
SCOPES = "roster-core.readonly demographics"
WAYS: list[tuple[Any, dict[str, Any]]] = [
    (plain_basic, {}),
    (by_get_and_encoded_pair, {"token_method": "GET", "client_authentication": "basic_form_encoded"}),
    (app_name_and_body, {"token_parameters": APP, "client_authentication": "body"}),
    (everything_in_the_query_but_the_pair, {"token_parameters": APP, "token_method": "POST_QUERY", "scope": SCOPES}),
    (credentials_in_the_query, {"client_authentication": "query"}),
    (password_and_basic, {"grant": "password"}),
    (password_alone, {"grant": "password", "client_authentication": "none"}),
    (password_alone, {"grant": "password", "username": KEY, "password": SECRET, "client_id": None, "client_secret": None}),
]


@pytest.mark.parametrize(("understands", "settings"), WAYS, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_token_is_asked_for_as_this_server_wants_it_and_no_other_way(understands: Any, settings: dict[str, Any]) -> None:
    async def vendor(heard: Heard) -> Answer:
        return json_answer(TOKEN) if understands(heard) else json_answer({"error": "invalid_request"}, status=400)

    async with serving(vendor) as server:
        assert await token_from(server, **settings) == "token-1"
        others = [other for reader, other in WAYS if reader is not understands]
        for other in others:
            with pytest.raises(SISError):
                await token_from(server, **other)


async def test_what_a_provider_declares_needs_no_settings() -> None:
    info = replace(
        ANY_GRANT,
        client_authentication="body",
        token_path="/campus/oauth2/token/",
        token_headers={"Suppress-Development-Permissions": "true"},
    )

    async def vendor(heard: Heard) -> Answer:
        right = heard.path == "/campus/oauth2/token/" and a_header_of_its_own(heard)
        return json_answer(TOKEN) if right else json_answer({}, status=404)

    async with serving(vendor) as server:
        assert await token_from(server, info, token_url=None) == "token-1"


# -- bad answers on a real connection ----------------------------------------------------------------------------------


def cut_off() -> Answer:
    whole = json_answer(TOKEN)
    assert isinstance(whole, bytes)
    return whole[:-9]


async def hung_up(writer: asyncio.StreamWriter) -> None:
    reply = cut_off()
    assert isinstance(reply, bytes)
    writer.write(reply)
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (json_answer({**TOKEN, "token_type": "mac"}), UnexpectedResponse, "another type than Bearer"),
        (json_answer({**TOKEN, "expires_in": 0}), UnexpectedResponse, "already expired"),
        (json_answer({**TOKEN, "expires_in": -1}), UnexpectedResponse, "already expired"),
        (json_answer({**TOKEN, "expires_in": "soon"}), UnexpectedResponse, "expires_in"),
        (json_answer({"message": "welcome"}), UnexpectedResponse, "access_token"),
        (answer(b"<html>Sign in</html>", content_type="text/html"), UnexpectedResponse, "web page"),
        (answer(json_answer(TOKEN)[-30:-9]), UnexpectedResponse, "not JSON|cut off"),
        (answer(b'{"access_token": "token-1", "expi'), UnexpectedResponse, "cut off"),
        (hung_up, NetworkError, "broke off"),
        (reset, NetworkError, "broke off|cannot be reached"),
        (answer(b" " * 70_000 + b"{}"), UnexpectedResponse, "MiB"),
        (answer(b"{}", status=500), NetworkError, "500"),
        (answer(b"{}", status=429, retry_after="17"), RateLimited, "more requests"),
        (json_answer({"error": "invalid_client"}, status=401), ClientRefused, "secret is wrong"),
    ],
)
async def test_p7_whatever_comes_instead_of_a_token_is_one_clear_error(
    reply: Answer, kind: type[SISError], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(always(reply)) as server:
        with pytest.raises(kind, match=words) as caught:
            await token_from(server)
        assert server.count("/token") == 1
    shown = str(caught.value) + repr(caught.value.__cause__) + str(caught.value.as_dict()) + caplog.text
    assert SECRET not in shown
    assert "token-1" not in shown


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    async def silent(_heard: Heard) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(silent) as server:
        with pytest.raises(RequestTimedOut):
            await token_from(server, timeout=0.05)


@pytest.mark.parametrize("date", ["Sun, 22 Nov 2026 07:00:00 GMT", "Sun, 22 Nov 2026 09:00:00 GMT"])
async def test_a_server_whose_clock_is_off_by_an_hour_hands_out_tokens_that_live_as_long_as_it_says(date: str) -> None:
    clock = ManualClock()  # 08:00
    replies = in_turn(
        json_answer({**TOKEN, "access_token": "token-1"}, date=date), json_answer({**TOKEN, "access_token": "token-2"}, date=date)
    )
    async with serving(replies) as server, tokens_from(server, replace(ANY_GRANT, renews_early=False), clock=clock) as tokens:
        assert (await tokens.token()).get_secret_value() == "token-1"
        clock.advance(1198)
        assert (await tokens.token()).get_secret_value() == "token-1"
        clock.advance(1)
        assert (await tokens.token()).get_secret_value() == "token-2"


# -- two secrets, refresh, revocation, against a server made by others -------------------------------------------------


async def test_p8_neither_grant_nor_revocation_follows_a_redirect() -> None:
    async with serving(always(json_answer(TOKEN))) as elsewhere:
        async with serving(always(answer(status=307, location=f"{elsewhere.url}/token"))) as server:
            for settings in ({"grant": "password"}, {"client_authentication": "query", "token_method": "GET"}):
                with pytest.raises(UnexpectedResponse, match="redirects are not followed"):
                    await token_from(server, ANY_GRANT, **settings)
            async with tokens_from(server) as tokens:
                with pytest.raises(UnexpectedResponse, match="redirects are not followed"):
                    await tokens.endpoint.revoke(RefreshToken("r"), "refresh_token", f"{server.url}/revoke")
        assert elsewhere.heard == []


def tokens_of(server: OAuthServer, **settings: Any) -> Tokens:
    values = {"provider": "small", "base_url": server.issuer, "token_url": server.token_url, "client_id": CLIENT_ID}
    config = validated({**values, "client_secret": CLIENT_SECRET, **settings}, origin="this test")
    return token_source(ANY_GRANT, config, limiter=unlimited(), clock=SystemClock())


@pytest.mark.parametrize("rotates", [True, False])
async def test_a_real_server_refreshes_with_and_without_rotation_and_takes_tokens_back(rotates: bool) -> None:
    with oauth_server(rotates=rotates) as server:
        tokens, consent = tokens_of(server, grant="authorization_code"), server.consented("roster")
        await tokens.adopt(
            StoredToken(
                access_token=AccessToken(consent["access_token"]),
                obtained_at=SystemClock().now(),
                expires_at=None,
                refresh_token=RefreshToken(consent["refresh_token"]),
            )
        )
        second, third = await tokens.renew(), await tokens.renew()
        assert second.refresh_token is not None
        assert third.refresh_token is not None
        assert (second.refresh_token == third.refresh_token) is not rotates
        assert server.reuses == 0
        assert server.accepts(third.access_token.get_secret_value())
        await tokens.endpoint.revoke(third.access_token, "access_token", server.revocation_url)
        await tokens.endpoint.revoke(third.refresh_token, "refresh_token", server.revocation_url)
        await tokens.endpoint.revoke(AccessToken("never-heard-of"), "access_token", server.revocation_url)
        assert not server.accepts(third.access_token.get_secret_value())
        with pytest.raises(GrantBroken):
            await tokens.renew()
        await tokens.aclose()


async def test_a_real_server_knows_one_of_two_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with oauth_server() as server:
        tokens = tokens_of(server, client_secret="not-active-yet", former_client_secret=CLIENT_SECRET)
        for _ in range(3):
            await tokens.renew()
        await tokens.aclose()
        assert [call.status for call in server.calls] == [401, 200, 200, 200]
    assert caplog.text.count("refuses the newest client secret") == 1


# -- wiring ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"client_id": None}, "client id and a client secret"),
        ({"client_secret": None}, "client id and a client secret"),
        ({"client_secret": None, "client_authentication": "none"}, "client id and a client secret"),
        ({"grant": "password", "username": "u", "client_secret": None}, "client id and a client secret"),
        ({"grant": "authorization_code", "client_id": None, "client_authentication": "none"}, "needs a client id"),
        ({"grant": "authorization_code", "client_secret": None}, "client id and a client secret"),
    ],
)
def test_credentials_that_are_missing_are_asked_for(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        oauth_client(ANY_GRANT, config_for(RawServer("https://sis.example.org"), **settings))


class SlowLog(MemoryWindowLog):
    """Slots that come back only when they may."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.may_end, self.given_back = asyncio.Event(), 0

    async def give_back(self, key: str, taken: Taken, rest: float) -> None:
        await self.may_end.wait()
        await super().give_back(key, taken, rest)
        self.given_back += 1


async def test_a_provider_that_is_closed_waits_for_what_is_left_of_its_token_request() -> None:
    log, has_token = SlowLog(), asyncio.Event()

    async def sis(heard: Heard) -> Answer:
        if heard.path == "/token":
            return json_answer(TOKEN)
        has_token.set()
        return reset

    async with serving(sis) as server:
        limiter = Limiter(10, 60, log=log, smooth=False)
        async with open_provider(ANY_GRANT, config_for(server, max_attempts=1), limiter=limiter) as opened:
            assert opened.transport is not None
            reading = asyncio.create_task(opened.transport.get_json("/schools"))
            await has_token.wait()
            reading.cancel()
            asyncio.get_running_loop().call_later(0.05, log.may_end.set)
        assert log.given_back
        await asyncio.wait({reading})


def test_a_grant_that_the_sis_does_not_know_is_named_with_those_it_knows() -> None:
    config = config_for(RawServer("https://sis.example.org"), grant="password")
    with pytest.raises(ConfigurationError, match=r"password.*Choose among: client_credentials"):
        own_settings(INFO, config)


def test_a_grant_of_a_plugin_that_is_newer_than_we_are_is_named() -> None:
    config = config_for(RawServer("https://sis.example.org"))
    with pytest.raises(ConfigurationError, match="grant device_code, which this version"):
        own_settings(replace(INFO, auth_grants=("device_code",)), config)
    assert oauth_client(replace(INFO, auth_grants=()), config).client_id == KEY


def test_settings_go_before_what_the_provider_declares() -> None:
    server = RawServer("https://sis.example.org")
    info = replace(ANY_GRANT, client_authentication="body", token_method="GET", token_path="/t", revoke_path="/r")
    plain = config_for(server, token_url=None)
    client = oauth_client(info, plain)
    assert (client.authentication, client.method, client.token_url) == ("body", "GET", "https://sis.example.org/t")
    assert (client.secrets, client.scope) == ((SecretStr(SECRET),), None)
    assert revocation_url(info, plain) == "https://sis.example.org/r"
    assert revocation_url(INFO, plain) is None
    told = config_for(
        server,
        client_authentication="basic_form_encoded",
        token_method="POST",
        token_url="https://id.example.org/token/",
        revocation_url="https://id.example.org/revoke/",
        former_client_secret="former",
        scope="a b",
    )
    client = oauth_client(info, told)
    assert (client.authentication, client.method) == ("basic_form_encoded", "POST")
    assert client.token_url == "https://id.example.org/token/"
    assert [secret.get_secret_value() for secret in client.secrets] == [SECRET, "former"]
    assert client.scope == "a b"
    assert revocation_url(info, told) == "https://id.example.org/revoke/"
