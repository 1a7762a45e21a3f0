"""What the page about integrity tells a reader to do works, and shows what stands there."""

from __future__ import annotations

import asyncio
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from acceptance.documentation import ROOT, blocks
from roster_fixture import bad, enrollment, open_desk, section, staff, stay, student, students
from sis_connect.cli import application
from sis_connect.cli.reports import describe
from sis_connect.roster.checks import CHECKS

PAGE = ROOT / "docs" / "integrity.md"


async def lincoln(folder: Path) -> dict[str, Any]:
    """The page's district, synchronised. Returns the report."""
    async with open_desk(folder) as desk:
        number = {"ids": {"student_number": "7"}}
        desk.sis.put("staff", staff("t1", "t1", badge="1"))
        desk.sis.put("students", student("s1", **number), student("s2", **number), *students(30), bad("dcid=5"))
        everybody = ["s1", "s2", *[f"s{n:04d}" for n in range(30)]]
        desk.sis.put("school_enrollments", *[stay(f"stay-{one}", student=one) for one in everybody], stay("lost", school="33"))
        desk.sis.put("sections", section("x"), section("y"))
        at_x = [enrollment(f"x-{one}", user=one, section="x") for one in everybody]
        desk.sis.put("enrollments", *at_x, enrollment("t", user="t1", section="x", role="teacher"))
        report = await desk.sync()
        await desk.run("UPDATE sis_quarantine SET since = :since", since=datetime(2026, 11, 23, 7, tzinfo=UTC).isoformat())
        # Any installed provider will do: none is asked for anything.
        await desk.run("UPDATE sis_integration SET provider = 'powerschool'")
        await desk.run("""UPDATE sis_integration SET settings = '{"base_url": "https://sis.example.org"}'""")
        return report.as_dict()


def typed(line: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Give one command, in this process."""
    program, *arguments = shlex.split(line)
    assert program == "sis-connect"
    with pytest.raises(SystemExit) as left:
        application.run(arguments)
    out, err = capfd.readouterr()
    assert left.value.code == 0, err
    return out


def test_the_page_about_integrity_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIS_CONNECT_DATABASE_URL", f"sqlite:///{tmp_path / 'roster.db'}")
    monkeypatch.setenv("SIS_CONNECT_TODAY", "2026-11-23")
    shown = describe(asyncio.run(lincoln(tmp_path)))
    for language, text in blocks(PAGE):
        if language == "text":
            assert text.strip() in shown
        elif language == "console":
            shown = "\n".join(typed(line, capfd) for line in text.splitlines())
        elif language == "python":
            exec(compile(text, str(PAGE), "exec"), {})  # noqa: S102 - what the page tells to run
            assert capfd.readouterr().out == "sections_without_teacher sections y A This active section has no teacher.\n"
    assert len((tmp_path / "mend.csv").read_text().splitlines()) == 4
    assert len((tmp_path / "numbers.jsonl").read_text().splitlines()) == 2


def test_every_check_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == list(CHECKS)
