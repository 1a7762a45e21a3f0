"""What the page about real time tells a reader to do works, word for word, and all that it names is there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.documentation import ROOT, Reader, blocks
from sis_connect.cli import serving
from sis_connect.discovery import discover
from sis_connect.roster.report import SyncReport
from sis_connect.service import SISService
from sis_connect.testing.sandbox import running_sandbox
from sis_connect.web import payload
from telling_sis import SECRET, hearing_office

PAGE = ROOT / "docs" / "real-time.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    it = Reader(tmp_path, dict(os.environ))
    yield it
    it.close()


def blocks_in(language: str) -> list[str]:
    return [text for found, text in blocks(PAGE) if found == language]


def test_the_page_can_be_followed(reader: Reader) -> None:
    reader.follow(PAGE)
    [printed] = [output for output in reader.outputs.values() if output.startswith("succeeded")]
    assert f"prints `{printed.strip()}`" in PAGE.read_text(encoding="utf-8")


async def test_an_app_that_copies_the_mount_hears_of_changes(tmp_path: Path) -> None:
    import httpx

    [example] = [text for text in blocks_in("python") if "def app_with_hooks" in text]
    functions: dict[str, Any] = {}
    exec(example, functions)  # noqa: S102 - what the page tells to copy
    async with hearing_office(tmp_path) as office:
        app = functions["app_with_hooks"](office.service)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
        ):
            office.sis.rename(3, "Grace Hopper")
            told = {"kind": "students", "id": "3"}
            assert (await client.post(f"/sis/hooks/lincoln/{SECRET}", json=told)).status_code == 200
            await office.until_named("3", "Grace Hopper")
            await office.until_followed()


def test_the_sandbox_understands_the_changes_that_the_page_shows() -> None:
    import httpx

    changes = [found for text in blocks_in("bash") for found in re.findall(r"POST http://[^/]+(\S+) -d '(.+)'", text)]
    with running_sandbox(discover().info("powerschool"), students=100) as sandbox:
        answers = [httpx.post(f"{sandbox.base_url}{path}", content=body) for path, body in changes]
        assert [answer.status_code for answer in answers] == [200, 200]


def test_every_form_that_the_page_shows_is_understood() -> None:
    [forms] = blocks_in("json")
    assert [len(payload.hints({}, line.encode())) for line in forms.splitlines()] == [1, 2, 1]


def test_the_lines_of_a_watch_are_as_the_page_shows_them() -> None:
    [shown] = blocks_in("text")
    report = SyncReport(operation="", integration="lincoln", requests=5, seconds=1.2, changes={"students": {"update": 3}})
    assert re.sub(r"^[\d:]{8} ", "", shown.splitlines()[0]) == serving.line_of(report.as_dict())


def test_every_method_that_the_page_names_is_there() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)\(", " ".join(rows))
    assert len(named) == 8
    assert [name for name in named if not hasattr(SISService, name)] == []
