"""A sandbox on a real socket on loopback, in the foreground or in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from sis_connect.errors import ConfigurationError
from sis_connect.testing.sandbox_app import SandboxApp

HOST = "127.0.0.1"


class Server(uvicorn.Server):
    """Serves one sandbox; `on_ready` is called once connections are taken."""

    def __init__(self, app: SandboxApp, port: int, on_ready: Callable[[], None]) -> None:
        connections: dict[tuple[str, int], asyncio.Transport] = {}
        self.socket = _listen(port)
        self.port: int = self.socket.getsockname()[1]
        self.loop: asyncio.AbstractEventLoop | None = None
        self._on_ready = on_ready
        self._ending: asyncio.Event | None = None
        app.break_off = lambda scope, reset: _break_off(connections, scope, reset=reset)
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(connections),
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                # The sandbox says what time it is.
                date_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self._on_ready()

    async def main_loop(self) -> None:
        """uvicorn's own looks ten times a second whether it is to end; a test suite starts and ends hundreds of sandboxes."""
        assert self._ending is not None  # noqa: S101 - set in startup
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Where no request is under way, there is nothing to wait for."""
        if self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for each in (*self.servers, *(sockets or ())):
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)

    def end(self) -> None:
        """End it, from another thread."""
        self.should_exit = True
        if self.loop is not None and self._ending is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self.loop.call_soon_threadsafe(self._ending.set)

    def serve_forever(self) -> None:
        """Serve until stopped or interrupted."""
        self.run(sockets=[self.socket])


class ServerThread:
    """Serves in a thread, so that blocking code and any event loop can talk to it."""

    def __init__(self, app: SandboxApp, port: int = 0) -> None:
        ready = threading.Event()
        self.server = Server(app, port, ready.set)
        self._thread = threading.Thread(target=self.server.serve_forever, name="sandbox", daemon=True)
        self._thread.start()
        if not ready.wait(30):
            raise TimeoutError("The sandbox did not start.")

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function between two requests, in the server's thread."""
        assert self.server.loop is not None  # noqa: S101 - set before the thread reports ready

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.server.loop).result(120)

    def stop(self) -> None:
        self.server.end()
        self._thread.join(30)


def _listen(port: int) -> socket.socket:
    """A listening socket. asyncio switches Nagle's delay off only where the protocol is stated; with it, answers take 40 ms."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Port {port} cannot be used ({error.strerror}).", remedy="Choose another, or 0 for any."
        ) from error
    return listener


def _protocol(connections: dict[tuple[str, int], asyncio.Transport]) -> type[asyncio.Protocol]:
    """uvicorn's own protocol, which remembers its connections so that a fault can break them."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._peer = transport.get_extra_info("peername")[:2]
            connections[self._peer] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self._peer, None)
            super().connection_lost(exc)

    return Protocol


def _break_off(connections: dict[tuple[str, int], asyncio.Transport], scope: Scope, *, reset: bool) -> None:
    transport = connections.get(tuple(scope["client"]))
    if transport is None:
        return
    if not reset:
        transport.close()
        return
    # A zero linger time makes the kernel send a reset where an orderly end would be sent.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
