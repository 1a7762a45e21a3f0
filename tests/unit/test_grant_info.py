"""What a provider says otherwise for one of its grants, and who has the last word."""

from __future__ import annotations

from typing import Any

from sis_connect.capabilities import Capabilities
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.wiring import oauth_client
from sis_connect.provider import CONTRACT, GrantInfo, ProviderInfo
from sis_connect.settings import SISProviderConfig, validated

INFO = ProviderInfo(
    name="several",
    label="Several Ways SIS",
    provider="several:Provider",
    contract=CONTRACT,
    capabilities=Capabilities(),
    auth_grants=("client_credentials", "authorization_code", "password"),
    client_authentication="query",
    scope="roster",
    by_grant={
        "client_credentials": GrantInfo(renews_early=False),
        "authorization_code": GrantInfo(client_authentication="body", scope="openid"),
    },
)


def config(**more: Any) -> SISProviderConfig:
    given = {"provider": "several", "base_url": "https://sis.example.org", "client_id": "id", "client_secret": "secret"}
    return validated({**given, **more}, origin="a test")


def client(**more: Any) -> OAuthClient:
    return oauth_client(INFO, config(**more))


def test_a_grant_has_its_own_way_and_the_others_that_of_the_provider() -> None:
    consented, plain, password = (client(grant=grant) for grant in ("authorization_code", None, "password"))
    assert (consented.authentication, consented.scope) == ("body", "openid")
    assert (plain.authentication, plain.scope) == ("query", "roster")
    assert (password.authentication, password.scope) == ("query", "roster")


def test_settings_have_the_last_word() -> None:
    told = client(grant="authorization_code", client_authentication="basic", scope="openid email")
    assert (told.authentication, told.scope) == ("basic", "openid email")


def test_only_the_grant_that_brings_the_same_token_again_waits_for_its_end() -> None:
    assert [INFO.with_grant(grant).renews_early for grant in INFO.auth_grants] == [False, True, True]


def test_a_client_without_a_secret_is_one_where_the_grant_says_so() -> None:
    public = ProviderInfo(
        name="public",
        label="Public SIS",
        provider="public:Provider",
        contract=CONTRACT,
        capabilities=Capabilities(),
        auth_grants=("authorization_code",),
        by_grant={"authorization_code": GrantInfo(client_authentication="none")},
    )
    assert oauth_client(public, config(client_secret=None)).secrets == ()
