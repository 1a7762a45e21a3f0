"""Word of changes by HTTP, on real sockets: who may send it, what becomes of it, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sis_connect.provider import Hint
from sis_connect.store.hints import MOST
from sis_connect.web import LONGEST_BODY, application
from sis_connect.web.routes import SecretPaths
from sis_connect.web.signature import signature
from telling_sis import SECRET, HearingOffice, hearing_office, served

HOOK = f"/hooks/lincoln/{SECRET}"
SIGNING = "whsec_" + base64.b64encode(bytes(range(250, 218, -1))).decode()


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[HearingOffice]:
    async with hearing_office(tmp_path) as office, served(office):
        yield office


def told(*sis_ids: str) -> dict[str, object]:
    return {"hints": [{"kind": "students", "id": sis_id} for sis_id in sis_ids]}


def signed(body: bytes, office: HearingOffice, *, message: str = "msg_1", secret: str = SIGNING) -> dict[str, str]:
    sent = int(office.service._clock.now().timestamp())
    return {
        "webhook-id": message,
        "webhook-timestamp": str(sent),
        "webhook-signature": signature(secret, message, sent, body),
    }


# -- from the word to the roster ---------------------------------------------------------------------------------------


async def test_a_student_of_whom_somebody_tells_is_read_again_by_one_request(office: HearingOffice) -> None:
    office.sis.rename(3, "Grace Hopper")
    office.sis.rename(4, "Nobody Tells")
    assert await office.post(HOOK, told("3")) == 200
    await office.until_named("3", "Grace Hopper")
    assert office.sis.asked == ["/students/3"]
    assert (await office.names())["4"] == "Ada No4"


async def test_p7_what_is_sent_is_no_data_and_never_reaches_the_roster(office: HearingOffice) -> None:
    body = {"type": "student.updated", "data": {"id": "3", "given_name": "Mallory", "status": "inactive"}}
    assert await office.post(HOOK, body) == 200
    await office.until_followed()
    assert office.single_reads() == ["/students/3"]
    assert (await office.names())["3"] == "Ada No3"
    assert b"Mallory" not in office.database.read_bytes()


async def test_word_of_another_kind_is_one_read_of_the_district(office: HearingOffice) -> None:
    office.sis.rename(4, "Katherine Johnson")
    assert await office.post(HOOK, {"kind": "schools", "id": "1"}) == 200
    await office.until_named("4", "Katherine Johnson")
    assert office.single_reads() == []


async def test_a_storm_is_folded_into_few_reads(office: HearingOffice) -> None:
    office.sis.rename(2, "Radia Perlman")
    answers = await asyncio.gather(*(office.post(HOOK, told("2", "5")) for _ in range(60)))
    assert answers == [200] * 60
    await office.until_named("2", "Radia Perlman")
    await office.until_followed()
    assert len(office.single_reads()) < 20


async def test_more_hints_than_are_kept_apart_become_one(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        many = [Hint("students", "sis_id", str(number)) for number in range(MOST + 1)]
        await office.service.hint("lincoln", many[:-1])
        assert await office.waiting() == MOST
        await office.service.hint("lincoln", many[-1:])
        assert await office.waiting() == 1
        (report,) = await office.service.drain_hints("lincoln")
        assert (report.status, office.single_reads(), await office.waiting()) == ("succeeded", [], 0)


# -- who may send it ---------------------------------------------------------------------------------------------------


async def test_p7_a_stranger_does_not_learn_what_was_wrong(office: HearingOffice) -> None:
    await office.service.create_integration("unheard", (await configured(office)).model_copy(update={"webhook_secret": None}))
    wrong = [f"/hooks/lincoln/{SECRET}x", "/hooks/lincoln/wrong", f"/hooks/nobody/{SECRET}", f"/hooks/unheard/{SECRET}"]
    assert {await office.post(path, told("3")) for path in wrong} == {404}
    assert {await office.post(f"/hooks/{name}", told("3")) for name in ("lincoln", "nobody", "unheard")} == {401}
    await office.service.remove_integration("lincoln")
    assert await office.post(HOOK, told("3")) == 404
    assert office.sis.asked == []


async def configured(office: HearingOffice):  # type: ignore[no-untyped-def]
    integrations = office.service._integrations
    return await integrations.config(await integrations.row("lincoln"))


async def test_signed_word_is_taken_once_however_often_it_is_repeated(office: HearingOffice) -> None:
    await office.connect(webhook_secret=f"{SIGNING},{SECRET}")
    office.sis.rename(3, "Grace Hopper")
    body = json.dumps(told("3")).encode()
    headers = signed(body, office)
    assert await office.post("/hooks/lincoln", content=body, headers=headers) == 200
    await office.until_named("3", "Grace Hopper")
    await office.until_followed()
    office.sis.asked.clear()
    assert await office.post("/hooks/lincoln", content=body, headers=headers) == 200
    assert await office.post("/hooks/lincoln", content=body + b" ", headers=headers) == 401
    assert await office.waiting() == 0
    assert office.sis.asked == []
    assert await office.post("/hooks/lincoln", content=body, headers=signed(body, office, message="msg_2")) == 200
    assert await office.post(f"/hooks/lincoln/{quote(SIGNING, safe='')}", told("3")) == 200


ODD_BODIES = {
    b"": 400,
    b"<html></html>": 400,
    b"[" * 50_000: 400,
    b"{}": 202,
    b'{"type": "invoice.paid", "data": {"id": "3"}}': 202,
    b'{"kind": "students", "id": {"$ne": null}}': 200,
    b"x" * (LONGEST_BODY + 1): 413,
}


async def test_what_is_not_for_us_is_answered_without_detail(office: HearingOffice) -> None:
    for body, status in ODD_BODIES.items():
        assert await office.post(HOOK, content=body) == status, body[:50]
    assert (await office.client.get(f"{office.address}{HOOK}")).status_code == 405
    assert await office.post(HOOK, told("3")) == 200


async def test_a_body_that_does_not_come_to_its_end_is_given_up(office: HearingOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sis_connect.web.routes._PATIENCE", 0.05)
    host, _, port = office.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {HOOK} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nhalf".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_where_the_database_is_gone_the_sender_may_try_again(
    office: HearingOffice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*arguments: object, **named: object) -> None:
        raise OSError("student 4711 of the secret district")

    monkeypatch.setattr(office.service, "receive", broken)
    assert await office.post(HOOK, told("3")) == 503
    assert "4711" not in caplog.text


# -- what nobody gets to see -------------------------------------------------------------------------------------------


async def test_p7_neither_a_secret_nor_a_pupil_is_in_any_log(
    office: HearingOffice, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # this test's own client
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    office.sis.rename(3, "Grace Hopper")
    await office.post(HOOK, told("3"))
    await office.post(HOOK, content=b"Grace Hopper")
    await office.post(f"/hooks/lincoln/{SECRET}x", told("3"))
    await office.until_named("3", "Grace Hopper")
    async with asyncio.timeout(10):
        while True:
            if "lincoln: succeeded" in caplog.text:  # the last that is said of it
                break
            await asyncio.sleep(0.01)
    access = logging.getLogger("uvicorn.access")
    for name, value in {"propagate": True, "disabled": False}.items():  # a server that ran before may have told it otherwise
        monkeypatch.setattr(access, name, value)
    caplog.set_level(logging.DEBUG, logger=access.name)
    access.warning('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "POST", f"/sis{HOOK}?a=b", "1.1", 200)
    assert "/hooks/lincoln/[redacted]" in caplog.text
    for word in (SECRET, "Grace", "Hopper"):
        assert word not in caplog.text


async def test_p7_the_webhook_secret_is_sealed_at_rest(office: HearingOffice) -> None:
    stored = b"".join(path.read_bytes() for path in office.database.parent.glob("roster.db*"))
    assert SECRET.encode() not in stored
    assert SECRET not in json.dumps(await office.service.stored_settings("lincoln"))


async def test_health_counts_and_names_nobody(office: HearingOffice) -> None:
    found = (await office.client.get(f"{office.address}/health")).json()
    assert found == {"status": "ok", "integrations": {"active": 1}}
    office.sis.go_down()
    await office.service.sync("lincoln")
    assert (await office.client.get(f"{office.address}/health")).json()["status"] == "degraded"


async def test_a_host_mounts_it_below_a_path_of_its_own(tmp_path: Path) -> None:
    import httpx
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async with hearing_office(tmp_path) as office:
        mounted = application(office.service)
        host = Starlette(routes=[Mount("/sis", mounted)])
        office.sis.rename(3, "Grace Hopper")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://127.0.0.1") as client:
            assert (await client.post(f"/sis{HOOK}", json=told("3"))).status_code == 200
        await office.until_named("3", "Grace Hopper")
        await mounted.state.follower.aclose()
        assert sum(isinstance(known, SecretPaths) for known in logging.getLogger("uvicorn.access").filters) == 1


async def test_p4_what_was_answered_with_yes_is_followed_after_a_crash(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        office.sis.rename(3, "Grace Hopper")
        receipt = await office.service.receive("lincoln", json.dumps(told("3")).encode(), headers={}, secret=SECRET)
        assert (receipt.outcome, receipt.hints) == ("kept", 1)
        async with served(office):  # which begins with what was left
            await office.until_named("3", "Grace Hopper")
