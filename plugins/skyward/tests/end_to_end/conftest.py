"""A district of 120 students behind the sandbox of each product, and offices that are connected to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from office import Office
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

PRODUCTS = ("sms", "qmlativ", "oneroster")


@pytest.fixture(scope="session")
def districts() -> Iterator[dict[str, RunningSandbox]]:
    """The sandbox of each product."""
    info = discover().info("skyward")
    running = {product: running_sandbox(info, students=120, settings={"product": product}) for product in PRODUCTS}
    yield {product: sandbox.__enter__() for product, sandbox in running.items()}
    for sandbox in running.values():
        sandbox.__exit__(None, None, None)


@pytest.fixture
def office_of(districts: dict[str, RunningSandbox], tmp_path: Path) -> Iterator[Callable[[str], Office]]:
    """An office with an empty database, for a product's sandbox on day 0 and without faults; and so it is left."""
    unchanged = {product: dict(sandbox._app.sandbox.settings) for product, sandbox in districts.items()}
    yield lambda product: Office(districts[product], tmp_path / "roster.db")
    for product, sandbox in districts.items():
        sandbox.clear_faults()
        sandbox.set(**unchanged[product])
        if sandbox.district.day:
            sandbox.set_day(0)
