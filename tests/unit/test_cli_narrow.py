"""A sync of one school or one student never becomes one of the whole district by mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("command", ["plan", "sync"])
@pytest.mark.parametrize("option", ["--school", "--student"])
def test_a_blank_id_is_no_whole_district(command: str, option: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sis_connect", command, "lincoln", option, ""], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "This id is blank" in done.stderr
    assert not list(tmp_path.iterdir())
