"""From what a provider declares and an integration is told: its client, its token endpoint, its grant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_args

from sis_connect.clock import Clock
from sis_connect.errors import ConfigurationError
from sis_connect.events import Listener
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.endpoint import TokenEndpoint
from sis_connect.oauth.grants import client_credentials_grant, password_grant, refresh_grant
from sis_connect.provider import ProviderInfo
from sis_connect.settings import GrantName, SISProviderConfig
from sis_connect.tokens.schedule import share_of
from sis_connect.tokens.token_manager import Grant, TokenManager
from sis_connect.tokens.token_state import TokenStore
from sis_connect.transport.http import Call
from sis_connect.transport.rate_limit import Limiter


def grant_name(info: ProviderInfo, config: SISProviderConfig) -> GrantName:
    """How an integration gets its tokens: as its settings say, else in the provider's usual way."""
    if config.grant is not None and config.grant not in info.auth_grants:
        known = ", ".join(info.auth_grants) or "none"
        raise ConfigurationError(
            f"{info.label} does not hand out tokens by the grant {config.grant}.", remedy=f"Choose among: {known}."
        )
    usual = next(iter(info.auth_grants), "client_credentials")
    if config.grant is None and usual not in get_args(GrantName):
        raise ConfigurationError(
            f"{info.label} hands out tokens by the grant {usual}, which this version of sis-connect does not know.",
            remedy=f"Set `grant` to one of {', '.join(get_args(GrantName))}, or install a newer version.",
        )
    return config.grant or cast("GrantName", usual)


def oauth_client(info: ProviderInfo, config: SISProviderConfig) -> OAuthClient:
    """Who we are at this SIS. Raises `ConfigurationError` where credentials are missing."""
    info = info.with_grant(grant_name(info, config))
    _demand_credentials(info, config)
    secrets = [config.client_secret, config.former_client_secret]
    return OAuthClient(
        token_url=token_url(info, config),
        client_id=_client_id(info, config),
        secrets=tuple(secret for secret in secrets if secret is not None),
        authentication=config.client_authentication or info.client_authentication,
        method=config.token_method or info.token_method,
        parameters=config.token_parameters,
        headers=info.token_headers,
        scope=config.scope or info.scope,
    )


def token_url(info: ProviderInfo, config: SISProviderConfig) -> str:
    """Where tokens come from."""
    return config.token_url or config.base_url + info.token_path


def token_endpoint(
    info: ProviderInfo,
    config: SISProviderConfig,
    *,
    limiter: Limiter,
    clock: Clock,
    on_call: Callable[[Call], None] | None = None,
) -> TokenEndpoint:
    """Where an integration gets its tokens, and gives them back."""
    return TokenEndpoint(oauth_client(info, config), limiter=limiter, clock=clock, timeout=config.timeout, on_call=on_call)


def grant_for(info: ProviderInfo, config: SISProviderConfig, endpoint: TokenEndpoint) -> Grant:
    """What brings a new token from the old one."""
    match grant_name(info, config):
        case "client_credentials":
            return client_credentials_grant(endpoint)
        case "password":
            return password_grant(endpoint, config.username or config.client_id or "", config.password)
        case "authorization_code":
            return refresh_grant(endpoint)


class Tokens(TokenManager):
    """The tokens of one integration, and the endpoint that they come from, which is closed with them."""

    def __init__(self, endpoint: TokenEndpoint, grant: Grant, **settings: Any) -> None:
        super().__init__(grant, **settings)
        self.endpoint = endpoint

    async def aclose(self) -> None:
        await super().aclose()
        await self.endpoint.aclose()


def token_source(
    info: ProviderInfo,
    config: SISProviderConfig,
    *,
    limiter: Limiter,
    clock: Clock,
    on_call: Callable[[Call], None] | None = None,
    store: TokenStore | None = None,
    integration: str = "",
    on_event: Listener | None = None,
) -> Tokens:
    """Tokens by the integration's grant, kept in `store`, else in memory. `aclose` them."""
    endpoint = token_endpoint(info, config, limiter=limiter, clock=clock, on_call=on_call)
    return Tokens(
        endpoint,
        grant_for(info, config, endpoint),
        clock=clock,
        store=store,
        renews_early=info.with_grant(grant_name(info, config)).renews_early,
        renew_before=config.renew_before,
        jitter=share_of(integration) if integration else 0.0,
        integration=integration,
        on_event=on_event,
    )


def revocation_url(info: ProviderInfo, config: SISProviderConfig) -> str | None:
    """Where tokens are given back, if the SIS takes them back."""
    return config.revocation_url or (config.base_url + info.revoke_path if info.revoke_path else None)


def _client_id(info: ProviderInfo, config: SISProviderConfig) -> str:
    authentication = config.client_authentication or info.client_authentication
    # Where key and secret are sent as user name and password, and only so, there is no client besides.
    signs_in_as_user = grant_name(info, config) == "password" and config.username is None
    return "" if signs_in_as_user and authentication == "none" else config.client_id or ""


def _demand_credentials(info: ProviderInfo, config: SISProviderConfig) -> None:
    grant, public = grant_name(info, config), (config.client_authentication or info.client_authentication) == "none"
    if grant == "password" and config.username and config.password is not None:
        return
    if config.client_id and (config.client_secret is not None or (public and grant == "authorization_code")):
        return
    raise ConfigurationError(
        f"{info.label} needs a client id{'' if public and grant == 'authorization_code' else ' and a client secret'}.",
        remedy="Give client_id and client_secret; the district's administrator finds them where the plugin was installed.",
    )
