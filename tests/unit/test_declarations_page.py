"""The page about declarations says of every field what is so."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from sis_connect.capabilities import DeltaKind, KindCapabilities, Leaving
from sis_connect.endpoint import Reach
from sis_connect.errors import AuthorizationError
from sis_connect.oauth.client import ClientAuthentication, TokenMethod
from sis_connect.provider import GrantInfo, ProviderInfo
from sis_connect.rest_provider import Asked, ChangesSince, Endpoint, RestProvider, Selection
from sis_connect.settings import GrantName
from sis_connect.transport.answers import Response
from sis_connect.transport.paging import PageNumberPaging

PAGE = (Path(__file__).parents[2] / "docs" / "declarations.md").read_text(encoding="utf-8")
DECLARED: list[Any] = [ProviderInfo, KindCapabilities, Endpoint, Asked, ChangesSince, Selection]
#: Words of which one, or some, belong into a field.
WORDS: dict[tuple[type, str], Any] = {
    (ProviderInfo, "auth_grants"): GrantName,
    (ProviderInfo, "client_authentication"): ClientAuthentication,
    (ProviderInfo, "token_method"): TokenMethod,
    (KindCapabilities, "leaving"): Leaving,
    (KindCapabilities, "delta"): DeltaKind,
    (Endpoint, "only"): Reach,
}
#: What a provider inherits and leaves alone.
KEPT = {"pages", "in_parts", "narrowed", "check", "version"}


def section(heading: str) -> str:
    return re.split(r"^## ", PAGE.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of all tables below a heading, without those of their own headings."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def default_of(field: Field[Any]) -> Any:
    """What a field is where nothing is said; of a function, what it gives."""
    if field.default is MISSING and field.default_factory is MISSING:
        return MISSING
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return default(None) if callable(default) and not isinstance(default, type) else default


def told(default: str) -> Any:
    if default == "required":
        return MISSING
    known: Mapping[str, Any] = {"timedelta": timedelta, "PageNumberPaging": PageNumberPaging}
    return eval(default.strip("`"), dict(known))  # noqa: S307 - our own page


@pytest.mark.parametrize("declared", DECLARED, ids=lambda declared: str(declared.__name__))
def test_every_field_has_a_row_with_its_default_and_no_row_is_without_a_field(declared: Any) -> None:
    table = {name.strip("`"): default for name, _, default, _ in rows(declared.__name__)}
    assert list(table) == [field.name for field in fields(declared)]
    assert {name: told(default) for name, default in table.items()} == {f.name: default_of(f) for f in fields(declared)}


@pytest.mark.parametrize(("declared", "name"), WORDS, ids=lambda part: str(getattr(part, "__name__", part)))
def test_every_word_that_a_field_may_say_is_told(declared: type, name: str) -> None:
    row = " ".join(next(cells for cells in rows(declared.__name__) if cells[0] == f"`{name}`"))
    assert [word for word in get_args(WORDS[declared, name]) if f"`{word}`" not in row and f'`"{word}"`' not in row] == []


def test_what_a_single_grant_may_have_otherwise_is_told() -> None:
    row = next(cells[3] for cells in rows("ProviderInfo") if cells[0] == "`by_grant`")
    assert re.findall(r"`(\w+)`", row) == [field.name for field in fields(GrantInfo)]


def signature(name: str) -> str:
    """A method as the page writes it: without `self`, and without the types of rows."""
    member = inspect.getattr_static(RestProvider, name)
    function: Any = member.fget if isinstance(member, property) else member
    shape = str(inspect.signature(function)).replace("(self, ", "(").replace("(self)", "()").replace("'", "")
    shape = shape.removeprefix("()") if isinstance(member, property) else shape
    return ("async " if inspect.iscoroutinefunction(function) else "") + name + re.sub(r"\[(Any|Row)\]", "", shape)


def test_every_method_of_a_provider_is_told_with_its_types() -> None:
    table = [cells[0].strip("`") for cells in rows("RestProvider")]
    public = [name for name in vars(RestProvider) if not name.startswith("_")]
    methods = {name for name in public if callable(member := vars(RestProvider)[name]) or isinstance(member, property)}
    assert sorted(table) == sorted(signature(name) for name in methods - KEPT)
    assert {"endpoints", "mapping_version", "probe"} == set(public) - methods


class OneAnswer:
    """A transport that always brings the same answer."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def get_json(self, path: str, **_: object) -> Response:
        return Response(200, {}, self.body)


def test_the_example_of_ask_tells_a_refusal_apart() -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "<example>", "exec"), names)  # noqa: S102 - the documentation's own
    endpoint = Endpoint(name="seats", path="/seats", rows="", kinds=("enrollments",), row=dict, read=lambda row, asked: ())

    def answer(body: bytes) -> Response:
        provider = object.__new__(names["HarborProvider"])
        provider.transport = OneAnswer(body)
        response: Response = asyncio.run(provider.ask(endpoint, Asked({}, {}), {}))
        return response

    assert answer(b"[]").body == b"[]"
    with pytest.raises(AuthorizationError, match="the list seats"):
        answer(b'{"denied": "seats"}')
