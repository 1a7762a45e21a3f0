"""The plugin that the page about hooks shows is the one in these tests, and it works when the page is followed word by word."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, Reader
from sis_connect.discovery import discover
from sis_connect.hookspecs import HOOKS
from sis_connect.roster.conflict import Policy
from sis_connect.settings import SISProviderConfig
from sis_connect.strategies import NO_CLOCKS, Clash

PAGE = ROOT / "docs" / "hooks.md"
PLUGIN = ROOT / "tests" / "example_plugin"
TEXT = PAGE.read_text(encoding="utf-8")
FILE = re.compile(r"^`(sis_connect_office/\w+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader who has installed the plugin: it and its metadata are where Python looks."""
    it = Reader(tmp_path, dict(os.environ) | {"PYTHONPATH": str(PLUGIN)})
    yield it
    it.close()


def test_the_page_shows_the_plugin_as_it_is() -> None:
    shown = dict(FILE.findall(TEXT))
    there = {str(path.relative_to(PLUGIN)): path.read_text(encoding="utf-8") for path in PLUGIN.rglob("*.py")}
    assert shown == there


def test_the_page_names_every_hook_with_its_version() -> None:
    rows = dict(re.findall(r"^\| `(sis_connect_\w+)` \|.*\| (\d+) \|$", TEXT, re.MULTILINE))
    assert rows == {name: str(hook.version) for name, hook in HOOKS.items()}
    assert {"guards", "listeners", "target"} <= set(SISProviderConfig.model_fields)


def test_the_plugin_is_found_by_its_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))
    registry = discover()
    assert registry.refused == []
    assert "longer_wins" in registry.strategies
    parts = [*registry.guards, *registry.listeners, *registry.key_sources, *registry.targets]
    assert parts == ["office:no_crowd", "office:badges", "office:safe", "office:accounts"]


def test_the_strategy_of_the_page_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))
    policy = Policy("longer_wins", {}, discover().strategies)
    sides = [("Room 7", "Room 7, upstairs"), ("Room 7 B", "Room 7"), (None, "Room 7")]
    clashes = [Clash(field="room", base=None, sis=sis, local=local, clocks=NO_CLOCKS) for sis, local in sides]
    assert [policy.settle("longer_wins", clash) for clash in clashes] == ["local", "sis", "ask"]


def test_the_page_can_be_followed(reader: Reader) -> None:
    """From where the plugin's files have been shown: they are installed."""
    at = TEXT.index("## All of it at work")
    page = reader.folder / "page.md"
    page.write_text(TEXT[at:], encoding="utf-8")
    reader.follow(page)
    (held,) = [output for line, output in reader.outputs.items() if "service.holds" in line]
    assert "office:no_crowd holds" in held
    assert "20 new at once" in held
    assert not (reader.folder / "sis-connect.key").exists()
