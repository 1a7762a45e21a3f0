"""Where a request may go: to one origin, and nowhere else (promise P8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from sis_connect.errors import ConfigurationError, UnexpectedResponse
from sis_connect.setting_types import check_url

_STANDARD_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port: the same origin is the same server."""

    scheme: str
    host: str
    port: int


def safe_base(url: str, what: str) -> str:
    """An address that secrets may be sent to, without a slash at its end; `what` names the setting in the error."""
    try:
        return check_url(url)
    except ValueError as error:
        raise ConfigurationError(f"The {what} {error}.") from None


def origin_of(url: str) -> Origin:
    """The origin of an absolute address."""
    parts = _split(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or _STANDARD_PORTS.get(parts.scheme, 0))


def address(base_url: str, path: str, params: Mapping[str, str] | None = None) -> str:
    """A path below the base URL, or an absolute address of the same origin, with its query. Any other origin is refused."""
    parts = _split(path)
    if parts.scheme or parts.netloc:
        _demand_same_origin(base_url, path, "A request")
    else:
        parts = _split(f"{base_url}/{path.lstrip('/')}")
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in (params or {})]
    return urlunsplit(parts._replace(query=urlencode([*query, *(params or {}).items()], quote_via=quote), fragment=""))


def own_query(base_url: str, link: str) -> str:
    """The query of a link that a server sent, relative or absolute: all that is ever used of it. Another origin is refused."""
    _split(link)
    target = urljoin(f"{base_url}/", link)
    _demand_same_origin(base_url, target, "A link to the next page")
    return _split(target).query


def host_elsewhere(base_url: str, location: str | None) -> str | None:
    """The host that a redirect points to, if it can be told. Only the host: the rest may hold anything."""
    if not location:
        return None
    try:
        return urlsplit(urljoin(f"{base_url}/", location)).hostname
    except ValueError:
        return None


def _demand_same_origin(base_url: str, url: str, what: str) -> None:
    theirs = origin_of(url)
    if theirs != origin_of(base_url):
        raise UnexpectedResponse(
            f"{what} points to {theirs.host or 'another place'}, which is not the server of this integration.",
            remedy="Nothing was sent there. If the district's server has moved, correct the base URL.",
        )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UnexpectedResponse("An address is malformed.", remedy="Report this to the maker of the SIS.") from None
    return parts
