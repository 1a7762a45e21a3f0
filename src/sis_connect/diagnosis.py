"""What `doctor` finds out about any REST interface: whether it answers, whether it lets us in, what a full read costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sis_connect.capabilities import KINDS
from sis_connect.endpoint import Asked, Endpoint, raw_rows
from sis_connect.errors import AuthenticationError, AuthorizationError, SISError
from sis_connect.provider import Finding, InvalidRow, Scope
from sis_connect.streams import chosen, contexts

if TYPE_CHECKING:
    from datetime import datetime

    from sis_connect.rest_provider import RestProvider
    from sis_connect.transport.answers import Response

Below = Mapping[str, Sequence[Endpoint[Any]]]
Contexts = list[dict[str, str]]

#: Clocks further apart than this make tokens look expired, or last too long.
SKEW = 60.0
#: So many streams of an endpoint are looked at; the others are taken to be like them.
SAMPLES = 5


def broken(topic: str, error: SISError) -> Finding:
    """An error as a finding."""
    return Finding(topic=topic, level="error", message=error.message, remedy=error.remedy)


async def reachable(provider: RestProvider) -> list[Finding]:
    """Whether anything answers at the base URL, and whether its clock and ours agree."""
    if provider.probe is None:
        return []
    try:
        response = await provider.transport.get_json(provider.probe, template=provider.probe, authenticate=False)
    except (AuthenticationError, AuthorizationError):
        return [Finding(topic="connection", level="ok", message="The server answers.")]
    except SISError as error:
        return [broken("connection", error)]
    return [Finding(topic="connection", level="ok", message="The server answers."), clock_skew(response, provider.clock.now())]


def clock_skew(response: Response, now: datetime) -> Finding:
    """Whether the server's clock, as its answer tells it, agrees with ours."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", "")).astimezone(UTC)
    except ValueError:
        return Finding(
            topic="clock", level="warning", message="The server does not tell the time, so the clocks cannot be compared."
        )
    seconds = round((now - theirs).total_seconds())
    if abs(seconds) <= SKEW:
        return Finding(
            topic="clock", level="ok", message="The server's clock and this machine's agree.", facts={"seconds": seconds}
        )
    return Finding(
        topic="clock",
        level="warning",
        message=f"This machine's clock is {abs(seconds)} seconds {'ahead of' if seconds > 0 else 'behind'} the server's.",
        remedy="Set the clock of this machine, or tell the district that the server's is wrong.",
        facts={"seconds": seconds},
    )


async def credentials(provider: RestProvider) -> list[Finding]:
    """Whether we are let in: one page of the first endpoint that needs no context."""
    endpoint = next((endpoint for endpoint in provider.endpoints if endpoint.serves("district") and not endpoint.parent), None)
    if endpoint is None:
        return []
    try:
        await provider.ask(endpoint, provider.asked({}), {})
    except SISError as error:
        topic = "access" if isinstance(error, AuthorizationError) else "credentials"
        return [broken(topic, error)]
    return [Finding(topic="credentials", level="ok", message="The credentials are accepted and may read the roster.")]


async def cost(provider: RestProvider) -> Finding:
    """About how many requests a full read takes, and how long that is under the rate limit."""
    try:
        requests = await _estimate(provider)
    except SISError as error:
        return broken("cost", error)
    limit = provider.config.rate_limit or provider.info.default_rate_limit
    if limit == "off":
        return Finding(topic="cost", level="ok", message=f"A full sync takes about {requests} requests.", requests=requests)
    allowed, seconds = limit
    minutes = max(1, math.ceil(requests * seconds / allowed / 60))
    return Finding(
        topic="cost",
        level="ok",
        message=f"A full sync takes about {requests} requests: about {_duration(minutes)} at {allowed} in {seconds:g} seconds.",
        requests=requests,
        facts={"requests": requests, "minutes": minutes},
    )


def _duration(minutes: int) -> str:
    if minutes < 120:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{minutes / 60:.0f} hours"


async def _estimate(provider: RestProvider) -> int:
    """Walk down from the endpoints that a full read starts with, by counts where there are some and by samples of the streams."""
    scope = provider.narrowed(Scope())
    year = await provider.school_year(scope)
    always = {"school_year": str(year)} if year else {}
    _, roots, below = chosen(provider.endpoints, KINDS, scope)
    requests = 0.0
    for endpoint in roots:
        starts = [{**context, **always} for context in contexts(endpoint, scope)]
        requests += await _cost_of(provider, endpoint, below, starts[:: math.ceil(len(starts) / SAMPLES)], len(starts))
    return math.ceil(requests)


async def _cost_of(provider: RestProvider, endpoint: Endpoint[Any], below: Below, samples: Contexts, streams: float) -> float:
    """The requests of an endpoint and of all below it, where it is read in so many streams and `samples` are some of them."""
    children = below[endpoint.name]
    if not children and not endpoint.count:
        return streams  # nothing to look up: a page each
    size = await _page_size(provider, endpoint)
    requests = rows = 0.0
    opened: Contexts = []
    for context in samples:
        asked = provider.asked(context)
        total = await provider.total(endpoint, asked)
        if total is None or any(child.count or below[child.name] for child in children):
            found = await _opened(provider, endpoint, asked)
            opened += found
            total = len(found) if total is None else total
        pages = max(1, math.ceil(total / size))
        requests += pages + ((2 if pages > 1 else 1) if endpoint.count else 0)
        rows += total
    share = streams / max(1, len(samples))
    requests *= share
    for child in children:
        requests += await _cost_of(provider, child, below, opened[:: math.ceil(len(opened) / SAMPLES) or 1], rows * share)
    return requests


async def _opened(provider: RestProvider, endpoint: Endpoint[Any], asked: Asked) -> Contexts:
    """The contexts that the first page of a stream opens."""
    first = endpoint.paging.start(await _page_size(provider, endpoint))
    response = await provider.ask(endpoint, asked, first.params)
    found = []
    for raw in raw_rows(response.body, endpoint.rows):
        try:
            row = endpoint.decode(raw)
        except InvalidRow:
            continue  # the sync will report it; here one more or less is no matter
        if endpoint.opens(row) and (key := endpoint.key_of(row)):
            found.append({**asked.context, str(endpoint.gives): key})
    return found


async def _page_size(provider: RestProvider, endpoint: Endpoint[Any]) -> int:
    declared = (await provider.page_sizes()).get(endpoint.page_size or "")
    wish = provider.config.page_size or declared or provider.info.default_page_size or 100
    return min(wish, declared or wish)
