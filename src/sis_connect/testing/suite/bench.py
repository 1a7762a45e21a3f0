"""Where a provider is tried: a sandbox of its own, opened with real transport and limits, and put back after each check."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sis_connect.capabilities import Kind
from sis_connect.connection import OpenProvider, open_provider
from sis_connect.discovery import Installed, Registry, refined
from sis_connect.errors import ConfigurationError
from sis_connect.hosting.containment import blamed
from sis_connect.provider import ProviderInfo, Scope, Since, Stream
from sis_connect.records import on_request
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect.testing.suite.check import listed
from sis_connect.testing.suite.known_settings import demand_known
from sis_connect.testing.suite.listening import Said, listening
from sis_connect.testing.suite.outcome import ReadOutcome, read_out
from sis_connect.testing.suite.quick_clock import QuickClock
from sis_connect.testing.suite.quoting import quoting
from sis_connect.testing.suite.rosters import Roster, by_id

if TYPE_CHECKING:
    from sis_connect.clock import Clock
    from sis_connect.roster.report import SyncReport
    from sis_connect.service import SISService
    from sis_connect.transport.calls import Call
    from sis_connect.transport.rate_limit import Limiter

#: What the integration is called in the service on the bench.
INTEGRATION = "bench"
#: So many school days are tried until somebody has left.
LATEST = 12
#: What stands in for a sandbox that serves recorded payloads.
RECORDED = "sis_connect.testing.recorded:create"


@dataclass(frozen=True, slots=True)
class Later:
    """A read of everything on a later day, and what the SIS has on it: by id, and the ids by neutral keys."""

    day: int
    outcome: ReadOutcome
    truths: dict[Kind, Roster]
    keys: dict[Kind, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is checked, and over which sandbox. `settings` are the client's, besides what the sandbox tells."""

    info: ProviderInfo
    distribution: str | None = None
    version: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    sandbox_settings: Mapping[str, str] = field(default_factory=dict)
    students: int = 60
    seed: int = 1
    day: int = 0
    rate: str | None = None
    recorded: Path | None = None

    def sandbox(self) -> running_sandbox:
        """Its sandbox, or what was recorded, ready to be started."""
        info, settings = self.info, dict(self.sandbox_settings)
        if self.recorded is not None:
            info, settings = replace(info, sandbox=RECORDED), {**settings, "folder": str(self.recorded)}
        elif info.sandbox is None:
            raise ConfigurationError(
                f"{info.label} has no sandbox, so that there is nothing to check it against.",
                remedy="Name a sandbox in its ProviderInfo, or a folder of recorded payloads.",
            )
        return running_sandbox(info, students=self.students, seed=self.seed, day=self.day, rate=self.rate, settings=settings)


class Bench:
    """A subject over its running sandbox. Open it with `with`; `async with bench.check_under_way()` around each check.

    `calls` are the requests of the check under way, `clock` the one that providers are opened with: it does not wait.
    """

    integration = INTEGRATION

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.clock = QuickClock()
        self.calls: list[Call] = []
        #: The check that failed and on which all others stand.
        self.broken: str | None = None
        self._kept: dict[str, ReadOutcome] = {}
        #: Of each read that was made once, how many requests arrived, and how many of them the transport knows.
        self.traffic: dict[str, tuple[int, int]] = {}
        self._later: Later | None = None
        self._stack = AsyncExitStack()
        self._folder: Path | None = None
        self._service: AsyncExitStack | None = None
        self._opened: SISService | None = None
        self._today: date | None = None
        self._changed = False
        self._first_sync: tuple[SyncReport, dict[str, bytes]] | None = None

    def __enter__(self) -> Bench:
        self._start()
        try:
            self.info = refined(self.subject.info, self.config())
            demand_known(self.info, self.subject.settings, self.config())
        except BaseException:
            self._server.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        self._server.__exit__(None, None, None)

    def _start(self) -> None:
        with blamed(self.subject.info, "while its sandbox was started"):
            self._server = self.subject.sandbox()
            self.sandbox: RunningSandbox = self._server.__enter__()
        self._settings = dict(self.sandbox._app.sandbox.settings)
        self._changed = False
        self._first_sync = None  # its settings name the server that is no more

    @asynccontextmanager
    async def check_under_way(self) -> AsyncIterator[Bench]:
        """What is opened in the block is closed after it, and the sandbox is as it was."""
        self.clock, self.calls = QuickClock(), []
        try:
            with quoting(synthetic=not self.recorded):
                yield self
        finally:
            await self._close_service()
            await self._stack.aclose()
            self._stack, self._folder = AsyncExitStack(), None
            self._restore()

    def _restore(self) -> None:
        if self._changed:
            # What was changed by hand stays, whatever the day: only a new sandbox has it as it was.
            self._server.__exit__(None, None, None)
            self._start()
        self.sandbox.clear_faults()
        if self.sandbox._app.sandbox.settings != self._settings:
            self.sandbox.set(**self._settings)
        if self.sandbox.district.day != self.subject.day:
            self.sandbox.set_day(self.subject.day)

    # -- the subject ---------------------------------------------------------------------------------------------------

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What is offered."""
        return self.info.capabilities.offered()

    @property
    def recorded(self) -> bool:
        """Whether recorded payloads are served, which know no truth, no faults and no other day."""
        return self.subject.recorded is not None

    @property
    def told_kinds(self) -> tuple[Kind, ...]:
        """What is offered and comes unasked, and of which there is a truth to compare with."""
        return tuple(kind for kind in self.kinds if kind != "guardians" and self._has_truth(kind))

    def _has_truth(self, kind: Kind) -> bool:
        try:
            if self.recorded:
                self.truth(kind)
        except ConfigurationError:
            return False  # recorded payloads come without one, unless somebody has written it down
        return True

    def notes(self) -> str:
        """What the sandbox has to say, such as a request that it has no answer to: a sentence, after a blank."""
        # Of a traceback the end.
        said = dict.fromkeys(note.strip().rpartition("\n")[2] for note in self.sandbox.notes)
        return f" The sandbox says: {listed(said)}" if said else ""

    def config(self, **settings: Any) -> SISProviderConfig:
        """The settings of an integration with the sandbox: what it tells, what the author adds, and what is given here."""
        told = {name: getattr(self.sandbox, name) for name in ("base_url", "token_url", "client_id", "client_secret")}
        usual: dict[str, Any] = {"provider": self.subject.info.name, **told, **self.sandbox.settings}
        return validated({**usual, **self.subject.settings, **settings}, origin="the suite")

    @asynccontextmanager
    async def open(
        self, *, clock: Clock | None = None, limiter: Limiter | None = None, **settings: Any
    ) -> AsyncIterator[OpenProvider]:
        """The provider, open, as `connect` and the service open it."""
        config = self.config(**settings)
        opening = open_provider(self.subject.info, config, limiter=limiter, clock=clock or self.clock, on_call=self.calls.append)
        async with opening as opened:
            yield opened

    async def read(
        self,
        kinds: Collection[Kind] | None = None,
        *,
        scope: Scope | None = None,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
        **settings: Any,
    ) -> ReadOutcome:
        """Open the provider, read to the end, and close it. Without kinds, all that it offers."""
        async with self.open(**settings) as opened:
            wanted = self.kinds if kinds is None else kinds
            return await read_out(opened.provider, wanted, scope=scope or Scope(), since=since, cursor=cursor)

    async def once(self, name: str, read: Callable[[Bench], Awaitable[ReadOutcome]]) -> ReadOutcome:
        """A read on the first day, without faults, that is made once for all checks that ask for it by this name."""
        if name not in self._kept:
            async with self._undisturbed() as bench:
                arrived, sent = bench.stats()["requests"], len(bench.calls)
                self._kept[name] = await read(bench)
                self.traffic[name] = bench.stats()["requests"] - arrived, len(bench.calls) - sent
        return self._kept[name]

    async def roster(self) -> ReadOutcome:
        """A read of everything on the first day."""
        return await self.once("plain", lambda bench: bench.read())

    async def full_roster(self) -> ReadOutcome:
        """The same with all fields that are read on request only; recorded payloads are asked for nothing else."""
        if self.recorded:
            return await self.roster()
        return await self.once("full", lambda bench: bench.read(fields=",".join(bench.fields())))

    async def later(self) -> Later:
        """A read of everything on the first day on which a student has left, or on the last one tried: made once."""
        if self._later is None:
            async with self._undisturbed() as bench:
                self._later = await bench._read_later()
        return self._later

    async def _read_later(self) -> Later:
        first = {row["sis_id"] for row in self._students() if row.get("status", "active") == "active"}
        try:
            for day in range(self.subject.day + 1, self.subject.day + 1 + LATEST):
                self.set_day(day)
                there = {row["sis_id"] for row in self._students() if row.get("status", "active") == "active"}
                if first - there:
                    break
            told = {kind: self.truth(kind) for kind in self.kinds}
            keys = {kind: {row["key"]: row["sis_id"] for row in rows} for kind, rows in told.items()}
            return Later(day, await self.read(), {kind: by_id(rows) for kind, rows in told.items()}, keys)
        finally:
            self.set_day(self.subject.day)

    def _students(self) -> list[dict[str, Any]]:
        return self.truth("students") if "students" in self.kinds else []

    @asynccontextmanager
    async def _undisturbed(self) -> AsyncIterator[Bench]:
        """This bench while its sandbox is as in the beginning, else one beside it."""
        app = self.sandbox._app.sandbox
        if app.district.day == self.subject.day and app.settings == self._settings and not (len(app.faults) or self._changed):
            yield self
        else:
            async with self.another() as other:
                yield other

    def fields(self) -> tuple[str, ...]:
        """The fields that are read on request only, as far as there are any in the truth, as settings name them."""
        found = {
            f"{kind}.{name}": None
            for kind in self.kinds
            for row in self.sandbox.truth(kind, fields=None)
            for name in row
            if name in on_request(kind) and name != "custom"
        }
        return (*found, *(kind for kind in self.kinds if kind == "guardians"))

    # -- the sandbox ---------------------------------------------------------------------------------------------------

    def truth(self, kind: Kind, *, history: bool = False, fields: Collection[str] | None = ()) -> list[dict[str, Any]]:
        """What a perfect client would have; see `RunningSandbox.truth`."""
        return self.sandbox.truth(kind, history=history, fields=fields)

    def stats(self) -> dict[str, Any]:
        """What the sandbox counts."""
        return self.sandbox.stats()

    def set_day(self, day: int) -> None:
        """Let the district live until that day. It is put back after the check."""
        self.sandbox.set_day(day)

    def fault(self, name: str, value: object = "", *, count: int | None = None, path: str = "", after: int = 0) -> None:
        """Have something go wrong; see `sis_connect.testing.faults`. It ends with the check."""
        self.sandbox.fault(name, value, count=count, path=path, after=after)

    def struck(self) -> bool:
        """Whether any fault that is in force has met a request so far."""
        return self.sandbox.struck

    def held(self) -> int:
        """How many answers the server holds back at this moment."""
        return self.sandbox.held

    def clear_faults(self) -> None:
        """Let all go well again, and what is held back go."""
        self.sandbox.clear_faults()

    def change(self, kind: Kind, sis_id: str, **fields: str) -> None:
        """Change a record, where the sandbox can. It is put back after the check."""
        self._changed = True
        self.sandbox.change(kind, sis_id, **fields)

    def rename(self) -> None:
        """Give everybody and everything another name, under the same ids. It is put back after the check."""
        self._changed = True
        self.sandbox.rename()

    @asynccontextmanager
    async def another(self, **differing: Any) -> AsyncIterator[Bench]:
        """A second sandbox of the same provider: `students`, `seed`, `day`, `rate` and the like as in `Subject`."""
        with Bench(replace(self.subject, **differing)) as other:
            async with other.check_under_way():
                yield other

    # -- the engine ----------------------------------------------------------------------------------------------------

    async def service(self, **settings: Any) -> SISService:
        """A service over a database of this check's own, with the sandbox connected. It is the same until the day moves."""
        from sis_connect.service import SISService

        if self._today != self.sandbox.date:
            await self._close_service()
        if self._opened is None:
            self._today = self.sandbox.date
            first = self._folder is None
            self._folder = self._folder or self._new_folder()
            self._service = AsyncExitStack()
            self._opened = await self._service.enter_async_context(
                SISService.open(
                    f"sqlite:///{(self._folder / 'roster.db').as_posix()}",
                    key_file=self._folder / "key",
                    today=self.sandbox.date,
                    registry=self._registry(),
                )
            )
            if first or settings:
                await self._opened.create_integration(INTEGRATION, self.config(**settings))
        return self._opened

    async def sync(self, **request: Any) -> SyncReport:
        """A sync with the service on the bench, on the day that the sandbox shows."""
        service = await self.service()
        return await service.sync(INTEGRATION, **request)

    async def synced(self) -> SyncReport:
        """A first sync on the first day. It is made once, and each check goes on from there with a database of its own."""
        if self._first_sync is None:
            report = await self.sync()
            await self._close_service()
            assert self._folder is not None  # noqa: S101 - made with the service
            self._first_sync = report, {each.name: each.read_bytes() for each in self._folder.iterdir()}
        elif self._folder is None:
            self._folder = self._new_folder()
            for name, content in self._first_sync[1].items():
                (self._folder / name).touch(mode=0o600)
                (self._folder / name).write_bytes(content)
        return self._first_sync[0]

    def _new_folder(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))

    async def _close_service(self) -> None:
        stack, self._service, self._opened = self._service, None, None
        if stack is not None:
            await stack.aclose()

    def _registry(self) -> Registry:
        info, version = self.subject.info, self.subject.version or "0"
        return Registry({info.name: Installed(info, self.subject.distribution or info.name, version)})

    @contextmanager
    def listening(self) -> Iterator[Said]:
        """Keep what is logged, printed and warned of meanwhile."""
        with listening() as said:
            yield said
