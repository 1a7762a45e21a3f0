"""Reading OneRoster by hand: raw HTTP, and what the rows of a page are."""

from __future__ import annotations

from typing import Any

import httpx

from sis_connect.testing.sandbox import RunningSandbox

FACTORY = "sis_connect_oneroster.sandbox:create"
CSV_FACTORY = "sis_connect_oneroster.sandbox_csv:create"
V11, V12 = "/ims/oneroster/v1p1", "/ims/oneroster/rostering/v1p2"
BASES = {"1.1": V11, "1.2": V12}
SCOPE = "https://purl.imsglobal.org/spec/or/v{}/scope/{}.readonly"


def scope(version: str, *names: str) -> str:
    """Scopes by their short names."""
    return " ".join(SCOPE.format(version.replace(".", "p"), name) for name in names)


def grant(client: httpx.Client, sandbox: RunningSandbox, *scopes: str) -> httpx.Response:
    identity = (sandbox.client_id, sandbox.client_secret)
    asked = {"scope": " ".join(scopes)} if scopes else {}
    return client.post("/token", auth=identity, data={"grant_type": "client_credentials", **asked})


def read(client: httpx.Client, path: str, **query: object) -> Any:
    """The content of the one member that an answer has."""
    answer = client.get(path, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    (content,) = answer.json().values()
    return content


def whole(client: httpx.Client, path: str, **query: object) -> list[dict[str, Any]]:
    """All rows of a list at once."""
    rows: list[dict[str, Any]] = read(client, path, limit=10_000, **query)
    return rows


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["sourcedId"] for row in rows]


def minor(answer: httpx.Response) -> str:
    """The minor code of an error in 1.2."""
    (field,) = answer.json()["imsx_CodeMinor"]["imsx_codeMinorField"]
    return str(field["imsx_codeMinorFieldValue"])
