"""Event subscriptions of the sandbox, by raw HTTP: the document, its statuses, and what is POSTed to its address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from raw_server import Heard, answer, serving
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_powerschool.sandbox_rows import dcid

PATH = "/ws/v1/event_subscription"
UPDATES = {"resource": "/ws/v1/student/*", "event_type": "UPDATE"}


def document(address: str = "https://me.example.org/events", *events: dict[str, str]) -> dict[str, Any]:
    return {"event_subscriptions": {"key": "mine", "callback_url": address, "event_subscription": [*(events or (UPDATES,))]}}


@pytest.fixture(autouse=True)
def unsubscribed(client: httpx.Client) -> None:
    client.delete(PATH)


def test_one_document_is_put_replaced_read_and_deleted(client: httpx.Client) -> None:
    assert client.get(PATH).status_code == 404
    assert client.put(PATH, json=document()).status_code == 201
    assert client.get(PATH).json() == document()
    assert client.put(PATH, json=document("https://other.example.org/")).status_code == 204
    assert client.get(PATH).json()["event_subscriptions"]["callback_url"] == "https://other.example.org/"
    assert [client.delete(PATH).status_code for _ in range(2)] == [204, 404]


def test_what_is_put_must_say_what_it_is(client: httpx.Client) -> None:
    content = json.dumps(document())
    assert client.put(PATH, content=content, headers={"content-type": "text/plain"}).status_code == 415
    assert client.put(PATH, content=content, headers={"content-type": "nonsense"}).status_code == 500
    assert client.put(PATH, content=content.encode(), headers={"content-type": ""}).status_code == 500
    assert client.put(PATH, json={"key": "mine"}).status_code == 400


def test_nobody_subscribes_without_a_token(anonymous: httpx.Client) -> None:
    del anonymous.headers["authorization"]
    assert anonymous.put(PATH, json=document()).status_code == 401


class Listening:
    """An address on a real socket, and what came there."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def __call__(self, heard: Heard) -> bytes:
        assert (heard.method, heard.headers["content-type"]) == ("POST", "application/json")
        self.heard.append(json.loads(heard.body))
        return answer()

    async def until(self, number: int) -> list[Any]:
        async with asyncio.timeout(10):
            while True:
                if len(self.heard) >= number:
                    return self.heard
                await asyncio.sleep(0.01)


@pytest.fixture
async def listening() -> AsyncIterator[tuple[Listening, str]]:
    there = Listening()
    async with serving(there) as server:
        yield there, f"{server.url}/events"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("resource", {"key": "mine", "event_type": "UPDATE", "resource": "/ws/v1/student/{id}"}),
        ("flat", {"key": "mine", "event_type": "UPDATE", "entity": "student", "id": "{id}"}),
        ("list", {"key": "mine", "events": [{"resource": "/ws/v1/student/{id}", "event_type": "UPDATE"}]}),
    ],
)
async def test_a_record_that_somebody_changes_is_told_at_once(
    client: httpx.Client, sandbox: RunningSandbox, listening: tuple[Listening, str], shape: str, expected: dict[str, Any]
) -> None:
    there, address = listening
    sandbox.set(event_body=shape)
    serial = next(iter(sandbox.district.students))
    student = dcid("student", serial)
    await asyncio.to_thread(client.put, PATH, json=document(address))
    change = {"kind": "students", "sis_id": str(student), "fields": {"family_name": f"Told {shape}"}}
    done = await asyncio.to_thread(client.post, "/_sandbox/change", json=change)
    assert done.json() == {"changed": 1}
    (told,) = await there.until(1)
    told.pop("timestamp", None)
    assert told == json.loads(json.dumps(expected).replace('"{id}"', str(student)).replace("{id}", str(student)))


async def test_a_day_tells_all_that_has_changed_and_only_what_was_asked_for(
    client: httpx.Client, sandbox: RunningSandbox, listening: tuple[Listening, str]
) -> None:
    there, address = listening
    sandbox.set(event_body="list")
    joined = {"resource": "/ws/v1/section_enrollment/*", "event_type": "INSERT"}
    moved = {"resource": "/ws/v1/student/*", "event_type": "SCHOOL_ENROLLMENT"}
    await asyncio.to_thread(client.put, PATH, json=document(address, joined, moved))
    await asyncio.to_thread(sandbox.set_day, 20)
    asked = {("section_enrollment", "INSERT"), ("student", "SCHOOL_ENROLLMENT")}
    told: set[tuple[str, str]] = set()
    while not told >= asked:  # fifty events a delivery, in any order
        bodies = await there.until(len(there.heard) + 1 if told else 1)
        told = {(event["resource"].split("/")[3], event["event_type"]) for body in bodies for event in body["events"]}
        assert told <= asked


def test_what_cannot_be_changed_is_said_so(client: httpx.Client) -> None:
    wrong = {"kind": "students", "sis_id": "7", "fields": {"family_name": "X"}}
    assert client.post("/_sandbox/change", json=wrong).status_code == 400
    assert client.post("/_sandbox/change", json={**wrong, "kind": "pupils"}).status_code == 400
