"""What the README and the tutorial tell a newcomer to do works, word for word."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, Reader, blocks
from sis_connect.testing.sandbox import RunningSandbox

README = ROOT / "README.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    it = Reader(tmp_path, dict(os.environ))
    yield it
    it.close()


def test_the_readmes_example_runs(reader: Reader, sandbox: RunningSandbox) -> None:
    reader.environment["SIS_CONNECT_TODAY"] = sandbox.date.isoformat()
    reader.environment["SIS_CONNECT_LINCOLN_RATE_LIMIT"] = "off"
    reader.replaced = {
        "https://sis.example.org": sandbox.base_url,
        "id from the district": sandbox.client_id,
        "secret from the district": sandbox.client_secret,
    }
    [example] = [text for language, text in blocks(README) if language == "python"]
    reader.run_python(example)
    printed = reader.outputs[example]
    assert re.search(r"'create': \d+", printed)
    assert "succeeded []" in printed


def test_the_readmes_example_is_short() -> None:
    [example] = [text for language, text in blocks(README) if language == "python"]
    assert len([line for line in example.splitlines() if line.strip()]) <= 20


def test_the_readme_gives_two_commands_that_need_nothing_but_python() -> None:
    console = "".join(text for language, text in blocks(README) if language == "console")
    ready = "python -m pip install uv && python -m uv run"
    assert [line for line in console.splitlines() if line.startswith("python")] == [
        f"{ready} sis-connect demo",
        f"{ready} pytest",
    ]


def test_the_readmes_commands_are_the_real_ones(reader: Reader, sandbox: RunningSandbox) -> None:
    reader.environment |= {"SIS_CONNECT_TODAY": sandbox.date.isoformat(), "SIS_CONNECT_LINCOLN_RATE_LIMIT": "off"}
    reader.replaced = {
        "https://sis.example.org": sandbox.base_url,
        "--client-id …": f"--client-id {sandbox.client_id}",
        "SECRET=…": f"SECRET={sandbox.client_secret}",
    }
    [commands] = [text for language, text in blocks(README) if language == "console" and "sis-connect add" in text]
    for line in commands.splitlines():
        reader.type(line)
    assert "done" in reader.outputs["sis-connect sync lincoln"]


def test_the_tutorial_can_be_followed(reader: Reader) -> None:
    reader.follow(ROOT / "docs" / "getting-started.md")
    assert (reader.folder / "students.csv").read_text(encoding="utf-8").count("\n") > 400
    assert "Nothing is held." not in reader.outputs["sis-connect holds"]
