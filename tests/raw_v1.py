"""Reading `/ws/v1` by hand: raw HTTP, and what the rows of a page are."""

from __future__ import annotations

from typing import Any

import httpx

from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_powerschool.sandbox_rows import dcid

FACTORY = "sis_connect_powerschool.sandbox:create"
TOKEN = "/oauth/access_token"
EXPIRED = 'Bearer error="invalid_token",realm="PowerSchool",error_description="The access token has expired"'


def grant(client: httpx.Client, sandbox: RunningSandbox, path: str = TOKEN, secret: str | None = None) -> httpx.Response:
    identity = (sandbox.client_id, secret or sandbox.client_secret)
    return client.post(path, auth=identity, data={"grant_type": "client_credentials"})


def read(client: httpx.Client, path: str, **query: object) -> Any:
    answer = client.get(f"/ws/v1/{path}", params={key: str(value) for key, value in query.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()


def members(wrapper: Any) -> list[dict[str, Any]]:
    """The rows of a page, whatever their number made of them."""
    ((_, page),) = wrapper.items()
    found = [value for key, value in page.items() if not key.startswith("@")]
    if not found:
        return []
    return found[0] if isinstance(found[0], list) else [found[0]]


def whole(client: httpx.Client, path: str, **query: object) -> list[dict[str, Any]]:
    """All pages of a list, until an empty one."""
    rows: list[dict[str, Any]] = []
    page = 1
    while found := members(read(client, path, page=page, **query)):
        rows += found
        page += 1
    return rows


def count(client: httpx.Client, path: str, **query: object) -> int:
    number: int = read(client, f"{path}/count", **query)["resource"]["count"]
    return number


def student_id(sandbox: RunningSandbox, case: str, place: int = 0) -> int:
    return dcid("student", int(sandbox.district.hard_cases[case][place].removeprefix("student-")))


def school_id(sandbox: RunningSandbox, case: str) -> int:
    return dcid("school", int(sandbox.district.hard_cases[case][0].removeprefix("school-")))


def school_of(client: httpx.Client, level: str) -> int:
    number: int = next(s["id"] for s in whole(client, "district/school") if level in s["name"])
    return number


def one(client: httpx.Client, sandbox: RunningSandbox, case: str, expansions: str = "", place: int = 0) -> dict[str, Any]:
    row: dict[str, Any] = read(client, f"student/{student_id(sandbox, case, place)}", expansions=expansions)["student"]
    return row
