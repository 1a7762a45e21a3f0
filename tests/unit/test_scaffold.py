"""A new plugin: what it is called, and which files it begins with."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from sis_connect.discovery import Registry
from sis_connect.errors import ConfigurationError
from sis_connect.provider import CONTRACT
from sis_connect.scaffold.names import LONGEST_LABEL, LONGEST_NAME, PluginNames, named, requirement
from sis_connect.scaffold.project import rendered, taken_names, write

HARBOR = PluginNames("harbor", "Harbor")


def test_everything_is_called_after_the_provider() -> None:
    names = named("harbor_cloud", taken={})
    assert names.label == "Harbor Cloud"
    assert (names.distribution, names.module, names.classes) == (
        "sis-connect-harbor-cloud",
        "sis_connect_harbor_cloud",
        "HarborCloud",
    )


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("Harbor", "harbor"),
        ("harbor-cloud", "harbor_cloud"),
        ("sis-connect-harbor", "harbor"),
        ("harbor ", "harbor"),
        ("2nd_harbor", "nd_harbor"),
        ("harbor__cloud", "harbor_cloud"),
        ("harbor_", "harbor"),
        ("../harbor", "harbor"),
        ("", "harbor_cloud"),
        ("школа", "harbor_cloud"),
    ],
)
def test_a_bad_name_is_refused_with_a_good_one(name: str, instead: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be called") as refused:
        named(name, taken={})
    assert f"{instead!r}" in refused.value.remedy


def test_a_name_that_says_sis_connect_is_refused_without_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        named("sis_connect_harbor", taken={})
    assert "'harbor'" in refused.value.remedy


def test_a_name_that_nobody_will_type_is_refused() -> None:
    assert named("h" * LONGEST_NAME, taken={}).provider == "h" * LONGEST_NAME
    with pytest.raises(ConfigurationError, match="more than"):
        named("h" * (LONGEST_NAME + 1), taken={})


@pytest.mark.parametrize("label", ["", "  ", 'Har"bor', "Har\\bor", "Har\nbor", "x" * (LONGEST_LABEL + 1)])
def test_a_label_that_would_break_a_file_is_refused(label: str) -> None:
    with pytest.raises(ConfigurationError, match="label"):
        named("harbor", label, taken={})


@pytest.mark.parametrize("name", ["class", "match", "test", "tests", "os", "email"])
def test_what_python_calls_something_itself_is_no_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match="Python itself") as refused:
        named(name, taken={})
    assert f"'{name}_sis'" in str(refused.value)


def test_a_name_that_is_installed_or_ours_is_taken() -> None:
    registry = Registry()
    taken = taken_names(registry)
    assert "sandbox" in taken
    with pytest.raises(ConfigurationError, match="taken by sis-connect itself"):
        named("all_sis", taken=taken)
    with pytest.raises(ConfigurationError, match="taken by sis-connect-harbor"):
        named("harbor", taken={"harbor": "sis-connect-harbor"})


@pytest.mark.parametrize(
    ("version", "fits"), [("0.1.0", ">=0.1,<0.2"), ("0.12.3", ">=0.12,<0.13"), ("1.4.0", ">=1.4,<2"), ("2.0.0rc1", ">=2.0,<3")]
)
def test_a_new_plugin_fits_this_library_up_to_the_next_that_may_break_it(version: str, fits: str) -> None:
    assert requirement(version) == fits


def test_a_new_plugin_is_a_whole_distribution() -> None:
    texts = rendered(HARBOR)
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    assert project["name"] == "sis-connect-harbor"
    assert project["entry-points"]["sis_connect.plugins"] == {"harbor": "sis_connect_harbor"}
    assert f"contract={CONTRACT}," in texts["src/sis_connect_harbor/__init__.py"]
    assert texts["src/sis_connect_harbor/py.typed"] == ""
    assert {".gitignore", "LICENSE", "README.md", ".github/workflows/check.yml", "tests/test_conformance.py"} <= set(texts)
    assert "${{ matrix.python }}" in texts[".github/workflows/check.yml"]


@pytest.mark.parametrize("names", [HARBOR, PluginNames("h" * LONGEST_NAME, "Ä" * LONGEST_LABEL), PluginNames("a1_b2", "École's")])
def test_what_is_written_is_python_with_short_lines_whatever_it_is_called(names: PluginNames) -> None:
    for path, text in rendered(names).items():
        if path.endswith(".py"):
            ast.parse(text)
            assert [line for line in text.splitlines() if len(line) > 120] == [], path
            assert text.isascii() or not names.label.isascii()


def test_a_sandbox_that_begins_so_knows_nothing_of_its_provider() -> None:
    assert "sis_connect_harbor" not in rendered(HARBOR)["src/sis_connect_harbor/sandbox.py"]


def test_a_plugin_may_begin_in_an_empty_repository_but_never_over_other_files(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(rendered(HARBOR), tmp_path)
    before = (tmp_path / "pyproject.toml").read_text()
    with pytest.raises(ConfigurationError, match="is there already") as refused:
        write({"pyproject.toml": "other"}, tmp_path)
    assert "--into" in refused.value.remedy
    assert (tmp_path / "pyproject.toml").read_text() == before


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError):
            write(rendered(HARBOR), folder)
