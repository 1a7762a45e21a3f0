"""Which server is asked for a person's consent: as the settings or the provider say, else as it describes itself."""

from __future__ import annotations

from collections.abc import Collection

from sis_connect.clock import Clock
from sis_connect.errors import ConfigurationError, NotOffered, UnexpectedResponse
from sis_connect.oauth.metadata import ServerMetadata, document_urls, issuer_of, read_metadata
from sis_connect.oauth.wiring import revocation_url
from sis_connect.provider import ProviderInfo
from sis_connect.settings import SISProviderConfig
from sis_connect.transport.answers import Response, as_json, fault
from sis_connect.transport.http import Request, Wire
from sis_connect.transport.rate_limit import Limiter
from sis_connect.transport.redact import path_template

#: No server needs more to describe itself.
_MAX_BYTES = 256 * 2**10


async def sign_in_server(info: ProviderInfo, config: SISProviderConfig, *, limiter: Limiter, clock: Clock) -> ServerMetadata:
    """The server of an integration. What the settings say of it counts more than what it says itself."""
    if config.authorize_url is not None:
        return _told(info, config, config.authorize_url)
    if config.issuer is not None:
        issuer = config.issuer
        urls: tuple[str, ...] = document_urls(issuer)
    elif info.discovery_path is not None:
        urls = (config.base_url + info.discovery_path,)
        issuer = issuer_of(urls[0])
    elif info.authorize_path is not None:
        return _told(info, config, config.base_url + info.authorize_path)
    else:
        raise ConfigurationError(
            f"Nothing says where access to a {info.label} is given.",
            remedy="Set `issuer` to the address of its sign-in server, or `authorize_url` and `token_url`.",
        )
    described = await _described(issuer, urls, limiter, clock, config.timeout)
    return ServerMetadata(
        issuer=described.issuer,
        authorize_url=described.authorize_url,
        token_url=config.token_url or described.token_url,
        revocation_url=config.revocation_url or described.revocation_url,
        described=True,
        s256=described.s256,
        names_itself=described.names_itself,
    )


def _told(info: ProviderInfo, config: SISProviderConfig, authorize_url: str) -> ServerMetadata:
    return ServerMetadata(
        issuer=config.issuer,
        authorize_url=authorize_url,
        token_url=config.token_url or config.base_url + info.token_path,
        revocation_url=revocation_url(info, config),
    )


async def _described(issuer: str, urls: Collection[str], limiter: Limiter, clock: Clock, timeout: float) -> ServerMetadata:
    def read(answer: Response) -> ServerMetadata:
        refused = fault(answer, base_url=issuer, now=clock.now())
        if refused is not None:
            raise refused
        return read_metadata(as_json(answer, base_url=issuer).body, issuer=issuer)

    wire = Wire(issuer, limiter=limiter, clock=clock, timeout=timeout, pool=1, max_bytes=_MAX_BYTES, on_call=None)
    try:
        for url in urls:
            try:
                return await wire.send(Request(method="GET", template=path_template(url), url=url), read)
            except NotOffered:
                continue  # it may describe itself at the other address
    finally:
        await wire.aclose()
    raise UnexpectedResponse(
        f"{wire.origin.host} does not describe its sign-in server where OAuth and OpenID Connect have it.",
        remedy="Check the `issuer` of this integration, or set `authorize_url` and `token_url` instead.",
    )
