"""What `doctor` finds out about any REST interface: whether it answers, whether it lets us in, what a full read costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sis_connect.endpoint import Asked, Endpoint
from sis_connect.errors import AuthenticationError, AuthorizationError, NotOffered, SISError
from sis_connect.places import total_beside_rows
from sis_connect.provider import Finding, InvalidRow, Scope
from sis_connect.routes import chosen, contexts

if TYPE_CHECKING:
    from datetime import datetime

    from sis_connect.rest_provider import RestProvider
    from sis_connect.transport.answers import Response

Below = Mapping[str, Sequence[Endpoint[Any]]]
Contexts = list[dict[str, str]]
#: Requests by endpoint.
Spent = defaultdict[str, float]

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
    probe = provider.prefix + provider.probe
    try:
        response = await provider.transport.get_json(probe, template=probe, authenticate=False)
    except (AuthenticationError, AuthorizationError):
        return [Finding(topic="connection", level="ok", message="The server answers.")]
    except NotOffered as error:
        tried = f"{error.message} Tried: {provider.config.base_url.rstrip('/')}{probe}"
        return [Finding(topic="connection", level="error", message=tried, remedy=error.remedy)]
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
    """Whether we are let in: one page of the first endpoint that needs no context, or of the one that stands by for it."""
    every = {each.name: each for each in provider.endpoints}
    endpoint = next((each for each in every.values() if each.serves("district") and not (each.parent or each.standby)), None)
    while endpoint is not None:
        try:
            await provider.ask(endpoint, provider.asked({}), {})
        except NotOffered as error:
            endpoint = every.get(endpoint.alternative or "")
            if endpoint is None:
                return [broken("credentials", error)]
        except SISError as error:
            topic = "access" if isinstance(error, AuthorizationError) else "credentials"
            return [broken(topic, error)]
        else:
            break
    if endpoint is None:
        return []
    return [Finding(topic="credentials", level="ok", message="The credentials are accepted and may read the roster.")]


async def cost(provider: RestProvider) -> Finding:
    """About how many requests a full read takes, and how long that is under the rate limit."""
    try:
        spent = await _estimate(provider)
    except SISError as error:
        return broken("cost", error)
    requests = math.ceil(round(sum(spent.values()), 6))
    limit = provider.config.rate_limit or provider.info.default_rate_limit
    if limit == "off":
        return Finding(topic="cost", level="ok", message=f"A full sync takes about {requests} requests.", requests=requests)
    limits: list[tuple[float, tuple[int, float], str]] = [(requests, limit, "")]
    limits += [(spent[each.name], each.rate_limit, f" {each.name}") for each in provider.endpoints if each.rate_limit]
    takes, (allowed, seconds), of = max(limits, key=lambda it: it[0] * it[1][1] / it[1][0])
    minutes = max(1, math.ceil(takes * seconds / allowed / 60))
    at = f"at {allowed}{of} in {seconds:g} seconds"
    return Finding(
        topic="cost",
        level="ok",
        message=f"A full sync takes about {requests} requests: about {_duration(minutes)} {at}.",
        requests=requests,
        facts={"requests": requests, "minutes": minutes},
    )


def _duration(minutes: int) -> str:
    if minutes < 120:
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{minutes / 60:.0f} hours"


async def _estimate(provider: RestProvider) -> Spent:
    """Walk down from the endpoints that a full read starts with, by counts where there are some and by samples of the streams."""
    scope = provider.narrowed(Scope())
    year = await provider.school_year(scope)
    always = {"school_year": str(year)} if year else {}
    kinds = [
        kind for kind in provider.info.capabilities.offered() if kind != "guardians" or "guardians" in provider.config.fields
    ]
    _, roots, below = chosen(provider.endpoints, kinds, scope, provider.asked({}))
    spent: Spent = defaultdict(float)
    for endpoint in roots:
        starts = [{**context, **always} for context in contexts(endpoint, scope)]
        await _spend(spent, provider, endpoint, below, starts[:: math.ceil(len(starts) / SAMPLES)], len(starts))
    return spent


async def _spend(
    spent: Spent,
    provider: RestProvider,
    endpoint: Endpoint[Any],
    below: Below,
    samples: Contexts,
    streams: float,
) -> None:
    """Count the requests of an endpoint and of all below it, where it is read in so many streams and `samples` are some."""
    children = below[endpoint.name]
    if not children and not endpoint.total_at:
        spent[endpoint.name] += streams  # nothing to look up: a page each
        return
    size = await _page_size(provider, endpoint)
    requests = rows = 0.0
    opened: Contexts = []
    for context in samples:
        asked = provider.asked(context)
        total = await provider.total(endpoint, asked)
        if total is None or any(child.count or below[child.name] for child in children):
            first = await _first_page(provider, endpoint, asked)
            if first is None:
                continue
            found = _opened(endpoint, asked, first.rows)
            opened += found
            if total is None:
                total = first.total if first.total is not None else len(first.rows)
                # A page that is not full, though there are more rows, shows what the server caps its pages at.
                size = min(size, len(first.rows)) if 0 < len(first.rows) < total else size
        pages = max(1, math.ceil(total / size))
        requests += pages + ((2 if pages > 1 else 1) if endpoint.count else 0)
        rows += total
    share = streams / max(1, len(samples))
    spent[endpoint.name] += requests * share
    for child in children:
        await _spend(spent, provider, child, below, opened[:: math.ceil(len(opened) / SAMPLES) or 1], rows * share)


@dataclass(frozen=True, slots=True)
class _FirstPage:
    rows: list[bytes] = field(repr=False)
    total: int | None


async def _first_page(provider: RestProvider, endpoint: Endpoint[Any], asked: Asked) -> _FirstPage | None:
    """The first page of a stream; none where the server does not offer it and another one stands by, or nothing needs it."""
    first = endpoint.paging.start(await _page_size(provider, endpoint))
    try:
        response = await provider.ask(endpoint, asked, first.params)
    except NotOffered:
        if endpoint.optional or endpoint.alternative:
            return None
        raise
    except AuthorizationError:
        if endpoint.partial:
            return None  # it costs next to nothing, and what is missing then is for the provider's findings to say
        raise
    rows = endpoint.rows_in(response.body)
    total = total_beside_rows(response, endpoint.total_at) if endpoint.total_at and not endpoint.count else None
    return _FirstPage(rows, total)


def _opened(endpoint: Endpoint[Any], asked: Asked, rows: Sequence[bytes]) -> Contexts:
    """The contexts that these rows open."""
    if endpoint.gives is None:
        return []
    found = []
    for raw in rows:
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
