"""What plugins for REST interfaces inherit: endpoints as data become pages of rows, and rows become records.

A plugin declares endpoints and reads rows; it neither loops, nor waits, nor retries:

    class ExampleProvider(RestProvider):
        endpoints = (
            Endpoint(name="schools", path="/schools", rows="schools", kinds=("schools",),
                     row=SchoolRow, read=school, gives="school"),
            Endpoint(name="students", path="/schools/{school}/students", rows="students", kinds=("students",),
                     row=StudentRow, read=student, parent="schools"),
        )
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import xxhash

from sis_connect.capabilities import KINDS, Kind
from sis_connect.changes_since import ChangesSince
from sis_connect.clock import school_date
from sis_connect.diagnosis import cost, credentials, reachable
from sis_connect.endpoint import Asked, Endpoint, Row, Selection, build, concrete, placeholders
from sis_connect.errors import ConfigurationError
from sis_connect.once import Memory
from sis_connect.places import total_in
from sis_connect.provider import Finding, Page, ProviderInfo, Scope, Since, Stream
from sis_connect.records import on_request, part
from sis_connect.routes import chosen
from sis_connect.streams import Run

if TYPE_CHECKING:
    from datetime import date, datetime

    from pydantic import BaseModel

    from sis_connect.clock import Clock
    from sis_connect.settings import SISProviderConfig
    from sis_connect.transport.answers import Response
    from sis_connect.transport.http import Transport
    from sis_connect.transport.rate_limit import Limiter

__all__ = ["Asked", "ChangesSince", "Endpoint", "RestProvider", "Selection", "build", "part"]


class RestProvider:
    """A provider made of endpoints.

    `mapping_version` changes whenever the plugin would read the same bytes differently. `probe` is a path that answers anybody,
    for `doctor`. A provider is opened by `connect()` or the service, which hand it an open transport.
    """

    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = ()
    mapping_version: ClassVar[str] = "1"
    probe: ClassVar[str | None] = None

    def __init__(
        self,
        info: ProviderInfo,
        config: SISProviderConfig,
        *,
        transport: Transport,
        clock: Clock,
        settings: BaseModel | None = None,
    ) -> None:
        self._info = info
        self.config = config
        self.settings = settings
        self.transport = transport
        self.clock = clock
        self.remembered: dict[str, Memory] = {}
        self._limiters: dict[str, Limiter] = {}
        self._fields: dict[Kind, frozenset[str]] = {kind: config.asked(kind) & on_request(kind) for kind in KINDS}

    @property
    def info(self) -> ProviderInfo:
        """Who it is and what it can do."""
        return self._info

    @property
    def prefix(self) -> str:
        """What stands before the path of every endpoint, below the base URL."""
        return ""

    def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        """Read these kinds; see `BaseSISProvider.pages`. The settings' schools and school year apply too."""
        return Run(self, kinds, scope=self.narrowed(scope), since=since, cursor=cursor).pages()

    def in_parts(self, kinds: Collection[Kind], *, scope: Scope) -> frozenset[Kind]:
        """The kinds among these whose records are put together from several endpoints."""
        wanted, _, _ = chosen(self.endpoints, kinds, self.narrowed(scope), self.asked({}))
        found = {kind for endpoint in wanted for kind in (endpoint.kinds if endpoint.partial else endpoint.completes)}
        return frozenset(found) & frozenset(kinds)

    def narrowed(self, scope: Scope) -> Scope:
        """A scope within what the settings limit the integration to."""
        own = frozenset(self.config.schools) or None
        schools = own if scope.schools is None else scope.schools if own is None else scope.schools & own
        if scope.schools and not schools:
            raise ConfigurationError(
                "The settings limit this integration to other schools.", remedy="Add the school to the setting schools."
            )
        return replace(scope, schools=schools, school_year=scope.school_year or self.config.school_year)

    async def page_sizes(self) -> Mapping[str, int]:
        """The page sizes that the server declares, by the names that endpoints use. Remember them: they are asked for again."""
        return {}

    async def school_year(self, scope: Scope) -> int | None:
        """The year to ask `yearly` endpoints for, by the year it ends in; `None` leaves it to the server. Remember it."""
        return scope.school_year

    async def edition(self) -> str:
        """What makes marks worthless when it changes, such as the year that the SIS shows. Remember it: it is asked for again."""
        return ""

    def lanes(self, now: datetime) -> int:
        """How many requests may be under way at once at this moment."""
        return self.config.concurrency

    async def ping(self) -> None:
        """Ask for something harmless, to see whether the server answers at all."""
        if self.probe is not None:
            probe = self.prefix + self.probe
            await self.transport.get_json(probe, template=probe, authenticate=False)

    async def findings(self) -> Sequence[Finding]:
        """What else `doctor` should say about this SIS, once the credentials are known to work."""
        return []

    async def time_zone(self) -> str | None:
        """The district's time zone, where the SIS tells it."""
        return self.config.time_zone

    async def today(self) -> date:
        """The school date: in the district's time zone, else in UTC."""
        return school_date(self.clock.now(), await self.time_zone() or "UTC")

    async def first_rows(
        self, endpoint: Endpoint[Row], context: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None
    ) -> list[Row]:
        """The rows of a list's first page, for what a provider has to know before it reads. Raises `InvalidRow`."""
        answer = await self.ask(endpoint, self.asked(context or {}), params or {})
        return [endpoint.decode(raw) for raw in endpoint.rows_in(answer.body)]

    async def check(self) -> Sequence[Finding]:
        """Try the connection step by step, and stop where the next step cannot work."""
        found = await reachable(self)
        if not any(finding.level == "error" for finding in found):
            found += await credentials(self)
        if any(finding.level == "error" for finding in found):
            return found
        return [*found, *await self.findings(), await cost(self)]

    def asked(self, context: Mapping[str, str]) -> Asked:
        """What a stream in this context is asked for."""
        return Asked(context, self._fields, self.settings, custom=self.config.custom)

    def version(self, endpoint: Endpoint[Any]) -> str:
        """The mapping version of an endpoint's rows: it moves with the mapping, the fields requested and the own settings."""
        reading: dict[str, Any] = {
            "fields": {kind: sorted(self._fields[kind]) for kind in endpoint.kinds},
            "settings": self.settings.model_dump(mode="json") if self.settings else None,
        }
        if self.config.custom:
            reading["custom"] = [each.model_dump() for each in self.config.custom]
        digest = xxhash.xxh3_64_hexdigest(json.dumps(reading, sort_keys=True))
        return f"{self.mapping_version}:{digest}"

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        """One page of an endpoint."""
        return await self._call(endpoint, endpoint.path, asked, {**endpoint.params_for(asked), **params})

    async def total(self, endpoint: Endpoint[Any], asked: Asked) -> int | None:
        """How many rows there are, where the server tells by a request of its own."""
        if not endpoint.count or not endpoint.total_at:
            return None
        response = await self._call(endpoint, endpoint.count, asked, endpoint.filters_for(asked))
        return total_in(response, endpoint.total_at)

    async def _call(self, endpoint: Endpoint[Any], path: str, asked: Asked, params: Mapping[str, str]) -> Response:
        template = self.prefix + path
        inside = placeholders(path)
        path = self.prefix + concrete(path, {**asked.context, **{name: params[name] for name in inside & params.keys()}})
        params = {name: value for name, value in params.items() if name not in inside}
        own = self._own_limit(endpoint)
        if endpoint.method == "GET":
            return await self.transport.get_json(path, params=params, template=template, **own)
        return await self.transport.request(
            endpoint.method,
            path,
            params=params,
            json=endpoint.body(asked),
            headers={"Accept": "application/json"},
            template=template,
            repeatable=endpoint.repeatable,
            **own,
        )

    def _own_limit(self, endpoint: Endpoint[Any]) -> dict[str, Any]:
        """The limit of an endpoint that has one of its own."""
        if endpoint.rate_limit is None:
            return {}
        name = endpoint.limit_name or endpoint.name
        if name not in self._limiters:
            self._limiters[name] = self.transport.limit_besides(name, *endpoint.rate_limit)
        return {"limiter": self._limiters[name]}
