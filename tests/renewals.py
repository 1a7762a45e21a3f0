"""A database with integrations that somebody consented to, and processes that renew their tokens at a token server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import insert, text

from sis_connect.clock import Clock, SystemClock
from sis_connect.errors import SISError
from sis_connect.events import Event
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.endpoint import TokenEndpoint
from sis_connect.oauth.grants import refresh_grant
from sis_connect.store.sql import Store, open_engine, open_store
from sis_connect.store.tables import integration
from sis_connect.store.token_store import SQLTokenStore
from sis_connect.tokens.token import AccessToken, RefreshToken, StoredToken
from sis_connect.tokens.token_manager import Grant, TokenManager
from sis_connect.tokens.vault import Vault, new_key
from sis_connect.transport.rate_limit import Limiter

CLIENT_ID = "district-client"
CLIENT_SECRET = "a-client-secret-of-the-district"


@dataclass
class Renewals:
    """What one process has open. Integration `n` is called `district-n`."""

    store: Store
    vault: Vault
    token_url: str = ""
    clock: Clock = field(default_factory=SystemClock)
    events: list[Event] = field(default_factory=list)

    def tokens(self, number: int = 1) -> SQLTokenStore:
        return SQLTokenStore(
            self.store, self.vault, self.clock, integration_id=number, integration=f"district-{number}", actor="a test"
        )

    def grant(self, limiter: Limiter | None = None) -> Grant:
        client = OAuthClient(token_url=self.token_url, client_id=CLIENT_ID, secrets=(SecretStr(CLIENT_SECRET),))
        return refresh_grant(TokenEndpoint(client, limiter=limiter or Limiter(None), clock=self.clock, timeout=10))

    def manager(self, number: int = 1, *, grant: Grant | None = None) -> TokenManager:
        return TokenManager(
            grant or self.grant(),
            clock=self.clock,
            store=self.tokens(number),
            integration=f"district-{number}",
            on_event=self.events.append,
        )

    async def enlist(self, numbers: range) -> None:
        """Integrations, as the keeper of tokens knows them."""
        common = {"provider": "any", "settings": "{}", "status": "active", "created_at": ""}
        async with self.store.write() as connection:
            await connection.execute(insert(integration), [{"id": n, "name": f"district-{n}", **common} for n in numbers])

    async def consent(self, answer: Mapping[str, Any], number: int = 1) -> StoredToken:
        """Keep what a consent brought a day ago: the access token has ended since."""
        then = self.clock.now() - timedelta(days=1)
        token = StoredToken(
            access_token=AccessToken(answer["access_token"]),
            refresh_token=RefreshToken(answer["refresh_token"]),
            obtained_at=then,
            expires_at=then + timedelta(hours=1),
        )
        store = self.tokens(number)
        async with store.claim() as claim:
            await store.save(token, claim, due_at=token.expires_at)
        return token

    async def ask(self, statement: str) -> list[Any]:
        async with self.store.read() as connection:
            return [tuple(row) for row in (await connection.execute(text(statement))).all()]


@asynccontextmanager
async def renewals(database: Path, token_url: str = "", clock: Clock | None = None) -> AsyncIterator[Renewals]:
    """A new database."""
    async with open_store(f"sqlite:///{database}") as store:
        yield Renewals(store, Vault.from_text(_key(database)), token_url, clock or SystemClock())


def _key(database: Path) -> str:
    file = database.with_suffix(".key")
    if not file.exists():
        file.write_text(new_key())
    return file.read_text()


# -- other processes ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def nursery(database: Path, token_url: str) -> AsyncIterator[Process]:
    """A process that has loaded everything and forks others off: tell it `flock` or `kill` (see below)."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, str(database), token_url, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def told(process: Process, words: str) -> Any:
    """Tell a process something and hear its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{words}\n".encode())
    return json.loads(await process.stdout.readline())


@asynccontextmanager
async def _in_a_child(database: Path, token_url: str) -> AsyncIterator[Renewals]:
    engine = open_engine(f"sqlite:///{database}")
    yield Renewals(Store(engine), Vault.from_text(_key(database)), token_url)
    await engine.dispose()


async def _call(database: Path, token_url: str, number: int, callers: int) -> dict[str, Any]:
    async with _in_a_child(database, token_url) as child:
        manager = child.manager(number)
        outcomes = await asyncio.gather(*(manager.token() for _ in range(callers)), return_exceptions=True)
    return {
        "errors": [type(outcome).__name__ for outcome in outcomes if isinstance(outcome, BaseException)],
        "tokens": sorted({outcome.get_secret_value() for outcome in outcomes if isinstance(outcome, SecretStr)}),
        "events": [event.name for event in child.events],
    }


async def _renew(database: Path, token_url: str, number: int, asking: Callable[[], object] = lambda: None) -> None:
    async with _in_a_child(database, token_url) as child:
        ask = child.grant()

        async def grant(former: StoredToken | None) -> StoredToken:
            asking()
            return await ask(former)

        with suppress(SISError):
            await child.manager(number, grant=grant).renew()


def _child(work: Callable[[], object]) -> int:
    """Fork a process that does something and ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def _flock(database: Path, token_url: str, number: int, processes: int, callers: int) -> list[dict[str, Any]]:
    """As many processes with as many callers each, all for one token; what they got."""
    answers = [database.with_name(f"answer-{index}.json") for index in range(processes)]

    def work(answer: Path) -> None:
        answer.write_text(json.dumps(asyncio.run(_call(database, token_url, number, callers))))

    for child in [_child(partial(work, answer)) for answer in answers]:
        os.waitpid(child, 0)
    return [json.loads(answer.read_text()) for answer in answers]


def _kill(database: Path, token_url: str, number: int, seconds: float, after: str) -> dict[str, Any]:
    """A process that renews one token, killed so long after it began, or after it asked, unless it has ended before."""
    hear, say = os.pipe()
    begun = time.perf_counter()
    child = _child(lambda: asyncio.run(_renew(database, token_url, number, lambda: os.write(say, b"asking"))))
    os.close(say)
    if after == "asking":
        os.read(hear, 6)  # or the end of it, where it did not get that far
    asked = time.perf_counter()
    until = seconds + (asked if after == "asking" else begun)
    try:
        while (left := until - time.perf_counter()) > 0:
            if os.waitpid(child, os.WNOHANG)[0]:
                return {"ended": True, "took": time.perf_counter() - (asked if after == "asking" else begun)}
            time.sleep(min(left, 0.0002))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return {"ended": False, "took": seconds}
    finally:
        os.close(hear)


def _serve(database: Path, token_url: str) -> None:
    logging.disable()
    warm = False
    for line in sys.stdin:
        task, number, *rest = line.split()
        if not warm:
            # What a first renewal has to load is no part of what is looked at.
            asyncio.run(_renew(database, token_url, 0))
            warm = True
        if task == "flock":
            print(json.dumps(_flock(database, token_url, int(number), *map(int, rest))), flush=True)
        else:
            seconds, after = rest
            print(json.dumps(_kill(database, token_url, int(number), float(seconds), after)), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
