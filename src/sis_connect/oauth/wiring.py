"""From what a provider declares and an integration is told: its client, its token endpoint, its grant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_args

from sis_connect.clock import Clock
from sis_connect.errors import ConfigurationError
from sis_connect.events import Listener
from sis_connect.local_files import is_local
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.endpoint import TokenEndpoint
from sis_connect.oauth.grants import client_credentials_grant, password_grant, refresh_grant
from sis_connect.oauth.signing import (
    ApiKeySignature,
    BasicSignature,
    OAuth1Signature,
    SecretSigner,
    demand_header_text,
    demand_sendable,
)
from sis_connect.provider import ProviderInfo
from sis_connect.settings import GrantName, SISProviderConfig
from sis_connect.tokens.schedule import share_of
from sis_connect.tokens.token_manager import Grant, TokenManager
from sis_connect.tokens.token_state import TokenStore
from sis_connect.transport.addresses import origin_of
from sis_connect.transport.calls import Call
from sis_connect.transport.rate_limit import Limiter
from sis_connect.transport.signer import Signature, Signer

#: Grants by which each request is signed with client id and secret, and no token is asked for.
SIGNED: frozenset[GrantName] = frozenset({"oauth1", "basic", "api_key"})
WITHOUT_TOKEN: frozenset[GrantName] = SIGNED | {"none"}


def grant_name(info: ProviderInfo, config: SISProviderConfig) -> GrantName:
    """How an integration gets access: as its settings say, else in the provider's usual way. A file here needs none."""
    if is_local(config.base_url):
        return "none"
    if config.grant is not None and config.grant not in info.auth_grants:
        known = ", ".join(info.auth_grants) or "none"
        raise ConfigurationError(
            f"{info.label} does not give access by the grant {config.grant}.", remedy=f"Choose among: {known}."
        )
    usual = next(iter(info.auth_grants), "client_credentials")
    if config.grant is None and usual not in get_args(GrantName):
        raise ConfigurationError(
            f"{info.label} gives access by the grant {usual}, which this version of sis-connect does not know.",
            remedy=f"Set `grant` to one of {', '.join(get_args(GrantName))}, or install a newer version.",
        )
    return config.grant or cast("GrantName", usual)


def has_token(info: ProviderInfo, config: SISProviderConfig) -> bool:
    """Whether an integration has a token at all."""
    return grant_name(info, config) not in WITHOUT_TOKEN


def demand_secret(info: ProviderInfo, config: SISProviderConfig, *, stored: bool) -> None:
    """Raise `ConfigurationError` where requests are to be signed, and no secret is given or `stored` to sign them with."""
    grant = grant_name(info, config)
    known = config.client_id or grant == "api_key"
    if grant in SIGNED and not (known and (stored or config.client_secret is not None)):
        raise _no_key(info) if grant == "api_key" else _no_credentials(info, public=False)


def signer_for(info: ProviderInfo, config: SISProviderConfig, *, clock: Clock) -> Signer | None:
    """What signs the requests of an integration that has no token; `None` where nothing does."""
    grant = grant_name(info, config)
    if grant not in SIGNED:
        return None
    if grant == "api_key":
        return _key_signer(info, config)
    _demand_credentials(info, config)
    client_id = config.client_id or ""
    if grant == "basic" and ":" in client_id:
        raise ConfigurationError(
            "The client id holds a colon, which HTTP Basic cannot send.", remedy="Check it with the district's administrator."
        )
    signatures: list[Signature] = []
    for secret in (config.client_secret, config.former_client_secret):
        if secret is None:
            continue
        demand_sendable(client_id, secret)
        by_oauth1 = OAuth1Signature(client_id, secret, config.signature_method, clock)
        signatures.append(by_oauth1 if grant == "oauth1" else BasicSignature(client_id, secret))
    return SecretSigner(signatures, host=origin_of(config.base_url).host)


def _key_signer(info: ProviderInfo, config: SISProviderConfig) -> SecretSigner:
    keys = [key for key in (config.client_secret, config.former_client_secret) if key is not None]
    if config.client_secret is None:
        raise _no_key(info)
    for key in keys:
        demand_header_text(key)
    signatures = [ApiKeySignature(key, info.api_key_header, info.api_key_prefix) for key in keys]
    return SecretSigner(signatures, host=origin_of(config.base_url).host, presented="API key")


def oauth_client(info: ProviderInfo, config: SISProviderConfig) -> OAuthClient:
    """Who we are at the token URL. Raises `ConfigurationError` where credentials are missing."""
    info = info.with_grant(grant_name(info, config))
    _demand_credentials(info, config)
    secrets = [config.client_secret, config.former_client_secret]
    return OAuthClient(
        token_url=token_url(info, config),
        client_id=_client_id(info, config),
        secrets=tuple(secret for secret in secrets if secret is not None),
        authentication=config.client_authentication or info.client_authentication,
        method=config.token_method or info.token_method,
        parameters=token_parameters(info, config),
        headers=info.token_headers,
        scope=config.scope or info.scope,
    )


def token_parameters(info: ProviderInfo, config: SISProviderConfig) -> dict[str, str]:
    """What belongs into the query of the token URL."""
    return {**info.token_parameters, **config.token_parameters}


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
        case "oauth1" | "basic" | "api_key" | "none" as grant:
            raise no_token(info.label, grant)


def no_token(name: str, grant: GrantName) -> ConfigurationError:
    """The error for whoever wants the token of an integration that has none."""
    return ConfigurationError(f"{name} has no token: its grant is {grant}.", remedy="Nothing needs to be done about its tokens.")


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
    raise _no_credentials(info, public=public and grant == "authorization_code")


def _no_credentials(info: ProviderInfo, *, public: bool) -> ConfigurationError:
    return ConfigurationError(
        f"{info.label} needs a client id{'' if public else ' and a client secret'}.",
        remedy="Give client_id and client_secret; the district's administrator finds them where the plugin was installed.",
    )


def _no_key(info: ProviderInfo) -> ConfigurationError:
    return ConfigurationError(
        f"{info.label} needs an API key.", remedy="Give it as the client secret: --client-secret-file FILE, or client_secret."
    )
