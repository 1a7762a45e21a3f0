"""What changed in the roster, told to the app: events after a cursor, and listeners that are told of each one at least once."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import timedelta
from math import inf
from typing import Any

from sis_connect.errors import ConfigurationError, ConflictError, SISError
from sis_connect.events import RosterEvent, RosterHandler
from sis_connect.hosting.apart import alone
from sis_connect.hosting.faults import described, passes, raise_alone
from sis_connect.hosting.watchdog import Watchdog
from sis_connect.roster import chronicle
from sis_connect.roster.sync import Synchroniser
from sis_connect.service.ground import Ground, OnProgress
from sis_connect.store import outbox
from sis_connect.store.lease import Lease, check_fence, hold_lease

_log = logging.getLogger(__name__)

#: For how many days events are kept by default.
KEPT_DAYS = 90.0
#: After how many events it is noted how far a listener has been told: so many may come again after a crash.
NOTED_EVERY = 100
#: How many seconds a listener of a plugin may take for an event.
PATIENCE = 60.0


class Telling(Ground):
    """Events and listeners."""

    def _tell(self, listeners: Mapping[str, RosterHandler], retention: timedelta) -> None:
        """Whom to tell after each operation, and for how long events are kept."""
        for listener in listeners:
            _check_name(listener)
        self._listeners, self._retention = dict(listeners), retention
        self._telling: set[str] = set()
        self._once_more: set[str] = set()

    async def events(
        self, *, after: int | None = None, name: str | None = None, limit: int | None = None
    ) -> AsyncIterator[RosterEvent]:
        """What changed in the roster after a cursor (the `id` of an event), in order: of one integration, or of all.

        Without `after`, all that is kept. Raises `EventsExpired` where events after the cursor are not kept any more.
        """
        integration_id = (await self._integrations.row(name)).id if name is not None else None
        if after is None:
            async with self._store.read() as connection:
                after = (await outbox.kept(connection, integration_id)).expired
        if limit is not None and limit < 1:
            return
        async with aclosing(self._events(after, integration_id)) as events:
            number = 0
            async for event in events:
                yield event
                number += 1
                if number == limit:
                    return

    async def _events(self, after: int, integration_id: int | None) -> AsyncGenerator[RosterEvent, None]:
        while True:
            async with self._store.read() as connection:
                events = await chronicle.read_events(connection, after, integration_id=integration_id)
            for event in events:
                yield event
                after = event.id
            if not events:
                return

    async def latest_event(self) -> int:
        """The cursor of now: whoever reads the roster after this goes on with the events after it."""
        async with self._store.read() as connection:
            return (await outbox.kept(connection)).latest

    async def deliver(self, handler: RosterHandler, *, listener: str, name: str | None = None, after: int | None = None) -> int:
        """Tell a listener of all that it was not told of yet, in order, and return how many events that were.

        How far it came is remembered under its name, for one integration or for all of them together. Each event comes at least
        once: where `handler` raises, this raises the same, and begins with that event the next time; after a crash, the last few
        come again. `after` sets where to go on, such as the cursor of `EventsExpired` once the whole roster has been read.
        """
        _check_name(listener)
        integration_id = (await self._integrations.row(name)).id if name is not None else None
        return await self._deliver(
            handler, listener if name is None else f"{listener} of {name}", integration_id, after, wait=True
        )

    async def _deliver(
        self, handler: RosterHandler, listener: str, integration_id: int | None, after: int | None = None, *, wait: bool
    ) -> int:
        if listener in self._telling:
            # Whoever is telling it goes on with what has come meanwhile; it may be our own caller.
            self._once_more.add(listener)
            return 0
        self._telling.add(listener)
        try:
            told = await self._deliver_all(handler, listener, integration_id, after, wait=wait)
            while listener in self._once_more:
                self._once_more.discard(listener)
                told += await self._deliver_all(handler, listener, integration_id, wait=wait)
            return told
        finally:
            self._telling.discard(listener)
            self._once_more.discard(listener)

    async def _deliver_all(
        self, handler: RosterHandler, listener: str, integration_id: int | None, after: int | None = None, *, wait: bool
    ) -> int:
        async with self._store.read() as connection:
            noted = await outbox.cursor_of(connection, listener)
            cursor = noted if after is None else after
            news = await chronicle.read_events(connection, cursor, integration_id=integration_id, limit=1)
        if not news and cursor == noted:
            return 0  # nobody takes a lease for nothing
        told = 0
        async with hold_lease(self._store, f"events:{listener}", self._clock, wait=wait) as lease:
            async with self._store.read() as connection:
                noted = await outbox.cursor_of(connection, listener)
            cursor = noted if after is None else after
            try:
                async for event in self._events(cursor, integration_id):
                    outcome = handler(event)
                    if inspect.isawaitable(outcome):
                        await outcome
                    told, cursor = told + 1, event.id
                    if told % NOTED_EVERY == 0:
                        await self._note_cursor(listener, cursor, lease)
                        noted = cursor
            finally:
                if cursor != noted:
                    await self._note_cursor(listener, cursor, lease)
        return told

    async def _note_cursor(self, listener: str, cursor: int, lease: Lease) -> None:
        async with self._store.write() as connection:
            await check_fence(connection, lease)
            await outbox.move_cursor(connection, listener, cursor, self._clock.now())

    # -- after each operation ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _synchroniser(self, name: str, progress: OnProgress, *, offline: bool = False) -> AsyncIterator[Synchroniser]:
        async with super()._synchroniser(name, progress, offline=offline) as run:
            yield run
        failures = await self._tell_listeners(run)
        for report in run.operations.reports:
            report.warnings += failures
        await self._expire()

    async def _tell_listeners(self, run: Synchroniser) -> list[dict[str, Any]]:
        """Tell everybody: the app's own of all integrations, those of plugins of the one that has chosen them.

        One who fails is logged and named, and told again next time; the others are told all the same (promise P12).
        """
        failures = []
        for listener, handler in self._listeners.items():
            failures += await self._tell_one(listener, handler, listener, None)
        if run.config.listeners:
            with Watchdog(self.registry.packages()) as watchdog:
                for chosen in dict.fromkeys(run.config.listeners):
                    failures += await self._tell_one(chosen, None, f"{chosen} of {run.integration}", run.integration_id)
            failures += watchdog.warnings()
        return failures

    async def _tell_one(
        self, name: str, handler: RosterHandler | None, cursor: str, integration_id: int | None
    ) -> list[dict[str, Any]]:
        try:
            told = _held(name, handler) if handler else _held(name, self._choices.listener(name), patience=PATIENCE)
        except SISError as error:
            return [_failure(name, str(error))]  # a plugin that is not there: the events wait for it
        try:
            await self._deliver(told, cursor, integration_id, wait=False)
        except _Stumbled as stumbled:
            return [_failure(name, f"The listener {name} failed {stumbled}. It is told again after the next operation.")]
        except ConflictError as error:
            if error.retryable:
                return []  # another process is telling it
            return [_failure(name, f"The listener {name} is not told any more: {error}")]
        except Exception as error:  # noqa: BLE001 - whatever stopped us, the operation is done and the others are to be told
            return [
                _failure(name, f"The listener {name} could not be told {described(error)}. It is told after the next operation.")
            ]
        return []

    async def _expire(self) -> None:
        try:
            await outbox.expire(self._store, self._clock.now() - self._retention)
        except SISError as error:
            _log.warning("What is not needed any more could not be dropped: %s", error)  # the next operation tries again


def _held(name: str, handler: RosterHandler, *, patience: float = inf) -> RosterHandler:
    """A listener that may raise anything, errors of ours, too, which mean something here and are not for it to raise.

    Where it is async it runs in a task of its own. One of a plugin must not keep everybody waiting: it has `patience` seconds for
    an event.
    """

    async def told(event: RosterEvent) -> None:
        with _stumbling():
            coming = handler(event)
        if inspect.isawaitable(coming):
            outcome = await alone(f"The listener {name}", coming, patience)
            with _stumbling():
                outcome.get()

    return told


@contextmanager
def _stumbling() -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - what passes is raised, and nothing else
        # Its message may hold anything, so only its class and its place are told (promise P7).
        raise_alone(error if passes(error) else _Stumbled(described(error)))


class _Stumbled(Exception):  # noqa: N818 - never leaves this module
    """A listener has raised something: its class, and where."""


def _failure(name: str, message: str) -> dict[str, Any]:
    """What a report says of a listener, and the log."""
    _log.error("%s", message)
    return {"warning": "listener_failed", "message": message, "listener": name}


def _check_name(listener: str) -> None:
    if not listener.strip() or listener != listener.strip():
        raise ConfigurationError("A listener needs a name, under which it is remembered how far it was told.")
