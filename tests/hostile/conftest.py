"""Two plugins as an installer lays them down: one that does everything wrong, and its neighbour, whom nothing may happen to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sis_connect.discovery import Registry, discover

INSTALLED = Path(__file__).parent / "installed"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They can be imported, and are found."""
    monkeypatch.syspath_prepend(str(INSTALLED))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("aaa_squatter", "sis_connect_harbor")]:
        del sys.modules[name]


@pytest.fixture
def registry(installed: None, recwarn: pytest.WarningsRecorder) -> Registry:
    """What is found of them."""
    return discover()
