"""What the pages about events, undo and explain tell a reader to do works, word for word."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, Reader, blocks
from office import STUDENTS_ONLY, Office
from quick_start import Program
from sis_connect.capabilities import KINDS
from sis_connect.cli import application
from sis_connect.cli.history import ACTIONS
from sis_connect.discovery import discover
from sis_connect.events import event_name
from sis_connect.roster.undo import INVERSE
from sis_connect.testing.sandbox import running_sandbox

EVENTS, HISTORY = ROOT / "docs" / "events.md", ROOT / "docs" / "undo-and-explain.md"


class ReaderHere(Reader):
    """Follows a page in this process: nothing on it needs one of its own."""

    def run(self, program: Program, arguments: Sequence[str], line: str, expected: int = 0) -> None:
        code: object = 0
        with pytest.MonkeyPatch.context() as patched, redirect_stdout(StringIO()) as out:
            patched.chdir(self.folder)
            patched.setattr(sys, "argv", [])
            for name, value in self.environment.items():
                patched.setenv(name, value)
            try:
                program(list(arguments))
            except SystemExit as left:
                code = left.code
        self.outputs[line] = out.getvalue()
        assert (code or 0) == expected, f"{line}\n{self.outputs[line]}"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody who has synchronised a district twice, in the second week the last time."""

    async def work() -> dict[str, str]:
        office = Office(sandbox, tmp_path / "sis-connect.db", today=sandbox.date)
        await office.connect()
        await office.sync(kinds=STUDENTS_ONLY)
        sandbox.set_day(10)
        operation = (await office.sync(kinds=STUDENTS_ONLY)).operation
        return {"OPERATION": operation, "STUDENT": min(await office.roster("students")), "SECTION": "1"}

    with running_sandbox(discover().info("powerschool"), students=40) as sandbox:
        replaced = asyncio.run(work())
        today = sandbox.date.isoformat()
    it = ReaderHere(tmp_path, {"SIS_CONNECT_TODAY": today}, replaced)
    yield it
    it.close()


def test_the_pages_about_events_and_about_undo_can_be_followed(reader: Reader) -> None:
    reader.follow(EVENTS)
    told = [output for block, output in reader.outputs.items() if "async for event in service.events" in block]
    assert "school.created" in told[0]
    badges = [output for block, output in reader.outputs.items() if "def badges" in block]
    assert badges[0].splitlines()[-1].endswith(" events")
    reader.follow(HISTORY)
    assert "lincoln" in reader.outputs["sis-connect undo OPERATION --preview"]
    explained = reader.outputs["sis-connect explain lincoln --student STUDENT"]
    assert explained.startswith(f"The student {reader.replaced['STUDENT']} is on the roster.")


def test_every_event_and_every_action_is_named() -> None:
    text = EVENTS.read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{event_name(kind, 'create').partition('.')[0]}" not in text] == []
    text = HISTORY.read_text(encoding="utf-8")
    assert list(INVERSE) == list(ACTIONS)
    assert all(f"`{action}`" in text for action in ACTIONS)


def test_what_cannot_be_undone_is_a_usage_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        application.run(["undo", "1f0c92ab", "--action", "conflict"])
    assert left.value.code == 2
    assert "'conflict' cannot be undone; there are create, update, withdraw, reenroll." in capfd.readouterr().err


def test_the_sentences_of_the_page_are_those_of_the_program() -> None:
    [shown] = [text for language, text in blocks(HISTORY) if language == "text"]
    sentences = (ROOT / "src" / "sis_connect" / "roster" / "explain.py").read_text(encoding="utf-8")
    for words in ("is not on the roster any more.", "complete reads in a row", "because", "The rule: "):
        assert words in shown
        assert words in sentences
