"""One read of a REST provider: its streams, several at once, page by page.

A stream is one endpoint in one context. A few workers take streams from a stack, newest first, so that what a page opens below it
(the sections of a school, the rosters of a section) is read before the next page adds more: memory stays small however large the
district. A stream that breaks ends in a page with an error, and the others go on, until it is plain that all will break.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sis_connect.capabilities import Kind
from sis_connect.endpoint import Asked, Endpoint, named
from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    CircuitOpen,
    ConfigurationError,
    NotOffered,
    SISError,
    UnexpectedResponse,
)
from sis_connect.job_stack import JobStack
from sis_connect.lanes import Lanes
from sis_connect.provider import DONE, InvalidRow, Page, Scope, Since, Stream
from sis_connect.routes import chosen, contexts
from sis_connect.shared_lists import shares
from sis_connect.stream import PageSize, StreamReader

if TYPE_CHECKING:
    from sis_connect.rest_provider import RestProvider
    from sis_connect.transport.answers import Response

T = TypeVar("T")

#: Errors after which no stream of this connection can succeed.
FINAL = (AuthenticationError, ConfigurationError)
#: So many failures of one endpoint in a row, each after all attempts, and its other streams are not tried any more.
GIVE_UP_AFTER = 10


@dataclass(slots=True, eq=False)
class _Job:
    """A stream to read. `quiet`: only for the streams below it. `resume`: hand over nothing before the page of that cursor.

    With `schools`, several streams at one go: for each of these schools one of the rows that belong to it.
    """

    endpoint: Endpoint[Any]
    asked: Asked
    schools: tuple[str, ...] | None = None
    quiet: bool = False
    resume: str | None = None
    cursor: str | None = None
    mark_prefix: str = ""
    opened: set[str] = field(default_factory=set)
    unreadable: bool = False

    @property
    def context(self) -> Mapping[str, str]:
        return self.asked.context

    @property
    def streams(self) -> list[Stream]:
        return [self.endpoint.stream(self.context, school) for school in ((None,) if self.schools is None else self.schools)]


class Run:
    """One call of `pages`. It is used once."""

    def __init__(
        self,
        provider: RestProvider,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> None:
        self._provider = provider
        self._kinds = frozenset(kinds)
        self._scope = scope
        self._since = since
        self._cursor = cursor or {}
        asked = provider.asked({})
        self._wanted, self._roots, self._below = chosen(provider.endpoints, self._kinds, scope, asked)
        self._standing_by = {each.name: each for each in provider.endpoints if each.standby and each.needs(asked)}
        self._replaced: set[tuple[str, str, tuple[str, ...] | None]] = set()
        self._sizes: dict[str, PageSize] = {}
        self._jobs: JobStack[_Job] = JobStack(lambda job: job.endpoint.name, lambda job: self._at_once(job.endpoint))
        self._pages: asyncio.Queue[Page | None] = asyncio.Queue(provider.config.concurrency * 2)
        self._requests = Lanes(lambda: provider.lanes(provider.clock.now()))
        self._of_endpoint: dict[str, Lanes] = {}
        self._mending = asyncio.Lock()
        self._mended = 0
        self._broken_in_a_row: Counter[str] = Counter()
        self._end: SISError | None = None
        self._closed: dict[str, SISError] = {}
        self._closing = False

    async def pages(self) -> AsyncIterator[Page]:
        """All pages. The order within a stream is kept, streams take turns."""
        for endpoint in self._roots:
            for context in contexts(endpoint, self._scope):
                self._push(endpoint, context)
        crew = asyncio.create_task(self._crew())
        try:
            while (page := await self._pages.get()) is not None:
                yield page
            await crew
        except BaseExceptionGroup as group:
            # One worker's fault, such as a mistake in a plugin, is raised as what it is.
            raise group.exceptions[0] from None
        finally:
            self._closing = True
            crew.cancel()
            await asyncio.gather(crew, return_exceptions=True)

    def _push(self, endpoint: Endpoint[Any], context: Mapping[str, str], schools: tuple[str, ...] | None = None) -> None:
        quiet = not (endpoint.standby or endpoint in self._wanted)
        asked = self._provider.asked(context)
        self._jobs.put(_Job(endpoint, asked, schools or self._within(endpoint, context), quiet=quiet))

    def _within(self, endpoint: Endpoint[Any], context: Mapping[str, str]) -> tuple[str, ...] | None:
        """The schools to which the rows of a list have to belong, where the scope names some that could not be asked for."""
        if endpoint.within is None or self._scope.schools is None or "school" in context:
            return None
        return tuple(sorted(self._scope.schools))

    async def _crew(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work()) for _ in range(self._provider.config.concurrency)]
                await self._jobs.join()
                for worker in workers:
                    worker.cancel()
        finally:
            if not self._closing:
                await self._pages.put(None)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.take()
            try:
                if gone := self._end or self._closed.get(job.endpoint.name):
                    await self._break_off(job, gone)
                else:
                    await self._read(job)
            except NotOffered as error:
                if not self._does_without(job):
                    await self._fail(job, error if job.cursor else job.endpoint.denial(self._scope, error))
            except SISError as error:
                await self._fail(job, error)
            finally:
                self._jobs.done(job)

    def _does_without(self, job: _Job) -> bool:
        """Whether a path that the server does not know is no loss: another one stands by, or nothing depends on it."""
        if job.cursor is not None:
            return False  # it did know it, and then no more
        other = self._standing_by.get(job.endpoint.alternative or "")
        if other is None or not set(other.kinds) & self._kinds:
            return job.endpoint.optional
        if (once := (other.name, named(job.context), job.schools)) not in self._replaced:
            self._replaced.add(once)
            context, schools = dict(job.context), job.schools
            if other.within is not None and "{school}" not in other.path and "school" in context:
                schools = (context.pop("school"),)  # a longer list stands by for that of one school
            self._push(other, context, schools if other.within is not None else None)
        return True

    async def _fail(self, job: _Job, error: SISError) -> None:
        self._note(job.endpoint, error)
        await self._break_off(job, error)

    def _note(self, endpoint: Endpoint[Any], error: SISError) -> None:
        """Draw the consequences: a dead token ends the read; what is refused, or fails again and again, is left alone."""
        self._broken_in_a_row[endpoint.name] += 1
        if isinstance(error, FINAL):
            self._end = error
        elif isinstance(error, AuthorizationError) or self._broken_in_a_row[endpoint.name] >= GIVE_UP_AFTER:
            self._closed[endpoint.name] = error

    async def _break_off(self, job: _Job, error: SISError, *, below: bool = False) -> None:
        """Say that a stream is incomplete, and so is everything that it would have opened."""
        if not below and not job.quiet:
            await self._hand_over(job, replace(self._page(job), more=True, cursor=job.cursor, error=error))
        for child in self._below[job.endpoint.name]:
            quiet = child not in self._wanted
            await self._break_off(_Job(child, job.asked, self._within(child, job.context), quiet=quiet), error)

    async def _hand_over(self, job: _Job, page: Page) -> None:
        """Put out a page: to each stream that it belongs to its own rows."""
        if job.schools is None:
            await self._pages.put(page)
            return
        theirs, keys = shares(job.endpoint, page.rows, job.schools)
        for school in job.schools:
            name, context = job.endpoint.stream(job.context, school)
            own = replace(page, rows=theirs[school], all_keys=keys, read=job.endpoint.reader(job.asked, school))
            await self._pages.put(replace(own, endpoint=name, context=context, school=school))

    async def _read(self, job: _Job) -> None:
        if job.endpoint.yearly and (year := await self._patiently(job.endpoint, lambda: self._provider.school_year(self._scope))):
            job.asked = self._provider.asked({**job.context, "school_year": str(year)})
        self._keep_together(job)
        if not job.streams:
            return
        if job.endpoint.changes_by is not None:
            await self._ask_for_changes(job)
        cursor = self._cursor.get(job.streams[0])
        parent = bool(self._below[job.endpoint.name])
        if cursor == DONE and not parent:
            return
        if cursor == DONE:
            job.quiet = True
        elif parent:
            job.resume = cursor  # its first pages are needed again for what they open, but not handed over
        async with aclosing((await self._reader(job)).pages(None if parent else cursor)) as pages:
            async for page in pages:
                if page.cursor == job.resume:
                    job.resume = None
                job.cursor = page.cursor
                if not job.quiet and job.resume is None:
                    await self._hand_over(job, page)
                if parent:
                    await self._open(job, page)
        if job.resume is not None and not job.quiet:
            raise UnexpectedResponse("The list has changed since the read broke off.", remedy="Run the sync again.")

    def _keep_together(self, job: _Job) -> None:
        """Leave those schools to readings of their own whose streams have been read less or more far."""
        marks = self._since if isinstance(self._since, Mapping) else {}
        as_far: dict[tuple[str | None, str | None], list[str]] = {}
        for school, stream in zip(job.schools or (), job.streams, strict=False):
            as_far.setdefault((self._cursor.get(stream), marks.get(stream)), []).append(school)
        for schools in list(as_far.values())[1:]:
            self._jobs.put(replace(job, schools=tuple(schools)))
        if as_far:
            job.schools = tuple(next(iter(as_far.values())))

    async def _ask_for_changes(self, job: _Job) -> None:
        """Ask for changes only, where there is a mark to begin from that still means what it meant."""
        edition = await self._patiently(job.endpoint, self._provider.edition)
        job.mark_prefix = f"{self._provider.version(job.endpoint)};{edition}|"
        if isinstance(self._since, datetime):
            since = in_iso(self._since) if job.endpoint.changes_by == "updated_at" else None
        else:
            mark = (self._since or {}).get(job.streams[0], "")
            since = mark.removeprefix(job.mark_prefix) if mark.startswith(job.mark_prefix) else None
        if since:
            job.asked = replace(job.asked, since=since)

    async def _reader(self, job: _Job) -> StreamReader:
        return StreamReader(
            job.endpoint,
            self._page(job),
            await self._size(job.endpoint),
            ask=lambda params: self._ask(job, params),
            count=lambda: self._total(job),
            base_url=self._provider.config.base_url,
            ahead=self._provider.config.concurrency,
            since=job.asked.since,
            mark_prefix=job.mark_prefix,
        )

    async def _open(self, job: _Job, page: Page) -> None:
        """Push the streams that a page's rows open."""
        endpoint = job.endpoint
        for raw in page.rows:
            try:
                row = endpoint.decode(raw)
                key = endpoint.key_of(row)
                if job.schools is not None and not endpoint.is_of(row, job.schools):
                    continue
                opens = key not in job.opened and endpoint.opens_more(row)
            except InvalidRow as error:
                await self._unreadable(job, error)
                continue
            if key is None:
                await self._unreadable(job, InvalidRow(f"{endpoint.key} is missing", key=None, fields=(endpoint.key,)))
            elif opens:
                job.opened.add(key)
                for child in reversed(self._below[endpoint.name]):
                    self._push(child, {**job.context, str(endpoint.gives): key})

    async def _unreadable(self, job: _Job, error: InvalidRow) -> None:
        """What this row opens cannot be read; once for each stream is enough to know that something is missing."""
        if not job.unreadable:
            job.unreadable = True
            await self._break_off(job, error, below=True)

    async def _size(self, endpoint: Endpoint[Any]) -> PageSize:
        if endpoint.name not in self._sizes:
            name = endpoint.page_size
            declared = (await self._patiently(endpoint, self._provider.page_sizes)).get(name) if name else None
            wish = self._provider.config.page_size or declared or self._provider.info.default_page_size
            asked = min(wish, declared) if wish and declared else wish
            self._sizes.setdefault(endpoint.name, PageSize(asked=asked, declared=declared))
        return self._sizes[endpoint.name]

    async def _ask(self, job: _Job, params: Mapping[str, str]) -> Response:
        response = await self._patiently(job.endpoint, lambda: self._provider.ask(job.endpoint, job.asked, params))
        self._broken_in_a_row[job.endpoint.name] = 0
        return response

    async def _total(self, job: _Job) -> int | None:
        try:
            return await self._patiently(job.endpoint, lambda: self._provider.total(job.endpoint, job.asked))
        except NotOffered:
            return None  # a server without this count: the end shows in another way

    async def _patiently(self, endpoint: Endpoint[Any], call: Callable[[], Awaitable[T]]) -> T:
        """Make a request when its turn comes, and again after the circuit breaker had to rest."""
        while True:
            mended = self._mended
            try:
                async with self._lanes_of(endpoint), self._requests:
                    return await call()
            except CircuitOpen as error:
                self._note(endpoint, error)  # so that an endpoint that keeps opening the circuit is left alone
                if endpoint.name in self._closed:
                    raise
                await self._mend(mended, error)

    def _at_once(self, endpoint: Endpoint[Any]) -> int:
        return endpoint.at_once(self._provider.config.concurrency)

    def _lanes_of(self, endpoint: Endpoint[Any]) -> Lanes:
        """The requests of one endpoint: so many at once that others go on while these wait for their turn."""
        if endpoint.name not in self._of_endpoint:
            self._of_endpoint[endpoint.name] = Lanes(lambda: self._at_once(endpoint))
        return self._of_endpoint[endpoint.name]

    async def _mend(self, mended: int, error: CircuitOpen) -> None:
        """Wait for the host to recover; one does it for all. Where only one endpoint failed, the host answers elsewhere."""
        async with self._mending:
            if self._end is not None:
                raise error
            if mended == self._mended:
                await self._provider.clock.sleep(error.retry_after or 1.0)
                try:
                    await self._provider.ping()
                except SISError:
                    self._end = error
                    raise error from None
                self._mended += 1

    def _page(self, job: _Job) -> Page:
        """What holds for all pages of a stream."""
        year = job.context.get("school_year")
        return Page(
            endpoint=job.endpoint.name,
            kinds=tuple(kind for kind in job.endpoint.kinds if kind in self._kinds),
            read=job.endpoint.reader(job.asked),
            context=named(job.context),
            school=job.context.get("school"),
            school_year=int(year) if year else None,
            section=job.context.get("section"),
            partial=job.endpoint.partial,
            mapping_version=self._provider.version(job.endpoint),
        )


def in_iso(moment: datetime) -> str:
    """A time as interfaces write it: UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
