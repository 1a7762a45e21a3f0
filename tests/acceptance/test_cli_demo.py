"""What a newcomer meets first: the demo, the sandbox, and how long it takes until something is on the screen."""

from __future__ import annotations

import json
import os
import signal

import httpx
import pytest

from acceptance.conftest import PROVIDER, CommandLine


def block_a_plugin(sis_connect: CommandLine) -> None:
    """Install a plugin that leaves a file behind wherever it is imported, and block it in the configuration file."""
    about = sis_connect.folder / "plugins" / "office-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: office\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[sis_connect.plugins]\noffice = office\n")
    (about.parent / "office.py").write_text("from pathlib import Path\n\nPath('imported').touch()\n")
    (sis_connect.folder / "sis-connect.toml").write_text('[plugins]\nblocked = ["office"]\n')
    sis_connect.environment["PYTHONPATH"] = os.pathsep.join([str(about.parent), os.environ.get("PYTHONPATH", "")])


def test_p12_the_demo_tells_its_story_and_can_be_told_again_and_imports_no_plugin_that_is_blocked(
    sis_connect: CommandLine,
) -> None:
    block_a_plugin(sis_connect)
    for arguments in (["demo", PROVIDER, "--students", "200"], ["demo", "--students", "150", "--seed", "7"]):
        run = sis_connect(*arguments)
        assert run.code == 0, run.err
        for told in (
            "1. The SIS",
            "2. The district is read",
            "3. It is 2026-10-06",
            "4. Before anything",
            "5. The plan is applied",
        ):
            assert told in run.out
        assert "demo: done" in run.out
    assert not (sis_connect.folder / "imported").exists()
    listed = CommandLine(sis_connect.folder / "sis-connect-demo")("list", "--json").document["items"]
    assert [item["name"] for item in listed] == ["demo"]


def test_the_demos_last_words_can_be_followed(sis_connect: CommandLine) -> None:
    told = sis_connect("demo", "--students", "150").out
    commands = [line.split()[1:] for line in told.splitlines() if line.startswith("  sis-connect ")]
    inside = CommandLine(sis_connect.folder / "sis-connect-demo")
    [serve] = [words for words in commands if words[0] == "sandbox"]
    sandbox = inside.start(*serve)
    inside.environment["SIS_CONNECT_TODAY"] = json.loads(sandbox.stdout.readline())["date"]
    try:
        for words in commands:
            if words[0] != "sandbox":
                run = inside(*words)
                assert run.code == 0, f"{words}: {run.err}"
    finally:
        sandbox.terminate()
        sandbox.communicate()


def test_a_demo_of_what_is_not_installed_is_explained(sis_connect: CommandLine) -> None:
    run = sis_connect("demo", "no_such_sis")
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith("Error: There is no provider 'no_such_sis'")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_sandbox_says_when_it_is_ready_and_ends_when_it_is_told(sis_connect: CommandLine, end: signal.Signals) -> None:
    process = sis_connect.start(
        "sandbox", PROVIDER, "--students", "150", "--rate", "60/60", "--day", "1", "--set", "page_size=50"
    )
    ready = json.loads(process.stdout.readline())
    assert set(ready) == {"provider", "base_url", "token_url", "client_id", "client_secret", "date", "settings"}
    assert ready["settings"]["rate_limit"] == "60/60"
    moved = httpx.post(f"{ready['base_url']}/_sandbox/day", json={"day": 2}).json()
    assert moved["date"] > ready["date"]
    process.send_signal(end)
    assert sis_connect.end(process).err == ""


@pytest.mark.parametrize(
    "arguments", [["--fault", "no_such_fault"], ["--rate", "many"], ["--set", "no_such_setting=1"], ["--fault", "cap=few"]]
)
def test_a_sandbox_that_cannot_be_started_is_explained(sis_connect: CommandLine, arguments: list[str]) -> None:
    run = sis_connect("sandbox", PROVIDER, "--students", "150", *arguments)
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith("Error: ")
