"""The web application on a socket of this machine, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from sis_connect.errors import ConfigurationError
from sis_connect.service import SISService
from sis_connect.web import application


class Server(uvicorn.Server):
    """Tells once when connections are taken; signals stop it without an error."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        if sys.platform == "win32":  # there, Ctrl-C cancels us from outside
            yield
            return
        caught = []
        for stop in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError, ValueError):  # not in a thread, where nobody sends us signals
                loop.add_signal_handler(stop, self.stop)
                caught.append(stop)
        try:
            yield
        finally:
            for stop in caught:
                loop.remove_signal_handler(stop)

    def stop(self) -> None:
        """End after the requests that are under way."""
        self.should_exit = True


async def serve(service: SISService, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until stopped. `on_ready` is told the address; port 0 takes a free one. Paths are not logged: they hold secrets."""
    listener = _listen(host, port)
    address = f"http://{_in_url(host)}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        application(service),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=16 * 1024,
    )
    server = Server(config, lambda: on_ready(address))
    with listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.stop()
            await serving
            raise


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigurationError(
            f"Nothing can be served at {host}, port {port} ({error.strerror}).", remedy="Choose another --host or --port."
        ) from error
