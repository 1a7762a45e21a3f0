"""The page about a first plugin can be followed: from an empty folder, block by block, as it is printed.

What takes an environment of its own (installing, style, types, building the wheel, and the whole of the suite) is done by
`nox -s wheels`, on the same page. Here the plugin is found where it lies, the district is small, and of the suite runs what the
page speaks about.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugin_author import Author, blocks, edited
from quick_start import Started, command

PAGE = Path(__file__).parents[2] / "docs" / "your-first-plugin.md"
#: Done where there is an environment for it.
ELSEWHERE = ("ruff", "mypy", "uv")


class NearbyAuthor(Author):
    """Types the page in this environment: what is installed lies on the path, with the metadata that installing writes."""

    aside = ()

    def make_environment(self, name: str) -> None:
        """There is one."""

    def install(self, line: str, words: list[str]) -> None:
        """Put the plugin in the working folder on the path."""
        if "--editable" in words:
            self.environment["PYTHONPATH"] = os.pathsep.join([str(registered(self.folder)), str(self.folder / "src")])

    def type(self, line: str) -> None:
        if line.split()[0] not in ELSEWHERE:
            super().type(line)

    def run(self, line: str, words: list[str], expected: int = 0) -> None:
        if words[0] == "pytest":
            words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(words[1:] or ["tests/test_mapping.py"])]
            super().run(line, words, expected)
            return
        process = Started(command, words[1:], folder=self.folder, environment=self.environment)
        out, err = process.communicate()
        self.heard[line] = out
        assert process.returncode == expected, f"{line}\n{out}\n{err}"

    def serve(self, words: list[str]) -> None:
        words = ["60" if word == "1000" else word for word in words]
        super().serve([sys.executable, "-c", "from sis_connect.cli import main; main()", *words[1:]])


def registered(plugin: Path) -> Path:
    """What an installer writes beside a package: who it is, and its entry point."""
    place = plugin / ".installed"
    metadata = place / "sis_connect_harbor-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sis-connect-harbor\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[sis_connect.plugins]\nharbor = sis_connect_harbor\n")
    return place


@pytest.fixture
def author(tmp_path: Path) -> Iterator[NearbyAuthor]:
    it = NearbyAuthor(tmp_path, {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    yield it
    it.close()


@pytest.mark.timeout(300)
def test_the_page_leads_from_an_empty_folder_to_a_plugin(author: NearbyAuthor) -> None:
    author.follow(PAGE)
    heard = author.heard
    assert (
        "They are a day early: this SIS tells" in heard["sis-connect plugin check harbor --only dates_are_right  # exit code 1"]
    )
    assert heard["sis-connect sync lincoln"].startswith("lincoln: done")
    assert "created" not in heard["sis-connect sync lincoln"]
    assert "harbor offers schools, staff, students, school enrollments" in heard["sis-connect providers"]


def test_every_file_that_the_page_shows_is_python_that_is_run() -> None:
    shown = [block for block in blocks(PAGE) if block.path]
    assert {block.language for block in shown} == {"python", "diff"}
    assert {block.language for block in blocks(PAGE) if not block.path} == {"console", "text"}


def test_an_edit_whose_place_is_not_there_is_noticed() -> None:
    assert edited("a\nb\nc\n", " a\n-b\n+x\n+y\n") == "a\nx\ny\nc\n"
    for difference in ("-d\n+x\n", "-b\n-d\n"):
        with pytest.raises(AssertionError):
            edited("a\nb\nb2\n", difference)
    with pytest.raises(AssertionError):
        edited("b\nb\n", "-b\n+x\n")
