"""A large body, streamed into an open file over a real socket: in little memory, whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import io
import tracemalloc
from pathlib import Path

import pytest

from manual_clock import ManualClock
from raw_server import Answer, answer, reset
from sis_connect.errors import (
    AuthenticationError,
    CircuitOpen,
    NetworkError,
    NotOffered,
    ProviderError,
    SISError,
    StorageError,
    UnexpectedResponse,
)
from sis_connect.transport.calls import Call
from sis_connect.transport.rate_limit import Limiter
from talking_transport import always, in_turn, talking_to

ZIP = b"PK\x03\x04" + bytes(range(256)) * 100


def export(body: bytes = ZIP, **headers: str) -> bytes:
    return answer(body, status=200, content_type="application/zip", **headers)


def cut_off(body: bytes = ZIP) -> Answer:
    """Says how long it is, and ends too early."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(export(body)[: -len(body) // 2])
        await writer.drain()

    return reply


async def test_a_body_arrives_in_the_file_as_it_is_and_its_bytes_count() -> None:
    calls: list[Call] = []
    file = io.BytesIO()
    async with talking_to(always(export(x_made="today")), on_call=calls.append) as (subject, server):
        answered = await subject.download("/bulk/7.zip", file, params={"part": "1"}, template="/bulk/{id}.zip")
    assert (answered.status, answered.headers["x-made"], answered.body) == (200, "today", b"")
    assert file.getvalue() == ZIP
    assert [(call.template, call.bytes, call.status) for call in calls] == [("/bulk/{id}.zip", len(ZIP), 200)]
    [heard] = server.heard
    assert (heard.target, heard.headers["accept"]) == ("/bulk/7.zip?part=1", "*/*")
    assert heard.headers["authorization"].startswith("Bearer ")


async def test_a_packed_body_arrives_unpacked() -> None:
    file = io.BytesIO()
    async with talking_to(always(export(gzip.compress(ZIP), content_encoding="gzip"))) as (subject, _):
        await subject.download("/bulk", file)
    assert file.getvalue() == ZIP


async def test_what_stood_in_the_file_before_stays() -> None:
    file = io.BytesIO(b"before, and more that goes")
    file.seek(len(b"before"))
    async with talking_to(in_turn(cut_off(), export()), clock=ManualClock()) as (subject, _):
        await subject.download("/bulk", file)
    assert file.getvalue() == b"before" + ZIP


@pytest.mark.parametrize(
    "first",
    [
        cut_off(),
        reset,
        answer(status=503),
        answer(status=429, retry_after="1"),
        export(gzip.compress(ZIP)[:-20], content_encoding="gzip"),
    ],
    ids=["cut off", "reset", "down", "too many", "packed and cut off"],
)
async def test_what_breaks_off_is_begun_again(first: Answer) -> None:
    file = io.BytesIO()
    async with talking_to(in_turn(first, export()), clock=ManualClock()) as (subject, server):
        await subject.download("/bulk", file)
        assert len(server.heard) == 2
    assert file.getvalue() == ZIP


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (cut_off(), NetworkError),
        (answer(status=404), NotOffered),
        (answer(status=401), AuthenticationError),
        (answer(b"<html>Sign in", content_type="text/html; charset=utf-8"), UnexpectedResponse),
        (answer(status=302, location="https://elsewhere.example.org/7.zip"), UnexpectedResponse),
        (export(ZIP * 50), UnexpectedResponse),
        (export(b"nonsense", content_encoding="gzip"), UnexpectedResponse),
        (answer(status=400), ProviderError),
    ],
    ids=["cut off", "unknown", "refused", "web page", "redirect", "too large", "not packed", "wrong"],
)
async def test_what_fails_leaves_nothing_in_the_file(reply: Answer, error: type[SISError]) -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    async with talking_to(always(reply), clock=ManualClock()) as (subject, _):
        with pytest.raises(error):
            await subject.download("/bulk", file, max_bytes=1_000_000)
    assert file.getvalue() == b"before"


def many(mebibytes: int, *, packed: bool) -> Answer:
    """So much, which the server does not have in memory at once either: small where it is packed, else sent in pieces."""
    if packed:
        return export(gzip.compress(bytes(mebibytes * 2**20)), content_encoding="gzip")
    piece = bytes(2**20)

    async def reply(writer: asyncio.StreamWriter) -> None:
        lines = ["HTTP/1.1 200 OK", "content-type: application/zip", f"content-length: {mebibytes * len(piece)}", "", ""]
        writer.write("\r\n".join(lines).encode())
        for _ in range(mebibytes):
            writer.write(piece)
            await writer.drain()

    return reply


@pytest.mark.parametrize("packed", [False, True])
async def test_an_export_larger_than_a_page_may_be_is_taken_in_little_memory(tmp_path: Path, packed: bool) -> None:
    async with talking_to(always(many(100, packed=packed)), max_bytes=1000) as (subject, _):
        with (tmp_path / "export").open("w+b") as file:
            tracemalloc.start()
            try:
                await subject.download("/bulk", file)
                most = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert file.tell() == 100 * 2**20
    assert most < 8 * 2**20


async def test_a_small_packed_body_that_is_huge_is_stopped_before_it_fills_the_memory() -> None:
    bomb = gzip.compress(bytes(200 * 2**20))
    file = io.BytesIO()
    async with talking_to(always(export(bomb, content_encoding="gzip"))) as (subject, _):
        tracemalloc.start()
        try:
            with pytest.raises(UnexpectedResponse, match="more than 2 MiB"):
                await subject.download("/bulk", file, max_bytes=2 * 2**20)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert most < 16 * 2**20
    assert file.getvalue() == b""


class FullDisk(io.BytesIO):
    def write(self, piece: object) -> int:
        raise OSError(28, "No space left on device")


async def test_a_full_disk_is_named_and_not_tried_again() -> None:
    async with talking_to(always(export()), clock=ManualClock()) as (subject, server):
        with pytest.raises(StorageError, match="No space left on device"):
            await subject.download("/bulk", FullDisk())
        assert len(server.heard) == 1


async def test_a_download_takes_a_slot_for_each_attempt_and_rests_while_the_circuit_is_open() -> None:
    clock = ManualClock()
    limiter = Limiter(100, 60, clock=clock, smooth=False)
    async with talking_to(always(answer(status=503)), clock=clock, limiter=limiter) as (subject, server):
        for _ in range(4):
            with pytest.raises(NetworkError):
                await subject.download("/bulk", io.BytesIO())
        assert limiter.window_left == 100 - len(server.heard)
        with pytest.raises(CircuitOpen):
            await subject.download("/bulk", io.BytesIO())
