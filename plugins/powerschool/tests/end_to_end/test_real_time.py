"""From a change in PowerSchool to the roster, over real sockets: event subscription, delivery, hint, one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from office import Office
from sis_connect.errors import ConfigurationError
from sis_connect.provider import Hint
from sis_connect.service import SISService
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect.web.server import serve


@asynccontextmanager
async def hearing(office: Office) -> AsyncIterator[tuple[SISService, str]]:
    """The office's service, and the address at which it takes word of changes."""
    async with office.open() as service:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(serve(service, host="127.0.0.1", port=0, on_ready=ready.set_result))
        try:
            yield service, await ready
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def named(service: SISService, sis_id: str, family_name: str) -> None:
    """Wait until a student has this name in the roster."""
    async with asyncio.timeout(20):
        while True:
            async for row in service.export("lincoln", "students"):
                if row["sis_id"] == sis_id and row["family_name"] == family_name:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("shape", ["resource", "list"])
async def test_a_change_in_the_office_is_in_the_roster_by_one_request(
    synced: Office, sandbox: RunningSandbox, shape: str
) -> None:
    sandbox.set(event_body=shape)
    student, family_name = sandbox.truth("students")[0]["sis_id"], sandbox.truth("students")[0]["family_name"]
    async with hearing(synced) as (service, address):
        assert await service.subscribe("lincoln", address) == f"{address}/hooks/lincoln"
        before = sandbox.stats()["requests"]
        await asyncio.to_thread(sandbox.change, "students", student, family_name=f"Changed {shape}")
        await named(service, student, f"Changed {shape}")
        paths = sandbox.stats()["by_path"]
        assert sandbox.stats()["requests"] == before + 1
        assert paths[f"/ws/v1/student/{student}"] >= 1
        assert await service.unsubscribe("lincoln")
        assert not await service.unsubscribe("lincoln")
    sandbox.change("students", student, family_name=family_name)


async def test_a_student_is_found_by_another_number_too(synced: Office, sandbox: RunningSandbox) -> None:
    number = sandbox.truth("students")[0]["ids"]["student_number"]
    async with synced.open() as service:
        for _ in range(2):  # the first may find that its token was taken back, by whoever used this sandbox before
            await service.hint("lincoln", [Hint("students", "student_number", number)])
            (report,) = await service.drain_hints("lincoln")
        assert (report.requests, report.records["students"]) == (1, 1)
        (latest,) = await service.operations("lincoln", limit=1)
        assert latest.type == "hint"
        assert [one.last_status for one in await service.integrations()] == ["succeeded"]


async def test_a_subscription_of_somebody_else_is_never_destroyed_in_silence(synced: Office, sandbox: RunningSandbox) -> None:
    async with synced.open() as service:
        await service.subscribe("lincoln", "https://first.example.org")
        kept = dict(sandbox._app.sandbox.events._document)  # type: ignore[attr-defined]
        with pytest.raises(ConfigurationError, match=r"first\.example\.org already"):
            await service.subscribe("lincoln", "https://second.example.org")
        assert sandbox._app.sandbox.events._document == kept  # type: ignore[attr-defined]
        await service.subscribe("lincoln", "https://first.example.org")  # the same again is no harm
        await service.subscribe("lincoln", "https://second.example.org", replace=True)
        await synced.connect("elsewhere")
        with pytest.raises(ConfigurationError, match=r"second\.example\.org already"):
            await service.unsubscribe("elsewhere")
        assert await service.unsubscribe("lincoln")


async def test_p7_the_secret_in_the_address_is_neither_shown_nor_on_record(
    synced: Office, sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with synced.open() as service:
        shown = await service.subscribe("lincoln", "https://first.example.org")
        told = sandbox._app.sandbox.events._document["callback_url"]  # type: ignore[attr-defined]
        secret = told.removeprefix(f"{shown}/")
        assert len(secret) > 40
        assert await service.unsubscribe("lincoln")
    assert secret not in caplog.text
    assert secret.encode() not in synced.stored_bytes()
    actions = [row[0] for row in synced.query("SELECT action FROM sis_audit ORDER BY id")]
    assert actions[-2:] == ["webhook.subscribed", "webhook.unsubscribed"]
