"""The token endpoint that sandboxes share, by raw HTTP, and the addresses that a sandbox tells."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from plain_sandbox import INFO
from sis_connect.testing.sandbox import running_sandbox
from sis_connect.testing.token_grants import TokenGrants

ID, SECRET = "district client", "s+cret/with:odd&signs"
GRANT = {"grant_type": "client_credentials"}
BODY = {"client_id": ID, "client_secret": SECRET}


@pytest.fixture
def grants() -> TokenGrants:
    return TokenGrants(ID, SECRET)


@pytest.fixture
async def client(grants: TokenGrants) -> AsyncIterator[httpx.AsyncClient]:
    async def token(request: Request) -> Response:
        return await grants.answer(request)

    app = Starlette(routes=[Route("/token", token, methods=["GET", "POST", "PUT"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://district.example.org") as client:
        yield client


def basic(user: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


async def test_credentials_may_come_in_every_usual_way(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    ways: list[dict[str, Any]] = [
        {"data": GRANT, "headers": basic(ID, SECRET)},
        {"data": GRANT, "headers": basic(quote_plus(ID), quote_plus(SECRET))},
        {"data": GRANT | BODY},
        {"params": GRANT | BODY},
        {"params": GRANT, "headers": basic(ID, SECRET)},
        {"data": GRANT | BODY, "headers": basic(ID, SECRET)},
    ]
    for way in ways:
        answer = await client.post("/token", **way)
        assert answer.status_code == 200, way
        assert answer.headers["cache-control"] == "no-store"
        assert grants.token(f"Bearer {answer.json()['access_token']}")


@pytest.mark.parametrize("allowed", ["basic", "body", "query"])
async def test_one_way_can_be_the_only_one(client: httpx.AsyncClient, grants: TokenGrants, allowed: str) -> None:
    grants.credentials = (allowed,)  # type: ignore[assignment]
    ways: dict[str, dict[str, Any]] = {
        "basic": {"data": GRANT, "headers": basic(ID, SECRET)},
        "body": {"data": GRANT | BODY},
        "query": {"data": GRANT, "params": BODY},
    }
    for way, request in ways.items():
        answer = await client.post("/token", **request)
        assert answer.status_code == (200 if way == allowed else 401), way


async def test_who_is_not_known_gets_no_token(client: httpx.AsyncClient) -> None:
    wrong: list[dict[str, Any]] = [
        {"data": GRANT},
        {"data": GRANT, "headers": basic(ID, "wrong")},
        {"data": GRANT, "headers": {"Authorization": "Basic %%%"}},
        {"data": {**GRANT, **BODY, "client_secret": "wrong"}},
        {"data": {**GRANT, **BODY, "client_id": "another"}, "headers": basic(ID, SECRET)},
    ]
    for request in wrong:
        answer = await client.post("/token", **request)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), request
        assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "scope": "everything"}, "invalid_scope"),
    ],
)
async def test_what_is_asked_for_wrongly_is_said_in_the_words_of_the_standard(
    client: httpx.AsyncClient, grants: TokenGrants, data: dict[str, str], error: str
) -> None:
    grants.scopes = ("roster",)
    answer = await client.post("/token", data=data, headers=basic(ID, SECRET))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_a_body_is_a_form_and_names_nothing_twice(client: httpx.AsyncClient) -> None:
    as_json = await client.post("/token", json=GRANT, headers=basic(ID, SECRET))
    assert (as_json.status_code, as_json.json()["error"]) == (400, "invalid_request")
    form = {"Content-Type": "application/x-www-form-urlencoded", **basic(ID, SECRET)}
    twice = await client.post("/token", content="grant_type=client_credentials&scope=a&scope=b", headers=form)
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")


async def test_scopes_are_those_asked_for_or_all(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    grants.scopes, grants.granted = ("core", "roster", "demographics"), ("core", "roster")
    everything = await client.post("/token", data=GRANT, headers=basic(ID, SECRET))
    assert everything.json()["scope"] == "core roster"
    some = await client.post("/token", data={**GRANT, "scope": "core demographics"}, headers=basic(ID, SECRET))
    assert some.json()["scope"] == "core"
    none = await client.post("/token", data={**GRANT, "scope": "demographics"}, headers=basic(ID, SECRET))
    assert none.json()["error"] == "invalid_scope"


async def test_a_scope_may_be_needed_or_unwelcome(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    grants.scope = "required"
    assert (await client.post("/token", data=GRANT | BODY)).json()["error"] == "invalid_scope"
    assert (await client.post("/token", data={**GRANT, **BODY, "scope": "a"})).status_code == 200
    grants.scope = "refused"
    assert (await client.post("/token", data={**GRANT, **BODY, "scope": "a"})).json()["error"] == "invalid_scope"


async def test_a_password_is_another_grant(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    grants.grants, grants.client_needed = ("password", "client_credentials"), False
    asked = {"grant_type": "password", "username": ID, "password": SECRET}
    assert (await client.post("/token", data=asked)).status_code == 200
    assert (await client.post("/token", data=asked, headers=basic("", ""))).status_code == 200
    assert (await client.post("/token", data={**asked, "password": "wrong"})).json()["error"] == "invalid_grant"
    assert (await client.post("/token", data=GRANT)).json()["error"] == "invalid_client"
    grants.passwords = {"office": "secret"}
    assert (await client.post("/token", data=asked)).json()["error"] == "invalid_grant"
    assert (await client.post("/token", data={**asked, "username": "office", "password": "secret"})).status_code == 200


async def test_tokens_end_for_real(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    grants.life = 0.2
    header = "Bearer " + (await client.post("/token", data=GRANT | BODY)).json()["access_token"]
    assert grants.token(header)
    await asyncio.sleep(0.3)
    assert grants.token(header) is None
    assert grants.known(header)
    assert grants.known("Bearer nothing") is None


async def test_a_token_can_be_ended_and_handed_out_again(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    grants.same_again = True
    first, second = [(await client.post("/token", data=GRANT | BODY)).json()["access_token"] for _ in range(2)]
    assert first == second
    token = grants.token(f"bearer {first}")
    assert token is not None
    grants.end(token)
    assert grants.token(f"Bearer {first}") is None
    assert (await client.post("/token", data=GRANT | BODY)).json()["access_token"] != first


async def test_a_life_is_told_as_the_vendor_tells_it(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    told = (await client.post("/token", data=GRANT | BODY)).json()
    assert (told["expires_in"], told["token_type"]) == (3600, "Bearer")
    grants.expires_in = "text"
    assert (await client.post("/token", data=GRANT | BODY)).json()["expires_in"] == "3600"
    grants.expires_in = "none"
    assert "expires_in" not in (await client.post("/token", data=GRANT | BODY)).json()


async def test_other_methods_are_refused_unless_the_vendor_has_them(client: httpx.AsyncClient, grants: TokenGrants) -> None:
    assert (await client.get("/token", params=GRANT | BODY)).status_code == 405
    grants.methods = ("GET", "POST")
    assert (await client.get("/token", params=GRANT, headers=basic(ID, SECRET))).status_code == 200
    assert (await client.put("/token")).status_code == 405
    grants.parameters_in_query = False
    assert (await client.post("/token", params=GRANT, headers=basic(ID, SECRET))).json()["error"] == "invalid_request"


# The addresses


def test_a_sandbox_tells_its_addresses_and_what_it_works_out() -> None:
    with running_sandbox("plain_sandbox:create_prefixed", students=1, settings={"version": "2"}) as sandbox:
        assert sandbox.base_url.endswith("/district/v2")
        assert sandbox.token_url.endswith("/token?appName=lincoln")
        assert "/district" not in sandbox.token_url
        assert sandbox.settings == {"rate_limit": "off", "version": "2", "grant": "basic"}


def test_the_controls_answer_below_the_base_url_too() -> None:
    with running_sandbox(INFO, students=1) as sandbox:
        for below in ("", "/district/v2", "/a/b/c"):
            assert httpx.get(f"{sandbox.base_url}{below}/_sandbox/stats").json()["requests"] == 0
            assert httpx.get(f"{sandbox.base_url}{below}/_sandbox/nothing").status_code == 404
        assert httpx.get(f"{sandbox.base_url}/numbers/_sandboxes").status_code != 500
        assert sandbox.stats()["requests"] == 1


def test_answers_are_dated_once_by_the_sandbox() -> None:
    with running_sandbox(INFO, students=1) as sandbox:
        assert len(httpx.get(f"{sandbox.base_url}/numbers").headers.get_list("date")) == 1
