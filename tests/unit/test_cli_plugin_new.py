"""`plugin new` writes a plugin, says what to do next, and refuses in one sentence what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sis_connect.cli import application

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `sis-connect plugin new` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(["plugin", "new", *arguments])
        out, err = capfd.readouterr()
        return (left.value.code if isinstance(left.value.code, int) else 0, out, err)

    return call


def test_a_plugin_lies_in_a_folder_of_its_own(run: Run) -> None:
    code, out, _ = run("harbor", "--label", "Harbor Office")
    assert code == 0
    assert 'label="Harbor Office"' in Path("sis-connect-harbor/src/sis_connect_harbor/__init__.py").read_text()
    for step in ("cd sis-connect-harbor", "pip install --editable '.[test]'", "pytest", "sis-connect plugin check harbor"):
        assert f"    {step}\n" in out


def test_the_folder_can_be_chosen(run: Run) -> None:
    code, out, _ = run("harbor", "--into", "my plugins/harbor", "--json")
    told = json.loads(out)
    assert (code, told["folder"], told["provider"]) == (0, "my plugins/harbor", "harbor")
    assert (told["distribution"], told["module"]) == ("sis-connect-harbor", "sis_connect_harbor")
    written = [path for path in Path("my plugins/harbor").rglob("*") if path.is_file()]
    assert sorted(path.relative_to("my plugins/harbor").as_posix() for path in written) == sorted(told["files"])
    _, out, _ = run("other", "--into", "my plugins/other")
    assert "cd 'my plugins/other'" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["Harbor"], "cannot be called 'Harbor'"),
        (["oneroster"], "taken by"),
        (["sandbox"], "taken by"),
        (["harbor", "--label", '"'], "label"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(run: Run, arguments: list[str], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_a_second_one_does_not_overwrite_the_first(run: Run) -> None:
    run("harbor")
    mine = Path("sis-connect-harbor/README.md")
    mine.write_text("mine")
    code, out, err = run("harbor", "--json")
    assert (code, mine.read_text()) == (1, "mine")
    assert "is there already" in json.loads(out)["error"]["message"]
    assert "--into" in err
