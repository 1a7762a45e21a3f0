"""Access by a fixed key in a header: what the sandbox demands, the provider brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest
from msgspec import Struct

from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.connection import connect
from sis_connect.discovery import Installed, Registry
from sis_connect.errors import AuthenticationError
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.records import Record, School
from sis_connect.rest_provider import Asked, Endpoint, RestProvider, build
from sis_connect.testing.sandbox import Listing, Pages, RestSandbox, RunningSandbox, running_sandbox
from sis_connect.transport.paging import PageNumberPaging


class SchoolRow(Struct):
    id: str
    name: str


def school(row: SchoolRow, asked: Asked) -> Iterator[Record]:
    yield build(School, sis_id=row.id, name=row.name)


class KeyedProvider(RestProvider):
    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = (
        Endpoint(
            name="schools",
            path="/schools",
            rows="data",
            total_at="total",
            paging=PageNumberPaging(size_param="per_page"),
            kinds=("schools",),
            row=SchoolRow,
            read=school,
        ),
    )


def row(school: School) -> dict[str, object]:
    return {"id": school.sis_id, "name": school.name}


class KeyedSandbox(RestSandbox):
    api_key_header = "X-Api-Key"
    api_key_prefix = "Key "
    paging = Pages()
    listings = (Listing("schools", path="/schools", row=row),)


INFO = ProviderInfo(
    name="keyed",
    label="Keyed SIS",
    provider=f"{__name__}:KeyedProvider",
    sandbox=f"{__name__}:KeyedSandbox",
    contract=CONTRACT,
    capabilities=Capabilities({"schools": KindCapabilities(offered=True)}),
    auth_grants=("api_key",),
    api_key_header="X-Api-Key",
    api_key_prefix="Key ",
)
REGISTRY = Registry({"keyed": Installed(INFO, "sis-connect-keyed", "1.0")})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(INFO, students=20) as running:
        yield running


async def schools(sandbox: RunningSandbox, key: str) -> list[School]:
    async with connect("keyed", registry=REGISTRY, base_url=sandbox.base_url, client_secret=key, rate_limit="off") as sis:
        return [found async for found in sis.schools()]


async def test_a_key_is_all_that_is_needed(sandbox: RunningSandbox) -> None:
    assert {found.sis_id for found in await schools(sandbox, sandbox.client_secret)} == {
        record["sis_id"] for record in sandbox.truth("schools")
    }


async def test_a_wrong_key_is_refused_in_words_that_say_key(sandbox: RunningSandbox) -> None:
    with pytest.raises(AuthenticationError, match="API key"):
        await schools(sandbox, "wrong")


def test_the_sandbox_takes_the_key_in_its_header_only(sandbox: RunningSandbox) -> None:
    for headers, status in (
        ({"X-Api-Key": f"Key {sandbox.client_secret}"}, 200),
        ({"X-Api-Key": sandbox.client_secret}, 401),
        ({"Authorization": f"Key {sandbox.client_secret}"}, 401),
        ({}, 401),
    ):
        assert httpx.get(f"{sandbox.base_url}/schools", headers=headers).status_code == status
