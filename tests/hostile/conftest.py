"""Two plugins as an installer lays them down: one that does everything wrong, and its neighbour, whom nothing may happen to."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
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


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lay down a distribution of one module that is called as it is. `metadata` is what it says of itself, if that is odd."""
    monkeypatch.syspath_prepend(str(tmp_path))
    laid_down: list[str] = []

    def lay_down(distribution: str, entry_point: str, source: str, *, metadata: str | None = "") -> None:
        module = distribution.replace("-", "_")
        laid_down.append(module)
        for other in [name for name in sys.modules if name.partition(".")[0] == module]:
            monkeypatch.delitem(sys.modules, other)  # of another test's plugin, which has the same name
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        information = tmp_path / f"{module}-1.0.dist-info"
        information.mkdir()
        if metadata is not None:
            told = metadata or f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
            (information / "METADATA").write_text(told, encoding="utf-8")
        points = f"[sis_connect.plugins]\n{entry_point} = {module}\n"
        (information / "entry_points.txt").write_text(points, encoding="utf-8")
        importlib.invalidate_caches()

    yield lay_down
    for module in laid_down:
        sys.modules.pop(module, None)
