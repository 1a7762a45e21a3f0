"""What the page about enrolment tells a reader to do works, word for word, and names every reason."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest

from acceptance.documentation import ROOT, blocks
from desk_service import service_of
from roster_fixture import Desk, DeskClock, FakeSIS, enrollment, open_desk, school, section, staff, stay, student
from sis_connect.cli import application
from sis_connect.roster.reasons import _LEFT
from sis_connect.roster.stints import Reason
from sis_connect.service import SISService
from sis_connect.store.sql import open_store

PAGE = ROOT / "docs" / "enrolment.md"


async def lincoln(folder: Path) -> None:
    """The page's district, synchronised: school A with section x, and school B."""
    at = {f"s{n}": "A" if n < 30 else "B" for n in range(60)}
    async with open_desk(folder) as desk:
        desk.sis.put("schools", school("A"), school("B"))
        desk.sis.put("students", *[student(name, school=where) for name, where in at.items()])
        desk.sis.put("staff", staff("t1", "t1", badge="1"))
        desk.sis.put("school_enrollments", *[stay(f"stay {name}", student=name, school=where) for name, where in at.items()])
        desk.sis.put("sections", section("x"))
        taught = enrollment("t1 in x", user="t1", role="teacher", primary=True, begin_date="2026-08-12")
        learning = [enrollment(f"{name} in x", user=name, begin_date="2026-08-12") for name in at]
        desk.sis.put("enrollments", *learning, taught)
        assert (await desk.sync()).status == "succeeded"
    (folder / "leavers.txt").write_text("# with the programme\ns3\n\ns4\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's district. Whatever opens a service there opens this one."""
    asyncio.run(lincoln(tmp_path))

    @asynccontextmanager
    async def opened(*arguments: Any, **options: Any) -> AsyncIterator[SISService]:
        async with open_store(f"sqlite:///{tmp_path / 'roster.db'}") as store:
            yield await service_of(Desk(store, FakeSIS(), DeskClock(), today=date(2026, 11, 23)))

    monkeypatch.setattr(SISService, "open", opened)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_about_enrolment_can_be_followed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown: dict[str, str] = {}
    for language, text in blocks(PAGE):
        if language == "python":
            exec(text, {"__name__": "__main__"})  # noqa: S102 - what the page tells to run
            shown[language] = capfd.readouterr().out
            continue
        for line in text.splitlines():
            command, _, code = line.partition("# exit code ")
            with pytest.raises(SystemExit) as left:
                application.run(shlex.split(command)[1:])
            shown[line], err = capfd.readouterr()
            assert (left.value.code or 0) == int(code or 0), f"{line}\n{err}"
    assert shown["sis-connect as-of lincoln 2026-10-04"].endswith("20 more: --format csv writes all.\n\n60 people.\n")
    (lead, *others) = json.loads(shown["sis-connect as-of lincoln 2026-10-04 --section x --json"])["items"][::-1]
    assert (lead["person"], lead["role"], lead["primary"], len(others)) == ("t1", "teacher", True, 60)
    with (folder / "october.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (len(rows), rows[0]["family_name"], rows[0]["begins"]) == (30, "Vale", "2026-08-12")
    assert "sis-connect apply " in shown["sis-connect withdraw lincoln --student s1 --student s2 --preview"]
    told = shown["python"].splitlines()
    assert told[-2:] == ["teacher t1 2026-08-12 None", "succeeded {}"]  # what a person proposed holds no sync up; s3 has left
    assert "student s1 2026-08-12 2026-11-20" in told


def test_every_reason_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {*get_args(Reason), *_LEFT.values(), "new", "absence", "no_show", "began", "ended", "role", "history"} == explained
