"""What the page about the calendar tells a reader to do works, word for word, at the change of a school year."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, blocks
from office import Office
from sis_connect.cli import application
from sis_connect.discovery import discover
from sis_connect.roster.guard import Limit
from sis_connect.roster.profiles import PROFILES
from sis_connect.settings import SISConfigManager
from sis_connect.testing.sandbox import running_sandbox

PAGE = ROOT / "docs" / "calendar.md"


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    """An empty folder, to work in, and the database that the page's examples use."""
    monkeypatch.chdir(tmp_path)
    return Office(None, tmp_path / "sis-connect.db")  # type: ignore[arg-type]


def test_the_page_about_the_calendar_can_be_followed(
    office: Office, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox(discover().info("powerschool"), students=30) as office.sandbox:
        office.sandbox.set_day(192)
        asyncio.run(office.connect())
        asyncio.run(office.sync())
        office.sandbox.set_day(195)
        monkeypatch.setenv("SIS_CONNECT_TODAY", office.sandbox.date.isoformat())
        said: dict[str, str] = {}
        for language, text in [(language, text) for language, text in blocks(PAGE) if language in ("console", "python")]:
            for command in text.splitlines() if language == "console" else ["python"]:
                if language == "python":
                    exec(text, {})  # noqa: S102 - what the page tells to run
                else:
                    with pytest.raises(SystemExit) as left:
                        application.run(command.split()[1:])
                    assert left.value.code in (0, None), command
                said[command] = capfd.readouterr().out
    assert "lies between two school years" in said["sis-connect calendar lincoln"]
    assert json.loads(said["sis-connect calendar lincoln --json"])["current"] == 2027
    assert "rollover" in said["sis-connect rollover lincoln --preview"]
    assert said["sis-connect holds lincoln"] == "Nothing is held.\n"
    assert said["python"].startswith("2026-27 True normal\n")


def test_the_settings_of_the_page_are_read_as_it_says(tmp_path: Path) -> None:
    declared = tmp_path / "sis-connect.toml"
    tables = [text for language, text in blocks(PAGE) if language == "toml"]
    plain = '[lincoln]\nprovider = "acme"\nbase_url = "https://sis.example.org"\n'
    declared.write_text(plain + tables[1].partition("\n")[2] + tables[0])
    config = SISConfigManager({}).load(declared)["lincoln"]
    assert [(one.profile, str(one), one.limits()) for one in config.guard_profiles] == [
        ("rollover", "2027-06-05/2027-08-10", {}),
        ("back_to_school", "2027-08-11/2027-09-15", {"withdrawals": "30% or 800"}),
    ]
    assert [str(pause) for pause in config.pauses] == ["2027-06-05/2027-08-10"]
    [short] = re.findall(r"`guard_profiles=(\S+)`", PAGE.read_text(encoding="utf-8"))
    assert [
        one.profile
        for one in SISConfigManager({})
        .resolve("x", {"provider": "x", "base_url": "https://sis.example.org", "guard_profiles": short})
        .guard_profiles
    ] == ["rollover", "back_to_school"]


def test_the_table_of_the_page_has_the_limits_of_the_profiles() -> None:
    rows = re.findall(r"^\| `(\w+)`([^|]*)\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    found = {(name, bool("terms" in note)): limits for name, note, *limits in rows}
    assert len(found) == 9
    for (name, yearly), limits in found.items():
        for profile, shown in zip(PROFILES.values(), limits, strict=True):
            limit = profile.yearly_creates or profile.creates if yearly else getattr(profile, name)
            assert (str(limit) if limit != Limit() else "none") == shown, (name, profile.name)
