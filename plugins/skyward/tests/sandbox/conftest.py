"""A sandbox of each product for raw HTTP, and clients that have signed in."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

FACTORY = "sis_connect_skyward.sandbox:create"


def as_it_was(sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    """On day 0, without faults, with its settings; and so it is left."""
    settings = dict(sandbox._app.sandbox.settings)
    yield sandbox
    sandbox.clear_faults()
    sandbox.set(**settings)
    if sandbox.district.day:
        sandbox.set_day(0)


@pytest.fixture(scope="module")
def sms_shared() -> Iterator[RunningSandbox]:
    with running_sandbox(FACTORY, students=120, settings={"product": "sms"}) as sandbox:
        yield sandbox


@pytest.fixture
def sms(sms_shared: RunningSandbox) -> Iterator[RunningSandbox]:
    yield from as_it_was(sms_shared)


@pytest.fixture
def sms_client(sms: RunningSandbox) -> Iterator[httpx.Client]:
    """A client of SMS 2.0 that has signed in."""
    with httpx.Client(base_url=sms.base_url, timeout=10) as client:
        form = {"grant_type": "password", "username": sms.client_id, "password": sms.client_secret}
        client.headers["Authorization"] = f"Bearer {client.post('/token', data=form).json()['access_token']}"
        yield client


@pytest.fixture(scope="module")
def qmlativ_shared() -> Iterator[RunningSandbox]:
    with running_sandbox(FACTORY, students=120, settings={"product": "qmlativ"}) as sandbox:
        yield sandbox


@pytest.fixture
def qmlativ(qmlativ_shared: RunningSandbox) -> Iterator[RunningSandbox]:
    yield from as_it_was(qmlativ_shared)


@pytest.fixture
def qmlativ_client(qmlativ: RunningSandbox) -> Iterator[httpx.Client]:
    """A client of Qmlativ that has signed in."""
    with httpx.Client(base_url=qmlativ.base_url, timeout=10) as client:
        form = {"grant_type": "client_credentials", "client_id": qmlativ.client_id, "client_secret": qmlativ.client_secret}
        client.headers["Authorization"] = f"Bearer {client.post('/oauth/token', data=form).json()['access_token']}"
        yield client
