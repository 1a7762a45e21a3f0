"""What the page about conformance says can be done as it stands there, and it names every check."""

from __future__ import annotations

import os
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, blocks
from sis_connect.cli import application
from sis_connect.testing.suite.running import MODULES

PAGE = ROOT / "docs" / "conformance.md"
_TABLES = re.compile(r"(<!-- checks: [^\n]*-->\n).*?(?=<!-- end of checks -->)", re.DOTALL)


def tables() -> str:
    """All checks, by what they ask."""
    parts = []
    for name in MODULES:
        module = import_module(f"sis_connect.testing.suite.{name}")
        question = (module.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        rows = [f"| `{check.name}` | {check.title} | {check.promise} |" for check in module.CHECKS]
        parts.append("\n".join([f"**{question}**", "", "| check | what holds when it passes | |", "|---|---|---|", *rows]))
    return "\n" + "\n\n".join(parts) + "\n\n"


def test_the_page_names_every_check_as_it_is() -> None:
    """With REWRITE_PAGES=1 in the environment, the page is brought up to date."""
    text = PAGE.read_text(encoding="utf-8")
    right = _TABLES.sub(lambda match: match[1] + tables(), text)
    if os.environ.get("REWRITE_PAGES"):
        PAGE.write_text(right, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == right


def test_the_page_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for language, text in blocks(PAGE):
        if language == "console":
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "sis-connect"
                with pytest.raises(SystemExit) as left:
                    application.run(arguments)
                assert left.value.code == 0, capsys.readouterr()
        elif language == "python":
            page: dict[str, object] = {"__name__": "page"}
            exec(compile(text, str(PAGE), "exec"), page)  # noqa: S102 - what stands there is what is tested
            suite = page.get("TestConformance")
            if isinstance(suite, type):
                suite().test_conforms("parts_are_there")
                suite.teardown_class()  # type: ignore[attr-defined]
    assert "1 checks passed" in capsys.readouterr().out
