"""A hostile plugin is installed: it is named, what it turned over is put back, and the others work."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

from sis_connect.cli import application
from sis_connect.cli.invocation import command, print_json
from sis_connect.discovery import Registry, discover
from sis_connect.errors import ConfigurationError
from sis_connect.hosting.policy import NameList, PluginPolicy

OURS = ["infinite_campus", "oneroster", "oneroster_csv", "powerschool", "skyward"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            application.run(arguments)
        return (left.value.code if isinstance(left.value.code, int) else 0, *capfd.readouterr())

    return call


def test_p12_whatever_one_plugin_does_the_others_are_there(registry: Registry) -> None:
    assert sorted(registry.installed) == sorted([*OURS, "harbor", "moody"])
    assert {name: registry.installed[name].distribution for name in ("harbor", "powerschool", "moody")} == {
        "harbor": "sis-connect-harbor",
        "powerschool": "sis-connect-powerschool",
        "moody": "aaa-squatter",
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("aab", "it failed to load (SystemExit: 3)."),
        ("aac", "it failed to load (Stop: so there)."),
        ("aad", "it failed to load (Speechless: )."),
        ("aaa", "its hook sis_connect_strategies failed (LookupError: there are none)."),
        ("moody", "it registers the name 'moody' twice."),
        ("harbor", "the name 'harbor' is taken by sis-connect-harbor."),
        ("powerschool", "the name 'powerschool' belongs to sis-connect-powerschool."),
        ("future", "it was written for contract 2, this is contract 1."),
        ("Not-A-Name", "its name 'Not-A-Name' is not lower-case letters, digits and underscores."),
        ("limitless", "what it says as default_rate_limit of 'limitless' is not what belongs there."),
        ("kindless", "it declares the kind 'pupils', which there is not."),
        ("chameleon", "what it registers cannot be looked at (ZeroDivisionError)."),
        ("?", "its hook returned str where a ProviderInfo belongs."),
    ],
)
def test_p12_what_cannot_be_used_is_named_with_its_reason(registry: Registry, name: str, reason: str) -> None:
    assert [(it.distribution, it.reason) for it in registry.refused if it.name == name] == [("aaa-squatter", reason)]


def test_p12_what_an_import_turned_over_is_put_back_and_told(installed: None, capfd: pytest.CaptureFixture[str]) -> None:
    before = (
        dict(os.environ), ssl._create_default_https_context, socket.getdefaulttimeout(), logging.getLogger().level,
        logging.root.manager.disable, list(warnings.filters), sys.excepthook, signal.getsignal(signal.SIGINT),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="All of this is fine"):
        registry = discover()
    after = (
        dict(os.environ), ssl._create_default_https_context, socket.getdefaulttimeout(), logging.getLogger().level,
        logging.root.manager.disable, list(warnings.filters), sys.excepthook, signal.getsignal(signal.SIGINT),
    )  # fmt: skip
    assert after == before
    assert capfd.readouterr() == ("", '{"items": "are mine"}\n')
    notes = [note.message for note in registry.notes if note.distribution == "aaa-squatter"]
    assert [
        any(what in note for note in notes) for what in ("prints", "environment", "https", "Ctrl-C", "logged", "sockets")
    ] == [True] * 6


def test_p12_warnings_that_a_host_takes_for_errors_refuse_no_plugin(installed: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry = discover()
    assert "moody" in registry.installed
    assert "warns while it is imported: All of this is fine." in [note.message for note in registry.notes]


def test_a_contested_name_is_told_of_whoever_has_it(registry: Registry) -> None:
    notes = [note.message for note in registry.notes if note.distribution == "sis-connect-harbor"]
    assert notes == ["has the name 'harbor', which aaa-squatter claims, too, and is refused."]


def test_the_names_of_our_own_extras_are_nobody_elses_even_where_ours_are_not_installed(installed: None) -> None:
    points = [point for point in entry_points(group="sis_connect.plugins") if point.module == "aaa_squatter"]
    registry = discover(points)
    assert "powerschool" not in registry.installed
    with pytest.raises(ConfigurationError, match=r"belongs to sis-connect-powerschool.*Install sis-connect-powerschool"):
        registry.info("powerschool")


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aaa-squatter", "AAA_Squatter"])
def test_p12_what_is_blocked_is_not_even_imported(installed: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SIS_CONNECT_PLUGINS_BLOCKED", f"nobody, {name}")
    registry = discover()
    assert sorted(registry.installed) == sorted([*OURS, "harbor"])
    assert "aaa_squatter" not in sys.modules
    assert {it.reason for it in registry.refused} == {"it is blocked (SIS_CONNECT_PLUGINS_BLOCKED)."}


def test_p12_a_single_provider_can_be_blocked(installed: None, recwarn: pytest.WarningsRecorder) -> None:
    registry = discover(policy=PluginPolicy(blocked=(NameList.of(["moody", "harbor"], "a list"),)))
    assert sorted(registry.installed) == OURS
    with pytest.raises(ConfigurationError, match=r"'moody' is installed but cannot be used: it is blocked \(a list\)"):
        registry.info("moody")


def test_p12_where_some_are_allowed_the_others_are_not_imported(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIS_CONNECT_PLUGINS_ALLOWED", "sis-connect-harbor, sis-connect-oneroster")
    registry = discover()
    assert sorted(registry.installed) == ["harbor", "oneroster", "oneroster_csv"]
    assert "aaa_squatter" not in sys.modules
    assert {it.reason for it in registry.refused} == {
        "it is not among the plugins that are allowed (SIS_CONNECT_PLUGINS_ALLOWED)."
    }


def test_both_lists_apply_and_so_does_the_file(installed: None, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIS_CONNECT_PLUGINS_ALLOWED", "sis-connect-harbor,sis-connect-skyward")
    Path("sis-connect.toml").write_text('[plugins]\nblocked = ["skyward"]\n')
    code, out, _ = run("providers", "--json")
    items = json.loads(out)["items"]
    assert (code, [item["name"] for item in items if item["usable"]]) == (0, ["harbor"])
    assert [item["reason"] for item in items if item["name"] == "skyward"] == ["it is blocked (sis-connect.toml, [plugins])."]
    told = run("add", "lincoln", "--provider", "skyward", "--base-url", "https://sis.example.org")
    assert (told[0], "it is blocked (sis-connect.toml" in told[2]) == (1, True)


@pytest.mark.parametrize("table", ['blocked = "skyward"', 'blokced = ["skyward"]', 'provider = "skyward"', "allowed = [7]"])
def test_a_list_that_cannot_be_read_lets_nobody_in(run: Run, table: str) -> None:
    Path("sis-connect.toml").write_text(f"[plugins]\n{table}\n")
    code, out, said = run("providers", "--json")
    assert (code, json.loads(out)["items"]) == (1, [])
    assert "blocked = [...] and allowed = [...]" in said


# -- the command line --------------------------------------------------------------------------------------------------


def test_what_a_plugin_prints_is_no_part_of_a_report(installed: None, run: Run, recwarn: pytest.WarningsRecorder) -> None:
    code, out, said = run("providers", "--json")
    assert (code, '{"items": "are mine"}' in said) == (0, True)
    assert {item["name"] for item in json.loads(out)["items"] if item["usable"]} == {*OURS, "harbor", "moody"}


def test_providers_names_for_people_what_is_wrong_with_whom(installed: None, run: Run, recwarn: pytest.WarningsRecorder) -> None:
    _, out, _ = run("providers")
    assert "harbor (aaa-squatter): the name 'harbor' is taken by sis-connect-harbor." in out
    assert "aaa-squatter changes the environment while it is imported; that was undone." in out


def test_whatever_is_printed_while_a_report_is_made_goes_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @command(app, "one")
    def one(context: typer.Context, as_json: bool = False) -> None:
        print("by Python")
        os.write(1, b"by the system\n")
        subprocess.run([sys.executable, "-c", "print('by a process')"], check=True)
        print_json({"items": []})

    with pytest.raises(SystemExit):
        app(["--as-json"])
    out, said = capfd.readouterr()
    assert json.loads(out) == {"items": []}
    assert sorted(said.splitlines()) == ["by Python", "by a process", "by the system"]
    print("as before")
    assert capfd.readouterr().out == "as before\n"
