"""The page about the contract: its plugin is installed and run as it stands, and what it says of others is so."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from acceptance.documentation import ROOT, Reader, blocks
from sis_connect.hosting import apart, containment, pages, policy, watchdog
from sis_connect.provider import CONTRACT

PAGE = ROOT / "docs" / "contract.md"
PLUGIN, CONNECTS, LISTS = [text for language, text in blocks(PAGE) if language == "python"]
PROJECT, PLUGINS = [text for language, text in blocks(PAGE) if language == "toml"]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Somebody who has laid the plugin down as an installer does, with an export of 1,203 students."""
    project = tomllib.loads(PROJECT)["project"]
    about = tmp_path / "installed" / "sis_connect_harbor-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"{name} = {module}" for name, module in project["entry-points"]["sis_connect.plugins"].items()]
    (about / "entry_points.txt").write_text("\n".join(["[sis_connect.plugins]", *lines, ""]))
    (about.parent / "sis_connect_harbor.py").write_text(PLUGIN)
    export = tmp_path / "export"
    export.mkdir()
    (export / "schools.jsonl").write_text('{"id": 1, "name": "North"}\n{"id": 2, "name": "South"}\n')
    students = [json.dumps({"id": number, "first": "Ada", "last": f"No{number}"}) for number in range(1203)]
    (export / "students.jsonl").write_text("\n".join([*students, "{}", ""]))
    environment = {**os.environ, "PYTHONPATH": str(about.parent), "SIS_CONNECT_TODAY": "2026-11-23"}
    return Reader(tmp_path, environment, {"file:///srv/harbor": export.as_uri()})


def test_the_whole_plugin_reads_its_files(reader: Reader) -> None:
    reader.run_python(CONNECTS)
    assert reader.outputs[CONNECTS] == "['North', 'South']\n1203 students, 1 rows that cannot be read\n"


def test_p5_the_whole_plugin_is_synchronised_and_a_second_time_nothing_is_written(reader: Reader) -> None:
    address = reader.here("file:///srv/harbor")
    for line in (
        "add lincoln --provider harbor --base-url " + address,
        "doctor lincoln",
        "sync lincoln --json",
        "sync lincoln  --json",
    ):
        reader.type(f"sis-connect {line}")
    first, second = (json.loads(reader.outputs[f"sis-connect sync lincoln{space}--json"]) for space in (" ", "  "))
    assert (first["status"], first["records"]["students"], first["quarantined"]) == ("succeeded", 1203, 1)
    assert first["changes"]["students"]["create"] == 1203
    assert second["changes"]["students"] == {"unchanged": 1203}


def test_the_lists_are_as_they_stand(reader: Reader) -> None:
    reader.run_python(LISTS)
    found = policy.policy_in_table(tomllib.loads(PLUGINS)["plugins"], origin="the page")
    assert found.against("sis-connect-harbor", "harbor") is None
    assert found.against("sis-connect-skyward", "skyward") is not None
    assert found.against_provider("oneroster_csv") is not None


def test_the_numbers_are_as_they_stand() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"| {CONTRACT} | sis-connect 0.1 |" in text
    assert f"{pages.MOST_ALIKE:,} times, or a million pages" in text
    assert pages.MOST_PAGES == 1_000_000
    assert f"(at least {containment.LEAST_PATIENCE:g})" in text
    assert f"left behind after {apart.CLOSING_SECONDS:g} seconds" in text
    assert watchdog.PATIENCE == 2.0
    assert policy.BLOCKED in text
    assert policy.ALLOWED in text
