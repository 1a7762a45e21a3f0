"""What a provider is for one integration: everything that knows an integration's settings sees it, and the registry does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from manual_clock import ManualClock
from oauth_server import oauth_server
from raw_server import Answer, Heard, answer, json_answer, serving
from signing_server import SigningServer
from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.connection import connect
from sis_connect.discovery import refined
from sis_connect.errors import ConfigurationError, NotOffered, ProviderError
from sis_connect.oauth.wiring import oauth_client
from sis_connect.provider import ProviderInfo
from sis_connect.settings import SISProviderConfig, validated
from small_sis import INFO as SMALL
from small_sis import small_district
from token_office import TokenOffice, registry, settings

KINDS: tuple[Kind, ...] = ("schools", "sections", "students")


class OwnSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    product: str = "plain"


def by_product(info: ProviderInfo, config: SISProviderConfig) -> ProviderInfo:
    """`plain` has no sections and hands out tokens, `signing` has them and none."""
    product = config.options.get("product", "plain")
    if product == "moody":
        raise ConfigurationError("Small SIS moody cannot do with this.", remedy="Take another product.")
    if product == "broken":
        raise KeyError(product)
    if product == "other":
        return replace(info, name="other")
    if product == "signing":
        return replace(info, auth_grants=("oauth1",))
    offered = Capabilities({kind: KindCapabilities(offered=kind != "sections") for kind in KINDS})
    return replace(
        info,
        capabilities=offered,
        auth_grants=("client_credentials", "authorization_code"),
        token_path="/plain/token",
    )


INFO = replace(SMALL, settings=f"{__name__}:OwnSettings", refine=f"{__name__}:by_product", auth_grants=("none",))
URL = "https://sis.example.org"


def config(base_url: str = URL, **more: Any) -> SISProviderConfig:
    given = {"provider": "small", "base_url": base_url, "client_id": "district", "client_secret": "hush-secret-value"}
    return validated({**given, "rate_limit": "off", **more}, origin="a test")


@pytest.fixture
def office(tmp_path: Path) -> TokenOffice:
    return TokenOffice(tmp_path, clock=ManualClock(), registry=registry(INFO))


def test_what_a_product_adds_to_the_token_address_gives_way_to_the_settings() -> None:
    info = replace(refined(INFO, config()), token_parameters={"appName": "usual", "x": "1"})
    assert oauth_client(info, config(token_url=f"{URL}/token?appName=lincoln")).parameters == {"appName": "lincoln", "x": "1"}


def test_what_depends_on_settings_follows_them() -> None:
    plain, signing = refined(INFO, config()), refined(INFO, config(product="signing"))
    assert oauth_client(plain, config()).token_url == f"{URL}/plain/token"
    assert signing.auth_grants == ("oauth1",)
    assert (plain.capabilities.of("sections").offered, signing.capabilities.of("sections").offered) == (False, True)


def test_a_provider_without_such_a_function_is_what_it_is() -> None:
    assert refined(SMALL, config()) is SMALL


def test_refining_twice_is_refining_once() -> None:
    once = refined(INFO, config())
    assert refined(once, config(product="broken")) is once


@pytest.mark.parametrize(
    ("product", "error", "words"),
    [
        ("moody", ConfigurationError, "cannot do with this"),
        ("broken", ProviderError, "stumbles over the settings of this integration .KeyError"),
        ("other", ProviderError, "does not say what it is"),
    ],
)
def test_a_plugin_that_objects_or_stumbles_is_named(product: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        refined(INFO, config(product=product))


def test_a_connection_is_refined() -> None:
    sis = connect("small", config(), registry=registry(INFO))
    with pytest.raises(NotOffered, match="sections"):
        sis.sections()
    assert connect("small", config(product="signing"), registry=registry(INFO)).info.auth_grants == ("oauth1",)
    with pytest.raises(ConfigurationError, match="does not give access by the grant oauth1"):
        connect("small", config(grant="oauth1"), registry=registry(INFO))


async def test_adding_checks_what_the_product_can_do(office: TokenOffice) -> None:
    async with office.open() as service:
        for wrong, words in (
            ({"grant": "oauth1"}, "does not give access by the grant oauth1"),
            ({"product": "signing", "grant": "client_credentials"}, "does not give access by the grant client_credentials"),
            ({"product": "signing", "client_id": None}, "needs a client id and a client secret"),
            ({"product": "moody"}, "cannot do with this"),
            ({"fields": "birth_date", "colour": "red"}, "colour"),
        ):
            given: dict[str, Any] = dict(wrong)
            with pytest.raises(ConfigurationError, match=words):
                await service.create_integration("lincoln", config(**given))
        assert service.registry.info("small") == INFO


async def test_a_sync_reads_what_the_product_offers_by_the_grant_that_it_knows(office: TokenOffice) -> None:
    async with serving(SigningServer(behind=small_district())) as server, office.open() as service:
        await service.create_integration("lincoln", config(server.url, product="signing"))
        report = await service.sync("lincoln")
        assert report.status == "succeeded"
        assert {kind: report.records[kind] for kind in KINDS} == {"schools": 2, "sections": 6, "students": 17}
        assert [(health.grant, health.state) for health in await service.tokens()] == [("oauth1", "tokenless")]


async def test_tokens_are_those_of_the_product(office: TokenOffice) -> None:
    with oauth_server() as server:
        office.clock = None
        async with office.open() as service:
            await service.create_integration("lincoln", settings(server))
            assert [result.outcome for result in await service.renew_tokens()] == ["renewed"]
            assert [(health.grant, health.state) for health in await service.tokens()] == [("client_credentials", "active")]


async def test_a_sync_gets_its_token_as_the_product_does_and_keeps_it(office: TokenOffice) -> None:
    sis = small_district()

    async def handler(heard: Heard) -> Answer:
        if heard.path == "/plain/token":
            return json_answer({"access_token": "of-this-product", "expires_in": 3600})
        return await sis(heard) if heard.headers.get("authorization") == "Bearer of-this-product" else answer(status=401)

    async with serving(handler) as server, office.open() as service:
        await service.create_integration("lincoln", config(server.url))
        assert (await service.sync("lincoln", kinds=["schools"])).status == "succeeded"
    assert office.query("SELECT count(*) FROM sis_oauth_token WHERE sealed IS NOT NULL") == [(1,)]


async def test_a_person_is_asked_where_the_product_has_them_asked(office: TokenOffice) -> None:
    asks = {"grant": "authorization_code", "authorize_url": f"{URL}/authorize"}
    async with office.open() as service:
        await service.create_integration("lincoln", config(**asks))
        address = await service.authorization_url("lincoln", redirect_uri="https://app.example.org/back", session="s")
        assert address.startswith(f"{URL}/authorize?")


async def test_p12_a_plugin_that_stumbles_over_one_integration_hides_no_other(office: TokenOffice) -> None:
    async with office.open() as service:
        for name in ("lincoln", "roosevelt"):
            await service.create_integration(name, config(product="signing"))
        stored = office.query("SELECT settings FROM sis_integration WHERE name = 'lincoln'")[0][0]
        office.query("UPDATE sis_integration SET settings = ? WHERE name = 'lincoln'", stored.replace("signing", "broken"))
        states = {health.integration: (health.state, health.ok) for health in await service.tokens()}
        assert states == {"lincoln": ("unreadable", False), "roosevelt": ("tokenless", True)}
        assert [result.ok for result in await service.renew_tokens()] == [False, True]


# -- a token URL with a query ------------------------------------------------------------------------------------------


def test_what_follows_the_question_mark_of_a_token_url_becomes_a_token_parameter() -> None:
    copied = config(token_url=f" {URL}/campus/oauth2/token?appName=lincoln&x=a%20b+c ", token_parameters={"y": "1"})
    assert copied.token_url == f"{URL}/campus/oauth2/token"
    assert copied.token_parameters == {"appName": "lincoln", "x": "a b c", "y": "1"}
    client = oauth_client(refined(INFO, copied), copied)
    assert (client.token_url, client.parameters) == (copied.token_url, copied.token_parameters)
    assert config(token_url=f"{URL}/token?").token_url == f"{URL}/token"
    assert config(token_url=f"{URL}/token?a=1", token_parameters="a=1").token_parameters == {"a": "1"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"token_url": f"{URL}/token?appName=a", "token_parameters": "appName=b"}, "two values for appName"),
        ({"token_url": f"{URL}/token?appName=a&appName=b"}, "two values for appName"),
        ({"token_url": f"{URL}/token?client_secret=hush"}, "client_secret"),
        ({"token_url": f"{URL}/token?a=1#top"}, "fragment"),
        ({"token_url": "http://sis.example.org/token?a=1"}, "https"),
        ({"token_url": f"{URL}/token?a=1", "token_parameters": 7}, "token_parameters"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused_without_being_quoted(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        config(**given)
    assert "hush" not in str(caught.value)
    assert ": : " not in str(caught.value)


@pytest.mark.parametrize(
    ("token_url", "kept"),
    [
        ("/token?appName=lincoln", True),
        ("/token?appName=washington", False),
        ("/token", False),
        ("/other?appName=lincoln", False),
    ],
)
async def test_p8_a_token_belongs_to_the_client_and_to_its_whole_token_address(
    office: TokenOffice, token_url: str, kept: bool
) -> None:
    async with office.open() as service:
        asks = {"grant": "authorization_code", "authorize_url": f"{URL}/authorize"}
        await service.create_integration("lincoln", config(token_url=f"{URL}/token?appName=lincoln", **asks))
        [row] = await service._integrations.rows()
        office.query(
            "INSERT INTO sis_oauth_token (integration_id, sealed, state, failures) VALUES (?, ?, 'active', 0)", row.id, b"x"
        )
        await service.create_integration("lincoln", config(token_url=URL + token_url, **asks))
        assert office.query("SELECT count(*) FROM sis_oauth_token") == [(int(kept),)]


async def test_p8_the_environment_may_repeat_the_token_address_and_not_move_it(
    office: TokenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.open() as service:
        await service.create_integration("lincoln", config(token_url=f"{URL}/token?appName=lincoln"))
        row = await service._integrations.row("lincoln")
        for address, words in (
            (f"{URL}/token?appName=lincoln", None),
            (f"{URL}/token", None),
            (f"{URL}/token?appName=other", "two values for appName"),
            (f"{URL}/other?appName=lincoln", "another token_url"),
            ("https://elsewhere.example.org/token?appName=lincoln", "another token_url"),
        ):
            monkeypatch.setenv("SIS_CONNECT_LINCOLN_TOKEN_URL", address)
            if words is None:
                found = await service._integrations.config(row)
                assert (found.token_url, found.token_parameters) == (f"{URL}/token", {"appName": "lincoln"})
                continue
            with pytest.raises(ConfigurationError, match=words):
                await service._integrations.config(row)
