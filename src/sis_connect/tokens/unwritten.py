"""A token that the server has handed out and the store would not take: kept in memory, and written as soon as possible."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from sis_connect.clock import Clock
from sis_connect.errors import ConflictError, SISError

_log = logging.getLogger(__name__)
#: Short, since it ends with the right to renew: whoever gets that next must find the token written.
_PAUSE = 1.0


class Unwritten:
    """Tries to write until it is done. `held` is what is held until then: the right to renew."""

    def __init__(self, write: Callable[[], Awaitable[None]], held: AsyncExitStack, clock: Clock) -> None:
        self._write, self._held, self._clock = write, held, clock
        self._turn = asyncio.Lock()
        self._written = False
        self._trying = asyncio.create_task(self._keep_trying())

    async def write(self) -> None:
        """Try now. Raises what the store raises."""
        async with self._turn:
            if self._written:
                return
            try:
                await self._write()
                _log.warning("The token that could not be stored before is stored now.")
            except ConflictError:
                pass  # somebody else has written a newer one, which is as good
            self._written = True
            await self._held.aclose()
            if asyncio.current_task() is not self._trying:
                self._trying.cancel()

    async def aclose(self) -> None:
        """Try once more, then give up: the process ends."""
        self._trying.cancel()
        await asyncio.wait({self._trying})
        try:
            await self.write()
        except SISError as error:
            _log.error("A new token was not stored before the end (%s); the grant may be lost.", error.message)
            await self._held.aclose()

    async def _keep_trying(self) -> None:
        while not self._written:
            await self._clock.sleep(_PAUSE)
            try:
                await self.write()
            except SISError as error:
                _log.debug("A new token still cannot be stored (%s).", error.message)
