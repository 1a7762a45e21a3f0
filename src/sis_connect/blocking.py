"""The same names for code without async, and for notebooks: `connect` and `SISService`, without `await`.

    with blocking.connect("…", base_url=…) as sis:
        for student in sis.students(): ...

Nothing is done twice here: an event loop runs in a thread of its own while the `with` lasts, and every call is handed to it. That
also works where another loop is running already, as in a notebook. An object belongs to the thread that opened it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from anyio.from_thread import BlockingPortal, start_blocking_portal

from sis_connect.errors import SISError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date
    from typing import Self

    from sis_connect.capabilities import Kind
    from sis_connect.clock import Clock
    from sis_connect.connection import InvalidRows
    from sis_connect.discovery import Registry
    from sis_connect.events import RosterEvent, RosterHandler
    from sis_connect.provider import Finding, Hint, Page, ProviderInfo, Scope
    from sis_connect.records import (
        Course,
        Enrollment,
        Guardian,
        School,
        SchoolEnrollment,
        Section,
        Staff,
        Student,
        Term,
    )
    from sis_connect.roster.explain import Explanation
    from sis_connect.roster.holds import Hold
    from sis_connect.roster.integrity import IntegrityFinding
    from sis_connect.roster.pins import Pin
    from sis_connect.roster.plan_rows import PlanRow
    from sis_connect.roster.questions import Conflict
    from sis_connect.roster.report import Progress, SyncReport
    from sis_connect.roster.waiting import Quarantined
    from sis_connect.roster.whereabouts import Whereabouts
    from sis_connect.service import CalendarOverview, Health, Integration, Operation, Plan
    from sis_connect.service.decisions import Take
    from sis_connect.service.key_rotation import KeyRotation
    from sis_connect.service.real_time import Receipt
    from sis_connect.settings import SISProviderConfig
    from sis_connect.store.edits import LocalEdit
    from sis_connect.tokens.fleet import TokenResult
    from sis_connect.tokens.health import TokenHealth

__all__ = ["Connection", "SISService", "connect"]

#: So many items cross from thread to thread at once.
_BATCH = 100


class Facade:
    """An object of sis-connect whose methods wait for their results, open while its `with` lasts.

    It has all that the object itself has: what is awaited there returns here, `async for` is `for`, `async with` is `with`.
    """

    def __init__(self, opening: AbstractAsyncContextManager[Any]) -> None:
        self._opening = opening
        self._stack = ExitStack()
        self._target: Any = None
        self._portal: BlockingPortal | None = None
        self._iterators: set[AsyncIterator[Any]] = set()

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise RuntimeError("This is open already, or was open before; make a new one.")
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal("asyncio"))
            self._target = stack.enter_context(self._portal.wrap_async_context_manager(self._opening))
            stack.callback(self._close_iterators)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._target = None
        return self._stack.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<blocking {self._target!r}>" if self._target is not None else "<blocking, closed>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._target is None:
            raise RuntimeError("This is not open: use it inside its `with` block.")
        return self._mirrored(getattr(self._target, name))

    def _mirrored(self, value: Any) -> Any:
        if inspect.isroutine(value):
            return self._waiting(value)
        return self._result(value)

    def _waiting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            return self._result(self._run(_settled, method, arguments, named))

        return call

    def _result(self, value: Any) -> Any:
        if isinstance(value, AsyncIterator):
            return self._iterated(value)
        if isinstance(value, AbstractAsyncContextManager):
            return self._entered(value)
        return value

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._portal is None or self._target is None:
            raise RuntimeError("This is not open: use it inside its `with` block.")
        return self._portal.call(function, *arguments)

    def _entered(self, manager: AbstractAsyncContextManager[Any]) -> AbstractContextManager[Any]:
        assert self._portal is not None  # noqa: S101 - values come from an open portal only
        return self._portal.wrap_async_context_manager(manager)

    def _iterated(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        self._iterators.add(items)
        return self._items(items)

    def _items(self, items: AsyncIterator[Any]) -> Generator[Any, None, None]:
        try:
            batch: list[Any] = [None] * _BATCH
            while len(batch) == _BATCH:
                batch = []
                try:
                    self._run(_fill, batch, items)
                except SISError:
                    yield from batch  # what came before the error comes first
                    raise
                yield from batch
        finally:
            if items in self._iterators and self._target is not None:
                self._run(self._close, items)

    async def _close(self, items: AsyncIterator[Any]) -> None:
        self._iterators.discard(items)
        closing = getattr(items, "aclose", None)
        if closing is not None:
            await closing()

    def _close_iterators(self) -> None:
        """What a loop that was left early still holds open."""
        assert self._portal is not None  # noqa: S101 - called while the portal runs
        for items in list(self._iterators):
            self._portal.call(self._close, items)


class Connection(Facade):
    """One SIS, open while its `with` lasts. See `sis_connect.connection.Connection`."""

    if TYPE_CHECKING:
        info: ProviderInfo
        config: SISProviderConfig
        invalid: InvalidRows

        def schools(self, *, scope: Scope = ...) -> Iterator[School]: ...
        def terms(self, *, scope: Scope = ...) -> Iterator[Term]: ...
        def courses(self, *, scope: Scope = ...) -> Iterator[Course]: ...
        def sections(self, *, scope: Scope = ...) -> Iterator[Section]: ...
        def students(self, *, scope: Scope = ...) -> Iterator[Student]: ...
        def staff(self, *, scope: Scope = ...) -> Iterator[Staff]: ...
        def school_enrollments(self, *, scope: Scope = ...) -> Iterator[SchoolEnrollment]: ...
        def enrollments(self, *, scope: Scope = ...) -> Iterator[Enrollment]: ...
        def guardians(self, *, scope: Scope = ...) -> Iterator[Guardian]: ...
        def pages(self, kinds: Collection[Kind], scope: Scope = ...) -> Iterator[Page]: ...
        def check(self) -> Sequence[Finding]: ...


def connect(
    provider: str,
    config: SISProviderConfig | None = None,
    *,
    registry: Registry | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Connection:
    """One SIS, to be opened with `with`. See `sis_connect.connect`."""
    from sis_connect.connection import connect as connect_async

    return Connection(connect_async(provider, config, registry=registry, clock=clock, **settings))


class SISService(Facade):
    """Many integrations in one database, open while its `with` lasts. See `sis_connect.SISService`."""

    @classmethod
    def open(cls, database: str | None = None, **options: Any) -> SISService:
        """A service, to be opened with `with`; options are those of `sis_connect.SISService.open`."""
        from sis_connect.service import SISService as AsyncService

        return cls(AsyncService.open(database, **options))

    if TYPE_CHECKING:
        registry: Registry

        def create_integration(self, name: str, config: SISProviderConfig, *, actor: str = "") -> Integration: ...
        def stored_settings(self, name: str) -> dict[str, Any]: ...
        def integrations(self) -> list[Integration]: ...
        def remove_integration(self, name: str, *, actor: str = "") -> None: ...
        def doctor(self, name: str) -> list[Finding]: ...
        def tokens(self, name: str | None = None) -> list[TokenHealth]: ...
        def authorization_url(self, name: str, *, redirect_uri: str, session: str, actor: str = "") -> str: ...
        def complete_authorization(self, redirect_url: str, *, session: str, actor: str = "") -> Integration: ...
        def renew_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]: ...
        def revoke_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]: ...
        def cleanup_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]: ...
        def keep_tokens(self, *, rate: float = 10.0, actor: str = "") -> NoReturn: ...
        def rotate_key(self, *, new: bool = False, actor: str = "") -> KeyRotation: ...
        def plan(
            self,
            name: str,
            *,
            kinds: Collection[Kind] | None = None,
            school: str | None = None,
            student: str | None = None,
            full: bool = False,
            strict: bool = False,
            progress: Callable[[Progress], None] | None = None,
            actor: str = "",
        ) -> Plan: ...
        def plan_rows(self, plan_id: str) -> Iterator[PlanRow]: ...
        def apply(
            self, plan: Plan | str, *, progress: Callable[[Progress], None] | None = None, actor: str = ""
        ) -> SyncReport: ...
        def sync(
            self,
            name: str,
            *,
            kinds: Collection[Kind] | None = None,
            school: str | None = None,
            student: str | None = None,
            full: bool = False,
            strict: bool = False,
            progress: Callable[[Progress], None] | None = None,
            actor: str = "",
        ) -> SyncReport: ...
        def holds(self, name: str | None = None) -> list[Hold]: ...
        def approve(self, hold_id: str, *, actor: str = "") -> SyncReport: ...
        def reject(self, hold_id: str, *, actor: str = "") -> Hold: ...
        def calendar(self, name: str) -> CalendarOverview: ...
        def rollover(
            self,
            name: str,
            *,
            to: int | None = None,
            preview: bool = False,
            strict: bool = False,
            progress: Callable[[Progress], None] | None = None,
            actor: str = "",
        ) -> SyncReport: ...
        def receive(self, name: str, body: bytes, *, headers: Mapping[str, str], secret: str | None = None) -> Receipt: ...
        def hint(self, name: str, hints: Sequence[Hint]) -> Receipt: ...
        def hinted(self) -> list[str]: ...
        def subscribe(self, name: str, url: str, *, replace: bool = False, actor: str = "") -> str: ...
        def unsubscribe(self, name: str, *, replace: bool = False, actor: str = "") -> bool: ...
        def drain_hints(self, name: str, *, district: bool = True, actor: str = "") -> list[SyncReport]: ...
        def follow_hints(self, name: str, *, on_report: Callable[[SyncReport], None] | None = None, actor: str = "") -> None: ...
        def watch(
            self,
            name: str,
            *,
            every: float = 60.0,
            on_report: Callable[[SyncReport], None] | None = None,
            actor: str = "",
        ) -> NoReturn: ...
        def undo(
            self,
            operation_id: str,
            *,
            kinds: Collection[Kind] | None = None,
            actions: Collection[str] | None = None,
            preview: bool = False,
            progress: Callable[[Progress], None] | None = None,
            actor: str = "",
        ) -> SyncReport: ...
        def explain(self, name: str, *, student: str, section: str | None = None) -> Explanation: ...
        def events(
            self, *, after: int | None = None, name: str | None = None, limit: int | None = None
        ) -> Iterator[RosterEvent]: ...
        def latest_event(self) -> int: ...
        def deliver(self, handler: RosterHandler, *, listener: str, name: str | None = None, after: int | None = None) -> int: ...
        def conflicts(
            self, name: str | None = None, *, kind: Kind | None = None, field: str | None = None, state: str = "open"
        ) -> list[Conflict]: ...
        def resolve(self, conflict_id: str, *, take: Take | None = None, value: Any = ..., actor: str = "") -> SyncReport: ...
        def resolve_all(
            self,
            name: str,
            *,
            kind: Kind | None = None,
            field: str | None = None,
            take: Take | None = None,
            value: Any = ...,
            preview: bool = False,
            actor: str = "",
        ) -> SyncReport: ...
        def pin(
            self,
            name: str,
            kind: Kind,
            sis_id: str,
            *,
            field: str = "",
            reason: str = "",
            expires_on: date | None = None,
            actor: str = "",
        ) -> Pin: ...
        def unpin(self, pin_id: str, *, actor: str = "") -> Pin: ...
        def pins(self, name: str | None = None) -> list[Pin]: ...
        def edit(self, name: str, kind: Kind, sis_id: str, fields: dict[str, Any], *, actor: str = "") -> None: ...
        def edits(self, name: str, *, kind: Kind | None = None) -> list[LocalEdit]: ...
        def revert(self, name: str, kind: Kind, sis_id: str, *, fields: tuple[str, ...] = (), actor: str = "") -> SyncReport: ...
        def as_of(
            self, name: str, day: date, *, school: str | None = None, section: str | None = None
        ) -> Iterator[Whereabouts]: ...
        def withdraw(
            self,
            name: str,
            *,
            students: Collection[str] = (),
            school: str | None = None,
            reason: str = "withdrawal",
            day: date | None = None,
            preview: bool = False,
            actor: str = "",
        ) -> SyncReport: ...
        def operations(self, name: str | None = None, *, limit: int = 50) -> list[Operation]: ...
        def export(self, name: str, kind: Kind) -> Iterator[dict[str, Any]]: ...
        def integrity(self, name: str, check: str | None = None) -> Iterator[IntegrityFinding]: ...
        def quarantine(self, name: str) -> Iterator[Quarantined]: ...
        def health(self, name: str | None = None) -> list[Health]: ...


async def _settled(method: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Call in the loop's thread, where locks and tasks belong, and wait if there is something to wait for."""
    result = method(*arguments, **named)
    return await result if inspect.isawaitable(result) else result


async def _fill(batch: list[Any], items: AsyncIterator[Any]) -> None:
    """Add the next items. If fewer come than a batch holds, they were the last."""
    async for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            return
