"""The OneRoster 1.2 sandbox's answers against the official description of the interface, which is not ours to ship.

Its name keeps it out of the usual run. On a machine that has the official OpenAPI files:

    ONEROSTER_OPENAPI=the/folder python -m uv run pytest tests/foreign/check_oneroster_openapi.py
"""

from __future__ import annotations

import json
import os
import re
import unittest
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

FILE = "onerosterv1p2rostersservice_openapi3_v1p0.json"
FACTORY = "sis_connect_oneroster.sandbox:create"
#: How many objects of each collection are also read alone and looked below.
SAMPLE = 12
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_FORMATS: Mapping[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "date-time": lambda text: datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z"),
    "uri": lambda text: None if urlsplit(text).scheme else int("no scheme"),
}


class Description:
    """The official description: which schema an answer has, and what is wrong with a value under a schema."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self.paths: Mapping[str, Any] = document["paths"]

    def schema(self, path: str, status: int) -> Any:
        responses = self.paths[path]["get"]["responses"]
        return responses.get(str(status), responses["default"])["content"]["application/json"]["schema"]

    def flaws(self, value: Any, schema: Any, place: str = "$") -> Iterator[str]:
        """Everything that is not as the schema has it, with its place."""
        if "$ref" in schema:
            target = self._document
            for name in schema["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            schema = target
        if "anyOf" in schema and all(any(self.flaws(value, each, place)) for each in schema["anyOf"]):
            yield f"{place} is none of what it may be"
        kind = schema.get("type")
        if kind and (not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
            yield f"{place} is no {kind}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{place} is not of its vocabulary"
        if isinstance(value, str):
            yield from _text_flaws(value, schema, place)
        if isinstance(value, list):
            if len(value) < schema.get("minItems", 0):
                yield f"{place} has too few items"
            for index, item in enumerate(value):
                yield from self.flaws(item, schema.get("items", {}), f"{place}[{index}]")
        if isinstance(value, dict):
            yield from self._members(value, schema, place)

    def _members(self, value: Mapping[str, Any], schema: Any, place: str) -> Iterator[str]:
        known = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{place}.{name} is missing"
        for name, member in value.items():
            if name in known:
                yield from self.flaws(member, known[name], f"{place}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{place}.{name} is not in the schema"


def _text_flaws(value: str, schema: Any, place: str) -> Iterator[str]:
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{place} does not have its pattern"
    try:
        _FORMATS.get(schema.get("format", ""), str)(value)
    except ValueError:
        yield f"{place} is no {schema['format']}"


@pytest.fixture(scope="session")
def description() -> Description:
    folder = os.environ.get("ONEROSTER_OPENAPI")
    if not folder:
        raise unittest.SkipTest("ONEROSTER_OPENAPI does not name the folder of the official files.")
    return Description(json.loads(Path(folder, FILE).read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(FACTORY, students=300, settings={"semesters": "in_terms"}) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        identity = (sandbox.client_id, sandbox.client_secret)
        token = client.post(sandbox.token_url, auth=identity, data={"grant_type": "client_credentials"}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def names(path: str) -> list[str]:
    """The collections on a path, outermost first."""
    return [part for part in path.strip("/").split("/") if not part.startswith("{")]


def concrete(path: str, client: httpx.Client, base: str) -> list[str]:
    """The path with real sourcedIds in it."""
    if "{" not in path:
        return [path]
    parent = names(path)[0]
    (rows,) = client.get(f"{base}/{parent}", params={"limit": 10_000}).json().values()
    first = [row["sourcedId"] for row in rows[:SAMPLE]]
    if path.count("{") == 1:
        return [re.sub(r"\{\w+\}", sourced_id, path) for sourced_id in first]
    filled = []
    for school in first:
        (classes,) = client.get(f"{base}/schools/{school}/classes", params={"limit": 2}).json().values()
        filled += [re.sub(r"\{\w+\}", row["sourcedId"], path.replace("{schoolSourcedId}", school)) for row in classes]
    return filled


@pytest.mark.parametrize("day", [0, 60, 205])
def test_every_path_answers_as_it_is_described(
    description: Description, sandbox: RunningSandbox, client: httpx.Client, day: int
) -> None:
    sandbox.set_day(day)
    assert len(description.paths) == 41
    for path in description.paths:
        some = 0
        for filled in concrete(path, client, sandbox.base_url):
            answer = client.get(sandbox.base_url + filled, params={} if path.endswith("}") else {"limit": 10_000})
            assert answer.status_code == 200, (filled, answer.text)
            assert list(description.flaws(answer.json(), description.schema(path, 200)))[:3] == [], filled
            (content,) = answer.json().values()
            some += 1 if isinstance(content, dict) else len(content)
        assert some, f"{path} is always empty"


def test_errors_are_as_they_are_described(description: Description, sandbox: RunningSandbox, client: httpx.Client) -> None:
    for path, status in {
        "/students?filter=shoeSize%3D'7'": 400,
        "/students?fields=shoeSize": 400,
        "/students?limit=0": 400,
        "/students/nobody": 404,
    }.items():
        answer = client.get(sandbox.base_url + path)
        assert answer.status_code == status, path
        assert list(description.flaws(answer.json(), description.schema("/students", status))) == []
    unknown = httpx.get(f"{sandbox.base_url}/students")
    assert unknown.status_code == 401
    assert list(description.flaws(unknown.json(), description.schema("/students", 401))) == []


def test_references_lead_somewhere(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_day(60)
    seen: dict[str, str] = {}

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if value.keys() == {"href", "sourcedId", "type"}:
                seen[value["href"]] = value["sourcedId"]
            for member in value.values():
                collect(member)
        elif isinstance(value, list):
            for item in value:
                collect(item)

    for name in ("orgs", "academicSessions", "courses", "classes", "users", "enrollments"):
        collect(client.get(f"{sandbox.base_url}/{name}", params={"limit": 10_000}).json())
    assert len(seen) > 500
    for href, sourced_id in seen.items():
        (found,) = client.get(href).json().values()
        assert found["sourcedId"] == sourced_id


@pytest.mark.parametrize("settings", [{"booleans": "json"}, {"nulls": "sent"}, {"dates": "datetime"}, {"roles": "upper"}])
def test_what_departs_from_the_description_is_found(
    description: Description, sandbox: RunningSandbox, client: httpx.Client, settings: dict[str, str]
) -> None:
    usual = {name: sandbox._app.sandbox.settings[name] for name in settings}
    sandbox.set(**settings)
    try:
        answer = client.get(f"{sandbox.base_url}/users", params={"limit": 50}).json()
    finally:
        sandbox.set(**usual)
    assert list(description.flaws(answer, description.schema("/users", 200)))
