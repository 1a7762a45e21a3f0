"""What the page about conflicts tells a reader to do works, and its settings are read as it says."""

from __future__ import annotations

import asyncio
import re
import shlex
from functools import reduce
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, blocks
from desk_service import service_of
from roster_fixture import open_desk, student, students
from sis_connect import hookspecs
from sis_connect.cli import application
from sis_connect.roster.conflict import STRATEGIES, check_policy
from sis_connect.settings import SISConfigManager

PAGE = ROOT / "docs" / "conflicts.md"


async def lincoln(folder: Path) -> dict[str, str]:
    """The page's district: the SIS and the app differ about five grades and a name. Returns what its placeholders stand for."""
    async with open_desk(folder) as desk:
        desk.settings = {"strategy": "manual"}
        feed = desk.sis.put("students", *students(9))
        await desk.sync()
        for number in range(5):
            await desk.edit(f"s{number:04d}", grade="07")
            feed[f"s{number:04d}"] = student(f"s{number:04d}", grade="06")
        await desk.edit("s0004", family_name="Voss")
        feed["s0004"] = student("s0004", grade="06", family_name="Wend")
        await desk.sync()
        service = await service_of(desk)
        pin = await service.pin("lincoln", "students", "s0008", actor="ada")
        question = (await service.conflicts("lincoln"))[0]
        # Any installed provider will do: none is asked for anything.
        await desk.run("UPDATE sis_integration SET provider = 'powerschool'")
    return {"QUESTION": question.id, "3f1c0a7be2d4": question.id, "PIN": pin.id, "STUDENT": "s0007"}


def test_the_page_about_conflicts_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIS_CONNECT_TODAY", "2026-11-23")
    monkeypatch.setenv("SIS_CONNECT_DATABASE_URL", f"sqlite:///{tmp_path / 'roster.db'}")
    replaced = asyncio.run(lincoln(tmp_path))
    (tmp_path / "sis-connect.db").symlink_to(tmp_path / "roster.db")
    said: dict[str, str] = {}
    for language, text in blocks(PAGE):
        here = reduce(lambda known, it: known.replace(*it), replaced.items(), text)
        if language == "console":
            for line in here.splitlines():
                with pytest.raises(SystemExit) as left:
                    application.run(shlex.split(line)[1:])
                said[line], error = capfd.readouterr()
                assert left.value.code == 0, f"{line}\n{error}"
        elif language == "python":
            exec(compile(here, str(PAGE), "exec"), {})  # noqa: S102 - what the page tells to run
            said[text] = capfd.readouterr().out
        elif language == "text":
            shown = [line.split() for line in said["sis-connect conflicts lincoln"].splitlines()]
            assert [line for line in here.splitlines()[1:] if line.split() not in shown] == []
    assert said["sis-connect conflicts lincoln"].startswith("6 questions:\n")
    assert "Nothing is pinned." not in said["sis-connect pins lincoln"]
    (answers,) = [out for text, out in said.items() if "service.resolve" in text]
    assert answers.splitlines()[0] == "s0004 family_name Vale Wend Voss None"
    assert answers.splitlines()[1].startswith("succeeded {'update': 1")
    (edits,) = [out for text, out in said.items() if "service.edits" in text]
    assert edits.splitlines()[-2:] == ["s0008 ids ada", "s0008 preferred_given_name ada"]


def test_the_settings_of_the_page_are_read_as_it_says(tmp_path: Path) -> None:
    (declared,) = [text for language, text in blocks(PAGE) if language == "toml"]
    (tmp_path / "sis-connect.toml").write_text(declared, encoding="utf-8")
    config = SISConfigManager({}).load(tmp_path / "sis-connect.toml")["lincoln"]
    check_policy(config.strategy, config.policies, STRATEGIES)
    assert config.policies["students.grade"].strategy == "manual"
    assert config.policies["students.ids.student_number"].owner == "sis"


def test_the_strategies_and_the_plugin_of_the_page_are_what_it_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(STRATEGIES)
    (plugin,) = [text for language, text in blocks(PAGE) if language == "python" and "hookimpl" in text]
    module: dict[str, object] = {}
    exec(compile(plugin, str(PAGE), "exec"), module)  # noqa: S102 - what the page tells to write
    assert hasattr(hookspecs, "sis_connect_strategies")
    assert list(module["sis_connect_strategies"]()) == ["higher_grade"]  # type: ignore[operator]
