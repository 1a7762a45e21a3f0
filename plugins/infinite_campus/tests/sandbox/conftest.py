"""One sandbox for the tests of these files, and clients that have signed in at each of its versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

FACTORY = "sis_connect_infinite_campus.sandbox:create"
BASE_12 = "/campus/api/oneroster/v1p2/anytown/ims/oneroster/rostering/v1p2"
BASE_11 = "/campus/oneroster/anytown/ims/oneroster/v1p1"
Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with running_sandbox(FACTORY, students=200) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: RunningSandbox) -> Iterator[RunningSandbox]:
    """A sandbox without faults, with its default settings, on day 0."""
    settings = dict(shared._app.sandbox.settings)
    yield shared
    shared.clear_faults()
    shared.set(**settings)
    if shared.district.day:
        shared.set_day(0)


@pytest.fixture
def anonymous(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox._thread.server.base_url, timeout=10) as client:
        yield client


@pytest.fixture
def client(sandbox: RunningSandbox, anonymous: httpx.Client) -> httpx.Client:
    """A client that has signed in."""
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    token = anonymous.post("/campus/oauth2/token?appName=anytown", data=form).json()["access_token"]
    anonymous.headers["Authorization"] = f"Bearer {token}"
    return anonymous


@pytest.fixture
def newer(client: httpx.Client) -> Rows:
    """The rows of a list of version 1.2."""
    return lambda path, **params: _rows(client, f"{BASE_12}/{path}", params)


@pytest.fixture
def older(client: httpx.Client) -> Rows:
    """The rows of a list of version 1.1."""
    return lambda path, **params: _rows(client, f"{BASE_11}/{path}", params)


def _rows(client: httpx.Client, path: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.get(path, params={"limit": 50_000, **params})
    assert answer.status_code == 200, answer.text
    (rows,) = answer.json().values()
    found: list[dict[str, Any]] = rows
    return found
