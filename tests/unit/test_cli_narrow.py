"""A sync of one school or one student never becomes one of the whole district by mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import quick_start
from quick_start import Started


@pytest.mark.parametrize("command", ["plan", "sync"])
@pytest.mark.parametrize("option", ["--school", "--student"])
def test_a_blank_id_is_no_whole_district(command: str, option: str, tmp_path: Path) -> None:
    given = Started(quick_start.command, [command, "lincoln", option, ""], folder=tmp_path, environment=os.environ)
    _, err = given.communicate()
    assert given.returncode == 2
    assert "This id is blank" in err
    assert not list(tmp_path.iterdir())
