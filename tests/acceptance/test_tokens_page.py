"""What the page about tokens tells a reader to do works, word for word."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from acceptance.documentation import ROOT, Reader, blocks
from oauth_server import oauth_server
from sis_connect.tokens.health import Condition
from token_office import TokenOffice, by_a_person

PAGE = ROOT / "docs" / "tokens.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    it = Reader(tmp_path, dict(os.environ))
    yield it
    it.close()


def test_the_page_about_tokens_can_be_followed(reader: Reader) -> None:
    reader.follow(PAGE)
    shown = reader.outputs["sis-connect tokens status"]
    assert shown.splitlines()[0].split() == PAGE.read_text(encoding="utf-8").split("```text\n")[1].splitlines()[0].split()
    assert "Any former key may be removed." in reader.outputs["sis-connect tokens rotate --key --new"]
    assert any("lincoln renewed None" in output for output in reader.outputs.values())


async def test_an_app_that_copies_the_two_functions_is_given_access(tmp_path: Path) -> None:
    [example] = [text for language, text in blocks(PAGE) if language == "python" and "def begin(" in text]
    functions: dict[str, Any] = {}
    exec(example, functions)  # noqa: S102 - what the page tells to copy
    with oauth_server() as server:
        async with TokenOffice(tmp_path).open() as service:
            await service.create_integration("lincoln", by_a_person(server))
            address = await functions["begin"](service, "a session")
            assert await functions["finish"](service, server.visit(address), "a session") == "lincoln"
            assert [health.state for health in await service.tokens()] == ["active"]


def test_every_state_and_every_entry_of_the_audit_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for state in get_args(Condition):
        assert f"| `{state}` |" in text
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    recorded = set(re.findall(r'"((?:token|authorization|integration|key)\.[a-z_]+)"', sources))
    assert len(recorded) > 10
    assert [action for action in sorted(recorded) if f"`{action}`" not in text] == []
