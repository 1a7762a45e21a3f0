"""`sis-connect plugin check`: what it says, and how it leaves."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from conformance.right_provider import INFO, HarborProvider
from conformance.wrong_mapping import LastDayAsFirstDayOut
from conformance.wrong_wire import LeavesTheLoop, LeavesTheProgram
from sis_connect.cli import application
from sis_connect.cli.invocation import Invocation
from sis_connect.discovery import Installed, Registry


def typed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    wrong: type[HarborProvider] | None = None,
) -> tuple[object, str, str]:
    """Check Harbor: exit code, stdout, stderr."""
    info = replace(INFO, provider=f"{wrong.__module__}:{wrong.__name__}") if wrong else INFO
    registry = Registry({"harbor": Installed(info, "sis-connect-harbor", "0.1.0")})
    monkeypatch.setattr(Invocation, "registry", lambda self: registry)
    with pytest.raises(SystemExit) as left:
        application.run(["plugin", "check", *arguments])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def test_plugin_check_leaves_with_0_where_all_passed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = typed(monkeypatch, capsys, "harbor", "--only", "parts_are_there", "--students", "20")
    assert (code, err) == (0, "")
    assert out.startswith("ok    parts_are_there")
    assert "harbor (sis-connect-harbor 0.1.0): 1 checks passed, 0 failed" in out


def test_plugin_check_leaves_with_1_where_something_failed_and_json_says_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = typed(monkeypatch, capsys, "harbor", "--only", "dates_are_right", "--json", wrong=LastDayAsFirstDayOut)
    assert code == 1
    (check,) = json.loads(out)["checks"]
    assert check["outcome"] == "failed"
    assert "day early" in check["detail"]
    assert err == "Failed: dates_are_right.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nobody",),
        ("harbor", "--only", "nothing"),
        ("harbor", "--badge", "--only", "ids_repeat"),
        ("harbor", "--set", "nope=1"),
    ],
    ids=str,
)
def test_plugin_check_leaves_with_2_where_nothing_can_be_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = typed(monkeypatch, capsys, *arguments, "--json")
    assert code == 2
    assert json.loads(out)["error"]["category"] == "configuration"
    assert err.startswith("Error: ")


@pytest.mark.parametrize("wrong", [LeavesTheProgram, LeavesTheLoop])
def test_p9_a_plugin_that_ends_the_program_is_no_plugin_that_conforms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: type[HarborProvider]
) -> None:
    checks = ("ids_repeat", "parts_are_there", "every_kind_comes")
    only = [word for check in checks for word in ("--only", check)]
    code, out, err = typed(monkeypatch, capsys, "harbor", *only, "--students", "20", "--json", wrong=wrong)
    ended = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == 1
    assert {name: check["outcome"] for name, check in ended.items()} == dict.fromkeys(checks, "failed") | {
        "parts_are_there": "passed"
    }
    assert (
        "The plugin of Harbor tried to end the whole program (SystemExit, in conformance.wrong_wire:"
        in ended["ids_repeat"]["detail"]
    )
    assert err == "Failed: ids_repeat, every_kind_comes.\n"
