"""What the pages about single providers tell an operator to type works, against a server that behaves like the vendor's."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.conftest import CommandLine
from acceptance.documentation import ROOT, Reader, blocks
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

DOCS = ROOT / "docs"
#: Page, provider, and what the sandbox must be told to be the SIS that the page's first example is about.
PAGES = [
    ("powerschool.md", "powerschool", {}),
    ("infinite-campus.md", "infinite_campus", {}),
    ("skyward.md", "skyward", {"product": "qmlativ"}),
    ("oneroster.md", "oneroster", {"version": "1.1"}),
]


def commands(page: str) -> Iterator[list[str]]:
    """The commands of a page's examples, word by word."""
    for language, text in blocks(DOCS / page):
        if language == "bash":
            for line in text.replace("\\\n", " ").splitlines():
                yield shlex.split(line, comments=True)


def at_the_sandbox(words: list[str], sandbox: RunningSandbox, secret: Path) -> list[str]:
    """The command with the addresses and credentials of a sandbox in the place of the page's."""
    here = {
        "--base-url": sandbox.base_url,
        "--token-url": sandbox.token_url,
        "--client-id": sandbox.client_id,
        "--client-secret-file": str(secret),
    }
    return [here.get(before, word) for before, word in zip(["", *words], words, strict=False)]


@pytest.mark.parametrize(("page", "provider", "serving"), PAGES, ids=[page for page, _, _ in PAGES])
def test_a_district_is_connected_as_the_page_says(
    page: str, provider: str, serving: dict[str, str], sis_connect: CommandLine
) -> None:
    example = next(words for words in commands(page) if words[:2] == ["sis-connect", "add"])
    assert ["--provider", provider] == example[3:5]
    secret = sis_connect.folder / "secret"
    with running_sandbox(discover().info(provider), students=60, settings=serving) as sandbox:
        secret.write_text(sandbox.client_secret)
        sis_connect.environment |= {"SIS_CONNECT_TODAY": sandbox.date.isoformat(), "SIS_CONNECT_LINCOLN_RATE_LIMIT": "off"}
        added = sis_connect(*at_the_sandbox(example[1:], sandbox, secret))
        assert added.code == 0, added.err
        looked_at = sis_connect("doctor", "lincoln")
        assert looked_at.code == 0, looked_at.out
        report = sis_connect("sync", "lincoln", "--json").document
        assert report["status"] == "succeeded", report
        assert report["records"]["students"] == len(sandbox.truth("students"))


def test_the_blocks_of_the_oneroster_page_can_be_followed(tmp_path: Path) -> None:
    reader = Reader(tmp_path, dict(os.environ))
    try:
        reader.follow(DOCS / "oneroster.md")
    finally:
        reader.close()
    for name in ("district", "export"):
        assert reader.outputs[f"sis-connect sync {name}"].startswith(f"{name}: done")


def test_the_package_for_a_powerschool_is_written_as_the_page_says(tmp_path: Path) -> None:
    tool = [words for words in commands("powerschool.md") if words[0] == "sis-connect-powerschool"]
    assert len(tool) == 2
    for words in tool:
        done = subprocess.run(
            [Path(sys.executable).with_name(words[0]), *words[1:]], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    assert (tmp_path / "sis-connect.zip").read_bytes().startswith(b"PK")
