"""Opening one SIS: settings checked, transport, token and limit put together, and closed again with `async with`."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from sis_connect.capabilities import Kind
from sis_connect.clock import Clock, SystemClock
from sis_connect.discovery import Registry, discover, load, refined
from sis_connect.errors import ConfigurationError, NotOffered, SISError, UnexpectedResponse
from sis_connect.hosting.containment import blamed, findings_of, in_parts_of, sound_pages, understood
from sis_connect.hosting.watchdog import Watchdog
from sis_connect.local_files import is_local
from sis_connect.oauth.wiring import has_token, signer_for, token_source
from sis_connect.pieces import Pieces
from sis_connect.provider import BaseSISProvider, Finding, InvalidRow, Page, ProviderInfo, Scope, Since, Stream
from sis_connect.provider_settings import own_settings
from sis_connect.records import (
    Course,
    Enrollment,
    Guardian,
    Record,
    School,
    SchoolEnrollment,
    Section,
    Staff,
    Student,
    Term,
    is_whole,
    on_request,
)
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.tokens.token_manager import TokenSource
from sis_connect.transport.calls import Call
from sis_connect.transport.http import Transport
from sis_connect.transport.rate_limit import Limiter, WindowLog

R = TypeVar("R", bound=Record)
T = TypeVar("T")
OnCall = Callable[[Call], None]

#: Kinds that are few, and whose records may come in pieces: somebody who works at two schools is listed at both.
_GATHERED: frozenset[Kind] = frozenset({"schools", "terms", "courses", "staff", "guardians"})
_EVERYTHING = Scope()


def connect(
    provider: str,
    config: SISProviderConfig | None = None,
    *,
    registry: Registry | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Connection:
    """One SIS, to be opened with `async with`. Settings are those of `SISProviderConfig` and the provider's own, by name.

    Nothing is sent before it is opened. Raises `ConfigurationError` where settings are wrong.
    """
    given = {**(config.model_dump(exclude_unset=True) if config else {}), **settings, "provider": provider}
    registry = registry or discover()
    registered = registry.info(provider)
    checked = validated(given, origin="connect()")
    info = refined(registered, checked)
    own_settings(info, checked)
    return Connection(info, checked, clock=clock, packages=registry.packages())


@dataclass(frozen=True, slots=True)
class OpenProvider:
    """A provider that can be asked, and the transport it asks through, if it asks over the network."""

    provider: BaseSISProvider
    transport: Transport | None

    def under_way(self) -> bool:
        """Whether it is waiting for an answer."""
        return self.transport is not None and self.transport.under_way > 0


@asynccontextmanager
async def open_provider(
    info: ProviderInfo,
    config: SISProviderConfig,
    *,
    limiter: Limiter | None = None,
    tokens: TokenSource | None = None,
    clock: Clock | None = None,
    on_call: OnCall | None = None,
) -> AsyncIterator[OpenProvider]:
    """Put a provider together and close what was opened for it. A limiter and tokens that are handed in stay open.

    A provider that is to read files of this machine gets no transport.
    """
    clock = clock or SystemClock()
    info = refined(info, config)
    own = own_settings(info, config)
    async with AsyncExitStack() as stack:
        transport = None
        if not is_local(config.base_url):
            limiter = limiter or limiter_for(info, config, clock=clock)
            if tokens is None and has_token(info, config):
                tokens = await stack.enter_async_context(
                    aclosing(token_source(info, config, limiter=limiter, clock=clock, on_call=on_call))
                )
            opened = Transport(
                base_url=config.base_url,
                tokens=tokens,
                signer=signer_for(info, config, clock=clock),
                limiter=limiter,
                clock=clock,
                read_error=load(info.read_error) if info.read_error else None,
                timeout=config.timeout,
                budget=config.budget,
                max_attempts=config.max_attempts,
                pool=config.pool,
                on_call=on_call,
            )
            transport = await stack.enter_async_context(opened)
        with blamed(info, "while it was set up"):
            provider: BaseSISProvider = load(info.provider)(info, config, transport=transport, clock=clock, settings=own)
        yield OpenProvider(provider, transport)


def limiter_for(info: ProviderInfo, config: SISProviderConfig, *, clock: Clock, log: WindowLog | None = None) -> Limiter:
    """The rate limit of an integration. With a `log` it is shared by all who use the same host and client."""
    limit = config.rate_limit or info.default_rate_limit
    if limit == "off" or is_local(config.base_url):
        return Limiter(None, clock=clock)
    key = f"{urlsplit(config.base_url).netloc} {config.client_id or ''}"
    return Limiter(*limit, log=log, key=key, clock=clock, timeout=config.timeout)


class Invalid(NamedTuple):
    """A sort of invalid row: its kind, the names of the fields that are wrong, and why. No values."""

    kind: Kind
    fields: tuple[str, ...]
    reason: str


class InvalidRows(Counter[Invalid]):
    """How many invalid rows of each sort were left out."""

    @property
    def by_kind(self) -> dict[Kind, int]:
        """How many of each kind."""
        counts: dict[Kind, int] = {}
        for sort, count in self.items():
            counts[sort.kind] = counts.get(sort.kind, 0) + count
        return counts


class Connection:
    """One SIS, open while its `async with` lasts: `async for student in sis.students(): ...`.

    Rows that break the contract are left out and counted in `invalid`. Where the SIS breaks off, what could be read comes first
    and the error after it. Asking for a kind that the provider lacks raises `NotOffered`.
    """

    def __init__(
        self,
        info: ProviderInfo,
        config: SISProviderConfig,
        *,
        clock: Clock | None = None,
        packages: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.info = info
        self.config = config
        self.invalid = InvalidRows()
        self._clock = clock or SystemClock()
        self._packages = packages
        self._open: OpenProvider | None = None
        self._stack = AsyncExitStack()
        self._readings: set[AsyncGenerator[Any, None]] = set()

    def __repr__(self) -> str:
        return f"<Connection: {self.info.name}, {'open' if self._open else 'closed'}>"

    async def __aenter__(self) -> Connection:
        if self._open is not None:
            raise ConfigurationError("This connection is open already.", remedy="Open another one with connect().")
        async with AsyncExitStack() as stack:
            stack.enter_context(Watchdog(self._packages))  # there is no report here: what it sees stands in the log
            self._open = await stack.enter_async_context(open_provider(self.info, self.config, clock=self._clock))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = None
        for reading in list(self._readings):
            await reading.aclose()  # a loop that was left early
        await self._stack.aclose()

    def schools(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[School]:
        """All schools."""
        return self._records(School, scope)

    def terms(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[Term]:
        """All terms of the school year."""
        return self._records(Term, scope)

    def courses(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[Course]:
        """All courses."""
        return self._records(Course, scope)

    def sections(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[Section]:
        """All sections of the school year."""
        return self._records(Section, scope)

    def students(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[Student]:
        """All students, those who have left too where the SIS lists them: see `status`."""
        return self._records(Student, scope)

    def staff(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[Staff]:
        """All staff, each person once."""
        return self._records(Staff, scope)

    def school_enrollments(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[SchoolEnrollment]:
        """Students' stays at schools."""
        return self._records(SchoolEnrollment, scope)

    def enrollments(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[Enrollment]:
        """Students and teachers in sections."""
        return self._records(Enrollment, scope)

    def guardians(self, *, scope: Scope = _EVERYTHING) -> AsyncIterator[Guardian]:
        """Guardians, where the provider offers them."""
        return self._records(Guardian, scope)

    def pages(
        self,
        kinds: Collection[Kind],
        scope: Scope = _EVERYTHING,
        *,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        """What the provider observes, page by page; see `BaseSISProvider.pages`."""
        for kind in kinds:
            self._demand(kind)
        return self._kept(self._pages(kinds, scope, since, cursor))

    async def check(self) -> Sequence[Finding]:
        """Try the connection and say what is right and wrong with it. Changes nothing."""
        return await findings_of(self._provider, self.info, patience=self.config.budget, under_way=self._under_way)

    @property
    def _provider(self) -> BaseSISProvider:
        if self._open is None:
            raise ConfigurationError("This connection is not open.", remedy="Open it with `async with connect(...) as sis:`.")
        return self._open.provider

    def _under_way(self) -> bool:
        return self._open is not None and self._open.under_way()

    def _demand(self, kind: Kind) -> None:
        if not self.info.capabilities.of(kind).offered:
            raise NotOffered(f"{self.info.label} does not offer {kind}.")

    def _kept(self, reading: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        self._readings.add(reading)
        return reading

    def _records(self, model: type[R], scope: Scope) -> AsyncIterator[R]:
        self._demand(model.kind)
        in_pieces = model.kind in _GATHERED or self._completed_elsewhere(model.kind, scope)
        return self._kept(self._gathered(model, scope) if in_pieces else self._streamed(model, scope))

    def _completed_elsewhere(self, kind: Kind, scope: Scope) -> bool:
        """Whether fields of these records come in rows of their own. Who does not tell may bring those asked for in such rows."""
        in_parts = in_parts_of(self._provider, self.info, {kind}, scope)
        return bool(self.config.asked(kind) & on_request(kind)) if in_parts is None else kind in in_parts

    async def _gathered(self, model: type[R], scope: Scope) -> AsyncGenerator[R, None]:
        """Records that may come in pieces, once all pieces are there."""
        pieces = Pieces[R](united=model.kind in _GATHERED)
        failure: SISError | None = None
        try:
            async for piece in self._read(model, scope):
                pieces.take(piece)
        except SISError as error:
            failure = error
        for record in pieces.records():
            yield record
        if failure is not None:
            raise failure

    async def _streamed(self, model: type[R], scope: Scope) -> AsyncGenerator[R, None]:
        """Records as they come, each once: pages may repeat rows while the SIS is being edited."""
        seen: set[str] = set()
        async with aclosing(self._read(model, scope)) as records:
            async for record in records:
                if record.sis_id not in seen and is_whole(record):
                    seen.add(record.sis_id)
                    yield record

    async def _read(self, model: type[R], scope: Scope) -> AsyncGenerator[R, None]:
        errors: list[SISError] = []
        received: Counter[Stream] = Counter()
        async with aclosing(self._pages({model.kind}, scope, None, None)) as pages:
            async for page in pages:
                received[page.stream] += page.received
                if page.error is not None:
                    errors.append(page.error)
                elif not page.more and page.total is not None and received[page.stream] < page.total:
                    errors.append(_too_few(page, received[page.stream]))
                for raw in page.rows:
                    for record in self._understood(page, raw, model.kind):
                        if isinstance(record, model):
                            yield record
        if errors:
            raise errors[0]

    def _understood(self, page: Page, raw: bytes, kind: Kind) -> Sequence[Record]:
        try:
            return understood(page, raw, self.info.capabilities.offered(), self.config.custom).records
        except InvalidRow as error:
            self.invalid[Invalid(kind, error.fields, error.message)] += 1
            return ()

    async def _pages(
        self, kinds: Collection[Kind], scope: Scope, since: Since | None, cursor: Mapping[Stream, str] | None
    ) -> AsyncGenerator[Page, None]:
        reading = sound_pages(
            self._provider, self.info, kinds, scope=scope, since=since, cursor=cursor, patience=self.config.budget,
            under_way=self._under_way,
        )  # fmt: skip
        async with aclosing(reading) as pages:
            async for page in pages:
                yield page


def _too_few(page: Page, received: int) -> UnexpectedResponse:
    return UnexpectedResponse(
        f"The SIS counts {page.total} {page.endpoint} and sent {received}.",
        remedy="Read again; it may have been edited meanwhile.",
    )
