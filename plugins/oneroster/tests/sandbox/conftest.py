"""One sandbox for the tests of a file, and a client that has signed in."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from raw_oneroster import BASES, FACTORY, grant
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox


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
    with httpx.Client(base_url=sandbox.base_url.removesuffix(BASES["1.2"]), timeout=10) as client:
        yield client


@pytest.fixture
def client(sandbox: RunningSandbox, anonymous: httpx.Client) -> httpx.Client:
    """A client that may read everything."""
    anonymous.headers["Authorization"] = f"Bearer {grant(anonymous, sandbox).json()['access_token']}"
    return anonymous
