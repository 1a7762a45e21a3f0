"""The page about sandboxes: its files are saved and its examples run, exactly as they are printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, blocks
from sis_connect.testing.recorded import read_exchange
from sis_connect.testing.sandbox import RestSandbox, running_sandbox

PAGE = ROOT / "docs" / "your-sandbox.md"


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The page's files, saved in a folder to work in; the other examples."""
    examples = []
    for language, text in blocks(PAGE):
        name = re.match(r"# (\w+)\.py\n", text)
        if language == "python" and name:
            (tmp_path / f"{name[1]}.py").write_text(text, encoding="utf-8")
            monkeypatch.delitem(sys.modules, name[1], raising=False)
        elif language == "python":
            examples.append(text)
    monkeypatch.syspath_prepend(tmp_path)
    return examples


def test_the_examples_run_as_printed(
    saved: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    for text in saved:
        exec(compile(text, str(PAGE), "exec"), {"__name__": "__main__"})  # noqa: S102 - the documentation's own
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "5 {'id': 5002, 'name': 'Lincoln Elementary School', 'code': '101'}"
    assert lines[1].startswith("60 {'key': 'student-0', 'sis_id': '5006'")
    assert lines[2] == "503"
    assert lines[3].startswith("2026-10-06 Quirin ")


def test_what_comes_with_the_rows_of_others_is_in_the_truth(saved: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    with running_sandbox("attending_sandbox:AttendingSandbox", students=60) as sandbox:
        assert set(sandbox.truth("school_enrollments")[0]) == {"key", "sis_id", "student", "school", "entry_date", "status"}
        app = sandbox._app.sandbox
        assert isinstance(app, RestSandbox)
        row = app.row(app.listings[1], app.roster.entries("students")[0].record)
        assert row["since"] is not None


def test_what_rows_bring_is_in_the_truth(saved: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    with running_sandbox("classes_sandbox:ClassesSandbox", students=1) as sandbox:
        assert {"student", "teacher"} <= {row["role"] for row in sandbox.truth("enrollments")}
        app = sandbox._app.sandbox
        assert isinstance(app, RestSandbox)
        row = app.row(app.listings[-1], app.roster.entries("sections")[0].record)
        assert row["teachers"]


def test_a_recording_as_printed_is_understood() -> None:
    (text,) = [text for language, text in blocks(PAGE) if language == "text"]
    exchange = read_exchange(text.encode(), "schools.http")
    assert (exchange.method, exchange.path, exchange.status) == ("GET", "/schools", 200)
    assert exchange.parameters == (("page", "1"), ("per_page", "50"))
