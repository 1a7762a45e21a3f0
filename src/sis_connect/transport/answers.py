"""What an answer means: pure functions from status, headers and body to the named error, or to nothing where all is well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    NetworkError,
    NotOffered,
    ProviderError,
    RateLimited,
    RequestTimedOut,
    SISError,
    UnexpectedResponse,
)
from sis_connect.hosting.faults import passes
from sis_connect.transport.addresses import host_elsewhere, origin_of
from sis_connect.transport.retry import parse_retry_after

#: What some servers begin a JSON text with.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DOWNTIME = "The SIS may be down for maintenance, or the base URL is not that of its interface: check both, then try again."


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower-case. Its repr shows no data."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


#: Understands the SIS's own error answers: (status, headers, body) -> the error, or `None` to leave it to the rules below.
ErrorReader = Callable[[int, Mapping[str, str], bytes], SISError | None]


def fault(
    response: Response,
    *,
    base_url: str,
    now: datetime,
    read_error: ErrorReader | None = None,
    presented: str | None = "access token",
) -> SISError | None:
    """The error that an answer stands for; `None` for a usable one. `presented` is what was to let us in, if anything."""
    if 200 <= response.status < 300:
        return _html(response, base_url)
    return _understood(response, read_error) or refusal(response, base_url=base_url, now=now, presented=presented)


def refusal(response: Response, *, base_url: str, now: datetime, presented: str | None = "access token") -> SISError:
    """The error that a status stands for, by the common rules."""
    host, status = origin_of(base_url).host, response.status
    if 300 <= status < 400:
        elsewhere = host_elsewhere(base_url, response.headers.get("location"))
        return UnexpectedResponse(
            f"{host} sends us on to {elsewhere or 'another place'} instead of answering; redirects are not followed.",
            remedy=_DOWNTIME,
        )
    if status == 401:
        return _not_let_in(host, presented)
    if status == 403:
        return AuthorizationError(f"{host} does not allow us to read this.")
    if status == 404:
        return NotOffered(f"{host} does not know what was asked for (404).")
    retry_after = parse_retry_after(response.headers.get("retry-after"), now=now, date=response.headers.get("date"))
    if status == 429:
        return RateLimited(f"{host} received more requests than it allows.", retry_after=retry_after)
    if status == 408:
        return RequestTimedOut(f"{host} gave up waiting for our request.")
    if status >= 500:
        error = NetworkError(f"{host} failed to answer (status {status}).")
        error.retry_after = retry_after
        return error
    return ProviderError(f"{host} refused a request as wrong (status {status}).", remedy="Report this to the plugin's author.")


def _not_let_in(host: str, presented: str | None) -> AuthenticationError:
    if presented is None:
        return AuthenticationError(
            f"{host} demands credentials, and this integration sends none (its grant is none).",
            remedy="Set `grant` to how the district's administrator says that access is given, and store client id and secret.",
        )
    return AuthenticationError(f"{host} does not accept our {presented}.")


def _understood(response: Response, read_error: ErrorReader | None) -> SISError | None:
    if read_error is None:
        return None
    try:
        return read_error(response.status, response.headers, response.body)
    except BaseException as error:
        if isinstance(error, SISError) or passes(error):
            raise
        # A plugin that stumbles over an error answer must not hide that there was one; its own words may quote the answer.
        return ProviderError(
            f"The plugin could not read an error answer with status {response.status} ({type(error).__name__}).",
            remedy="Report this to the plugin's author.",
        )


def _html(response: Response, base_url: str) -> SISError | None:
    if _media_type(response) not in ("text/html", "application/xhtml+xml"):
        return None
    return UnexpectedResponse(f"{origin_of(base_url).host} answered with a web page instead of data.", remedy=_DOWNTIME)


def as_json(response: Response, *, base_url: str) -> Response:
    """The same answer, once it is certain that it holds one complete JSON text. The text is not parsed into objects."""
    host, media_type = origin_of(base_url).host, _media_type(response)
    if media_type not in ("application/json", "text/json") and not media_type.endswith("+json"):
        raise UnexpectedResponse(f"{host} answered with {media_type or 'no content type'} instead of JSON.", remedy=_DOWNTIME)
    body = response.body.removeprefix(BYTE_ORDER_MARK)
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        # Its words name a position, never a value. What was cut off is worth another attempt.
        cut_off = "truncated" in str(error)
        what = "JSON that is cut off" if cut_off else "something that is not JSON"
        raise UnexpectedResponse(f"{host} answered with {what} ({len(body)} bytes).", retryable=cut_off) from None
    return Response(response.status, response.headers, body)


def _media_type(response: Response) -> str:
    # Whatever a server writes here may end in a message, so it is cut to what a media type can be.
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()[:60]
