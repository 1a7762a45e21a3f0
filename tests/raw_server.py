"""A server on a real socket that answers with whatever bytes a test wants, right or wrong, and remembers what it heard."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Heard:
    """One request as it came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


#: What to answer: bytes, or the server's own doing on the raw connection.
Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
Handler = Callable[[Heard], Awaitable[Answer]]


@dataclass
class RawServer:
    url: str
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0

    def count(self, path: str) -> int:
        return sum(1 for heard in self.heard if heard.path == path)


def answer(body: bytes = b"{}", *, status: int = 200, **headers: str) -> bytes:
    """A well-formed answer. Header names are written with underscores."""
    lines = {"content-type": "application/json", "content-length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


def json_answer(document: object, *, status: int = 200, **headers: str) -> bytes:
    return answer(json.dumps(document).encode(), status=status, **headers)


def packed(body: bytes) -> bytes:
    return answer(gzip.compress(body), content_encoding="gzip")


async def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset, as a crashing server does."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[RawServer]:
    """Serve on loopback. Connections are kept alive, as real servers keep them."""
    connections: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        raw.connections += 1
        try:
            while (heard := await _hear(reader)) is not None:
                raw.heard.append(heard)
                reply = await handler(heard)
                if callable(reply):
                    await reply(writer)
                    return
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    raw = RawServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield raw
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _hear(reader: asyncio.StreamReader) -> Heard | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    at = asyncio.get_running_loop().time()
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Heard(method, target, headers, body, at)
